package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"anomalymatch/engine/rpc"
	"anomalymatch/session"
	"anomalymatch/session/journal"
	"anomalymatch/tui/common"
)

// least is the free space below which a project folder is said to be full, bytes.
const least = 1 << 30

// Project looks at a project's folder, and for whoever has none at the place where sockets lie.
func Project(ctx context.Context, e Env, p *session.Project) []Check {
	folder := Check{Name: "project", State: Good, Text: p.Dir + " can be written"}
	if p.ReadOnly {
		folder.State, folder.Text, folder.Todo = Bad, p.Notice, "copy the project's folder, or ask its owner for access"
	}
	room := disk(e, "disk", p.Dir, least, "free some space: checkpoints and embeddings need it")
	if fs, err := e.FS(p.Dir); err == nil && fs.shared {
		room.Text += "; a shared file system, which is fine: one machine at a time runs the engine"
	}
	checks := []Check{folder, room}
	if !p.ReadOnly {
		checks = append(checks, locks(e, p.Dir), syncs(e, p.Dir))
	}
	for _, s := range p.Sources {
		c := Check{Name: "source", State: Good, Text: s.Name + ": " + s.Path}
		if err := reachable(s.Path); err != nil {
			c.State, c.Text, c.Todo = Bad, fmt.Sprintf("%s: %v", s.Name, err), "check whether its disk is mounted, or correct the path in project.toml"
		}
		checks = append(checks, c)
	}
	return append(checks, images(ctx, p), labels(p), lock(p))
}

func images(ctx context.Context, p *session.Project) Check {
	pool, err := p.ListedPool(ctx)
	if err != nil {
		return Check{Name: "images", State: Absent, Text: err.Error()}
	}
	defer pool.Close()
	c := Check{Name: "images", State: Good, Text: common.Count(pool.Len())}
	if bad := pool.Bad(); len(bad) > 0 {
		c.Text += ", " + common.Plural(len(bad), "file") + " that cannot be used or changed, such as " + bad[0].ID + ", which " + bad[0].Reason
	}
	return c
}

func labels(p *session.Project) Check {
	store, err := journal.Open(p.Sub("labels"), journal.DefaultWriter())
	if err != nil {
		return Check{Name: "labels", State: Bad, Text: err.Error(), Todo: "keep a copy of the file, then repair or remove the line"}
	}
	return Check{Name: "labels", State: Good, Text: common.Plural(len(store.Current()), "image") + " labelled; yours are of the writer " + journal.DefaultWriter()}
}

// lock tries to be the engine for a moment.
func lock(p *session.Project) Check {
	switch err := rpc.Free(p.Dir); {
	case errors.Is(err, rpc.ErrRunning):
		return Check{Name: "engine", State: Good, Text: err.Error()}
	case err != nil:
		return Check{Name: "engine", State: Bad, Text: err.Error(), Todo: "the engine needs to lock the project's folder, or TMPDIR"}
	}
	return Check{Name: "engine", State: Good, Text: "none runs"}
}

// reachable reads the first name in a folder, which may have millions.
func reachable(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Readdirnames(1); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
