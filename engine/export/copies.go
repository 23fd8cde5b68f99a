package export

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image/png"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/npy"
	"anomalymatch/engine/export/table"
	"anomalymatch/internal/atomicfile"
)

// Copies takes copies of images into a folder or a zip, and says in manifest.csv which is which. Names are made of rank and id, of characters that
// mean nothing to any system; what ends them is told by the bytes, not by the source.
type Copies struct {
	put                     func(name string, b []byte) error
	taken                   []Candidate
	files, pictures, hashes table.Column
}

// Manifest is the name of the table that lies beside copies.
const Manifest = "manifest.csv"

// Add copies one image: the bytes of its file as they lie in the source, or, of arrays, the values as .npy and what the network sees, seen, as .png.
func (c *Copies) Add(of Candidate, has dataset.Content, seen dataset.RGB) error {
	name, picture, b := safeName(of), "", has.Encoded
	if has.Values.Data != nil {
		var values, grey bytes.Buffer
		if err := npy.Write(&values, has.Values); err != nil {
			return err
		}
		if err := png.Encode(&grey, seen.Image()); err != nil {
			return err
		}
		picture, b = name+".png", values.Bytes()
		if err := c.put(picture, grey.Bytes()); err != nil {
			return err
		}
		name += ".npy"
	} else {
		name += has.Ext()
	}
	if err := c.put(name, b); err != nil {
		return err
	}
	sum := sha256.Sum256(b)
	c.taken = append(c.taken, of)
	c.files.Texts = append(c.files.Texts, name)
	c.pictures.Texts = append(c.pictures.Texts, picture)
	c.hashes.Texts = append(c.hashes.Texts, hex.EncodeToString(sum[:]))
	return nil
}

// end writes the manifest.
func (c *Copies) end(l List) error {
	l.Candidates = c.taken
	t, err := l.Table()
	if err != nil {
		return err
	}
	c.files.Name, c.pictures.Name, c.hashes.Name = "file", "picture", "sha256"
	if t, err = table.New(t.Name, nil, append([]table.Column{c.files, c.pictures, c.hashes}, t.Columns...)...); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := table.WriteCSV(&b, t); err != nil {
		return err
	}
	return c.put(Manifest, b.Bytes())
}

// safeName is rank and id as the name of a file without its end: letters, digits, points, dashes and underscores of ASCII.
func safeName(c Candidate) string {
	const most = 80
	base := c.Name()
	base = strings.TrimSuffix(base, filepath.Ext(base))
	base = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._+-", r):
			return r
		}
		return '_'
	}, base)
	return fmt.Sprintf("%06d-%s", c.Rank, base[:min(len(base), most)])
}

// Copy makes path, a zip where its name ends so, else a folder, which must not exist or be empty, and has fill add images to it. It is there whole or
// not at all, and nothing is written anywhere else.
func Copy(path string, l List, fill func(*Copies) error) error {
	if strings.EqualFold(filepath.Ext(path), ".zip") {
		return atomicfile.Replace(path, func(w io.Writer) error {
			z := zip.NewWriter(w)
			c := &Copies{put: func(name string, b []byte) error {
				h := &zip.FileHeader{Name: name, Method: zip.Store} // pictures are packed already
				if name == Manifest {
					h.Method = zip.Deflate
				}
				out, err := z.CreateHeader(h)
				if err == nil {
					_, err = out.Write(b)
				}
				return err
			}}
			if err := fill(c); err != nil {
				return err
			}
			if err := c.end(l); err != nil {
				return err
			}
			return z.Close()
		})
	}
	return copyInto(path, l, fill)
}

func copyInto(path string, l List, fill func(*Copies) error) (err error) {
	switch list, err := os.ReadDir(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case len(list) > 0:
		return errors.New("the folder is not empty")
	}
	path, err = filepath.Abs(path)
	if err != nil {
		return err
	}
	atomicfile.Clean(path)
	part := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s-%08x.part", filepath.Base(path), rand.Uint32()))
	if err := os.Mkdir(part, 0o777); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(part)
		}
	}()
	root, err := os.OpenRoot(part)
	if err != nil {
		return err
	}
	defer root.Close()
	c := &Copies{put: func(name string, b []byte) error {
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil {
			return err
		}
		_, err = f.Write(b)
		return errors.Join(err, f.Sync(), f.Close())
	}}
	if err := fill(c); err != nil {
		return err
	}
	if err := c.end(l); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // it was empty
		return err
	}
	return os.Rename(part, path)
}
