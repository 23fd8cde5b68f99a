package array

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/score/shards"
	"anomalymatch/session/cluster"
)

// quick is a batch system whose jobs end at once; run is what array n does with its command. The real one is in the tests of the command line.
type quick struct {
	cluster.Scheduler
	run       func(n int, argv []string)
	most      int
	submitted [][]string
	cancelled []string
	state     cluster.State
	jobsErr   error
}

func (q *quick) MaxTasks(context.Context) (int, error) { return q.most, nil }
func (q *quick) Submit(_ context.Context, s cluster.Spec) (string, error) {
	q.submitted = append(q.submitted, append(s.Argv, fmt.Sprint("tasks ", s.Tasks)))
	q.run(len(q.submitted), s.Argv)
	return fmt.Sprint(len(q.submitted)), nil
}
func (q *quick) Jobs(_ context.Context, ids ...string) ([]cluster.Job, error) {
	return []cluster.Job{{ID: ids[0], State: q.state}}, q.jobsErr
}
func (q *quick) Cancel(_ context.Context, id string) error {
	q.cancelled = append(q.cancelled, id)
	return nil
}

// made is a run on shards.
type made struct {
	*Run
	folder *shards.Folder
	report func(shards.Status, []cluster.Job)
}

func newRun(t *testing.T, q *quick) (r *made, said *[]string) {
	t.Helper()
	p := shards.Plan{Pool: "p", Images: 80, Checkpoint: "c", Cycle: 1, Size: 32, Batch: 8, Shards: shards.Split(80, 8, 10)}
	dir := t.TempDir()
	f, err := shards.Create(filepath.Join(dir, "scores"), p)
	if err != nil {
		t.Fatal(err)
	}
	said = &[]string{}
	r = &made{folder: f}
	r.Run = &Run{Project: dir, Profile: "leo", Scheduler: q, Pause: time.Millisecond, Ask: time.Millisecond, Say: func(text string) { *said = append(*said, text) },
		Work: Work{Dir: f.Dir, Kind: "score", Part: "shard", Parts: len(p.Shards), Argv: []string{"/anomalymatch", "shard", f.Dir, dir}, Todo: f.Todo, Look: func(jobs []cluster.Job) (int, error) {
			s, err := f.Status()
			if r.report != nil {
				r.report(s, jobs)
			}
			return s.Done, err
		}}}
	return r, said
}

// make scores shards of a run.
func (r *made) make(t *testing.T, list ...int) {
	t.Helper()
	w := shards.Work{Rows: func(_ context.Context, from, to int) iter.Seq2[[]float32, error] {
		return func(yield func([]float32, error) bool) { yield(make([]float32, to-from), nil) }
	}, Bad: func(int, int) []dataset.BadImage { return nil }}
	for _, shard := range list {
		if err := r.folder.Run(t.Context(), shard, w); err != nil {
			t.Error(err)
		}
	}
}

