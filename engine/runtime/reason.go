package runtime

import "strings"

// steps are what a person can do about a library that does not load or finds no device, by what the system's loader, the driver or the runtime says of
// it, in small letters. The first that fits counts.
var steps = []struct {
	says []string
	next string
}{
	{[]string{"version `glibc", "version `cxxabi", "symbol not found: __"},
		"this system is older than what the runtime was built for: use a newer one, or a container"},
	{[]string{"libcuda.so"},
		"NVIDIA's driver is not installed here: `nvidia-smi` shows when it is; on a cluster ask for a node with a GPU"},
	{[]string{"driver version is insufficient", "system_driver_mismatch", "insufficient_driver", "cuda driver version", "forward compatibility"},
		"NVIDIA's driver is too old for it: update the driver, or take the runtime for an older CUDA"},
	{[]string{"no visible gpu", "cuda_error_no_device", "no cuda-capable device", "cuda_error_not_found", "no devices found", "failed call to cuinit", "no supported devices"},
		"no GPU is to be seen from here: look at `nvidia-smi` and CUDA_VISIBLE_DEVICES, or ask the batch system for one"},
	{[]string{"cannot open shared object file", "error loading shared library"},
		"install the library that it names, with your system's packages or its own wheel, where the system's loader finds it (LD_LIBRARY_PATH)"},
	{[]string{"failed to map segment", "operation not permitted"},
		"the file system may forbid programs (noexec): XDG_DATA_HOME can name another place to install it in"},
}

// loaderSays is what the system's loader says, in the text that go-xla makes of it.
func loaderSays(text string) string {
	if _, rest, ok := strings.Cut(text, `failed to dynamically load PJRT plugin from "`); ok {
		if reason, _, ok := strings.Cut(rest, `": "`); ok {
			return reason
		}
	}
	return text
}

// nextStep is what to do about what text says, otherwise the given.
func nextStep(text, otherwise string) string {
	text = strings.ToLower(text)
	for _, s := range steps {
		for _, says := range s.says {
			if strings.Contains(text, says) {
				return s.next
			}
		}
	}
	if noMemoryIn(text) {
		return "another program may have its memory: `nvidia-smi` shows which"
	}
	return otherwise
}
