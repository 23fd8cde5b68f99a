package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/cmd/anomalymatch/internal/progress"
	"anomalymatch/engine/bench"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/rpc"
	"anomalymatch/tui/common"

	"github.com/spf13/cobra"
)

func benchCommand() *cobra.Command {
	return group(&cobra.Command{Use: "bench", GroupID: groupMachine, Short: "Measure quality and speed"},
		benchProtocolCommand(), benchReviewCommand(), benchPaperCommand(), benchScoreCommand(), benchNetworkCommand(), benchTrainCommand(), benchEngineCommand(), benchShardsCommand(), benchScaleCommand(), benchTUICommand())
}

// benchConfig is the settings with what a benchmark's flags change.
func benchConfig(runtime string, change func(*anomalymatch.Config)) (anomalymatch.Config, error) {
	cfg, err := anomalymatch.Load(anomalymatch.UserFile())
	if err != nil {
		return cfg, err
	}
	if runtime != "" {
		cfg.Engine.Runtime = runtime
	}
	change(&cfg)
	if cfg.Model.Size < 32 || cfg.Model.Size > 512 {
		return cfg, usage("--size is 32 to 512 pixels")
	}
	return cfg, nil
}

// sizes sets what --size means for a method: the images of the network and of the baseline. Best embeds at its own size.
func sizes(c *anomalymatch.Config, method string, size int) {
	if size <= 0 {
		return
	}
	c.Model.Size = size
	if method == "fast" {
		c.Fast.Size = size
	}
}

func runtimeFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "runtime", "", "auto, onnx, xla or go; auto+bf16 and xla+bf16 (default: engine.runtime of the settings)")
}

// benchProgress shows a benchmark's progress.
func benchProgress(line *progress.Line) func(bench.Progress) {
	return func(p bench.Progress) {
		if strings.Contains(p.What, "AUROC") {
			line.Say(p.What)
			return
		}
		line.Set(progress.Job(&rpc.Status{State: p.What, Step: int64(p.Done), Steps: int64(p.All), ImagesPerSecond: p.Speed, RemainingSeconds: p.SecondsLeft}, nil))
	}
}

