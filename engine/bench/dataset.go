package bench

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"anomalymatch/engine/dataset"
)

// DataSet is images whose classes are known, one class each.
type DataSet struct {
	Images    *dataset.Pool // those whose class is known
	Class     []int         // by image number: place in Names
	Names     []string      // of the classes, sorted
	Anomalies []int         // the classes that are looked for, one after the other: places in Names
	Layout    string        // folders, pool or galaxyzoo
	LeftOut   int           // images, or rows of the table, that could not be used
	Why       string        // the first of them, a sentence; "" if LeftOut is 0
}

// Close closes the images.
func (d *DataSet) Close() error { return d.Images.Close() }

// Layout says where the classes of a data set stand.
type Layout struct {
	Images    string   // folder of the images
	Kind      string   // folders, pool, galaxyzoo, or auto: by the table's first line, and folders where there is no table
	Table     string   // CSV; "": pool.csv or training_solutions_rev1.csv in the folder
	Threshold float64  // of the vote for "odd" in the Galaxy Zoo challenge's table: more is an anomaly
	Classes   []string // look for these alone; none: for each
}

// The two tables by their names. A table in the Galaxy Zoo challenge's layout has GalaxyID and 37 vote shares; Class6.1 is the
// share that found the galaxy odd, and GalaxyID.jpg is its image.
const (
	poolTable = "pool.csv"
	zooTable  = "training_solutions_rev1.csv"
	zooID     = "GalaxyID"
	zooOdd    = "Class6.1"
)

// OpenDataSet reads the classes of the images in one of three layouts:
//
//	folders    the folder that an image lies in is its class
//	pool       CSV filename,class, or filename,truth with anomaly or normal
//	galaxyzoo  CSV of the Galaxy Zoo challenge: anomaly is a galaxy with more votes for "odd" than the threshold
//
// Rows without an image, and images without a class folder, are left out and counted. index is a folder for what is remembered
// about the images.
func OpenDataSet(ctx context.Context, l Layout, index string) (*DataSet, error) {
	all, err := dataset.OpenPool(ctx, index, []dataset.NamedSource{{Name: "images", Path: l.Images}}, dataset.Limits{}, nil)
	if err != nil {
		return nil, err
	}
	d, err := l.read(all)
	if err != nil {
		all.Close()
		return nil, err
	}
	return d, nil
}

func (l Layout) read(all *dataset.Pool) (*DataSet, error) {
	d := &DataSet{Layout: l.Kind}
	classes := map[int]string{} // number in all → class
	where := fmt.Sprintf("the folder %q", l.Images)
	table, err := l.table()
	switch {
	case err != nil:
		return nil, err
	case table == "":
		d.Layout = "folders"
		d.folders(all, classes)
	default:
		where = filepath.Base(table)
		if err := l.rows(d, table, all, classes); err != nil {
			return nil, fmt.Errorf("%s%w", where, err)
		}
	}
	if len(classes) == 0 {
		if d.Layout == "folders" {
			return nil, fmt.Errorf("%s holds no class folders: an image's folder is its class, as in %q", where, path.Join(l.Images, "koala", "1.jpg"))
		}
		return nil, fmt.Errorf("%s: none of its %d rows has an image in %q: %s", where, d.LeftOut, l.Images, d.Why)
	}
	d.number(all, classes)
	if len(d.Names) < 2 {
		return nil, fmt.Errorf("%s has one class, %.100q: anomalies need others to be found among", where, d.Names[0])
	}
	if d.Anomalies, err = d.wanted(l.Classes); err != nil {
		return nil, fmt.Errorf("%s %w", where, err)
	}
	return d, nil
}

// table is the CSV to read, "" for folders.
func (l Layout) table() (string, error) {
	if !slices.Contains([]string{"", "auto", "folders", "pool", "galaxyzoo"}, l.Kind) {
		return "", fmt.Errorf("no layout %q: choose auto, folders, pool or galaxyzoo", l.Kind)
	}
	if l.Kind == "folders" {
		return "", nil
	}
	if l.Table != "" {
		return l.Table, nil
	}
	for _, known := range [][2]string{{"pool", poolTable}, {"galaxyzoo", zooTable}} {
		kind, name := known[0], known[1]
		if l.Kind != kind && l.Kind != "auto" && l.Kind != "" {
			continue
		}
		file := filepath.Join(l.Images, name)
		_, err := os.Stat(file)
		switch {
		case err == nil:
			return file, nil
		case kind == l.Kind:
			return "", fmt.Errorf("there is no %s in %q: name the table with --pool", name, l.Images)
		}
	}
	return "", nil
}

