package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/runtime"
	"anomalymatch/internal/say"
	"anomalymatch/session/remote"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func runtimeCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "runtime",
		GroupID: groupMachine,
		Short:   "The runtimes that make everything ten times faster: XLA, and ONNX Runtime for scores",
	}, runtimeList(), runtimeInstall(), runtimeFetch(), runtimeRemove())
}

func runtimeList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Which runtimes there are, and whether they are installed and work here",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, args []string) error {
			all := runtime.List()
			if asJSON {
				return printJSON(cmd, runtimesJSON(all))
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, r := range all {
				fmt.Fprintf(table, "%s\t%s\t%s\n", r.Kind, r.Version, runtimeState(r))
			}
			fmt.Fprintln(table, "go\t\tbuilt in, slower")
			return table.Flush()
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// runtimeState says how a runtime stands on this machine.
func runtimeState(r runtime.Info) string {
	text := fmt.Sprintf("not installed (%s to download, %s on disk)", common.Bytes(r.DownloadBytes), common.Bytes(r.Bytes))
	if r.Installed {
		text = "installed, " + common.Bytes(r.Bytes) + ": " + common.Clean(r.Path)
	}
	if r.Works != "" {
		text += "; " + common.Clean(r.Works)
	}
	return text
}

type runtimeJSON struct {
	Kind      string `json:"kind"`
	Version   string `json:"version"`
	Installed bool   `json:"installed"`
	Path      string `json:"path"`
	Bytes     int64  `json:"bytes"`
	Download  int64  `json:"download_bytes"`
	Problem   string `json:"problem"` // why it cannot be used here; empty if it can
}

func runtimesJSON(all []runtime.Info) []runtimeJSON {
	out := []runtimeJSON{}
	for _, r := range all {
		out = append(out, runtimeJSON{r.Kind, r.Version, r.Installed, r.Path, r.Bytes, r.DownloadBytes, r.Works})
	}
	return out
}

func runtimeInstall() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "install KIND...",
		Short: "Install runtimes: cpu, onnx, cuda12 or cuda13",
		Long: "Install runtimes: cpu, cuda12 or cuda13, which are XLA and train and score, and onnx, which scores on a CPU in less than half of XLA's time. Each is downloaded from PyPI, checked against the checksum this program knows, and unpacked into your data folder. " +
			"On a machine without internet, bring the wheel along, which `anomalymatch runtime fetch` gets elsewhere, and name it with --from: nothing is downloaded then. " +
			"With --host it is downloaded here and sent there.",
		Example: `anomalymatch runtime install cpu onnx
anomalymatch runtime install cuda12 -H cluster
anomalymatch runtime install cpu --from ./xla_cpu_pjrt.whl`,
		Args:        atLeast("KIND"),
		Annotations: map[string]string{here: "nothing is downloaded there"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 && from != "" {
				return usage("--from is the file of one runtime: install them one by one")
			}
			if f := hostOf(cmd); f.host != "" {
				for _, kind := range args {
					if err := f.installThere(cmd, kind, from); err != nil {
						return err
					}
				}
				return nil
			}
			if from == "-" {
				file, err := keepInput()
				if err != nil {
					return err
				}
				defer os.Remove(file)
				from = file
			}
			for _, kind := range args {
				tell, end := bytesLine()
				err := runtime.Install(cmd.Context(), kind, from, tell)
				end()
				if err != nil {
					return err
				}
				for _, r := range runtime.List() {
					if r.Kind == kind {
						fmt.Fprintf(cmd.OutOrStdout(), "%s %s is installed: %s\n", r.Kind, r.Version, common.Clean(r.Path))
					}
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "wheel file brought along, instead of downloading; - is standard input")
	_ = cmd.MarkFlagFilename("from", "whl")
	return cmd
}

func runtimeFetch() *cobra.Command {
	var to, platform string
	cmd := &cobra.Command{
		Use:   "fetch KIND",
		Short: "Download a runtime as a file, for a machine without internet",
		Long: "Download a runtime as a file, and install nothing: `anomalymatch runtime install KIND --from FILE` installs it on a machine without internet. " +
			"It is checked against the checksum this program knows, here and there.",
		Example: `anomalymatch runtime fetch cpu --platform linux/amd64 --to /media/stick`,
		Args:    exactly("KIND"),
		RunE: func(cmd *cobra.Command, args []string) error {
			tell, end := bytesLine()
			path, err := runtime.Fetch(cmd.Context(), args[0], platform, to, tell)
			end()
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), common.Clean(path))
			return nil
		},
	}
	cmd.Flags().StringVar(&to, "to", ".", "folder for the file")
	cmd.Flags().StringVar(&platform, "platform", "", "of the machine it is for, such as linux/arm64; this machine's by default")
	_ = cmd.MarkFlagDirname("to")
	return cmd
}

// bytesLine is a progress line of bytes, and what ends it.
func bytesLine() (tell func(done, total int64), end func()) {
	line := progress.New(os.Stderr)
	begin := time.Now()
	return func(done, total int64) {
		line.Set(progress.Bytes(done, total, float64(done)/max(time.Since(begin).Seconds(), 0.1)))
	}, line.Clear
}

func runtimeRemove() *cobra.Command {
	return &cobra.Command{
		Use:   "remove KIND",
		Short: "Remove an installed runtime",
		Args:  exactly("KIND"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := runtime.Remove(args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is removed\n", args[0])
			return nil
		},
	}
}

// keepInput writes standard input into a file of the cache folder.
func keepInput() (path string, err error) {
	dir, err := os.UserCacheDir()
	if err == nil {
		dir = filepath.Join(dir, "anomalymatch")
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return "", fmt.Errorf("there is no place for the wheel: %w", err)
	}
	f, err := os.CreateTemp(dir, "part-*.whl")
	if err != nil {
		return "", fmt.Errorf("there is no place for the wheel: %w", err)
	}
	_, err = io.Copy(f, os.Stdin)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("the wheel cannot be kept: %w", err)
	}
	return f.Name(), nil
}

// installThere gets the wheel here, unless it is named, and sends it to the host.
func (f *hostFlags) installThere(cmd *cobra.Command, kind, from string) error {
	ctx := cmd.Context()
	h, err := f.connect()
	if err != nil {
		return err
	}
	var platform string
	err = signedIn(h, func() error {
		goos, goarch, err := h.System(ctx)
		platform = goos + "/" + goarch
		return err
	})
	if err != nil {
		return err
	}
	if from == "" {
		dir, err := os.MkdirTemp("", "anomalymatch-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		tell, end := bytesLine()
		from, err = runtime.Fetch(ctx, kind, platform, dir, tell)
		end()
		if err != nil {
			return err
		}
	}
	// The program first: what is read from the file is gone if it has to be brought.
	line := progress.New(os.Stderr)
	defer line.Clear()
	if _, err := h.Run(ctx, remote.Call{Args: []string{"--version"}}, remote.Streams{Out: io.Discard, Err: say.Safe(os.Stderr)}, bringing(line, h.Name)); err != nil {
		return err
	}
	wheel, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("the wheel cannot be read: %w", err)
	}
	defer wheel.Close()
	line.Set("sending " + filepath.Base(from) + " to " + h.Name)
	code, err := h.Run(ctx, remote.Call{Args: []string{"runtime", "install", "--from=-", "--", kind}}, remote.Streams{Out: cmd.OutOrStdout(), Err: say.Safe(os.Stderr), In: wheel}, nil)
	if err == nil && code != 0 {
		err = exitError{code, errSaid}
	}
	return err
}
