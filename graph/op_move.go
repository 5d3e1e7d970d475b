package graph

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// moveOps put elements to other places: each has a rule which element of which
// operand comes where.
var moveOps = map[string]operator{
	"Transpose":       {infer: inferTranspose, evaluate: evaluateTranspose, min: 1, max: 1},
	"Concat":          {infer: inferConcat, evaluate: evaluateConcat, min: 1, max: -1},
	"Split":           {infer: inferSplit, evaluate: evaluateSplit, min: 1, max: 2},
	"Slice":           {infer: inferSlice, evaluate: evaluateSlice, min: 3, max: 5},
	"Pad":             {infer: inferPad, evaluate: evaluatePad, min: 2, max: 4},
	"CenterCropPad":   {infer: inferCenterCropPad, evaluate: evaluateCenterCropPad, min: 2, max: 2},
	"Expand":          {infer: inferExpand, evaluate: evaluateExpand, min: 2, max: 2},
	"Tile":            {infer: inferTile, evaluate: evaluateTile, min: 2, max: 2},
	"DepthToSpace":    {infer: inferDepthToSpace, evaluate: evaluateDepthToSpace, min: 1, max: 1},
	"SpaceToDepth":    {infer: inferSpaceToDepth, evaluate: evaluateSpaceToDepth, min: 1, max: 1},
	"Trilu":           {infer: inferTrilu, evaluate: evaluateTrilu, min: 1, max: 2},
	"ReverseSequence": {infer: inferReverseSequence, evaluate: evaluateReverseSequence, min: 2, max: 2},
}

// gatherWith returns the array of that shape whose element is that of v at the offset
// which a walk with these strides has, from a first offset.
func gatherWith(v *Value, shape tensor.Shape, first int, strides []int) *Value {
	out := newValue(Type{v.Type, shape})
	w := newWalker(shape, strides)
	for i := range out.elems() {
		out.set(i, v, first+w.off[0])
		w.next()
	}
	return out
}

// permutation returns attribute perm, or all axes reversed.
func permutation(n *Node, rank int) ([]int, error) {
	r := read(n)
	perm := r.ints("perm")
	if r.err != nil {
		return nil, r.err
	}
	order := make([]int, rank)
	if perm == nil {
		for i := range order {
			order[i] = rank - 1 - i
		}
		return order, nil
	}
	if len(perm) != rank {
		return nil, fmt.Errorf("attribute perm has %d axes, want %d", len(perm), rank)
	}
	if _, err := axesOf(perm, rank); err != nil {
		return nil, fmt.Errorf("attribute perm: %w", err)
	}
	for i, a := range perm {
		order[i], _ = axisOf(a, rank)
	}
	return order, nil
}

func inferTranspose(_ *context, n *Node, in []*Operand) ([]Type, error) {
	from := in[0].Type.Shape
	perm, err := permutation(n, len(from))
	if err != nil {
		return nil, err
	}
	to := make(tensor.Shape, len(from))
	for i, a := range perm {
		to[i] = from[a]
	}
	return []Type{{in[0].Type.DType, to}}, nil
}

func evaluateTranspose(c *context, n *Node, in []*Value) ([]*Value, error) {
	perm, err := permutation(n, len(in[0].Shape))
	if err != nil {
		return nil, err
	}
	return []*Value{transpose(in[0], perm)}, nil
}

// transpose returns v with its axes in the order of perm.
func transpose(v *Value, perm []int) *Value {
	own := stridesOf(v.Shape)
	strides, to := make([]int, len(perm)), make(tensor.Shape, len(perm))
	for i, a := range perm {
		strides[i], to[i] = own[a], v.Shape[a]
	}
	return gatherWith(v, to, 0, strides)
}

