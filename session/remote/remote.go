// Package remote works on another machine over the system's ssh: it brings the program there, runs its commands there, and reaches
// an engine there. Whatever the person's ssh configuration knows is a host: aliases, ProxyJump, certificates, a second factor.
//
// ssh is given one constant line, which every login shell understands (see script), and the arguments of our own program as
// hexadecimal digits. Nothing that a person or a remote names is ever quoted for a shell.
package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"anomalymatch/engine/rpc"
	"anomalymatch/internal/say"
)

const (
	// aliveEvery and aliveMisses: ssh itself gives up a line that is silent for a minute. Until then a connection that somebody signed in for may
	// come back; the screen notices sooner by itself.
	aliveEvery, aliveMisses = 5, 12
	connectTimeout          = 5 // seconds
	// persist keeps the connection for the next command, so that a second factor is asked once a sitting.
	persist = "30m"
)

// Host is a machine that ssh can reach. Its methods may be called from several goroutines.
type Host struct {
	Name     string
	config   string   // ssh -F; "" is the person's own
	control  string   // our control socket; "" where there can be none
	ssh      []string // the command, "ssh"
	programs []Program
}

// New prepares a host; nothing is connected yet. config is a file for ssh's -F, "" for the person's own. programs are what can be
// brought to the host.
func New(name, config string, programs []Program) (*Host, error) {
	switch {
	case name == "":
		return nil, errors.New("the host has no name: `-H HOST`")
	case strings.HasPrefix(name, "-"):
		return nil, fmt.Errorf("%q begins with a hyphen, ssh would take it for an option: give the host another name in your ssh configuration", name)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) }):
		return nil, fmt.Errorf("%q is no host name: it holds a space or a control character", name)
	}
	h := &Host{Name: name, config: config, ssh: []string{"ssh"}, programs: programs}
	if config != "" {
		abs, err := filepath.Abs(config)
		if err != nil {
			return nil, err
		}
		h.config = abs
	}
	if runtime.GOOS == "windows" { // its ssh knows no control sockets
		return h, nil
	}
	dir, err := rpc.SocketDir()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(h.config + "\x00" + name))
	h.control = filepath.Join(dir, "s"+hex.EncodeToString(sum[:4]))
	if len(h.control)+len(".0123456789abcdef") > 103 { // the longest path of a socket on macOS; ssh makes it under a longer name first
		h.control = ""
	}
	return h, nil
}

// argv is ssh's, up to and including the host. What could ask or forward is off: the person's configuration may have it on.
func (h *Host) argv(ask, tty bool) []string {
	a := append([]string{}, h.ssh...)
	if h.config != "" {
		a = append(a, "-F", h.config)
	}
	o := func(name string, value any) { a = append(a, "-o", fmt.Sprint(name, "=", value)) }
	o("ServerAliveInterval", aliveEvery)
	o("ServerAliveCountMax", aliveMisses)
	if !ask {
		o("BatchMode", "yes")
		o("ConnectTimeout", connectTimeout)
	}
	o("ClearAllForwardings", "yes")
	o("ForwardAgent", "no")
	o("ForwardX11", "no")
	o("PermitLocalCommand", "no")
	o("RemoteCommand", "none")
	o("EscapeChar", "none")
	if h.control != "" {
		o("ControlMaster", "auto")
		o("ControlPersist", persist)
		o("ControlPath", strings.ReplaceAll(h.control, "%", "%%"))
	} else {
		o("ControlPath", "none")
	}
	if tty {
		a = append(a, "-tt")
	} else {
		a = append(a, "-T")
	}
	return append(a, "--", h.Name)
}

// Error is that ssh did not come through.
type Error struct {
	Host string
	Said string // ssh's own words, safe to print
	// Person: trying again does not help, somebody has to do something: sign in, look at a host key, mend a configuration.
	Person bool
}

func (e *Error) Error() string { return e.Said }

// EndedError is that the program on a host ended before there was a connection to an engine.
type EndedError struct {
	Host string
	Said string // safe to print
	Code int    // exit status
}

func (e *EndedError) Error() string { return "on " + say.Text(e.Host) + ": " + e.Said }

// sshFailed is ssh's exit status when it has an error of its own.
const sshFailed = 255

// failure makes an Error of what ssh said.
func (h *Host) failure(said string) *Error {
	if said == "" {
		said = "ssh ended without a word"
	}
	e := &Error{Host: h.Name}
	all := strings.Split(said, " | ")
	for i, line := range all {
		for _, words := range []string{
			"host key verification failed", "permission denied", "too many authentication failures", "no supported authentication methods",
			"bad configuration option", "bad owner or permissions", "can't open user config file", "hostname contains invalid characters",
		} {
			if strings.Contains(strings.ToLower(line), words) && !e.Person { // what it comes to stands first: a screen shows the beginning
				e.Person = true
				all = append([]string{line}, slices.Delete(all, i, i+1)...)
			}
		}
	}
	e.Said = "ssh " + h.Name + ": " + strings.Join(all, "; ")
	return e
}

