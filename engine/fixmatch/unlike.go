package fixmatch

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/fingerprint"
	"anomalymatch/engine/nn"
	"anomalymatch/internal/atomicfile"
)

// anyway is what a person wanted scored although it is unlike what was trained on: checkpoints/anyway.json.
type anyway struct {
	Cycle int                `json:"cycle"`
	Print *fingerprint.Print `json:"fingerprint"`
}

const anywayFile = "anyway.json"

// Unlike says what is unlike between a pool and the images that the checkpoint of info was trained on: nil where nothing is, where the checkpoint does
// not know them, and where somebody wanted images like these scored anyway. Another number of channels is an error: they cannot be scored. dir is the folder of
// the checkpoints.
func Unlike(ctx context.Context, dir string, info Info, pool *dataset.Pool) (odd, err error) {
	if err := nn.FitChannels(info.Channels, pool.Channels()); err != nil {
		return nil, err
	}
	if info.Print == nil {
		return nil, nil
	}
	now, err := fingerprint.Of(ctx, pool, info.Size)
	if err != nil {
		return nil, err
	}
	odd = info.Print.Check(now)
	if odd == nil {
		return nil, nil
	}
	var a anyway
	if b, err := os.ReadFile(filepath.Join(dir, anywayFile)); err == nil && json.Unmarshal(b, &a) == nil && a.Cycle == info.Cycle && a.Print != nil && a.Print.Check(now) == nil {
		return nil, nil
	}
	return odd, nil
}

// Accept has a pool scored by the checkpoint of info from now on, whatever it was trained on.
func Accept(ctx context.Context, dir string, info Info, pool *dataset.Pool) error {
	if err := nn.FitChannels(info.Channels, pool.Channels()); err != nil {
		return err
	}
	now, err := fingerprint.Of(ctx, pool, info.Size)
	if err != nil || now == nil {
		return err
	}
	b, err := json.Marshal(anyway{info.Cycle, now})
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, anywayFile), func(w io.Writer) error { _, err := w.Write(append(b, '\n')); return err })
}
