package runtime

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// index answers as a package index that has one file, without a network.
type index struct {
	k    kind
	w    wheel
	body []byte
	asks int
}

func (x *index) RoundTrip(r *http.Request) (*http.Response, error) {
	x.asks++
	answer := func(status int, body []byte) (*http.Response, error) {
		return &http.Response{StatusCode: status, Status: http.StatusText(status), Body: io.NopCloser(bytes.NewReader(body)), Request: r}, nil
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/"+x.k.pkg+"/json"):
		return answer(http.StatusOK, fmt.Appendf(nil, `{"releases":{%q:[{"filename":%q,"url":"https://index.invalid/wheel"}]}}`, x.k.version, x.w.file))
	case r.URL.Host == "index.invalid":
		return answer(http.StatusOK, x.body)
	}
	return answer(http.StatusNotFound, nil)
}

// serve makes index the whole network of the test.
func serve(t *testing.T, tripper http.RoundTripper) {
	was := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = was })
	http.DefaultTransport = tripper
}

func TestFetch(t *testing.T) {
	elsewhere(t)
	k, w, file := tiny(t)
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	net := &index{k: k, w: w, body: body}
	serve(t, net)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	var done, total int64
	path, err := fetch(t.Context(), k, w, dir, func(d, n int64) { done, total = d, n })
	if err != nil || path != filepath.Join(dir, w.file) || done != w.bytes || total != w.bytes {
		t.Fatalf("fetched %q, %d of %d bytes: %v", path, done, total, err)
	}
	if got, _ := os.ReadFile(path); !bytes.Equal(got, body) {
		t.Error("the file is not what the index has")
	}
	if k.info().Installed {
		t.Error("it was installed")
	}

	// It is not fetched twice, unless it is damaged.
	asks := net.asks
	if _, err := fetch(t.Context(), k, w, dir, nil); err != nil || net.asks != asks {
		t.Errorf("again: %d questions to the index, %v", net.asks-asks, err)
	}
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(t.Context(), k, w, dir, nil); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(path); !bytes.Equal(got, body) {
		t.Error("the damaged file is still there")
	}

	// What was fetched can be installed without a network.
	serve(t, refuse{})
	if err := install(t.Context(), k, w, path, nil); err != nil || !k.sound(w) {
		t.Errorf("installing what was fetched: %v", err)
	}
}

func TestFetchRefuses(t *testing.T) {
	k, w, file := tiny(t)
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	wrong := bytes.Clone(body)
	wrong[len(wrong)/2] ^= 1
	for _, tt := range []struct {
		name string
		net  http.RoundTripper
		dir  func(dir string) string
		want string
	}{
		{"another file", &index{k: k, w: w, body: wrong}, nil, "is not the file that this program knows"},
		{"a longer file", &index{k: k, w: w, body: append(bytes.Clone(body), 1)}, nil, "is not the file that this program knows"},
		{"no network", refuse{}, nil, "no network?"},
		{"not in the index", &index{k: k}, nil, "the package index does not have it"},
		{"a folder that cannot be", &index{k: k, w: w, body: body}, func(string) string { return filepath.Join(file, "below\x1b") }, "--to names another folder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			elsewhere(t)
			serve(t, tt.net)
			dir := t.TempDir()
			to := dir
			if tt.dir != nil {
				to = tt.dir(dir)
			}
			path, err := fetch(t.Context(), k, w, to, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.ContainsAny(err.Error(), "\x1b\n") || path != "" {
				t.Errorf("%q, error %v, want %q", path, err, tt.want)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	for _, tt := range []struct{ kind, platform, want string }{
		{"tpu", "", "no runtime called"},
		{"cpu", "plan9/mips", "no cpu runtime for plan9/mips"},
		{"cuda12", "linux/amd64", "GPU runtimes cannot be installed"},
	} {
		if _, err := Fetch(t.Context(), tt.kind, tt.platform, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s for %s: %v, want %q", tt.kind, tt.platform, err, tt.want)
		}
	}
}

func TestInstallDownloads(t *testing.T) {
	elsewhere(t)
	k, w, file := tiny(t)
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	net := &index{k: k, w: w, body: body[:len(body)-1]}
	serve(t, net)
	if err := install(t.Context(), k, w, "", nil); err == nil || !errors.Is(err, errWrong) || k.info().Installed {
		t.Errorf("a shorter file: %v", err)
	}
	net.body = body
	if err := install(t.Context(), k, w, "", nil); err != nil || !k.sound(w) {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(folder(), "part-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAbsolute(t *testing.T) {
	const project = "https://index.invalid/project/thing/"
	for _, c := range []struct{ file, project, want string }{
		{"https://files.invalid/a.whl", project, "https://files.invalid/a.whl"},
		{"../../packages/1d/a.whl", project, "https://index.invalid/packages/1d/a.whl"},
		{"/packages/a.whl", project, "https://index.invalid/packages/a.whl"},
		{"../../packages/a.whl", "", ""},
		{"", project, ""},
		{"http://\x00", project, ""},
	} {
		if got, err := absolute(c.file, "thing", c.project); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: %q, %v, want %q", c.file, got, err, c.want)
		}
	}
}
