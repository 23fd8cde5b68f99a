package raw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
)

// Both orders hold the same picture, for every type.
func TestRowAndPlane(t *testing.T) {
	const w, h, c = 3, 2, 2
	value := func(c, y, x int) float64 { return float64(100*c + 10*y + x) }
	for k := U8; k <= F64; k++ {
		for _, planar := range []bool{false, true} {
			m := New(k, w, h, c, planar)
			if m.Kind() != k {
				t.Fatalf("New(%v) is of kind %v", k, m.Kind())
			}
			bytes := m.Bytes()
			if len(bytes) != w*h*c*k.Size() {
				t.Fatalf("%v: %d bytes", k, len(bytes))
			}
			for i := range w * h * c {
				p, ch := i/c, i%c
				if planar {
					p, ch = i%(w*h), i/(w*h)
				}
				set(m.Data, i, value(ch, p/w, p%w))
			}
			row, plane := make([]float64, w), make([]float32, w*h)
			for ch := range c {
				m.Plane(plane, ch)
				for y := range h {
					m.Row(row, ch, y)
					for x := range w {
						if want := value(ch, y, x); row[x] != want || plane[y*w+x] != float32(want) {
							t.Fatalf("%v planar %v (%d,%d,%d): row %v, plane %v, want %v", k, planar, ch, y, x, row[x], plane[y*w+x], want)
						}
					}
				}
			}
		}
	}
}

func set(data any, i int, v float64) {
	switch d := data.(type) {
	case []uint8:
		d[i] = uint8(v)
	case []int8:
		d[i] = int8(v)
	case []uint16:
		d[i] = uint16(v)
	case []int16:
		d[i] = int16(v)
	case []uint32:
		d[i] = uint32(v)
	case []int32:
		d[i] = int32(v)
	case []uint64:
		d[i] = uint64(v)
	case []int64:
		d[i] = int64(v)
	case []float32:
		d[i] = float32(v)
	case []float64:
		d[i] = v
	}
}

func TestJoin(t *testing.T) {
	one := Image{W: 2, H: 1, C: 1, Data: []uint16{1, 2}}
	cube := Image{W: 2, H: 1, C: 2, Planar: true, Data: []uint16{3, 4, 5, 6}}
	rgb := Image{W: 2, H: 1, C: 3, Data: []uint8{7, 8, 9, 10, 11, 12}}
	long := Image{W: 2, H: 1, C: 1, Data: []int32{1 << 30, 1<<30 + 1}}
	for _, c := range []struct {
		of   []Image
		want any
	}{
		{[]Image{one}, []uint16{1, 2}}, {[]Image{cube, one}, []uint16{3, 4, 5, 6, 1, 2}}, {[]Image{one, rgb}, []float32{1, 2, 7, 10, 8, 11, 9, 12}},
		{[]Image{one, long}, []float64{1, 2, 1 << 30, 1<<30 + 1}}, {[]Image{rgb, rgb}, []uint8{7, 10, 8, 11, 9, 12, 7, 10, 8, 11, 9, 12}},
	} {
		m, err := Join(c.of...)
		if err != nil || !reflect.DeepEqual(m.Data, c.want) || m.C*m.W*m.H != reflect.ValueOf(c.want).Len() {
			t.Errorf("%T %v %v, want %T %v", m.Data, m.Data, err, c.want, c.want)
		}
	}
	if m, err := Join(one, Image{W: 1, H: 2, C: 1, Data: []uint16{1, 2}}); err == nil {
		t.Error(m)
	}
	if m, err := Join(); err == nil {
		t.Error(m)
	}
}

// Values come back from their bytes in both orders, wherever they begin and however many there are.
func TestLoad(t *testing.T) {
	for k := U8; k <= F64; k++ {
		for _, n := range []int{0, 1, 3, 8, 21} {
			want := New(k, n+2, 1, 1, false)
			for i := range n {
				set(want.Data, i+2, float64(3*i+1))
			}
			for _, big := range []bool{false, true} {
				b, err := binary.Append(nil, order(big), want.Data)
				if err != nil {
					t.Fatal(err)
				}
				got := Make(k, n+2)
				Load(got, 2, b[2*k.Size():], big)
				if !reflect.DeepEqual(got, want.Data) {
					t.Errorf("%v big endian %v: %v, want %v", k, big, got, want.Data)
				}
			}
		}
	}
}

func TestPad(t *testing.T) {
	nan := float32(math.NaN())
	m := Pad(Image{W: 2, H: 1, C: 2, Planar: true, Data: []float32{1, 2, 3, 4}}, 1, 1, 3, 2)
	if want := []float32{nan, nan, nan, nan, 1, 2, nan, nan, nan, nan, 3, 4}; fmt.Sprint(m.Data) != fmt.Sprint(want) || m.W != 3 || m.H != 2 || m.C != 2 {
		t.Errorf("%v, want %v", m, want)
	}
	if m := Pad(Image{W: 1, H: 1, C: 1, Data: []int16{5}}, 0, 1, 1, 2); !reflect.DeepEqual(m.Data, []int16{0, 5}) {
		t.Error(m)
	}
}

func TestCheckSize(t *testing.T) {
	for _, c := range []struct {
		w, h, c int64
		ok      bool
		limit   bool
	}{
		{10, 10, 1, true, false}, {10, 10, 3, false, true}, {0, 10, 1, false, false}, {10, -1, 1, false, false},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64, false, true}, {1 << 32, 1 << 32, 1, false, true}, {1, 1, 100, true, false},
	} {
		err := CheckSize(c.w, c.h, c.c, 100)
		if (err == nil) != c.ok || errors.Is(err, ErrLimit) != c.limit {
			t.Errorf("%d×%d×%d: %v", c.w, c.h, c.c, err)
		}
	}
}
