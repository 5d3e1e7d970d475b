package lineage

import (
	"math"

	"ropewalk/align"

	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// How many pairs of weights have to stand in the same ratio as in the reference, and which share
// of all that were looked at, to be no chance: of continuous weights that have nothing to
// do with each other it is one in a hundred thousand.
const (
	minSurvivors     = 32
	minSurviving     = 0.05
	maxSurvivorPairs = 1 << 18 // of a tensor
)

// survivors counts pairs of weights that were multiplied by the same, and those that are in
// exactly the ratio of the reference's. What was only pruned, moved and rescaled has no others;
// networks that learned the same have none. moved is the suspect in the reference's order, with its own factors.
// Tensors in which the reference has few values are left out: there, ratios agree by chance.
func survivors(spec *symmetry.Spec, ref, moved *tensor.Set) (same, pairs int, err error) {
	free := map[string][]bool{} // axes with neurons, which may be multiplied
	for g := range spec.Groups {
		for k := range spec.Groups[g].Places {
			p := &spec.Groups[g].Places[k]
			t := ref.Lookup(p.Tensor)
			if p.Tensors != nil || t == nil {
				continue
			}
			if free[p.Tensor] == nil {
				free[p.Tensor] = make([]bool, len(t.Shape))
			}
			free[p.Tensor][p.Axis] = true
		}
	}
	for _, t := range ref.All() {
		axes := free[t.Name]
		if len(t.Shape) < 2 || axes == nil {
			continue
		}
		// Behind the last axis with neurons, all numbers have the same factors.
		run := 1
		for a := len(t.Shape) - 1; a >= 0 && !axes[a]; a-- {
			run *= int(t.Shape[a])
		}
		if run < 2 {
			continue
		}
		x, y, err := both(t, moved.Lookup(t.Name))
		if err != nil {
			return 0, 0, err
		}
		if len(x) == 0 || fewValues(x) {
			continue
		}
		seen := 0
		for from := 0; from < len(x) && seen < maxSurvivorPairs; from += run {
			last := -1
			for i := from; i < from+run; i++ {
				if x[i] == 0 || y[i] == 0 {
					continue
				}
				if last >= 0 && x[i] != x[last] {
					a, b := float64(x[i])*float64(y[last]), float64(x[last])*float64(y[i])
					if math.Abs(a-b) <= 2*align.Rounding*math.Abs(a) {
						same++
					}
					seen++
				}
				last = i
			}
		}
		pairs += seen
	}
	return same, pairs, nil
}

// fewValues says whether a tensor's values are on some levels.
func fewValues(x []float32) bool {
	const most = 4096
	values := map[float32]bool{}
	n := min(len(x), most)
	for i := range n {
		values[x[i*len(x)/n]] = true
	}
	return 2*len(values) < n
}

// survived says whether what is left of the weights is, up to factors, the reference's
// bit for bit.
func survived(same, pairs int) bool {
	return same >= minSurvivors && float64(same) >= minSurviving*float64(pairs)
}
