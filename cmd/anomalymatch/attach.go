package main

import (
	"os"

	"anomalymatch/engine/rpc"
	"anomalymatch/session"

	"github.com/spf13/cobra"
)

func attachCommand() *cobra.Command {
	var start bool
	cmd := &cobra.Command{
		Use:     "attach PROJECT",
		GroupID: groupEngine,
		Short:   "Join standard input and output to a project's engine",
		Long:    "Join standard input and output to a project's engine, for a terminal at the other end of ssh.",
		Args:    exactly("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := session.Open(args[0])
			if err != nil {
				return err
			}
			if start {
				c, err := startEngine(cmd.Context(), p)
				if err != nil {
					return err
				}
				c.Close()
			}
			return rpc.Attach(cmd.Context(), p.Dir, os.Stdin, os.Stdout)
		},
	}
	cmd.Flags().BoolVar(&start, "start", false, "start the engine if none runs")
	return cmd
}
