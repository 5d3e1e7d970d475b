package native

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"ropewalk/graph"
	"ropewalk/tensor"
)

// wholes draws integers from lo to hi.
func wholes(t *rapid.T, label string, lo, hi int64, shape ...int64) *graph.Value {
	v := &graph.Value{Type: tensor.I64, Shape: shape, Int: make([]int64, product(shape))}
	for i := range v.Int {
		v.Int[i] = rapid.Int64Range(lo, hi).Draw(t, label)
	}
	return v
}

// truths draws truth values.
func truths(t *rapid.T, label string, shape ...int64) *graph.Value {
	v := wholes(t, label, 0, 1, shape...)
	v.Type = tensor.Bool
	return v
}

// feed makes operands of integers inputs or constants.
func (s *single) feed(t *rapid.T, operands ...int) *single {
	for _, i := range operands {
		if rapid.Bool().Draw(t, "given") {
			s.place[fmt.Sprintf("w%d", i)] = given
		}
	}
	return s
}

func flag(t *rapid.T, label string) int64 { return rapid.Int64Range(0, 1).Draw(t, label) }

func drawAxis(t *rapid.T, rank int) int64 {
	return rapid.Int64Range(-int64(rank), int64(rank)-1).Draw(t, "axis")
}

// A positive operand has elements from 0.5 on.
func positive(v *graph.Value) *graph.Value {
	for i, x := range v.Float {
		v.Float[i] = float64(float32(x*x + 0.5))
	}
	return v
}

