package session

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"anomalymatch/engine/label"
)

// LabelFile is what a file of labels says.
type LabelFile struct {
	Format     string // for people
	Rows       []LabelRow
	Bad        []BadRow // of Label Studio the line is the number of the task
	Unlabelled int      // images that the file names without a label
}

// The formats.
const (
	OwnLabels   = "filename,label"
	Astronomaly = "Astronomaly"
	LabelStudio = "Label Studio"
	Names       = "names"
)

// LabelOptions say how other programs' labels are understood.
type LabelOptions struct {
	Threshold float64  // of scores from 0 to 5: from here on it is an anomaly
	Anomaly   []string // choices of Label Studio that mean one, besides the words of a CSV
	Normal    []string
	As        label.Value // of all images of a file that has names only; None: such a file is refused
}

// UsualThreshold is the score of Astronomaly from which on an image counts as an anomaly.
const UsualThreshold = 3

// ReadLabels reads the labels of a file, whose format its contents tell:
//
//   - CSV with filename (or id) and label: see [ReadLabelsCSV]
//   - CSV of Astronomaly: names in id, filename, … or the first column without a name, scores from 0 to 5 in human_label; -1 and nothing mean no label.
//     A column label or score that has other whole numbers than 0 and 1 is read so too
//   - JSON of Label Studio, both its exports: the choices of each task. Annotators who do not agree on a task leave it out
//   - names only, as a CSV (AnomalyMatch's best N) or an npy of texts, where opt says what they are
//
// A file that is not understood as a whole is an error, one sentence.
func ReadLabels(r io.Reader, opt LabelOptions) (LabelFile, error) {
	in := bufio.NewReaderSize(r, 1<<16)
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\ufeff")) {
		_, _ = in.Discard(3)
	}
	head, _ := in.Peek(1 << 16)
	switch first := bytes.TrimLeft(head, " \t\r\n"); {
	case bytes.HasPrefix(head, []byte("\x93NUMPY")):
		return readNPY(in, opt)
	case len(first) > 0 && (first[0] == '[' || first[0] == '{'):
		return readStudio(in, opt)
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	columns, err := csv.NewReader(bytes.NewReader(line)).Read()
	if err != nil {
		columns = nil // ReadLabelsCSV says it
	}
	name, word, scores := column(columns, append(slices.Clone(nameColumns), otherNames...)), column(columns, labelColumns), column(columns, scoreColumns)
	if name < 0 && len(columns) > 1 && strings.TrimSpace(columns[0]) == "" {
		name = 0
	}
	rated := scores >= 0 && strings.EqualFold(strings.TrimSpace(columns[scores]), scoreColumns[0])
	switch {
	case name >= 0 && rated:
		return readScores(in, name, scores, opt)
	case name >= 0 && word >= 0 && scored(head, word), name >= 0 && word < 0 && scores >= 0 && scored(head, scores):
		return readScores(in, name, max(word, scores), opt)
	case name >= 0 && word < 0:
		return readNames(in, name, opt)
	}
	out := LabelFile{Format: OwnLabels}
	out.Rows, out.Bad, err = ReadLabelsCSV(in)
	return out, err
}

// Columns of other programs' tables.
var (
	otherNames   = []string{"file", "name", "image", "path", "objid", "object_id", "source_id"}
	scoreColumns = []string{"human_label", "score", "rating"}
)

// scored tells whether a column at the beginning of a table has scores: whole numbers from -1 to 5, one of which is neither 0 nor 1.
func scored(head []byte, at int) bool {
	table := csv.NewReader(bytes.NewReader(head))
	table.FieldsPerRecord = -1
	found, first := false, true
	for {
		record, err := table.Read()
		if err != nil { // the end, or the line that was cut
			return found
		}
		if first || len(record) <= at {
			first = false
			continue
		}
		text := strings.TrimSpace(record[at])
		v, err := strconv.ParseFloat(text, 64)
		switch {
		case text == "":
		case err != nil || v != float64(int(v)) || v < -1 || v > 5:
			return false
		case v != 0 && v != 1:
			found = true
		}
	}
}

// records yields the lines of a table behind its first one.
func records(r io.Reader, bad *[]BadRow, each func(line int, record []string)) error {
	table := csv.NewReader(r)
	table.FieldsPerRecord = -1
	for first := true; ; first = false {
		record, err := table.Read()
		var syntax *csv.ParseError
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, &syntax):
			*bad = append(*bad, BadRow{syntax.StartLine, "a quotation mark is wrong here: " + syntax.Err.Error()})
		case err != nil:
			return fmt.Errorf("the labels file cannot be read to its end: %w", err)
		case !first:
			line, _ := table.FieldPos(0)
			each(line, record)
		}
	}
}