// folders: the folder that an image lies in is its class.
func (d *DataSet) folders(all *dataset.Pool, classes map[int]string) {
	for i := range all.Len() {
		if dir := path.Dir(all.Entry(i).Path); dir != "." {
			classes[i] = path.Base(dir)
		} else {
			d.leaveOut(fmt.Sprintf("%.300q lies in no class folder", all.ID(i)))
		}
	}
}

func (d *DataSet) leaveOut(why string) {
	if d.LeftOut++; d.Why == "" {
		d.Why = why
	}
}

// rows reads a table. Errors continue its name.
func (l Layout) rows(d *DataSet, table string, all *dataset.Pool, classes map[int]string) error {
	f, err := os.Open(table)
	if err != nil {
		return fmt.Errorf(" cannot be read: %w", err)
	}
	defer f.Close()
	in := csv.NewReader(f)
	head, err := in.Read()
	if err != nil {
		return fmt.Errorf(" has no first line that names the columns: %w", err)
	}
	head[0] = strings.TrimPrefix(head[0], "\ufeff")
	row, err := l.columns(d, head)
	if err != nil {
		return err
	}
	most := 0.0
	for {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf(": %w", err)
		}
		line, _ := in.FieldPos(0)
		name, class, vote, err := row(cells)
		if err != nil {
			return fmt.Errorf(":%d: %w", line, err)
		}
		most = max(most, vote)
		i, err := all.Match(name)
		if err != nil {
			d.leaveOut(fmt.Sprintf("line %d: %s", line, err))
			continue
		}
		if before, twice := classes[i]; twice && before != class {
			return fmt.Errorf(":%d: %.300q is %.100q here and %.100q above", line, name, class, before)
		}
		classes[i] = class
	}
	if d.Layout == "galaxyzoo" && most <= l.Threshold && len(classes) > 0 {
		return fmt.Errorf(" has no galaxy with more than %v of the votes for odd (%s; the most is %v): a lower --threshold finds some", l.Threshold, zooOdd, most)
	}
	return nil
}

// columns says how a row of the table with this first line is read: the image's name, its class, and its vote for odd.
func (l Layout) columns(d *DataSet, head []string) (func(cells []string) (name, class string, vote float64, err error), error) {
	at := func(column string) int { return slices.Index(head, column) }
	file, truth, class, id, odd := at("filename"), at("truth"), at("class"), at(zooID), at(zooOdd)
	if kind := l.Kind; kind == "galaxyzoo" || kind != "pool" && (id >= 0 || odd >= 0) {
		d.Layout = "galaxyzoo"
		for column, i := range map[string]int{zooID: id, zooOdd: odd} {
			if i < 0 {
				return nil, fmt.Errorf(" has no column %s: the Galaxy Zoo challenge's table begins with the line %s,Class1.1,Class1.2, and so on to Class11.6", column, zooID)
			}
		}
		return func(cells []string) (string, string, float64, error) {
			vote, err := strconv.ParseFloat(strings.TrimSpace(cells[odd]), 64)
			if err != nil || !(vote >= 0 && vote <= 1) {
				return "", "", 0, fmt.Errorf("%s is %.100q, not a share of votes from 0 to 1", zooOdd, cells[odd])
			}
			if vote > l.Threshold {
				return cells[id] + ".jpg", "anomaly", vote, nil
			}
			return cells[id] + ".jpg", "normal", vote, nil
		}, nil
	}
	d.Layout = "pool"
	switch {
	case file >= 0 && truth >= 0:
		return func(cells []string) (string, string, float64, error) {
			if v := cells[truth]; v != "anomaly" && v != "normal" {
				return "", "", 0, fmt.Errorf("truth is %.100q, not anomaly or normal", v)
			}
			return cells[file], cells[truth], 0, nil
		}, nil
	case file >= 0 && class >= 0:
		return func(cells []string) (string, string, float64, error) {
			if cells[class] == "" {
				return "", "", 0, fmt.Errorf("%.300q has no class", cells[file])
			}
			return cells[file], cells[class], 0, nil
		}, nil
	}
	return nil, fmt.Errorf(" must begin with the line filename,class or filename,truth, or be the Galaxy Zoo challenge's table (%s, %s)", zooID, zooOdd)
}

