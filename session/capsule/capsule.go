// Package capsule keeps what a ranking was derived from in one file, and derives it again: a run capsule.
//
// A capsule is a zip of files that people can read, and no images:
//
//	README.txt            what this is and how it is used
//	manifest.json         Manifest: versions, sources as they were read, the list of images by hash, cycles, and the SHA-256 of all other files
//	config.toml           all settings that a ranking can depend on; none of a person's own (keys, screen, clusters)
//	labels/WRITER.jsonl   the journals as they were
//	training.jsonl        what each training was of, train.Part: its labels as of then, settings, seed, images left out, one line each, in order
//	checkpoints/          the network that scored, and the one that the first known training began from where that is not the network as it comes
//	ranking/order.u32     numbers of the images in the sorted list of ids, best first; uint32, little endian
//	ranking/scores.f32    their scores; float32, little endian
//	ranking/top.csv       the first ones of the list with ids, for people
//
// Trainings go on from one another, so a network is not a function of the labels of today: what it is a function of is written when a training begins
// (train.AddParts), and a capsule holds the chain of these from the network as it comes, or from the oldest checkpoint of which it is known.
// The fast ranking needs no such record; it depends on labels, images and settings alone.
//
// A capsule that is read is somebody else's file: names must be those above, sizes are limited and compared with the manifest and the checksum, and
// nothing is written under a name that the zip gives. Paths of sources are taken as hints where to look for images, which are opened for reading only.
package capsule

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/engine"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/fingerprint"
	"anomalymatch/engine/export"
	"anomalymatch/engine/export/table"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/label"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/train"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/glob"
	"anomalymatch/internal/say"
	"anomalymatch/session"
	"anomalymatch/session/journal"

	"github.com/BurntSushi/toml"
)

// Format is the version of the layout that is written.
const Format = 1

// Manifest says what a capsule holds.
type Manifest struct {
	Format   int       `json:"format"`
	Project  string    `json:"project"`
	Made     time.Time `json:"time"`
	Versions Versions  `json:"versions"`

	Ranking Ranking `json:"ranking"`
	Pool    Pool    `json:"pool"`
	Labels  Labels  `json:"labels"`

	Embeddings *Embeddings `json:"embeddings,omitempty"` // nil: there were none
	Network    *Network    `json:"network,omitempty"`    // nil: nothing was trained
	Cycles     []Cycle     `json:"cycles,omitempty"`     // that are in training.jsonl, oldest first
	Start      string      `json:"start,omitempty"`      // checkpoint from which they begin; empty: the network as it comes

	Files []File `json:"files"`
}

// Versions are of what computes.
type Versions struct {
	Program  string   `json:"program"`
	Go       string   `json:"go"`
	Platform string   `json:"platform"`           // linux/amd64
	Runtimes []string `json:"runtimes,omitempty"` // that are installed, with their versions
	Modules  []string `json:"modules,omitempty"`  // that hold the backends
}

// Ranking is what is to be derived again.
type Ranking struct {
	By     string `json:"by"`     // fast, deep, joint, novelty
	Images int    `json:"images"` // that it ranks
	Order  string `json:"order"`  // SHA-256 of the ids, best first, each ended by a newline
	Scores string `json:"scores"` // SHA-256 of the scores in that order
	Top    int    `json:"top"`    // lines of top.csv
}

// Pool is the list of images.
type Pool struct {
	Hash    string             `json:"hash"`
	Images  int                `json:"images"`
	Bad     int                `json:"bad"` // known to be unreadable
	Sources []Source           `json:"sources"`
	Print   *fingerprint.Print `json:"fingerprint,omitempty"` // of a sample of their pixels, as the network sees them
}

// Source is where images come from, and how they were read.
type Source struct {
	Name string `json:"name"`
	Path string `json:"path"`
	dataset.Reading
	Images int    `json:"images"`
	Bytes  int64  `json:"bytes"`
	Hash   string `json:"hash"` // SHA-256 of names and sizes
}

// Labels are those in force.
type Labels struct {
	Hash      string `json:"hash"` // of those that train, see train.Hash
	Anomalies int    `json:"anomalies"`
	Normals   int    `json:"normals"`
}

// Embeddings are what the fast ranking and novelty are made of.
type Embeddings struct {
	Network string `json:"network"` // architecture, weights and layers
	Size    int    `json:"size"`
	Views   int    `json:"views"`
	Backend string `json:"backend,omitempty"` // that made them
	Missing int    `json:"missing,omitempty"` // images that had none yet
}