func inferConcat(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	if !r.has("axis") {
		r.fail("attribute axis is missing")
	}
	at := r.int("axis", 0)
	if r.err != nil {
		return nil, r.err
	}
	for i, o := range in {
		if o == nil {
			return nil, fmt.Errorf("input %d is missing", i)
		}
	}
	if err := sameType(in...); err != nil {
		return nil, err
	}
	to := slices.Clone(in[0].Type.Shape)
	axis, err := axisOf(at, len(to))
	if err != nil {
		return nil, err
	}
	for i, o := range in[1:] {
		s := o.Type.Shape
		if len(s) != len(to) {
			return nil, fmt.Errorf("input %d is %v, which cannot be joined to %v", i+1, s, to)
		}
		for k, d := range s {
			switch {
			case k == axis && to[k] > math.MaxInt64-d:
				return nil, fmt.Errorf("axis %d overflows", axis)
			case k == axis:
				to[k] += d
			case d != to[k]:
				return nil, fmt.Errorf("input %d is %v, which cannot be joined to %v along axis %d", i+1, s, to, axis)
			}
		}
	}
	return []Type{{in[0].Type.DType, to}}, nil
}

func evaluateConcat(c *context, n *Node, in []*Value) ([]*Value, error) {
	axis, err := axisOf(read(n).int("axis", 0), len(in[0].Shape))
	if err != nil {
		return nil, err
	}
	out := newValue(c.types[0])
	if out.elems() == 0 {
		return []*Value{out}, nil
	}
	at := 0
	for range product(out.Shape[:axis]) {
		for _, v := range in {
			block := product(v.Shape[axis:])
			from := at / product(out.Shape[axis:]) * block
			for i := range block {
				out.set(at+i, v, from+i)
			}
			at += block
		}
	}
	return []*Value{out}, nil
}

// Split has the lengths of the parts as an input, or cuts into as many equal parts as
// it has outputs (attribute num_outputs), the last of which may be shorter.
func inferSplit(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	at := r.int("axis", 0)
	parts := r.int("num_outputs", int64(len(n.Outputs)))
	if r.err != nil {
		return nil, r.err
	}
	from := in[0].Type.Shape
	axis, err := axisOf(at, len(from))
	if err != nil {
		return nil, err
	}
	var lengths []int64
	if in[1] != nil {
		if lengths, err = needInts(in[1], "the lengths"); err != nil {
			return nil, err
		}
		left := from[axis]
		for _, d := range lengths {
			if d < 0 || d > left {
				return nil, fmt.Errorf("parts of lengths %v cannot be cut from an axis of %d", lengths, from[axis])
			}
			left -= d
		}
		if left != 0 {
			return nil, fmt.Errorf("parts of lengths %v do not fill an axis of %d", lengths, from[axis])
		}
	} else {
		if parts < 1 || parts != int64(len(n.Outputs)) {
			return nil, fmt.Errorf("it has %d outputs and makes %d parts", len(n.Outputs), parts)
		}
		each := (from[axis] + parts - 1) / parts
		left := from[axis]
		for range parts {
			d := min(each, left)
			lengths = append(lengths, d)
			left -= d
		}
	}
	types := make([]Type, len(lengths))
	for i, d := range lengths {
		to := slices.Clone(from)
		to[axis] = d
		types[i] = Type{in[0].Type.DType, to}
	}
	return types, nil
}

func evaluateSplit(c *context, n *Node, in []*Value) ([]*Value, error) {
	axis, err := axisOf(read(n).int("axis", 0), len(in[0].Shape))
	if err != nil {
		return nil, err
	}
	strides := stridesOf(in[0].Shape)
	var out []*Value
	first := 0
	for _, t := range c.types {
		out = append(out, gatherWith(in[0], t.Shape, first, strides))
		first += int(t.Shape[axis]) * strides[axis]
	}
	return out, nil
}

// A cut says which elements Slice takes along each axis.
type cut struct {
	start, step []int64
	shape       tensor.Shape
}

