package npy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"anomalymatch/engine/dataset/array"
)

// header is what stands before the elements.
type header struct {
	descr   string
	typ     array.Type
	text    int // bytes of an element of text: numpy's S and U; 0 for numbers
	wide    bool
	big     bool
	fortran bool
	shape   []int64
	at      int64 // where the elements begin
	size    int64 // bytes of all elements
}

const (
	magic     = "\x93NUMPY"
	maxHeader = 1 << 16
	maxRank   = 32
)

// readHeader reads the header of an array (versions 1 to 3 of the format) from its first bytes.
func readHeader(r io.Reader) (h header, err error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:10]); err != nil || string(head[:6]) != magic {
		return h, errors.New("is no npy array: its signature is missing")
	}
	n := int64(binary.LittleEndian.Uint16(head[8:]))
	h.at = 10
	switch head[6] {
	case 1:
	case 2, 3:
		if _, err := io.ReadFull(r, head[10:]); err != nil {
			return h, errors.New("is truncated: its header is cut off")
		}
		n = int64(binary.LittleEndian.Uint32(head[8:]))
		h.at = 12
	default:
		return h, fmt.Errorf("is npy of version %d: versions 1 to 3 are read", head[6])
	}
	if n > maxHeader {
		return h, fmt.Errorf("is damaged: its header has %d bytes", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return h, errors.New("is truncated: its header is cut off")
	}
	h.at += n
	return h, h.parse(string(b))
}

// parse reads the Python dictionary of a header: {'descr': '<f4', 'fortran_order': False, 'shape': (24, 48), }.
func (h *header) parse(s string) error {
	damaged := errors.New("is damaged: its header makes no sense")
	s, ok := strings.CutPrefix(strings.TrimSpace(s), "{")
	if !ok {
		return damaged
	}
	seen := 0
	for {
		s = strings.TrimLeft(s, " \t\n,")
		if strings.HasPrefix(s, "}") {
			break
		}
		key, rest, ok := quoted(s)
		if !ok {
			return damaged
		}
		if s, ok = strings.CutPrefix(strings.TrimLeft(rest, " \t"), ":"); !ok {
			return damaged
		}
		s = strings.TrimLeft(s, " \t")
		switch key {
		case "descr":
			if strings.HasPrefix(s, "[") || strings.HasPrefix(s, "(") {
				return errors.New("is a table of several columns (a structured array), not of images: save the column of images by itself")
			}
			if h.descr, s, ok = quoted(s); !ok {
				return damaged
			}
		case "fortran_order":
			switch {
			case strings.HasPrefix(s, "True"):
				h.fortran, s = true, s[4:]
			case strings.HasPrefix(s, "False"):
				s = s[5:]
			default:
				return damaged
			}
		case "shape":
			inside, rest, ok := strings.Cut(s, ")")
			if inside, ok = strings.CutPrefix(inside, "("); !ok {
				return damaged
			}
			for _, part := range strings.Split(inside, ",") {
				if part = strings.TrimSuffix(strings.TrimSpace(part), "L"); part == "" { // (5,)
					continue
				}
				n, err := strconv.ParseInt(part, 10, 64)
				if err != nil || n < 0 || len(h.shape) == maxRank {
					return damaged
				}
				h.shape = append(h.shape, n)
			}
			s = rest
		default:
			return damaged
		}
		seen++
	}
	if seen != 3 || h.descr == "" {
		return damaged
	}
	return h.element()
}

// quoted reads a string in quotes.
func quoted(s string) (inside, rest string, ok bool) {
	if s == "" || s[0] != '\'' && s[0] != '"' {
		return "", "", false
	}
	return strings.Cut(s[1:], s[:1])
}

// element finds out what the elements are, and how many bytes they have together.
func (h *header) element() error {
	size := 0
	kind := strings.TrimLeft(h.descr, "<>|=")
	h.big = h.descr[0] == '>'
	switch t, ok := array.ParseType(h.descr); {
	case ok:
		h.typ, size = t, t.Size
	case strings.HasPrefix(kind, "O"):
		return errors.New("holds Python objects (pickle), which could run programs and are never loaded: save numbers, one array N×H×W×C, or an npz with one array per image")
	case strings.HasPrefix(kind, "S"), strings.HasPrefix(kind, "U"):
		n, err := strconv.Atoi(kind[1:])
		if err != nil || n < 1 || n > 1<<16 {
			return fmt.Errorf("has elements of the type %.20q, which is not read", h.descr)
		}
		h.wide = kind[0] == 'U'
		if h.text = n; h.wide {
			h.text *= 4
		}
		size = h.text
	default:
		return fmt.Errorf("has elements of the type %.20q, which is not read: bool, integers of 1 to 8 bytes and floats of 2, 4 and 8 are", h.descr)
	}
	n, ok := array.Product(append([]int64{int64(size)}, h.shape...)...)
	if !ok {
		return fmt.Errorf("is damaged: it says it has %s elements", array.Shape(h.shape))
	}
	h.size = n
	return nil
}

// decode makes a string of an element of text.
func (h *header) decode(b []byte) string {
	if !h.wide {
		return strings.TrimRight(string(b), "\x00")
	}
	var s strings.Builder
	for ; len(b) >= 4; b = b[4:] {
		c := binary.LittleEndian.Uint32(b)
		if h.big {
			c = binary.BigEndian.Uint32(b)
		}
		if c > 0x10ffff {
			c = 0xfffd
		}
		s.WriteRune(rune(c))
	}
	return strings.TrimRight(s.String(), "\x00")
}