// Network is the trained network that gave the scores of the deep ranking.
type Network struct {
	Cycle     int    `json:"cycle"`
	Step      int    `json:"step"`
	File      string `json:"file"`
	SHA256    string `json:"sha256"`
	Contained bool   `json:"contained"`
	Backend   string `json:"score_backend,omitempty"` // that scored with it
	Batch     int    `json:"score_batch,omitempty"`
	Missing   int    `json:"missing,omitempty"` // images that had no score yet
}

// Cycle is one part of the training, for people.
type Cycle struct {
	Cycle     int    `json:"cycle"`
	From      int    `json:"from_step"`
	Steps     int    `json:"steps"`
	Seed      int64  `json:"seed"`
	Size      int    `json:"size"`
	Anomalies int    `json:"anomalies"`
	Normals   int    `json:"normals"`
	Backend   string `json:"backend"`
	Program   string `json:"program"`
}

// File is one file of the capsule but the manifest.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// The names of the files.
const (
	readmeName   = "README.txt"
	manifestName = "manifest.json"
	configName   = "config.toml"
	trainingName = "training.jsonl"
	orderName    = "ranking/order.u32"
	scoresName   = "ranking/scores.f32"
	topName      = "ranking/top.csv"
	labelsDir    = "labels/"
	networkDir   = "checkpoints/"
)

// Options of Make.
type Options struct {
	By                string               // ranking; empty: the project's
	Top               func(ranked int) int // lines of top.csv
	WithoutCheckpoint bool
	Say               func(text string) // told what a person should know
	Progress          func(text string)
}