func sliceOf(from tensor.Shape, in []*Operand) (*cut, error) {
	var lists [4][]int64
	for i, what := range []string{"the starts", "the ends", "the axes", "the steps"} {
		if i+1 >= len(in) || in[i+1] == nil {
			continue
		}
		v, err := needInts(in[i+1], what)
		if err != nil {
			return nil, err
		}
		lists[i] = v
	}
	starts, ends, axes, steps := lists[0], lists[1], lists[2], lists[3]
	if axes == nil {
		for i := range starts {
			axes = append(axes, int64(i))
		}
	}
	if len(ends) != len(starts) || len(axes) != len(starts) || steps != nil && len(steps) != len(starts) {
		return nil, fmt.Errorf("it has %d starts, %d ends, %d axes and %d steps: %w", len(starts), len(ends), len(axes), len(steps), errNumbers)
	}
	if _, err := axesOf(axes, len(from)); err != nil {
		return nil, err
	}
	c := &cut{make([]int64, len(from)), make([]int64, len(from)), slices.Clone(from)}
	for i := range c.step {
		c.step[i] = 1
	}
	for i, a := range axes {
		axis, _ := axisOf(a, len(from))
		d, step := from[axis], int64(1)
		if steps != nil {
			step = steps[i]
		}
		if step == 0 || step == math.MinInt64 {
			return nil, fmt.Errorf("step %d along axis %d", step, axis)
		}
		within := func(x, lo, hi int64) int64 {
			if x < 0 {
				x += d
			}
			return min(max(x, lo), hi)
		}
		var length int64
		if step > 0 {
			lo, hi := within(starts[i], 0, d), within(ends[i], 0, d)
			c.start[axis] = lo
			if hi > lo {
				length = (hi-lo-1)/step + 1
			}
		} else {
			hi, lo := within(starts[i], 0, max(d-1, 0)), within(ends[i], -1, max(d-1, 0))
			c.start[axis] = hi
			if d > 0 && hi > lo {
				length = (hi-lo-1)/-step + 1
			}
		}
		c.step[axis], c.shape[axis] = step, length
	}
	return c, nil
}

func inferSlice(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	c, err := sliceOf(in[0].Type.Shape, in)
	if err != nil {
		return nil, err
	}
	return []Type{{in[0].Type.DType, c.shape}}, nil
}

func evaluateSlice(_ *context, _ *Node, in []*Value) ([]*Value, error) {
	s, err := sliceOf(in[0].Shape, operandsOf(in))
	if err != nil {
		return nil, err
	}
	strides := stridesOf(in[0].Shape)
	first := 0
	for i := range strides {
		first += strides[i] * int(s.start[i])
		if s.shape[i] > 1 { // else the step may be too large to multiply
			strides[i] *= int(s.step[i])
		}
	}
	return []*Value{gatherWith(in[0], s.shape, first, strides)}, nil
}

// operandsOf returns what is known of values: everything.
func operandsOf(in []*Value) []*Operand {
	out := make([]*Operand, len(in))
	for i, v := range in {
		if v != nil {
			out[i] = &Operand{v.typ(), v}
		}
	}
	return out
}

// padding returns how many elements Pad adds before and behind each axis; negative
// takes away.
func padding(in []*Operand) (before, behind []int64, err error) {
	rank := len(in[0].Type.Shape)
	before, behind = make([]int64, rank), make([]int64, rank)
	pads, err := needInts(in[1], "the pads")
	if err != nil {
		return nil, nil, err
	}
	axes := make([]int64, rank)
	for i := range axes {
		axes[i] = int64(i)
	}
	if in[3] != nil {
		if axes, err = needInts(in[3], "the axes"); err != nil {
			return nil, nil, err
		}
	}
	if len(pads) != 2*len(axes) {
		return nil, nil, fmt.Errorf("it has %d pads for %d axes: %w", len(pads), len(axes), errNumbers)
	}
	if _, err := axesOf(axes, rank); err != nil {
		return nil, nil, err
	}
	for i, a := range axes {
		axis, _ := axisOf(a, rank)
		before[axis], behind[axis] = pads[i], pads[len(axes)+i]
	}
	return before, behind, nil
}

