package runtime

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	goruntime "runtime"
)

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// checkPlugin says why a file cannot be a plugin for this machine. The system's loader ends the whole process with a bus
// error on a file that was cut short (seen), so that has to be found before.
func checkPlugin(path string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("it is damaged")
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return reason(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return reason(err)
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is not a file")
	}
	e, err := elf.NewFile(f)
	if err != nil {
		return errors.New("it is not a shared library, or damaged")
	}
	if want, ok := machines[goruntime.GOARCH]; e.Type != elf.ET_DYN || ok && e.Machine != want {
		return fmt.Errorf("it is for another kind of machine (%v, this one is %s)", e.Machine, goruntime.GOARCH)
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_LOAD && (p.Off+p.Filesz < p.Off || p.Off+p.Filesz > uint64(info.Size())) {
			return errors.New("it was cut short")
		}
	}
	return nil
}

// reason is the cause of a file error without the path.
func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
