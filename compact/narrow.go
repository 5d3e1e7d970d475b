package compact

import (
	"fmt"
	"slices"

	"ropewalk/tensor"
)

// Narrow returns the weights of the network that has only the units that do something,
// with their shapes: values without rows of weights that nobody reads, or that make
// nothing, and without the columns that read these. Each unit of all layers but the
// last has to be read by one layer alone, see [Recipe.CanNarrow]. The outputs are the
// same, but for the order in which sums are made. values are in the order of the
// recipe, as the shapes are.
func (r *Recipe) Narrow(values [][]float32) ([]tensor.Shape, [][]float32, error) {
	if !r.CanNarrow() {
		return nil, nil, fmt.Errorf("compact: internal error: the layers are no chain")
	}
	shapes, drop := r.idle(values)
	if m := r.mark; m != nil && m.Gone != nil && zeroWhere(values, m.Gone) { // the file has the shapes of its reference
		shapes, drop = m.Shapes, m.Gone
	}
	narrow := slices.Clone(values)
	for i, d := range drop {
		var kept []float32
		for j, x := range values[i] {
			if !d[j] {
				kept = append(kept, x)
			}
		}
		narrow[i] = kept
	}
	return shapes, narrow, nil
}

// zeroWhere reports whether all values are zero that are gone.
func zeroWhere(values [][]float32, gone [][]bool) bool {
	for i, g := range gone {
		for j, out := range g {
			if out && values[i][j] != 0 {
				return false
			}
		}
	}
	return true
}

// idle returns the shapes of the network without the units that do nothing, and which
// weights go with them.
func (r *Recipe) idle(values [][]float32) ([]tensor.Shape, [][]bool) {
	shapes := make([]tensor.Shape, len(values))
	for i, t := range r.tensors {
		shapes[i] = slices.Clone(t.Shape)
	}
	links := r.links()
	// A unit that goes takes weights with it, and others may then do nothing.
	gone := make([][]bool, len(links))
	for k, l := range links {
		gone[k] = make([]bool, l.a.outs)
	}
	drop := make([][]bool, len(values))
	for i := range values {
		drop[i] = make([]bool, len(values[i]))
	}
	does := func(i, j int) bool { return values[i][j] != 0 && !drop[i][j] }
	for changed := true; changed; {
		changed = false
		for k, l := range links {
			left := 0
			for _, g := range gone[k] {
				left += one(!g)
			}
			for u := range l.a.outs {
				if gone[k][u] || left == 1 { // a layer has one unit at least
					continue
				}
				makes, read := l.bias >= 0 && values[l.bias][u] != 0, false
				l.a.writing(u, func(j int) { makes = makes || does(l.weight, j) })
				l.b.reading(u, l.repeat, func(j int) { read = read || does(l.next, j) })
				if makes && read {
					continue
				}
				l.a.writing(u, func(j int) { drop[l.weight][j] = true })
				l.b.reading(u, l.repeat, func(j int) { drop[l.next][j] = true })
				if l.bias >= 0 {
					drop[l.bias][u] = true
				}
				gone[k][u], changed = true, true
				left--
			}
		}
	}
	for k, l := range links {
		left := int64(0)
		for _, g := range gone[k] {
			left += int64(one(!g))
		}
		shapes[l.weight][0] = left
		if l.bias >= 0 {
			shapes[l.bias][0] = left
		}
		shapes[l.next][1] = left * int64(l.repeat)
	}
	return shapes, drop
}

// CanNarrow reports whether the network is a chain of layers with a bias each, of
// which each reads the one before it, so that units can go.
func (r *Recipe) CanNarrow() bool {
	links := r.links()
	if r.paper != nil || r.o.InOrder || len(links) == 0 || len(links) != len(r.layers)-1 {
		return false
	}
	for _, l := range links {
		if l.bias < 0 || !l.a.outer || !l.b.outer {
			return false
		}
	}
	return true
}
