package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"anomalymatch/imgview"
	"anomalymatch/internal/say"

	"github.com/spf13/cobra"
)

// commands are the constructors of all commands, in the order of the help.
var commands = []func() *cobra.Command{
	demoCommand,
	newCommand,
	mosaicCommand,
	trainCommand,
	sweepCommand,
	runCommand,
	scoreCommand,
	shardCommand,
	exportCommand,
	replayCommand,
	importCommand,
	labelsCommand,
	metadataCommand,
	statusCommand,
	verifyCommand,
	stopCommand,
	engineCommand,
	attachCommand,
	jobsCommand,
	runtimeCommand,
	doctorCommand,
	benchCommand,
}

// The groups of the help.
const (
	groupWork    = "work"
	groupEngine  = "engine"
	groupMachine = "machine"
)

func rootCommand() *cobra.Command {
	var hosts hostFlags
	var images string
	root := &cobra.Command{
		Use:   "anomalymatch [PROJECT]",
		Short: "Find rare objects in very large sets of images",
		Long: "Find rare objects in very large sets of images: look at the candidates in the terminal, label them with single keys, and let a " +
			"network train on the labels in the background until the top of the list is what you look for.",
		Example: `# try it on synthetic galaxies
anomalymatch demo
# a project on your own images, which stay where they are
anomalymatch new myproject --images /data/cutouts
anomalymatch myproject
# a project on another machine, in this terminal
anomalymatch -H cluster myproject`,
		Args: atMostOneProject,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkImages("--images", images); err != nil {
				return err
			}
			switch {
			case hosts.host != "" && len(args) == 0:
				return usage("which project of %s? `anomalymatch -H HOST PROJECT`, as a path from your home folder there", hosts.host)
			case hosts.host != "":
				return hosts.openThere(cmd.Context(), args[0], images)
			case len(args) == 0:
				return startPage(cmd, images)
			}
			return openProject(cmd.Context(), args[0], images)
		},
		SilenceUsage:  true, // errors are one sentence
		SilenceErrors: true,

		SuggestionsMinimumDistance: 2,
	}
	imagesFlag(root, "images", &images)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%s; see `%s --help`", flagSentence(err), cmd.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: groupWork, Title: "projects"},
		&cobra.Group{ID: groupEngine, Title: "the background process"},
		&cobra.Group{ID: groupMachine, Title: "this machine"},
	)
	for _, command := range commands {
		root.AddCommand(command())
	}
	hosts.everywhere(root)
	root.SetOut(say.Terminal(os.Stdout))
	slog.SetDefault(slog.New(warnings{os.Stderr}))
	return root
}

// imagesFlag adds the flag that says how pictures are shown.
func imagesFlag(cmd *cobra.Command, name string, to *string) {
	cmd.Flags().StringVar(to, name, "", "how pictures are shown: auto, "+strings.Join(imgview.Names, ", ")+" (default: the setting images of [tui])")
	cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(append([]string{"auto"}, imgview.Names...), cobra.ShellCompDirectiveNoFileComp))
}

func checkImages(flag, images string) error {
	if images == "" || images == "auto" || slices.Contains(imgview.Names, images) {
		return nil
	}
	return usage("%s %q: must be auto, %s or none", flag, images, strings.Join(imgview.Names[:len(imgview.Names)-1], ", "))
}

func atMostOneProject(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) > 1:
		return unknownCommand(cmd, args[0])
	case len(args) == 1 && filepath.Base(args[0]) == args[0] && !strings.Contains(args[0], "."):
		// A mistyped command, unless there is such a folder.
		if _, err := os.Lstat(args[0]); err != nil && len(cmd.SuggestionsFor(args[0])) > 0 {
			return unknownCommand(cmd, args[0])
		}
	}
	return nil
}

// jsonFlag adds --json to a command.
func jsonFlag(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "json", false, "print one JSON document")
}

// printJSON writes the one document of --json.
func printJSON(cmd *cobra.Command, v any) error {
	return say.JSON(cmd.OutOrStdout(), v)
}
