package main

import (
	"os"

	"anomalymatch"
	"anomalymatch/cmd/anomalymatch/internal/doctor"
	"anomalymatch/engine/rpc"
	"anomalymatch/imgview"
	"anomalymatch/session"

	"github.com/spf13/cobra"
)

func doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:         "doctor [PROJECT]",
		GroupID:     groupMachine,
		Short:       "What works here, or on a host, and what to do about the rest",
		Annotations: map[string]string{here: "the way to the host is looked at too"},
		RunE: func(cmd *cobra.Command, args []string) error {
			look := diagnose
			if f := hostOf(cmd); f.host != "" {
				look = f.diagnoseThere
			}
			checks, err := look(cmd, args)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, checks)
			}
			return doctor.Write(cmd.OutOrStdout(), checks)
		},
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return exactly("PROJECT")(cmd, args)
		}
		return nil
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func diagnose(cmd *cobra.Command, args []string) ([]doctor.Check, error) {
	config, err := anomalymatch.Load(anomalymatch.UserFile())
	settings := doctor.Check{Name: "settings", State: doctor.Absent, Text: "the defaults; your own go into " + anomalymatch.UserFile()}
	if _, gone := os.Stat(anomalymatch.UserFile()); gone == nil {
		settings.State, settings.Text = doctor.Good, "your own in "+anomalymatch.UserFile()
	}
	if err != nil {
		settings = doctor.Check{Name: "settings", State: doctor.Bad, Text: err.Error(), Todo: "correct the line"}
		config = anomalymatch.Default()
	}
	var p *session.Project
	if len(args) > 0 && err == nil {
		if p, err = session.Open(args[0]); err != nil {
			return nil, err
		}
		config = p.Config
	}
	env := doctor.Here(cmd.Context(), terminal())
	if env.Terminal {
		env.Pictures = func() (why, hint string, err error) {
			s, err := imgview.Ask(cmd.Context(), imgview.Options{Force: config.TUI.Images, Pixels: imgview.PixelsOf(os.Stdout)}, os.Stdin, os.Stdout)
			return s.Why(), s.Hint(), err
		}
	}
	checks := []doctor.Check{{Name: "version", State: doctor.Good, Text: cmd.Root().Version}, settings}
	checks = append(checks, doctor.Terminal(env)...)
	checks = append(checks, doctor.Machine(env)...)
	checks = append(checks, doctor.Host(env)...)
	checks = append(checks, doctor.Runtime(config.Engine.Runtime)...)
	socket := doctor.Check{Name: "socket", State: doctor.Good}
	if socket.Text, err = rpc.SocketDir(); err != nil {
		socket.State, socket.Text = doctor.Bad, err.Error()
	}
	checks = append(checks, socket)
	if p != nil {
		checks = append(checks, doctor.Project(cmd.Context(), env, p)...)
	}
	return checks, nil
}
