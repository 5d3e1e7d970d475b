package symmetry

import (
	"math"
	"slices"
	"strings"

	"ropewalk/tensor"
)

// operators are what this package knows of the operators of ONNX, in the canonical
// form of package graph. A function returns the outputs, or nil if it cannot follow
// the node; then all operands stay where they are.
var operators map[string]func(*call) []*value

func init() { // the table refers to itself through If
	operators = map[string]func(*call) []*value{
		"Identity": same, "Dropout": same, "CastLike": same,
		"Cast": cast,
		"Neg":  same,
		"Abs":  func(c *call) []*value { return one(c.mapped(c.in[0], c.scales.abs)) },
		"Sign": func(c *call) []*value { return one(c.mapped(c.in[0], c.scales.signOf)) },
		"Reciprocal": func(c *call) []*value {
			return one(c.mapped(c.in[0], c.scales.inverse))
		},
		"PRelu": prelu, "Clip": clip, "Pow": power,
		"Where": where, "Sum": sum, "Max": extremum, "Min": extremum, "Mean": sum,
		"Shape": constantOf, "Size": constantOf, "ConstantOfShape": constantOf, "Range": constantOf,
		"Softmax": plain, "LogSoftmax": plain, "LpNormalization": plain, "MeanVarianceNormalization": plain,
		"Conv": convolution, "ConvTranspose": convolution,
		"MaxPool": pool, "AveragePool": pool, "LpPool": pool,
		"GlobalAveragePool": globalPool, "GlobalMaxPool": globalPool, "GlobalLpPool": globalPool,
		"BatchNormalization": batchNorm, "LayerNormalization": layerNorm, "RMSNormalization": layerNorm,
		"GroupNormalization": groupNorm, "InstanceNormalization": instanceNorm,
		"Gemm":   gemm,
		"MatMul": func(c *call) []*value { return one(c.matMul(c.in[0], c.in[1])) },
		"Einsum": einsum,
		"Reshape": func(c *call) []*value {
			return one(c.reshape(c.in[0], c.shapes[0]))
		},
		"Transpose": transpose, "Concat": concat, "Split": split, "Slice": slice, "Pad": pad,
		"Expand": func(c *call) []*value { return one(c.expand(c.in[0], c.shapes[0])) },
		"Tile":   tile, "Gather": gather, "Resize": resize,
		"DepthToSpace": depthToSpace, "SpaceToDepth": spaceToDepth,
		"LSTM": recurrent, "GRU": recurrent, "RNN": recurrent,
		"QuantizeLinear": quantize, "DequantizeLinear": quantize,
	}
	for _, name := range []string{"Flatten", "Squeeze", "Unsqueeze"} {
		operators[name] = operators["Reshape"]
	}
	for name := range strings.FieldsSeq("Relu LeakyRelu") {
		operators[name] = positive
	}
	for name := range strings.FieldsSeq("Tanh Sin Atan Asin Sinh Asinh Atanh Tan Erf Softsign Round") {
		operators[name] = odd
	}
	for name := range strings.FieldsSeq("Sigmoid Exp Log Gelu HardSwish HardSigmoid Elu Selu Celu Softplus Mish Swish Sqrt Floor Ceil Cos Cosh Acos Acosh ThresholdedRelu Shrink IsNaN IsInf Not BitwiseNot") {
		operators[name] = plain
	}
	for name := range strings.FieldsSeq("Equal Greater GreaterOrEqual Less LessOrEqual And Or Xor Mod BitShift BitwiseAnd BitwiseOr BitwiseXor") {
		operators[name] = func(c *call) []*value { return one(c.unscaled(c.mix(c.in[0], c.in[1], compares))) }
	}
	for _, name := range []string{"Add", "Sub"} {
		operators[name] = func(c *call) []*value { return one(c.mix(c.in[0], c.in[1], sums)) }
	}
	operators["Mul"] = func(c *call) []*value { return one(c.mix(c.in[0], c.in[1], products)) }
	operators["Div"] = func(c *call) []*value { return one(c.mix(c.in[0], c.in[1], ratios)) }
	for name := range strings.FieldsSeq("ReduceMean ReduceSum ReduceMax ReduceMin ReduceL1 ReduceL2 ReduceProd ReduceSumSquare ReduceLogSum ReduceLogSumExp") {
		operators[name] = reduce
	}
}