// readScores reads scores from 0 to 5.
func readScores(r io.Reader, name, score int, opt LabelOptions) (LabelFile, error) {
	out := LabelFile{Format: Astronomaly}
	err := records(r, &out.Bad, func(line int, record []string) {
		if len(record) <= max(name, score) {
			out.Bad = append(out.Bad, BadRow{line, fmt.Sprintf("there are %d columns, and the first line has more", len(record))})
			return
		}
		text := strings.TrimSpace(record[score])
		v, err := strconv.ParseFloat(text, 64)
		switch {
		case text == "", err == nil && (v == -1 || v != v):
			out.Unlabelled++
		case record[name] == "":
			out.Bad = append(out.Bad, BadRow{line, "the name of the image is missing"})
		case err != nil || v < 0 || v > 5:
			out.Bad = append(out.Bad, BadRow{line, fmt.Sprintf("%.50q is no score from 0 to 5, and not -1 for none", text)})
		case v >= opt.Threshold:
			out.Rows = append(out.Rows, LabelRow{line, strings.Clone(record[name]), label.Anomaly})
		default:
			out.Rows = append(out.Rows, LabelRow{line, strings.Clone(record[name]), label.Normal})
		}
	})
	return out, err
}

var errNamesOnly = errors.New("there are names in this file, but no labels: say what they are with --as anomaly, normal, skip or bookmark")

// readNames reads a table that has names only.
func readNames(r io.Reader, name int, opt LabelOptions) (LabelFile, error) {
	out := LabelFile{Format: Names}
	if opt.As == label.None {
		return out, errNamesOnly
	}
	err := records(r, &out.Bad, func(line int, record []string) {
		if len(record) <= name || record[name] == "" {
			out.Bad = append(out.Bad, BadRow{line, "the name of the image is missing"})
			return
		}
		out.Rows = append(out.Rows, LabelRow{line, strings.Clone(record[name]), opt.As})
	})
	return out, err
}

var npyText = regexp.MustCompile(`'descr':\s*'([<>|=]?)([USO])(\d*)'`)

