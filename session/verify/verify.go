// Package verify reads everything that a project keeps and says what of it cannot be believed.
//
// Every format has its own checksums and a function that looks at them; this package knows where the files are, in which words to speak of them,
// and what can be done. What can be made again from images and labels is removed by a repair, and made again by whoever needs it next.
// What cannot - labels, checkpoints, scores - is never thrown away: it is put aside under another name, so that the newest one that is whole is used.
package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"anomalymatch/engine"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/meta"
	"anomalymatch/engine/duplicates"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/score"
	"anomalymatch/engine/score/shards"
	"anomalymatch/engine/sweep"
	"anomalymatch/internal/glob"
	"anomalymatch/internal/newer"
	"anomalymatch/internal/say"
	"anomalymatch/session/journal"
)

// Finding is one thing that is not as it should be.
type Finding struct {
	File    string `json:"file"`    // below the project's folder
	What    string `json:"what"`    // for people: which kind of file, and what is wrong with it
	Remedy  string `json:"remedy"`  // what a repair does about it, or what a person can do
	Damage  bool   `json:"damage"`  // false: it was left behind, and is in nobody's way
	Mended  bool   `json:"mended"`  // by this run
	Newer   bool   `json:"newer"`   // a newer program wrote it: no damage, and left as it is
	Problem string `json:"problem"` // why the repair failed; empty where it did not, or nobody asked for it

	repair func() error // nil where only a person can help
}

// Report is what was found.
type Report struct {
	Files    int       `json:"files"` // that were read
	Bytes    int64     `json:"bytes"`
	Labels   int       `json:"label_events"` // in whole lines of all journals
	Findings []Finding `json:"findings"`
}

// Damaged counts what is damaged and was not mended.
func (r Report) Damaged() (n int) {
	for _, f := range r.Findings {
		if f.Damage && !f.Mended {
			n++
		}
	}
	return n
}

// kind of file of a project.
type kind struct {
	name   string
	files  []string // patterns below the folder
	check  func(ctx context.Context, path string) error
	repair func(path string) error
	remedy string
}

// again are files that are made again when they are needed.
const again = "it is removed, and made again when it is needed"

// of a project, or of a run of a sweep, which is laid out like one.
var kinds = []kind{
	{"the index", []string{"index/images.idx", "index/before.idx"}, quick(dataset.VerifyIndex), os.Remove, "it is removed, and the sources are listed again"},
	{"what tables say about images", []string{"index/" + meta.Name}, quick(meta.Verify), os.Remove, again},
	{"hashes of pictures", []string{"index/same.sums"}, quick(dataset.VerifySums), os.Remove, again},
	{"the list of bad images", []string{"index/bad.jsonl"}, quick(lines), os.Remove, "it is removed; bad images are found again"},
	{"embeddings", []string{"embeddings/*.f16"}, fast.Verify, os.Remove, again},
	{"near-duplicates", []string{"embeddings/duplicates-*.json"}, quick(duplicates.Verify), os.Remove, again},
	{"prepared pixels", []string{"prepared/*/*.pix"}, quick(dataset.VerifyPrepared), os.Remove, again},
	{"a checkpoint", []string{"checkpoints/*.safetensors"}, quick(checkpoint), aside, "it is renamed to …" + damaged + ", and the newest one that is whole is used"},
	{"scores", []string{"scores/*.scores"}, quick(score.Verify), aside, "the file is renamed to …" + damaged + ", and the newest one that is whole is used"},
	{"steps of a training", []string{"runs/cycle-*.jsonl"}, quick(lines), nil, "only the curves on the training page are affected"},
	{"what each training was of", []string{"runs/parts.jsonl"}, quick(lines), nil, "the damaged lines are left out: those trainings cannot be replayed from a run capsule"},
	{"submitted jobs", []string{"jobs.jsonl"}, quick(lines), nil, "the damaged lines are left out"},
}

// quick are checks of files that are read in seconds.
func quick(check func(path string) error) func(context.Context, string) error {
	return func(_ context.Context, path string) error { return check(path) }
}

const damaged = ".damaged"

