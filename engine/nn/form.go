package nn

import "strings"

// Form is how layers are written for inference. All forms compute the same, but for last digits; a backend is fast at one of them. The zero form is Pads and
// Columns.
type Form struct {
	Depthwise string // Slices, Pads, Convolution or Planes
	Stem      string // Columns or Convolution
}

// How layers can be written.
const (
	Slices      = "slices"      // k×k products of slices of the padded input
	Pads        = "pads"        // k×k products, padded and added up
	Convolution = "convolution" // the library's (in groups), NHWC
	Planes      = "planes"      // the library's in groups, NCHW between two transposes
	Columns     = "columns"     // im2col and a matrix product
)

// Forms are all there are.
func Forms() (all []Form) {
	for _, d := range []string{Slices, Pads, Convolution, Planes} {
		for _, s := range []string{Columns, Convolution} {
			all = append(all, Form{d, s})
		}
	}
	return all
}

func (f Form) String() string { return "depthwise " + f.Depthwise + ", stem " + f.Stem }

// formFor is the fastest form on a backend, by its name: `bench network --forms` measures them, docs/benchmark.md has the table.
func formFor(backend string) Form {
	if strings.HasPrefix(backend, "xla") {
		return Form{Pads, Columns}
	}
	return Form{Slices, Columns}
}