// readNPY reads the names in an npy of texts.
func readNPY(r io.Reader, opt LabelOptions) (LabelFile, error) {
	out := LabelFile{Format: Names}
	wrong := errors.New("this npy holds no list of names: np.save(\"names.npy\", names) with texts, of one dimension, makes one; AnomalyMatch's NAME_topN.npy are pictures, whose names are in NAME_topN.csv")
	head := make([]byte, 10)
	if _, err := io.ReadFull(r, head); err != nil {
		return out, wrong
	}
	n := int(binary.LittleEndian.Uint16(head[8:]))
	if head[6] > 1 { // version 2 and 3 have four bytes
		more := make([]byte, 2)
		if _, err := io.ReadFull(r, more); err != nil {
			return out, wrong
		}
		n += int(binary.LittleEndian.Uint16(more)) << 16
	}
	if n > 1<<16 {
		return out, wrong
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return out, wrong
	}
	m := npyText.FindSubmatch(text)
	if m == nil {
		return out, wrong
	}
	if string(m[2]) == "O" {
		return out, errors.New("this npy holds Python objects, which are not read, since reading them runs code: save the names as texts, names.astype(str)")
	}
	width, err := strconv.Atoi(string(m[3]))
	if err != nil || width > maxName {
		return out, wrong
	}
	if opt.As == label.None {
		return out, errNamesOnly
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if string(m[1]) == ">" {
		order = binary.BigEndian
	}
	each := 1
	if string(m[2]) == "U" {
		each = 4
	}
	buf := make([]byte, width*each)
	for line := 1; width > 0; line++ {
		if _, err := io.ReadFull(r, buf); err == io.EOF {
			return out, nil
		} else if err != nil {
			return out, fmt.Errorf("the labels file cannot be read to its end: %w", err)
		}
		var name strings.Builder
		for i := 0; i < len(buf); i += each {
			c := rune(buf[i])
			if each == 4 {
				c = rune(order.Uint32(buf[i:]))
			}
			if c == 0 {
				break
			}
			if utf16.IsSurrogate(c) {
				c = '\ufffd'
			}
			name.WriteRune(c)
		}
		if name.Len() == 0 {
			out.Bad = append(out.Bad, BadRow{line, "the name of the image is missing"})
			continue
		}
		out.Rows = append(out.Rows, LabelRow{line, name.String(), opt.As})
	}
	return out, wrong
}

// maxName is the longest name of an image in characters.
const maxName = 4096

// studioAnnotation is what one person said about a task.
type studioAnnotation struct {
	Cancelled bool `json:"was_cancelled"`
	Result    []struct {
		Type  string `json:"type"`
		Value struct {
			Choices []string `json:"choices"`
		} `json:"value"`
	} `json:"result"`
}

// readStudio reads an export of Label Studio, whole ("JSON") or in short ("JSON-MIN").
func readStudio(r io.Reader, opt LabelOptions) (LabelFile, error) {
	out := LabelFile{Format: LabelStudio}
	in := json.NewDecoder(r)
	wrong := func(err error) (LabelFile, error) {
		return out, fmt.Errorf("this JSON is no export of Label Studio, a list of tasks: %w", err)
	}
	if t, err := in.Token(); err != nil || t != json.Delim('[') {
		return wrong(errors.New("it does not begin with ["))
	}
	means := func(word string) label.Value {
		is := func(w string) bool { return strings.EqualFold(strings.TrimSpace(w), strings.TrimSpace(word)) }
		switch {
		case slices.ContainsFunc(opt.Anomaly, is):
			return label.Anomaly
		case slices.ContainsFunc(opt.Normal, is):
			return label.Normal
		}
		return labelWords[strings.ToLower(strings.TrimSpace(word))]
	}
	unknown := map[string]int{}
	for n := 1; in.More(); n++ {
		var task map[string]json.RawMessage
		if err := in.Decode(&task); err != nil {
			return wrong(err)
		}
		name, said, err := studioTask(task)
		if err != nil {
			out.Bad = append(out.Bad, BadRow{n, err.Error()})
			continue
		}
		found := map[label.Value]bool{}
		for _, word := range said {
			if v := means(word); v != label.None {
				found[v] = true
			} else {
				unknown[word]++
			}
		}
		switch values := slices.Collect(maps.Keys(found)); {
		case len(values) == 0:
			out.Unlabelled++
		case len(values) > 1:
			out.Bad = append(out.Bad, BadRow{n, fmt.Sprintf("%.200q has several labels that do not agree", name)})
		default:
			out.Rows = append(out.Rows, LabelRow{n, name, values[0]})
		}
	}
	if _, err := in.Token(); err != nil {
		return wrong(err)
	}
	if len(unknown) > 0 {
		var words []string
		for _, w := range slices.Sorted(maps.Keys(unknown)) {
			words = append(words, fmt.Sprintf("%.40q (%d)", w, unknown[w]))
		}
		if len(words) > 10 {
			words = append(words[:10], "…")
		}
		return out, fmt.Errorf("neither anomaly nor normal, nor skip: %s. Say which are, with --anomaly-choice and --normal-choice; nothing is imported", strings.Join(words, ", "))
	}
	return out, nil
}

// studioTask is the name of a task's image, and the choices of all its annotators.
func studioTask(task map[string]json.RawMessage) (name string, choices []string, err error) {
	data, whole := task, false
	if raw, ok := task["data"]; ok {
		data, whole = nil, true
		if err := json.Unmarshal(raw, &data); err != nil {
			return "", nil, errors.New("the data of the task is no object")
		}
	}
	key := ""
	for _, k := range append([]string{"image", "img", "filename", "file", "name", "path", "url"}, slices.Sorted(maps.Keys(data))...) {
		var s string
		if json.Unmarshal(data[k], &s) == nil && s != "" && (key == "") && (slices.Contains([]string{"image", "img", "filename", "file", "name", "path", "url"}, k) || path.Ext(s) != "") {
			key, name = k, s
		}
	}
	if key == "" {
		return "", nil, errors.New("the task names no image")
	}
	name = studioName(name)
	if whole {
		for _, list := range []string{"annotations", "completions"} {
			var all []studioAnnotation
			if raw, ok := task[list]; ok && json.Unmarshal(raw, &all) != nil {
				return "", nil, fmt.Errorf("the annotations of %.200q make no sense", name)
			}
			for _, a := range all {
				for _, r := range a.Result {
					if r.Type == "choices" && !a.Cancelled {
						choices = append(choices, r.Value.Choices...)
					}
				}
			}
		}
		return name, choices, nil
	}
	for _, k := range slices.Sorted(maps.Keys(task)) {
		if k == key || slices.Contains([]string{"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time"}, k) {
			continue
		}
		var one string
		var many []string
		var object struct{ Choices []string }
		switch {
		case json.Unmarshal(task[k], &one) == nil && one != "":
			choices = append(choices, one)
		case json.Unmarshal(task[k], &many) == nil:
			choices = append(choices, many...)
		case json.Unmarshal(task[k], &object) == nil:
			choices = append(choices, object.Choices...)
		}
	}
	return name, choices, nil
}

var uploaded = regexp.MustCompile(`^[0-9a-f]{8}-(.+)$`)

// studioName is an image's name without what Label Studio puts around it: the address, and in front of files that were uploaded eight digits.
func studioName(s string) string {
	if u, err := url.Parse(s); err == nil && (u.Scheme != "" || strings.HasPrefix(s, "/data/")) {
		if s = u.Path; u.Query().Get("d") != "" { // local storage
			s = u.Query().Get("d")
		}
	}
	dir, base := path.Split(s)
	if m := uploaded.FindStringSubmatch(base); m != nil && (dir == "" || strings.Contains(dir, "upload/")) {
		return m[1]
	}
	return strings.TrimPrefix(s, "/")
}
