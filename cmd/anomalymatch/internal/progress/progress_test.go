package progress

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"anomalymatch/engine/rpc"
)

func TestJob(t *testing.T) {
	step := &rpc.TrainStep{Loss: 0.41234, Kept: 0.634}
	for _, c := range []struct {
		status *rpc.Status
		step   *rpc.TrainStep
		want   string
	}{
		{&rpc.Status{State: "indexing", Step: 12000, RemainingSeconds: -1}, nil, "indexing · 12,000 so far"},
		{&rpc.Status{State: "embedding", Detail: "compiling the network", Steps: 6446, RemainingSeconds: -1}, nil, "embedding · compiling the network · 0 of 6,446"},
		{&rpc.Status{State: "training", Detail: "compiling the training step", Steps: 100, RemainingSeconds: -1}, nil, "training · compiling the training step"},
		{&rpc.Status{State: "training", Step: 12, Steps: 100, ImagesPerSecond: 210, RemainingSeconds: 70}, step, "training · step 12 of 100 · loss 0.412 · kept 63% · 210 images/s · 70 s left"},
		{&rpc.Status{State: "scoring", Step: 500, Steps: 6446, ImagesPerSecond: 770, RemainingSeconds: 7.7}, step, "scoring · 500 of 6,446 · 770 images/s · 8 s left"},
		{&rpc.Status{State: "idle", RemainingSeconds: -1}, nil, "idle"},
	} {
		if got := Job(c.status, c.step); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

func TestBytes(t *testing.T) {
	for _, c := range []struct {
		done, total int64
		speed       float64
		want        string
	}{
		{0, 0, 0, "0 B"},
		{32e6, 64e6, 8e6, strings.Repeat("━", 12) + strings.Repeat("·", 12) + "  50%  32 MB of 64 MB · 8.0 MB/s · 4 s left"},
		{64e6, 64e6, 0, strings.Repeat("━", 24) + " 100%  64 MB of 64 MB"},
		{65e6, 64e6, 0, strings.Repeat("━", 24) + " 100%  65 MB of 64 MB"},
	} {
		if got := Bytes(c.done, c.total, c.speed); got != c.want {
			t.Errorf("got  %q\nwant %q", got, c.want)
		}
	}
}

func TestLine(t *testing.T) {
	now := time.Unix(0, 0)
	var b bytes.Buffer
	l := &Line{out: &b, now: func() time.Time { return now }, last: now.Add(-time.Hour)}
	l.Set("a")
	l.Set("too soon")
	now = now.Add(seldom)
	l.Set("b\x1b[2J\n")
	l.Say("stays")
	l.Set("c")
	if want := "a\nb␛[2J␊\nstays\nc\n"; b.String() != want {
		t.Errorf("no terminal: got %q, want %q", b.String(), want)
	}

	b.Reset()
	l = &Line{out: &b, now: l.now, width: func() int { return 10 }}
	l.Set("twelve cells")
	l.Say("stays")
	l.Set("x")
	l.Clear()
	l.Clear()
	if want := "\r\x1b[Ktwelve c…\r\x1b[Kstays\n\r\x1b[Kx\r\x1b[K"; b.String() != want {
		t.Errorf("terminal: got %q, want %q", b.String(), want)
	}
}
