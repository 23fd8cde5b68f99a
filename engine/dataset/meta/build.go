package meta

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"anomalymatch/engine/dataset/meta/where"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/say"
)

// Keys are the usual names of the column that names images, the likelier ones first; upper and lower case alike.
var Keys = []string{"id", "filename", "original_filename", "file", "name", "source_id", "image", "image_id", "object_id", "objid", "objectid", "path", "file_name", "cutout", "sourceid", "dr7objid", "asset_id", "galaxy_id", "iauname", "target", "key"}

// memory is how much the columns that are made at once may take.
var memory = int64(256 << 20)

// tried is how many rows say which column names the images.
const tried = 200

// Ambiguous is an error of [Images].Match that says that a name can be several images.
type Ambiguous interface{ Several() int }

// Build matches tables with images and writes their columns into dir, replacing what is there. The errors are sentences that begin with the file.
func Build(ctx context.Context, dir string, images Images, files []File, progress func(rows int64)) ([]Report, error) {
	if progress == nil {
		progress = func(int64) {}
	}
	b := &builder{images: images, match: Matcher(images), progress: progress}
	hash := images.Hash()
	b.head = header{Pool: hex.EncodeToString(hash[:]), Images: images.Len()}
	var parts []*part
	defer func() {
		for _, p := range parts {
			p.close()
		}
	}()
	for _, f := range files {
		p, err := b.survey(ctx, f)
		if p != nil {
			parts = append(parts, p)
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("the table %s %w", say.Path(f.Path), err)
		}
	}
	if err := atomicfile.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("the metadata cannot be kept in %s: %w", say.Path(dir), cause(err))
	}
	var failed error
	err := atomicfile.Write(filepath.Join(dir, Name), func(w io.Writer) error {
		b.out = w
		b.write([]byte(magic))
		for i, p := range parts {
			if err := b.columns(ctx, p); err != nil {
				failed = fmt.Errorf("the table %s %w", say.Path(files[i].Path), err)
				return failed
			}
		}
		text, err := json.Marshal(b.head)
		if err != nil {
			return err
		}
		b.write(text)
		b.write(le.AppendUint32(nil, uint32(len(text))))
		b.write(le.AppendUint32(nil, crc32.Checksum(text, castagnoli)))
		b.write([]byte(magic))
		return b.err
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case failed != nil && b.err == nil:
		return nil, failed
	case err != nil:
		return nil, fmt.Errorf("the metadata cannot be kept in %s: %w", say.Path(dir), cause(err))
	}
	return b.head.Reports, nil
}

type builder struct {
	images   Images
	match    func(name string) (int, error)
	progress func(rows int64)
	rows     int64
	head     header
	out      io.Writer
	at       int64
	err      error
}

func (b *builder) write(p []byte) {
	if b.err == nil {
		_, b.err = b.out.Write(p)
	}
	b.at += int64(len(p))
}

// endings are those of the images' files, the most frequent ones first: tables often name objects without.
func endings(images Images) []string {
	count := map[string]int{}
	for i := range images.Len() {
		e := path.Ext(images.ID(i))
		if _, known := count[e]; e != "" && len(e) <= 10 && (known || len(count) < 100) {
			count[e]++
		}
	}
	var out []string
	for e := range count {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b string) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return strings.Compare(a, b)
	})
	return out[:min(len(out), 4)]
}

// Matcher returns the images' Match for tables that may name them without the ending of their files. It looks at all ids once.
func Matcher(images Images) func(name string) (int, error) {
	endings := endings(images)
	return func(name string) (int, error) {
		i, err := images.Match(name)
		var several Ambiguous
		if err == nil || errors.As(err, &several) {
			return i, err
		}
		for _, e := range endings {
			i, err := images.Match(name + e)
			if err == nil || errors.As(err, &several) {
				return i, err
			}
		}
		return 0, err
	}
}

// part is a table and what the survey found out about it.
type part struct {
	source  source
	close   func() error
	columns []surveyed
	taken   []taken // rows that have an image, in their order
	begins  int     // of its columns in the header
}

type surveyed struct {
	source int // its number there
	of     Type
	bytes  int64 // of all texts
}

type taken struct {
	row   int64
	image int32
}

