//go:build !race

package dataset

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

var (
	largeGB     = flag.Float64("large", 1, "GB of each container of TestFlatMemory; they take no room on disks with sparse files")
	largeImages = flag.Int("large-images", 300, "images that are read of each")
)

const (
	flatSide = 512
	flatFile = "ANOMALYMATCH_FLAT" // the container that a child of the test is to read
	// flatMost is in MiB, above what a process takes that opens a pool of one image: half of what the smallest container would take. Parquet comes
	// nearest, with 64 MiB of pages kept, some more under way, and as much again until the collector comes: as much of 1 GB as of 20.
	flatMost = 512
)

// TestFlatMemory makes a large container of each kind, reads images spread over it in a process of its own, as embedding does, and holds the peak
// of its memory against that of one which reads next to nothing. docs/formats.md has the table of
//
//	go test ./engine/dataset -run FlatMemory -v -large 20 -large-images 2000
func TestFlatMemory(t *testing.T) {
	if path := os.Getenv(flatFile); path != "" {
		readSpread(t, path)
		return
	}
	if testing.Short() {
		t.Skip("reads large files")
	}
	self, err := os.Executable()
	must(t, err)
	bytes := int64(*largeGB * 1e9)
	var base float64
	for _, k := range []struct {
		name string
		make func(t *testing.T, dir string, bytes int64) string
	}{
		{"a folder of one image", flatOne}, {"zip", flatZip}, {"tar", flatTar}, {"HDF5, contiguous", flatHDF5}, {"npy", flatNPY}, {"Zarr, 64 images a chunk", flatZarr},
		{"Parquet, FITS files", flatParquet}, {"mosaic of one FITS", flatMosaic},
	} {
		t.Run(k.name, func(t *testing.T) {
			dir := t.TempDir()
			path := k.make(t, dir, bytes)
			child := exec.Command(self, "-test.run=^TestFlatMemory$", "-large-images", strconv.Itoa(*largeImages))
			child.Env = append(os.Environ(), flatFile+"="+path)
			out, err := child.CombinedOutput()
			m := regexp.MustCompile(`flat: (\d+) images, (\d+) read, (\d+) a second, peak ([\d.]+) MiB`).FindSubmatch(out)
			if err != nil || m == nil {
				t.Fatalf("%v\n%s", err, out)
			}
			peak, _ := strconv.ParseFloat(string(m[4]), 64)
			if base == 0 {
				base = peak
			}
			var disk int64
			filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if info, odd := os.Stat(path); odd == nil && !info.IsDir() {
					disk += info.Size()
				}
				return err
			})
			t.Logf("| %s | %.1f | %s | %s | %.0f | %s |", k.name, float64(disk)/1e9, m[1], m[2], peak, m[3])
			if peak > base+flatMost {
				t.Errorf("%.0f MiB, %.0f of a folder of one image", peak, base)
			}
		})
	}
}

// readSpread is the child.
func readSpread(t *testing.T, path string) {
	p, err := OpenPool(t.Context(), t.TempDir(), []NamedSource{{Name: "sky", Path: path}}, Limits{}, nil)
	must(t, err)
	defer p.Close()
	n := min(*largeImages, p.Len())
	spread := make([]int, n)
	for k := range spread {
		spread[k] = int(int64(k) * int64(p.Len()) / int64(n))
	}
	begin, read := time.Now(), 0
	for b, err := range p.Batches(t.Context(), spread, 64, 64, 2) {
		must(t, err)
		read += len(b.Index)
	}
	if bad := p.Bad(); read != n || len(bad) > 0 {
		t.Fatalf("%d of %d read, bad %.500v", read, n, bad)
	}
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Skip("the system does not tell the peak")
	}
	kib, _ := strconv.Atoi(string(m[1]))
	fmt.Printf("flat: %d images, %d read, %.0f a second, peak %.1f MiB\n", p.Len(), read, float64(read)/time.Since(begin).Seconds(), float64(kib)/1024)
}

// sparse writes a file in which zeros take no room.
type sparse struct {
	*os.File
	at int64
}

func newSparse(t *testing.T, path string) *sparse {
	f, err := os.Create(path)
	must(t, err)
	return &sparse{File: f}
}

var page [4096]byte

func (s *sparse) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		k := min(len(b), len(page))
		if !bytes.Equal(b[:k], page[:k]) {
			if _, err := s.WriteAt(b[:k], s.at); err != nil {
				return n, err
			}
		}
		b, n, s.at = b[k:], n+k, s.at+int64(k)
	}
	return n, nil
}

// Close ends the file, where it ends in zeros too.
func (s *sparse) Close() error { return errors.Join(s.Truncate(s.at), s.File.Close()) }

// blankHeader is that of a FITS image of float32.
func blankHeader(w, h int) []byte {
	text := ""
	for _, card := range []string{"SIMPLE  =                    T", "BITPIX  =                  -32", "NAXIS   =                    2", fmt.Sprintf("NAXIS1  = %20d", w), fmt.Sprintf("NAXIS2  = %20d", h), "END"} {
		text += fmt.Sprintf("%-80s", card)
	}
	return fmt.Appendf(nil, "%-2880s", text)
}

// blank is a FITS file whose values are 0.
func blank() []byte {
	const data = flatSide * flatSide * 4
	return append(blankHeader(flatSide, flatSide), make([]byte, (data+2879)/2880*2880)...)
}

func flatOne(t *testing.T, dir string, _ int64) string {
	must(t, os.WriteFile(filepath.Join(dir, "one.fits"), blank(), 0o644))
	return dir
}