func benchProtocolCommand() *cobra.Command {
	var images, pool, labels, method, runtime, work string
	var size, cycles, iterations, seeds int
	var seed int64
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "protocol --images DIR --pool pool.csv --labels labels.csv",
		Short: "The published protocol on images whose truth is known",
		Long: "The published protocol: score the pool, then train, score and let an oracle label the 10 highest-scoring normals and anomalies, " +
			"as often as --cycles says. pool.csv has the columns filename,truth and labels.csv filename,label, each anomaly or normal.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for flag, v := range map[string]string{"--images": images, "--pool": pool, "--labels": labels} {
				if v == "" {
					return usage("%s is missing", flag)
				}
			}
			cfg, err := benchConfig(runtime, func(c *anomalymatch.Config) {
				c.Seed, c.FixMatch.Iterations = seed, iterations
				sizes(c, method, size)
			})
			if err != nil {
				return err
			}
			if cycles < 0 || iterations < 1 {
				return usage("--cycles and --iterations are 1 or more")
			}
			if err := checkSeeds(seeds); err != nil {
				return err
			}
			if work == "" {
				if work, err = os.MkdirTemp("", "anomalymatch-bench-"); err != nil {
					return err
				}
				defer os.RemoveAll(work)
			}
			p, err := bench.OpenPool(cmd.Context(), images, pool, labels, filepath.Join(work, "index"))
			if err != nil {
				return err
			}
			defer p.Images.Close()
			line := progress.New(os.Stderr)
			opt := bench.Options{Config: cfg, Method: method, Cycles: cycles, Dir: work, Progress: benchProgress(line)}
			runs, err := bench.Seeds(p, opt, seeds, func(p *bench.Pool, opt bench.Options) (*bench.Report, error) {
				return bench.Protocol(cmd.Context(), p, opt)
			})
			line.Clear()
			if err != nil {
				return err
			}
			if len(runs) > 1 {
				return printProtocols(cmd, asJSON, runs)
			}
			return printReport(cmd, asJSON, runs[0], runs[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&images, "images", "", "folder of the images")
	f.StringVar(&pool, "pool", "", "CSV filename,truth")
	f.StringVar(&labels, "labels", "", "CSV filename,label to start from")
	f.StringVar(&method, "method", "fixmatch", "fixmatch, fast, best or joint (best and fixmatch)")
	f.StringVar(&work, "work", "", "folder that keeps the embeddings for the next run")
	f.IntVar(&size, "size", 0, "pixels a side; best embeds at fast.size of the settings (default: the settings')")
	f.IntVar(&cycles, "cycles", 3, "rounds of training")
	f.IntVar(&iterations, "iterations", 100, "training steps a round")
	f.Int64Var(&seed, "seed", 42, "of everything random")
	seedsFlag(cmd, &seeds)
	runtimeFlag(cmd, &runtime)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// printReport writes v as JSON, or the protocol's rows as a table.
func printReport(cmd *cobra.Command, asJSON bool, v any, r *bench.Report) error {
	if asJSON {
		return printJSON(cmd, v)
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "method %s at %d px on %s, seed %d\n", r.Method, r.Size, common.Clean(r.Backend), r.Seed)
	for _, c := range r.Cycles {
		fmt.Fprintf(out, "%s; trained %.1f s, scored %.1f s\n", &c, c.TrainSeconds, c.ScoreSeconds)
	}
	return nil
}

func benchScoreCommand() *cobra.Command {
	var images, runtime string
	var size, n, batch int
	var asJSON, prepared bool
	cmd := &cobra.Command{
		Use:   "score --images DIR",
		Short: "Images a second from files to scores",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if images == "" {
				return usage("--images is missing")
			}
			cfg, err := benchConfig(runtime, func(c *anomalymatch.Config) {
				c.Model.Size, c.Images.Prepare = size, prepared
				if batch > 0 {
					c.Model.ScoreBatch = batch
				}
			})
			if err != nil {
				return err
			}
			work, err := os.MkdirTemp("", "anomalymatch-bench-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(work)
			pool, err := dataset.OpenPool(cmd.Context(), work, []dataset.NamedSource{{Name: "images", Path: images}}, dataset.Limits{}, nil)
			if err != nil {
				return err
			}
			defer pool.Close()
			r, err := bench.Score(cmd.Context(), pool, cfg, n)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd, r)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, %d px: %.0f images/s from files (decoding alone %.0f, network alone %.0f), compiled in %.1f s, %.0f MiB; decoding waited %.2f s for the network, the network %.2f s for pictures\n",
				common.Clean(r.Backend), r.Size, r.PerSecond, r.DecodeSpeed, r.InferSpeed, r.CompileSeconds, r.MaxRSS, r.DecodingWaited, r.NetworkWaited)
			if p := r.Prepared; p != nil {
				fmt.Fprintf(cmd.OutOrStdout(), "prepared in %.1f s, %.0f MiB: %.0f images/s, %.1f × files (reading alone %.0f)\n", p.PrepareSeconds, p.MiB, p.PerSecond, p.PerSecond/r.PerSecond, p.ReadSpeed)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&images, "images", "", "folder of images")
	f.IntVar(&size, "size", 224, "pixels a side")
	f.IntVar(&n, "n", 1000, "how many of them")
	f.IntVar(&batch, "batch", 0, "images a batch (default: the settings')")
	f.BoolVar(&prepared, "prepared", false, "also from prepared pixels (images.prepare), in a temporary folder")
	runtimeFlag(cmd, &runtime)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func benchNetworkCommand() *cobra.Command {
	opt := bench.NetworkOptions{}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "network",
		Short: "Images a second of the network alone, on each backend in turn",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, list := range []struct {
				flag        string
				values      []int
				least, most int
			}{{"--sizes", opt.Sizes, 32, 512}, {"--batches", opt.Batches, 1, 1024}, {"--rounds", []int{opt.Rounds}, 1, 1000}} {
				if len(list.values) == 0 || slices.Min(list.values) < list.least || slices.Max(list.values) > list.most {
					return usage("%s is %d to %d", list.flag, list.least, list.most)
				}
			}
			if len(opt.Runtimes) == 0 {
				return usage("--runtimes is empty")
			}
			line := progress.New(os.Stderr)
			defer line.Clear()
			opt.Tell = line.Set
			r, err := bench.Network(cmd.Context(), opt)
			if err != nil {
				return err
			}
			line.Clear()
			if asJSON {
				return printJSON(cmd, r)
			}
			for _, t := range r.Runs {
				fmt.Fprintf(cmd.OutOrStdout(), "%3d px  %-8s %6.0f images/s in batches of %d, %.0f a second of processor time  %s\n", t.Size, common.Clean(t.Backend), t.PerSecond, t.Batch, t.PerCPU, t.Form)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.IntSliceVar(&opt.Sizes, "sizes", []int{64, 224}, "pixels a side")
	f.IntSliceVar(&opt.Batches, "batches", []int{16, 64, 256}, "images a batch; the fastest is measured")
	f.StringSliceVar(&opt.Runtimes, "runtimes", []string{"onnx", "xla", "go"}, "backends")
	f.IntVar(&opt.Rounds, "rounds", 5, "how often each is measured")
	f.DurationVar(&opt.Time, "time", 2*time.Second, "of each measurement")
	f.IntVar(&opt.Channels, "channels", 3, "channels of the images")
	f.BoolVar(&opt.Forms, "forms", false, "all ways to write the layers, where a backend has several")
	f.StringVar(&opt.Keep, "keep", "", "write the network at the first size as an ONNX file, for other programs")
	jsonFlag(cmd, &asJSON)
	return cmd
}