func one(v *value) []*value { return []*value{v} }

// same hands on its operand.
func same(c *call) []*value {
	if len(c.n.Outputs) > 1 && c.n.Outputs[1] != "" {
		return nil // the mask of a Dropout
	}
	return one(c.in[0])
}

func cast(c *call) []*value {
	if !c.s.Types[c.n.Outputs[0]].DType.IsFloat() {
		c.freeze(c.in[0])
	}
	return one(c.in[0])
}

// plain works on each number alike, or treats the numbers of an axis alike, and takes
// no factors.
func plain(c *call) []*value {
	c.freeze(c.in[0])
	return one(c.unscaled(c.in[0]))
}

// positive is f(s·x) = s·f(x) for s > 0.
func positive(c *call) []*value {
	c.in[0].each(c.scales.positive)
	return one(c.in[0])
}

// odd is f(-x) = -f(x).
func odd(c *call) []*value {
	c.in[0].each(c.scales.unit)
	return one(c.in[0])
}

func constantOf(c *call) []*value {
	why := c.reason("numbers that follow from shapes")
	return one(still(c.shapes[0], why))
}

// prelu has a slope for each channel, which takes no factors.
func prelu(c *call) []*value {
	c.in[0].each(c.scales.positive)
	c.freeze(c.in[1])
	out := c.mix(c.unscaled(c.in[0]), c.in[1], products)
	for i := range out.axes {
		if out.axes[i].moves() {
			out.axes[i].scales = c.in[0].axes[i].scales
			if out.axes[i].scales == nil {
				out.axes[i].scales = make([]mono, len(out.axes[i].labels))
			}
		}
	}
	return one(out)
}

func clip(c *call) []*value {
	bound := func(i int, absent float64) (float64, bool) {
		if c.input(i) == "" {
			return absent, true
		}
		return c.number(c.input(i))
	}
	lo, okLo := bound(1, math.Inf(-1))
	hi, okHi := bound(2, math.Inf(1))
	const infinite = math.MaxFloat32
	switch {
	case !okLo || !okHi:
		for _, v := range c.in[1:] {
			if v != nil && len(v.shape) > 0 {
				c.fixAll(v, c.reason("a limit"))
			}
		}
	case (lo == 0 || lo <= -infinite) && (hi == 0 || hi >= infinite):
		return positive(c)
	case lo == -hi:
		return odd(c)
	}
	return plain(c)
}

func power(c *call) []*value {
	switch p, ok := c.number(c.input(1)); {
	case ok && p == 1:
		return one(c.in[0])
	case ok && p == 2:
		return one(c.mapped(c.in[0], c.scales.square))
	}
	return one(c.unscaled(c.mix(c.in[0], c.in[1], compares)))
}

func where(c *call) []*value {
	out := c.mix(c.in[1], c.in[2], sums)
	c.freeze(c.in[0])
	return one(c.mix(out, c.unscaled(c.in[0]), products))
}

func sum(c *call) []*value {
	out := c.in[0]
	for _, v := range c.in[1:] {
		out = c.mix(out, v, sums)
	}
	return one(out)
}

func extremum(c *call) []*value {
	for _, v := range c.in {
		v.each(c.scales.positive)
	}
	return sum(c)
}

func convolution(c *call) []*value {
	x, w := c.in[0], c.in[1]
	rank := len(x.shape) - 2
	strides := attribute[[]int64](c, "strides", nil)
	pads := attribute[[]int64](c, "pads", nil)
	at := rank > 0 && pointwise(w.shape[2:], strides, pads) && slices.Equal(x.shape[2:], c.shapes[0][2:])
	return one(c.conv(x, w, c.arg(2), attribute[int64](c, "group", 1), c.n.Op == "ConvTranspose", at, c.shapes[0]))
}

func pool(c *call) []*value {
	if len(c.n.Outputs) > 1 && c.n.Outputs[1] != "" {
		return nil // the places of the maxima
	}
	return one(c.window(c.in[0], c.n.Op))
}

func globalPool(c *call) []*value { return one(c.window(c.in[0], c.n.Op)) }