// survey reads a table once: which rows belong to which images, and what the columns are.
func (b *builder) survey(ctx context.Context, f File) (*part, error) {
	made, err := stampOf(f)
	if err != nil {
		return nil, err
	}
	p := &part{}
	if p.source, p.close, err = openSource(f.Path); err != nil {
		return nil, err
	}
	head := p.source.headings()
	if len(head) > maxColumns {
		return p, fmt.Errorf("has more than %d columns", maxColumns)
	}
	key, err := b.key(ctx, p.source, head, f.Key)
	if err != nil {
		return p, err
	}
	report := Report{File: f.Path, Key: say.Text(head[key].name)}
	all := make([]int, len(head))
	p.columns = make([]surveyed, len(head))
	for i := range head {
		all[i], p.columns[i].source = i, i
	}
	seen := make([]uint64, (b.images.Len()+63)/64)
	leave := func(line int64, why string) {
		if len(report.Lines) < shown {
			report.Lines = append(report.Lines, BadLine{line, say.Text(why)})
		}
	}
	err = p.source.each(ctx, all, func(row, line int64, cells []cell) error {
		report.Rows++
		if b.rows++; b.rows%10_000 == 0 {
			b.progress(b.rows)
		}
		name := cells[key].name()
		i, err := b.match(name)
		var several Ambiguous
		switch {
		case errors.As(err, &several):
			report.Ambiguous++
			leave(line, err.Error())
			return nil
		case err != nil:
			if report.Unmatched++; len(report.Names) < shown {
				report.Names = append(report.Names, say.Text(fmt.Sprintf("%.200s", name)))
			}
			return nil
		case seen[i>>6]&(1<<(i&63)) != 0:
			report.Twice++
			leave(line, fmt.Sprintf("%.200q was there before: the first one counts", name))
			return nil
		}
		seen[i>>6] |= 1 << (i & 63)
		p.taken = append(p.taken, taken{row, int32(i)})
		for k := range cells {
			p.columns[k].look(cells[k])
		}
		return nil
	}, func(line int64, why string) {
		report.Bad++
		leave(line, why)
	})
	if err != nil {
		return p, err
	}
	report.Matched = int64(len(p.taken))
	if report.Matched == 0 {
		why := ""
		if len(report.Names) > 0 {
			why = fmt.Sprintf(", such as %q", report.Names[0])
		}
		return p, fmt.Errorf("names no image of this project in its column %s%s: name another column with --key", where.Quote(report.Key), why)
	}
	b.head.Files = append(b.head.Files, made)
	b.head.Reports = append(b.head.Reports, report)
	p.begins = len(b.head.Columns)
	for i := range p.columns {
		if p.columns[i].of == None {
			p.columns[i].of = Text // nothing is in it
		}
		b.head.Columns = append(b.head.Columns, Column{Name: b.unique(head[i].name, i), Unit: say.Text(head[i].unit), Type: p.columns[i].of})
	}
	return p, nil
}

// unique is a column's name, safe to print, that no other one has.
func (b *builder) unique(name string, number int) string {
	name = strings.TrimSpace(say.Text(fmt.Sprintf("%.200s", name)))
	if name == "" {
		name = fmt.Sprintf("column_%d", number+1)
	}
	taken := func(s string) bool {
		return slices.ContainsFunc(b.head.Columns, func(c Column) bool { return c.Name == s })
	}
	out := name
	for n := 2; taken(out); n++ {
		out = fmt.Sprintf("%s_%d", name, n)
	}
	return out
}

// key finds the column that names images.
func (b *builder) key(ctx context.Context, s source, head []heading, named string) (int, error) {
	find := func(name string) int {
		return slices.IndexFunc(head, func(h heading) bool { return strings.EqualFold(strings.TrimSpace(h.name), name) })
	}
	if named != "" {
		if i := find(named); i >= 0 {
			return i, nil
		}
		return 0, fmt.Errorf("has no column %.60q: it has %s", named, names(head))
	}
	var may []int
	for _, name := range Keys {
		if i := find(name); i >= 0 && !slices.Contains(may, i) {
			may = append(may, i)
		}
	}
	if len(may) == 0 && len(head) > 0 && strings.TrimSpace(head[0].name) == "" {
		may = []int{0} // the index of a table of pandas
	}
	switch len(may) {
	case 0:
		return 0, fmt.Errorf("has no column that names images, such as id or filename: name it with --key; it has %s", names(head))
	case 1:
		return may[0], nil
	}
	hits := make([]int, len(may))
	enough := errors.New("enough")
	n := 0
	err := s.each(ctx, may, func(_, _ int64, cells []cell) error {
		for k, c := range cells {
			if _, err := b.match(c.name()); err == nil {
				hits[k]++
			}
		}
		if n++; n >= tried {
			return enough
		}
		return nil
	}, func(int64, string) {})
	if err != nil && err != enough {
		return 0, err
	}
	best := 0
	for k := range hits {
		if hits[k] > hits[best] {
			best = k
		}
	}
	return may[best], nil
}