func inferPad(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	mode := r.string("mode", "constant")
	if r.err != nil {
		return nil, r.err
	}
	if !slices.Contains([]string{"constant", "reflect", "edge", "wrap"}, mode) {
		return nil, fmt.Errorf("attribute mode is %q, want constant, reflect, edge or wrap", mode)
	}
	if err := sameType(in[0], in[2]); err != nil {
		return nil, err
	}
	if in[2] != nil {
		if k, err := in[2].Type.Shape.Elems(); err != nil || k != 1 {
			return nil, fmt.Errorf("the constant is %v, want a scalar", in[2].Type)
		}
	}
	before, behind, err := padding(in)
	if err != nil {
		return nil, err
	}
	to := slices.Clone(in[0].Type.Shape)
	for i, d := range to {
		const most = 1 << 40
		if max(before[i], behind[i], -before[i], -behind[i]) > most || before[i] == math.MinInt64 || behind[i] == math.MinInt64 {
			return nil, fmt.Errorf("pads %d and %d of axis %d are too large", before[i], behind[i], i)
		}
		if to[i] = d + before[i] + behind[i]; to[i] < 0 {
			return nil, fmt.Errorf("pads %d and %d leave nothing of axis %d of %v", before[i], behind[i], i, in[0].Type.Shape)
		}
		if d == 0 && to[i] > 0 && mode != "constant" {
			return nil, fmt.Errorf("axis %d of %v has nothing to repeat", i, in[0].Type.Shape)
		}
	}
	return []Type{{in[0].Type.DType, to}}, nil
}

func evaluatePad(c *context, n *Node, in []*Value) ([]*Value, error) {
	before, _, err := padding(operandsOf(in))
	if err != nil {
		return nil, err
	}
	mode := read(n).string("mode", "constant")
	out := newValue(c.types[0])
	from := in[0].Shape
	strides := stridesOf(from)
	w := newWalker(out.Shape)
	for i := range out.elems() {
		at, ok := 0, true
		for k, p := range w.at {
			q := p - before[k]
			if q < 0 || q >= from[k] {
				if mode == "constant" {
					ok = false
					break
				}
				q = outside(mode, q, from[k])
			}
			at += int(q) * strides[k]
		}
		switch {
		case ok:
			out.set(i, in[0], at)
		case in[2] != nil:
			out.set(i, in[2], 0)
		}
		w.next()
	}
	return []*Value{out}, nil
}

// outside returns the place in an axis of n that stands for q, which lies outside.
func outside(mode string, q, n int64) int64 {
	switch mode {
	case "reflect":
		if n == 1 {
			return 0
		}
		period := 2 * (n - 1)
		q = ((q % period) + period) % period
		return min(q, period-q)
	case "wrap":
		return ((q % n) + n) % n
	}
	return min(max(q, 0), n-1)
}

// centers returns the axes that CenterCropPad changes and their new lengths.
func centers(n *Node, in []*Operand) (tensor.Shape, error) {
	r := read(n)
	axes := r.ints("axes")
	if r.err != nil {
		return nil, r.err
	}
	to := slices.Clone(in[0].Type.Shape)
	if axes == nil {
		for i := range to {
			axes = append(axes, int64(i))
		}
	}
	want, err := needInts(in[1], "the shape")
	if err != nil {
		return nil, err
	}
	if len(want) != len(axes) {
		return nil, fmt.Errorf("it has %d lengths for %d axes: %w", len(want), len(axes), errNumbers)
	}
	if _, err := axesOf(axes, len(to)); err != nil {
		return nil, err
	}
	for i, a := range axes {
		axis, _ := axisOf(a, len(to))
		to[axis] = want[i]
	}
	return to, nil
}

func inferCenterCropPad(_ *context, n *Node, in []*Operand) ([]Type, error) {
	to, err := centers(n, in)
	return []Type{{in[0].Type.DType, to}}, err
}

