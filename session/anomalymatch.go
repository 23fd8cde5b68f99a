package session

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"anomalymatch"
	"anomalymatch/engine/dataset"
	"anomalymatch/internal/say"

	"github.com/BurntSushi/toml"
)

// Theirs is what the config.toml of ESA's AnomalyMatch means here. The files that it names are not looked into.
type Theirs struct {
	File     string // the config
	Images   string // data_dir, where it is there
	Labels   string // labeled_data.csv beside the config, or label_file; where it is there
	Metadata string // metadata_file, where it is there
	Reading  dataset.Reading
	Settings Values

	Taken   []string // for people: "lr = 0.0075 is fixmatch.learning_rate"
	Ignored []string // for people: what has no counterpart, and why
}

// Values are settings: keys of config.toml with their values, by table; "" is the top.
type Values map[string]map[string]any

const maxTheirs = 1 << 20 // bytes of a config

// ReadAnomalyMatch reads a config.toml of AnomalyMatch (1.0 to 1.3), or that in the folder of one of its sessions. All of it is listed, as taken or as
// ignored.
func ReadAnomalyMatch(path string) (Theirs, error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		path = filepath.Join(path, "config.toml")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return Theirs{}, err
	}
	t := Theirs{File: path, Settings: Values{}}
	if why := Pickled(path); why != "" {
		return t, errors.New(why)
	}
	f, err := os.Open(path)
	if err != nil {
		return t, fmt.Errorf("the config of AnomalyMatch %s cannot be read: %w", say.Path(path), say.Cause(err))
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTheirs+1))
	if err != nil {
		return t, fmt.Errorf("the config of AnomalyMatch %s cannot be read: %w", say.Path(path), say.Cause(err))
	}
	all := map[string]any{}
	if len(text) > maxTheirs || toml.Unmarshal(text, &all) != nil {
		return t, fmt.Errorf("%s is no config of AnomalyMatch, a TOML file", say.Path(path))
	}
	if _, ok := all["ema_m"]; !ok && all["num_train_iter"] == nil && all["p_cutoff"] == nil {
		return t, fmt.Errorf("%s is no config of AnomalyMatch: none of its settings (num_train_iter, p_cutoff, ema_m) is in it", say.Path(path))
	}
	t.take(flat("", all))
	return t, nil
}

// flat has tables in tables as keys with dots. The words of AnomalyMatch for nothing are left out.
func flat(before string, all map[string]any) map[string]any {
	out := map[string]any{}
	for key, v := range all {
		table, ok := v.(map[string]any)
		switch {
		case v == "null" || v == "None":
		case ok:
			maps.Copy(out, flat(before+key+".", table))
		default:
			out[before+key] = v
		}
	}
	return out
}

// direct are their settings that are ours under another name.
var direct = map[string][2]string{
	"seed":           {"", "seed"},
	"num_train_iter": {"fixmatch", "iterations"},
	"batch_size":     {"fixmatch", "labelled_batch"},
	"lr":             {"fixmatch", "learning_rate"},
	"momentum":       {"fixmatch", "momentum"},
	"weight_decay":   {"fixmatch", "weight_decay"},
	"ema_m":          {"fixmatch", "ema"},
	"p_cutoff":       {"fixmatch", "cutoff"},
	"ulb_loss_ratio": {"fixmatch", "unlabelled_weight"},
	"bn_momentum":    {"fixmatch", "bn_momentum"},
}

// without are their settings that have no counterpart here, and why.
var without = map[string]string{
	"eval_batch_size":     "found by trial here, see model.score_batch",
	"N_batch_prediction":  "found by trial here, see model.score_batch",
	"num_workers":         "all cores here, see images.decode_workers",
	"N_to_load":           "all images are the pool here",
	"top_N":               "all images are ranked here",
	"oversample":          "both labels are always drawn equally often here",
	"test_ratio":          "new --truth measures here",
	"interpolation_order": "images are resized as Pillow does it, bilinear",
	"pretrained":          "training always begins with ImageNet's weights here",
}

