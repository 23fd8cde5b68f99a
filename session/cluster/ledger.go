package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/say"
)

// Entry is a job that was submitted for a project.
type Entry struct {
	ID      string    `json:"id"`
	Profile string    `json:"profile"` // name
	Kind    string    `json:"kind"`    // what it does: engine, score
	Tasks   int       `json:"tasks,omitempty"`
	At      time.Time `json:"time"`
}

const ledgerFile = "jobs.jsonl"

// Remember writes a job into the project's list of jobs.
func Remember(project string, e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	path := filepath.Join(project, ledgerFile)
	err = atomicfile.Append(path, append(line, '\n'))
	if err != nil {
		return fmt.Errorf("job %s was submitted, but cannot be remembered in %s: %w", say.Text(e.ID), say.Path(path), say.Cause(err))
	}
	return nil
}

// Remembered returns the jobs that were submitted for a project, newest first. Lines that are damaged are left out.
func Remembered(project string) ([]Entry, error) {
	path := filepath.Join(project, ledgerFile)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("the project's jobs cannot be read from %s: %w", say.Path(path), say.Cause(err))
	}
	var all []Entry
	for line := range bytes.Lines(text) {
		var e Entry
		if json.Unmarshal(line, &e) == nil && e.ID != "" {
			all = append(all, e)
		}
	}
	slices.Reverse(all)
	return all, nil
}