// layerCases draw a graph for each operator that is not in cases.
var layerCases = map[string]func(t *rapid.T) (*single, trial){
	"ConvTranspose":    drawConvTranspose(1, 2),
	"ConvTranspose 3D": drawConvTranspose(3, 3),
	"Conv 3D": func(t *rapid.T) (*single, trial) {
		groups := rapid.Int64Range(1, 2).Draw(t, "groups")
		in, out := groups*rapid.Int64Range(1, 2).Draw(t, "in"), groups*rapid.Int64Range(1, 2).Draw(t, "out")
		w := drawSpace(t, 3, 3, 4)
		w.attributes["group"] = groups
		x := append(tensor.Shape{rapid.Int64Range(1, 2).Draw(t, "batch"), in}, w.image...)
		operands := []*graph.Value{drawFloats(t, "x", x...), drawFloats(t, "w", append(tensor.Shape{out, in / groups}, w.kernel...)...)}
		if rapid.Bool().Draw(t, "bias") {
			operands = append(operands, drawFloats(t, "bias", out))
		}
		return follow(t, one("Conv", w.attributes, 1, operands...)), trial{}
	},
	"MaxPool 3D":     drawPool3("MaxPool"),
	"AveragePool 3D": drawPool3("AveragePool"),
	"LpPool": func(t *rapid.T) (*single, trial) {
		w := drawSpace(t, 1, 2, 6)
		w.attributes["p"] = rapid.Int64Range(1, 3).Draw(t, "p")
		delete(w.attributes, "dilations")
		s := one("LpPool", w.attributes, 1, drawFloats(t, "x", append(tensor.Shape{2, 2}, w.image...)...))
		return s, trial{}
	},
	"GlobalLpPool": func(t *rapid.T) (*single, trial) {
		a := graph.Attributes{"p": rapid.Int64Range(1, 3).Draw(t, "p")}
		return one("GlobalLpPool", a, 1, drawFloats(t, "x", drawShape(t, 4)...)), trial{}
	},
	"MaxUnpool": func(t *rapid.T) (*single, trial) {
		n := rapid.Int64Range(1, 4).Draw(t, "n")
		at := make([]int64, n)
		for i := range at {
			at[i] = 2*int64(i) + flag(t, "odd")
		}
		places := &graph.Value{Type: tensor.I64, Shape: tensor.Shape{1, 1, n}, Int: at}
		a := graph.Attributes{"kernel_shape": []int64{2}, "strides": []int64{2}}
		return one("MaxUnpool", a, 1, drawFloats(t, "x", 1, 1, n), places).feed(t, 1), trial{}
	},
	"LayerNormalization": drawLayerNorm("LayerNormalization"),
	"RMSNormalization":   drawLayerNorm("RMSNormalization"),
	"InstanceNormalization": func(t *rapid.T) (*single, trial) {
		x := drawShape(t, rapid.IntRange(3, 4).Draw(t, "rank"))
		x[2]++
		a := graph.Attributes{"epsilon": 0.01}
		return one("InstanceNormalization", a, 1, drawFloats(t, "x", x...), drawFloats(t, "scale", x[1]), drawFloats(t, "bias", x[1])), trial{tolerance: 1e-4}
	},
	"GroupNormalization": func(t *rapid.T) (*single, trial) {
		groups := rapid.Int64Range(1, 3).Draw(t, "groups")
		x := drawShape(t, rapid.IntRange(3, 4).Draw(t, "rank"))
		x[1] = groups * rapid.Int64Range(1, 3).Draw(t, "channels")
		x[2]++
		a := graph.Attributes{"epsilon": 0.01, "num_groups": groups}
		return one("GroupNormalization", a, 1, drawFloats(t, "x", x...), drawFloats(t, "scale", x[1]), drawFloats(t, "bias", x[1])), trial{tolerance: 1e-4}
	},
	"LpNormalization": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		a := graph.Attributes{"axis": drawAxis(t, len(s)), "p": rapid.Int64Range(1, 2).Draw(t, "p")}
		return one("LpNormalization", a, 1, drawFloats(t, "x", s...)), trial{tolerance: 1e-4}
	},
	"LRN": func(t *rapid.T) (*single, trial) {
		a := graph.Attributes{"size": rapid.Int64Range(1, 4).Draw(t, "size"), "alpha": 0.5, "beta": 0.75, "bias": 1.5}
		return one("LRN", a, 1, drawFloats(t, "x", drawShape(t, 4)...)), trial{}
	},
	"Where": func(t *rapid.T) (*single, trial) {
		a, b := drawBroadcast(t)
		c := joined(a, b)
		c = c[rapid.IntRange(0, len(c)).Draw(t, "drop of c"):]
		return one("Where", nil, 1, truths(t, "c", c...), drawFloats(t, "a", a...), drawFloats(t, "b", b...)).feed(t, 0), trial{}
	},
	"Gather": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		a := drawAxis(t, len(s))
		n := s[axis(a, len(s))]
		at := wholes(t, "at", -n, n-1, drawShape(t, rapid.IntRange(0, 2).Draw(t, "rank of at"))...)
		return one("Gather", graph.Attributes{"axis": a}, 1, drawFloats(t, "x", s...), at).feed(t, 1), trial{}
	},
	"Gather rows": func(t *rapid.T) (*single, trial) { // blocks that are cut
		at := wholes(t, "at", 0, 2, rapid.Int64Range(1, 5).Draw(t, "count"))
		return one("Gather", nil, 1, drawFloats(t, "x", 3, rapid.Int64Range(100, 200).Draw(t, "width")), at).feed(t, 1), trial{}
	},
	"GatherElements": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		a := rapid.IntRange(0, len(s)-1).Draw(t, "axis")
		c := slices.Clone(s)
		for i := range c {
			c[i] = rapid.Int64Range(1, s[i]).Draw(t, "length")
		}
		c[a] = rapid.Int64Range(1, 4).Draw(t, "count")
		at := wholes(t, "at", -s[a], s[a]-1, c...)
		return one("GatherElements", graph.Attributes{"axis": int64(a)}, 1, drawFloats(t, "x", s...), at).feed(t, 1), trial{}
	},
	"GatherND": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		at := drawTuples(t, s)
		return one("GatherND", nil, 1, drawFloats(t, "x", s...), at).feed(t, 1), trial{}
	},
	"GatherND batch": func(t *rapid.T) (*single, trial) {
		s := drawShape(t, 3)
		at := wholes(t, "at", -s[1], s[1]-1, s[0], rapid.Int64Range(1, 3).Draw(t, "count"), 1)
		return one("GatherND", graph.Attributes{"batch_dims": int64(1)}, 1, drawFloats(t, "x", s...), at).feed(t, 1), trial{}
	},
	"ScatterElements": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		a := rapid.IntRange(0, len(s)-1).Draw(t, "axis")
		c := slices.Clone(s)
		c[a] = rapid.Int64Range(1, s[a]).Draw(t, "count")
		at := wholes(t, "at", -s[a], s[a]-1, c...)
		attributes := graph.Attributes{"axis": int64(a), "reduction": rapid.SampledFrom([]string{"none", "add"}).Draw(t, "reduction")}
		return one("ScatterElements", attributes, 1, drawFloats(t, "x", s...), at, drawFloats(t, "updates", c...)).feed(t, 1), trial{}
	},
	"ScatterND": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		at := drawTuples(t, s)
		depth := at.Shape[len(at.Shape)-1]
		updates := slices.Concat(at.Shape[:len(at.Shape)-1], s[depth:])
		attributes := graph.Attributes{"reduction": rapid.SampledFrom([]string{"none", "add"}).Draw(t, "reduction")}
		return one("ScatterND", attributes, 1, drawFloats(t, "x", s...), at, drawFloats(t, "updates", updates...)).feed(t, 1), trial{}
	},
	"Resize": drawResize,
	"Cast": func(t *rapid.T) (*single, trial) {
		return one("Cast", graph.Attributes{"to": int64(11)}, 1, drawFloats(t, "x", drawRank(t, 0)...)), trial{}
	},
	"Tile": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 0)
		times := make([]int64, len(s))
		for i := range times {
			times[i] = rapid.Int64Range(1, 3).Draw(t, "times")
		}
		return one("Tile", nil, 1, drawFloats(t, "x", s...), intsOf(times...)), trial{}
	},
	"DepthToSpace": func(t *rapid.T) (*single, trial) {
		s, b := drawShape(t, 4), rapid.Int64Range(1, 3).Draw(t, "block")
		s[1] *= b * b
		a := graph.Attributes{"blocksize": b, "mode": rapid.SampledFrom([]string{"DCR", "CRD"}).Draw(t, "mode")}
		return one("DepthToSpace", a, 1, drawFloats(t, "x", s...)), trial{}
	},
	"SpaceToDepth": func(t *rapid.T) (*single, trial) {
		s, b := drawShape(t, 4), rapid.Int64Range(1, 3).Draw(t, "block")
		s[2], s[3] = s[2]*b, s[3]*b
		return one("SpaceToDepth", graph.Attributes{"blocksize": b}, 1, drawFloats(t, "x", s...)), trial{}
	},
	"Trilu": func(t *rapid.T) (*single, trial) {
		k := &graph.Value{Type: tensor.I64, Shape: tensor.Shape{}, Int: []int64{rapid.Int64Range(-6, 6).Draw(t, "k")}}
		return one("Trilu", graph.Attributes{"upper": flag(t, "upper")}, 1, drawFloats(t, "x", drawRank(t, 2)...), k).feed(t, 1), trial{}
	},
	"CenterCropPad": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		return one("CenterCropPad", nil, 1, drawFloats(t, "x", s...), intsOf(drawShape(t, len(s))...)), trial{}
	},
	"ReverseSequence": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 2)
		time := rapid.Int64Range(0, 1).Draw(t, "time")
		l := wholes(t, "length", 0, s[time], s[1-time])
		a := graph.Attributes{"time_axis": time, "batch_axis": 1 - time}
		return one("ReverseSequence", a, 1, drawFloats(t, "x", s...), l).feed(t, 1), trial{}
	},
	"Compress": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		a := drawAxis(t, len(s))
		return one("Compress", graph.Attributes{"axis": a}, 1, drawFloats(t, "x", s...), truths(t, "keep", s[axis(a, len(s))])), trial{}
	},
	"Max":  drawSeveral("Max"),
	"Min":  drawSeveral("Min"),
	"Sum":  drawSeveral("Sum"),
	"Mean": drawSeveral("Mean"),
	"CumSum": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		a := &graph.Value{Type: tensor.I64, Shape: tensor.Shape{}, Int: []int64{drawAxis(t, len(s))}}
		attributes := graph.Attributes{"exclusive": flag(t, "exclusive"), "reverse": flag(t, "reverse")}
		return one("CumSum", attributes, 1, drawFloats(t, "x", s...), a).feed(t, 1), trial{}
	},
	"TopK": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		a := drawAxis(t, len(s))
		k := rapid.Int64Range(1, s[axis(a, len(s))]).Draw(t, "k")
		return one("TopK", graph.Attributes{"axis": a, "largest": flag(t, "largest")}, 2, drawFloats(t, "x", s...), intsOf(k)), trial{}
	},
	"ArgMax": drawArg("ArgMax"), "ArgMin": drawArg("ArgMin"),
	"Hardmax": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		return one("Hardmax", graph.Attributes{"axis": drawAxis(t, len(s))}, 1, drawFloats(t, "x", s...)), trial{noStep: true}
	},
	"OneHot": func(t *rapid.T) (*single, trial) {
		at := wholes(t, "at", -5, 5, drawRank(t, 0)...)
		return one("OneHot", graph.Attributes{"axis": drawAxis(t, len(at.Shape)+1)}, 1, at, intsOf(rapid.Int64Range(1, 4).Draw(t, "depth")), drawFloats(t, "values", 2)).feed(t, 0), trial{noStep: true}
	},
	"Einsum": func(t *rapid.T) (*single, trial) {
		length := map[rune]int64{}
		for _, name := range "bijkl" {
			length[name] = rapid.Int64Range(1, 4).Draw(t, "length of "+string(name))
		}
		equation := rapid.SampledFrom([]string{
			"ij,jk->ik", "ij,jk", "bij,bjk->bik", "bij,bkj->ikb", "ij->ji", "ij->i", "ij->", "ii->i", "bii->b", "i,j->ij", "i,i->", "bijk,bilk->bjl",
			"ij,kl->i", "ii,ij->j", "ij,ij->ij", "bij,j->bi", "ijk->ki",
		}).Draw(t, "equation")
		var operands []*graph.Value
		for _, c := range equation + "-" {
			switch {
			case c == '-':
				s := one("Einsum", graph.Attributes{"equation": equation}, 1, append(operands, drawTerm(t, equation, len(operands), length))...)
				return s, trial{}
			case c == ',':
				operands = append(operands, drawTerm(t, equation, len(operands), length))
			}
		}
		panic("no end")
	},
	"NegativeLogLikelihoodLoss": drawLoss("NegativeLogLikelihoodLoss"),
	"SoftmaxCrossEntropyLoss":   drawLoss("SoftmaxCrossEntropyLoss"),
	"RNN":                       drawRecurrent("RNN", 1, []string{"Relu", "Sigmoid", "Softsign", "LeakyRelu", "Elu", "Softplus", "ScaledTanh", "Affine", "HardSigmoid"}),
	"GRU":                       drawRecurrent("GRU", 3, nil),
	"LSTM":                      drawRecurrent("LSTM", 4, nil),
	"If":                        drawIf,
	"MeanVarianceNormalization": func(t *rapid.T) (*single, trial) {
		x := drawShape(t, 4)
		x[0] += 2
		return one("MeanVarianceNormalization", graph.Attributes{"axes": []int64{0, 2, 3}}, 1, drawFloats(t, "x", x...)), trial{noStep: true, tolerance: 1e-4}
	},
}