// take sorts the settings into those with a counterpart and the others.
func (t *Theirs) take(all map[string]any) {
	set := func(key, table, name string, v any) {
		if f, ok := v.(float64); ok && f == math.Trunc(f) && math.Abs(f) < 1<<53 { // seed = 42.0
			if whole, err := settable(table, name, int64(f)); err == nil {
				v = whole
			}
		}
		v, err := settable(table, name, v)
		if err != nil {
			t.ignore(key, v, err.Error())
			return
		}
		if t.Settings[table] == nil {
			t.Settings[table] = map[string]any{}
		}
		t.Settings[table][name] = v
		t.Taken = append(t.Taken, fmt.Sprintf("%s = %s is %s", say.Text(key), shown(v), strings.TrimPrefix(table+"."+name, ".")))
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		v := all[key]
		last := strings.TrimPrefix(strings.TrimPrefix(key, "normalisation."), "norm_")
		ours, isDirect := direct[key]
		switch {
		case isDirect:
			set(key, ours[0], ours[1], v)
		case key == "uratio":
			n, ok := all["batch_size"].(int64)
			ratio, whole := v.(int64)
			if !ok || !whole || n < 1 || n > 1<<20 || ratio < 1 || ratio > 1<<20 {
				t.ignore(key, v, "it needs batch_size, and is a whole number")
				continue
			}
			set(key, "fixmatch", "unlabelled_batch", n*ratio)
		case last == "size" || last == "image_size":
			var side int64
			if sides, _ := v.([]any); len(sides) == 2 {
				h, _ := sides[0].(int64)
				if w, _ := sides[1].(int64); h == w {
					side = h
				}
			}
			if side == 0 {
				t.ignore(key, v, "only squares are seen here")
				continue
			}
			set(key, "model", "size", side)
		case last == "normalisation_method":
			t.stretch(key, v)
		case last == "fits_extension":
			if s, ok := listed(v); ok {
				t.Reading.Select = s
				t.Taken = append(t.Taken, fmt.Sprintf("%s = %s is select of the source", say.Text(key), shown(v)))
			} else {
				t.ignore(key, v, "HDUs are numbers or names here")
			}
		case last == "channel_combination":
			t.channels(key, v)
		case last == "maximum_value" || last == "minimum_value": // both below
		case key == "opt" && v == "SGD", key == "net" && v == "efficientnet-lite0", key == "hard_label" && v == true:
			t.Taken = append(t.Taken, fmt.Sprintf("%s = %s is so here", key, shown(v)))
		case key == "opt":
			t.ignore(key, v, "SGD is the optimiser here")
		case key == "net":
			t.ignore(key, v, "efficientnet-lite0 is the network here")
		case key == "hard_label":
			t.ignore(key, v, "pseudo-labels are hard here")
		case key == "data_dir", key == "label_file", key == "metadata_file":
			t.path(key, v)
		default:
			t.ignore(key, v, without[last])
		}
	}
	t.limits(all)
	if labels := filepath.Join(filepath.Dir(t.File), "labeled_data.csv"); isFile(labels) { // of a session: newer than what it began with
		t.Labels = labels
	}
	if err := t.Reading.Check(); err != nil {
		t.ignore("normalisation", "…", err.Error())
		t.Reading = dataset.Reading{}
	}
}

// ignore lists a setting that is not taken.
func (t *Theirs) ignore(key string, v any, why string) {
	text := say.Text(key) + " = " + shown(v)
	if why != "" {
		text += " (" + say.Text(why) + ")"
	}
	t.Ignored = append(t.Ignored, text)
}

// shown is a value for people, short.
func shown(v any) string {
	text := say.Text(fmt.Sprint(v))
	if r := []rune(text); len(r) > 60 {
		text = string(r[:59]) + "…"
	}
	return text
}

// settable says whether a setting can have a value, as config.toml is read.
func settable(table, name string, v any) (any, error) {
	all := map[string]any{name: v}
	if table != "" {
		all = map[string]any{table: all}
	}
	text, err := toml.Marshal(all)
	if err == nil {
		c := anomalymatch.Default()
		err = c.Overlay("set", text, nil)
	}
	if err != nil {
		_, why, _ := strings.Cut(err.Error(), ": ")
		return v, errors.New(why)
	}
	return v, nil
}

// stretch takes a method of normalisation, by its name or number.
func (t *Theirs) stretch(key string, v any) {
	methods := []string{"CONVERSION_ONLY", "LOG", "ZSCALE", "ASINH"}
	word := strings.ToUpper(strings.TrimPrefix(fmt.Sprint(v), "NormalisationMethod."))
	if n, ok := v.(int64); ok && n >= 0 && n < int64(len(methods)) {
		word = methods[n]
	}
	switch word {
	case "CONVERSION_ONLY": // 8 bits as they are, which is what happens without a stretch
		t.Taken = append(t.Taken, fmt.Sprintf("%s = %s is no stretch; values of more than 8 bits are shown by percentile", say.Text(key), word))
	case "LOG", "ZSCALE", "ASINH":
		t.Reading.Stretch = strings.ToLower(word)
		t.Taken = append(t.Taken, fmt.Sprintf("%s = %s is stretch = %s of the source, with the formula of astropy", say.Text(key), word, t.Reading.Stretch))
	default:
		t.ignore(key, v, "there is no such stretch here")
	}
}

