// Command fakeengine shows the screen on an engine without a network, to look at it: go run ./tui/tuitest/fakeengine -offer
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"anomalymatch"
	"anomalymatch/tui"
	"anomalymatch/tui/batch"
	"anomalymatch/tui/tuitest/fake"
)

func main() {
	var opt fake.Options
	flag.IntVar(&opt.Images, "n", 6446, "images of the pool")
	flag.IntVar(&opt.Size, "size", 128, "pixels of a cut-out")
	flag.StringVar(&opt.Version, "version", "dev", "of the engine")
	flag.DurationVar(&opt.Embed, "embed", 0, "how long embedding takes")
	flag.DurationVar(&opt.Slow, "slow", 0, "how long a thumbnail takes")
	flag.DurationVar(&opt.Step, "step", 40*time.Millisecond, "how long a training step takes")
	flag.IntVar(&opt.Groups, "groups", 3, "groups of near-duplicates")
	flag.BoolVar(&opt.Past, "past", true, "with training runs of before")
	flag.BoolVar(&opt.Offer, "offer", false, "offer a faster runtime")
	hostile := flag.Bool("hostile", false, "with file names that try to paint over the screen")
	fail := flag.String("fail", "", "labels fail with this")
	jobs := flag.String("jobs", "", "batch systems: full, none, broken")
	images := flag.String("images", "auto", "auto, kitty, kitty-direct, iterm2, sixel, halfblocks, quadrants, sextants, text, none")
	theme := flag.String("theme", "dark", "auto, dark, light or contrast")
	log := flag.String("log", "", "file for the log")
	flag.Parse()
	if *hostile {
		opt.Names = Hostile
		opt.Bad = map[string]string{Hostile[1]: "not a JPEG: \x1b[2J starts with \xff\xfe"}
	}
	logger := slog.New(slog.DiscardHandler)
	if *log != "" {
		f, err := os.Create(*log)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		logger = slog.New(slog.NewTextHandler(f, nil))
	}
	e := fake.New(opt)
	e.FailLabels(*fail)
	ctx := context.Background()
	client, err := e.Dial(ctx)
	if err == nil {
		cfg := anomalymatch.Default()
		cfg.TUI.Images, cfg.TUI.Theme = *images, *theme
		opt := tui.Options{Client: client, Reconnect: e.Dial, Config: cfg, Writer: "me", Version: "dev", Project: "galaxies_merger", Log: logger, Settings: "/home/me/.config/anomalymatch/config.toml"}
		var mine []byte // the person's file
		opt.SaveSetting = func(key, value string) (anomalymatch.Config, error) {
			text, err := anomalymatch.SetKey(mine, key, value)
			if err != nil {
				return cfg, err
			}
			mine = text
			c := anomalymatch.Default()
			c.TUI = cfg.TUI
			return c, c.Overlay("config.toml", mine, nil)
		}
		opt.OwnSettings = func() ([]string, error) { return anomalymatch.Says(mine), nil }
		var systems fake.Systems
		switch *jobs {
		case "":
		case "full":
			systems.Report(fake.Cluster(time.Now()), nil)
		case "broken":
			systems.Report(batch.Report{Profiles: fake.Cluster(time.Now()).Profiles}, errors.New("the jobs on leo: squeue: slurm_load_jobs error: Unable to contact slurm controller (connect failure)"))
		}
		if *jobs != "" {
			opt.Jobs = &systems
		}
		err = tui.Run(ctx, opt)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Hostile are names that try to paint over the screen.
var Hostile = []string{"galaxies/\x1b[31mred\x1b[2J.png", "galaxies/bad\r\n\tname.png", "galaxies/txt.\u202egnp", "galaxies/" + string(rune(0x10eeee)) + "\u0305.png",
	"galaxies/漢字と長い名前の画像ファイル-漢字と長い名前の画像ファイル.png"}