// drawTerm draws operand i of an equation.
func drawTerm(t *rapid.T, equation string, i int, length map[rune]int64) *graph.Value {
	var s tensor.Shape
	k := 0
	for _, c := range equation {
		switch {
		case c == '-':
			return drawFloats(t, "operand", s...)
		case c == ',':
			k++
		case k == i:
			s = append(s, length[c])
		}
	}
	return drawFloats(t, "operand", s...)
}

// drawSpace returns an image of some axes, and windows that fit it.
func drawSpace(t *rapid.T, lo, hi int, most int64) drawnWindow {
	var w drawnWindow
	var strides, dilations, before, after []int64
	for range rapid.IntRange(lo, hi).Draw(t, "axes") {
		k := rapid.Int64Range(1, 2).Draw(t, "kernel")
		d := rapid.Int64Range(1, 2).Draw(t, "dilation")
		b, a := rapid.Int64Range(0, k-1).Draw(t, "before"), rapid.Int64Range(0, k-1).Draw(t, "after")
		w.image = append(w.image, rapid.Int64Range(max(1, d*(k-1)+1), most).Draw(t, "image"))
		w.kernel = append(w.kernel, k)
		strides, dilations = append(strides, rapid.Int64Range(1, 2).Draw(t, "stride")), append(dilations, d)
		before, after = append(before, b), append(after, a)
	}
	w.attributes = graph.Attributes{"kernel_shape": []int64(w.kernel), "strides": strides, "dilations": dilations, "pads": append(before, after...)}
	return w
}

