package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"ropewalk/align"
	"ropewalk/attack"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// restored is the suspect in the order of the reference, by the truth; nil where neurons
// were added or removed.
func restored(spec *symmetry.Spec, r *attack.Result) (*tensor.Set, error) {
	if r.Reshaped {
		return nil, nil
	}
	back, err := spec.Inverse(r.Truth.Element)
	if err != nil {
		return nil, err
	}
	wide := make([]*tensor.Tensor, 0, r.Set.Len())
	for _, t := range r.Set.All() {
		if t.DType.Numeric() && t.DType != tensor.F64 {
			t = tensor.Cast(t, tensor.F32) // factors of half precision may be too large for it
		}
		wide = append(wide, t)
	}
	set, err := tensor.NewSet(wide...)
	if err != nil {
		return nil, err
	}
	if set, err = symmetry.Apply(spec, set, back); err != nil {
		return nil, err
	}
	return inMemory(set)
}

// own returns the suspect's tensors with the neurons that it has of the reference where they were, also where
// neurons were added or removed: these are left out, or zeros.
func own(spec *symmetry.Spec, r *attack.Result) (*tensor.Set, error) {
	found := &align.NetworkResult{Related: true}
	for i := range spec.Groups {
		g := &spec.Groups[i]
		c := align.ClassResult{Name: g.Name}
		m := r.Truth.Element[g.Name]
		partners, others := make([]int, g.Size), g.Size
		for k := range partners {
			partners[k] = k
		}
		if m != nil && m.Order != nil {
			partners, others = slices.Repeat([]int{-1}, g.Size), len(m.Order)
			for j, k := range m.Order {
				if k >= 0 {
					partners[k] = j
				}
			}
		}
		matching, err := align.NewMatching(partners, others)
		if err != nil {
			return nil, fmt.Errorf("internal error: group %s: %w", g.Name, err)
		}
		c.Matching = *matching
		for f := range g.Factors {
			scale := slices.Repeat([]float64{1}, g.Size)
			if m != nil && f < len(m.Factors) {
				copy(scale, m.Factors[f])
			}
			c.Scale = append(c.Scale, scale)
		}
		for _, a := range r.Truth.Added[g.Name] {
			d := align.Dummy{Sus: a.Neuron, Kind: align.Stranger, Of: -1}
			if a.Kind == attack.SplitDummy && a.Of >= 0 {
				d.Kind, d.Of = align.SplitDummy, a.Of
			}
			c.Added = append(c.Added, d)
		}
		found.Classes = append(found.Classes, c)
	}
	back, err := align.Restore(spec, r.Set, found)
	if err != nil {
		return nil, err
	}
	return inMemory(back)
}

// each calls f with the weights of the reference and of the restored suspect.
func each(ref, back *tensor.Set, f func(a, b []float32)) error {
	if back == nil {
		return nil
	}
	for _, x := range ref.All() {
		y := back.Lookup(x.Name)
		if len(x.Shape) < 2 || !x.DType.Numeric() || y == nil || !y.Shape.Equal(x.Shape) {
			continue
		}
		a, err := x.Float32s()
		if err != nil {
			return err
		}
		b, err := y.Float32s()
		if err != nil {
			return err
		}
		f(a, b)
	}
	return nil
}

// zeros is the share of zeros of the suspect among what is not zero in the reference; of
// tensors of other shapes, among all.
func zeros(ref, sus *tensor.Set) (float64, error) {
	n, all := 0, 0
	for _, t := range ref.All() {
		u := sus.Lookup(t.Name)
		if len(t.Shape) < 2 || !t.DType.Numeric() || u == nil {
			continue
		}
		a, err := t.Float32s()
		if err != nil {
			return 0, err
		}
		b, err := u.Float32s()
		if err != nil {
			return 0, err
		}
		for k, y := range b {
			if len(a) != len(b) || a[k] != 0 {
				all++
				if y == 0 {
					n++
				}
			}
		}
	}
	return float64(n) / float64(max(1, all)), nil
}