// TestOnlyWhatIsMissing: each array is of what is not there, in as few tasks as there may be, and once an array brought something it goes on.
func TestOnlyWhatIsMissing(t *testing.T) {
	q := &quick{most: 4, state: cluster.Failed}
	r, said := newRun(t, q)
	r.make(t, 9)
	q.run = func(n int, _ []string) {
		switch n {
		case 1:
			r.make(t, 0, 2, 3)
		case 2: // nothing
		case 3:
			r.make(t, 1, 4, 5, 6)
		case 4:
			r.make(t, 7, 8)
		}
	}
	if err := r.All(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, argv := range q.submitted {
		got = append(got, strings.Join(argv[4:], " "))
	}
	want := []string{"--tasks 4 --only 0-8 tasks 4", "--tasks 4 --only 1,4-8 tasks 4", "--tasks 4 --only 1,4-8 tasks 4", "--tasks 2 --only 7-8 tasks 2"}
	if !slices.Equal(got, want) || !slices.Equal(q.submitted[0][:4], []string{"/anomalymatch", "shard", r.folder.Dir, r.Project}) {
		t.Errorf("submitted %q, want %q", got, want)
	}
	if len(*said) != 4 || (*said)[0] != "job 1 makes 9 shards" || (*said)[3] != "jobs ended without 2 shards: job 4 makes them again" {
		t.Errorf("said %q", *said)
	}
	if jobs, err := cluster.Remembered(r.Project); err != nil || len(jobs) != 4 || jobs[0].Kind != "score" || jobs[0].Tasks != 2 || r.submitted() != "" {
		t.Errorf("remembered %+v, %v", jobs, err)
	}
}

// TestGivesUp: after two arrays that bring nothing, with what a log says.
func TestGivesUp(t *testing.T) {
	q := &quick{state: cluster.Failed}
	r, _ := newRun(t, q)
	q.run = func(n int, _ []string) {
		if n == 1 {
			r.make(t, 0, 1, 2)
			return
		}
		if err := os.WriteFile(r.log()+".3", []byte("one\nthe disk is \x1b[2Jfull\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	err := r.All(t.Context())
	if err == nil || len(q.submitted) != 3 || !strings.HasPrefix(err.Error(), "7 of 10 shards are not there after 2 arrays that brought none of them (3-9): ") || !strings.Contains(err.Error(), "log.3 says: one | the disk is") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%d arrays, %v", len(q.submitted), err)
	}
}

// TestFollowsAndCancels: an array that runs is followed by the next command, also while the batch system does not answer, and cancelled with it.
func TestFollowsAndCancels(t *testing.T) {
	q := &quick{state: cluster.Running, run: func(int, []string) {}}
	r, said := newRun(t, q)
	if _, err := r.submit(t.Context(), []int{0, 1}); err != nil {
		t.Fatal(err)
	}
	scores := filepath.Dir(r.folder.Dir)
	if f := Find(scores, "leo", "1"); f == nil || f.Dir != r.folder.Dir {
		t.Errorf("the job's shards are %v", f)
	}
	if Find(scores, "leo", "2") != nil || Find(scores, "old", "1") != nil || Find(t.TempDir(), "leo", "1") != nil {
		t.Error("shards of no such job are found")
	}
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	r.report = func(s shards.Status, jobs []cluster.Job) {
		switch looks++; looks {
		case 2:
			q.jobsErr = errors.New("it is busy")
		case 5:
			cancel()
		}
	}
	if err := r.All(ctx); !errors.Is(err, context.Canceled) || len(q.submitted) != 1 || !slices.Equal(q.cancelled, []string{"1"}) || r.submitted() != "" {
		t.Errorf("%v; submitted %q, cancelled %q", err, q.submitted, q.cancelled)
	}
	if !slices.Equal(*said, []string{"job 1 is at work on these shards already: following it", "warning: it is busy"}) {
		t.Errorf("said %q", *said)
	}

	// All is there though tasks wait still: they are not needed.
	q.jobsErr, q.cancelled = nil, nil
	r.report = nil
	q.run = func(int, []string) { r.make(t, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9) }
	if err := r.All(t.Context()); err != nil || !slices.Equal(q.cancelled, []string{"2"}) {
		t.Errorf("%v, cancelled %q", err, q.cancelled)
	}
}

// TestLongParts: parts that take longer than a job may are gone on with as long as jobs bring something of them.
func TestLongParts(t *testing.T) {
	steps := 0
	q := &quick{state: cluster.Timeout}
	q.run = func(n int, _ []string) {
		if n != 3 { // one in vain
			steps += 3
		}
	}
	r, said := newRun(t, q)
	r.Work = Work{Dir: t.TempDir(), Kind: "train", Part: "run", Parts: 1, Argv: []string{"/anomalymatch"}, Brought: func() int { return steps },
		Todo: func() []int {
			if steps < 12 {
				return []int{0}
			}
			return nil
		}, Look: func([]cluster.Job) (int, error) { return steps / 12, nil }}
	if err := r.All(t.Context()); err != nil || len(q.submitted) != 5 || (*said)[4] != "jobs ended without 1 run: job 5 makes them again" {
		t.Errorf("%v, submitted %q, said %q", err, q.submitted, *said)
	}
}