// SignIn is a command that connects with the terminal given to ssh, which asks what it wants to ask; later calls use that connection.
// It does nothing on the host.
func (h *Host) SignIn() *exec.Cmd {
	argv := append(h.argv(true, false), "exec /bin/sh -c :")
	return exec.Command(argv[0], argv[1:]...)
}

// Forget ends the connection that is kept for the next command, however it stands.
func (h *Host) Forget() {
	if h.control == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	argv := h.argv(false, false)
	argv = append(argv[:len(argv)-2:len(argv)-2], "-O", "exit", "--", h.Name)
	if exec.CommandContext(ctx, argv[0], argv[1:]...).Run() != nil {
		os.Remove(h.control) // of a master that is dead or does not answer
	}
}

// Reachable connects anew, beside the connection that is kept, asks nothing and does nothing: nil where that works.
func (h *Host) Reachable(ctx context.Context) error {
	fresh := *h
	fresh.control = ""
	cmd := fresh.command(false, false, script(":"))
	var errs bytes.Buffer
	cmd.Stderr = &limited{to: &errs, n: 64 << 10}
	code, err := runUntil(ctx, cmd, false)
	switch {
	case err != nil:
		return err
	case code != 0 && ctx.Err() != nil:
		return ctx.Err()
	case code == sshFailed:
		return h.failure(say.Lines(errs.Bytes()))
	}
	return nil
}