// aside renames a file so that nobody takes it for one of the project, and nothing is lost.
func aside(path string) error { return os.Rename(path, path+damaged) }

func checkpoint(path string) error { _, _, err := fixmatch.ReadCheckpoint(path); return err }

// lines checks a file of JSON lines. A torn last one is what a crash leaves.
func lines(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	n := 0
	for line := range bytes.Lines(b) {
		n++
		if !json.Valid(line) && bytes.HasSuffix(line, []byte("\n")) && len(bytes.TrimSpace(line)) > 0 {
			return fmt.Errorf("line %d is damaged", n)
		}
	}
	return nil
}

// Check reads all files of the project in dir. An engine may be running. progress is told of each file before it is read, and how many bytes of all were read
// by then.
func Check(ctx context.Context, dir string, progress func(file string, done, total int64)) (Report, error) {
	c := checker{ctx: ctx, root: dir, report: Report{Findings: []Finding{}}}
	c.journals()
	c.folder(dir)
	for _, name := range sweep.Names(filepath.Join(dir, "sweeps")) {
		c.sweep(filepath.Join(dir, "sweeps", name))
	}
	for _, plan := range glob.In(filepath.Join(dir, "scores"), "shards-*/plan.json") {
		c.shards(filepath.Dir(plan))
	}
	done := int64(0)
	for _, t := range c.tasks {
		if ctx.Err() != nil {
			return c.report, ctx.Err()
		}
		progress(c.name(t.path), done, c.report.Bytes)
		t.check()
		done += t.bytes
	}
	c.leftovers()
	return c.report, ctx.Err()
}

// checker first finds what there is to read, so that it is known how much that is.
type checker struct {
	ctx    context.Context
	root   string
	tasks  []task
	report Report
}

type task struct {
	path  string
	bytes int64
	check func()
}

// add has a file checked, if it is one.
func (c *checker) add(path string, check func()) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	c.tasks = append(c.tasks, task{path, info.Size(), check})
	c.report.Files++
	c.report.Bytes += info.Size()
	return true
}

func (c *checker) name(path string) string {
	if rel, err := filepath.Rel(c.root, path); err == nil {
		return filepath.ToSlash(rel)
	}
	return path
}

func (c *checker) found(path, what string, damage bool, remedy string, repair func() error) {
	c.report.Findings = append(c.report.Findings, Finding{File: c.name(path), What: what, Remedy: remedy, Damage: damage, repair: repair})
}

func (c *checker) journals() {
	dir := filepath.Join(c.root, "labels")
	notes := journal.Notes(dir)
	for _, path := range slices.Sorted(maps.Keys(notes)) {
		wrong, forget := notes[path], func() error { return os.Remove(path) }
		if gone := (journal.Missing{}); errors.As(wrong, &gone) {
			c.found(gone.Path, "labels: "+say.Text(gone.What()), true, "restore the file from a copy; or it is not asked for any more", forget)
		} else if wrong != nil {
			c.found(path, "how many labels were on disk: "+say.Text(wrong.Error()), true, "it is removed, and made again with the next label", forget)
		}
	}
	for _, path := range glob.In(dir, "*.jsonl") {
		c.add(path, func() { c.journal(path) })
	}
}

func (c *checker) journal(path string) {
	s, err := journal.Inspect(path)
	if err == nil && s.Missing != nil { // network file systems may show an older size for a moment
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(journal.Settle):
		}
		s, err = journal.Inspect(path)
	}
	c.report.Labels += s.Events
	mend := func() error { _, err := journal.Mend(path); return err }
	switch {
	case err != nil:
		c.found(path, "labels: "+say.Text(err.Error()), true, "restore the file from a copy", nil)
	case len(s.Bad) > 0:
		c.found(path, "labels: damaged in "+someLines(s.Bad), true,
			"restore the file from a copy; or the damaged lines go to …"+damaged+", the labels in them are lost, all others stay", mend)
	case s.Missing != nil:
		c.found(path, "labels: "+say.Text(s.Missing.What()), true, "restore the file from a copy (`anomalymatch labels merge` takes one); or the missing labels are not asked for any more", mend)
	case s.Torn > 0:
		c.found(path, fmt.Sprintf("labels: %d bytes at the end are of a write that was cut off", s.Torn), false,
			"they go to …"+damaged+"; no label that was confirmed is in them unless the file was damaged later", mend)
	}
}

