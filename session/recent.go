package session

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2/maybe"
)

const recentLimit = 20

// Recent returns the project folders opened of late that are still there, newest first.
func Recent() []string {
	return slices.DeleteFunc(recent(), func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, projectFile))
		return err != nil
	})
}

// Remember puts a project at the front of Recent. It is a convenience and fails quietly.
func Remember(dir string) {
	dir, err := filepath.Abs(dir)
	file := recentFile()
	if err != nil || file == "" {
		return
	}
	list := append([]string{dir}, slices.DeleteFunc(recent(), func(d string) bool { return d == dir })...)
	text, err := json.MarshalIndent(list[:min(len(list), recentLimit)], "", "  ")
	if err != nil || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	_ = maybe.WriteFile(file, append(text, '\n'), 0o600)
}

// There is a project on another machine.
type There struct {
	Host    string `json:"host"`    // as the person named it
	Project string `json:"project"` // as it was named there
}

// RecentThere returns the projects of other machines opened of late, newest first. Whether they are still there is not asked.
func RecentThere() []There {
	var list []There
	text, err := os.ReadFile(thereFile())
	if err != nil || json.Unmarshal(text, &list) != nil {
		return nil
	}
	return list[:min(len(list), recentLimit)]
}

// RememberThere puts a project of another machine at the front of RecentThere. It fails quietly, as Remember does.
func RememberThere(t There) {
	list := append([]There{t}, slices.DeleteFunc(RecentThere(), func(o There) bool { return o == t })...)
	text, err := json.MarshalIndent(list[:min(len(list), recentLimit)], "", "  ")
	file := thereFile()
	if err != nil || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	_ = maybe.WriteFile(file, append(text, '\n'), 0o600)
}

func thereFile() string { return stateFile("recent-hosts.json") }

func recent() []string {
	var list []string
	text, err := os.ReadFile(recentFile())
	if err != nil || json.Unmarshal(text, &list) != nil {
		return nil
	}
	return list
}

// recentFile is in the person's folder for state; empty where there is none.
func recentFile() string { return stateFile("recent.json") }