func drawPool3(op string) func(t *rapid.T) (*single, trial) {
	return func(t *rapid.T) (*single, trial) {
		w := drawSpace(t, 3, 3, 4)
		if op == "AveragePool" {
			w.attributes["count_include_pad"] = flag(t, "count_include_pad")
			delete(w.attributes, "dilations")
		}
		return one(op, w.attributes, 1, drawFloats(t, "x", append(tensor.Shape{1, 2}, w.image...)...)), trial{}
	}
}

func drawConvTranspose(lo, hi int) func(t *rapid.T) (*single, trial) {
	return func(t *rapid.T) (*single, trial) {
		w := drawSpace(t, lo, hi, 4)
		strides := w.attributes["strides"].([]int64)
		if rapid.Bool().Draw(t, "output_padding") {
			var extra []int64
			for _, s := range strides {
				extra = append(extra, rapid.Int64Range(0, s-1).Draw(t, "extra"))
			}
			w.attributes["output_padding"] = extra
		}
		if hi < 3 && rapid.IntRange(0, 3).Draw(t, "auto_pad") == 0 {
			delete(w.attributes, "pads")
			delete(w.attributes, "output_padding")
			w.attributes["auto_pad"] = rapid.SampledFrom([]string{"SAME_UPPER", "SAME_LOWER"}).Draw(t, "which")
		}
		groups := rapid.Int64Range(1, 2).Draw(t, "groups")
		in, out := groups*rapid.Int64Range(1, 2).Draw(t, "in"), rapid.Int64Range(1, 2).Draw(t, "out")
		w.attributes["group"] = groups
		x := append(tensor.Shape{rapid.Int64Range(1, 2).Draw(t, "batch"), in}, w.image...)
		operands := []*graph.Value{drawFloats(t, "x", x...), drawFloats(t, "w", append(tensor.Shape{in, out}, w.kernel...)...)}
		if rapid.Bool().Draw(t, "bias") {
			operands = append(operands, drawFloats(t, "bias", groups*out))
		}
		return follow(t, one("ConvTranspose", w.attributes, 1, operands...)), trial{}
	}
}