// window slides over all axes from 2 on.
func (c *call) window(x *value, op string) *value {
	for k := 2; k < len(x.shape); k++ {
		c.fixAxis(&x.axes[k], spatial)
	}
	switch {
	case strings.Contains(op, "Max"):
		x.each(c.scales.positive)
	case strings.Contains(op, "Lp"):
		x = c.mapped(x, c.scales.abs)
	}
	out := still(c.shapes[0], spatial)
	copy(out.axes[:2], x.axes)
	return c.keep(out)
}

func batchNorm(c *call) []*value {
	if attribute[int64](c, "training_mode", 0) != 0 || len(c.n.Outputs) > 1 || len(c.in[0].shape) < 2 {
		return nil
	}
	return one(c.deriver.batchNorm(c.in[0], c.in[1], c.in[2], c.in[3], c.in[4], attribute(c, "epsilon", 1e-5)))
}

func layerNorm(c *call) []*value {
	if len(c.n.Outputs) > 1 {
		return nil
	}
	x := c.in[0]
	first := c.axisOf(-1, len(x.shape))
	fit := func(v *value) *value { // operands broadcast from the right
		if v == nil || len(v.shape) <= len(x.shape)-first {
			return rankOf(v, len(x.shape)-first)
		}
		return v
	}
	scale, shift := fit(c.arg(1)), fit(c.arg(2))
	return one(c.affine(c.normalised(x), scale, shift, first))
}

func rankOf(v *value, rank int) *value {
	if v == nil {
		return nil
	}
	return rankTo(v, rank)
}

func groupNorm(c *call) []*value {
	return one(c.deriver.groupNorm(c.in[0], c.in[1], c.in[2], attribute[int64](c, "num_groups", 1)))
}

func instanceNorm(c *call) []*value {
	for k := 2; k < len(c.in[0].shape); k++ {
		c.fixAxis(&c.in[0].axes[k], spatial)
	}
	return one(c.affine(c.normalised(c.in[0]), c.in[1], c.in[2], 1))
}

func gemm(c *call) []*value {
	a, b := c.in[0], c.in[1]
	if attribute[int64](c, "transA", 0) != 0 {
		a = c.transpose(a, []int{1, 0})
	}
	if attribute[int64](c, "transB", 0) != 0 {
		b = c.transpose(b, []int{1, 0})
	}
	out := c.matMul(a, b)
	if bias := c.arg(2); bias != nil {
		out = c.mix(out, bias, sums)
	}
	return one(out)
}

func einsum(c *call) []*value {
	equation := strings.ReplaceAll(attribute(c, "equation", ""), " ", "")
	left, right, ok := strings.Cut(equation, "->")
	terms := strings.Split(left, ",")
	if !ok || strings.Contains(equation, ".") || len(terms) != len(c.in) || len(right) != len(c.shapes[0]) {
		return nil
	}
	for i, t := range terms {
		if len(t) != len(c.in[i].shape) {
			return nil
		}
	}
	return one(c.deriver.einsum(terms, right, c.in, c.shapes[0]))
}

func transpose(c *call) []*value {
	rank := len(c.in[0].shape)
	perm := make([]int, rank)
	for i := range perm {
		perm[i] = rank - 1 - i
	}
	for i, p := range attribute[[]int64](c, "perm", nil) {
		perm[i] = int(p)
	}
	return one(c.deriver.transpose(c.in[0], perm))
}

func concat(c *call) []*value {
	return one(c.join(c.in, c.axisOf(0, len(c.shapes[0])), c.shapes[0]))
}

func sequence(from, n, step int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = from + i*step
	}
	return s
}

func split(c *call) []*value {
	k := c.axisOf(0, len(c.in[0].shape))
	var outs []*value
	from := 0
	for _, s := range c.shapes {
		if s == nil {
			return nil // an output that nobody wants has no type
		}
		n := int(s[k])
		outs = append(outs, c.pick(c.in[0], k, sequence(from, n, 1)))
		from += n
	}
	return outs
}