// Make writes a capsule of a project as it is now to path. An engine may be at work on the project meanwhile: the journals are copied first, and all
// else is made of the copy. Nothing in the project changes.
func Make(ctx context.Context, p *session.Project, path string, opt Options) (Manifest, error) {
	m := Manifest{Format: Format, Project: p.Name, Made: time.Now().UTC().Truncate(time.Second)}
	work, err := os.MkdirTemp("", "anomalymatch-capsule-")
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(work)
	opt.Progress("copying the labels")
	labels, err := copyJournals(p.Sub("labels"), work)
	if err != nil {
		return m, err
	}
	said, err := journal.Open(work, journal.DefaultWriter())
	if err != nil {
		return m, err
	}
	current := said.Current()
	m.Labels = labelsOf(current)

	opt.Progress("ranking the images")
	e, done, err := engine.Look(ctx, engine.Options{Dir: p.Dir, Name: p.Name, Sources: p.NamedSources(), Config: p.Config, Labels: said, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return m, err
	}
	defer done()
	r := rankedBy(e, opt.By)
	switch {
	case r.by == "order":
		return m, errors.New("nothing ranks the images yet, so there is nothing to derive again: label some, or train, first")
	case opt.By != "" && r.by != opt.By:
		return m, fmt.Errorf("there is no ranking by %s yet; the project ranks by %s", opt.By, r.by)
	}
	m.Ranking = r.Ranking()
	if m.Pool, err = poolOf(ctx, e.Pool(), p, opt.Progress); err != nil {
		return m, err
	}
	key, backend, missing, deep := e.Made()
	if key.Size > 0 {
		m.Embeddings = &Embeddings{Network: key.Network, Size: key.Size, Views: key.Views, Backend: backend, Missing: missing}
	}

	z := &packer{man: &m}
	parts, err := z.network(p, deep.Cycle, deep.Step, deep.Backend, deep.Batch, deep.Missing, r.by, opt)
	if err != nil {
		return m, err
	}
	m.Versions = versionsHere()
	config, err := settings(p.Config)
	if err != nil {
		return m, err
	}
	top, n, err := r.top(p.Name, current, opt.Top(len(r.order)))
	if err != nil {
		return m, err
	}
	m.Ranking.Top = n
	err = atomicfile.Replace(path, func(w io.Writer) error {
		z.begin(w, m.Made)
		z.bytes(configName, config)
		for _, f := range labels {
			z.file(labelsDir+filepath.Base(f), f)
		}
		if len(parts) > 0 {
			z.bytes(trainingName, parts)
		}
		for _, f := range z.checkpoints {
			opt.Progress("packing " + filepath.Base(f))
			z.file(networkDir+filepath.Base(f), f)
		}
		opt.Progress("packing the ranking")
		z.bytes(orderName, r.orderBytes())
		z.bytes(scoresName, r.scoreBytes())
		z.bytes(topName, top)
		z.bytes(readmeName, []byte(readme(m)))
		return z.end()
	})
	return m, err
}

// copyJournals copies the journals of all writers as they are.
func copyJournals(from, to string) (files []string, err error) {
	for _, f := range glob.In(from, "*.jsonl") {
		src, err := os.Open(f)
		if err != nil {
			return nil, fmt.Errorf("the labels cannot be read: %w", say.Cause(err))
		}
		name := filepath.Join(to, filepath.Base(f))
		dst, err := os.Create(name)
		if err == nil {
			_, err = io.Copy(dst, src)
			err = errors.Join(err, dst.Close())
		}
		src.Close()
		if err != nil {
			return nil, fmt.Errorf("the labels cannot be copied: %w", say.Cause(err))
		}
		files = append(files, name)
	}
	slices.Sort(files)
	return files, nil
}

func labelsOf(current map[string]label.Value) Labels {
	l := Labels{Hash: train.Hash(current)}
	for _, v := range current {
		switch v {
		case label.Anomaly:
			l.Anomalies++
		case label.Normal:
			l.Normals++
		}
	}
	return l
}

// settings are those that a ranking can depend on, as config.toml has them.
func settings(c anomalymatch.Config) ([]byte, error) {
	c.Images.DecodeWorkers, c.Images.Prepare = 0, false // of the machine
	kept := struct {
		Seed     int64                 `toml:"seed"`
		Method   string                `toml:"method"`
		Images   anomalymatch.Images   `toml:"images"`
		Model    anomalymatch.Model    `toml:"model"`
		Fast     anomalymatch.Fast     `toml:"fast"`
		FixMatch anomalymatch.FixMatch `toml:"fixmatch"`
		Augment  anomalymatch.Augment  `toml:"augment"`
		Queue    anomalymatch.Queue    `toml:"queue"`
		Engine   anomalymatch.Engine   `toml:"engine"`
	}{c.Seed, c.Method, c.Images, c.Model, c.Fast, c.FixMatch, c.Augment, c.Queue, c.Engine}
	return toml.Marshal(kept)
}

// versionsHere are those of this program and machine. Which backends did the work is said with what they did: a backend is not opened to be asked, since
// that can take a GPU's memory from the engine.
func versionsHere() Versions {
	v := Versions{Program: anomalymatch.Version, Go: goruntime.Version(), Platform: goruntime.GOOS + "/" + goruntime.GOARCH}
	for _, r := range runtime.List() {
		if r.Installed {
			v.Runtimes = append(v.Runtimes, r.Kind+" "+r.Version)
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if strings.HasPrefix(d.Path, "github.com/gomlx/") || strings.HasSuffix(d.Path, "/onnxruntime_go") {
				v.Modules = append(v.Modules, d.Path+" "+d.Version)
			}
		}
	}
	return v
}

// poolOf describes the list of images.
func poolOf(ctx context.Context, pool *dataset.Pool, p *session.Project, progress func(string)) (out Pool, err error) {
	progress("looking at the images")
	sum := pool.Hash()
	out = Pool{Hash: hex.EncodeToString(sum[:]), Images: pool.Len(), Bad: len(pool.Bad()), Sources: describe(pool, p.NamedSources())}
	out.Print, err = fingerprint.Of(ctx, pool, p.Config.Model.Size)
	return out, err
}

// describe counts the images of each source.
func describe(pool *dataset.Pool, sources []dataset.NamedSource) []Source {
	out := make([]Source, len(sources))
	sums, at := make([]hash.Hash, len(sources)), map[string]int{}
	for k, s := range sources {
		out[k], sums[k], at[s.Name] = Source{Name: s.Name, Path: s.Path, Reading: s.Reading}, sha256.New(), k
	}
	for i := range pool.Len() {
		e := pool.Entry(i)
		name, _, _ := strings.Cut(e.ID, "/")
		k := at[name]
		out[k].Images++
		out[k].Bytes += e.Size
		fmt.Fprintf(sums[k], "%s\x00%d\n", e.Path, e.Size)
	}
	for k := range out {
		out[k].Hash = hex.EncodeToString(sums[k].Sum(nil))
	}
	return out
}

// ranked is a ranking of a pool.
type ranked struct {
	by     string
	order  []int32
	scores []float32 // by number
	pool   *dataset.Pool
}

func rankedBy(e *engine.Engine, by string) ranked {
	r := ranked{pool: e.Pool()}
	r.by, r.order, r.scores = e.Ranked(by)
	return r
}

func (r ranked) orderBytes() []byte {
	raw := make([]byte, 0, 4*len(r.order))
	for _, i := range r.order {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(i))
	}
	return raw
}

