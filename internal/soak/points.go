//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/score"
	"anomalymatch/internal/failpoint"
)

// doing is something that a person has the program do, and that comes to some of the failpoints.
type doing struct {
	points []failpoint.Point
	most   int // how often it comes to each of them, at least
	// do makes the project and does it with these variables in the environment of the process that is to die; died is what that process said last, empty
	// where it lived. Then it is done to the end without them, and looked at.
	do func(ctx context.Context, w *world, t *tally, env string) (said string, err error)
}

// doings come to all points: killAtPoints fails where they do not.
var doings = []doing{
	{[]failpoint.Point{failpoint.JournalMade, failpoint.JournalTorn}, 1, labelling},
	{[]failpoint.Point{failpoint.JournalBegun, failpoint.JournalHalf, failpoint.JournalWritten, failpoint.JournalSynced}, 20, labelling},
	{[]failpoint.Point{failpoint.AppendBegun, failpoint.AppendHalf, failpoint.AppendWritten, failpoint.AppendSynced, failpoint.TrainRecorded, failpoint.ScoresKept}, 1, training},
	{[]failpoint.Point{failpoint.TrainStep}, 2, training},
	{[]failpoint.Point{failpoint.TrainKept, failpoint.PartMade, failpoint.PartFilled, failpoint.PartSynced, failpoint.PartRenamed}, 3, training},
	{[]failpoint.Point{failpoint.ScoresHalf, failpoint.ScoresBatch}, 8, training},
	{[]failpoint.Point{failpoint.EmbeddingsRows, failpoint.EmbeddingsWhole, failpoint.EmbeddingsRenamed, failpoint.PixelsWhole, failpoint.PixelsRenamed, failpoint.IndexRenamed}, 1, embedding},
	{[]failpoint.Point{failpoint.IndexBefore, failpoint.IndexRenamed}, 1, another},
	{[]failpoint.Point{failpoint.ShardScores}, 6, sharding},
	{[]failpoint.Point{failpoint.PartMade, failpoint.PartFilled, failpoint.PartSynced, failpoint.PartRenamed}, 12, sharding},
	{[]failpoint.Point{failpoint.ProjectFolder, failpoint.PartMade, failpoint.PartFilled, failpoint.PartSynced, failpoint.PartRenamed}, 1, creating},
	{[]failpoint.Point{failpoint.JournalMade, failpoint.ThumbWhole}, 1, atTheScreen},
	{[]failpoint.Point{failpoint.OutboxKept, failpoint.OutboxDelivered, failpoint.JournalBegun, failpoint.JournalHalf, failpoint.JournalWritten, failpoint.JournalSynced}, 3, atTheScreen},
}

// killAtPoints kills a process at each point: the first time it comes there, and in later rounds some other time.
func killAtPoints(ctx context.Context, w *world, t *tally, more func() bool) error {
	reached := map[failpoint.Point]bool{}
	for round := 0; round == 0 || more(); round++ {
		for _, d := range doings {
			for _, p := range d.points {
				if !more() && round > 0 {
					return nil
				}
				if w.points != nil && (!slices.Contains(w.points, p) || reached[p]) {
					continue
				}
				n := 1
				if round > 0 {
					n += w.r.IntN(d.most)
				}
				said, err := d.do(ctx, w, t, failpoint.At(p, n))
				switch {
				case ctx.Err() != nil:
					return nil
				case err != nil:
					return fmt.Errorf("after %s, time %d: %w", p, n, err)
				case !strings.Contains(strings.ReplaceAll(said, "\r", ""), failpoint.Said(p)):
					t.say("%s was not reached a time %d: %q", p, n, said)
				case len(t.wrong) > 0:
					t.say("that was after %s, time %d", p, n)
				}
				t.faults++
				if reached[p] = true; len(t.wrong) > 0 {
					return nil
				}
			}
		}
		for _, p := range failpoint.Points {
			if !reached[p] && w.points == nil {
				t.say("nothing comes to %s: doings lacks it", p)
			}
		}
	}
	return nil
}