func slice(c *call) []*value {
	v := c.in[0]
	starts, ok1 := c.ints(c.input(1))
	axes, ok2 := c.ints(c.input(3))
	if c.input(3) == "" {
		axes, ok2 = nil, true
		for i := range starts {
			axes = append(axes, int64(i))
		}
	}
	steps, ok3 := c.ints(c.input(4))
	if c.input(4) == "" {
		steps, ok3 = slices.Repeat([]int64{1}, len(starts)), true
	}
	if !ok1 || !ok2 || !ok3 || len(axes) != len(starts) || len(steps) != len(starts) {
		return nil
	}
	for i, a := range axes {
		if a < 0 {
			a += int64(len(v.shape))
		}
		n := v.shape[a]
		start := starts[i]
		if start < 0 {
			start += n
		}
		start = min(max(start, 0), n)
		if steps[i] < 0 {
			start = min(start, n-1)
		}
		v = c.pick(v, int(a), sequence(int(start), int(c.shapes[0][a]), int(steps[i])))
	}
	return one(v)
}

func pad(c *call) []*value {
	v := c.in[0]
	pads, ok := c.ints(c.input(1))
	if !ok {
		return nil
	}
	fill := 0.0
	if c.input(2) != "" {
		if fill, ok = c.number(c.input(2)); !ok {
			fill = math.NaN()
		}
	}
	constant := attribute(c, "mode", "constant") == "constant"
	axes, ok := c.ints(c.input(3))
	if c.input(3) == "" {
		axes, ok = nil, true
		for i := range v.shape {
			axes = append(axes, int64(i))
		}
	}
	if !ok || len(pads) != 2*len(axes) {
		return nil
	}
	if fill != 0 || !constant {
		c.freeze(v)
	}
	out := v
	for i, a := range axes {
		if a < 0 {
			a += int64(len(v.shape))
		}
		before, after := pads[i], pads[i+len(axes)]
		if before == 0 && after == 0 {
			continue
		}
		k := int(a)
		if (before < 0 || after < 0 || !constant || c.shapes[0][k] > maxLabels) && v.axes[k].moves() {
			return nil
		}
		out = c.deriver.pad(out, k, int(before), int(after), fill == 0)
	}
	return one(out)
}

func tile(c *call) []*value {
	v := c.in[0]
	for k, n := range c.shapes[0] {
		if v.shape[k] == n {
			continue
		}
		if v.shape[k] == 1 {
			shape := slices.Clone(v.shape)
			shape[k] = n
			v = c.expand(v, shape)
			continue
		}
		times := int(n / max(v.shape[k], 1))
		v = c.pick(v, k, slices.Repeat(sequence(0, int(v.shape[k]), 1), times))
	}
	return one(v)
}

func gather(c *call) []*value {
	v, index := c.in[0], c.in[1]
	k := c.axisOf(0, len(v.shape))
	known, ok := c.ints(c.input(1))
	if ok {
		at := make([]int, len(known))
		for i, p := range known {
			if p < 0 {
				p += v.shape[k]
			}
			if p < 0 || p >= v.shape[k] {
				return nil
			}
			at[i] = int(p)
		}
		if len(index.shape) == 1 {
			return one(c.pick(v, k, at))
		}
		if len(index.shape) == 0 {
			return one(c.reshape(c.pick(v, k, at), c.shapes[0]))
		}
	}
	c.fixAxis(&v.axes[k], c.reason("rows that are looked up by number"))
	c.fixAll(index, c.reason("numbers of rows"))
	out := still(c.shapes[0], spatial)
	copy(out.axes[:k], v.axes[:k])
	copy(out.axes[k+len(index.shape):], v.axes[k+1:])
	return one(c.keep(out))
}

func reduce(c *call) []*value {
	v := c.in[0]
	axes, ok := c.ints(c.input(1))
	if c.input(1) == "" {
		axes, ok = nil, true
		if attribute[int64](c, "noop_with_empty_axes", 0) != 0 {
			return one(v)
		}
	}
	if !ok {
		return nil
	}
	reduced := make([]bool, len(v.shape))
	for _, a := range axes {
		if a < 0 {
			a += int64(len(v.shape))
		}
		reduced[a] = true
	}
	if len(axes) == 0 {
		reduced = slices.Repeat([]bool{true}, len(v.shape))
	}
	keep := attribute[int64](c, "keepdims", 1) != 0
	out := &value{}
	for k, r := range reduced {
		a := v.axes[k]
		n := v.shape[k]
		if r {
			c.freezeAxis(&a) // its positions are alike
			a, n = axis{why: spatial}, 1
		}
		if !r || keep {
			out.axes, out.shape = append(out.axes, a), append(out.shape, n)
		}
	}
	if out.shape == nil {
		out.shape = tensor.Shape{}
	}
	switch c.n.Op {
	case "ReduceMean", "ReduceSum":
	case "ReduceMax", "ReduceMin":
		out.each(c.scales.positive)
	case "ReduceL1", "ReduceL2":
		return one(c.mapped(out, c.scales.abs))
	case "ReduceSumSquare":
		return one(c.mapped(out, c.scales.square))
	default:
		c.freeze(out)
		return one(c.unscaled(out))
	}
	return one(c.keep(out))
}