func names(head []heading) string {
	var some []string
	for _, h := range head[:min(len(head), 12)] {
		some = append(some, say.Text(fmt.Sprintf("%.40s", h.name)))
	}
	if len(head) > len(some) {
		some = append(some, "…")
	}
	if len(some) == 0 {
		return "none"
	}
	return strings.Join(some, ", ")
}

// name is a cell as the name of an image.
func (c cell) name() string {
	switch c.kind {
	case written, ofText:
		return strings.TrimSpace(string(valid(c.text)))
	case ofInt:
		return fmt.Sprint(c.i)
	case ofFloat:
		return Value{Type: Float, Float: c.f}.String()
	}
	return ""
}

// look takes a value into account for the type of its column.
func (s *surveyed) look(c cell) {
	of := None
	switch c.kind {
	case written:
		if s.of == Text {
			of = Text // whatever it looks like
		} else {
			of, _, _ = number(c.text)
		}
		s.bytes += int64(min(len(c.text), maxText))
	case ofInt:
		if of = Int; c.i == missingInt {
			of = None
		}
		s.bytes += 20
	case ofFloat:
		of = Float
		s.bytes += 24
	case ofText:
		of = Text
		s.bytes += int64(min(len(c.text), maxText))
	}
	s.of = max(s.of, of)
}

// columns reads the rows of a table again, as often as its columns need to fit into memory, and writes them.
func (b *builder) columns(ctx context.Context, p *part) error {
	cost := func(s surveyed) int64 {
		if n := int64(8 * b.head.Images); s.of != Text {
			return n
		} else {
			return n + s.bytes
		}
	}
	for from := 0; from < len(p.columns); {
		to, sum := from+1, cost(p.columns[from])
		for to < len(p.columns) && sum+cost(p.columns[to]) <= memory {
			sum += cost(p.columns[to])
			to++
		}
		if err := b.some(ctx, p, p.columns[from:to]); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// some writes some columns of a table.
func (b *builder) some(ctx context.Context, p *part, columns []surveyed) error {
	n := b.head.Images
	type filling struct {
		cells []uint64 // by image: the value; of a text where it lies << 16 | its length
		texts []byte
	}
	fill := make([]filling, len(columns))
	want := make([]int, len(columns))
	for i, c := range columns {
		want[i] = c.source
		empty := uint64(0)
		switch c.of {
		case Int:
			empty = 1 << 63 // missingInt
		case Float:
			empty = math.Float64bits(math.NaN())
		}
		fill[i].cells = slices.Repeat([]uint64{empty}, n)
	}
	next := 0
	over := errors.New("over")
	err := p.source.each(ctx, want, func(row, _ int64, cells []cell) error {
		if next >= len(p.taken) {
			return over
		}
		if row != p.taken[next].row {
			return nil
		}
		image := p.taken[next].image
		next++
		for i, c := range cells {
			to := &fill[i]
			if columns[i].of == Text {
				text := c.text
				if c.kind == written {
					text = bytes.TrimSpace(text)
				}
				if c.kind == ofInt || c.kind == ofFloat {
					text = []byte(c.name())
				}
				text = valid(text)
				to.cells[image] = uint64(len(to.texts))<<16 | uint64(len(text))
				to.texts = append(to.texts, text...)
				continue
			}
			of, whole, f := None, int64(0), 0.0
			switch c.kind {
			case written:
				of, whole, f = number(c.text)
			case ofInt:
				of, whole = Int, c.i
			case ofFloat:
				of, f = Float, c.f
			}
			switch {
			case of == None || of == Text:
			case columns[i].of == Int:
				if of == Int {
					to.cells[image] = uint64(whole)
				}
			case of == Int:
				to.cells[image] = math.Float64bits(float64(whole))
			default:
				to.cells[image] = math.Float64bits(f)
			}
		}
		return nil
	}, func(int64, string) {})
	if err != nil && err != over {
		return err
	}
	if next < len(p.taken) {
		return errors.New("has become shorter while it was read")
	}
	for i, c := range columns {
		var blocks []stored
		var out []byte
		for from := 0; from < n; from += blockRows {
			cells := fill[i].cells[from:min(n, from+blockRows)]
			out = out[:0]
			if c.of == Text {
				end := uint32(0)
				for _, at := range cells {
					end += uint32(at & 0xffff)
					out = le.AppendUint32(out, end)
				}
				for _, at := range cells {
					out = append(out, fill[i].texts[at>>16:][:at&0xffff]...)
				}
			} else {
				for _, v := range cells {
					out = le.AppendUint64(out, v)
				}
			}
			blocks = append(blocks, stored{b.at, int64(len(out)), int64(crc32.Checksum(out, castagnoli))})
			b.write(out)
		}
		b.head.Blocks = append(b.head.Blocks, blocks)
	}
	return b.err
}