func drawLayerNorm(op string) func(t *rapid.T) (*single, trial) {
	return func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		s[len(s)-1] += 2
		a := drawAxis(t, len(s))
		scale := slices.Clone(s[axis(a, len(s)):])
		for i := range scale {
			if rapid.IntRange(0, 4).Draw(t, "broadcast") == 0 {
				scale[i] = 1
			}
		}
		operands := []*graph.Value{drawFloats(t, "x", s...), drawFloats(t, "scale", scale...)}
		if op == "LayerNormalization" && rapid.Bool().Draw(t, "bias") {
			operands = append(operands, drawFloats(t, "bias", s[axis(a, len(s)):]...))
		}
		return one(op, graph.Attributes{"axis": a, "epsilon": 0.01}, 1, operands...), trial{tolerance: 1e-4}
	}
}

// drawTuples draws indices of one or more axes of s. In GatherND and ScatterND the last
// axis is that of a tuple.
func drawTuples(t *rapid.T, s tensor.Shape) *graph.Value {
	depth := rapid.Int64Range(1, int64(len(s))).Draw(t, "depth")
	at := &graph.Value{Type: tensor.I64, Shape: append(drawShape(t, rapid.IntRange(0, 2).Draw(t, "rank of at")), depth)}
	for i := range product(at.Shape) {
		n := s[int64(i)%depth]
		at.Int = append(at.Int, rapid.Int64Range(-n, n-1).Draw(t, "index"))
	}
	return at
}

func drawSeveral(op string) func(t *rapid.T) (*single, trial) {
	return func(t *rapid.T) (*single, trial) {
		a, b := drawBroadcast(t)
		var operands []*graph.Value
		for k := range rapid.IntRange(1, 3).Draw(t, "operands") {
			v := drawFloats(t, "x", [][]int64{a, b, a}[k]...)
			for i := range v.Float {
				v.Float[i] = float64(float32(v.Float[i] + 0.013*float64(k))) // no two are equal
			}
			operands = append(operands, v)
		}
		return one(op, nil, 1, operands...), trial{}
	}
}

