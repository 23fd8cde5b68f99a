package remote

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"anomalymatch/internal/say"
)

// Program is the program for one kind of machine, as a file here.
type Program struct {
	Path    string
	Version string
	OS      string // as Go calls it
	Arch    string
	SHA256  string // of the file, hexadecimal
	Size    int64
}

// unames are what `uname -s` and `uname -m` say on what Go calls so.
var unames = map[string]string{"linux": "Linux", "darwin": "Darwin", "amd64": "x86_64", "arm64": "aarch64"}

// uname is a pattern of sh for "system-machine".
func (p Program) uname() string {
	if p.OS == "darwin" && p.Arch == "arm64" {
		return "Darwin-arm64"
	}
	return unames[p.OS] + "-" + unames[p.Arch]
}

// name is the file's on a host.
func (p Program) name() string { return "anomalymatch-" + p.Version + "-" + p.SHA256 }

// Programs finds what can be brought to hosts: the running program for its own kind of machine, and, for others, files named
// anomalymatch-VERSION-OS-ARCH beside it or in one of the folders.
func Programs(version string, folders ...string) ([]Program, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	all := []Program{{Path: exe, OS: runtime.GOOS, Arch: runtime.GOARCH}}
	for _, dir := range append([]string{filepath.Dir(exe)}, folders...) {
		for _, kind := range [][2]string{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "arm64"}} {
			path := filepath.Join(dir, fmt.Sprintf("anomalymatch-%s-%s-%s", version, kind[0], kind[1]))
			if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
				all = append(all, Program{Path: path, OS: kind[0], Arch: kind[1]})
			}
		}
	}
	var out []Program
	seen := map[string]bool{}
	for _, p := range all {
		if seen[p.uname()] || unames[p.OS] == "" || unames[p.Arch] == "" {
			continue
		}
		seen[p.uname()] = true
		p.Version = safe(version)
		if p.SHA256, p.Size, err = sum(p.Path); err != nil {
			return nil, fmt.Errorf("the program cannot be read: %w", err)
		}
		out = append(out, p)
	}
	return out, nil
}

// safe keeps of a version what may stand in a script.
func safe(version string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '.'
	}, version)
}

func sum(path string) (hash string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// bring copies the program to the host that answered with a, into the first place that will have it.
func (h *Host) bring(ctx context.Context, a answer, progress func(sent, total int64)) error {
	system, machine := a.at(0), a.at(1)
	var p Program
	for _, c := range h.programs {
		if c.uname() == system+"-"+machine {
			p = c
		}
	}
	if p.Path == "" {
		return fmt.Errorf("%s is a %s %s, and there is no program for that here: put the file anomalymatch-VERSION-OS-ARCH of the same release beside this program",
			say.Text(h.Name), system, machine)
	}
	var why []string
	for place := range places {
		a, said, err := h.bringTo(ctx, p, place, a.at(2) != "", progress)
		if err != nil {
			return err
		}
		if a.word == "stored" {
			return nil
		}
		reason := map[string]string{
			"folder": "cannot be written", "exec": "does not run programs (noexec)", "space": "has no room", "hash": "does not keep what is written, or has no sha256sum", "name": "cannot be renamed in",
		}[a.at(0)]
		if s := say.Lines([]byte(said)); s != "" {
			reason += " (" + s + ")"
		}
		why = append(why, strings.Trim(places[place], `"`)+" "+reason)
	}
	return fmt.Errorf("%s has no place for the program (%s): %s; set XDG_CACHE_HOME there to a folder with room", say.Text(h.Name), bytesText(p.Size), strings.Join(why, ", "))
}

// bringTo copies the program to one place.
func (h *Host) bringTo(ctx context.Context, p Program, place int, zipped bool, progress func(sent, total int64)) (answer, string, error) {
	f, err := os.Open(p.Path)
	if err != nil {
		return answer{}, "", fmt.Errorf("the program cannot be read: %w", err)
	}
	defer f.Close()
	nonce := newNonce()
	cmd := h.command(false, false, bringScript(nonce, p, place, zipped))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limited{to: &out, n: 64 << 10}, &limited{to: &errs, n: 64 << 10}
	in, err := cmd.StdinPipe()
	if err != nil {
		return answer{}, "", err
	}
	if err := cmd.Start(); err != nil {
		return answer{}, "", fmt.Errorf("ssh cannot be started: %w; install an ssh client", err)
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	defer stop()
	src := io.Reader(&counted{Reader: f, total: p.Size, tell: progress})
	if zipped {
		z, _ := gzip.NewWriterLevel(in, gzip.BestSpeed)
		_, err = io.Copy(z, src)
		err = errors.Join(err, z.Close())
	} else {
		_, err = io.Copy(in, src)
	}
	in.Close()
	_ = err // the host says what went wrong, if it could
	cmd.Wait()
	if ctx.Err() != nil {
		return answer{}, "", ctx.Err()
	}
	a, found := findAnswer(out.String(), nonce)
	switch {
	case found:
		return a, errs.String(), nil
	case cmd.ProcessState.ExitCode() == sshFailed:
		return answer{}, "", h.failure(say.Lines(errs.Bytes()))
	}
	return answer{}, "", h.noAnswer(out.String(), errs.String())
}

// counted tells how much was read.
type counted struct {
	io.Reader
	done, total int64
	tell        func(done, total int64)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.done += int64(n)
	if c.tell != nil {
		c.tell(c.done, c.total)
	}
	return n, err
}

func bytesText(n int64) string { return fmt.Sprintf("%d MB", (n+999_999)/1_000_000) }
