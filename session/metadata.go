package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/engine/dataset/meta"
	"anomalymatch/internal/atomicfile"
	"anomalymatch/internal/say"

	"github.com/BurntSushi/toml"
)

// Metadata is a table of what is known of the images: CSV, Parquet or FITS.
type Metadata struct {
	File string `toml:"file"`          // absolute
	Key  string `toml:"key,omitempty"` // the column that names images; empty: found by its name
}

// Tables are the project's metadata as the engine wants them.
func (p *Project) Tables() []meta.File {
	var all []meta.File
	for _, m := range p.Metadata {
		all = append(all, meta.File{Path: m.File, Key: m.Key})
	}
	return all
}

// OpenMetadata opens what the project's tables say of the images of pool, which are read where they changed. It is nil where there are none.
func (p *Project) OpenMetadata(ctx context.Context, pool *dataset.Pool, progress func(rows int64)) (*meta.Table, error) {
	files := p.Tables()
	if len(files) == 0 {
		return nil, nil
	}
	t, err := meta.Open(p.Sub(indexDir), pool, files)
	if err == nil || p.ReadOnly {
		return t, err
	}
	if _, err := meta.Build(ctx, p.Sub(indexDir), pool, files, progress); err != nil {
		return nil, err
	}
	return meta.Open(p.Sub(indexDir), pool, files)
}

// SetMetadata makes these tables the project's, instead of those before, and says how they were matched. Where they cannot be read nothing changes.
func (p *Project) SetMetadata(ctx context.Context, pool *dataset.Pool, tables []Metadata, progress func(rows int64)) ([]meta.Report, error) {
	for i, t := range tables {
		abs, err := filepath.Abs(t.File)
		if err != nil {
			return nil, err
		}
		tables[i].File = abs
	}
	file := p.Sub(projectFile)
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the project %s cannot be read: %w", say.Path(file), say.Cause(err))
	}
	text, err = withMetadata(text, tables)
	if err != nil {
		return nil, fmt.Errorf("%s %w", say.Path(file), err)
	}
	if _, _, err := parse(file, text, anomalymatch.Default()); err != nil {
		return nil, err
	}
	changed := *p
	changed.Metadata = tables
	var reports []meta.Report
	if len(tables) > 0 {
		if reports, err = meta.Build(ctx, p.Sub(indexDir), pool, changed.Tables(), progress); err != nil {
			return nil, err
		}
	} else if err := os.Remove(p.Sub(indexDir, meta.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the metadata cannot be taken away: %w", say.Cause(err))
	}
	if err := atomicfile.Bytes(file, text); err != nil {
		return nil, fmt.Errorf("the project %s cannot be written: %w", say.Path(file), say.Cause(err))
	}
	p.Metadata = tables
	return reports, nil
}

// withMetadata replaces the [[metadata]] of a project.toml. All else stays as it is.
func withMetadata(text []byte, tables []Metadata) ([]byte, error) {
	var out bytes.Buffer
	ours := false
	for line := range bytes.Lines(text) {
		if head := bytes.TrimSpace(line); bytes.HasPrefix(head, []byte("[")) {
			ours = strings.HasPrefix(strings.ReplaceAll(string(head), " ", ""), "[[metadata]]")
		}
		if !ours {
			out.Write(line)
		}
	}
	out.Truncate(len(bytes.TrimRight(out.Bytes(), "\n")))
	out.WriteByte('\n')
	if len(tables) > 0 {
		more, err := toml.Marshal(struct {
			Metadata []Metadata `toml:"metadata"`
		}{tables})
		if err != nil {
			return nil, err
		}
		out.WriteByte('\n')
		out.Write(more)
	}
	rest := func(text []byte) (map[string]any, error) {
		all := map[string]any{}
		_, err := toml.Decode(string(text), &all)
		delete(all, "metadata")
		return all, err
	}
	before, err := rest(text)
	if err != nil {
		return nil, fmt.Errorf("cannot be changed: %w", err)
	}
	if after, err := rest(out.Bytes()); err != nil || !reflect.DeepEqual(before, after) {
		return nil, errors.New("cannot be changed by this program: write a [[metadata]] with file = \"…\" into it")
	}
	return out.Bytes(), nil
}