// resize changes the axes that get another length.
func resize(c *call) []*value {
	v := c.in[0]
	out := still(c.shapes[0], spatial)
	for k, n := range c.shapes[0] {
		if n == v.shape[k] {
			out.axes[k] = v.axes[k]
		} else {
			c.fixAxis(&v.axes[k], spatial)
		}
	}
	if attribute(c, "coordinate_transformation_mode", "") == "tf_crop_and_resize" {
		c.freeze(v) // it puts a number where nothing is
	}
	return one(c.keep(out))
}

func depthToSpace(c *call) []*value {
	v := c.in[0]
	b := attribute[int64](c, "blocksize", 1)
	n, ch, h, w := v.shape[0], v.shape[1]/(b*b), v.shape[2], v.shape[3]
	if attribute(c, "mode", "DCR") == "CRD" {
		v = c.deriver.transpose(c.reshape(v, tensor.Shape{n, ch, b, b, h, w}), []int{0, 1, 4, 2, 5, 3})
	} else {
		v = c.deriver.transpose(c.reshape(v, tensor.Shape{n, b, b, ch, h, w}), []int{0, 3, 4, 1, 5, 2})
	}
	for _, k := range []int{2, 3, 4, 5} {
		c.fixAxis(&v.axes[k], spatial)
	}
	return one(c.reshape(v, c.shapes[0]))
}

func spaceToDepth(c *call) []*value {
	v := c.in[0]
	b := attribute[int64](c, "blocksize", 1)
	n, ch, h, w := v.shape[0], v.shape[1], v.shape[2]/b, v.shape[3]/b
	v = c.reshape(v, tensor.Shape{n, ch, h, b, w, b})
	for k := 2; k < 6; k++ {
		c.fixAxis(&v.axes[k], spatial)
	}
	perm := []int{0, 3, 5, 1, 2, 4}
	if attribute(c, "mode", "DCR") == "CRD" {
		perm = []int{0, 1, 3, 5, 2, 4}
	}
	return one(c.reshape(c.deriver.transpose(v, perm), c.shapes[0]))
}

func recurrent(c *call) []*value {
	x, w, r := c.in[0], c.in[1], c.in[2]
	hidden := int(r.shape[2])
	if attribute[int64](c, "layout", 0) != 0 || hidden < 2 {
		return nil
	}
	if c.arg(4) != nil {
		c.fixAll(c.arg(4), c.reason("lengths of sequences"))
	}
	var peephole *value
	if c.n.Op == "LSTM" {
		peephole = c.arg(7)
	}
	units := c.deriver.recurrent(x, w, r, c.arg(3), peephole, []*value{c.arg(5), c.arg(6)}, hidden)
	var outs []*value
	for _, s := range c.shapes {
		if s == nil {
			outs = append(outs, nil)
			continue
		}
		out := still(s, spatial)
		out.axes[len(s)-1] = units
		outs = append(outs, c.keep(out))
	}
	return outs
}

// quantize maps numbers to integers or back, with one step for all or one for each
// position of an axis.
func quantize(c *call) []*value {
	v, step := c.in[0], c.in[1]
	if len(step.shape) > 1 {
		return nil
	}
	c.freeze(v)
	k := c.axisOf(1, len(v.shape))
	for _, s := range c.in[1:] {
		if s == nil {
			continue
		}
		c.freeze(s)
		if len(s.shape) == 1 && s.shape[0] != 1 {
			if s.shape[0] != v.shape[k] {
				return nil
			}
			c.sameLabels(&v.axes[k], &s.axes[0])
		}
	}
	return one(c.unscaled(v))
}
