package session

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"anomalymatch"
	"anomalymatch/engine/dataset"
)

// theirs is what AnomalyMatch 1.3 writes, by Python's toml, with settings changed.
const theirs = `name = "MyRun"
log_level = "INFO"
data_dir = "pictures"
label_file = "gone.csv"
metadata_file = "null"
seed = 7
test_ratio = 0.0
num_train_iter = 200
batch_size = 8
uratio = 5
lr = 0.01
weight_decay = 0.00075
ema_m = 0.99
p_cutoff = 0.9
ulb_loss_ratio = 1.0
momentum = 0.9
bn_momentum = 0.010000000000000009
opt = "SGD"
net = "efficientnet-b0"
eval_batch_size = 500
temperature = 0.5
hard_label = true
prediction_search_dir = "\u001b[2Jsearch"

[normalisation]
image_size = [ 150, 150,]
normalisation_method = 3
fits_extension = [ "VIS", 2,]
channel_combination = [ [ 1.0, 0.0,], [ 0.0, 1.0,], [ 0.5, 0.5,],]
norm_maximum_value = 500.0
norm_asinh_scale = [ 0.7, 0.7, 0.7,]
`

func TestReadAnomalyMatch(t *testing.T) {
	top := home(t)
	images := folder(t, top, "run", "pictures")
	file(t, filepath.Join(top, "run", "config.toml"), theirs)
	file(t, filepath.Join(top, "run", "labeled_data.csv"), "filename,label\n")
	got, err := ReadAnomalyMatch(filepath.Join(top, "run"))
	if err != nil {
		t.Fatal(err)
	}
	want := dataset.Reading{Select: "VIS, 2", Channels: "1 0; 0 1; 0.5 0.5", Stretch: "asinh", High: 500}
	if got.Reading != want || got.Images != images || got.Labels != filepath.Join(top, "run", "labeled_data.csv") || got.Metadata != "" {
		t.Errorf("%+v", got)
	}
	for _, ignored := range []string{"net = efficientnet-b0 (efficientnet-lite0 is the network here)", "eval_batch_size = 500 (found by trial", "temperature = 0.5", "label_file = gone.csv (it is not there)", "normalisation.norm_asinh_scale"} {
		if !slices.ContainsFunc(got.Ignored, func(s string) bool { return strings.HasPrefix(s, ignored) }) {
			t.Errorf("%q is not said to be ignored: %q", ignored, got.Ignored)
		}
	}
	if all := strings.Join(append(got.Ignored, got.Taken...), "\n"); strings.ContainsRune(all, '\x1b') || strings.Contains(all, "metadata_file") {
		t.Errorf("%q", all)
	}
	p, err := Create(filepath.Join(top, "project"), Options{Images: []string{images}, Reading: got.Reading, Settings: got.Settings, Prepare: true})
	if err != nil {
		t.Fatal(err)
	}
	c := anomalymatch.Default()
	c.Seed, c.Model.Size, c.Images.Prepare = 7, 150, true
	c.FixMatch.Iterations, c.FixMatch.LabelledBatch, c.FixMatch.UnlabelledBatch, c.FixMatch.LearningRate, c.FixMatch.Cutoff = 200, 8, 40, 0.01, 0.9
	c.FixMatch.BNMomentum = 0.010000000000000009
	if p.Config.Seed != c.Seed || p.Config.Model != c.Model || p.Config.Images != c.Images || p.Config.FixMatch != c.FixMatch || p.Sources[0].Reading != want {
		t.Errorf("%+v", p)
	}
}

