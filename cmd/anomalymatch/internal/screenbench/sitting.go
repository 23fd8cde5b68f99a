package screenbench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/creack/pty"

	"anomalymatch"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/rpc"
	"anomalymatch/internal/slowlink"
	"anomalymatch/tui"
	"anomalymatch/tui/tuitest/emulator"
	"anomalymatch/tui/tuitest/fake"
)

// patience is how long something is waited for before it counts as lost.
const patience = 20 * time.Second

// sitting is the screen in a pseudo-terminal with a terminal at the other end of a link.
type sitting struct {
	engine *fake.Engine
	term   *emulator.Terminal
	keys   io.Writer
	end    func() error

	mu      sync.Mutex
	waiters []*waiter
}

type waiter struct {
	holds func(emulator.Frame) bool
	at    chan time.Time
}

// open starts the program on an engine; link nil: nothing is between program and terminal.
func open(ctx context.Context, e *fake.Engine, cols, rows int, link *slowlink.Link, keep bool) (*sitting, error) {
	client, err := e.Dial(ctx)
	if err != nil {
		return nil, err
	}
	master, tty, err := pty.Open()
	if err != nil {
		return nil, fmt.Errorf("there is no pseudo-terminal to run the screen in: %w", err)
	}
	if err := pty.Setsize(master, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)}); err != nil {
		return nil, errors.Join(err, master.Close(), tty.Close())
	}
	s := &sitting{engine: e, keys: master}
	wire := io.Closer(io.NopCloser(nil))
	if link != nil {
		keys, typed := io.Pipe()
		go func() { keys.CloseWithError(link.Pipe(master, keys)) }()
		s.keys, wire = typed, typed
	}
	s.term = emulator.New(emulator.Options{Cols: cols, Rows: rows, Keep: keep, Changed: s.changed}, s.keys)
	go func() {
		if link != nil {
			link.Pipe(s.term, master)
		} else {
			io.Copy(s.term, master)
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- tui.Run(ctx, tui.Options{Client: client, Reconnect: e.Dial, Config: anomalymatch.Default(), Writer: writer, Version: "dev", Project: "bench",
			Environ: []string{"TERM=xterm-kitty", "LANG=C.UTF-8"}, Input: tty, Output: tty})
	}()
	s.end = func() error {
		cancel()
		var err error
		select {
		case err = <-done:
		case <-time.After(patience):
			err = errors.New("the screen does not end")
		}
		tty.Close()
		master.Close()
		wire.Close()
		s.term.Close()
		return err
	}
	return s, nil
}

// writer is whose labels they are.
const writer = "bench"

// changed tells those who wait for something that they see it.
func (s *sitting) changed(f emulator.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.waiters[:0]
	for _, w := range s.waiters {
		if w.holds(f) {
			w.at <- time.Now()
			continue
		}
		left = append(left, w)
	}
	s.waiters = left
}

// expect notes when something is on screen for the first time from now on. It is looked at whenever a frame or a picture is there.
func (s *sitting) expect(holds func(emulator.Frame) bool) *waiter {
	w := &waiter{holds, make(chan time.Time, 1)}
	s.mu.Lock()
	s.waiters = append(s.waiters, w)
	s.mu.Unlock()
	return w
}

// wait is when it was there; an error: it did not come.
func (s *sitting) wait(w *waiter) (time.Time, error) { return s.within(w, patience) }

func (s *sitting) within(w *waiter, patience time.Duration) (time.Time, error) {
	select {
	case at := <-w.at:
		return at, nil
	case <-time.After(patience):
		s.mu.Lock()
		for i := range s.waiters {
			if s.waiters[i] == w {
				s.waiters = append(s.waiters[:i], s.waiters[i+1:]...)
				break
			}
		}
		s.mu.Unlock()
		return time.Time{}, fmt.Errorf("what a key does was not on screen within %v; the screen is\n%s", patience, s.term.Screen())
	}
}