// Dial runs a command on the host that ends in an [rpc.Attach], and returns the connection to the engine. The program is brought there first
// where it is missing; progress may be nil.
func (h *Host) Dial(ctx context.Context, call Call, progress func(sent, total int64)) (net.Conn, error) {
	for range 2 {
		nonce := newNonce()
		cmd := h.command(false, false, h.runScript(nonce, call))
		conn, err := rpc.DialProcess(ctx, cmd)
		var pe *rpc.ProcessError
		switch {
		case err == nil:
			return conn, nil
		case !errors.As(err, &pe):
			return nil, err
		case pe.Code == sshFailed:
			return nil, h.failure(pe.Said)
		}
		a, found := findAnswer(pe.Heard, nonce)
		switch {
		case !found:
			return nil, h.noAnswer(pe.Heard, pe.Said)
		case a.word != "missing":
			return nil, &EndedError{Host: h.Name, Said: pe.Said, Code: pe.Code}
		}
		if err := h.bring(ctx, a, progress); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s does not keep the program: what was brought there is gone", say.Text(h.Name))
}

// Streams of a command on a host.
type Streams struct {
	Out, Err io.Writer
	// Terminal: out and err are the person's terminal, and the command gets one on the host.
	Terminal bool
	// In is what the command reads; nil: nothing, and the command is ended when ctx is.
	In io.Reader
	// Noise, if set, gets what the shell there said first.
	Noise *string
}

// Run runs a command of the program on the host and returns its exit status. What the shell there says before is left out.
// When ctx ends the command is told so, and has some seconds to end well.
func (h *Host) Run(ctx context.Context, call Call, s Streams, progress func(sent, total int64)) (int, error) {
	for range 2 {
		nonce := newNonce()
		out := &afterMark{out: s.Out, mark: mark(nonce)}
		var said bytes.Buffer
		call.HangUp = s.In == nil && !s.Terminal
		cmd := h.command(false, s.Terminal, h.runScript(nonce, call))
		cmd.Stdout, cmd.Stderr = out, io.MultiWriter(s.Err, &limited{to: &said, n: 64 << 10})
		cmd.Stdin = s.In
		if s.Terminal {
			cmd.Stdin, cmd.Stderr = os.Stdin, s.Err
		}
		code, err := runUntil(ctx, cmd, call.HangUp)
		switch {
		case err != nil:
			return 0, err
		case out.line == "" && ctx.Err() != nil:
			return 0, ctx.Err()
		case out.line == "" && code == sshFailed:
			return 0, h.failure(say.Lines(said.Bytes()))
		case out.line == "":
			return 0, h.noAnswer(string(out.before), said.String())
		}
		if s.Noise != nil {
			*s.Noise = say.Lines(out.before)
		}
		a := parseAnswer(out.line)
		if a.word != "missing" {
			return code, nil
		}
		if err := h.bring(ctx, a, progress); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%s does not keep the program: what was brought there is gone", say.Text(h.Name))
}

// endsWithin is how long a command on a host may take to end after it was asked to.
const endsWithin = 40 * time.Second

// runUntil runs cmd; at the end of ctx its standard input is closed if it hangs up by that, else it is ended.
func runUntil(ctx context.Context, cmd *exec.Cmd, hangUp bool) (code int, err error) {
	cmd.WaitDelay = 2 * time.Second // the master of a kept connection has its standard error too, and may hang
	var line io.WriteCloser
	if hangUp {
		if line, err = cmd.StdinPipe(); err != nil {
			return 0, err
		}
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("ssh cannot be started: %w; install an ssh client", err)
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-ended:
			return
		case <-ctx.Done():
		}
		if line != nil {
			line.Close()
			select {
			case <-ended:
				return
			case <-time.After(endsWithin):
			}
		}
		cmd.Process.Kill()
	}()
	err = cmd.Wait()
	var ee *exec.ExitError
	if err != nil && !errors.As(err, &ee) && !errors.Is(err, exec.ErrWaitDelay) {
		return 0, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// System says what kind of machine the host is, as Go calls it.
func (h *Host) System(ctx context.Context) (goos, goarch string, err error) {
	nonce := newNonce()
	var out, errs bytes.Buffer
	cmd := h.command(false, false, script("echo "+mark(nonce)+"system $(uname -s) $(uname -m)"))
	cmd.Stdout, cmd.Stderr = &limited{to: &out, n: 64 << 10}, &limited{to: &errs, n: 64 << 10}
	code, err := runUntil(ctx, cmd, false)
	a, found := findAnswer(out.String(), nonce)
	switch {
	case err != nil:
		return "", "", err
	case !found && ctx.Err() != nil:
		return "", "", ctx.Err()
	case !found && code == sshFailed:
		return "", "", h.failure(say.Lines(errs.Bytes()))
	case !found:
		return "", "", h.noAnswer(out.String(), errs.String())
	}
	for _, p := range []Program{{OS: "linux", Arch: "amd64"}, {OS: "linux", Arch: "arm64"}, {OS: "darwin", Arch: "arm64"}, {OS: "darwin", Arch: "amd64"}} {
		if p.uname() == a.at(0)+"-"+a.at(1) {
			return p.OS, p.Arch, nil
		}
	}
	return "", "", fmt.Errorf("%s is a %s %s, for which there is no program", say.Text(h.Name), a.at(0), a.at(1))
}

func (h *Host) command(ask, tty bool, line string) *exec.Cmd {
	argv := append(h.argv(ask, tty), line)
	return exec.Command(argv[0], argv[1:]...)
}

// noAnswer says that ssh connected and our line did not run.
func (h *Host) noAnswer(out, errs string) error {
	said := say.Lines([]byte(out + "\n" + errs))
	if said == "" {
		said = "nothing"
	}
	return fmt.Errorf("%s does not run commands that ssh hands over, perhaps it has a command of its own for this key (ForceCommand); it said: %s", say.Text(h.Name), said)
}

func newNonce() string {
	b := make([]byte, 8)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// mark begins the line of the host by which our own words are told from those of its shell.
func mark(nonce string) string { return "AMX1-" + nonce + " " }

// answer is that line: what there is, or what is missing.
type answer struct {
	word string // ok, missing, stored, failed
	rest []string
}

func parseAnswer(line string) answer {
	f := strings.Fields(line)
	if len(f) == 0 {
		return answer{}
	}
	return answer{f[0], f[1:]}
}

func (a answer) at(i int) string {
	if i < len(a.rest) {
		return say.Text(a.rest[i])
	}
	return ""
}

func findAnswer(heard, nonce string) (answer, bool) {
	_, line, found := strings.Cut(heard, mark(nonce))
	line, _, _ = strings.Cut(line, "\n")
	return parseAnswer(line), found
}

// afterMark hands on what follows the line that begins with mark.
type afterMark struct {
	out    io.Writer
	mark   string
	before []byte // what came before, or all as long as the mark did not come
	line   string // the rest of the mark's line; "" until it came
}

func (a *afterMark) Write(b []byte) (int, error) {
	const most = 64 << 10
	if a.line != "" {
		if _, err := a.out.Write(b); err != nil {
			return 0, err
		}
		return len(b), nil
	}
	a.before = append(a.before, b...)
	at := bytes.Index(a.before, []byte(a.mark))
	if at >= 0 {
		if end := bytes.IndexByte(a.before[at:], '\n'); end >= 0 {
			rest := bytes.Clone(a.before[at+end+1:])
			a.line, a.before = strings.TrimSpace(string(a.before[at+len(a.mark):at+end])), a.before[:at]
			if _, err := a.out.Write(rest); err != nil {
				return 0, err
			}
		}
	} else if len(a.before) > most {
		a.before = append([]byte{}, a.before[len(a.before)-most/2:]...)
	}
	return len(b), nil
}

// limited keeps the first n bytes and swallows the rest.
type limited struct {
	to *bytes.Buffer
	n  int
}

func (l *limited) Write(b []byte) (int, error) {
	l.to.Write(b[:min(len(b), max(0, l.n-l.to.Len()))])
	return len(b), nil
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
