package symmetry

import (
	"fmt"
	"maps"
	"slices"

	"ropewalk/tensor"
)

// affine returns scale·v + shift, where each may be nil. scale and shift have the
// axes of v from axis first on.
func (d *deriver) affine(v *value, scale, shift *value, first int) *value {
	fit := func(w *value) *value {
		shape := slices.Repeat(tensor.Shape{1}, len(v.shape))
		copy(shape[first:], w.shape)
		return d.reshape(w, shape)
	}
	if scale != nil && shift != nil && len(scale.axes) == 1 && len(shift.axes) == 1 {
		// The shift has the factor of the result, and the scale what is left of it: then
		// the sign of what goes in, and of what comes out, are two.
		x, g, b := &v.axes[first], &scale.axes[0], &shift.axes[0]
		for i := range min(len(x.labels), len(g.labels), len(b.labels)) {
			d.scales.give(g.scale(i), d.scales.mul(b.scale(i), d.scales.inverse(x.scale(i))))
		}
	}
	if scale != nil {
		v = d.mix(v, fit(scale), products)
	}
	if shift != nil {
		v = d.mix(v, fit(shift), sums)
	}
	return v
}

// batchNorm is γ·(x - mean)/√(variance + ε) + β over axis 1. With x·s, mean·s and the
// variance that goes with it only the sign of s is left.
func (d *deriver) batchNorm(x, scale, shift, mean, variance *value, epsilon float64) *value {
	channel := func(v *value) *axis { return &v.axes[0] }
	d.freezeOthers(x, 1)
	in := &x.axes[1]
	for _, v := range []*value{mean, variance} {
		d.sameLabels(in, channel(v))
		d.role(v, 0, Statistic)
	}
	d.sameScales(in, channel(mean))
	known, seen := d.epsilon[variance.weight]
	if variance.weight == "" || seen && known != epsilon {
		d.freezeAxis(in)
	}
	d.epsilon[variance.weight] = epsilon
	for i := range max(len(in.scales), len(channel(variance).scales)) {
		d.scales.equal(d.scales.square(in.scale(i)), channel(variance).scale(i))
	}
	normal := d.mapped(x, d.scales.signOf)
	return d.affine(normal, scale, shift, 1)
}

// freezeOthers has no axis of v but one have factors.
func (d *deriver) freezeOthers(v *value, axis int) {
	for i := range v.axes {
		if i != axis {
			d.freezeAxis(&v.axes[i])
		}
	}
}

// normalised is what normalises over axes: it treats their positions alike, and
// takes factors for granted.
func (d *deriver) normalised(x *value) *value {
	d.freeze(x)
	return d.unscaled(x)
}

// groupNorm normalises over groups of channels and all axes behind.
func (d *deriver) groupNorm(x, scale, shift *value, groups int64) *value {
	d.freeze(x)
	if c := x.shape[1]; groups > 1 && groups < c && c%groups == 0 {
		blocks := tensor.Shape{x.shape[0], groups, c / groups}
		blocks = append(blocks, x.shape[2:]...)
		x = d.reshape(d.reshape(x, blocks), x.shape)
	}
	return d.affine(d.unscaled(x), scale, shift, 1)
}

// pointwise reports whether a window looks at one place at a time.
func pointwise(kernel, strides, pads []int64) bool {
	other := func(want int64) func(int64) bool { return func(n int64) bool { return n != want } }
	return !slices.ContainsFunc(kernel, other(1)) && !slices.ContainsFunc(strides, other(1)) && !slices.ContainsFunc(pads, other(0))
}

// conv is a convolution of x, (batch, in, …), with w, (out, in/groups, …), or with
// transposed, (in, out/groups, …). shape is that of the result.
func (d *deriver) conv(x, w, bias *value, groups int64, transposed, pointwise bool, shape tensor.Shape) *value {
	for k := 2; k < len(x.shape); k++ {
		if !pointwise {
			d.fixAxis(&x.axes[k], spatial)
		}
		if k < len(w.shape) {
			d.fixAxis(&w.axes[k], spatial)
		}
	}
	out := still(shape, spatial)
	out.axes[0] = x.axes[0]
	if pointwise {
		copy(out.axes[2:], x.axes[2:])
	}
	outer, inner := 0, 1 // of w: the axis with groups, and the one without
	switch {
	case groups == 1 && !transposed:
		d.contract(x, 1, w, 1)
		out.axes[1] = w.axes[0]
	case groups == 1:
		d.contract(x, 1, w, 0)
		out.axes[1] = w.axes[1]
	case x.shape[1] == groups && w.shape[0] == groups && w.shape[1] == 1:
		out.axes[1] = d.product(&x.axes[1], &w.axes[0], d.scales.mul)
		d.role(w, 0, Parameter)
	default:
		out.axes[1] = d.grouped(x, w, groups, transposed)
		if transposed {
			d.role(w, outer, Outgoing)
		} else {
			d.role(w, inner, Outgoing)
		}
	}
	out = d.keep(out)
	if bias != nil {
		out = d.affine(out, nil, bias, 1)
	}
	return out
}