func (r ranked) scoreBytes() []byte {
	raw := make([]byte, 0, 4*len(r.order))
	for _, i := range r.order {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(r.scores[i]))
	}
	return raw
}

// Ranking names it by hashes.
func (r ranked) Ranking() Ranking {
	sum := sha256.New()
	for _, i := range r.order {
		io.WriteString(sum, r.pool.ID(int(i)))
		io.WriteString(sum, "\n")
	}
	scores := sha256.Sum256(r.scoreBytes())
	return Ranking{By: r.by, Images: len(r.order), Order: hex.EncodeToString(sum.Sum(nil)), Scores: hex.EncodeToString(scores[:])}
}

// top are the first lines of the list as CSV.
func (r ranked) top(project string, labels map[string]label.Value, n int) ([]byte, int, error) {
	n = max(0, min(n, len(r.order)))
	list := export.List{Project: project, RankedBy: r.by, Version: anomalymatch.Version, Images: int64(len(r.order))}
	for k, i := range r.order[:n] {
		id := r.pool.ID(int(i))
		list.Candidates = append(list.Candidates, export.Candidate{ID: id, Rank: int64(k + 1), Score: r.scores[i], Fast: export.NoScore(), Deep: export.NoScore(), Label: labels[id]})
	}
	t, err := list.Table()
	if err != nil {
		return nil, 0, err
	}
	var out bytes.Buffer
	err = table.WriteCSV(&out, t)
	return out.Bytes(), n, err
}

// packer writes the zip. The first error stays.
type packer struct {
	man         *Manifest
	out         *zip.Writer
	when        time.Time
	err         error
	checkpoints []string // files
}

// network finds what led to the scores of the deep ranking, and the checkpoints that go along. The parts are lines of training.jsonl.
func (z *packer) network(p *session.Project, cycle, step int, backend string, batch, missing int, by string, opt Options) ([]byte, error) {
	needed := by == "deep" || by == "joint"
	if cycle == 0 {
		return nil, nil
	}
	info := fixmatch.Info{Cycle: cycle, RunStep: step}
	file := filepath.Join(train.Checkpoints(p.Dir), info.File())
	sum, err := sumOf(file)
	switch {
	case err != nil && needed && step == 0:
		return nil, fmt.Errorf("the scores of cycle %d are the mean of several runs, which cannot be derived again: `anomalymatch sweep PROJECT --use RUN` takes one of them, and --by fast needs none", cycle)
	case err != nil && needed:
		return nil, fmt.Errorf("the checkpoint of cycle %d, which gave the scores, is not there any more: train again", cycle)
	case err != nil:
		return nil, nil
	}
	n := &Network{Cycle: cycle, Step: step, File: info.File(), SHA256: sum, Contained: !opt.WithoutCheckpoint, Backend: backend, Batch: batch, Missing: missing}
	z.man.Network = n
	all, err := train.Parts(p.Dir)
	if err != nil {
		return nil, fmt.Errorf("what the trainings were of cannot be read: %w", say.Cause(err))
	}
	parts, from := train.Chain(all, info)
	for _, q := range parts {
		if q.Pool != z.man.Pool.Hash { // what came before it is of other images too, or of no use without them
			parts, from = laterThan(parts, z.man.Pool.Hash, info)
			opt.Say("some trainings were of another list of images than that of today: they are not in the capsule, only the network that they led to")
			break
		}
	}
	start := filepath.Join(train.Checkpoints(p.Dir), from)
	if _, err := os.Stat(start); from != "" && err != nil {
		parts, from = nil, info.File()
	}
	if opt.WithoutCheckpoint && from != "" && needed {
		return nil, errors.New("not all trainings of this network are known well enough to be done again, so the capsule needs a checkpoint: leave out --without-checkpoint")
	}
	if !opt.WithoutCheckpoint {
		z.checkpoints = append(z.checkpoints, file)
		if from != "" && start != file && len(parts) > 0 {
			z.checkpoints = append(z.checkpoints, start)
		}
		z.man.Start = from
	}
	if len(parts) == 0 {
		opt.Say("an older program trained this network and kept no record of what it was of: it can be scored with, but not trained again")
		return nil, nil
	}
	var lines bytes.Buffer
	out := json.NewEncoder(&lines)
	for k, q := range parts {
		if err := out.Encode(q); err != nil {
			return nil, err
		}
		c := Cycle{Cycle: q.Cycle, From: q.Step, Steps: endOf(parts, k, info) - q.Step, Seed: q.Seed, Size: q.Size, Anomalies: len(q.Anomalies), Normals: len(q.Normals), Backend: q.Backend, Program: q.Program}
		z.man.Cycles = append(z.man.Cycles, c)
	}
	return lines.Bytes(), nil
}

