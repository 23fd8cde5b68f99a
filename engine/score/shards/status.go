package shards

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"anomalymatch/internal/age"
)

// note is what a worker writes about a shard while it runs.
type note struct {
	Host  string  `json:"host"`
	PID   int     `json:"pid"`
	Done  int     `json:"done"`
	Total int     `json:"total"`
	Speed float64 `json:"images_per_second"`
}

// tell writes every moment how far a shard is, for who looks on, until stop; best effort.
func (f *Folder) tell(shard int, host string, done *atomic.Int64) (stop func()) {
	var first time.Time // when there were images: what is before is compiling
	var from int64
	write := func() {
		n := note{Host: host, PID: os.Getpid(), Done: int(done.Load()), Total: f.Plan.Shards[shard].Len()}
		switch {
		case n.Done == 0:
		case first.IsZero():
			first, from = time.Now(), int64(n.Done)
		default:
			n.Speed = float64(int64(n.Done)-from) / time.Since(first).Seconds()
		}
		if text, err := json.Marshal(n); err == nil {
			_ = os.WriteFile(f.progress(shard), text, 0o666)
		}
	}
	write()
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(often)
		defer tick.Stop()
		for {
			select {
			case <-over:
				os.Remove(f.progress(shard))
				return
			case <-tick.C:
				write()
			}
		}
	}()
	return func() { close(over); <-ended }
}

// Status is how far a plan is.
type Status struct {
	Shards  int     `json:"shards"`
	Done    int     `json:"done"`
	Running int     `json:"running"`
	Missing []int   `json:"missing"` // nobody is at work on them
	Damaged []int   `json:"damaged"` // there, but not to be believed; as far as can be seen without reading the scores
	Images  int     `json:"images"`
	Scored  int     `json:"scored"`            // images that are done, those of running shards included
	Speed   float64 `json:"images_per_second"` // of what runs now
	Hosts   []Host  `json:"hosts"`
}

// Host is what one machine does for a plan.
type Host struct {
	Name    string  `json:"host"`
	Done    int     `json:"done"`    // shards
	Running int     `json:"running"` // shards
	Images  int     `json:"images"`
	Speed   float64 `json:"images_per_second"` // now, or while it worked

	seconds, now float64
}

// fresh is how old a note of progress may be, by the clock of the file system: who wrote an older one was killed.
const fresh = 30 * time.Second

// Status looks into the folder. Asked again it reads only what is new.
func (f *Folder) Status() (Status, error) {
	files, err := os.ReadDir(f.Dir)
	if err != nil {
		return Status{}, err
	}
	there := make(map[string]bool, len(files))
	for _, file := range files {
		there[file.Name()] = true
	}
	if f.seen == nil {
		f.seen = map[int]done{}
	}
	s := Status{Shards: len(f.Plan.Shards), Images: f.Plan.Images, Missing: []int{}, Damaged: []int{}}
	hosts := map[string]*Host{}
	of := func(name string) *Host {
		if hosts[name] == nil {
			hosts[name] = &Host{Name: name}
		}
		return hosts[name]
	}
	for shard, r := range f.Plan.Shards {
		_, known := f.seen[shard]
		both := there[base(f.manifest(shard))] && there[base(f.scores(shard))]
		err := errMissing
		switch {
		case known && both:
			err = nil
		case there[base(f.manifest(shard))]:
			var m Manifest
			if m, err = f.readManifest(shard); err == nil {
				f.seen[shard] = done{m.Host, m.Seconds}
			}
		}
		if err == nil {
			h := of(f.seen[shard].host)
			h.Done, h.Images, h.seconds = h.Done+1, h.Images+r.Len(), h.seconds+f.seen[shard].seconds
			s.Done, s.Scored = s.Done+1, s.Scored+r.Len()
			continue
		}
		delete(f.seen, shard)
		n, runs := note{}, false
		if there[base(f.progress(shard))] {
			n, runs = f.readNote(shard)
		}
		switch {
		case runs:
			if n.Host != "" {
				h := of(n.Host)
				h.Running, h.Images, h.now = h.Running+1, h.Images+n.Done, h.now+n.Speed
			}
			s.Running, s.Scored, s.Speed = s.Running+1, s.Scored+n.Done, s.Speed+n.Speed
		case errors.Is(err, errMissing):
			s.Missing = append(s.Missing, shard)
		default:
			s.Damaged = append(s.Damaged, shard)
		}
	}
	for _, h := range hosts {
		if h.Speed = h.now; h.Running == 0 && h.seconds > 0 {
			h.Speed = float64(h.Images) / h.seconds
		}
		s.Hosts = append(s.Hosts, *h)
	}
	slices.SortFunc(s.Hosts, func(a, b Host) int { return strings.Compare(a.Name, b.Name) })
	return s, nil
}

// done is what Status remembers of a shard that is there.
type done struct {
	host    string
	seconds float64
}

// readNote reads how far a shard is; false where nobody works on it, as far as can be told. A note that is just being written counts, but says
// nothing.
func (f *Folder) readNote(shard int) (n note, runs bool) {
	info, err := os.Stat(f.progress(shard))
	if err != nil || age.Of(f.progress(shard), info) > fresh {
		return n, false
	}
	text, err := os.ReadFile(f.progress(shard))
	if err != nil {
		return n, false
	}
	if json.Unmarshal(text, &n) != nil || n.Done < 0 || n.Done > f.Plan.Shards[shard].Len() || !(n.Speed >= 0) {
		n = note{}
	}
	return n, true
}

// Todo lists the shards that are not there or damaged. It reads them all.
func (f *Folder) Todo() []int {
	var todo []int
	for shard := range f.Plan.Shards {
		if f.Verify(shard) != nil {
			todo = append(todo, shard)
		}
	}
	return todo
}

func base(path string) string { return filepath.Base(path) }