// dies waits until the process has killed itself.
func (p *process) dies(ctx context.Context) (said string) {
	for begin := time.Now(); !p.ended(10*time.Millisecond) && time.Since(begin) < patience && ctx.Err() == nil; {
	}
	said = p.said()
	p.kill()
	if p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		said = ""
	}
	return said
}

// after runs what the engine of a project has yet to do, to its end, looks at everything, and removes the project.
func (p *project) after(ctx context.Context, t *tally) error {
	return errors.Join(p.settle(ctx, t), p.remove())
}

// labelling is the engine while a client gives labels, beginning with a journal that ends in half a line.
func labelling(ctx context.Context, w *world, t *tally, env string) (string, error) {
	p, err := w.project("index", "embeddings")
	if err != nil {
		return "", err
	}
	labels := p.clerk()
	if !strings.Contains(env, string(failpoint.JournalMade)) {
		if err := p.torn(ctx, labels); err != nil {
			return "", err
		}
	}
	e, err := p.engine(env)
	if err != nil {
		return "", err
	}
	end, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	go func() {
		<-e.done
		cancel()
	}()
	labels.work(end)
	said := e.dies(ctx)
	labels.check(t)
	if e, err = p.engine(); err != nil {
		return "", err
	}
	labels.doubtless(ctx)
	labels.check(t)
	return said, errors.Join(p.idle(ctx, e), p.stop(e), p.after(ctx, t))
}

