//go:build unix

package scenario

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"anomalymatch/engine/dataset/synth"
	"anomalymatch/internal/testdata"
	"anomalymatch/tui/tuitest"
)

// folder is a folder with a few galaxies, g000001.jpg and so on, and other files.
func folder(t *testing.T, galaxies int, others map[string][]byte) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "images")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if galaxies > 0 {
		if _, err := synth.Write(dir, galaxies, synth.Params{Seed: 5, Size: 48, Rare: 0.1}, nil); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range others {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// bomb is a small PNG file that says it has 60,000 × 60,000 pixels.
func bomb() []byte {
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		binary.Write(&b, binary.BigEndian, uint32(len(data)))
		b.WriteString(kind)
		b.Write(data)
		binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(append([]byte(kind), data...)))
	}
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 60000), 60000)
	chunk("IHDR", append(head, 8, 2, 0, 0, 0))
	chunk("IDAT", []byte("\x78\x9c\x03\x00\x00\x00\x00\x01"))
	chunk("IEND", nil)
	return b.Bytes()
}

// truncated is a JPEG file that ends in the middle.
func truncated(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(folder(t, 1, nil), "g000001.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	return b[:len(b)/2]
}

func TestFoldersWithoutImages(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  map[string][]byte
		says   string // the command
		keys   []string
		screen string
	}{
		{"empty", nil, "it is empty", nil, "it is empty; put images there"},
		{"other files", map[string][]byte{"notes.txt": []byte("a"), "data.csv": []byte("b")}, "2 other files; JPEG, PNG, WebP, TIFF and FITS are read", nil, "it has 2 other files; JPEG, PNG, WebP, TIFF and FITS are read"},
		// What is not known to be bad yet is shown as what it is until the person goes on.
		{"files with the names of images", map[string][]byte{"a.jpg": []byte("no picture"), "b.png": nil}, "can be read", []string{"R"}, "none of the files can be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := folder(t, 0, c.files)
			p := newProject(t, settings{sky: dir, percent: 100})
			out, errs, code := p.runs("new", filepath.Join(p.home, "new"), "--images", dir)
			if code != 1 || out != "" || !strings.Contains(errs, c.says) || strings.Count(errs, "\n") > 2 {
				t.Errorf("new: exit code %d, stdout %q, stderr %q", code, out, errs)
			}
			if _, err := os.Stat(filepath.Join(p.home, "new")); err == nil {
				t.Error("half a project was left")
			}
			s := p.open()
			if len(c.keys) > 0 {
				s.WaitFor("2 bad files").WaitFor("● idle").Press(c.keys...)
			}
			s.says(c.screen)
			s.Press("a").WaitFor("the list is empty")
			s.quit()
		})
	}
}

func TestBadFilesAmongGoodOnes(t *testing.T) {
	others := map[string][]byte{"truncated.jpg": truncated(t), "bomb.png": bomb(), "words.jpg": []byte("no picture"), "nothing.png": nil, "notes.txt": []byte("not meant")}
	p := newProject(t, settings{sky: folder(t, 12, others), percent: 100})
	s := p.open()
	s.WaitFor("of 12 images").WaitFor("4 bad files").WaitFor("● idle").WaitFor("novelty")
	s.Press("R").WaitFor("1/12")
	for n := range 8 {
		s.Cell(n).HasPicture()
	}
	if strings.Contains(s.Screen(), "cannot read") {
		t.Errorf("a bad file is offered:\n%s", s.Screen())
	}
	s.label("a")
	s.quit()
	if now := p.status(); now.Bad != 4 || now.Error != "" || now.Anomalies != 1 {
		t.Errorf("the engine is %+v", now)
	}
}

func TestHostileFiles(t *testing.T) {
	hostile := testdata.Shared(t, "data/formats/hostile")
	others := map[string][]byte{}
	for _, name := range []string{"bomb_60000x60000.png", "truncated.jpg", "empty.png", "not_an_image.jpg"} {
		b, err := os.ReadFile(filepath.Join(hostile, name))
		if err != nil {
			t.Fatal(err)
		}
		others[name] = b
	}
	p := newProject(t, settings{sky: folder(t, 12, others), percent: 100})
	s := p.open()
	s.WaitFor("of 12 images").WaitFor("4 bad files").WaitFor("novelty")
	s.Press("R").WaitFor("1/12")
	s.label("a")
	s.quit()
}

