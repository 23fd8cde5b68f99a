package session

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/say"
)

// Settings is project.toml as the engine changes it.
type Settings struct{ Dir string }

// File is project.toml.
func (s Settings) File() string { return filepath.Join(s.Dir, projectFile) }

// Own lists the settings that project.toml names.
func (s Settings) Own() ([]string, error) {
	text, err := os.ReadFile(s.File())
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", say.Path(s.File()), say.Cause(err))
	}
	return anomalymatch.Says(text), nil
}

// Set changes one setting in project.toml, see [anomalymatch.SetKey], and returns what holds then. It is on disk when Set returns.
func (s Settings) Set(key, value string) (anomalymatch.Config, error) {
	below, err := anomalymatch.Load(anomalymatch.UserFile())
	if err != nil {
		return below, err
	}
	var config anomalymatch.Config
	err = change(s.File(), key, value, func(text []byte) (err error) {
		_, config, err = parse(s.File(), text, below)
		return err
	})
	return config, err
}

// SetReading changes channels, stretch and range of a source in its [[source]] of project.toml, see [anomalymatch.SetIn]. It is on disk when
// SetReading returns.
func (s Settings) SetReading(source string, r dataset.Reading) error {
	text, number := func(s string) string {
		if s == "" {
			return ""
		}
		return anomalymatch.TOML(s)
	}, func(v float64) string {
		if v == 0 {
			return ""
		}
		return anomalymatch.TOML(v)
	}
	return edit(s.File(), func(toml []byte) ([]byte, error) {
		d, _, err := parse(s.File(), toml, anomalymatch.Default())
		if err != nil {
			return nil, err
		}
		n := slices.IndexFunc(d.Sources, func(s Source) bool { return s.Name == source })
		if n < 0 {
			return nil, fmt.Errorf("%s has no source %q", say.Path(s.File()), source)
		}
		for _, set := range [][2]string{{"channels", text(r.Channels)}, {"stretch", text(r.Stretch)}, {"low", number(r.Low)}, {"high", number(r.High)}} {
			if toml, err = anomalymatch.SetIn(toml, "source", n, set[0], set[1]); err != nil {
				return nil, fmt.Errorf("%s: %w", say.Path(s.File()), err)
			}
		}
		_, _, err = parse(s.File(), toml, anomalymatch.Default())
		return toml, err
	})
}

// OwnSettings lists the settings that the person's own file names.
func OwnSettings() ([]string, error) {
	file := anomalymatch.UserFile()
	text, err := os.ReadFile(file)
	if err != nil && file != "" && !os.IsNotExist(err) {
		return nil, fmt.Errorf("your settings %s cannot be read: %w", say.Path(file), say.Cause(err))
	}
	return anomalymatch.Says(text), nil
}

// SaveSetting changes one setting in the person's own file, which is made where there is none.
func SaveSetting(key, value string) error {
	file := anomalymatch.UserFile()
	if file == "" {
		return fmt.Errorf("%s cannot be kept: the system names no folder for your settings; set XDG_CONFIG_HOME", say.Text(key))
	}
	if err := atomicfile.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("the folder %s cannot be made: %w", say.Path(filepath.Dir(file)), say.Cause(err))
	}
	return change(file, key, value, func(text []byte) error {
		c := anomalymatch.Default()
		return c.Overlay(file, text, nil)
	})
}

// change rewrites a file of settings with one key changed.
func change(file, key, value string, check func(text []byte) error) error {
	return edit(file, func(text []byte) ([]byte, error) {
		out, err := anomalymatch.SetKey(text, key, value)
		if err == nil {
			err = check(out)
		}
		return out, err
	})
}

// edit rewrites a file: part, fsync, rename, fsync of the folder. A file that is a link stays one: its target is written.
func edit(file string, with func(text []byte) ([]byte, error)) error {
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("%s cannot be read: %w", say.Path(file), say.Cause(err))
	}
	out, err := with(text)
	if err != nil {
		return err
	}
	if err := atomicfile.Bytes(file, out); err != nil {
		return fmt.Errorf("%s cannot be written: %w", say.Path(file), say.Cause(err))
	}
	return nil
}
