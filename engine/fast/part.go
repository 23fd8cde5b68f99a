package fast

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"runtime"

	"anomalymatch/engine/nn"
	"anomalymatch/internal/failpoint"
	"anomalymatch/internal/parallel"

	"github.com/x448/float16"
)

// part is a file of embeddings that is being written: the rows so far. Beside it a log says what it is (the key as a line of JSON) and which
// rows were written together, as uint32 number and CRC-32C each, so that what did not reach the disk when it was cut off is noticed.
type part struct {
	key       Key
	backend   string
	file, log *os.File
	out       *bufio.Writer

	rows     int
	sums     []uint32 // of whole blocks
	block    uint32   // CRC-32C of the rows of the block at hand
	missing  []byte
	n        int // rows with an embedding
	sum, squ []float64

	fresh uint32 // CRC-32C of the rows since the last flush
	since int    // how many those are
}

var rowBytes = 2 * nn.EmbeddingSize

const (
	logName = ".log"
	// together is how many rows are added at once where they are copied: enough for all cores to add them up.
	together = 8 * blockRows
)

// openPart opens the part of a key where it ends, if there is one, else a new one.
func openPart(path string, key Key) (p *part, err error) {
	line, err := json.Marshal(key)
	if err != nil {
		return nil, err
	}
	line = append(line, '\n')
	opened := &part{key: key, sum: make([]float64, nn.EmbeddingSize), squ: make([]float64, nn.EmbeddingSize)}
	p = opened
	defer func() {
		if err != nil { // p is nil then
			opened.Close()
		}
	}()
	if p.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return nil, err
	}
	if p.log, err = os.OpenFile(path+logName, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return nil, err
	}
	logged := int64(len(line))
	in := bufio.NewReader(p.log)
	if have, err := in.ReadBytes('\n'); err == nil && bytes.Equal(have, line) {
		n, err := p.read(in)
		if err != nil {
			return nil, err
		}
		logged += n
	} else if err := p.restart(line); err != nil {
		return nil, err
	}
	if err := p.log.Truncate(logged); err != nil {
		return nil, err
	}
	if _, err := p.log.Seek(logged, io.SeekStart); err != nil {
		return nil, err
	}
	if err := p.file.Truncate(int64(p.rows) * int64(rowBytes)); err != nil {
		return nil, err
	}
	if _, err := p.file.Seek(int64(p.rows)*int64(rowBytes), io.SeekStart); err != nil {
		return nil, err
	}
	p.out = bufio.NewWriterSize(p.file, 1<<20)
	return p, nil
}

// restart begins the log anew.
func (p *part) restart(line []byte) error {
	if err := p.log.Truncate(0); err != nil {
		return err
	}
	_, err := p.log.WriteAt(line, 0)
	return err
}

// read takes in the rows that an earlier run wrote, as far as log and rows agree. It returns the bytes of the log that they have.
func (p *part) read(log io.Reader) (logged int64, err error) {
	rows := bufio.NewReaderSize(p.file, 1<<20)
	const entry, most = 8, 2 * 16 * together
	var b [entry]byte
	for {
		if _, err := io.ReadFull(log, b[:]); err != nil {
			return logged, nil
		}
		n := binary.LittleEndian.Uint32(b[:])
		if n == 0 || n > most {
			return logged, nil
		}
		raw := make([]byte, int(n)*rowBytes)
		if _, err := io.ReadFull(rows, raw); err != nil || crc32.Checksum(raw, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
			return logged, nil
		}
		p.take(raw)
		logged += entry
	}
}

// add appends rows.
func (p *part) add(raw []byte) error {
	if _, err := p.out.Write(raw); err != nil {
		return err
	}
	p.fresh = crc32.Update(p.fresh, castagnoli, raw)
	p.since += len(raw) / rowBytes
	p.take(raw)
	if p.since >= 16*together {
		return p.flush()
	}
	return nil
}

var emptyRow = func() []byte {
	b := make([]byte, rowBytes)
	binary.LittleEndian.PutUint16(b, float16.NaN().Bits())
	return b
}()

// addMissing appends rows of n images that are yet to be embedded. Only a part that is made at once has such.
func (p *part) addMissing(n int) error {
	for range n {
		for len(p.missing) <= p.rows>>3 {
			p.missing = append(p.missing, 0)
		}
		p.missing[p.rows>>3] |= 1 << (p.rows & 7)
		if err := p.add(emptyRow); err != nil {
			return err
		}
	}
	return nil
}