func TestOddAnomalyMatch(t *testing.T) {
	top := home(t)
	const least = "ema_m = 0.99\n"
	for name, c := range map[string]struct{ text, ignored string }{
		"not square":      {"size = [224, 150]\n", "size = [224 150] (only squares are seen here)"},
		"no size":         {"size = [[1], [1]]\n", "size = "},
		"too large":       {"size = [2240, 2240]\n", "size = 2240 (model.size"},
		"learning rate":   {"lr = 11.0\n", "lr = 11 (fixmatch.learning_rate"},
		"a text":          {"lr = \"fast\"\n", "lr = fast (fixmatch.learning_rate must be"},
		"batch":           {"uratio = 5\n", "uratio = 5 (it needs batch_size"},
		"large batch":     {"uratio = 5\nbatch_size = 9000000000000000000\n", "uratio = 5 (it needs batch_size"},
		"other stretch":   {"normalisation_method = \"NONE\"\n", "normalisation_method = NONE (there is no such stretch here)"},
		"other optimiser": {"opt = \"Adam\"\n", "opt = Adam (SGD is the optimiser here)"},
		"black alone":     {"[normalisation]\nminimum_value = 3.0\n", "normalisation.minimum_value = 3 (black is given together"},
		"many channels":   {"[normalisation]\nchannel_combination = [" + strings.Repeat("[1, 2], ", 17) + "]\n", "normalisation.channel_combination = "},
		"an extension":    {"fits_extension = 1.5\n", "fits_extension = 1.5 (HDUs are numbers or names"},
		"a path":          {"data_dir = \"a\\u0000b\"\n", "data_dir = "},
		"unknown":         {"new_thing = [1]\n", "new_thing = [1]"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.toml")
			file(t, path, least+c.text)
			got, err := ReadAnomalyMatch(path)
			if err != nil || !slices.ContainsFunc(got.Ignored, func(s string) bool { return strings.HasPrefix(s, c.ignored) }) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	for text, want := range map[string]string{"": "none of its settings", "a = [": "is no config of AnomalyMatch, a TOML file", strings.Repeat("#", maxTheirs+1): "is no config of AnomalyMatch, a TOML file"} {
		path := filepath.Join(t.TempDir(), "config.toml")
		file(t, path, text)
		if _, err := ReadAnomalyMatch(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	file(t, filepath.Join(top, "model.pth"), "x")
	if _, err := ReadAnomalyMatch(filepath.Join(top, "model.pth")); err == nil || !strings.Contains(err.Error(), "never opened") {
		t.Error(err)
	}
	for _, name := range []string{"a.pt", "b.PKL", "c.joblib"} {
		file(t, filepath.Join(top, name), "x")
		if _, err := Create(filepath.Join(top, "p"), Options{Images: []string{filepath.Join(top, name)}}); err == nil || !strings.Contains(err.Error(), "save arrays as .npy") {
			t.Error(err)
		}
	}
	if _, err := Create(filepath.Join(top, "p"), Options{Images: []string{folder(t, top, "folder.pt")}}); err != nil {
		t.Error(err)
	}
}

func FuzzAnomalyMatch(f *testing.F) {
	f.Add(theirs)
	f.Add("ema_m = 1\nsize = [[1],[1]]\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "config.toml")
		file(t, path, text)
		got, err := ReadAnomalyMatch(path)
		if err != nil {
			return
		}
		if err := got.Reading.Check(); err != nil {
			t.Errorf("%v", err)
		}
		d := description{Sources: []Source{{Name: "a", Path: "/a", Reading: got.Reading}}}
		made, err := describe(d, Options{Settings: got.Settings})
		if err == nil {
			_, _, err = parse(projectFile, made, anomalymatch.Default())
		}
		if err != nil {
			t.Errorf("%q: %v", made, err)
		}
	})
}

// TestTheirChannels: any number of channels that the network takes.
func TestTheirChannels(t *testing.T) {
	for n := 1; n <= dataset.MaxChannels; n++ {
		path := filepath.Join(t.TempDir(), "config.toml")
		file(t, path, "ema_m = 0.99\n[normalisation]\nchannel_combination = ["+strings.Repeat("[1, 2], ", n)+"]\n")
		got, err := ReadAnomalyMatch(path)
		if want := strings.TrimSuffix(strings.Repeat("1 2; ", n), "; "); err != nil || got.Reading.Channels != want || len(got.Ignored) > 0 {
			t.Errorf("%d channels: %q, %q, %v", n, got.Reading.Channels, got.Ignored, err)
		}
	}
}
