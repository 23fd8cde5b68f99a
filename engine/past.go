package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"anomalymatch/engine/fixmatch"
	"anomalymatch/engine/rpc"
	"anomalymatch/engine/train"
)

// past is what the engine remembers of the training runs on disk, so that a file is read again only when it grew.
type past struct {
	mu   sync.Mutex
	runs map[int]pastRun
}

type pastRun struct {
	size int64
	time time.Time
	run  *rpc.TrainRun // with all its steps
}

// What a request without numbers gets, and the most that one gets.
const usualRuns, mostRuns, usualPoints, mostPoints = 10, 200, 200, 5000

// Runs tells of the training runs of the project, the newest first.
func (s *Service) Runs(ctx context.Context, in *rpc.RunsRequest) (*rpc.RunsReply, error) {
	limit, points := int(in.Limit), int(in.Points)
	if limit <= 0 {
		limit = usualRuns
	}
	if points <= 0 {
		points = usualPoints
	}
	limit, points = min(limit, mostRuns), min(points, mostPoints)
	p := &s.e.past
	p.mu.Lock()
	defer p.mu.Unlock()
	out, known := &rpc.RunsReply{}, map[int]pastRun{}
	files, _ := fixmatch.Checkpoints(train.Checkpoints(s.e.opt.Dir))
	for _, cycle := range train.Rounds(s.e.opt.Dir) {
		if len(out.Runs) == limit {
			break
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		info, err := os.Stat(train.StepsPath(s.e.opt.Dir, cycle))
		if err != nil {
			continue
		}
		r, ok := p.runs[cycle]
		if !ok || r.size != info.Size() || !r.time.Equal(info.ModTime()) {
			steps, err := train.ReadSteps(s.e.opt.Dir, cycle)
			if err != nil {
				continue
			}
			r = pastRun{info.Size(), info.ModTime(), &rpc.TrainRun{Cycle: int32(cycle), Steps: steps, EndedUnixMs: info.ModTime().UnixMilli()}}
		}
		known[cycle] = r
		if len(r.run.Steps) == 0 {
			continue
		}
		c := fixmatch.InfoOf(files, cycle) // older programs did not write how many labels it is of
		out.Runs = append(out.Runs, &rpc.TrainRun{Cycle: int32(cycle), Steps: thinned(r.run.Steps, points), Anomalies: int64(c.Anomalies), Normals: int64(c.Normals), EndedUnixMs: r.run.EndedUnixMs})
	}
	p.runs = known
	return out, nil
}

// What a request for the log gets, and how much of the file is read, from its end.
const usualLines, mostLines, logBytes = 100, 1000, 64 << 10

// Log tells the last lines of the engine's log.
func (s *Service) Log(_ context.Context, in *rpc.LogRequest) (*rpc.LogReply, error) {
	n := int(in.Lines)
	if n <= 0 {
		n = usualLines
	}
	out := &rpc.LogReply{File: s.e.dir("engine.log")}
	text, err := tail(out.File, logBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil // who runs the engine in the foreground reads it there
	}
	if err != nil {
		return nil, err
	}
	out.Lines = lastLines(text, min(n, mostLines))
	return out, nil
}

// tail reads at most the last n bytes of a file; what is cut off at the beginning goes to the end of its line.
func tail(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	from := max(0, size-n)
	text, err := io.ReadAll(io.NewSectionReader(f, from, n))
	if from > 0 {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return text, err
}

func lastLines(text []byte, n int) []string {
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if len(all) == 1 && all[0] == "" {
		return nil
	}
	all = all[max(0, len(all)-n):]
	for i := range all { // a string on the wire is UTF-8
		all[i] = strings.ToValidUTF8(all[i], "\ufffd")
	}
	return all
}