// flush hands rows and log to the file system.
func (p *part) flush() error {
	if p.since == 0 {
		return nil
	}
	if err := p.out.Flush(); err != nil {
		return err
	}
	entry := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(p.since)), p.fresh)
	p.fresh, p.since = 0, 0
	failpoint.Hit(failpoint.EmbeddingsRows)
	_, err := p.log.Write(entry)
	return err
}

// take adds rows up: the checksums of blocks, and the sums of each value in the order of the rows, whichever core does them.
func (p *part) take(raw []byte) {
	for at := 0; at < len(raw); {
		end := min(len(raw), at+(blockRows-p.rows%blockRows)*rowBytes)
		p.block = crc32.Update(p.block, castagnoli, raw[at:end])
		p.rows += (end - at) / rowBytes
		if p.rows%blockRows == 0 {
			p.sums, p.block = append(p.sums, p.block), 0
		}
		at = end
	}
	for at := 0; at < len(raw); at += rowBytes {
		if !absent(raw[at:]) {
			p.n++
		}
	}
	table := halves()
	parts := 1
	if len(raw) >= blockRows*rowBytes {
		parts = min(8, runtime.GOMAXPROCS(0))
	}
	parallel.Parts(nn.EmbeddingSize, parts, func(_, from, to int) {
		sum, squ := p.sum[from:to], p.squ[from:to]
		for at := 0; at < len(raw); at += rowBytes {
			if absent(raw[at:]) {
				continue
			}
			row := raw[at+2*from : at+2*to]
			for j := range sum {
				v := float64(table[binary.LittleEndian.Uint16(row[2*j:])])
				sum[j] += v
				squ[j] += v * v
			}
		}
	})
}

// Close closes the files; what was flushed is there for the next run.
func (p *part) Close() error {
	var err error
	for _, f := range []*os.File{p.file, p.log} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// discard closes the part and removes it.
func (p *part) discard() {
	p.Close()
	os.Remove(p.file.Name())
	os.Remove(p.log.Name())
}

// keep makes the part, now whole, the embeddings of its key in dir: those of before, or all of the new ones.
func (p *part) keep(dir string) (*Embeddings, error) {
	if err := p.finish(base(dir, p.key) + ".f16"); err != nil {
		return nil, fmt.Errorf("embeddings could not be kept: %w", err)
	}
	return Open(dir, p.key)
}

func (p *part) finish(path string) error {
	if p.rows%blockRows != 0 {
		p.sums, p.block = append(p.sums, p.block), 0
	}
	var behind []byte
	for _, s := range p.sums {
		behind = binary.LittleEndian.AppendUint32(behind, s)
	}
	h := header{Key: p.key, Backend: p.backend, Rows: p.rows, Dims: nn.EmbeddingSize, CRC: crc32.Checksum(behind, castagnoli),
		Mean: make([]float32, nn.EmbeddingSize), Std: make([]float32, nn.EmbeddingSize)}
	for j := range p.sum {
		n := float64(max(p.n, 1))
		mean := p.sum[j] / n
		h.Mean[j] = float32(mean)
		h.Std[j] = float32(math.Sqrt(max(p.squ[j]/n-mean*mean, 0)))
	}
	missing := make([]byte, (p.rows+7)/8)
	copy(missing, p.missing)
	behind = append(behind, missing...)
	head, err := json.Marshal(h)
	if err != nil {
		return err
	}
	behind = binary.LittleEndian.AppendUint32(append(behind, head...), uint32(len(head)))
	behind = append(binary.LittleEndian.AppendUint32(behind, crc32.Checksum(behind, castagnoli)), fileMagic...)
	if _, err := p.out.Write(behind); err != nil {
		return err
	}
	if err := p.out.Flush(); err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	if err := p.Close(); err != nil {
		return err
	}
	failpoint.Hit(failpoint.EmbeddingsWhole)
	if err := os.Rename(p.file.Name(), path); err != nil {
		return err
	}
	failpoint.Hit(failpoint.EmbeddingsRenamed)
	os.Remove(p.log.Name()) // without rows it says nothing
	return nil
}
