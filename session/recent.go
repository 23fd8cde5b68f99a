package session

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"anomalymatch/internal/atomicfile"
)

const recentLimit = 20

// Recent returns the project folders opened of late that are still there, newest first.
func Recent() []string {
	return slices.DeleteFunc(recent[string](recentFile()), func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, projectFile))
		return err != nil
	})
}

// Remember puts a project at the front of Recent. It is a convenience and fails quietly.
func Remember(dir string) {
	if dir, err := filepath.Abs(dir); err == nil {
		remember(recentFile(), dir)
	}
}

// There is a project on another machine.
type There struct {
	Host    string `json:"host"`    // as the person named it
	Project string `json:"project"` // as it was named there
}

// RecentThere returns the projects of other machines opened of late, newest first. Whether they are still there is not asked.
func RecentThere() []There { return recent[There](thereFile()) }

// RememberThere puts a project of another machine at the front of RecentThere. It fails quietly, as Remember does.
func RememberThere(t There) { remember(thereFile(), t) }

// remember puts an entry at the front of the list in a file.
func remember[T comparable](file string, entry T) {
	if file == "" {
		return
	}
	list := append([]T{entry}, slices.DeleteFunc(recent[T](file), func(o T) bool { return o == entry })...)
	text, err := json.MarshalIndent(list[:min(len(list), recentLimit)], "", "  ")
	if err != nil || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	_ = atomicfile.Bytes(file, append(text, '\n'))
}

// recent is the list in a file; none where it cannot be read.
func recent[T comparable](file string) []T {
	var list []T
	text, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(text, &list) != nil {
		return nil
	}
	return list
}

// These are in the person's folder for state; empty where there is none.
func recentFile() string { return stateFile("recent.json") }
func thereFile() string  { return stateFile("recent-hosts.json") }
