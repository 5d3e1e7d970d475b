package align

import "math"

// sinkhorn turns log-likelihood ratios (n, m) into a belief: who is who, each at
// most once, so that rows and columns sum to one together with the possibility of
// no partner. It replaces logits by probabilities.
func sinkhorn(logits []float32, n, m int) {
	hi := math.Inf(-1)
	for _, x := range logits {
		hi = max(hi, float64(x))
	}
	for k := range logits {
		logits[k] -= float32(hi)
	}
	// No partner is a possibility where the sides differ in number only.
	noRow, noCol := math.Inf(-1), math.Inf(-1)
	if n != m {
		noRow = absent(m) - hi
	}
	cols := make([]float64, m)
	tops := make([]float64, m)
	for range 15 {
		for i := range n {
			row := logits[i*m:][:m]
			top := noRow
			for _, x := range row {
				top = max(top, float64(x))
			}
			sum := math.Exp(noRow - top)
			for _, x := range row {
				if y := float64(x) - top; y > -30 {
					sum += math.Exp(y)
				}
			}
			l := float32(top + math.Log(sum))
			for j := range row {
				row[j] -= l
			}
		}
		if n != m { // rows are probabilities now, and so is that of no partner
			noRow, noCol = math.Log(1-prior), math.Log(1-prior)
		}
		for j := range tops {
			tops[j], cols[j] = noCol, 0
		}
		for i := range n {
			for j, x := range logits[i*m:][:m] {
				tops[j] = max(tops[j], float64(x))
			}
		}
		for i := range n {
			for j, x := range logits[i*m:][:m] {
				if y := float64(x) - tops[j]; y > -30 {
					cols[j] += math.Exp(y)
				}
			}
		}
		for j := range cols {
			cols[j] = tops[j] + math.Log(cols[j]+math.Exp(noCol-tops[j]))
		}
		for i := range n {
			row := logits[i*m:][:m]
			for j := range row {
				row[j] -= float32(cols[j])
			}
		}
	}
	for k, x := range logits {
		logits[k] = float32(math.Exp(float64(x)))
	}
}
