package symmetry

import (
	"fmt"
	"slices"

	"ropewalk/tensor"
)

// maxLabels bounds the positions of an axis that are followed one by one, as those of
// a flattened image: beyond, the axis does not move.
const maxLabels = 1 << 24

// An axis is what is known of one axis of a value: for each position, who it belongs
// to and what its numbers are multiplied by. Without labels none of its positions
// move, for a reason.
type axis struct {
	labels []label
	scales []mono // as many as labels
	why    int32
}

func (a *axis) moves() bool { return a.labels != nil }

// A value is an array of a network while its symmetries are derived. What position
// (i, j, …) of it is multiplied by is the product of axes[0].scales[i],
// axes[1].scales[j], …
type value struct {
	shape tensor.Shape
	axes  []axis
	// weight is the tensor that the value is, transposed perhaps; origin are its axes
	// there, -1 for none.
	weight string
	origin []int
}

// A deriver follows the axes of a network from operator to operator.
type deriver struct {
	solver
	set     *tensor.Set
	values  map[string]*value
	weights map[string]*value
	order   []*value // all that were made, for their marks on neurons
	roles   map[place]Role
	epsilon map[string]float64
}

// A place is an axis of a tensor.
type place struct {
	tensor string
	axis   int
}

func newDeriver(set *tensor.Set) *deriver {
	d := &deriver{
		solver: *newSolver(), set: set,
		values: map[string]*value{}, weights: map[string]*value{}, roles: map[place]Role{}, epsilon: map[string]float64{},
	}
	d.reason("position in an image, a sequence or a kernel")
	return d
}

// spatial is the reason of axes that are no neurons.
const spatial = 1

// still returns a value of which nothing moves.
func still(shape tensor.Shape, why int32) *value {
	v := &value{shape: shape, axes: make([]axis, len(shape))}
	for i := range v.axes {
		v.axes[i].why = why
	}
	return v
}

// keep notes a value for its marks.
func (d *deriver) keep(v *value) *value {
	d.order = append(d.order, v)
	return v
}

// freshAxis returns an axis of which nothing is known.
func (d *deriver) freshAxis(n int64) axis {
	if n > maxLabels {
		return axis{why: d.reason(fmt.Sprintf("an axis of more than %d positions", maxLabels))}
	}
	a := axis{labels: make([]label, n), scales: make([]mono, n)}
	for i := range a.labels {
		a.labels[i], a.scales[i] = d.slot(), d.scales.fresh()
	}
	return a
}

// weight returns a tensor as a value. One that holds no floats does not move.
func (d *deriver) weight(name string) *value {
	if v, ok := d.weights[name]; ok {
		return v
	}
	t := d.set.Lookup(name)
	if t == nil {
		return nil
	}
	v := still(t.Shape, d.reason("a table of numbers that are no weights"))
	if t.DType.IsFloat() || t.DType == tensor.I8 || t.DType == tensor.U8 {
		v.weight = name
		for i, n := range t.Shape {
			v.origin = append(v.origin, i)
			if n > 1 {
				v.axes[i] = d.freshAxis(n)
				if !t.DType.Numeric() {
					d.freezeAxis(&v.axes[i])
				}
			}
		}
	}
	d.weights[name] = v
	return v
}

// role notes what a weight is on the axis of v.
func (d *deriver) role(v *value, axis int, r Role) {
	if v.weight != "" && v.origin[axis] >= 0 {
		d.roles[place{v.weight, v.origin[axis]}] = r
	}
}

// derived returns a value with those axes of v that from names, for a weight on its
// way.
func (v *value) derived(shape tensor.Shape, axes []axis, from []int) *value {
	out := &value{shape: shape, axes: axes}
	if v.weight != "" {
		out.weight = v.weight
		out.origin = make([]int, len(from))
		for i, f := range from {
			out.origin[i] = -1
			if f >= 0 {
				out.origin[i] = v.origin[f]
			}
		}
	}
	return out
}

func (d *deriver) freezeAxis(a *axis) {
	for _, m := range a.scales {
		d.scales.freeze(m)
	}
}

// freeze has nothing of v be multiplied.
func (d *deriver) freeze(v *value) {
	for i := range v.axes {
		d.freezeAxis(&v.axes[i])
	}
}

// each calls f for what every position of v is multiplied by.
func (v *value) each(f func(m mono)) {
	for i := range v.axes {
		for _, m := range v.axes[i].scales {
			f(m)
		}
	}
}

func (d *deriver) fixAxis(a *axis, why int32) {
	for _, l := range a.labels {
		d.fix(l, why)
	}
	d.freezeAxis(a)
}

// fixAll has nothing of v move.
func (d *deriver) fixAll(v *value, why int32) {
	for i := range v.axes {
		d.fixAxis(&v.axes[i], why)
	}
}

