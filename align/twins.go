package align

import (
	"math"
	"slices"
)

// parallel is the cosine from which on two neurons of one network count as parts of one
// before anything is known of partners. Camouflage by noise of a thousandth leaves
// 0.999999.
const parallel = 0.9999

// coincidence is how many bits a neuron's weights have to say before another one of the same
// weights is no coincidence, beside those that it takes to pick one pair of all.
const coincidence = 20

// twins finds the splits among the neurons of the suspect without looking for partners:
// neurons that are made by the same weights, up to a factor. Where a half of all neurons
// has such a twin, the second best partner of a neuron is as good as the best, which
// hides all pairs. Only classes that have more neurons than the reference's are looked
// at, and none in which the reference has twins itself.
func (d *driver) twins(ref, sus *Spec, r, s *side) (added [][]Dummy, merged [][]Merge) {
	added, merged = make([][]Dummy, len(sus.Classes)), make([][]Merge, len(sus.Classes))
	for c := range sus.Classes {
		if sus.Classes[c].Size <= ref.Classes[c].Size || d.fixed[c] != nil {
			continue
		}
		list, splits := s.alikes(&sus.Classes[c])
		if len(list) == 0 {
			continue
		}
		if own, _ := r.alikes(&ref.Classes[c]); len(own) == 0 {
			added[c], merged[c] = list, splits
		}
	}
	return added, merged
}

// alikes are the neurons of a class that are parallel to one before them.
func (s *side) alikes(class *Class) (added []Dummy, merged []Merge) {
	made := s.made(class)
	in := s.rowsOf(class, func(p *Place) bool { return p.Role == Incoming })
	rare := surprise(in)
	lengths := make([]float64, class.Size)
	for j := range in {
		lengths[j] = math.Sqrt(inner(in[j], in[j]))
	}
	// Of a neuron that training gave up, all but the bias may be nearly zero, so that weights
	// have to be parallel by themselves. Behind a batch norm their sign is that of its scale.
	alike := func(j, k int) bool {
		if len(made.parts) == 1 && math.Abs(inner(in[j], in[k])) < parallel*lengths[j]*lengths[k] {
			return false
		}
		c := made.cosine(j, k)
		return math.Abs(c) >= parallel && (c > 0 || made.flips)
	}
	var first []int // of each set of neurons that are parallel
	for j := range in {
		if lengths[j] == 0 || rare[j] < coincidence+2*math.Log2(float64(class.Size)) {
			continue // nothing makes it, or so little, which is no likeness
		}
		at := slices.IndexFunc(first, func(k int) bool { return alike(j, k) })
		if at < 0 {
			first = append(first, j)
			continue
		}
		k := first[at]
		added = append(added, Dummy{j, SplitDummy, k})
		merged = append(merged, Merge{j, k, made.ratio(j, k)})
	}
	return added, merged
}

// surprise returns how many bits it takes to say what the weights of each neuron are, but for
// zeros, if each is drawn from all of them: many of a tensor that was not damaged, few on a
// grid of a few levels, or where few are left.
func surprise(rows [][]float32) []float64 {
	count := map[float32]float64{}
	all := 0.0
	for _, row := range rows {
		for _, x := range row {
			if x != 0 {
				count[x]++
				all++
			}
		}
	}
	out := make([]float64, len(rows))
	for j, row := range rows {
		for _, x := range row {
			if x != 0 {
				out[j] += math.Log2(all / count[x])
			}
		}
	}
	return out
}
