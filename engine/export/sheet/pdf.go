package sheet

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"strings"

	"anomalymatch/internal/say"
)

// A4 in points.
const pageWidth, pageHeight = 595.0, 842.0

const jpegQuality = 92

// WritePDF writes pages of A4, six pictures in a row. It holds one page in memory.
func WritePDF(w io.Writer, s Sheet) error {
	if err := s.tooMany(MostPDF, "PDF"); err != nil {
		return err
	}
	g := grid{width: pageWidth, margin: 36, title: 22, gap: 8, caption: 3*lineHeight + 2, columns: 6}
	g.rows = g.rowsIn(pageHeight)
	each := g.rows * g.columns
	out := &pdf{w: w, next: 4}
	out.write("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	out.object(1, "<< /Type /Catalog /Pages 2 0 R >>")
	out.object(3, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
	var pages []int
	all := max(1, (len(s.Pictures)+each-1)/each)
	for n := range all {
		c := &pdfCanvas{out: out}
		title := s.Title
		if all > 1 {
			title = fmt.Sprintf("%s · page %d of %d", s.Title, n+1, all)
		}
		if err := layout(c, g, title, s.Pictures[n*each:min((n+1)*each, len(s.Pictures))]); err != nil {
			return err
		}
		content := out.stream("/Filter /FlateDecode", deflated(c.b.Bytes()))
		pages = append(pages, out.add(fmt.Sprintf("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %g %g] /Resources << /Font << /F 3 0 R >> /XObject << %s>> >> /Contents %d 0 R >>",
			pageWidth, pageHeight, c.images.String(), content)))
	}
	var kids strings.Builder
	for _, p := range pages {
		fmt.Fprintf(&kids, "%d 0 R ", p)
	}
	out.object(2, fmt.Sprintf("<< /Type /Pages /Count %d /Kids [ %s] >>", len(pages), kids.String()))
	info := out.add(fmt.Sprintf("<< /Title %s /Creator (anomalymatch) >>", literal(latin(say.Text(s.Title)))))
	return out.end(info)
}

// pdf is a file under way: objects and where they lie.
type pdf struct {
	w    io.Writer
	at   int64
	err  error
	next int           // number of the next object
	lies map[int]int64 // objects by number
}

func (p *pdf) write(s string) {
	if p.err == nil {
		var n int
		n, p.err = io.WriteString(p.w, s)
		p.at += int64(n)
	}
}

func (p *pdf) object(n int, text string) {
	if p.lies == nil {
		p.lies = map[int]int64{}
	}
	p.lies[n] = p.at
	p.write(fmt.Sprintf("%d 0 obj\n%s\nendobj\n", n, text))
}

func (p *pdf) add(text string) int {
	n := p.next
	p.next++
	p.object(n, text)
	return n
}

func (p *pdf) stream(what string, b []byte) int {
	return p.add(fmt.Sprintf("<< %s /Length %d >>\nstream\n%s\nendstream", what, len(b), b))
}

func (p *pdf) end(info int) error {
	start := p.at
	p.write(fmt.Sprintf("xref\n0 %d\n0000000000 65535 f \n", p.next))
	for n := 1; n < p.next; n++ {
		p.write(fmt.Sprintf("%010d 00000 n \n", p.lies[n]))
	}
	p.write(fmt.Sprintf("trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n", p.next, info, start))
	return p.err
}

func deflated(b []byte) []byte {
	var out bytes.Buffer
	z := zlib.NewWriter(&out) // a Buffer takes all
	z.Write(b)
	z.Close()
	return out.Bytes()
}

// pdfCanvas is the content of one page. PDF counts from the lower left.
type pdfCanvas struct {
	out    *pdf
	b      bytes.Buffer
	images strings.Builder
}

func (c *pdfCanvas) picture(p Picture, x, y, w, _ float64) error {
	m, left, top, pw, ph, err := decoded(p, x, y, w)
	if err != nil {
		return err
	}
	space := "/DeviceRGB"
	if _, grey := m.(*image.Gray); grey {
		space = "/DeviceGray"
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: jpegQuality}); err != nil {
		return err
	}
	n := c.out.stream(fmt.Sprintf("/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace %s /BitsPerComponent 8 /Filter /DCTDecode",
		m.Bounds().Dx(), m.Bounds().Dy(), space), b.Bytes())
	fmt.Fprintf(&c.images, "/I%d %d 0 R ", n, n)
	fmt.Fprintf(&c.b, "q %.2f 0 0 %.2f %.2f %.2f cm /I%d Do Q\n", pw, ph, left, pageHeight-top-ph, n)
	return nil
}

func (c *pdfCanvas) frame(x, y, w, h, line float64, colour rgb) {
	fmt.Fprintf(&c.b, "%s RG %g w %.2f %.2f %.2f %.2f re S\n", colour.pdf(), line, x+line/2, pageHeight-y-h+line/2, w-line, h-line)
}

func (c *pdfCanvas) text(x, base, size float64, colour rgb, s string) {
	fmt.Fprintf(&c.b, "BT %s rg /F %g Tf %.2f %.2f Td %s Tj ET\n", colour.pdf(), size, x, pageHeight-base, literal(latin(s)))
}

func (c rgb) pdf() string {
	return fmt.Sprintf("%.3f %.3f %.3f", float64(c.r)/255, float64(c.g)/255, float64(c.b)/255)
}

func (c *pdfCanvas) has(s string) string {
	r := []rune(s)
	for i := range r {
		if _, ok := windows1252(r[i]); !ok {
			r[i] = '?'
		}
	}
	return string(r)
}

// latin is s in Windows-1252, with question marks for what that lacks.
func latin(s string) []byte {
	var out []byte
	for _, r := range s {
		b, ok := windows1252(r)
		if !ok {
			b = '?'
		}
		out = append(out, b)
	}
	return out
}

func windows1252(r rune) (byte, bool) {
	switch {
	case r >= ' ' && r <= '~', r >= 0xa1 && r <= 0xff:
		return byte(r), true
	case r == '…':
		return 0x85, true
	case r == '–':
		return 0x96, true
	}
	return 0, false
}

// literal is a string of PDF.
func literal(b []byte) string {
	var out strings.Builder
	out.WriteByte('(')
	for _, c := range b {
		switch {
		case c == '(' || c == ')' || c == '\\':
			out.WriteByte('\\')
			out.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&out, `\%03o`, c)
		default:
			out.WriteByte(c)
		}
	}
	out.WriteByte(')')
	return out.String()
}

// helvetica are the widths of the characters from the blank to the tilde, in thousandths of the size (Adobe's metrics of Helvetica).
var helvetica = [...]int{278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278,
	556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556,
	1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556,
	333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584}

// width takes what lies beyond ASCII for as wide as the widest of it.
func (c *pdfCanvas) width(size float64, s string) float64 {
	sum := 0
	for _, b := range latin(s) {
		if k := int(b) - ' '; k >= 0 && k < len(helvetica) {
			sum += helvetica[k]
		} else {
			sum += 1000
		}
	}
	return float64(sum) * size / 1000
}
