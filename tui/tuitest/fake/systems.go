package fake

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"anomalymatch/tui/batch"
)

// Systems are batch systems that exist in memory only.
type Systems struct {
	mu     sync.Mutex
	report batch.Report
	err    error
	hold   chan struct{} // Look waits for it
	looks  int
	did    []string
	next   int // id of the next job
	begin  func()
}

// Begin sets what else happens at a start.
func (s *Systems) Begin(f func()) { s.mu.Lock(); s.begin = f; s.mu.Unlock() }

// Report sets what is told.
func (s *Systems) Report(r batch.Report, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report, s.err = r, err
}

// Hold makes Look wait until release.
func (s *Systems) Hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := make(chan struct{})
	s.hold = c
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hold = nil
		close(c)
	}
}

// Looks is how often it was asked, and Did what was ordered.
func (s *Systems) Looks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

func (s *Systems) Did() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.did)
}

func (s *Systems) Look(ctx context.Context) (batch.Report, error) {
	s.mu.Lock()
	s.looks++
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return batch.Report{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.report
	r.Profiles, r.Jobs = slices.Clone(r.Profiles), slices.Clone(r.Jobs)
	return r, s.err
}

func (s *Systems) Start(_ context.Context, profile string) (string, error) {
	s.mu.Lock()
	s.did = append(s.did, "start "+profile)
	s.next++
	id, start := fmt.Sprint(4710+s.next), time.Now().Add(12*time.Minute)
	s.report.Engine = nil
	s.report.Jobs = append([]batch.Job{{ID: id, Cluster: profile, Kind: "engine", Submitted: time.Now(), State: "pending", Reason: "waits for a node to become free", Start: &start}}, s.report.Jobs...)
	begin := s.begin
	s.mu.Unlock()
	if begin != nil {
		begin()
	}
	return "job " + id + " on " + profile + " is pending: waits for a node to become free", nil
}

func (s *Systems) Cancel(_ context.Context, cluster, id string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.did = append(s.did, "cancel "+id+" on "+cluster)
	for i := range s.report.Jobs {
		if j := &s.report.Jobs[i]; j.ID == id && j.Cluster == cluster {
			j.State, j.Reason, j.Shards = "cancelled", "", nil
		}
	}
	return "job " + id + " on " + cluster + " is cancelled", nil
}

// Cluster is a report with everything in it, as of now.
func Cluster(now time.Time) batch.Report {
	at := func(d time.Duration) *time.Time { t := now.Add(d); return &t }
	return batch.Report{
		Engine: &batch.Engine{Host: "login1", Here: true, PID: 812, Since: now.Add(-3 * time.Hour)},
		Profiles: []batch.Profile{
			{Name: "leo", Scheduler: "slurm", Partition: "gpu", GPUs: 1, Time: "8:00:00"},
			{Name: "leo-long", Scheduler: "slurm", Partition: "gpu-long", GPUs: 4, Time: "2-00"},
			{Name: "old", Scheduler: "pbs", Host: "hydra", GPUs: 0},
		},
		Jobs: []batch.Job{
			{ID: "4712", Cluster: "leo", Kind: "score", Submitted: now.Add(-20 * time.Minute), State: "running", Tasks: []batch.Tasks{{State: "running", N: 8}, {State: "pending", N: 169, Reason: "as many tasks of the array run as may at once"},
				{State: "done", N: 23}}, Shards: &batch.Shards{Shards: 200, Done: 23, Images: 9_800_000, Scored: 1_204_224, Speed: 21_000, Nodes: []batch.Node{{Name: "gpu03", Speed: 2600},
				{Name: "gpu04", Speed: 2650}, {Name: "gpu05", Speed: 2600}, {Name: "gpu07", Speed: 2580}, {Name: "gpu11", Speed: 2640}, {Name: "gpu12", Speed: 2610}, {Name: "gpu14", Speed: 2655}, {Name: "gpu15", Speed: 2665}}}},
			{ID: "4711", Cluster: "leo-long", Kind: "train", Submitted: now.Add(-2 * time.Hour), State: "pending", Reason: "asks for more time than the partition allows: cancel it and set a shorter time"},
			{ID: "4698", Cluster: "leo", Kind: "engine", Submitted: now.Add(-30 * time.Hour), State: "timeout", Reason: "its time was up", Node: "gpu07", Start: at(-29 * time.Hour), End: at(-21 * time.Hour)},
			{ID: "4650", Cluster: "leo", Kind: "engine", Submitted: now.Add(-50 * time.Hour), State: "cancelled"},
			{ID: "4649", Cluster: "leo", Kind: "score", Submitted: now.Add(-52 * time.Hour), State: "done", Tasks: []batch.Tasks{{State: "done", N: 20}}},
		},
	}
}