// grouped returns the channels of a convolution in groups: groups move as wholes, and
// channels inside of all groups alike.
func (d *deriver) grouped(x, w *value, groups int64, transposed bool) axis {
	cut := func(v *value, k int) (*value, []axis) {
		shape := tensor.Shape{groups, v.shape[k] / groups}
		flat := &value{shape: tensor.Shape{v.shape[k]}, axes: []axis{v.axes[k]}}
		both := d.reshape(flat, shape)
		return both, both.axes
	}
	_, in := cut(x, 1)
	pair, rows := cut(w, 0)
	d.sameLabels(&in[0], &rows[0])
	block := d.product(&in[0], &rows[0], d.scales.mul)
	sum, out := &w.axes[1], rows[1] // without transposition, w is (groups·out, in)
	if transposed {                 // (groups·in, out)
		sum, out = &rows[1], w.axes[1]
	}
	d.sameLabels(&in[1], sum)
	for i := range max(len(in[1].scales), len(sum.scales)) {
		d.scales.equal(in[1].scale(i), d.scales.inverse(sum.scale(i)))
	}
	n := pair.shape[1]
	if transposed {
		n = w.shape[1]
	}
	whole := d.keep(&value{shape: tensor.Shape{groups, n}, axes: []axis{block, out}})
	return d.merge(whole, longAxes(whole.shape, 0, 2))
}

// matMul is a product of matrices, with axes in front that broadcast.
func (d *deriver) matMul(a, b *value) *value {
	frontless, backless := len(a.shape) == 1, len(b.shape) == 1
	if frontless {
		a = rankTo(a, 2)
	}
	if backless {
		b = d.reshape(b, tensor.Shape{b.shape[0], 1})
	}
	rank := max(len(a.shape), len(b.shape))
	a, b = rankTo(a, rank), rankTo(b, rank)
	d.contract(a, rank-1, b, rank-2)
	x := &value{shape: slices.Clone(a.shape), axes: slices.Clone(a.axes)}
	x.shape[rank-1], x.axes[rank-1] = 1, axis{why: spatial}
	y := &value{shape: slices.Clone(b.shape), axes: slices.Clone(b.axes)}
	y.shape[rank-2], y.axes[rank-2] = 1, axis{why: spatial}
	out := d.mix(x, y, products)
	shape := slices.Clone(out.shape)
	if backless {
		shape = shape[:rank-1]
	}
	if frontless {
		shape = slices.Delete(shape, rank-2, rank-1)
	}
	return d.reshape(out, shape)
}

// transpose moves axis perm[i] to i.
func (d *deriver) transpose(v *value, perm []int) *value {
	shape := make(tensor.Shape, len(perm))
	axes := make([]axis, len(perm))
	for i, p := range perm {
		shape[i], axes[i] = v.shape[p], v.axes[p]
	}
	return d.keep(v.derived(shape, axes, perm))
}

// pick returns v with only some positions of an axis, in an order.
func (d *deriver) pick(v *value, k int, at []int) *value {
	out := &value{shape: slices.Clone(v.shape), axes: slices.Clone(v.axes)}
	out.shape[k] = int64(len(at))
	if a := &v.axes[k]; a.moves() {
		out.axes[k] = axis{labels: make([]label, len(at)), scales: make([]mono, len(at))}
		for i, p := range at {
			out.axes[k].labels[i], out.axes[k].scales[i] = a.labels[p], a.scales[p]
		}
		if len(at) == 1 {
			d.single(a, at[0])
			out.axes[k] = axis{why: spatial}
		}
	}
	return d.keep(out)
}

// single has one position of an axis stay: it is chosen by its number, and then
// nothing tells where it was.
func (d *deriver) single(a *axis, p int) {
	if a.moves() {
		d.fix(a.labels[p], d.reason("a position that is chosen by its number"))
		d.scales.freeze(a.scales[p])
	}
}

// join puts values one after the other along an axis.
func (d *deriver) join(vs []*value, k int, shape tensor.Shape) *value {
	out := still(shape, spatial)
	first := vs[0]
	for i := range shape {
		if i == k {
			continue
		}
		for _, v := range vs[1:] {
			d.sameAxis(&first.axes[i], &v.axes[i])
			if !v.axes[i].moves() {
				first = v // what does not move decides
			}
		}
		out.axes[i] = first.axes[i]
		first = vs[0]
		for _, v := range vs {
			if !v.axes[i].moves() {
				out.axes[i] = axis{why: v.axes[i].why}
			}
		}
	}
	moves := false
	for _, v := range vs {
		moves = moves || v.axes[k].moves()
	}
	if moves && shape[k] <= maxLabels {
		a := axis{}
		for _, v := range vs {
			labels, scales := v.axes[k].labels, v.axes[k].scales
			if labels == nil {
				labels, scales = make([]label, v.shape[k]), make([]mono, v.shape[k])
				for i := range labels {
					labels[i] = d.slot()
					d.fix(labels[i], v.axes[k].why)
				}
			}
			a.labels, a.scales = append(a.labels, labels...), append(a.scales, scales...)
		}
		out.axes[k] = a
	}
	return d.keep(out)
}

