package runtime

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/disk"
	"anomalymatch/internal/glob"
	"anomalymatch/internal/say"

	"github.com/gofrs/flock"
	"github.com/gomlx/go-xla/installer"
)

// stall ends a download from which nothing has come for this long.
const stall = time.Minute

// Install gets the runtime of a kind, checks it against the SHA-256 that this program knows, and unpacks its plugin into
// the user's data folder. from is a wheel file brought along, "" to download it. progress, if not nil, is told the bytes of
// the wheel that were read and how many there are. Several installs at the same time wait for each other; one that is
// broken off leaves what was there before. Installing what is there already does nothing.
func Install(ctx context.Context, kind, from string, progress func(done, total int64)) error {
	k, err := find(kind)
	if err != nil {
		return err
	}
	w, err := k.wheelFor(platform())
	if err != nil {
		return err
	}
	return install(ctx, k, w, from, progress)
}

func install(ctx context.Context, k kind, w wheel, from string, progress func(done, total int64)) error {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	unlock, err := lockFolder(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if k.sound(w) {
		return nil
	}
	leftovers := glob.In(folder(), "part-*") // of installs that were killed
	for _, path := range leftovers {
		os.Remove(path)
	}
	need := w.unpacked
	if from == "" {
		need += w.bytes
	}
	if free, ok := disk.Free(folder()); ok && free < need {
		return fmt.Errorf("not enough space in %s for the %s runtime: it takes %d MB, %d MB are free; XDG_DATA_HOME can name another place",
			say.Text(folder()), k.name, need/1e6+1, free/1e6)
	}
	f, err := k.open(ctx, w, from, progress)
	if err == nil {
		defer f.Close()
		if from == "" {
			defer os.Remove(f.Name())
		}
		if err = unpack(ctx, f, k, w); err != nil {
			err = writeError{err}
		}
	}
	var we writeError
	var ne networkError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &we):
		return fmt.Errorf("cannot install the %s runtime in %s: %w; XDG_DATA_HOME can name another place", k.name, say.Text(folder()), reason(we.error))
	case errors.As(err, &ne):
		return fmt.Errorf("%w Where there is one: `anomalymatch runtime fetch %s --platform %s`, or %s; then here: `anomalymatch runtime install %s --from %s`",
			err, k.name, platform(), pipCommand(k, w), k.name, w.file)
	}
	return err
}

// open returns the checked wheel, brought along or downloaded to a part file in folder, which the caller removes.
func (k kind) open(ctx context.Context, w wheel, from string, progress func(done, total int64)) (*os.File, error) {
	if from == "" {
		return k.download(ctx, w, folder(), progress)
	}
	f, err := os.Open(from)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", say.Text(from), reason(err))
	}
	sum := sha256.New()
	if err = readAll(ctx, w, f, sum, progress); err != nil {
		err = fmt.Errorf("cannot read %s: %w", say.Text(from), reason(err))
	} else {
		err = k.check(w, sum, say.Text(from))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Fetch downloads the runtime of a kind for a platform, GOOS/GOARCH or "" for this machine, as a file in the folder dir, which
// is made when it is missing, and returns the path. Nothing is installed: the file is for [Install] on a machine without network.
// A file that is there and is the right one is not downloaded again.
func Fetch(ctx context.Context, kind, forPlatform, dir string, progress func(done, total int64)) (string, error) {
	k, err := find(kind)
	if err != nil {
		return "", err
	}
	if forPlatform == "" {
		forPlatform = platform()
	}
	w, err := k.wheelFor(forPlatform)
	if err != nil {
		return "", err
	}
	return fetch(ctx, k, w, dir, progress)
}

func fetch(ctx context.Context, k kind, w wheel, dir string, progress func(done, total int64)) (string, error) {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	path := filepath.Join(dir, w.file)
	if f, err := k.open(ctx, w, path, func(int64, int64) {}); err == nil {
		return path, f.Close()
	}
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		var f *os.File
		if f, err = k.download(ctx, w, dir, progress); err == nil {
			defer os.Remove(f.Name()) // harmless after the rename
			err = errors.Join(f.Chmod(0o644), f.Sync(), f.Close())
		}
		if err == nil {
			err = atomicfile.Rename(f.Name(), path)
		}
	}
	var we writeError
	var ne networkError
	switch {
	case err == nil:
		return path, nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.As(err, &ne), errors.Is(err, errWrong):
		return "", err
	case errors.As(err, &we):
		err = we.error
	}
	return "", fmt.Errorf("cannot write %s: %w; --to names another folder", say.Text(path), reason(err))
}

// download writes the wheel to a new part file in dir and checks it. The caller removes the file.
func (k kind) download(ctx context.Context, w wheel, dir string, progress func(done, total int64)) (*os.File, error) {
	f, err := os.CreateTemp(dir, "part-*.whl")
	if err != nil {
		return nil, writeError{err}
	}
	sum := sha256.New()
	addr, err := address(ctx, k, w)
	if err == nil {
		err = download(ctx, addr, w, io.MultiWriter(f, sum), progress)
	}
	var we writeError
	if err == nil {
		err = k.check(w, sum, "the download")
	} else if !errors.As(err, &we) {
		err = networkError{fmt.Errorf("could not download the %s runtime (%s): no network?", k.name, netReason(err))}
	}
	if err != nil {
		f.Close()
		os.Remove(f.Name())
		return nil, err
	}
	return f, nil
}

// errWrong is a file that is not the one this program knows.
var errWrong = errors.New("nothing was installed")

