package newer

import "testing"

func TestMagic(t *testing.T) {
	for _, test := range []struct {
		got, want string
		newer     bool
	}{
		{"AMSCORE1\n", "AMSCORE1\n", false},
		{"AMSCORE2\n", "AMSCORE1\n", true},
		{"AMSCORE10\n", "AMSCORE9\n", true},
		{"AMSCORE1\n", "AMSCORE2\n", false},
		{"AMSCORE\n", "AMSCORE2\n", false},
		{"AMEMBED3", "AMSCORE2", false},
		{"", "AMSCORE2", false},
		{"\n", "AMSCORE2", false},
		{"AMSCORE99999999999999999999", "AMSCORE2", true},
	} {
		if got := Magic(test.got, test.want) != nil; got != test.newer {
			t.Errorf("%q for %q: %t", test.got, test.want, got)
		}
	}
}
