package lineage

import (
	"math"

	"ropewalk/tensor"
)

// What tensors have to show that stand where they stood, for networks of which it is not
// known what can move, to count as related. The natural logarithm of the evidence is asked
// for twice over, as weights are not quite independent, and a correlation that means
// something, as a small one in many weights only says that both are networks.
const (
	inPlaceEvidence    = 20
	inPlaceCorrelation = 0.05
)

// inPlace says whether the weights of two networks have to do with each other as they
// stand, and with which evidence, as a natural logarithm: by the correlation of all
// tensors of two axes or more, from which the means of rows and columns were taken, and
// of vectors if there are none of these. For strangers with independent weights it is above
// x with a probability of about e^-x.
func inPlace(ref, sus *tensor.Set) (related bool, evidence float64, err error) {
	for _, axes := range []int{2, 1} {
		var sum, dims float64
		for _, t := range ref.All() {
			if (len(t.Shape) >= 2) != (axes == 2) {
				continue
			}
			x, y, err := both(t, sus.Lookup(t.Name))
			if err != nil {
				return false, 0, err
			}
			if len(x) == 0 {
				continue
			}
			rows := 1
			if axes == 2 {
				rows = int(t.Shape[0])
			}
			r, d := correlation(x, y, rows)
			sum += r * d
			dims += d
		}
		if dims > 0 {
			r := sum / dims
			if r > 0 {
				evidence = -dims / 2 * math.Log1p(-min(r*r, 1-1e-12))
			}
			return evidence > inPlaceEvidence && r > inPlaceCorrelation, evidence, nil
		}
	}
	return false, 0, nil
}

// correlation returns that of two matrices without the means of their rows and columns,
// and of how many numbers it is that of. A matrix that is nothing but such means has no
// numbers left.
func correlation(x, y []float32, rows int) (r, dims float64) {
	cols := len(x) / rows
	a, b := centred(x, rows, cols), centred(y, rows, cols)
	var xx, xy, yy, whole float64
	for i := range a {
		xx, xy, yy = xx+a[i]*a[i], xy+a[i]*b[i], yy+b[i]*b[i]
		whole += float64(x[i]) * float64(x[i])
	}
	dims = float64(max(rows-1, 1) * max(cols-1, 1))
	if xx <= 1e-12*whole || rows*cols < 2 { // the reference has nothing to be known by
		return 0, 0
	}
	if yy == 0 {
		return 0, dims
	}
	return xy / math.Sqrt(xx*yy), dims
}

// centred takes the means of rows and columns from a matrix, each as far as there are
// several.
func centred(x []float32, rows, cols int) []float64 {
	out := make([]float64, len(x))
	byRow, byCol, all := make([]float64, rows), make([]float64, cols), 0.0
	for i, v := range x {
		byRow[i/cols] += float64(v) / float64(cols)
		byCol[i%cols] += float64(v) / float64(rows)
		all += float64(v) / float64(len(x))
	}
	for i, v := range x {
		switch {
		case rows == 1:
			out[i] = float64(v) - all
		case cols == 1:
			out[i] = float64(v) - all
		default:
			out[i] = float64(v) - byRow[i/cols] - byCol[i%cols] + all
		}
	}
	return out
}
