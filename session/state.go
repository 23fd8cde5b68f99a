package session

import (
	"fmt"
	"os"
	"path/filepath"

	"anomalymatch/internal/say"
)

// StateFolder is the person's folder for state; empty where there is none.
func StateFolder() string { return filepath.Dir(stateFile("x")) }

// ProgramFolder is where the program for other kinds of machines is looked for, to be brought to hosts.
func ProgramFolder() string {
	data := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(data) {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		data = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(data, "anomalymatch", "bin")
}

// stateFile is a file in the person's folder for state; empty where there is none.
func stateFile(name string) string {
	state := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) { // the standard says to ignore others
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "anomalymatch", name)
}

// declinedFile says by being there that the faster runtime was offered and not wanted.
const declinedFile = "runtime-declined"

// RuntimeDeclined reports whether this person said no to the faster runtime.
func RuntimeDeclined() bool {
	_, err := os.Stat(stateFile(declinedFile))
	return err == nil
}

// SaveRuntimeAnswer remembers what this person said to the offer of the faster runtime.
func SaveRuntimeAnswer(install bool) error {
	file := stateFile(declinedFile)
	if install {
		if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("the answer cannot be remembered: %w", err)
		}
		return nil
	}
	err := os.MkdirAll(filepath.Dir(file), 0o700)
	if err == nil {
		err = os.WriteFile(file, nil, 0o600)
	}
	if err != nil {
		return fmt.Errorf("the answer cannot be remembered in %s: %w", say.Path(file), say.Cause(err))
	}
	return nil
}

// maxLog is the size from which on a log is started anew, bytes.
const maxLog = 1 << 20

// OpenLog opens the log of what went wrong in this person's terminals, for appending.
func OpenLog() (*os.File, error) {
	file := stateFile("tui.log")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if st, err := os.Stat(file); err == nil && st.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	return os.OpenFile(file, flags, 0o600)
}