func evaluateCenterCropPad(c *context, _ *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	from := in[0].Shape
	strides := stridesOf(from)
	w := newWalker(out.Shape)
	for i := range out.elems() {
		at, ok := 0, true
		for k, p := range w.at {
			q := p
			if d := from[k] - out.Shape[k]; d >= 0 {
				q += d / 2
			} else {
				q -= -d / 2
			}
			ok = ok && q >= 0 && q < from[k]
			at += int(q) * strides[k]
		}
		if ok {
			out.set(i, in[0], at)
		}
		w.next()
	}
	return []*Value{out}, nil
}

func inferExpand(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	want, err := needInts(in[1], "the shape")
	if err != nil {
		return nil, err
	}
	if _, err := tensor.Shape(want).Elems(); err != nil {
		return nil, err
	}
	to, err := broadcast(in[0].Type.Shape, want)
	return []Type{{in[0].Type.DType, to}}, err
}

func evaluateExpand(c *context, _ *Node, in []*Value) ([]*Value, error) {
	to := c.types[0].Shape
	return []*Value{gatherWith(in[0], to, 0, stretched(in[0].Shape, to))}, nil
}

func inferTile(_ *context, _ *Node, in []*Operand) ([]Type, error) {
	repeats, err := needInts(in[1], "the repeats")
	if err != nil {
		return nil, err
	}
	to := slices.Clone(in[0].Type.Shape)
	if len(repeats) != len(to) {
		return nil, fmt.Errorf("it has %d repeats for %d axes: %w", len(repeats), len(to), errNumbers)
	}
	for i, k := range repeats {
		if k < 0 || to[i] > 0 && k > math.MaxInt64/to[i] {
			return nil, fmt.Errorf("axis %d of %v cannot be repeated %d times", i, in[0].Type.Shape, k)
		}
		to[i] *= k
	}
	return []Type{{in[0].Type.DType, to}}, nil
}

func evaluateTile(c *context, _ *Node, in []*Value) ([]*Value, error) {
	out := newValue(c.types[0])
	strides := stridesOf(in[0].Shape)
	w := newWalker(out.Shape)
	for i := range out.elems() {
		at := 0
		for k, p := range w.at {
			at += int(p%in[0].Shape[k]) * strides[k]
		}
		out.set(i, in[0], at)
		w.next()
	}
	return []*Value{out}, nil
}

// blockOf returns attribute blocksize for an array of images.
func blockOf(n *Node, s tensor.Shape) (int64, error) {
	r := read(n)
	b := r.int("blocksize", 0)
	if mode := r.string("mode", "DCR"); mode != "DCR" && mode != "CRD" {
		r.fail("attribute mode is %q, want DCR or CRD", mode)
	}
	if b < 1 || b > 1<<20 {
		r.fail("attribute blocksize is %d", b)
	}
	if len(s) != 4 {
		r.fail("its input is %v, want four axes", s)
	}
	return b, r.err
}

func inferDepthToSpace(_ *context, n *Node, in []*Operand) ([]Type, error) {
	s := in[0].Type.Shape
	b, err := blockOf(n, s)
	if err != nil {
		return nil, err
	}
	if s[1]%(b*b) != 0 {
		return nil, fmt.Errorf("%d channels are no multiple of the %d of a block", s[1], b*b)
	}
	if max(s[2], s[3]) > math.MaxInt64/b {
		return nil, fmt.Errorf("%v is too large", s)
	}
	return []Type{{in[0].Type.DType, tensor.Shape{s[0], s[1] / (b * b), s[2] * b, s[3] * b}}}, nil
}

func evaluateDepthToSpace(c *context, n *Node, in []*Value) ([]*Value, error) {
	s := in[0].Shape
	b, err := blockOf(n, s)
	if err != nil {
		return nil, err
	}
	deep := tensor.Shape{s[0], b, b, s[1] / (b * b), s[2], s[3]}
	perm := []int{0, 3, 4, 1, 5, 2}
	if read(n).string("mode", "DCR") == "CRD" {
		deep = tensor.Shape{s[0], s[1] / (b * b), b, b, s[2], s[3]}
		perm = []int{0, 1, 4, 2, 5, 3}
	}
	return []*Value{transpose(in[0].reshaped(deep), perm).reshaped(c.types[0].Shape)}, nil
}

