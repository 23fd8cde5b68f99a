//go:build linux

package disktest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/meta"
	"anomalymatch/engine/dataset/synth"
	"anomalymatch/engine/duplicates"
	"anomalymatch/engine/export"
	"anomalymatch/engine/fast"
	"anomalymatch/engine/label"
	"anomalymatch/engine/nn"
	"anomalymatch/engine/runtime"
	"anomalymatch/engine/score"
	"anomalymatch/internal/faultfs"
	"anomalymatch/internal/say"
	"anomalymatch/session"
	"anomalymatch/session/journal"
	"anomalymatch/session/outbox"
)

// fault is something wrong with the disk.
type fault struct {
	name  string
	set   func(*faultfs.FS)
	errno syscall.Errno // 0: nobody notices
}

var faults = []fault{
	{"full", func(f *faultfs.FS) { f.Fill(0, syscall.ENOSPC) }, syscall.ENOSPC},
	{"soon full", func(f *faultfs.FS) { f.Fill(100, syscall.ENOSPC) }, syscall.ENOSPC},
	{"full of files", func(f *faultfs.FS) { f.Fail(faultfs.Name, "", syscall.ENOSPC) }, syscall.ENOSPC},
	{"full, found at fsync", func(f *faultfs.FS) { f.Fail(faultfs.Sync, "", syscall.ENOSPC) }, syscall.ENOSPC},
	{"quota", func(f *faultfs.FS) { f.Fill(0, syscall.EDQUOT) }, syscall.EDQUOT},
	{"quota, found at close", func(f *faultfs.FS) { f.Fail(faultfs.Close, "", syscall.EDQUOT) }, syscall.EDQUOT},
	{"write", func(f *faultfs.FS) { f.Fail(faultfs.Write, "", syscall.EIO) }, syscall.EIO},
	{"fsync", func(f *faultfs.FS) { f.Fail(faultfs.Sync, "", syscall.EIO) }, syscall.EIO},
	{"names", func(f *faultfs.FS) { f.Fail(faultfs.Name, "", syscall.EIO) }, syscall.EIO},
	{"all", func(f *faultfs.FS) { f.Fail(faultfs.All, "", syscall.EIO) }, syscall.EIO},
	{"read-only", func(f *faultfs.FS) { f.ReadOnly() }, syscall.EROFS},
	{"short writes", func(f *faultfs.FS) { f.Halve() }, 0},
}

// writer keeps versions of something. It may hold back an error where nobody needs to know: what it keeps is made again.
type writer struct {
	kept
	quiet bool
	rests string // what of it may stay: it goes on there
}

// small is a network that takes no time.
type small struct{}

func (small) Embed(pix []uint8, n, _, _ int) ([]float32, error) {
	out := make([]float32, n*nn.EmbeddingSize)
	for i := range out {
		out[i] = float32(int(pix[0])+i%97) / 100
	}
	return out, nil
}

func (small) Scores(_ []uint8, n, _, _ int) ([]float32, error) { return make([]float32, n), nil }