// someLines names lines of a file, not more than a person reads.
func someLines(bad []int) string {
	if len(bad) == 1 {
		return fmt.Sprintf("line %d", bad[0])
	}
	const most = 5
	text := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(bad[:min(len(bad), most)])), ", "), "[]")
	if len(bad) > most {
		return fmt.Sprintf("%d lines: %s, …", len(bad), text)
	}
	return "lines " + text
}

// folder checks the kinds of files of a project or of a run.
func (c *checker) folder(dir string) {
	for _, k := range kinds {
		for _, pattern := range k.files {
			for _, path := range glob.In(dir, pattern) {
				c.add(path, func() { c.file(k, path) })
			}
		}
	}
}

func (c *checker) file(k kind, path string) {
	err := k.check(c.ctx, path)
	if err == nil || errors.Is(err, os.ErrNotExist) || c.ctx.Err() != nil { // it went while we looked
		return
	}
	if errors.Is(err, newer.Err) {
		c.found(path, k.name+": "+newer.Err.Error(), false, "it is left as it is, and not used by this version", nil)
		c.report.Findings[len(c.report.Findings)-1].Newer = true
		return
	}
	remedy, repair := k.remedy, func() error { return k.repair(path) }
	switch {
	case errors.As(err, new(fast.DamagedRows)):
		remedy, repair = "the engine embeds these images again, and only them, at its next start", nil
	case k.repair == nil:
		repair = nil
	}
	c.found(path, k.name+": "+say.Text(say.Cause(err).Error()), true, remedy, repair)
}

func (c *checker) sweep(dir string) {
	plan := filepath.Join(dir, "plan.json")
	c.add(plan, func() {
		if _, err := sweep.Open(dir); err != nil {
			c.found(plan, "the plan of a sweep is damaged", true, "remove the folder and begin the sweep again", nil)
		}
	})
	for _, run := range glob.In(dir, "run-*") {
		c.folder(run)
		done := filepath.Join(run, "done.json")
		c.add(done, func() {
			if b, err := os.ReadFile(done); err == nil && !json.Valid(b) {
				c.found(done, "the end of a run: damaged", true, "it is removed, and the run is finished again", func() error { return os.Remove(done) })
			}
		})
	}
}

func (c *checker) shards(dir string) {
	plan := filepath.Join(dir, "plan.json")
	f, err := shards.Open(dir)
	c.add(plan, func() {
		if err != nil {
			c.found(plan, "the plan of shards is damaged", true, "the folder is removed; plan again", func() error { return os.RemoveAll(dir) })
		}
	})
	if err != nil {
		return
	}
	for shard := range f.Plan.Shards {
		manifest, scores := f.Files(shard)
		if !c.add(manifest, func() {
			if err := f.Verify(shard); err != nil {
				c.found(manifest, fmt.Sprintf("shard %d: %s", shard, say.Text(err.Error())), true, "it is removed; run this shard again", func() error {
					return errors.Join(os.Remove(manifest), os.RemoveAll(scores)) // which may be missing
				})
			}
		}) {
			continue
		}
		c.add(scores, func() {}) // read with its manifest
	}
}

// leftovers finds unfinished files of processes that are gone. An engine removes them at its start.
func (c *checker) leftovers() {
	for _, path := range engine.Leftovers(c.root) {
		c.found(path, "an unfinished file of a process that is gone", false, "it is removed", func() error { return os.Remove(path) })
	}
}

// Repair does what the findings of r say can be done, and notes what it did. Nobody else may be at work on the project: the caller holds the lock of
// its engine.
func (r *Report) Repair() {
	for i := range r.Findings {
		f := &r.Findings[i]
		if f.repair == nil {
			continue
		}
		if err := f.repair(); err != nil {
			f.Problem = say.Text(say.Cause(err).Error())
			continue
		}
		f.Mended = true
	}
}