func TestHostileNames(t *testing.T) {
	dir := folder(t, 4, nil)
	good, err := os.ReadFile(filepath.Join(dir, "g000001.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{ // and what is shown of them
		"\x1b[31mred\x1b[2J\x1b[1;1H.jpg":    "␛[31mred␛[2J␛[1;1H.jpg",
		"\x1b]0;owned\x07\x1bPq.jpg":         "␛]0;owned␇␛Pq.jpg",
		"two\nlines\r\t.jpg":                 "two␊lines␍␉.jpg",
		"text\u202egpj.jpg":                  "text�gpj.jpg",
		strings.Repeat("long ", 39) + ".jpg": "long long",
		"$(touch owned);`id`.jpg":            "$(touch owned);`id`.jpg",
		"-rf.jpg":                            "-rf.jpg",
		"c1 \u009b31m.jpg":                   "c1 �31m.jpg",
	}
	for name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), good, 0o666); err != nil {
			t.Logf("%q cannot be a name here: %v", name, err)
			delete(names, name)
		}
	}
	bad := 0
	if os.WriteFile(filepath.Join(dir, "\xff\xfe.jpg"), good, 0o666) == nil {
		bad++
	}
	p := newProject(t, settings{sky: dir, percent: 100})
	s := p.open()
	s.WaitFor("novelty").WaitFor("● idle")
	if bad > 0 {
		s.WaitFor("1 bad file")
	}
	all := len(names) + 4
	s.Press("f", "i").WaitFor("/" + strconv.Itoa(all) + " images").Press("enter")
	seen := ""
	for n := range all {
		s.WaitFor(strconv.Itoa(n+1) + " of " + strconv.Itoa(all)).WaitFor("48 × 48 pixels").WaitFor(" sky   gallery  training  scores")
		seen += s.Screen()
		s.Press("l")
	}
	for name, shown := range names {
		if !strings.Contains(seen, shown) {
			t.Errorf("of %q was not seen: %q", name, shown)
		}
	}
	s.Press("esc", "g").WaitFor("1/" + strconv.Itoa(all))
	for range all {
		s.label("a")
	}
	s.WaitFor("A " + strconv.Itoa(all))
	s.quit()
	labels := p.labels()
	for name := range names {
		if labels[name] != "anomaly" {
			t.Errorf("the label of %q is not on disk", name)
		}
	}
	// Nothing of it reaches those who look from outside.
	for _, args := range [][]string{{"status", p.dir}, {"score", p.dir}} {
		out, errs, code := p.runs(args...)
		if strings.ContainsAny(out+errs, "\x1b\x07\r\u202e\u009b") || code != 0 && code != 3 { // 3: some are bad
			t.Errorf("%s: exit code %d, %q %q", args[0], code, out, errs)
		}
	}
	s = p.open()
	s.WaitFor("A " + strconv.Itoa(all)).Press("u").WaitFor("A " + strconv.Itoa(all-1))
	s.quit()
}

func TestAProjectThatCannotBeWritten(t *testing.T) {
	dir, protect := readOnly(t)
	p := newProjectIn(t, dir, settings{})
	protect()
	s := p.open()
	s.WaitFor("1/24 candidates of 120 images")
	s.selected()
	s.Press("a").Cell(0).IsUnsaved("A")
	s.WaitFor("1 label not saved yet: the project folder must be writable")
	s.Press("ctrl+e").WaitFor("the project folder cannot be written: copy it, or ask its owner")
	s.Press("q").WaitFor("Quit?").Press("n").WaitGone("Quit?").Press("q").WaitFor("Quit?").Press("y")
	if code := s.Exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	p.has(map[string]string{})
}

func TestAFullDisk(t *testing.T) {
	dir := smallDisk(t, 4<<20)
	p := newProjectIn(t, filepath.Join(dir, "project"), settings{percent: 100})
	s := p.open(tuitest.Options{Cols: 160, Rows: 50})
	s.WaitFor("novelty")
	s.label("x")
	full := fill(t, dir)
	// The journal's last block has room for a few more.
	for n := 2; !strings.Contains(s.Screen(), "on this machine"); n++ {
		s.selected()
		// Of 120, or of fewer where near-duplicates are one.
		s.Press("a").WaitFor(strconv.Itoa(n+1)+"/1").Wait("an answer", func(screen string) bool {
			return strings.Contains(screen, "A "+strconv.Itoa(n-1)) || strings.Contains(screen, "on this machine")
		})
	}
	for range 2 {
		s.selected()
		s.Press("x")
	}
	s.WaitFor("3 labels on this machine for now: the disk is full, free some space")
	before := len(p.events())
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	s.WaitFor("all labels have reached the engine")
	p.once(before + 3)
	s.label("x")
	s.quit()
	p.once(before + 4)
}

// fill leaves no room on a disk.
func fill(t *testing.T, dir string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "full")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 16; size > 0; size /= 2 {
		for err == nil {
			_, err = f.Write(make([]byte, size))
		}
		err = nil
	}
	return file
}

// chmod is a folder that its owner may not write once it is protected.
func chmod(t *testing.T) (dir string, protect func()) {
	dir = filepath.Join(t.TempDir(), "project")
	t.Cleanup(func() { os.Chmod(dir, 0o755) })
	return dir, func() {
		if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
	}
}