// torn gives a label and then has the journal end in half of another one.
func (p *project) torn(ctx context.Context, labels *clerk) error {
	e, err := p.engine()
	if err != nil {
		return err
	}
	labels.give(ctx, []string{"anomaly"})
	e.kill()
	files, err := filepath.Glob(p.sub("labels", "*.jsonl"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("there are %d journals: %w", len(files), err)
	}
	f, err := os.OpenFile(files[0], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(`{"lamport":2,"time":"2025-01-`)
	return errors.Join(err, f.Close())
}

// doubtless sends what is in doubt until it is confirmed.
func (c *clerk) doubtless(ctx context.Context) {
	if c.doubt == nil {
		return
	}
	if client, err := c.dial(ctx); err == nil {
		c.send(ctx, client)
		client.Close()
	}
}

// training is the engine while it trains and then scores.
func training(ctx context.Context, w *world, t *tally, env string) (string, error) {
	p, err := w.project(whole...)
	if err != nil {
		return "", err
	}
	e, err := p.engine(env)
	if err != nil {
		return "", err
	}
	if err := p.train(ctx); err != nil && !e.ended(time.Second) {
		return "", err
	}
	said := e.dies(ctx)
	p.checkpoints(t)
	_, info, _, _, err := fixmatch.Latest(p.sub("checkpoints"))
	if err != nil {
		return "", err
	}
	if e, err = p.engine(); err != nil {
		return "", err
	}
	if info.Cycle == 1 { // nothing of the round is kept yet: it is asked for again. Else it goes on by itself.
		if err := p.train(ctx); err != nil {
			return "", err
		}
	}
	for begin := time.Now(); len(score.Files(p.sub("scores"))) == 1 && time.Since(begin) < patience && pause(ctx, 10*time.Millisecond); {
	}
	if err := p.idle(ctx, e); err != nil {
		return "", err
	}
	if err := p.stop(e); err != nil {
		return "", err
	}
	p.checkpoints(t)
	if files := score.Files(p.sub("scores")); len(files) != 2 {
		t.say("the scores of the second cycle are not complete: %v", files)
	}
	return said, p.after(ctx, t)
}

// train asks for a training until one begins: while the engine reads what there is it knows of no labels.
func (p *project) train(ctx context.Context) error {
	c, err := p.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	for begin := time.Now(); ; {
		r, err := c.Train(ctx, &rpc.TrainRequest{ThenScore: true})
		switch {
		case err != nil:
			return err
		case r.GetStarted():
			return nil
		case time.Since(begin) > patience || !pause(ctx, 5*time.Millisecond):
			return errors.New(r.GetReason())
		}
	}
}

// embedding is the engine of a new project while it lists, embeds and keeps prepared pixels.
func embedding(ctx context.Context, w *world, t *tally, env string) (string, error) {
	p, err := w.project()
	if err != nil {
		return "", err
	}
	if err := p.configure(p.sky, true); err != nil {
		return "", err
	}
	e, err := p.engine(env)
	if err != nil {
		return "", err
	}
	said := e.dies(ctx)
	if err := p.settle(ctx, t); err != nil {
		return said, err
	}
	p.same(t, "embeddings/frozen-32x1.f16")
	if files, _ := filepath.Glob(p.sub("prepared/*/*.pix")); len(files) == 0 {
		t.say("no pixels are prepared")
	}
	return said, p.remove()
}

// another is the engine of a project whose images have become more.
func another(ctx context.Context, w *world, t *tally, env string) (string, error) {
	p, err := w.project()
	if err != nil {
		return "", err
	}
	sky := filepath.Join(w.dir, "more", "sky")
	if err := errors.Join(os.RemoveAll(sky), os.MkdirAll(filepath.Dir(sky), 0o777), os.CopyFS(sky, os.DirFS(p.sky)), p.configure(sky, true)); err != nil {
		return "", err
	}
	if err := p.settle(ctx, t); err != nil {
		return "", err
	}
	if _, err := synth.Write(filepath.Join(sky, "more"), 3, synth.Params{Seed: 9, Size: 48}, nil); err != nil {
		return "", err
	}
	e, err := p.engine(env)
	if err != nil {
		return "", err
	}
	said := e.dies(ctx)
	if err := p.settle(ctx, t); err != nil {
		return said, err
	}
	if _, err := os.Stat(p.sub("index/before.idx")); err == nil {
		t.say("the list of before is still there: what was made of it was not taken over")
	}
	return said, p.remove()
}

// sharding is a worker that scores the shards of a plan.
func sharding(ctx context.Context, w *world, t *tally, env string) (string, error) {
	p, err := w.project("index", "embeddings", "checkpoints", "runs", "labels")
	if err != nil {
		return "", err
	}
	worker, err := w.start([]string{env}, "score", p.dir, "--shards", "6")
	if err != nil {
		return "", err
	}
	said := worker.dies(ctx)
	if out, err := w.command("score", p.dir, "--shards", "6").CombinedOutput(); err != nil {
		t.say("the shards after a crash: %v: %s", err, out)
	}
	p.same(t, "scores/cycle-001.scores")
	return said, p.after(ctx, t)
}

// creating makes a project; cut off anywhere, the same command makes it.
func creating(ctx context.Context, w *world, t *tally, env string) (string, error) {
	dir := filepath.Join(w.dir, "created")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	argv := []string{"new", dir, "--images", filepath.Join(w.dir, "sky")}
	maker, err := w.start([]string{env}, argv...)
	if err != nil {
		return "", err
	}
	said := maker.dies(ctx)
	out, err := w.command(argv...).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "is a project already") { // the first one was just done
		t.say("a project cannot be made where making one was cut off: %v: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "project.toml")); err != nil {
		t.say("there is no project: %v", err)
	}
	return said, os.RemoveAll(dir)
}

// atTheScreen is the terminal program at a project on a host, where somebody gives labels.
func atTheScreen(ctx context.Context, w *world, t *tally, env string) (string, error) {
	p, err := w.project("index", "embeddings")
	if err != nil {
		return "", err
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(w.dir, "home/state")), os.RemoveAll(filepath.Join(w.dir, "home/cache/anomalymatch/thumbs"))); err != nil {
		return "", err
	}
	e, err := p.engine()
	if err != nil {
		return "", err
	}
	if err := p.idle(ctx, e); err != nil {
		return "", err
	}
	h := &person{p: p}
	s, err := p.screen(env)
	if err != nil {
		return "", err
	}
	h.label(ctx, s, 6)
	s.close()
	if err := errors.Join(h.look(t), h.delivered(ctx, t), p.stop(e)); err != nil {
		return "", err
	}
	return s.raw.String(), p.after(ctx, t)
}