func inferSpaceToDepth(_ *context, n *Node, in []*Operand) ([]Type, error) {
	s := in[0].Type.Shape
	b, err := blockOf(n, s)
	if err != nil {
		return nil, err
	}
	if s[2]%b != 0 || s[3]%b != 0 {
		return nil, fmt.Errorf("%v does not divide into blocks of %d", s, b)
	}
	if s[1] > math.MaxInt64/(b*b) {
		return nil, fmt.Errorf("%v is too large", s)
	}
	return []Type{{in[0].Type.DType, tensor.Shape{s[0], s[1] * b * b, s[2] / b, s[3] / b}}}, nil
}

func evaluateSpaceToDepth(c *context, n *Node, in []*Value) ([]*Value, error) {
	s := in[0].Shape
	b, err := blockOf(n, s)
	if err != nil {
		return nil, err
	}
	flat := tensor.Shape{s[0], s[1], s[2] / b, b, s[3] / b, b}
	return []*Value{transpose(in[0].reshaped(flat), []int{0, 3, 5, 1, 2, 4}).reshaped(c.types[0].Shape)}, nil
}

func inferTrilu(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	r.flag("upper", true)
	if r.err != nil {
		return nil, r.err
	}
	if len(in[0].Type.Shape) < 2 {
		return nil, fmt.Errorf("its input is %v, want matrices", in[0].Type.Shape)
	}
	if in[1] != nil {
		if k, err := in[1].Type.Shape.Elems(); err != nil || k != 1 || kindOf(in[1].Type.DType) != kindInt {
			return nil, fmt.Errorf("the diagonal is %v, want a whole number", in[1].Type)
		}
	}
	return []Type{in[0].Type}, nil
}

func evaluateTrilu(c *context, n *Node, in []*Value) ([]*Value, error) {
	k := int64(0)
	if in[1] != nil {
		k = min(max(in[1].Int[0], -1<<62), 1<<62)
	}
	upper := read(n).flag("upper", true)
	out := newValue(c.types[0])
	w := newWalker(out.Shape)
	for i := range out.elems() {
		row, col := w.at[len(w.at)-2], w.at[len(w.at)-1]
		if upper && col >= row+k || !upper && col <= row+k {
			out.set(i, in[0], i)
		}
		w.next()
	}
	return []*Value{out}, nil
}

// ReverseSequence turns around the first elements along the axis of time, as many as
// there are in each sequence of the batch.
func inferReverseSequence(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	batch, time := r.int("batch_axis", 1), r.int("time_axis", 0)
	if r.err != nil {
		return nil, r.err
	}
	s := in[0].Type.Shape
	if len(s) < 2 || !(batch == 0 && time == 1 || batch == 1 && time == 0) {
		return nil, fmt.Errorf("its input is %v with batch axis %d and time axis %d, want 0 and 1", s, batch, time)
	}
	if l := in[1].Type; kindOf(l.DType) != kindInt || len(l.Shape) != 1 || l.Shape[0] != s[batch] {
		return nil, fmt.Errorf("the lengths are %v, want %d of them", l, s[batch])
	}
	return []Type{in[0].Type}, nil
}

func evaluateReverseSequence(c *context, n *Node, in []*Value) ([]*Value, error) {
	r := read(n)
	batch, time := r.int("batch_axis", 1), r.int("time_axis", 0)
	out := newValue(c.types[0])
	for b, l := range in[1].Int {
		if l < 0 || l > out.Shape[time] {
			return nil, fmt.Errorf("length %d of sequence %d is outside of 0 to %d", l, b, out.Shape[time])
		}
	}
	strides := stridesOf(out.Shape)
	w := newWalker(out.Shape)
	for i := range out.elems() {
		t, l := w.at[time], in[1].Int[w.at[batch]]
		from := i
		if t < l {
			from += int(l-1-2*t) * strides[time]
		}
		out.set(i, in[0], from)
		w.next()
	}
	return []*Value{out}, nil
}