// sameLabels makes the neurons of two axes of one length the same.
func (d *deriver) sameLabels(a, b *axis) {
	switch {
	case a.moves() && b.moves() && len(a.labels) == len(b.labels):
		for i := range a.labels {
			d.same(a.labels[i], b.labels[i])
		}
	case a.moves() && b.moves():
		r := d.reason("axes of different lengths")
		d.fixAxis(a, r)
		d.fixAxis(b, r)
	case a.moves():
		for _, l := range a.labels {
			d.fix(l, b.why)
		}
	case b.moves():
		for _, l := range b.labels {
			d.fix(l, a.why)
		}
	}
}

// scale returns what position i is multiplied by.
func (a *axis) scale(i int) mono {
	if a.scales == nil {
		return nil
	}
	return a.scales[i]
}

// sameScales makes the factors of two axes of one length the same.
func (d *deriver) sameScales(a, b *axis) {
	for i := range max(len(a.scales), len(b.scales)) {
		d.scales.equal(a.scale(i), b.scale(i))
	}
}

// sameAxis makes two axes one.
func (d *deriver) sameAxis(a, b *axis) {
	d.sameLabels(a, b)
	d.sameScales(a, b)
}

// either returns the axis of a and b that has labels.
func either(a, b *axis) *axis {
	if a.moves() {
		return a
	}
	return b
}

// product returns an axis with the factors of both, whose neurons are the same.
func (d *deriver) product(a, b *axis, f func(x, y mono) mono) axis {
	d.sameLabels(a, b)
	if !a.moves() || !b.moves() {
		d.freezeAxis(a)
		d.freezeAxis(b)
		return axis{why: max(a.why, b.why)}
	}
	out := axis{labels: a.labels, scales: make([]mono, len(a.labels))}
	for i := range out.scales {
		out.scales[i] = f(a.scale(i), b.scale(i))
	}
	return out
}

// mapped returns v with other factors.
func (d *deriver) mapped(v *value, f func(m mono) mono) *value {
	out := &value{shape: v.shape, axes: slices.Clone(v.axes)}
	for i := range out.axes {
		a := &out.axes[i]
		if a.scales == nil {
			continue
		}
		a.scales = make([]mono, len(v.axes[i].scales))
		for k, m := range v.axes[i].scales {
			a.scales[k] = f(m)
		}
	}
	return d.keep(out)
}

// unscaled returns v with factors of 1, whatever they are in v.
func (d *deriver) unscaled(v *value) *value {
	return d.mapped(v, func(mono) mono { return nil })
}

// rankTo returns v with axes of length 1 in front.
func rankTo(v *value, rank int) *value {
	if len(v.shape) >= rank {
		return v
	}
	lead := rank - len(v.shape)
	out := still(append(slices.Repeat(tensor.Shape{1}, lead), v.shape...), spatial)
	copy(out.axes[lead:], v.axes)
	out.weight = v.weight
	if v.weight != "" {
		out.origin = append(slices.Repeat([]int{-1}, lead), v.origin...)
	}
	return out
}

// How an operator of two operands treats factors.
type mixing int

const (
	sums     mixing = iota // a + b: both have the same factor
	products               // a · b
	ratios                 // a / b
	compares               // neither may have a factor
)

// mix is an operator of two operands that broadcast.
func (d *deriver) mix(a, b *value, how mixing) *value {
	rank := max(len(a.shape), len(b.shape))
	a, b = rankTo(a, rank), rankTo(b, rank)
	out := still(make(tensor.Shape, rank), spatial)
	for i := range rank {
		x, y := &a.axes[i], &b.axes[i]
		n, m := a.shape[i], b.shape[i]
		out.shape[i] = max(n, m)
		if n == 0 || m == 0 {
			out.shape[i] = 0
		}
		wide := n == m
		switch {
		case how == compares:
			d.freezeAxis(x)
			d.freezeAxis(y)
		case how == sums && wide:
			d.sameScales(x, y)
		case how == sums:
			d.freezeAxis(x)
			d.freezeAxis(y)
		}
		switch {
		case wide && (how == products || how == ratios):
			f := d.scales.mul
			if how == ratios {
				f = func(x, y mono) mono { return d.scales.mul(x, d.scales.inverse(y)) }
			}
			out.axes[i] = d.product(x, y, f)
		case wide:
			d.sameLabels(x, y)
			out.axes[i] = *either(x, y)
			if !x.moves() || !y.moves() {
				out.axes[i] = axis{why: max(x.why, y.why)}
			}
		case n == 1:
			out.axes[i] = *y
			if how == ratios && y.scales != nil {
				out.axes[i].scales = make([]mono, len(y.scales))
				for k, m := range y.scales {
					out.axes[i].scales[k] = d.scales.inverse(m)
				}
			}
		default:
			out.axes[i] = *x
		}
	}
	return d.keep(out)
}

// contract has axes ax of a and bx of b be summed over, as in a matrix product.
func (d *deriver) contract(a *value, ax int, b *value, bx int) {
	x, y := &a.axes[ax], &b.axes[bx]
	d.sameLabels(x, y)
	for i := range max(len(x.scales), len(y.scales)) {
		d.scales.equal(x.scale(i), d.scales.inverse(y.scale(i)))
	}
	d.role(a, ax, Outgoing)
	d.role(b, bx, Outgoing)
}