func drawArg(op string) func(t *rapid.T) (*single, trial) {
	return func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		a := graph.Attributes{"axis": drawAxis(t, len(s)), "keepdims": flag(t, "keepdims"), "select_last_index": flag(t, "last")}
		return one(op, a, 1, drawFloats(t, "x", s...)), trial{noStep: true}
	}
}

func drawResize(t *rapid.T) (*single, trial) {
	s := drawShape(t, rapid.IntRange(1, 3).Draw(t, "rank"))
	a := graph.Attributes{
		"mode":         rapid.SampledFrom([]string{"nearest", "linear", "cubic"}).Draw(t, "mode"),
		"nearest_mode": rapid.SampledFrom([]string{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}).Draw(t, "nearest_mode"),
		"coordinate_transformation_mode": rapid.SampledFrom([]string{
			"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize",
		}).Draw(t, "coordinates"),
		"antialias": flag(t, "antialias"), "exclude_outside": flag(t, "exclude_outside"), "extrapolation_value": 0.5,
	}
	var region *graph.Value
	if a["coordinate_transformation_mode"] == "tf_crop_and_resize" {
		a["exclude_outside"] = int64(0)
		region = &graph.Value{Type: tensor.F32, Shape: tensor.Shape{int64(2 * len(s))}}
		for range s {
			region.Float = append(region.Float, rapid.SampledFrom([]float64{0, 0.25, -0.5}).Draw(t, "from"))
		}
		for range s {
			region.Float = append(region.Float, rapid.SampledFrom([]float64{1, 0.75, 1.5}).Draw(t, "to"))
		}
	}
	sizes := make([]int64, len(s))
	scales := &graph.Value{Type: tensor.F32, Shape: tensor.Shape{int64(len(s))}}
	for i, n := range s {
		sizes[i] = rapid.Int64Range(1, 6).Draw(t, "size")
		scales.Float = append(scales.Float, float64(float32((float64(sizes[i])+0.25)/float64(n))))
	}
	operands := []*graph.Value{drawFloats(t, "x", s...), region, nil, intsOf(sizes...)}
	if rapid.Bool().Draw(t, "scales") {
		operands = []*graph.Value{operands[0], region, scales}
	} else {
		a["keep_aspect_ratio_policy"] = rapid.SampledFrom([]string{"stretch", "not_larger", "not_smaller"}).Draw(t, "policy")
	}
	single := one("Resize", a, 1, operands...)
	single.fixed = []string{"w1", "w2"}
	return single, trial{trainable: []string{"w0"}}
}

func drawLoss(op string) func(t *rapid.T) (*single, trial) {
	return func(t *rapid.T) (*single, trial) {
		x := drawShape(t, rapid.IntRange(2, 4).Draw(t, "rank"))
		labels := wholes(t, "label", 0, x[1]-1, slices.Concat(x[:1], x[2:])...)
		a := graph.Attributes{"reduction": rapid.SampledFrom([]string{"none", "sum", "mean"}).Draw(t, "reduction")}
		if rapid.Bool().Draw(t, "ignores") {
			a["ignore_index"] = int64(-1)
			for i := 1; i < len(labels.Int); i++ { // one counts: the mean of none is NaN
				if rapid.Bool().Draw(t, "ignored") {
					labels.Int[i] = -1
				}
			}
		}
		operands := []*graph.Value{drawFloats(t, "x", x...), labels}
		if rapid.Bool().Draw(t, "weight") {
			operands = append(operands, positive(drawFloats(t, "weight", x[1])))
		}
		s := one(op, a, 1, operands...)
		s.fixed = []string{"w2"}
		return s.feed(t, 1), trial{trainable: []string{"w0"}}
	}
}

