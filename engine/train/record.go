package train

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/internal/atomicfile"
)

// Part is what a stretch of steps of a round was trained on and with. A round has one that begins at step 0, and one more each time it was taken up
// again, when labels and settings may be others. It is all that is needed to train the same weights once more.
type Part struct {
	Cycle int    `json:"cycle"`
	Step  int    `json:"step"`           // of the round, done before
	Steps int    `json:"steps"`          // that the round has
	From  string `json:"from,omitempty"` // checkpoint that it went on from, of this round or another; empty: the network as it comes

	Program string `json:"program"`
	Backend string `json:"backend"`
	Pool    string `json:"pool"` // hash of the list of images, hexadecimal

	Seed    int64                 `json:"seed"`
	Size    int                   `json:"size"`
	Train   anomalymatch.FixMatch `json:"fixmatch"`
	Augment anomalymatch.Augment  `json:"augment"`

	Labels    string   `json:"labels"`    // hash of the label set, see Hash
	Anomalies []string `json:"anomalies"` // ids, in the order in which they are drawn from
	Normals   []string `json:"normals"`
	LeftOut   []string `json:"left_out,omitempty"` // neither labelled nor drawn from: they could not be read
}

// as is p at the place of q in a training; parts that are the same then are one.
func (p Part) as(q Part) Part {
	p.Step, p.Cycle, p.From = q.Step, q.Cycle, q.From
	return p
}

// RecordPath is the file of the parts of all rounds in dir, one line each, in the order of time. It only grows.
func RecordPath(dir string) string { return filepath.Join(stepsFolder(dir), "parts.jsonl") }

// part is what the round trains on and with, from where info says on.
func (r Round) part(info fixmatch.Info, pool *dataset.Pool, from, backend string) Part {
	hash := pool.Hash()
	p := Part{Cycle: info.Cycle, Step: info.RunStep, Steps: info.RunSteps, From: from, Program: anomalymatch.Version, Backend: backend, Pool: hex.EncodeToString(hash[:]),
		Seed: r.Config.Seed, Size: r.Config.Model.Size, Train: r.Config.FixMatch, Augment: r.Config.Augment, Labels: r.Images.Labels,
		Anomalies: []string{}, Normals: []string{}}
	known := make([]bool, pool.Len())
	take := func(images []int, ids *[]string) {
		for _, i := range images {
			known[i] = true
			if ids != nil {
				*ids = append(*ids, pool.ID(i))
			}
		}
	}
	take(r.Images.Anomalies, &p.Anomalies)
	take(r.Images.Normals, &p.Normals)
	take(r.Images.Unlabelled, nil)
	for i, k := range known {
		if !k {
			p.LeftOut = append(p.LeftOut, pool.ID(i))
		}
	}
	return p
}

// Images finds what the part was trained on in a pool, which must be the one of its hash.
func (p Part) Images(pool *dataset.Pool) (Images, error) {
	hash := pool.Hash()
	if p.Pool != hex.EncodeToString(hash[:]) {
		return Images{}, fmt.Errorf("cycle %d was trained on another list of images", p.Cycle)
	}
	im := Images{Pool: pool, Labels: p.Labels}
	known := make([]bool, pool.Len())
	find := func(ids []string) (images []int, err error) {
		for _, id := range ids {
			i, ok := pool.Find(id)
			if !ok || known[i] {
				return nil, fmt.Errorf("the image %q of cycle %d is not among the images, or named twice", id, p.Cycle)
			}
			known[i] = true
			images = append(images, i)
		}
		return images, nil
	}
	var errs [3]error
	im.Anomalies, errs[0] = find(p.Anomalies)
	im.Normals, errs[1] = find(p.Normals)
	_, errs[2] = find(p.LeftOut)
	for i, k := range known {
		if !k {
			im.Unlabelled = append(im.Unlabelled, i)
		}
	}
	return im, errors.Join(errs[:]...)
}

// AddParts writes parts behind those of dir, and returns when they are on disk.
func AddParts(dir string, parts ...Part) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("what the training is of could not be kept: %w", err)
		}
	}()
	if err := atomicfile.MkdirAll(stepsFolder(dir), 0o777); err != nil {
		return err
	}
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	for _, p := range parts {
		if err := out.Encode(p); err != nil {
			return err
		}
	}
	return atomicfile.Append(RecordPath(dir), text.Bytes())
}

// Parts reads the parts of all rounds in dir that make up what was trained: where a round began again, or went back to a checkpoint, what came before
// counts no longer, and parts that differ in nothing are one. Rounds that older programs trained have none. From is then that of the round.
func Parts(dir string) ([]Part, error) {
	f, err := os.Open(RecordPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadParts(f)
}

// ReadParts is Parts of what r has.
func ReadParts(r io.Reader) (all []Part, err error) {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF { // a line without its end was cut off
			return joinParts(all), nil
		}
		if err != nil {
			return nil, err
		}
		var p Part
		if json.Unmarshal(line, &p) == nil && p.Cycle > 0 {
			all = append(all, p)
		}
	}
}

func joinParts(all []Part) (out []Part) {
	for _, p := range all {
		if i := slices.IndexFunc(out, func(o Part) bool { return o.Cycle == p.Cycle }); i >= 0 && strings.HasPrefix(p.From, fixmatch.Info{Cycle: p.Cycle}.Prefix()) {
			p.From = out[i].From // taken up again
		}
		// Of a round what a later line does again; of a project that went back to an older cycle, all cycles from there.
		out = slices.DeleteFunc(out, func(o Part) bool { return o.Cycle > p.Cycle || o.Cycle == p.Cycle && o.Step >= p.Step })
		out = append(out, p)
	}
	return slices.CompactFunc(out, func(a, b Part) bool { return a.Cycle == b.Cycle && reflect.DeepEqual(a, b.as(a)) })
}

// Chain are the parts that led to a checkpoint of a cycle at a step, oldest first, and the checkpoint from which they start: empty where that is the
// network as it comes. Without parts that checkpoint is the one asked for: nothing is known of how it was made.
func Chain(all []Part, checkpoint fixmatch.Info) (parts []Part, from string) {
	from = checkpoint.File()
	for want := checkpoint; ; {
		var round []Part
		for _, p := range all {
			if p.Cycle == want.Cycle && p.Step < want.RunStep {
				round = append(round, p)
			}
		}
		if len(round) == 0 {
			return parts, from
		}
		parts, from = append(round, parts...), round[0].From
		before, ok := fixmatch.ParseFile(from)
		if !ok || before.Cycle >= want.Cycle || round[0].Step > 0 {
			return parts, from
		}
		want = before
	}
}