// strengths are the least and the largest of some ways to say how large the difference
// of two networks is: of a tensor, of the median tensor, or of all, in deviations of the
// weights, of all weights or of those that are no zeros in the suspect.
func strengths(ref, back *tensor.Set) (low, high float64, err error) {
	var of, left []float64
	var sum, squares, sumLeft, squaresLeft float64
	err = each(ref, back, func(a, b []float32) {
		var mean, s, q, sl, ql float64
		for _, x := range a {
			mean += float64(x) / float64(len(a))
		}
		for k, x := range a {
			d, v := float64(b[k]-x), float64(x)-mean
			s, q = s+v*v, q+d*d
			if b[k] != 0 {
				sl, ql = sl+v*v, ql+d*d
			}
		}
		sum, squares, sumLeft, squaresLeft = sum+s, squares+q, sumLeft+sl, squaresLeft+ql
		if s > 0 {
			of = append(of, math.Sqrt(q/s))
		}
		if sl > 0 {
			left = append(left, math.Sqrt(ql/s))
		}
	})
	if len(of) == 0 {
		return 0, 0, err
	}
	all := []float64{math.Sqrt(squares / sum), math.Sqrt(squaresLeft / sum), math.Sqrt(squaresLeft / max(sumLeft, 1e-300))}
	for _, list := range [][]float64{of, left} {
		if slices.Sort(list); len(list) > 0 {
			all = append(all, list[len(list)/2])
		}
	}
	return slices.Min(all), slices.Max(all), err
}

// levels is the logarithm to base 2 of the values that the tensors of a network have, or
// their channels: the most of any, rounded up, zero left out.
func levels(set *tensor.Set, channel bool) (float64, error) {
	most := 1
	for _, t := range set.All() {
		if len(t.Shape) < 2 || !t.DType.Numeric() {
			continue
		}
		x, err := t.Float32s()
		if err != nil {
			return 0, err
		}
		row := len(x)
		if channel && t.Shape[0] > 0 {
			row /= int(t.Shape[0])
		}
		for ; row > 0 && len(x) >= row; x = x[row:] {
			seen := map[float32]bool{}
			for _, v := range x[:row] {
				if v != 0 {
					seen[v] = true
				}
			}
			most = max(most, len(seen))
		}
	}
	return math.Ceil(math.Log2(float64(most))), nil
}

// doubles are numbers as a file holds them.
func doubles(x []float64) []byte {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// beside is the share of weights that are not on the level nearest to what they are in the
// reference, the most of any tensor that has no more levels than the quantizer gives it.
func beside(ref, sus *tensor.Set, q *attack.Step) (float64, error) {
	most := 0.0
	if sus == nil {
		return 0, nil
	}
	for _, t := range ref.All() {
		u := sus.Lookup(t.Name)
		if len(t.Shape) < 2 || !t.DType.Numeric() || u == nil || !u.Shape.Equal(t.Shape) || t.Elems() == 0 {
			continue
		}
		a, err := t.Float32s()
		if err != nil {
			return 0, err
		}
		b, err := u.Float32s()
		if err != nil {
			return 0, err
		}
		row, n := len(a), 0
		if slices.Contains(q.Options, "channel") {
			row /= int(t.Shape[0])
		}
		few := true
		for at := 0; at < len(a) && few; at += row {
			list := slices.Clone(b[at : at+row])
			slices.Sort(list)
			list = slices.Compact(list)
			few = float64(len(list)) <= math.Exp2(q.Strength)
			for k := at; k < at+row && few; k++ {
				i, _ := slices.BinarySearch(list, a[k])
				best := math.Inf(1)
				for _, v := range list[max(0, i-1):min(i+1, len(list))] {
					best = min(best, math.Abs(float64(v-a[k])))
				}
				if math.Abs(float64(b[k]-a[k])) > best+1e-5*math.Abs(float64(a[k])) {
					n++
				}
			}
		}
		if few {
			most = max(most, float64(n)/float64(len(a)))
		}
	}
	return most, nil
}
