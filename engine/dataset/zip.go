package dataset

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"math"
	"time"
)

// zipped is a source: the images in a zip file (PKWARE's APPNOTE 6.3.10), stored or deflated.
//
// The directory at its end is read one record at a time, and the place of a record is what an entry keeps: a million images are no million
// headers in memory, as they would be with the standard library, which also cannot read one file without reading all headers.
type zipped struct {
	*container
	directory, length int64 // where the directory is
	before            int64 // bytes in front of the zip, as of one that unpacks itself; its offsets do not count them
}

// OpenZip opens the images in a zip file as the source name.
func OpenZip(name, path string, l Limits) (Source, error) {
	c, err := openContainer(name, path, "zip", l)
	if err != nil {
		return nil, err
	}
	z := &zipped{container: c}
	if err := z.findDirectory(); err != nil {
		c.Close()
		return nil, fmt.Errorf("the file %q of source %q %w", path, name, err)
	}
	return z, nil
}

const (
	zipEnd       = "PK\x05\x06"
	zipEnd64     = "PK\x06\x06"
	zipLocator64 = "PK\x06\x07"
	zipRecord    = "PK\x01\x02"
	zipLocal     = "PK\x03\x04"

	zipEndBytes    = 22
	zipRecordBytes = 46
	zipLocalBytes  = 30
)

// findDirectory reads the end of the file.
func (z *zipped) findDirectory() error {
	damaged := errors.New("is no zip, or its end is missing: the copy may be cut off")
	tail := make([]byte, min(z.size, zipEndBytes+math.MaxUint16))
	if _, err := z.file.ReadAt(tail, z.size-int64(len(tail))); err != nil {
		return z.failed(err)
	}
	at := -1
	for i := len(tail) - zipEndBytes; i >= 0; i-- { // the last one whose comment reaches to the end
		if string(tail[i:i+4]) == zipEnd && i+zipEndBytes+int(le.Uint16(tail[i+20:])) <= len(tail) {
			at = i
			break
		}
	}
	if at < 0 {
		return damaged
	}
	end := z.size - int64(len(tail)) + int64(at)
	z.length, z.directory = int64(le.Uint32(tail[at+12:])), int64(le.Uint32(tail[at+16:]))
	if le.Uint16(tail[at+10:]) == math.MaxUint16 || z.length == math.MaxUint32 || z.directory == math.MaxUint32 {
		if at >= 20 && string(tail[at-20:at-16]) == zipLocator64 {
			big := make([]byte, 56)
			where := le.Uint64(tail[at-12:])
			if where > uint64(z.size) {
				return damaged
			}
			if _, err := z.file.ReadAt(big, int64(where)); err != nil || string(big[:4]) != zipEnd64 {
				return damaged
			}
			length, directory := le.Uint64(big[40:]), le.Uint64(big[48:])
			if length > uint64(z.size) || directory > uint64(z.size) {
				return damaged
			}
			z.length, z.directory, end = int64(length), int64(directory), int64(where)
		}
	}
	if z.before = end - z.length - z.directory; z.before < 0 || z.length > end {
		return damaged
	}
	z.directory += z.before
	return nil
}

// zipMember is what a record of the directory says.
type zipMember struct {
	name         string
	flags        uint16
	method       uint16
	modified     time.Time
	sum          uint32
	packed, size int64
	local        int64 // where its local header is
}

// record reads the next record of the directory.
func (z *zipped) record(r io.Reader, buf *[]byte) (m zipMember, length int64, err error) {
	var head [zipRecordBytes]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return m, 0, err
	}
	if string(head[:4]) != zipRecord {
		return m, 0, errors.New("has a damaged directory")
	}
	names, extras, comments := int(le.Uint16(head[28:])), int(le.Uint16(head[30:])), int(le.Uint16(head[32:]))
	*buf = append((*buf)[:0], make([]byte, names+extras+comments)...)
	if _, err := io.ReadFull(r, *buf); err != nil {
		return m, 0, err
	}
	m = zipMember{name: string((*buf)[:names]), flags: le.Uint16(head[8:]), method: le.Uint16(head[10:]), sum: le.Uint32(head[16:])}
	packed, size, local := uint64(le.Uint32(head[20:])), uint64(le.Uint32(head[24:])), uint64(le.Uint32(head[42:]))
	for extra := (*buf)[names : names+extras]; len(extra) >= 4; {
		id, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
		if extra = extra[4:]; n > len(extra) {
			break
		}
		field := extra[:n]
		extra = extra[n:]
		if id != 1 { // zip64: only what did not fit
			continue
		}
		for _, v := range []*uint64{&size, &packed, &local} {
			if *v == math.MaxUint32 && len(field) >= 8 {
				*v, field = le.Uint64(field), field[8:]
			}
		}
	}
	if packed > uint64(z.size) || local > uint64(z.size) || size > math.MaxInt64 {
		return m, 0, errors.New("has a damaged directory")
	}
	m.packed, m.size, m.local = int64(packed), int64(size), int64(local)+z.before
	m.modified = dosTime(le.Uint16(head[14:]), le.Uint16(head[12:]))
	return m, zipRecordBytes + int64(len(*buf)), nil
}

