// Package outbox keeps the labels that a person gives over a link on this machine until the engine at the other end has them. It is a
// journal of its own for each project on each host (see session/journal: a label is on disk when it is taken), and a list of the
// steps that were delivered. A step that is sent twice is written once by the engine, so nothing is lost or doubled whichever of the
// two sides dies when.
package outbox

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"anomalymatch/engine/label"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/failpoint"
	"anomalymatch/internal/say"
	"anomalymatch/session/journal"
)

// Step is what one key press did.
type Step struct {
	UID     string
	By      string
	Changes []label.Change
}

// Outbox is the labels on their way to one project on one host. Its methods may be called from several goroutines; several
// processes may have it open.
type Outbox struct {
	dir     string
	journal *journal.Journal

	mu        sync.Mutex
	delivered map[string]bool
	done      *os.File // names of delivered steps, appended to
}

// Open opens the outbox in the folder `state` for a project, both named as the person names them.
func Open(state, host, project, writer string) (*Outbox, error) {
	sum := sha256.Sum256([]byte(host + "\x00" + project))
	o := &Outbox{dir: filepath.Join(state, "outbox", hex.EncodeToString(sum[:8])), delivered: map[string]bool{}}
	if err := atomicfile.MkdirAll(o.dir, 0o700); err != nil {
		return nil, fmt.Errorf("labels cannot be kept on this machine: %s: %w", say.Path(o.dir), say.Cause(err))
	}
	// For whoever looks into the folder.
	_ = os.WriteFile(filepath.Join(o.dir, "of"), []byte(fmt.Sprintf("%q on %q\n", project, host)), 0o600)
	var err error
	if o.journal, err = journal.Open(o.dir, writer); err != nil {
		return nil, err
	}
	path := filepath.Join(o.dir, "delivered")
	if o.done, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return nil, fmt.Errorf("labels cannot be kept on this machine: %s: %w", say.Path(path), say.Cause(err))
	}
	for in := bufio.NewScanner(o.done); in.Scan(); {
		o.delivered[strings.TrimSpace(in.Text())] = true
	}
	return o, nil
}

// Close lets the outbox go. What is in it waits for the next Open.
func (o *Outbox) Close() error {
	o.journal.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.done.Close()
}

// Keep returns when a step is on this machine's disk.
func (o *Outbox) Keep(s Step) error {
	if err := o.journal.Append(s.By, s.UID, s.Changes); err != nil {
		return err
	}
	failpoint.Hit(failpoint.OutboxKept)
	return nil
}

// Delivered is called when the engine has a step, or will never take it. That this is forgotten does no harm: it is sent once more.
func (o *Outbox) Delivered(uid string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.delivered[uid] = true
	failpoint.Hit(failpoint.OutboxDelivered)
	fmt.Fprintln(o.done, uid)
}

// Waiting returns the steps that were not delivered yet, the oldest first.
func (o *Outbox) Waiting() []Step {
	o.mu.Lock()
	defer o.mu.Unlock()
	var steps []Step
	at := map[string]int{}
	for _, e := range o.journal.History("", 0) {
		if o.delivered[e.UID] {
			continue
		}
		i, ok := at[e.UID]
		if !ok {
			i = len(steps)
			at[e.UID] = i
			steps = append(steps, Step{UID: e.UID, By: e.By})
		}
		steps[i].Changes = append(steps[i].Changes, e.Change)
	}
	return steps
}
