//go:build !amd64 || purego

package fast

var vector = false

func measure4(raw *byte, stride int, mean, gain, weights *float32, n int, out *[8][8]float32) {}
func dotAVX(w *float64, row *float32, n int, out *[4]float64)                                 {}
func addAVX(sum *float64, a float64, row *float32, n int)                                     {}
