package symmetry

import (
	"slices"

	"ropewalk/tensor"
)

// reshape returns v in another shape of as many elements.
func (d *deriver) reshape(v *value, shape tensor.Shape) *value {
	if v.shape.Equal(shape) {
		return v
	}
	n, _ := v.shape.Elems()
	if m, _ := shape.Elems(); n != m || n == 0 {
		why := d.reason("a change of shape that is not understood")
		d.fixAll(v, why)
		return d.keep(still(shape, why))
	}
	out := still(shape, spatial)
	from := slices.Repeat([]int{-1}, len(shape))
	i, j := 0, 0
	for i < len(v.shape) || j < len(shape) {
		// The fewest axes on either side that hold the same positions.
		i0, j0 := i, j
		p, q := int64(1), int64(1)
		if i < len(v.shape) {
			p, i = v.shape[i], i+1
		}
		if j < len(shape) {
			q, j = shape[j], j+1
		}
		for p != q {
			if p < q {
				p, i = p*v.shape[i], i+1
			} else {
				q, j = q*shape[j], j+1
			}
		}
		for i < len(v.shape) && v.shape[i] == 1 && (j == len(shape) || shape[j] != 1) {
			i++
		}
		in, to := d.long(v, i0, i), longAxes(shape, j0, j)
		if len(in) == 1 && len(to) == 1 {
			out.axes[to[0]] = v.axes[in[0]]
			from[to[0]] = in[0]
			continue
		}
		merged := d.merge(v, in)
		for k, a := range d.split(merged, shape, to) {
			out.axes[to[k]] = a
		}
	}
	if v.weight == "" {
		return d.keep(out)
	}
	return d.keep(v.derived(shape, out.axes, from))
}

func longAxes(shape tensor.Shape, from, to int) []int {
	var long []int
	for k := from; k < to; k++ {
		if shape[k] != 1 {
			long = append(long, k)
		}
	}
	return long
}

func (d *deriver) long(v *value, from, to int) []int { return longAxes(v.shape, from, to) }

// merge makes one axis of several, row-major.
func (d *deriver) merge(v *value, axes []int) axis {
	size := int64(1)
	moves := false
	for _, k := range axes {
		size *= v.shape[k]
		moves = moves || v.axes[k].moves()
	}
	switch {
	case len(axes) == 0:
		return axis{why: spatial}
	case len(axes) == 1:
		return v.axes[axes[0]]
	case !moves:
		return axis{why: v.axes[axes[0]].why}
	case size > maxLabels:
		why := d.reason("a flattened axis that is too long to follow")
		for _, k := range axes {
			d.fixAxis(&v.axes[k], why)
		}
		return axis{why: why}
	}
	out := axis{labels: make([]label, size), scales: make([]mono, size)}
	index := make([]int, len(axes))
	var ls []label
	for p := range out.labels {
		ls = ls[:0]
		var m mono
		for t, k := range axes {
			if a := &v.axes[k]; a.moves() {
				ls = append(ls, a.labels[index[t]])
				m = d.scales.mul(m, a.scales[index[t]])
			}
		}
		out.labels[p], out.scales[p] = d.compose(ls...), m
		for t := len(axes) - 1; t >= 0; t-- {
			if index[t]++; int64(index[t]) < v.shape[axes[t]] {
				break
			}
			index[t] = 0
		}
	}
	return out
}

// split cuts an axis into axes of the given lengths.
func (d *deriver) split(a axis, shape tensor.Shape, to []int) []axis {
	out := make([]axis, len(to))
	if len(to) == 1 {
		out[0] = a
		return out
	}
	if !a.moves() {
		for k := range out {
			out[k].why = a.why
		}
		return out
	}
	lengths := make([]int, len(to))
	strides := make([]int, len(to))
	step := 1
	for k := len(to) - 1; k >= 0; k-- {
		lengths[k], strides[k] = int(shape[to[k]]), step
		step *= lengths[k]
	}
	at := func(p, k int) int { return p / strides[k] % lengths[k] }
	if d.splitTuples(a, lengths, strides, at, out) {
		return out
	}
	// Nothing like that: what is there has to become blocks.
	for k := range out {
		out[k] = axis{labels: make([]label, lengths[k]), scales: make([]mono, lengths[k])}
		for i := range lengths[k] {
			out[k].labels[i], out[k].scales[i] = d.slot(), d.scales.fresh()
		}
	}
	ls := make([]label, len(to))
	for p := range a.labels {
		var m mono
		for k := range out {
			ls[k] = out[k].labels[at(p, k)]
			m = d.scales.mul(m, out[k].scales[at(p, k)])
		}
		d.same(a.labels[p], d.compose(ls...))
		d.scales.give(a.scales[p], m) // not the other way round: all positions alike
		d.scales.equal(a.scales[p], m)
	}
	return out
}

// splitTuples cuts an axis that was put together of others between them, so that they
// come back. It reports whether it could.
func (d *deriver) splitTuples(a axis, lengths, strides []int, at func(p, k int) int, out []axis) bool {
	parts := make([][]int32, len(a.labels))
	for p, l := range a.labels {
		parts[p] = d.parts(nil, l, true)
		if len(parts[p]) != len(parts[0]) {
			return false
		}
	}
	n := len(parts[0])
	// owner[c] is the new axis that the c-th part of the labels follows.
	owner := make([]int, n)
	next := 0
	for c := range n {
		owner[c] = -1
		for k := next; k < len(lengths); k++ {
			if d.follows(parts, c, lengths[k], strides[k], at, k) {
				owner[c], next = k, k
				break
			}
		}
		if owner[c] < 0 {
			return false
		}
	}
	if n == 1 && len(a.labels) == lengths[owner[0]] {
		return false
	}
	// Factors follow if they are those of the first position along the other axes.
	base := make([]axis, len(out))
	for k := range out {
		if !slices.Contains(owner, k) {
			base[k] = axis{why: spatial}
			continue
		}
		b := axis{labels: make([]label, lengths[k]), scales: make([]mono, lengths[k])}
		for i := range b.labels {
			var ls []label
			for c := range n {
				if owner[c] == k {
					ls = append(ls, label(parts[i*strides[k]][c]))
				}
			}
			b.labels[i] = d.compose(ls...)
			b.scales[i] = d.scales.fresh()
		}
		base[k] = b
	}
	for p := range a.labels {
		var m mono
		for k := range base {
			if base[k].moves() {
				m = d.scales.mul(m, base[k].scales[at(p, k)])
			}
		}
		d.scales.give(a.scales[p], m) // not the other way round: all positions alike
		d.scales.equal(a.scales[p], m)
	}
	copy(out, base)
	return true
}

// follows reports whether part c of the labels depends on the place along new axis k
// alone, and is another at each.
func (d *deriver) follows(parts [][]int32, c, length, stride int, at func(p, k int) int, k int) bool {
	seen := make(map[int32]bool, length)
	for i := range length {
		l := parts[i*stride][c]
		if seen[l] {
			return false
		}
		seen[l] = true
	}
	for p := range parts {
		if parts[p][c] != parts[at(p, k)*stride][c] {
			return false
		}
	}
	return true
}
