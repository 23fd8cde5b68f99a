package nn

import (
	"fmt"
	"strings"
)

// FromPyTorch finds this network among the tensors of a PyTorch program, whose names begin with prefix: by the names of timm's tf_efficientnet_lite0
// ("blocks.1.0.conv_pw.weight", "classifier.weight"), or by those of efficientnet-lite-pytorch, which are those here. timm is true there. What else is
// among them is left out; what is missing Check says.
//
// timm works out the padding of TF's "SAME" for each input, this network has it for 224 px: they are the same network at multiples of 32 px. At
// others the borders differ.
func FromPyTorch(all Weights, prefix string) (w Weights, timm bool) {
	w = Weights{}
	names, own := timmNames(), Shapes(3) // whose names are those of any number of channels
	for name, t := range all {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		layer, kind := rest, ""
		if at := strings.LastIndexByte(rest, '.'); at >= 0 {
			layer, kind = rest[:at], rest[at:]
		}
		if ours, ok := names[layer]; ok {
			w[ours+kind] = t
			timm = true
		} else if _, ok := own[rest]; ok {
			w[rest] = t
		}
	}
	return w, timm
}

// timmNames are our names of layers by those of timm: stages of blocks, and BatchNorms counted by what they follow.
func timmNames() map[string]string {
	names := map[string]string{"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
	n := 0
	for stage, repeat := range []int{1, 2, 2, 3, 3, 4, 1} {
		for k := range repeat {
			theirs, ours := fmt.Sprintf("blocks.%d.%d.", stage, k), fmt.Sprintf("_blocks.%d.", n)
			layers := []string{"conv_pw", "_expand_conv", "bn1", "_bn0", "conv_dw", "_depthwise_conv", "bn2", "_bn1", "conv_pwl", "_project_conv", "bn3", "_bn2"}
			if stage == 0 { // nothing is expanded
				layers = []string{"conv_dw", "_depthwise_conv", "bn1", "_bn1", "conv_pw", "_project_conv", "bn2", "_bn2"}
			}
			for i := 0; i < len(layers); i += 2 {
				names[theirs+layers[i]] = ours + layers[i+1]
			}
			n++
		}
	}
	return names
}