// dosTime is the time of MS-DOS, in two seconds; it knows no zone, so one is as good as another.
func dosTime(date, clock uint16) time.Time {
	if date == 0 {
		return time.Time{}
	}
	return time.Date(1980+int(date>>9), time.Month(date>>5&15), int(date&31), int(clock>>11), int(clock>>5&63), int(clock&31)*2, 0, time.UTC)
}

func (z *zipped) Entries(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		r := bufio.NewReaderSize(io.NewSectionReader(z.file, z.directory, z.length), 1<<16)
		var buf []byte
		images, others := 0, 0
		for at := z.directory; at < z.directory+z.length; {
			if ctx.Err() != nil {
				yield(Entry{}, ctx.Err())
				return
			}
			m, n, err := z.record(r, &buf)
			if err != nil {
				if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
					err = errors.New("has a directory that ends too early")
				}
				z.ended(images, others, err, yield)
				return
			}
			switch {
			case m.name == "" || m.name[len(m.name)-1] == '/' || hidden(m.name):
			case !isImageName(m.name):
				others++
			default:
				images++
				e, err := z.member(m.name, m.size, at, m.modified)
				if !yield(e, err) {
					return
				}
			}
			at += n
		}
		z.ended(images, others, nil, yield)
	}
}

func (z *zipped) Read(ctx context.Context, e Entry) (Content, error) {
	if err := ctx.Err(); err != nil {
		return Content{}, err
	}
	if e.At < z.directory || e.At >= z.directory+z.length {
		return Content{}, errors.New("is not in the zip any more")
	}
	var buf []byte
	m, _, err := z.record(bufio.NewReaderSize(io.NewSectionReader(z.file, e.At, z.directory+z.length-e.At), 256), &buf)
	if err != nil {
		return Content{}, z.failed(err)
	}
	if entry, err := z.member(m.name, m.size, e.At, m.modified); err != nil || entry.Path != e.Path {
		return Content{}, errors.New("is not where it was in the zip")
	}
	if err := z.limits.checkBytes(m.size); err != nil {
		return Content{}, err
	}
	switch {
	case m.flags&1 != 0:
		return Content{}, errors.New("is encrypted in its zip")
	case m.method != 0 && m.method != 8:
		return Content{}, fmt.Errorf("is compressed in its zip by method %d: stored and deflated files are read", m.method)
	case m.method == 0 && m.packed != m.size:
		return Content{}, errors.New("is damaged: its zip has two sizes of it")
	}
	var head [zipLocalBytes]byte
	if _, err := z.file.ReadAt(head[:], m.local); err != nil {
		return Content{}, z.failed(err)
	}
	if string(head[:4]) != zipLocal {
		return Content{}, errors.New("is damaged: its zip has something else in its place")
	}
	at := m.local + zipLocalBytes + int64(le.Uint16(head[26:])) + int64(le.Uint16(head[28:]))
	packed := make([]byte, min(m.packed, z.size-min(at, z.size)))
	if n, err := z.file.ReadAt(packed, at); n < len(packed) {
		return Content{}, z.failed(err)
	}
	out := packed
	if m.method == 8 {
		// One byte more than it should be tells a stream that does not end there.
		inflate := flate.NewReader(bytes.NewReader(packed))
		if out, err = io.ReadAll(io.LimitReader(inflate, m.size+1)); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return Content{}, errors.New("is damaged: its zip cannot be inflated there")
		}
	}
	if int64(len(out)) != m.size || crc32.ChecksumIEEE(out) != m.sum {
		return Content{}, errors.New("is damaged: it does not have the checksum that its zip says")
	}
	return Content{Encoded: out}, nil
}
