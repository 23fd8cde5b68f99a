package main

import (
	"encoding/hex"
	"os"

	"anomalymatch/session"

	"github.com/spf13/cobra"
)

func attachCommand() *cobra.Command {
	var start, asHex bool
	cmd := &cobra.Command{
		Use:     "attach PROJECT",
		GroupID: groupEngine,
		Short:   "Join standard input and output to a project's engine",
		Long:    "Join standard input and output to a project's engine, wherever it runs, for a terminal at the other end of ssh.",
		Args:    exactly("PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asHex {
				dir, err := hex.DecodeString(args[0])
				if err != nil {
					return usage("--hex wants hexadecimal digits")
				}
				args[0] = string(dir)
			}
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
			return finder(p).Attach(cmd.Context(), p.Dir, os.Stdin, os.Stdout)
		},
	}
	cmd.Flags().BoolVar(&start, "start", false, "start the engine if none runs")
	cmd.Flags().BoolVar(&asHex, "hex", false, "PROJECT is in hexadecimal digits, which every shell leaves as they are")
	cmd.Flags().MarkHidden("hex")
	return cmd
}