// writers are all that write into a project, a person's folders, or where a person says. Where nothing else tells versions apart, the size of pictures does.
func writers(t *testing.T) []writer {
	images := t.TempDir()
	if _, err := synth.Write(images, 12, synth.Defaults(), nil); err != nil {
		t.Fatal(err)
	}
	table := filepath.Join(t.TempDir(), "t.csv")
	open := func(dir string) (*dataset.Pool, error) {
		return dataset.OpenPool(t.Context(), filepath.Join(dir, "index"), []dataset.NamedSource{{Name: "pool", Path: images}}, dataset.Limits{}, nil)
	}
	pool, err := open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	// journals are written on in one process, as an engine does: recovery is without another start.
	journals, boxes := map[string]*journal.Journal{}, map[string]*outbox.Outbox{}
	t.Cleanup(func() {
		for _, j := range journals {
			j.Close()
		}
		for _, b := range boxes {
			b.Close()
		}
	})
	change := func(v int) []label.Change {
		return []label.Change{{ID: fmt.Sprintf("pool/%s%d.png", strings.Repeat("x", 100), v), To: label.Anomaly}}
	}
	count := func(events []label.Event) (int, error) {
		for i, e := range events {
			if e.UID != fmt.Sprint(i+1) {
				return 0, fmt.Errorf("label %d is of step %s", i+1, e.UID)
			}
		}
		return len(events), nil
	}
	key := func(size int) fast.Key { return fast.KeyOf(pool.Hash(), size, 1) }
	var all []writer
	for _, k := range keeps(images) {
		all = append(all, writer{kept: k})
	}
	return append(all,
		writer{kept: kept{"labels", func(dir string, v int) error {
			if journals[dir] == nil {
				j, err := journal.Open(filepath.Join(dir, "labels"), "ada")
				if err != nil {
					return err
				}
				journals[dir] = j
			}
			return journals[dir].Append("ada", fmt.Sprint(v), change(v))
		}, func(dir string) (int, error) {
			j, err := journal.Open(filepath.Join(dir, "labels"), "bob")
			if err != nil {
				return 0, err
			}
			return count(j.History("", 0))
		}}},
		writer{kept: kept{"outbox", func(dir string, v int) error {
			if boxes[dir] == nil {
				b, err := outbox.Open(filepath.Join(dir, "state"), "host", "project", "ada")
				if err != nil {
					return err
				}
				boxes[dir] = b
			}
			return boxes[dir].Keep(outbox.Step{UID: fmt.Sprint(v), By: "ada", Changes: change(v)})
		}, func(dir string) (int, error) {
			b, err := outbox.Open(filepath.Join(dir, "state"), "host", "project", "bob")
			if err != nil {
				return 0, err
			}
			defer b.Close()
			return len(b.Waiting()), nil
		}}},
		writer{kept: kept{"answers", func(dir string, v int) error {
			t.Setenv("XDG_STATE_HOME", dir)
			return session.SaveRuntimeAnswer(v%2 == 0)
		}, nil}},
		writer{kept: kept{"list of images", func(dir string, v int) error {
			os.WriteFile(filepath.Join(images, fmt.Sprintf("more-%d.png", v)), []byte("x"), 0o666)
			p, err := open(dir)
			if err != nil {
				return err
			}
			defer p.Close()
			_, err = p.Refresh(t.Context())
			return err
		}, func(dir string) (int, error) {
			return 0, ifThere(dataset.VerifyIndex(filepath.Join(dir, "index", "images.idx")))
		}}, quiet: true},
		writer{kept: kept{"prepared pixels", func(dir string, v int) error {
			pool.Prepare(filepath.Join(dir, "prepared"), true)
			defer pool.Prepare("", false)
			for _, err := range pool.Batches(t.Context(), numbers(pool.Len()), 8+v, 4, 1) {
				if err != nil {
					return err
				}
			}
			return nil
		}, nil}, quiet: true},
		writer{kept: kept{"embeddings", func(dir string, v int) error {
			e, err := fast.Create(t.Context(), filepath.Join(dir, "embeddings"), key(8+v), pool, runtime.Opened{Name: "test"}, fast.Options{Batch: 4, Workers: 1, Network: small{}})
			if err != nil {
				return err
			}
			return e.Close()
		}, func(dir string) (n int, err error) {
			for ; ; n++ {
				e, err := fast.Open(filepath.Join(dir, "embeddings"), key(9+n))
				if err != nil {
					return n, nil
				}
				e.Close()
				files, _ := filepath.Glob(filepath.Join(dir, "embeddings", "*.f16"))
				for _, file := range files {
					if err := fast.Verify(context.Background(), file); err != nil {
						return 0, err
					}
				}
			}
		}}, rests: ".f16.part"},
		writer{kept: kept{"scores on the way", func(dir string, v int) error {
			path := filepath.Join(dir, "scores", "unfinished.part")
			s, err := score.ResumeOn(t.Context(), path, fmt.Sprint("of ", v), pool, small{}, score.Options{Batch: 4, Size: 8})
			if err == nil && len(s) != pool.Len() {
				err = fmt.Errorf("%d scores of %d images", len(s), pool.Len())
			}
			return err
		}, nil}, rests: "unfinished.part"},
		writer{kept: kept{"near-duplicates", func(dir string, v int) error {
			return duplicates.Write(filepath.Join(dir, "groups"), fmt.Sprint(v), &duplicates.Groups{Of: make([]int32, 100)})
		}, func(dir string) (int, error) {
			for v := range 9 {
				if _, ok := duplicates.Read(filepath.Join(dir, "groups"), fmt.Sprint(v), 100); ok {
					return v, nil
				}
			}
			return 0, ifThere(duplicates.Verify(filepath.Join(dir, "groups")))
		}}},
		writer{kept: kept{"metadata", func(dir string, v int) error {
			if err := os.WriteFile(table, []byte("filename,z\n"+pool.ID(0)+","+fmt.Sprint(v)+"\n"), 0o666); err != nil {
				return err
			}
			_, err := meta.Build(t.Context(), filepath.Join(dir, "index"), pool, []meta.File{{Path: table}}, nil)
			return err
		}, nil}},
		writer{kept: kept{"ranked list", func(dir string, v int) error {
			return score.Export(filepath.Join(dir, "list.csv"), make([]score.Row, 200*v), "fast")
		}, func(dir string) (int, error) {
			text, err := os.ReadFile(filepath.Join(dir, "list.csv"))
			n := strings.Count(string(text), "\n")
			if n%200 > 1 {
				err = fmt.Errorf("%d lines", n)
			}
			return n / 200, ifThere(err)
		}}},
		writer{kept: kept{"copies", func(dir string, v int) error {
			return export.Copy(filepath.Join(dir, fmt.Sprintf("copies-%d", v)), export.List{}, func(c *export.Copies) error {
				has, err := pool.Content(t.Context(), 0)
				if err != nil {
					return err
				}
				return c.Add(export.Candidate{ID: pool.ID(0)}, has, dataset.RGB{})
			})
		}, func(dir string) (n int, err error) {
			for ; ; n++ {
				list, err := os.ReadDir(filepath.Join(dir, fmt.Sprintf("copies-%d", n+1)))
				if errors.Is(err, fs.ErrNotExist) {
					return n, nil
				}
				if len(list) != 2 {
					return 0, fmt.Errorf("copies of %d files, %v", len(list), err)
				}
			}
		}}},
		writer{kept: kept{"copies in a zip", func(dir string, v int) error {
			return export.Copy(filepath.Join(dir, "copies.zip"), export.List{}, func(c *export.Copies) error {
				has, err := pool.Content(t.Context(), 0)
				if err != nil {
					return err
				}
				return c.Add(export.Candidate{ID: pool.ID(0)}, has, dataset.RGB{})
			})
		}, nil}},
	)
}

func ifThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func numbers(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// TestFaultyDisks lets every writer meet every fault: it says so, what was there stays or is whole and new, nothing is left lying about, and when the fault is over
// the same process goes on.
func TestFaultyDisks(t *testing.T) {
	f := faultfs.Mount(t)
	images := pool(t)
	hit := map[string]int{}
	all := writers(t)
	for _, w := range all {
		t.Run(w.name, func(t *testing.T) {
			for i, c := range faults {
				t.Run(c.name, func(t *testing.T) {
					defer f.Heal()
					dir := filepath.Join(f.Dir(), strings.ReplaceAll(w.name, " ", "-")+fmt.Sprint(i))
					t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
					if _, err := session.Create(dir, session.Options{Images: []string{images}}); err != nil {
						t.Fatal(err)
					}
					if err := w.write(dir, 1); err != nil {
						t.Fatal(err)
					}
					hits := f.Hits()
					c.set(f)
					err := w.write(dir, 2)
					if f.Hits() > hits {
						hit[w.name]++
						hit[c.name]++
					}
					f.Heal()
					switch {
					case c.errno == 0:
						if err != nil {
							t.Errorf("nothing is wrong, and it says %v", err)
						}
					case err != nil:
						sentence := say.Plain(err.Error())
						if !errors.Is(err, c.errno) && !w.quiet {
							t.Errorf("the error is another one: %v", err)
						}
						if !strings.Contains(sentence, say.Disk(c.errno)) || !strings.Contains(sentence, f.Dir()) {
							t.Errorf("it does not say what is wrong, where, and what to do: %s", sentence)
						}
					}
					if w.read != nil {
						got, wrong := w.read(dir)
						least := 1
						if err == nil && !w.quiet {
							least = 2
						}
						if wrong != nil || got > 2 || got < least && !w.quiet {
							t.Errorf("there is version %d, %v; writing said %v", got, wrong, err)
						}
					}
					// Removing cannot be, where names cannot change; the next one does it.
					if c.errno == 0 || strings.HasPrefix(c.name, "full") || strings.HasPrefix(c.name, "soon") || strings.HasPrefix(c.name, "quota") || c.name == "write" || c.name == "fsync" {
						leftovers(t, dir, w.rests)
					}
					next := 2
					if err == nil {
						next = 3
					}
					if err := w.write(dir, next); err != nil {
						t.Errorf("it does not go on: %v", err)
					}
					if w.read != nil {
						if got, err := w.read(dir); (got != next || err != nil) && !w.quiet {
							t.Errorf("after it went on there is version %d, %v, and not %d", got, err, next)
						}
					}
					f.Clear()
				})
			}
		})
		if n := hit[w.name]; n < len(faults)/3 {
			t.Errorf("only %d of %d faults hit %s", n, len(faults), w.name)
		}
	}
	for _, c := range faults {
		if n := hit[c.name]; n < len(all)/2 {
			t.Errorf("the fault %q hit only %d of %d writers", c.name, n, len(all))
		}
	}
	t.Logf("%d writers, %d faults", len(all), len(faults))
}

// leftovers complains of parts that stay.
func leftovers(t *testing.T, dir, rests string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (strings.Contains(d.Name(), ".part") || strings.HasPrefix(d.Name(), "part-")) && (rests == "" || !strings.Contains(d.Name(), rests)) {
			t.Errorf("%s stays", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A disk that cannot be read just now makes no label disappear, and what came meanwhile is read when it can be.
func TestReadErrorsForgetNoLabels(t *testing.T) {
	f := faultfs.Mount(t)
	open := func(writer string) *journal.Journal {
		j, err := journal.Open(f.Dir(), writer)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { j.Close() })
		return j
	}
	give := func(j *journal.Journal, id string) {
		if err := j.Append("", "", []label.Change{{ID: id, To: label.Normal}}); err != nil {
			t.Fatal(err)
		}
	}
	ada, bob := open("ada"), open("bob")
	give(ada, "1")
	give(bob, "2")
	if _, err := ada.Poll(); err != nil || len(ada.Current()) != 2 {
		t.Fatalf("%v, %v", ada.Current(), err)
	}
	give(bob, "3")
	for _, op := range []faultfs.Op{faultfs.Read, faultfs.Look, faultfs.All} {
		f.Fail(op, "", syscall.EIO)
		if _, err := ada.Poll(); err == nil || say.Disk(err) == "" {
			t.Errorf("it is told as %v", err)
		}
		if n := len(ada.Current()); n != 2 {
			t.Errorf("there are %d labels", n)
		}
		f.Heal()
	}
	if changed, err := ada.Poll(); !changed || err != nil || len(ada.Current()) != 3 {
		t.Errorf("afterwards: %v, %v, %v", changed, err, ada.Current())
	}
}