// number keeps the images that have a class and sorts the classes' names.
func (d *DataSet) number(all *dataset.Pool, classes map[int]string) {
	numbers := make([]int, 0, len(classes))
	place := map[string]int{}
	for i, class := range classes {
		numbers = append(numbers, i)
		place[class] = 0
	}
	slices.Sort(numbers)
	for name := range place {
		d.Names = append(d.Names, name)
	}
	slices.Sort(d.Names)
	for k, name := range d.Names {
		place[name] = k
	}
	d.Images = all.Subset(numbers)
	d.Class = make([]int, len(numbers))
	for k, i := range numbers { // a subset keeps the order
		d.Class[k] = place[classes[i]]
	}
}

// wanted are the classes to look for: the named ones, else each, but where the classes are anomaly and normal only the first.
func (d *DataSet) wanted(names []string) ([]int, error) {
	each := d.Names
	if slices.Equal(each, []string{"anomaly", "normal"}) {
		each = each[:1]
	}
	if len(names) == 0 {
		names = each
	}
	var out []int
	for _, name := range names {
		k := slices.Index(each, name)
		if k < 0 {
			const show = 12
			list := fmt.Sprintf("%.60q", each[:min(show, len(each))])
			if len(each) > show {
				list += fmt.Sprintf(" and %d more", len(each)-show)
			}
			return nil, fmt.Errorf("has no class %.100q: there is %s", name, list)
		}
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out, nil
}

// Points are what another program found: shares of the images inspected (X) and of the anomalies found (Y).
type Points struct {
	X, Y   []float64
	Counts bool // as written: numbers of images, not shares
}

// ReadPoints reads a CSV with the columns inspected and found. Where every value is at most 1 they are shares, of all images and
// of all anomalies; otherwise they are counts, whole numbers, which are divided by the images and anomalies given.
func ReadPoints(file string, images, anomalies int) (*Points, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	name := filepath.Base(file)
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s is empty: it must begin with the line inspected,found", name)
	}
	rows[0][0] = strings.TrimPrefix(rows[0][0], "\ufeff")
	x, y := slices.Index(rows[0], "inspected"), slices.Index(rows[0], "found")
	if x < 0 || y < 0 {
		return nil, fmt.Errorf("%s must begin with the line inspected,found", name)
	}
	type pair [2]float64
	var pairs []pair
	p := &Points{}
	whole := true
	for n, row := range rows[1:] {
		var v pair
		for k, column := range []int{x, y} {
			if v[k], err = strconv.ParseFloat(strings.TrimSpace(row[column]), 64); err != nil || !(v[k] >= 0) || math.IsInf(v[k], 0) {
				return nil, fmt.Errorf("%s: row %d: %.100q is no share from 0 to 1 and no count", name, n+1, row[column])
			}
			p.Counts = p.Counts || v[k] > 1
			whole = whole && v[k] == math.Trunc(v[k])
		}
		pairs = append(pairs, v)
	}
	switch {
	case len(pairs) == 0:
		return nil, fmt.Errorf("%s has no points below its first line", name)
	case p.Counts && !whole:
		return nil, fmt.Errorf("%s mixes fractions and numbers above 1: write shares from 0 to 1, or counts of images, in both columns", name)
	}
	slices.SortFunc(pairs, func(a, b pair) int { return slices.Compare(a[:], b[:]) })
	for _, v := range pairs {
		if p.Counts {
			if v[0] > float64(images) || v[1] > float64(anomalies) {
				return nil, fmt.Errorf("%s: %v found among %v inspected is more than there is: this pool has %d images, %d of them anomalies", name, v[1], v[0], images, anomalies)
			}
			v[0] /= float64(images)
			v[1] /= float64(anomalies)
		}
		p.X, p.Y = append(p.X, v[0]), append(p.Y, v[1])
	}
	return p, nil
}
