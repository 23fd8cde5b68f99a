package capsule

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"anomalymatch"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/train"
	"anomalymatch/internal/say"

	"github.com/BurntSushi/toml"
)

// Capsule is a capsule that was opened. Close it.
type Capsule struct {
	Manifest
	Config anomalymatch.Config // defaults changed by the settings of the capsule

	zip   *zip.ReadCloser
	files map[string]entry
}

type entry struct {
	zip *zip.File
	is  File
}

// What a capsule may hold.
const (
	maxEntries  = 10_000
	maxManifest = 16 << 20
	maxConfig   = 1 << 20
	maxTraining = 256 << 20
	maxJournals = 2 << 30 // all together
	maxNetwork  = 512 << 20
	maxImages   = 1 << 30
	maxParts    = 10_000
)

var journalName = regexp.MustCompile(`^labels/[A-Za-z0-9_][A-Za-z0-9._-]{0,110}\.jsonl$`)

// limitOf is the most bytes that a file of a capsule may have, 0 where it has no such file.
func limitOf(name string) int64 {
	if base, ok := strings.CutPrefix(name, networkDir); ok {
		if _, ok := fixmatch.ParseFile(base); ok {
			return maxNetwork
		}
		return 0
	}
	switch {
	case journalName.MatchString(name):
		return maxJournals
	case name == readmeName, name == configName:
		return maxConfig
	case name == trainingName:
		return maxTraining
	case name == orderName, name == scoresName:
		return 4 * maxImages
	case name == topName:
		return maxJournals
	}
	return 0
}

// Open reads a capsule's directory, manifest and settings, and checks that all that the manifest names is there. The files are checked when they are
// used. Errors are sentences for people.
func Open(path string) (c *Capsule, err error) {
	in, err := zip.OpenReader(path)
	if err != nil {
		if errors.Is(err, zip.ErrFormat) || errors.Is(err, zip.ErrAlgorithm) || errors.Is(err, zip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("%s is no run capsule, or was cut off: it is no zip", say.Path(path))
		}
		return nil, fmt.Errorf("the run capsule %s cannot be read: %w", say.Path(path), say.Cause(err))
	}
	c = &Capsule{zip: in, files: map[string]entry{}}
	if err := c.read(); err != nil {
		in.Close()
		return nil, fmt.Errorf("%s: %w", say.Path(path), err)
	}
	return c, nil
}

// Close closes the file.
func (c *Capsule) Close() error { return c.zip.Close() }

var errNoCapsule = errors.New("it is no run capsule: it has no manifest.json of one")

func (c *Capsule) read() error {
	if len(c.zip.File) > maxEntries {
		return errors.New("it is no run capsule: it holds too many files")
	}
	byName := map[string]*zip.File{}
	for _, f := range c.zip.File {
		if byName[f.Name] != nil {
			return fmt.Errorf("it is damaged: it holds %s twice", say.Path(f.Name))
		}
		byName[f.Name] = f
	}
	man := byName[manifestName]
	if man == nil || man.UncompressedSize64 > maxManifest {
		return errNoCapsule
	}
	text, err := inflate(man, maxManifest)
	if err != nil {
		return err
	}
	if json.Unmarshal(text, &c.Manifest) != nil || c.Format < 1 {
		return errNoCapsule
	}
	if c.Format > Format {
		return fmt.Errorf("it is of a newer program (%s): this one is %s, and reads capsules up to format %d, not %d", say.Text(c.Versions.Program), anomalymatch.Version, Format, c.Format)
	}
	total := int64(0)
	for _, f := range c.Files {
		z, limit := byName[f.Name], limitOf(f.Name)
		switch {
		case limit == 0:
			return fmt.Errorf("its manifest names a file that no capsule has: %s", say.Path(f.Name))
		case z == nil:
			return fmt.Errorf("it is damaged: %s is missing in it", say.Path(f.Name))
		case f.Bytes < 0 || f.Bytes > limit || uint64(f.Bytes) != z.UncompressedSize64:
			return fmt.Errorf("it is damaged: %s does not have the size that its manifest says, or is too large", say.Path(f.Name))
		}
		if journalName.MatchString(f.Name) {
			if total += f.Bytes; total > maxJournals {
				return errors.New("its labels are too large")
			}
		}
		c.files[f.Name] = entry{z, f}
	}
	if err := c.check(); err != nil {
		return fmt.Errorf("its manifest makes no sense: %w", err)
	}
	if text, err = c.bytes(configName); err != nil {
		return err
	}
	c.Config = anomalymatch.Default()
	return c.Config.Overlay(configName, text, nil)
}