// pad puts before positions in front of axis k and after behind. What is new is 0,
// and does not mind where it is; with zero unset it is another number, which takes no
// factors.
func (d *deriver) pad(v *value, k int, before, after int, zero bool) *value {
	out := &value{shape: slices.Clone(v.shape), axes: slices.Clone(v.axes)}
	out.shape[k] += int64(before + after)
	if a := v.axes[k]; a.moves() {
		free := func(n int) axis {
			f := axis{labels: make([]label, n), scales: make([]mono, n)}
			for i := range f.labels {
				f.labels[i] = d.slot()
				if zero {
					f.scales[i] = d.scales.fresh()
				}
			}
			return f
		}
		x, y := free(before), free(after)
		out.axes[k] = axis{slices.Concat(x.labels, a.labels, y.labels), slices.Concat(x.scales, a.scales, y.scales), 0}
	}
	return d.keep(out)
}

// expand repeats v along axes of length 1. What is repeated may be in any order.
func (d *deriver) expand(v *value, shape tensor.Shape) *value {
	v = rankTo(v, len(shape))
	out := &value{shape: slices.Clone(shape), axes: slices.Clone(v.axes)}
	for i, n := range shape {
		if v.shape[i] == n {
			continue
		}
		out.axes[i] = d.freshAxis(n)
		if out.axes[i].moves() {
			clear(out.axes[i].scales)
		}
	}
	return d.keep(out)
}

// einsum follows an equation such as "bhqc,bhkc->bhqk".
func (d *deriver) einsum(terms []string, result string, vs []*value, shape tensor.Shape) *value {
	out := still(shape, spatial)
	type use struct{ v, axis int }
	uses := map[byte][]use{}
	for t, letters := range terms {
		for i := range letters {
			uses[letters[i]] = append(uses[letters[i]], use{t, i})
		}
	}
	for _, letter := range slices.Sorted(maps.Keys(uses)) {
		us := uses[letter]
		at := -1
		for i := range result {
			if result[i] == letter {
				at = i
			}
		}
		acc := vs[us[0].v].axes[us[0].axis]
		for k, u := range us[1:] {
			if u.v == us[k].v { // a diagonal
				why := d.reason("a diagonal")
				d.fixAxis(&acc, why)
				d.fixAxis(&vs[u.v].axes[u.axis], why)
			}
			acc = d.product(&acc, &vs[u.v].axes[u.axis], d.scales.mul)
		}
		if at >= 0 {
			out.axes[at] = acc
			continue
		}
		for _, m := range acc.scales {
			d.scales.one(m)
		}
		for _, u := range us {
			d.role(vs[u.v], u.axis, Outgoing)
		}
	}
	return d.keep(out)
}

// recurrent is an LSTM (4 gates, in this form), GRU (3) or RNN (1) of x, (time, batch, in). w is
// (directions, gates·hidden, in), r (directions, gates·hidden, hidden), bias twice
// as many gates, peephole (directions, 3·hidden), states (directions, batch, hidden).
// It returns an axis of hidden units.
func (d *deriver) recurrent(x, w, r, bias, peephole *value, states []*value, hidden int) axis {
	d.contract(x, len(x.shape)-1, w, 2)
	units := r.axes[2]
	d.freezeAxis(&units)
	d.role(r, 2, Outgoing)
	for _, v := range []*value{w, r, bias, peephole} {
		if v == nil {
			continue
		}
		a := &v.axes[1]
		d.freezeAxis(a)
		if !a.moves() || !units.moves() {
			d.sameLabels(a, &axis{why: spatial})
			d.sameLabels(&units, &axis{why: spatial})
			continue
		}
		for i, l := range a.labels {
			d.same(l, units.labels[i%hidden])
		}
	}
	for _, v := range []*value{w, r, bias, peephole} {
		if v != nil && v.axes[0].moves() {
			d.fixAxis(&v.axes[0], d.reason("directions of a recurrent layer"))
		}
	}
	for _, v := range states {
		if v != nil {
			d.freeze(v)
			d.sameLabels(&v.axes[len(v.axes)-1], &units)
			d.fixAxis(&v.axes[0], d.reason("directions of a recurrent layer"))
		}
	}
	if units.moves() {
		return axis{labels: units.labels, scales: make([]mono, len(units.labels))}
	}
	return units
}

func unknownOperator(name string) string { return fmt.Sprintf("operator %s is not known", name) }
