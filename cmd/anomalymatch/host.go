package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/cmd/anomalymatch/internal/doctor"
	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/internal/say"
	"anomalymatch/session"
	"anomalymatch/session/remote"
	"anomalymatch/tui/common"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// hostFlags are --host and --ssh-config, which every command has.
type hostFlags struct{ host, config string }

// everywhere gives every command of the tree --host, with which it runs there instead of here. Those marked here do their own part of it.
func (f *hostFlags) everywhere(root *cobra.Command) {
	root.PersistentFlags().StringVarP(&f.host, "host", "H", "", "do it on this host, over ssh; any name that your ssh configuration knows")
	root.PersistentFlags().StringVar(&f.config, "ssh-config", "", "configuration file for ssh (its -F)")
	_ = root.MarkPersistentFlagFilename("ssh-config")
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if run := cmd.RunE; run != nil && cmd.Annotations[here] == "" && cmd != root {
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				if f.host == "" {
					f.host = hostOfProfile(cmd)
				}
				if f.host == "" {
					return run(cmd, args)
				}
				return f.forward(cmd, args)
			}
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
	}
	walk(root)
}

// here marks a command that treats --host itself.
const here = "here"

// hostOfProfile is the host of the batch system that a command names by --cluster; empty where that is here.
func hostOfProfile(cmd *cobra.Command) string {
	name := cmd.Flag("cluster")
	if name == nil || name.Value.String() == "" || os.Getenv(anomalymatch.CallSettings) != "" {
		return ""
	}
	profile, err := userProfile(name.Value.String())
	if err != nil {
		return "" // the command says so, or the project has it
	}
	return profile.Host
}

// profiles are the settings of the batch systems on a host that are kept here, as text.
func profiles(host string) (string, error) {
	config, err := anomalymatch.Load(anomalymatch.UserFile())
	if err != nil {
		return "", err
	}
	there := map[string]anomalymatch.Cluster{}
	for name, c := range config.Cluster {
		if c.Host == host {
			c.Host = ""
			there[name] = c
		}
	}
	if len(there) == 0 {
		return "", nil
	}
	var text strings.Builder
	err = toml.NewEncoder(&text).Encode(map[string]any{"cluster": there})
	return text.String(), err
}

// hostOf is what a command was given.
func hostOf(cmd *cobra.Command) *hostFlags {
	return &hostFlags{cmd.Flag("host").Value.String(), cmd.Flag("ssh-config").Value.String()}
}

// connect finds what is needed for the host; nothing is sent yet.
func (f *hostFlags) connect() (*remote.Host, error) {
	programs, err := remote.Programs(anomalymatch.Version, session.ProgramFolder())
	if err != nil {
		return nil, err
	}
	return remote.New(f.host, f.config, programs)
}

// signIn gives the terminal to ssh.
func signIn(h *remote.Host) error {
	cmd := h.SignIn()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ssh %s did not connect", h.Name)
	}
	return nil
}

// signedIn runs what needs a connection, and once more after the person has signed in, where that is what it takes.
func signedIn(h *remote.Host, run func() error) error {
	err := run()
	var e *remote.Error
	if !errors.As(err, &e) || !e.Person || !terminal() {
		return err
	}
	fmt.Fprintln(os.Stderr, sentence(err))
	if err := signIn(h); err != nil {
		return err
	}
	return run()
}

// call is a command as its words, without the flags of the host.
func call(cmd *cobra.Command, args []string) []string {
	words := strings.Fields(cmd.CommandPath())[1:]
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch v := f.Value.(type) {
		case pflag.SliceValue:
			for _, s := range v.GetSlice() {
				words = append(words, "--"+f.Name+"="+s)
			}
		default:
			if f.Name != "host" && f.Name != "ssh-config" {
				words = append(words, "--"+f.Name+"="+f.Value.String())
			}
		}
	})
	return append(append(words, "--"), args...)
}

// forward runs a command on the host.
func (f *hostFlags) forward(cmd *cobra.Command, args []string) error {
	h, err := f.connect()
	if err != nil {
		return err
	}
	settings, err := profiles(f.host)
	if err != nil {
		return err
	}
	return signedIn(h, func() error {
		line := progress.New(os.Stderr)
		defer line.Clear()
		c := remote.Call{Args: call(cmd, args), Settings: settings}
		s := remote.Streams{Out: cmd.OutOrStdout(), Err: say.Safe(os.Stderr), Terminal: terminal() && term.IsTerminal(int(os.Stderr.Fd()))}
		if s.Terminal { // our program has one there too, and colours and progress with it
			s.Err = say.Terminal(os.Stderr)
		}
		code, err := h.Run(cmd.Context(), c, s, bringing(line, h.Name))
		if err == nil && code != 0 {
			err = exitError{code, errSaid}
		}
		return err
	})
}

// diagnoseThere is the steps to a host, and what the program there finds.
func (f *hostFlags) diagnoseThere(cmd *cobra.Command, args []string) ([]doctor.Check, error) {
	ctx := cmd.Context()
	h, err := f.connect()
	if err != nil {
		return nil, err
	}
	reach := doctor.Check{Name: "ssh to " + h.Name, State: doctor.Good}
	program := doctor.Check{Name: "program", State: doctor.Good, Text: "is there"}
	line := progress.New(os.Stderr)
	defer line.Clear()
	show, noise := bringing(line, h.Name), ""
	var out bytes.Buffer
	begin := time.Now()
	err = signedIn(h, func() error {
		_, err := h.Run(ctx, remote.Call{Args: append([]string{"doctor", "--json", "--"}, args...)}, remote.Streams{Out: &out, Err: io.Discard, Noise: &noise}, func(sent, total int64) {
			program.Text = fmt.Sprintf("was brought there just now (%s)", common.Bytes(total))
			show(sent, total)
		})
		return err
	})
	var e *remote.Error
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &e):
		reach.State, reach.Text, reach.Todo = doctor.Bad, e.Said, "try `ssh "+h.Name+"`: what works there works here"
		return []doctor.Check{reach}, nil
	case err != nil:
		program.State, program.Text = doctor.Bad, err.Error()
		return []doctor.Check{reach, program}, nil
	}
	reach.Text = fmt.Sprintf("works; all of this took %.1f s", time.Since(begin).Seconds())
	checks := []doctor.Check{reach}
	if noise != "" {
		checks = append(checks, doctor.Check{Name: "login", State: doctor.Absent, Text: "the shell there says: " + noise, Todo: "nothing has to be done, it is skipped; scp and rsync may stumble over it"})
	}
	checks = append(checks, program)
	var there []doctor.Check
	if err := json.Unmarshal(out.Bytes(), &there); err != nil {
		return nil, fmt.Errorf("the program on %s answers in another way than expected: %w", h.Name, err)
	}
	return append(checks, there...), nil
}

// errSaid is that a command on the host failed and has said why.
var errSaid = errors.New("")

// bringing shows how the program is brought to a host.
func bringing(line *progress.Line, host string) func(sent, total int64) {
	begin := time.Now()
	return func(sent, total int64) {
		line.Set("bringing the program to " + host + ": " + progress.Bytes(sent, total, float64(sent)/max(time.Since(begin).Seconds(), 0.1)))
	}
}

// atHost is the other end of forward and Dial: it takes the call apart and becomes that command.
func atHost(arg string) (args []string, hangUp bool, err error) {
	c, err := remote.Decode(arg)
	if c.Settings != "" {
		os.Setenv(anomalymatch.CallSettings, c.Settings)
	}
	return c.Args, c.HangUp, err
}

// hungUp ends ctx when standard input does.
func hungUp(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}
