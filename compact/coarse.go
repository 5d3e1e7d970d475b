package compact

import (
	"ropewalk/engine"
	"ropewalk/tensor"
)

// Coarse returns the values of a weight as a file has them that is meant to be small:
// vectors that have no levels, such as the scales, shifts and statistics of norms, are
// rounded to 8 significant bits (bfloat16). A network cannot tell: its levels are much
// coarser; and in a residual network of some hundred thousand weights they would be a
// tenth of the file otherwise. Other weights, and all of [Paper], are as they are.
func (r *Recipe) Coarse(w engine.Weight, values []float32) []float32 {
	if i, trained := r.index[w.Name]; r.paper != nil || len(w.Shape) != 1 || trained && r.roles[i] != alone {
		return values
	}
	b := tensor.BF16.AppendFloats(make([]byte, 0, 2*len(values)), values)
	return tensor.BF16.AppendFloat32s(make([]float32, 0, len(values)), b)
}