// laterThan are the last parts that are all of a pool, beginning with a whole round, and the checkpoint they start from.
func laterThan(parts []train.Part, pool string, checkpoint fixmatch.Info) ([]train.Part, string) {
	first := len(parts)
	for k := len(parts) - 1; k >= 0 && parts[k].Pool == pool; k-- {
		if parts[k].Step == 0 {
			first = k
		}
	}
	if first == len(parts) {
		return nil, checkpoint.File()
	}
	return parts[first:], parts[first].From
}

// endOf is the step of its round at which part k ends.
func endOf(parts []train.Part, k int, last fixmatch.Info) int {
	switch {
	case k == len(parts)-1:
		return last.RunStep
	case parts[k+1].Cycle == parts[k].Cycle:
		return parts[k+1].Step
	}
	return parts[k].Steps
}

func sumOfBytes(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func sumOf(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), err
}

func (z *packer) begin(w io.Writer, when time.Time) {
	z.out, z.when = zip.NewWriter(w), when
}

func (z *packer) bytes(name string, b []byte) {
	z.put(name, func(w io.Writer) error { _, err := w.Write(b); return err })
}

func (z *packer) file(name, path string) {
	z.put(name, func(w io.Writer) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	})
}

// put writes a file and its line of the manifest.
func (z *packer) put(name string, fill func(io.Writer) error) {
	if z.err != nil {
		return
	}
	how := uint16(zip.Deflate)
	if strings.HasPrefix(name, networkDir) { // weights do not get smaller
		how = zip.Store
	}
	w, err := z.out.CreateHeader(&zip.FileHeader{Name: name, Method: how, Modified: z.when})
	if err == nil {
		sum := sha256.New()
		count := counter{Writer: io.MultiWriter(w, sum)}
		err = fill(&count)
		if name != manifestName {
			z.man.Files = append(z.man.Files, File{name, count.n, hex.EncodeToString(sum.Sum(nil))})
		}
	}
	if err != nil {
		z.err = fmt.Errorf("%s: %w", name, say.Cause(err))
	}
}

// end writes the manifest, which names what is before it.
func (z *packer) end() error {
	text, err := json.MarshalIndent(z.man, "", "  ")
	if err != nil {
		return err
	}
	z.bytes(manifestName, append(text, '\n'))
	return cmp.Or(z.err, z.out.Close())
}

type counter struct {
	io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.n += int64(n)
	return n, err
}

// readme tells people what the file is.
func readme(m Manifest) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Run capsule of the project %q, made on %s by anomalymatch %s.", say.Text(m.Project), m.Made.Format(time.DateTime+" UTC"), say.Text(m.Versions.Program))
	line("")
	line("It holds what the %s ranking of %d images was derived from, but for the images:", m.Ranking.By, m.Ranking.Images)
	line("")
	line("  manifest.json    versions, sources, hashes")
	line("  config.toml      the settings")
	line("  labels/          who gave which label when, one line each")
	if len(m.Cycles) > 0 {
		line("  training.jsonl   what each training was of")
	}
	if m.Network != nil && m.Network.Contained {
		line("  checkpoints/     the trained network (safetensors)")
	}
	line("  ranking/         top.csv: the first %d of the list; order.u32 and scores.f32: all of it", m.Ranking.Top)
	line("")
	line("Derive the ranking again, and compare:")
	line("")
	line("  anomalymatch replay THIS-FILE")
	line("")
	line("The images are looked for here, or where --sources says, in this order:")
	line("")
	for _, s := range m.Pool.Sources {
		line("  %s: %s (%d images)", say.Text(s.Name), say.Text(s.Path), s.Images)
	}
	if len(m.Cycles) > 0 {
		line("")
		line("Trainings:")
		line("")
		for _, c := range m.Cycles {
			line("  cycle %d, %d steps from step %d: %d anomalies and %d normal images, seed %d, %d px, on %s", c.Cycle, c.Steps, c.From, c.Anomalies, c.Normals, c.Seed, c.Size, say.Text(c.Backend))
		}
	}
	return b.String()
}