// check says what in the manifest cannot be.
func (c *Capsule) check() error {
	m := c.Manifest
	sums := []string{m.Pool.Hash, m.Ranking.Order, m.Ranking.Scores}
	if m.Network != nil {
		sums = append(sums, m.Network.SHA256)
	}
	for _, s := range sums {
		if b, err := hex.DecodeString(s); err != nil || len(b) != sha256.Size {
			return errors.New("a hash is none")
		}
	}
	if !slices.Contains([]string{"fast", "deep", "joint", "novelty"}, m.Ranking.By) {
		return fmt.Errorf("there is no ranking %.40q", m.Ranking.By)
	}
	if m.Pool.Images < 1 || m.Pool.Images > maxImages || m.Ranking.Images < 0 || m.Ranking.Images > m.Pool.Images {
		return errors.New("so many images cannot be")
	}
	for _, name := range []string{orderName, scoresName} {
		if f, ok := c.files[name]; !ok || f.is.Bytes != 4*int64(m.Ranking.Images) {
			return errors.New("the ranking is not whole")
		}
	}
	if len(m.Pool.Sources) == 0 || len(m.Pool.Sources) > maxEntries {
		return errors.New("there are no sources")
	}
	seen := map[string]bool{}
	for _, s := range m.Pool.Sources {
		if s.Name == "" || strings.ContainsAny(s.Name, "/\\\x00") || s.Name == "." || s.Name == ".." || seen[s.Name] {
			return fmt.Errorf("a source cannot be called %.100q", s.Name)
		}
		seen[s.Name] = true
		if err := s.Check(); err != nil {
			return fmt.Errorf("source %.100q: %w", s.Name, err)
		}
	}
	deep := m.Ranking.By == "deep" || m.Ranking.By == "joint"
	if n := m.Network; n != nil {
		if info, ok := fixmatch.ParseFile(n.File); !ok || info.Cycle != n.Cycle || info.RunStep != n.Step || n.Batch < 0 || n.Batch > 8192 {
			return errors.New("the network is none")
		}
		if _, ok := c.files[networkDir+n.File]; ok != n.Contained {
			return errors.New("the network is missing")
		}
	} else if deep {
		return errors.New("the network is missing")
	}
	if m.Start != "" {
		if _, ok := c.files[networkDir+m.Start]; !ok {
			return errors.New("the network that the trainings began from is missing")
		}
	}
	if e := m.Embeddings; e != nil {
		if e.Size < 32 || e.Size > 512 || !slices.Contains([]int{1, 2, 8}, e.Views) {
			return errors.New("embeddings cannot be of that size")
		}
	} else if m.Ranking.By != "deep" {
		return errors.New("the embeddings are missing")
	}
	return nil
}

// inflate reads a file of at most limit bytes.
func inflate(f *zip.File, limit int64) ([]byte, error) {
	r, err := f.Open()
	if err == nil {
		defer r.Close()
		var b []byte
		if b, err = io.ReadAll(io.LimitReader(r, limit+1)); err == nil && int64(len(b)) > limit {
			err = errors.New("too large")
		}
		if err == nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("it is damaged: %s cannot be unpacked", say.Path(f.Name))
}

// bytes is a file of the capsule.
func (c *Capsule) bytes(name string) ([]byte, error) {
	var b bytes.Buffer
	err := c.unpack(name, &b)
	return b.Bytes(), err
}

// unpack writes a file of the capsule to w, as many bytes as the manifest says and no more. What w got is right if the error is nil.
func (c *Capsule) unpack(name string, w io.Writer) error {
	f, ok := c.files[name]
	if !ok {
		return fmt.Errorf("it holds no %s", name)
	}
	r, err := f.zip.Open()
	if err != nil {
		return fmt.Errorf("it is damaged: %s cannot be unpacked", say.Path(name))
	}
	defer r.Close()
	sum := sha256.New()
	to := counter{Writer: w}
	if n, err := io.Copy(io.MultiWriter(&to, sum), io.LimitReader(r, f.is.Bytes+1)); err != nil && to.n == n && errors.As(err, new(*os.PathError)) {
		return fmt.Errorf("%s cannot be unpacked: %w", name, say.Cause(err))
	} else if err != nil || n != f.is.Bytes || hex.EncodeToString(sum.Sum(nil)) != f.is.SHA256 {
		return fmt.Errorf("it is damaged: %s does not have the checksum that its manifest says", say.Path(name))
	}
	return nil
}

// unpackTo makes dir/base of a file of the capsule.
func (c *Capsule) unpackTo(name, dir, base string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, base))
	if err != nil {
		return err
	}
	err = c.unpack(name, f)
	return errors.Join(err, f.Close())
}

// parts are the trainings, oldest first, with settings that can be.
func (c *Capsule) parts() ([]train.Part, error) {
	if _, ok := c.files[trainingName]; !ok {
		return nil, nil
	}
	text, err := c.bytes(trainingName)
	if err != nil {
		return nil, err
	}
	parts, err := train.ReadParts(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	wrong := errors.New("it is damaged: training.jsonl is not what its manifest says")
	if len(parts) != len(c.Cycles) || len(parts) > maxParts || c.Network == nil {
		return nil, wrong
	}
	last := fixmatch.Info{Cycle: c.Network.Cycle, RunStep: c.Network.Step}
	for k, p := range parts {
		if p.Cycle != c.Cycles[k].Cycle || p.Step != c.Cycles[k].From || p.Steps < 1 || p.Steps > 1_000_000 || endOf(parts, k, last) <= p.Step || endOf(parts, k, last) > p.Steps {
			return nil, wrong
		}
		if _, err := trainingSettings(c.Config, p); err != nil {
			return nil, fmt.Errorf("cycle %d: %w", p.Cycle, err)
		}
	}
	if end := parts[len(parts)-1]; end.Cycle != last.Cycle {
		return nil, wrong
	}
	return parts, nil
}

// trainingSettings are c with those of a part. They go through the text that settings are read from, so that they are held to the same bounds.
func trainingSettings(c anomalymatch.Config, p train.Part) (anomalymatch.Config, error) {
	text, err := toml.Marshal(struct {
		Seed     int64                 `toml:"seed"`
		Model    map[string]int        `toml:"model"`
		FixMatch anomalymatch.FixMatch `toml:"fixmatch"`
		Augment  anomalymatch.Augment  `toml:"augment"`
	}{p.Seed, map[string]int{"size": p.Size}, p.Train, p.Augment})
	if err == nil {
		err = c.Overlay(trainingName, text, nil)
	}
	c.Engine.CheckpointEvery, c.Engine.KeepCheckpoints = 1_000_000, 1
	return c, err
}