// check compares what was read with what this program knows of the wheel.
func (k kind) check(w wheel, sum hash.Hash, what string) error {
	if got := hex.EncodeToString(sum.Sum(nil)); got != w.sha256 {
		return fmt.Errorf("%s is not the file that this program knows as the %s runtime %s (SHA-256 %.12s…, not %.12s…), %w; get it with: %s",
			what, k.name, k.version, got, w.sha256, errWrong, pipCommand(k, w))
	}
	return nil
}

func pipCommand(k kind, w wheel) string {
	platform := w.platform
	if k.python != "" {
		platform += " --python-version " + k.python
	}
	return fmt.Sprintf("`pip download --no-deps --only-binary=:all: --platform %s %s==%s`", platform, k.pkg, k.version)
}

// netReason says briefly why a download failed, without the address.
func netReason(err error) string {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return "the server's name was not found"
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return say.Text(err.Error())
}

// Remove deletes an installed runtime. A program that has it loaded goes on.
func Remove(kind string) error {
	k, err := find(kind)
	if err != nil {
		return err
	}
	if !k.info().Installed {
		return fmt.Errorf("the %s runtime is not installed", k.name)
	}
	unlock, err := lockFolder(context.Background())
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.RemoveAll(filepath.Dir(k.path())); err != nil {
		return fmt.Errorf("cannot remove the %s runtime in %s: %w", k.name, say.Text(folder()), reason(err))
	}
	return nil
}

// lockFolder makes the folder of runtimes and waits until no other process changes it.
func lockFolder(ctx context.Context) (unlock func(), err error) {
	dir := folder()
	if dir == "" {
		return nil, errors.New("there is no home folder to install runtimes in; set XDG_DATA_HOME")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the folder %s for runtimes: %w; XDG_DATA_HOME can name another place", say.Text(dir), reason(err))
	}
	l := flock.New(filepath.Join(dir, ".lock"))
	if _, err := l.TryLockContext(ctx, 100*time.Millisecond); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("cannot lock the folder %s: %w", say.Text(dir), reason(err))
	}
	return func() { l.Unlock() }, nil
}

// address asks the package index for the address of the wheel. The index is not trusted: the SHA-256 is.
func address(ctx context.Context, k kind, w wheel) (string, error) {
	type answer struct {
		info *installer.PipPackageInfo
		err  error
	}
	done := make(chan answer, 1)
	go func() { // it cannot be broken off, only left behind
		info, err := installer.GetPipInfo(k.pkg)
		done <- answer{info, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(stall):
		return "", errors.New("the package index does not answer")
	case a := <-done:
		if a.err != nil {
			return "", a.err
		}
		for _, r := range a.info.Releases[k.version] {
			if r.Filename == w.file {
				return absolute(r.URL, k.pkg, a.info.Info.ProjectURL)
			}
		}
		return "", errors.New("the package index does not have it")
	}
}

// absolute is where a file lies that the index told of: a mirror may say so from its own page about the package, of which project names the host.
func absolute(file, pkg, project string) (string, error) {
	at, err := url.Parse(file)
	if err != nil {
		return "", errors.New("the package index names no address for it")
	}
	if at.IsAbs() {
		return file, nil
	}
	base, err := url.Parse(project)
	if err != nil || !base.IsAbs() || file == "" {
		return "", errors.New("the package index names no address for it")
	}
	return base.ResolveReference(&url.URL{Path: "/pypi/" + pkg + "/json"}).ResolveReference(at).String(), nil
}

// download writes the wheel at an address to out.
func download(ctx context.Context, addr string, w wheel, out io.Writer, progress func(done, total int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(stall, func() { cancel(fmt.Errorf("nothing came for %v", stall)) })
	defer watch.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, addr, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return causeOf(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the server said %q", resp.Status)
	}
	alive := func(done, total int64) {
		watch.Reset(stall)
		progress(done, total)
	}
	return causeOf(ctx, readAll(ctx, w, resp.Body, out, alive))
}

// causeOf is why the context ended, if it did, rather than what that broke.
func causeOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// readAll copies at most one byte more than the wheel has from in to out.
func readAll(ctx context.Context, w wheel, in io.Reader, out io.Writer, progress func(done, total int64)) error {
	buf := make([]byte, 1<<20)
	in = io.LimitReader(in, w.bytes+1)
	var done int64
	for ctx.Err() == nil {
		n, err := in.Read(buf)
		if n > 0 {
			if _, err := out.Write(buf[:n]); err != nil {
				return writeError{err}
			}
			done += int64(n)
			progress(min(done, w.bytes), w.bytes)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// writeError is of this machine's disk, not of the network.
type writeError struct{ error }

// networkError is a sentence on a download that did not work.
type networkError struct{ error }

// unpack writes the plugin of a checked wheel to its place: a part file, then a rename.
func unpack(ctx context.Context, f *os.File, k kind, w wheel) error {
	z, err := zip.NewReader(f, w.bytes)
	if err != nil {
		return err
	}
	in, err := z.Open(k.member)
	if err != nil {
		return fmt.Errorf("the wheel has no %s", k.member)
	}
	defer in.Close()
	dir := filepath.Dir(k.path())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	part, err := os.CreateTemp(folder(), "part-*.so")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name()) // harmless after the rename
	defer part.Close()
	n, err := io.Copy(part, io.LimitReader(readerFunc(func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return in.Read(b)
	}), w.unpacked+1))
	switch {
	case err != nil:
		return err
	case n != w.unpacked:
		return fmt.Errorf("%s has %d bytes, not %d", k.member, n, w.unpacked)
	}
	if err := errors.Join(part.Chmod(0o644), part.Sync(), part.Close()); err != nil {
		return err
	}
	return atomicfile.Rename(part.Name(), k.path())
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
