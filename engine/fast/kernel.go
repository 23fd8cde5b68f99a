package fast

import "encoding/binary"

// What a refit does millions of times, in assembly where the processor has AVX2, FMA and F16C (nearly all x86-64 ones since 2015), else in
// Go: a row of 4,128 values takes a twentieth of the time so (BenchmarkMeasure). The sums differ in their last digits, since they are added up
// in another order.

// measure returns Σ weight·value and Σ value² of the points of rows, a multiple of four that lie one after the other in raw, as float16. Where
// gain is 0 the value is, too.
func (p points) measure(raw []byte, weights []float32, rows int, each func(k int, dot, squares float64)) {
	dims := len(p.mean)
	if vector && dims%8 == 0 && dims > 0 {
		var out [8][8]float32
		k := 0
		for ; k+4 <= rows; k += 4 {
			measure4(&raw[2*dims*k], 2*dims, &p.mean[0], &p.gain[0], &weights[0], dims, &out)
			for r := range 4 {
				each(k+r, sum8(&out[r]), sum8(&out[4+r]))
			}
		}
		if k == rows {
			return
		}
		rest := make([]byte, 4*2*dims) // the last ones, and nothing behind them
		copy(rest, raw[2*dims*k:2*dims*rows])
		measure4(&rest[0], 2*dims, &p.mean[0], &p.gain[0], &weights[0], dims, &out)
		for r := range rows - k {
			each(k+r, sum8(&out[r]), sum8(&out[4+r]))
		}
		return
	}
	for k := range rows {
		dot, squares := p.measureGo(raw[2*dims*k:2*dims*(k+1)], weights)
		each(k, dot, squares)
	}
}

func sum8(s *[8]float32) float64 {
	return (float64(s[0]) + float64(s[4])) + (float64(s[1]) + float64(s[5])) + ((float64(s[2]) + float64(s[6])) + (float64(s[3]) + float64(s[7])))
}

func (p points) measureGo(raw []byte, weights []float32) (dot, squares float64) {
	table := halves()
	mean, gain := p.mean, p.gain[:len(p.mean)]
	weights = weights[:len(mean)]
	raw = raw[:2*len(mean)]
	var d, s [4]float32 // four sums: the processor works on them at once
	for j := range mean {
		g := gain[j]
		if g == 0 {
			continue
		}
		v := (table[binary.LittleEndian.Uint16(raw[2*j:])] - mean[j]) * g
		d[j&3] += v * weights[j]
		s[j&3] += v * v
	}
	for k := range d {
		dot += float64(d[k])
		squares += float64(s[k])
	}
	return dot, squares
}

// dot is Σ w·row.
func dot(w []float64, row []float32) float64 {
	var s [4]float64
	w = w[:len(row)]
	j := 0
	if vector && len(row) >= 16 {
		j = len(row) &^ 15
		dotAVX(&w[0], &row[0], j, &s)
	}
	for ; j+4 <= len(row); j += 4 {
		s[0] += w[j] * float64(row[j])
		s[1] += w[j+1] * float64(row[j+1])
		s[2] += w[j+2] * float64(row[j+2])
		s[3] += w[j+3] * float64(row[j+3])
	}
	for ; j < len(row); j++ {
		s[0] += w[j] * float64(row[j])
	}
	return s[0] + s[1] + s[2] + s[3]
}

// add adds a·row to sum.
func add(sum []float64, a float64, row []float32) {
	sum = sum[:len(row)]
	j := 0
	if vector && len(row) >= 16 {
		j = len(row) &^ 15
		addAVX(&sum[0], a, &row[0], j)
	}
	for ; j < len(row); j++ {
		sum[j] += a * float64(row[j])
	}
}
