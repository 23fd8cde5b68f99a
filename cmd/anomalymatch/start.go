package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/label"
	"anomalymatch/engine/rpc"
	"anomalymatch/session"
	"anomalymatch/session/journal"
	"anomalymatch/session/remote"
	"anomalymatch/tui/start"

	"github.com/spf13/cobra"
)

// startPage offers what can be done without a project.
func startPage(cmd *cobra.Command, images string) error {
	if !terminal() {
		return usage("which project? `anomalymatch PROJECT` opens one in a terminal, `anomalymatch new PROJECT --images FOLDER` makes one, `anomalymatch --help` lists the rest")
	}
	config, err := anomalymatch.Load(anomalymatch.UserFile())
	if err != nil {
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		here = "~"
	}
	far := hostOf(cmd)
	opt := start.Options{Here: here, About: aboutProject, Create: createProject, Config: config.TUI, Environ: os.Environ(),
		Container: dataset.IsContainer,
		Look:      func(ctx context.Context, dir string, n int) start.Look { return lookAt(ctx, dir, here, n) },
		Hosts:     func() []string { return knownHosts(far.config) },
	}
	for _, dir := range session.Recent() {
		opt.Recent = append(opt.Recent, start.Choice{Project: dir})
	}
	for _, t := range session.RecentThere() {
		opt.Recent = append(opt.Recent, start.Choice{Host: t.Host, Project: t.Project})
	}
	choice, err := start.Run(cmd.Context(), opt)
	switch {
	case err != nil:
		return err
	case choice.Demo:
		demo, _, err := cmd.Root().Find([]string{"demo"})
		if err != nil {
			return err
		}
		demo.SetContext(cmd.Context())
		if err := demo.Flags().Set("pictures", images); err != nil {
			return err
		}
		return demo.RunE(demo, nil)
	case choice.Host != "":
		far.host = choice.Host
		return far.openThere(cmd.Context(), choice.Project, images)
	case choice.Project != "":
		return openProject(cmd.Context(), choice.Project, images)
	}
	return nil
}

// knownHosts are the hosts of projects opened of late, then those that ssh's configuration names.
func knownHosts(config string) (all []string) {
	for _, t := range session.RecentThere() {
		if !slices.Contains(all, t.Host) {
			all = append(all, t.Host)
		}
	}
	for _, h := range remote.Hosts(config) {
		if !slices.Contains(all, h) {
			all = append(all, h)
		}
	}
	return all
}

// aboutProject tells what the files of a project say; no engine is asked, and none started.
func aboutProject(_ context.Context, dir string) start.About {
	p, err := session.Open(dir)
	if err != nil {
		return start.About{Err: sentence(err)}
	}
	a := start.About{Known: true, Images: -1}
	if n, ok := dataset.Listed(p.Sub("index")); ok {
		a.Images = n
	}
	if j, err := journal.Open(p.Sub("labels"), journal.DefaultWriter()); err == nil {
		for _, v := range j.Current() {
			switch v {
			case label.Anomaly:
				a.Anomalies++
			case label.Normal:
				a.Normal++
			}
		}
		if last := j.History("", 1); len(last) > 0 {
			a.Used = last[len(last)-1].Time
		}
		j.Close()
	}
	if h, runs := rpc.Where(p.Dir); runs {
		a.Engine = h.Host
		if host, err := os.Hostname(); err == nil && host == h.Host {
			a.Engine = "here"
		}
	}
	return a
}

const (
	lookFor    = 1500 * time.Millisecond // a look into a folder takes no longer, however large that is
	lookImages = 100_000                 // that are counted
	lookPixels = 25_000_000              // of an image that is shown
)

// lookAt counts the images below a folder, as far as a look goes, and decodes a few of them.
func lookAt(ctx context.Context, dir, here string, pictures int) start.Look {
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	out := start.Look{Place: placeFor(dir, here)}
	src, err := dataset.OpenSource(dataset.NamedSource{Name: "images", Path: dir}, dataset.Limits{MaxPixels: lookPixels})
	if err != nil {
		out.Err = sentence(err)
		return out
	}
	defer src.Close()
	const among = 2000 // the first ones, from which those to be shown are taken
	var some []dataset.Entry
	for e, err := range src.Entries(ctx) {
		if err != nil {
			if ctx.Err() != nil {
				out.More = true
				break
			}
			if out.Images == 0 {
				out.Err = sentence(err)
			}
			continue
		}
		if out.Images++; len(some) < among {
			some = append(some, e)
		}
		if out.Images == lookImages {
			out.More = true
			break
		}
	}
	limit, done := context.WithTimeout(context.WithoutCancel(ctx), lookFor)
	defer done()
	for i := 0; i < len(some) && len(out.Pictures) < pictures && limit.Err() == nil; i += max(1, len(some)/max(1, pictures)) {
		has, err := src.Read(limit, some[i])
		var m dataset.RGB
		if err == nil {
			m, err = has.Decode(dataset.Limits{MaxPixels: lookPixels})
		}
		if err != nil {
			continue
		}
		out.Pictures = append(out.Pictures, dataset.Shrink(m, 256).Image())
	}
	if len(out.Pictures) == 0 && len(some) > 0 {
		out.Err = "none of those tried can be read"
	}
	return out
}

// placeFor proposes a folder for a project on images: one of their name where the person is, unless that is taken, or is among the images.
func placeFor(images, here string) string {
	base := filepath.Base(images)
	if dataset.IsContainer(base) {
		base = base[:max(strings.IndexByte(base, '.'), 0)]
	}
	if strings.Trim(base, "/.\\") == "" {
		base = "images"
	}
	at := here
	if rel, err := filepath.Rel(images, here); err == nil && filepath.IsLocal(rel) || at == "~" {
		at = filepath.Dir(images)
	}
	place := filepath.Join(at, base)
	if _, err := os.Lstat(place); err == nil {
		place += "-project"
	}
	return place
}

// createProject does what `new` does, for the start page.
func createProject(ctx context.Context, place, images string, listed func(int64)) (string, error) {
	if rest, ok := strings.CutPrefix(place, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			place = filepath.Join(home, rest)
		}
	}
	p, err := session.Create(place, session.Options{Images: []string{images}})
	if err != nil {
		return "", errors.New(sentence(err))
	}
	pool, err := p.OpenPool(ctx, listed)
	if err == nil {
		err = tryImages(ctx, pool)
		pool.Close()
	}
	if err != nil {
		return "", errors.New(sentence(errors.Join(err, p.Discard())))
	}
	session.Remember(p.Dir)
	return p.Dir, nil
}
