package hdf5

import (
	"fmt"
	"slices"
)

// Types of header messages.
const (
	msgDataspace    = 0x01
	msgLinkInfo     = 0x02
	msgDatatype     = 0x03
	msgFill         = 0x05
	msgLink         = 0x06
	msgExternal     = 0x07
	msgLayout       = 0x08
	msgFilters      = 0x0b
	msgContinuation = 0x10
	msgSymbolTable  = 0x11
)

type message struct {
	kind int
	data []byte
}

const (
	maxMessages      = 4096 // attributes are messages too
	maxContinuations = 1024
	maxHeaders       = 10_000 // objects looked at in one file
)

// header reads the messages of the object header at an address. What is shared with other objects is fetched.
func (f *file) header(at int64) ([]message, error) { return f.headerAt(at, 0) }

func (f *file) headerAt(at int64, depth int) ([]message, error) {
	if found, ok := f.messages[at]; ok {
		return found, nil
	}
	if len(f.messages) >= maxHeaders {
		return nil, damaged("it has more than %d objects", maxHeaders)
	}
	var h headerReader
	h.file, h.depth = f, depth
	start, err := f.read(at, min(16, max(0, f.size-at)))
	if err != nil {
		return nil, err
	}
	if len(start) >= 6 && string(start[:4]) == "OHDR" {
		err = h.version2(at, start)
	} else {
		err = h.version1(at, start)
	}
	if err != nil {
		return nil, err
	}
	if f.messages != nil {
		f.messages[at] = h.found
	}
	return h.found, nil
}

type headerReader struct {
	*file
	depth int
	found []message
	parts []span // continuations that were named, in order
}

type span struct{ at, n int64 }

func (h *headerReader) version1(at int64, start []byte) error {
	d := h.decoder(start)
	version := d.u8()
	d.skip(1)
	d.u16()
	d.skip(4)
	size := int64(d.u32())
	if d.bad || version != 1 {
		return damaged("an object header has version %d", version)
	}
	h.parts = []span{{at + 16, size}}
	for i := 0; i < len(h.parts); i++ {
		if i > maxContinuations || h.parts[i].n > maxMeta {
			return damaged("an object header has too many parts")
		}
		b, err := h.read(h.parts[i].at, h.parts[i].n)
		if err != nil {
			return err
		}
		for d := h.decoder(b); len(d.b) >= 8; {
			kind, n, flags := int(d.u16()), int(d.u16()), d.u8()
			d.skip(3)
			if err := h.add(kind, flags, d.bytes(n), d.bad); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h *headerReader) version2(at int64, start []byte) error {
	if start[4] != 2 {
		return fmt.Errorf("has an object header of version %d: versions 1 and 2 are read", start[4])
	}
	flags := start[5]
	prefix := int64(6)
	if flags&0x20 != 0 {
		prefix += 16
	}
	if flags&0x10 != 0 {
		prefix += 4
	}
	width := 1 << (flags & 3)
	b, err := h.read(at+prefix, int64(width))
	if err != nil {
		return err
	}
	size := int64(h.decoder(b).uint(width))
	prefix += int64(width)
	if size < 0 || size > maxMeta {
		return damaged("an object header has %d bytes", size)
	}
	if b, err = h.read(at, prefix+size+4); err != nil {
		return err
	}
	if b, err = unseal(b, "OHDR"); err != nil {
		return err
	}
	b = b[prefix:]
	prefix = 4 // of a message; less is a gap
	if flags&4 != 0 {
		prefix = 6
	}
	for i := 0; ; i++ {
		for d := h.decoder(b); len(d.b) >= int(prefix); {
			kind, n, mflags := int(d.u8()), int(d.u16()), d.u8()
			if flags&4 != 0 {
				d.skip(2)
			}
			if err := h.add(kind, mflags, d.bytes(n), d.bad); err != nil {
				return err
			}
		}
		if i >= len(h.parts) {
			return nil
		}
		if i > maxContinuations || h.parts[i].n > maxMeta {
			return damaged("an object header has too many parts")
		}
		if b, err = h.read(h.parts[i].at, h.parts[i].n); err != nil {
			return err
		}
		if b, err = unseal(b, "OCHK"); err != nil {
			return err
		}
		b = b[4:]
	}
}

func (h *headerReader) add(kind int, flags uint8, data []byte, bad bool) error {
	if bad {
		return damaged("a message of an object header is cut off")
	}
	if len(h.found) >= maxMessages {
		return damaged("an object header has more than %d messages", maxMessages)
	}
	switch kind {
	case msgContinuation:
		d := h.decoder(data)
		part := span{d.addr(), d.size()}
		if d.bad || part.at < 0 || part.n < 0 || slices.Contains(h.parts, part) {
			return damaged("an object header goes on nowhere")
		}
		h.parts = append(h.parts, part)
		return nil
	case msgDataspace, msgLinkInfo, msgDatatype, msgFill, msgLink, msgLayout, msgFilters, msgSymbolTable, msgExternal:
	default:
		return nil // attributes, times, comments
	}
	if flags&2 != 0 {
		var err error
		if data, err = h.shared(kind, data); err != nil {
			return err
		}
	}
	h.found = append(h.found, message{kind, data})
	return nil
}

// shared fetches a message that stands in another object's header, such as a named type.
func (h *headerReader) shared(kind int, data []byte) ([]byte, error) {
	d := h.decoder(data)
	version, where := d.u8(), d.u8()
	switch {
	case version == 1:
		d.skip(6)
	case version == 2:
	case version == 3 && where == 2:
	default:
		return nil, fmt.Errorf("keeps parts of its headers in a shared table (version %d, kind %d), which is not read", version, where)
	}
	at := d.addr()
	if d.bad || h.depth > 4 {
		return nil, damaged("a shared message leads nowhere")
	}
	found, err := h.headerAt(at, h.depth+1)
	if err != nil {
		return nil, err
	}
	for _, m := range found {
		if m.kind == kind {
			return m.data, nil
		}
	}
	return nil, damaged("a shared message is not where it should be")
}

func find(ms []message, kind int) []byte {
	for _, m := range ms {
		if m.kind == kind {
			return m.data
		}
	}
	return nil
}