// quiet waits until the program has written nothing for a while.
func (s *sitting) quiet(ctx context.Context, long time.Duration) error {
	for deadline := time.Now().Add(3 * patience); time.Since(s.term.Wrote()) < long; {
		if time.Now().After(deadline) {
			return nil // the clock in the status line and the like: quiet enough
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

var place = regexp.MustCompile(`([\d,]+)/[\d,]+ candidates`)

// position is the cursor's place in the list as the header says, from 1; 0: it does not say.
func position(f emulator.Frame) int {
	m := place.FindStringSubmatch(strings.Join(f.Row(0), ""))
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
	return n
}

// at holds where the cursor is at a place.
func at(n int) func(emulator.Frame) bool {
	return func(f emulator.Frame) bool { return position(f) == n }
}

// complete holds where the page with a place shows all its pictures.
func complete(n int) func(emulator.Frame) bool {
	return func(f emulator.Frame) bool {
		if p := position(f); p == 0 {
			return false
		}
		on := false
		all := f.Captions()
		for _, c := range all {
			if !f.Drawn(c) {
				return false
			}
			on = on || c.Number == n
		}
		return on
	}
}

// photographs are galaxies as files: drawn, compressed as a survey does it, and decoded and packed again as the engine does.
type photographs struct {
	files [][]byte
	plain []image.Image
}

// photograph draws n galaxies.
func photograph(n, size int, seed uint64) *photographs {
	p := &photographs{make([][]byte, n), make([]image.Image, n)}
	var wg sync.WaitGroup
	next := make(chan int)
	for range 4 {
		wg.Go(func() {
			for i := range next {
				m, _ := synth.Galaxy(seed, i, size)
				var b bytes.Buffer
				jpeg.Encode(&b, m.Image(), &jpeg.Options{Quality: 92}) // into memory: cannot fail
				p.plain[i], _ = jpeg.Decode(&b)
				p.files[i] = pack(p.plain[i])
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return p
}

// pack makes the file that an engine would send of a picture.
func pack(m image.Image) []byte {
	out := image.NewRGBA(m.Bounds())
	draw.Draw(out, out.Bounds(), m, m.Bounds().Min, draw.Src)
	var b bytes.Buffer
	(&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, out)
	return b.Bytes()
}

// mean is the size of a file.
func (p *photographs) mean() int {
	n := 0
	for _, f := range p.files {
		n += len(f)
	}
	return n / max(1, len(p.files))
}

// picture is the file of the pool's image i.
func (p *photographs) picture(i int, _ bool) []byte { return p.files[i%len(p.files)] }

// A mark is the image's number in the corner of its picture, black and white: so the picture on a screen says which one it is, whatever
// was done to it on its way.
const markBits, markAcross, markBlock = 24, 6, 6

// marked is the file of image i with its number in the corner.
func (p *photographs) marked(i int, _ bool) []byte {
	plain := p.plain[i%len(p.plain)]
	m := image.NewRGBA(plain.Bounds())
	draw.Draw(m, m.Bounds(), plain, plain.Bounds().Min, draw.Src)
	for bit := range markBits {
		c := color.Black
		if i>>bit&1 == 1 {
			c = color.White
		}
		draw.Draw(m, markBox(bit), image.NewUniform(c), image.Point{}, draw.Src)
	}
	return pack(m)
}

func markBox(bit int) image.Rectangle {
	at := image.Pt(bit%markAcross*markBlock, bit/markAcross*markBlock)
	return image.Rectangle{at, at.Add(image.Pt(markBlock, markBlock))}
}

// number reads the mark of a picture of size pixels a side as it was sent to the terminal, perhaps smaller; false: it is no picture.
func number(file []byte, size int) (n int, ok bool) {
	m, _, err := image.Decode(bytes.NewReader(file))
	if err != nil {
		return 0, false
	}
	scale := float64(m.Bounds().Dx()) / float64(size)
	for bit := range markBits {
		b := markBox(bit)
		middle := image.Pt(int(float64(b.Min.X+b.Max.X)/2*scale), int(float64(b.Min.Y+b.Max.Y)/2*scale))
		if color.GrayModel.Convert(m.At(m.Bounds().Min.X+middle.X, m.Bounds().Min.Y+middle.Y)).(color.Gray).Y > 127 {
			n |= 1 << bit
		}
	}
	return n, true
}

// history is what the engine wrote down, oldest first.
func (s *sitting) history(ctx context.Context) ([]*rpc.LabelEvent, error) {
	r, err := s.engine.History(ctx, &rpc.HistoryRequest{By: writer, Limit: 1 << 20})
	return r.GetEvents(), err
}
