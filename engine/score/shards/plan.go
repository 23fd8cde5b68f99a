// Package shards scores a pool in parts, on any number of machines that see the project folder.
//
// A plan fixes everything that decides the scores: the pool, the checkpoint, the batches and the ranges of images, the shards. It is
// written once, into a folder below the project's scores/ whose name follows from it. Whoever runs a shard writes its scores and then a
// manifest, each whole or not at all; who runs it again, or at the same time, writes the same scores. A merge believes manifests only,
// and makes the score file of the cycle from them: byte for byte what one machine makes (see score.Range), as long as all run the same
// backend on the same kind of processor.
package shards

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/score"
	"anomalymatch/internal/age"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/glob"
)

// Plan of one scoring of a pool.
type Plan struct {
	Program    string  `json:"program"` // version of the program
	Pool       string  `json:"pool"`    // hash of the pool, hexadecimal
	Images     int     `json:"images"`
	Checkpoint string  `json:"checkpoint"` // file below checkpoints/
	SHA256     string  `json:"sha256"`     // of that file
	Cycle      int     `json:"cycle"`      // of the checkpoint
	Step       int     `json:"step"`       // of the checkpoint in its cycle
	Size       int     `json:"size"`       // pixels a side
	Batch      int     `json:"batch"`      // images the network takes at once
	MaxPixels  int     `json:"max_pixels"` // what an image may have
	MaxBytes   int64   `json:"max_bytes"`  // and its file
	Shards     []Range `json:"shards"`     // in the pool's order, beginning at multiples of Batch
}

// Range is the images [From, To).
type Range struct {
	From int `json:"from"`
	To   int `json:"to"`
}

// Len is the number of images.
func (r Range) Len() int { return r.To - r.From }

// MaxShards is the largest number of shards of a plan.
const MaxShards = 100_000

// Split parts images into n ranges of about the same length that begin at multiples of batch; fewer where there are not as many batches.
func Split(images, batch, n int) []Range {
	batches := (images + batch - 1) / batch
	n = max(1, min(n, batches, MaxShards))
	all := make([]Range, n)
	for i := range all {
		all[i] = Range{From: batches * i / n * batch, To: min(batches*(i+1)/n*batch, images)}
	}
	return all
}

// New plans the scoring of pool with a checkpoint of the folder checkpoints in n shards. wanted is the number of images that the network
// may take at once.
func New(pool *dataset.Pool, limits dataset.Limits, checkpoints string, info fixmatch.Info, wanted, n int) (Plan, error) {
	sum, err := fileSum(filepath.Join(checkpoints, info.File()))
	if err != nil {
		return Plan{}, fmt.Errorf("the checkpoint %s cannot be read: %w", info.File(), cause(err))
	}
	hash := pool.Hash()
	batch := score.Batch(wanted, info.Size, pool.Len())
	return Plan{Program: anomalymatch.Version, Pool: hex.EncodeToString(hash[:]), Images: pool.Len(), Checkpoint: info.File(), SHA256: sum, Cycle: info.Cycle, Step: info.RunStep,
		Size: info.Size, Batch: batch, MaxPixels: limits.MaxPixels, MaxBytes: limits.MaxBytes, Shards: Split(pool.Len(), batch, n)}, nil
}

// check says why p cannot be worked with, or nil.
func (p Plan) check() error {
	if p.Batch < 1 || p.Images < 1 || p.Size < 1 || len(p.Shards) < 1 || len(p.Shards) > MaxShards || !filepath.IsLocal(p.Checkpoint) || filepath.Base(p.Checkpoint) != p.Checkpoint {
		return errors.New("it is no plan")
	}
	at := 0
	for _, r := range p.Shards {
		if r.From != at || r.To <= r.From || r.From%p.Batch != 0 {
			return errors.New("its shards do not follow each other")
		}
		at = r.To
	}
	if at != p.Images {
		return errors.New("its shards are not all images")
	}
	return nil
}

// Folder holds a plan and what was made of it. One goroutine uses it at a time; any number of processes use the same folder.
type Folder struct {
	Dir  string
	Name string // what the plan's manifests call it
	Plan Plan

	seen map[int]done // shards that are there, as Status knows
}

const (
	planFile = "plan.json"
	prefix   = "shards-"
	// forgotten is the age from which on the folders of other plans are removed: nobody works on them.
	forgotten = 7 * 24 * time.Hour
)

// Create keeps a plan in the folder scores, or finds it there: the same plan has the same folder. Folders of other plans that nobody
// touched for a week are removed.
func Create(scores string, p Plan) (*Folder, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("this cannot be parted into shards: %w", err)
	}
	text, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	f := &Folder{Dir: filepath.Join(scores, nameOf(text)), Name: nameOf(text), Plan: p}
	if old, err := os.ReadFile(filepath.Join(f.Dir, planFile)); err != nil || !bytes.Equal(old, text) {
		err := atomicfile.MkdirAll(f.Dir, 0o777)
		if err == nil {
			err = atomicfile.Write(filepath.Join(f.Dir, planFile), func(w io.Writer) error { _, err := w.Write(text); return err })
		}
		if err != nil {
			return nil, fmt.Errorf("the plan of the shards cannot be written: %w", cause(err))
		}
	}
	others := glob.In(scores, prefix+"*")
	for _, dir := range others {
		if info, err := os.Stat(dir); err == nil && dir != f.Dir && age.Of(dir, info) > forgotten {
			os.RemoveAll(dir)
		}
	}
	return f, nil
}

// Open reads the plan in dir.
func Open(dir string) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, planFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%q has no plan of shards", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("the plan in %q cannot be read: %w", dir, cause(err))
	}
	var p Plan
	err = json.Unmarshal(text, &p)
	if err == nil {
		err = p.check()
	}
	if err != nil || nameOf(text) != filepath.Base(dir) {
		return nil, fmt.Errorf("the plan in %q is damaged: remove the folder and plan again", dir)
	}
	return &Folder{Dir: dir, Name: nameOf(text), Plan: p}, nil
}

// Limits are what an image of the plan may cost.
func (p Plan) Limits() dataset.Limits {
	return dataset.Limits{MaxPixels: p.MaxPixels, MaxBytes: p.MaxBytes}
}

// nameOf is the folder of a plan.
func nameOf(text []byte) string {
	sum := sha256.Sum256(text)
	return prefix + hex.EncodeToString(sum[:6])
}

// Files are the manifest and the scores of a shard.
func (f *Folder) Files(shard int) (manifest, scores string) {
	return f.manifest(shard), f.scores(shard)
}

// scores and manifest are the files of a shard, progress tells how far it is.
func (f *Folder) scores(shard int) string   { return f.file(shard, "scores") }
func (f *Folder) manifest(shard int) string { return f.file(shard, "json") }
func (f *Folder) progress(shard int) string { return f.file(shard, "progress") }

func (f *Folder) file(shard int, kind string) string {
	return filepath.Join(f.Dir, fmt.Sprintf("shard-%05d.%s", shard, kind))
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// cause is what the file system said, without the path.
func cause(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("it is gone")
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}

// List names shards, ascending: 3,7-9,12. See Select.
func List(shards []int) string {
	var parts []string
	for i := 0; i < len(shards); {
		j := i
		for j+1 < len(shards) && shards[j+1] == shards[j]+1 {
			j++
		}
		text := fmt.Sprint(shards[i])
		if j > i {
			text += fmt.Sprintf("-%d", shards[j])
		}
		parts = append(parts, text)
		i = j + 1
	}
	return strings.Join(parts, ",")
}