func flatZip(t *testing.T, dir string, size int64) string {
	f := newSparse(t, filepath.Join(dir, "large.zip"))
	w, b := zip.NewWriter(f), blank()
	for k := range size / int64(len(b)) {
		part, err := w.CreateRaw(&zip.FileHeader{Name: fmt.Sprintf("%07d.fits", k), CRC32: crc32.ChecksumIEEE(b), CompressedSize64: uint64(len(b)), UncompressedSize64: uint64(len(b))})
		must(t, err)
		_, err = part.Write(b)
		must(t, err)
	}
	must(t, errors.Join(w.Close(), f.Close()))
	return f.Name()
}

func flatTar(t *testing.T, dir string, size int64) string {
	f := newSparse(t, filepath.Join(dir, "large.tar"))
	w, b := tar.NewWriter(f), blank()
	for k := range size / int64(len(b)) {
		must(t, w.WriteHeader(&tar.Header{Name: fmt.Sprintf("%07d.fits", k), Size: int64(len(b)), Mode: 0o644}))
		_, err := w.Write(b)
		must(t, err)
	}
	must(t, errors.Join(w.Close(), f.Close()))
	return f.Name()
}

func flatNPY(t *testing.T, dir string, size int64) string {
	f := newSparse(t, filepath.Join(dir, "large.npy"))
	n := size / (flatSide * flatSide * 4)
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d, %d), }", n, flatSide, flatSide)
	fmt.Fprintf(f, "\x93NUMPY\x01\x00\x76\x00%-117s\n", header)
	f.at = 128 + n*flatSide*flatSide*4
	must(t, f.Close())
	return f.Name()
}

// flatHDF5 is the small contiguous file of ../shared/data/formats with its images at the end, and more of them. Nothing here writes HDF5.
func flatHDF5(t *testing.T, dir string, size int64) string {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", "formats", "plain_contiguous.h5"))
	if err != nil {
		t.Skipf("no file to begin with: %v", err)
	}
	const image = flatSide * flatSide * 3
	n := uint64(size / image)
	u64 := func(of ...uint64) (out []byte) {
		for _, v := range of {
			out = binary.LittleEndian.AppendUint64(out, v)
		}
		return out
	}
	was := []uint64{24, 48, 48, 3}
	data := u64(24 * 48 * 48 * 3)
	at := bytes.Index(b, data)
	if at < 8 || bytes.Count(b, u64(was...)) != 2 || bytes.Count(b, data) != 1 {
		t.Fatal("the file is another one")
	}
	whole := uint64(len(b)) + n*image
	copy(b[at-8:], u64(uint64(len(b)), n*image)) // where they are
	b = bytes.ReplaceAll(b, u64(was...), u64(n, flatSide, flatSide, 3))
	b = bytes.ReplaceAll(b, []byte("filenames"), []byte("filenimes")) // there are too few
	copy(b[40:], u64(whole))
	f := newSparse(t, filepath.Join(dir, "large.h5"))
	f.Write(b)
	f.at = int64(whole)
	must(t, f.Close())
	return f.Name()
}

func flatZarr(t *testing.T, dir string, size int64) string {
	const chunk, image = 64, flatSide * flatSide * 3
	chunks := size / (chunk * image)
	dir = filepath.Join(dir, "large.zarr")
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, ".zarray"), fmt.Appendf(nil, `{"zarr_format": 2, "shape": [%d, %d, %d, 3], "chunks": [%d, %d, %d, 3], "dtype": "|u1", "compressor": null, "filters": null, "order": "C", "fill_value": 0}`,
		chunks*chunk, flatSide, flatSide, chunk, flatSide, flatSide), 0o644))
	for k := range chunks {
		f := newSparse(t, filepath.Join(dir, fmt.Sprintf("%d.0.0.0", k)))
		f.at = chunk * image
		must(t, f.Close())
	}
	return dir
}

func flatParquet(t *testing.T, dir string, size int64) string {
	type picture struct {
		Bytes []byte `parquet:"bytes,plain"`
		Path  string `parquet:"path"`
	}
	type row struct {
		Image picture `parquet:"image"`
	}
	f := newSparse(t, filepath.Join(dir, "large.parquet"))
	w := parquet.NewGenericWriter[row](f, parquet.Compression(&parquet.Uncompressed), parquet.MaxRowsPerRowGroup(100), parquet.DataPageStatistics(false), parquet.SkipPageBounds("image", "bytes"))
	b := blank()
	for k := range size / int64(len(b)) {
		_, err := w.Write([]row{{picture{b, fmt.Sprintf("%07d.fits", k)}}})
		must(t, err)
	}
	must(t, errors.Join(w.Close(), f.Close()))
	return f.Name()
}

func flatMosaic(t *testing.T, dir string, size int64) string {
	side := int64(math.Sqrt(float64(size / 4)))
	f := newSparse(t, filepath.Join(dir, "m.fits"))
	_, err := f.Write(blankHeader(int(side), int(side)))
	must(t, err)
	f.at += (side*side*4 + 2879) / 2880 * 2880
	must(t, f.Close())
	var catalogue strings.Builder
	io.WriteString(&catalogue, "id,x,y\n")
	for k := range int64(20_000) {
		fmt.Fprintf(&catalogue, "o%05d,%d,%d\n", k, flatSide+k*7919%(side-2*flatSide), flatSide+k*(side-2*flatSide)/20_000)
	}
	must(t, os.WriteFile(filepath.Join(dir, "c.csv"), []byte(catalogue.String()), 0o644))
	path := filepath.Join(dir, "large.mosaic.toml")
	must(t, os.WriteFile(path, []byte("catalogue = \"c.csv\"\nbands = [\"m.fits\"]\nsize = 512\n"), 0o644))
	return path
}