// drawRecurrent draws RNN, GRU or LSTM with all that they can have; others are
// activations that only some have.
func drawRecurrent(op string, gates int64, others []string) func(t *rapid.T) (*single, trial) {
	return func(t *rapid.T) (*single, trial) {
		time, batch := rapid.Int64Range(1, 3).Draw(t, "time"), rapid.Int64Range(1, 2).Draw(t, "batch")
		width, size := rapid.Int64Range(1, 3).Draw(t, "width"), rapid.Int64Range(1, 3).Draw(t, "size")
		direction := rapid.SampledFrom([]string{"forward", "reverse", "bidirectional"}).Draw(t, "direction")
		dirs := int64(1)
		if direction == "bidirectional" {
			dirs = 2
		}
		layout := flag(t, "layout")
		a := graph.Attributes{"hidden_size": size, "direction": direction, "layout": layout}
		switch op {
		case "GRU":
			a["linear_before_reset"] = flag(t, "linear_before_reset")
		case "LSTM":
			a["input_forget"] = flag(t, "input_forget")
		}
		if others != nil && rapid.Bool().Draw(t, "activation") {
			f := rapid.SampledFrom(others).Draw(t, "f")
			a["activations"] = slices.Repeat([]string{f}, int(dirs))
		}
		x, state := tensor.Shape{time, batch, width}, tensor.Shape{dirs, batch, size}
		if layout == 1 {
			x, state = tensor.Shape{batch, time, width}, tensor.Shape{batch, dirs, size}
		}
		operands := []*graph.Value{
			drawFloats(t, "x", x...), drawFloats(t, "w", dirs, gates*size, width), drawFloats(t, "r", dirs, gates*size, size), nil, nil, nil,
		}
		if rapid.Bool().Draw(t, "bias") {
			operands[3] = drawFloats(t, "bias", dirs, 2*gates*size)
		}
		lengths := rapid.Bool().Draw(t, "lengths")
		if lengths {
			operands[4] = wholes(t, "length", 0, time, batch)
			operands[4].Type = tensor.I32
		}
		if rapid.Bool().Draw(t, "state") {
			operands[5] = drawFloats(t, "h0", state...)
		}
		outputs := 2
		if op == "LSTM" {
			outputs = 3
			operands = append(operands, nil, nil)
			if rapid.Bool().Draw(t, "cell") {
				operands[6] = drawFloats(t, "c0", state...)
			}
			if rapid.Bool().Draw(t, "peepholes") {
				operands[7] = drawFloats(t, "peepholes", dirs, 3*size)
			}
		}
		s := one(op, a, outputs, operands...)
		if lengths {
			s.feed(t, 4)
		}
		return s, trial{tolerance: 1e-4}
	}
}

// drawIf draws an If whose condition is data, with branches that read values from
// around them, one of them by way of another If.
func drawIf(t *rapid.T) (*single, trial) {
	x := drawFloats(t, "x", drawRank(t, 1)...)
	c, d := truths(t, "c"), truths(t, "d")
	c.Shape, d.Shape = tensor.Shape{}, tensor.Shape{}
	node := func(op, name string, out string, in ...string) *graph.Node {
		return &graph.Node{Name: name, Op: op, Inputs: in, Outputs: []string{out}, Attributes: graph.Attributes{}}
	}
	twice := &graph.Graph{Name: "twice", Outputs: []string{"t2"}, Nodes: []*graph.Node{node("Add", "a", "t1", "h", "h"), node("Relu", "b", "t2", "t1")}}
	plain := &graph.Graph{Name: "plain", Outputs: []string{"w1"}}
	inner := &graph.Node{
		Name: "inner", Op: "If", Inputs: []string{"w2"}, Outputs: []string{"i"},
		Attributes: graph.Attributes{"then_branch": twice, "else_branch": plain},
	}
	yes := &graph.Graph{Name: "yes", Outputs: []string{"y"}, Nodes: []*graph.Node{inner, node("Sigmoid", "s", "y", "i")}}
	no := &graph.Graph{Name: "no", Outputs: []string{"n"}, Nodes: []*graph.Node{node("Neg", "n", "n", "h")}}
	s := one("If", graph.Attributes{"then_branch": yes, "else_branch": no}, 1, c)
	s.operands["w1"], s.operands["w2"] = x, d
	s.order = append(s.order, "w1", "w2")
	s.fixed = []string{"w1"}
	s.place["w0"], s.place["w1"], s.place["w2"] = given, given, given
	s.nodes = append([]*graph.Node{node("Tanh", "before", "h", "w1")}, s.nodes...)
	s.nodes = append(s.nodes, node("Add", "after", "z", "y0", "h"))
	s.outputs = []string{"z"}
	return s, trial{noStep: true}
}
