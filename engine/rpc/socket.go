package rpc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"anomalymatch/internal/age"
	"anomalymatch/internal/say"
)

// maxSocketPath keeps socket paths below the 104 bytes that macOS allows (Linux: 108).
const maxSocketPath = 100

// ErrNotRunning says that nothing answers on the project's socket on this machine.
var ErrNotRunning = errors.New("no engine runs for this project on this machine")

// SocketDir returns the folder that holds this user's sockets, made when it is missing: $XDG_RUNTIME_DIR/anomalymatch, or
// anomalymatch-UID in the temporary folder. Both lie on a file system of this machine, which a project often does not, and
// sockets do not work across machines. The folder must be ours, no symbolic link, and closed to everybody else; if it is
// not, somebody else may have put it there and the error says so.
func SocketDir() (string, error) {
	dir := socketDirName(os.Getenv("XDG_RUNTIME_DIR"), os.TempDir())
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("cannot make the folder for the engine's socket: %s; set TMPDIR to a folder that can be written", reason(err))
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("cannot look at the folder for the engine's socket: %s", reason(err))
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return "", fmt.Errorf("%s, which should hold the engine's socket, is a symbolic link; remove it", say.Text(dir))
	case !info.IsDir():
		return "", fmt.Errorf("%s, which should hold the engine's socket, is not a folder; remove it", say.Text(dir))
	case !ownedByUs(info):
		return "", fmt.Errorf("%s, which should hold the engine's socket, belongs to another user; set TMPDIR to a folder of your own", say.Text(dir))
	case hasModes && info.Mode().Perm() != 0o700:
		return "", fmt.Errorf("%s, which should hold the engine's socket, is open to other users (mode %04o); look what is in it, then remove it", say.Text(dir), info.Mode().Perm())
	}
	return dir, nil
}

// socketDirName picks the first place whose sockets have a short enough path. A batch system may hand on an XDG_RUNTIME_DIR
// that does not exist on its nodes.
func socketDirName(runtimeDir, tempDir string) string {
	if filepath.IsAbs(runtimeDir) && fits(filepath.Join(runtimeDir, "anomalymatch")) {
		if info, err := os.Stat(runtimeDir); err == nil && info.IsDir() && ownedByUs(info) {
			return filepath.Join(runtimeDir, "anomalymatch")
		}
	}
	name := "anomalymatch"
	if uid := os.Getuid(); uid >= 0 {
		name += "-" + strconv.Itoa(uid)
	}
	if dir := filepath.Join(tempDir, name); fits(dir) || !hasModes {
		return dir
	}
	return filepath.Join("/tmp", name)
}

func fits(dir string) bool { return len(dir)+1+2*hashBytes+len(".sock") < maxSocketPath }

// hashBytes of the hash of a project's path name its files in SocketDir.
const hashBytes = 8

// local returns the path of one of the project's files in SocketDir.
func local(project, suffix string) (string, error) {
	dir, err := SocketDir()
	if err != nil {
		return "", err
	}
	abs, err := absolute(project)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(abs))
	return filepath.Join(dir, hex.EncodeToString(sum[:hashBytes])+suffix), nil
}

// absolute gives a project one name, however it is reached.
func absolute(project string) (string, error) {
	abs, err := filepath.Abs(project)
	if err != nil {
		return "", fmt.Errorf("cannot tell where %s is: %w", say.Text(project), err)
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		return real, nil
	}
	return abs, nil
}

// SocketPath returns where the engine of a project listens on this machine.
func SocketPath(project string) (string, error) { return local(project, ".sock") }

// Listen opens the project's socket, closed to other users. A socket left by a killed engine is replaced; one that answers
// is [ErrRunning]. Call it with the [Lock] held. Connections of other users are refused when accepted, where the system
// can tell (Linux, macOS).
func Listen(project string) (net.Listener, error) {
	path, err := SocketPath(project)
	if err != nil {
		return nil, err
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, ErrRunning
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot remove the socket of an earlier engine: %s", reason(err))
	}
	dropSockets(filepath.Dir(path))
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the engine's socket: %s", reason(err))
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot close the engine's socket to other users: %s", reason(err))
	}
	return listener{l.(*net.UnixListener)}, nil
}

// leftover is the age from which on a socket that nobody answers on goes.
const leftover = 24 * time.Hour

// dropSockets removes the sockets of engines that were killed and whose projects nobody opened since.
func dropSockets(dir string) {
	list, _ := os.ReadDir(dir)
	for _, d := range list {
		path := filepath.Join(dir, d.Name())
		info, err := d.Info()
		if err != nil || info.Mode()&fs.ModeSocket == 0 || filepath.Ext(path) != ".sock" || age.Of(path, info) < leftover {
			continue
		}
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			c.Close()
			continue
		}
		if now, e := os.Lstat(path); e == nil && errors.Is(err, syscall.ECONNREFUSED) && os.SameFile(info, now) { // no engine of that project came up just now
			os.Remove(path)
		}
	}
}

// listener hands on connections of this user only.
type listener struct{ *net.UnixListener }

func (l listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, known, err := peerUID(c)
		if err == nil && (!known || uid == os.Getuid()) {
			return c, nil
		}
		slog.Warn("refused a connection of another user", "uid", uid, "error", err)
		c.Close()
	}
}

// dialSocket connects to the engine: to the socket of this project, else to the one that the lock names, which differs
// when the engine was started with another TMPDIR or XDG_RUNTIME_DIR (a batch job's, for example).
func dialSocket(ctx context.Context, project string) (net.Conn, error) {
	path, err := SocketPath(project)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		return c, nil
	}
	for _, h := range holders(project) {
		if h.here() && h.Socket != path && ours(h.Socket) {
			if c, err := d.DialContext(ctx, "unix", h.Socket); err == nil {
				return c, nil
			}
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, ErrNotRunning
}

// ours says whether path is a socket of this user in a folder that only this user can write: what the lock file names is
// somebody's word.
func ours(path string) bool {
	dir, err := os.Lstat(filepath.Dir(path))
	if err != nil || !dir.IsDir() || !ownedByUs(dir) || hasModes && dir.Mode().Perm() != 0o700 {
		return false
	}
	sock, err := os.Lstat(path)
	return err == nil && sock.Mode()&fs.ModeSocket != 0 && ownedByUs(sock)
}
