package dataset

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPreviewIsWhatTheNetworkSees: the pixels are those of a pool that is read so, for every candidate; what a reading cannot use is said, not kept.
func TestPreviewIsWhatTheNetworkSees(t *testing.T) {
	dir, index := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "three.fits"), cubeOf(3), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "one.fits"), cubeOf(1), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "torn.fits"), cubeOf(1)[:3000], 0o644))
	pool := func(index string, r Reading) *Pool {
		p, err := OpenPool(t.Context(), index, []NamedSource{{Name: "s", Path: dir, Reading: r}}, Limits{}, nil)
		must(t, err)
		t.Cleanup(func() { p.Close() })
		return p
	}
	p := pool(index, Reading{})
	three, _ := p.Find("s/three.fits")
	one, _ := p.Find("s/one.fits")
	readings := []Reading{{}, {Stretch: "asinh"}, {Stretch: "log", Low: 1, High: 90}, {Low: -5, High: 20}, {Channels: "0 0 1; 0 1 0; 1 0 0"}, {Channels: "0.5 0.25 0.25", Stretch: "zscale"}, {Channels: "2"}, {Stretch: "none"}}
	const size = 8
	seen, err := p.Preview(t.Context(), three, size, readings)
	must(t, err)
	for n, r := range readings {
		v := seen[n]
		if r.Check() != nil {
			if v.Err == nil {
				t.Errorf("%+v is no reading, and nothing is said", r)
			}
			continue
		}
		if v.Err != nil || v.Bands != 3 {
			t.Fatalf("%+v: %v, %d bands", r, v.Err, v.Bands)
		}
		of := pool(t.TempDir(), r)
		want := NewPixels(size, size, of.Channels())
		_, err := of.sized(t.Context(), three, size, want.Pix)
		must(t, err)
		if !bytes.Equal(v.Pix, want.RGB().Pix) {
			t.Errorf("%+v: other pixels than the network's", r)
		}
		if r.High != 0 && (v.Low != r.Low || v.High != r.High) || !(v.Low < v.High) {
			t.Errorf("%+v: from %v to %v", r, v.Low, v.High)
		}
		var b bytes.Buffer
		must(t, v.PNG(&b))
		if m, err := Decode(b.Bytes(), Limits{}); err != nil || !bytes.Equal(m.Pix, v.Pix) {
			t.Errorf("%+v: the picture is another one (%v)", r, err)
		}
	}
	if bytes.Equal(seen[0].Pix, seen[1].Pix) || bytes.Equal(seen[0].Pix, seen[4].Pix) {
		t.Error("readings make no difference")
	}
	seen, err = p.Preview(t.Context(), one, size, readings)
	must(t, err)
	if why := fmt.Sprint(seen[4].Err); !strings.Contains(why, "has 1 band, and the setting channels weighs 3") || seen[1].Err != nil || p.IsBad(one) {
		t.Errorf("%s, %v, bad: %v", why, seen[1].Err, p.IsBad(one))
	}
	if torn, _ := p.Find("s/torn.fits"); true {
		if _, err := p.Preview(t.Context(), torn, size, readings); err == nil || p.IsBad(torn) {
			t.Errorf("%v, bad: %v", err, p.IsBad(torn))
		}
	}
	if _, err := p.Preview(t.Context(), 99, size, readings); err == nil {
		t.Error("an image that is not there")
	}

	// Read so after all, it is a bad image; read otherwise again, it is tried again.
	odd := pool(index, readings[4])
	if _, err := odd.Image(t.Context(), one); err == nil || !odd.IsBad(one) {
		t.Fatalf("%v, bad: %v", err, odd.IsBad(one))
	}
	if again := pool(index, readings[4]); !again.IsBad(one) {
		t.Error("what is bad is forgotten")
	}
	if again := pool(index, Reading{}); again.IsBad(one) {
		t.Error("bad for how it was read before")
	}
}

// cubeOf is a FITS file of 12 × 9 values in bands that are unlike.
func cubeOf(bands int) []byte {
	var out bytes.Buffer
	for _, c := range []string{"SIMPLE  =                    T", "BITPIX  =                  -32", "NAXIS   =                    3", "NAXIS1  =                   12", "NAXIS2  =                    9",
		fmt.Sprintf("NAXIS3  = %20d", bands), "END"} {
		fmt.Fprintf(&out, "%-80s", c)
	}
	fmt.Fprintf(&out, "%*s", 2880-out.Len(), "")
	for b := range bands {
		for k := range 12 * 9 {
			v := math.Float32bits(float32(k%12*(b+1)) + float32(k/12*7%(b+3)))
			out.Write([]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
		}
	}
	out.Write(make([]byte, (2880-out.Len()%2880)%2880))
	return out.Bytes()
}

func TestSample(t *testing.T) {
	top := t.TempDir()
	var sources []NamedSource
	for _, name := range []string{"a", "a-b", "b"} {
		dir := filepath.Join(top, name)
		must(t, os.Mkdir(dir, 0o777))
		for k := range 10 {
			must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.fits", k)), cubeOf(1), 0o644))
		}
		sources = append(sources, NamedSource{Name: name, Path: dir})
	}
	p, err := OpenPool(t.Context(), t.TempDir(), sources, Limits{}, nil)
	must(t, err)
	defer p.Close()
	for _, s := range sources {
		from, to := p.In(s.Name)
		if to-from != 10 || !strings.HasPrefix(p.ID(from), s.Name+"/") || !strings.HasPrefix(p.ID(to-1), s.Name+"/") {
			t.Errorf("%s is at [%d, %d)", s.Name, from, to)
		}
		for i := from; i < from+7; i++ {
			p.MarkBad(i, ErrLimit)
		}
		one, other := p.Sample(s.Name, 5, 1), p.Sample(s.Name, 5, 2)
		if !slices.Equal(one, p.Sample(s.Name, 5, 1)) || slices.Equal(one, other) {
			t.Errorf("%v, %v: by the seed", one, other)
		}
		for n, i := range one {
			if i < from || i >= to || p.IsBad(i) != (n >= 3) || slices.Contains(one[:n], i) {
				t.Errorf("%v of [%d, %d): different ones of the source, the 3 good ones first", one, from, to)
			}
		}
		if all := p.Sample(s.Name, 50, 1); len(all) != 10 {
			t.Errorf("%d of 10", len(all))
		}
	}
	if from, to := p.In("zz"); from != to || p.Sample("zz", 3, 1) != nil {
		t.Error("a source that is not there has images")
	}
}