// listed is a list of numbers and names as Reading has it.
func listed(v any) (string, bool) {
	all, ok := v.([]any)
	if !ok {
		all = []any{v}
	}
	var words []string
	for _, v := range all {
		switch v := v.(type) {
		case int64:
			words = append(words, strconv.FormatInt(v, 10))
		case string:
			if v == "" || strings.Contains(v, ",") {
				return "", false
			}
			words = append(words, v)
		default:
			return "", false
		}
	}
	return strings.Join(words, ", "), len(words) > 0
}

// channels takes the weights of the bands.
func (t *Theirs) channels(key string, v any) {
	rows, _ := v.([]any)
	var out []string
	for _, row := range rows {
		weights, _ := row.([]any)
		var words []string
		for _, w := range weights {
			switch w := w.(type) {
			case int64:
				words = append(words, strconv.FormatInt(w, 10))
			case float64:
				words = append(words, strconv.FormatFloat(w, 'g', -1, 64))
			}
		}
		if len(words) == 0 || len(words) != len(weights) {
			out = nil
			break
		}
		out = append(out, strings.Join(words, " "))
	}
	if len(out) == 0 || len(out) > dataset.MaxChannels {
		t.ignore(key, v, fmt.Sprintf("weights for 1 to %d channels are taken", dataset.MaxChannels))
		return
	}
	t.Reading.Channels = strings.Join(out, "; ")
	t.Taken = append(t.Taken, fmt.Sprintf("%s is channels = %q of the source", say.Text(key), t.Reading.Channels))
}

// limits takes the values that become black and white.
func (t *Theirs) limits(all map[string]any) {
	find := func(name string) (key string, v any) {
		for _, key := range []string{"normalisation.norm_" + name, "normalisation." + name, name} {
			if v, ok := all[key]; ok {
				return key, v
			}
		}
		return "", nil
	}
	number := func(v any) (float64, bool) {
		switch v := v.(type) {
		case int64:
			return float64(v), true
		case float64:
			return v, !math.IsNaN(v) && !math.IsInf(v, 0)
		}
		return 0, v == nil // none is 0 there
	}
	lowKey, low := find("minimum_value")
	highKey, high := find("maximum_value")
	a, ok := number(low)
	b, fine := number(high)
	switch {
	case low == nil && high == nil:
	case ok && fine && high != nil && a < b:
		t.Reading.Low, t.Reading.High = a, b
		t.Taken = append(t.Taken, fmt.Sprintf("%s is low = %g and high = %g of the source", say.Text(highKey), a, b))
	case low != nil && high == nil:
		t.ignore(lowKey, low, "black is given together with white here")
	default:
		t.ignore(highKey, high, "black and white are two numbers, the second the larger")
	}
}

// path takes a file or folder that is there.
func (t *Theirs) path(key string, v any) {
	s, _ := v.(string)
	for _, at := range []string{s, filepath.Join(filepath.Dir(t.File), s)} {
		if s == "" || strings.ContainsRune(s, 0) {
			break
		}
		if _, err := os.Stat(at); err != nil {
			continue
		}
		at, err := filepath.Abs(at)
		if err != nil {
			continue
		}
		switch key {
		case "data_dir":
			t.Images = at
		case "label_file":
			t.Labels = at
		default:
			t.Metadata = at
		}
		t.Taken = append(t.Taken, fmt.Sprintf("%s = %s", key, say.Path(at)))
		return
	}
	t.ignore(key, v, "it is not there")
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// pickles are the ends of files whose loading runs what is in them.
var pickles = []string{".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"}

// Pickled says, for a file that Python pickles into, that it is not opened and what to use instead; "" for other files.
func Pickled(path string) string {
	if !slices.Contains(pickles, strings.ToLower(filepath.Ext(path))) {
		return ""
	}
	if st, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && st.IsDir() {
		return ""
	}
	return fmt.Sprintf("%s is a Python pickle, and loading one runs whatever is in it, so it is never opened: save arrays as .npy, images as a folder or a zip, a network as .safetensors", say.Path(path))
}
