package native

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/tensor"
)

// drawShape returns a shape of the given rank with axes from 1 to 5.
func drawShape(t *rapid.T, rank int) tensor.Shape {
	s := make(tensor.Shape, rank)
	for i := range s {
		s[i] = rapid.Int64Range(1, 5).Draw(t, "axis")
	}
	return s
}

// drawRank returns a shape of any small rank from lo on.
func drawRank(t *rapid.T, lo int) tensor.Shape {
	return drawShape(t, rapid.IntRange(lo, 4).Draw(t, "rank"))
}

// cases draw a graph for each operator.
var cases = map[string]func(t *rapid.T) (*single, trial){
	"Transpose": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 0)
		perm := make([]int64, len(s))
		for i := range perm {
			perm[i] = int64(i)
		}
		perm = rapid.Permutation(perm).Draw(t, "perm")
		a := graph.Attributes{"perm": perm}
		if rapid.Bool().Draw(t, "default") {
			a = nil
		}
		return one("Transpose", a, 1, drawFloats(t, "x", s...)), trial{}
	},
	"Concat": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		axis := rapid.IntRange(0, len(s)-1).Draw(t, "axis")
		var xs []*graph.Value
		for range rapid.IntRange(1, 3).Draw(t, "operands") {
			c := append(tensor.Shape(nil), s...)
			c[axis] = rapid.Int64Range(1, 3).Draw(t, "length")
			xs = append(xs, drawFloats(t, "x", c...))
		}
		return one("Concat", graph.Attributes{"axis": int64(axis)}, 1, xs...), trial{}
	},
	"Slice": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		var starts, ends, axes, steps []int64
		for i, n := range s {
			if rapid.Bool().Draw(t, "slice it") {
				starts = append(starts, rapid.Int64Range(-n, n-1).Draw(t, "start"))
				step := rapid.SampledFrom([]int64{1, 2, -1, -2}).Draw(t, "step")
				end := int64(1 << 40)
				if step < 0 {
					end = -end
				}
				ends, axes, steps = append(ends, end), append(axes, int64(i)), append(steps, step)
			}
		}
		return one("Slice", nil, 1, drawFloats(t, "x", s...), intsOf(starts...), intsOf(ends...), intsOf(axes...), intsOf(steps...)), trial{}
	},
	"Split": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		axis := rapid.IntRange(0, len(s)-1).Draw(t, "axis")
		a, b := rapid.Int64Range(1, 3).Draw(t, "a"), rapid.Int64Range(1, 3).Draw(t, "b")
		s[axis] = a + b
		return one("Split", graph.Attributes{"axis": int64(axis)}, 2, drawFloats(t, "x", s...), intsOf(a, b)), trial{}
	},
	"Expand": func(t *rapid.T) (*single, trial) {
		a, b := drawBroadcast(t)
		return one("Expand", nil, 1, drawFloats(t, "x", a...), intsOf(b...)), trial{}
	},
	"Pad": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		mode := rapid.SampledFrom([]string{"constant", "reflect", "edge"}).Draw(t, "mode")
		pads := make([]int64, 2*len(s))
		for i := range pads {
			hi := int64(2)
			if mode == "reflect" {
				hi = min(hi, s[i%len(s)]-1)
			}
			pads[i] = rapid.Int64Range(0, hi).Draw(t, "pad")
		}
		return one("Pad", graph.Attributes{"mode": mode}, 1, drawFloats(t, "x", s...), intsOf(pads...)), trial{}
	},
	"Softmax":    drawSoftmax("Softmax"),
	"LogSoftmax": drawSoftmax("LogSoftmax"),
	"Gemm": func(t *rapid.T) (*single, trial) {
		m, n, k := rapid.Int64Range(1, 9).Draw(t, "m"), rapid.Int64Range(1, 9).Draw(t, "n"), rapid.Int64Range(1, 9).Draw(t, "k")
		ta, tb := rapid.Int64Range(0, 1).Draw(t, "transA"), rapid.Int64Range(0, 1).Draw(t, "transB")
		a, b := []int64{m, k}, []int64{k, n}
		if ta == 1 {
			a = []int64{k, m}
		}
		if tb == 1 {
			b = []int64{n, k}
		}
		attributes := graph.Attributes{"transA": ta, "transB": tb}
		if rapid.Bool().Draw(t, "scaled") {
			attributes["alpha"], attributes["beta"] = 0.5, -2.0
		}
		operands := []*graph.Value{drawFloats(t, "a", a...), drawFloats(t, "b", b...)}
		switch rapid.IntRange(0, 4).Draw(t, "c") {
		case 0:
			operands = append(operands, drawFloats(t, "c", n))
		case 1:
			operands = append(operands, drawFloats(t, "c", m, n))
		case 2:
			operands = append(operands, drawFloats(t, "c", m, 1))
		case 3:
			operands = append(operands, drawFloats(t, "c"))
		}
		s := one("Gemm", attributes, 1, operands...)
		return follow(t, s), trial{}
	},
	"MatMul": func(t *rapid.T) (*single, trial) {
		a, b := drawBroadcast(t)
		if len(a)+len(b) > 5 {
			a, b = a[:len(a)/2], a[:len(a)/2]
		}
		m, n, k := rapid.Int64Range(1, 5).Draw(t, "m"), rapid.Int64Range(1, 5).Draw(t, "n"), rapid.Int64Range(1, 5).Draw(t, "k")
		a, b = append(append(tensor.Shape(nil), a...), m, k), append(append(tensor.Shape(nil), b...), k, n)
		switch rapid.IntRange(0, 5).Draw(t, "vectors") {
		case 0:
			a = tensor.Shape{k}
		case 1:
			b = tensor.Shape{k}
		}
		return one("MatMul", nil, 1, drawFloats(t, "a", a...), drawFloats(t, "b", b...)), trial{}
	},
	"Conv": func(t *rapid.T) (*single, trial) {
		groups := rapid.Int64Range(1, 3).Draw(t, "groups")
		in, out := groups*rapid.Int64Range(1, 3).Draw(t, "in"), groups*rapid.Int64Range(1, 3).Draw(t, "out")
		w := drawWindow(t)
		x := append(tensor.Shape{rapid.Int64Range(1, 3).Draw(t, "batch"), in}, w.image...)
		weights := append(tensor.Shape{out, in / groups}, w.kernel...)
		w.attributes["group"] = groups
		operands := []*graph.Value{drawFloats(t, "x", x...), drawFloats(t, "w", weights...)}
		if rapid.Bool().Draw(t, "bias") {
			operands = append(operands, drawFloats(t, "bias", out))
		}
		return follow(t, one("Conv", w.attributes, 1, operands...)), trial{}
	},
	"MaxPool":           drawPool("MaxPool"),
	"AveragePool":       drawPool("AveragePool"),
	"GlobalMaxPool":     drawGlobalPool("GlobalMaxPool"),
	"GlobalAveragePool": drawGlobalPool("GlobalAveragePool"),
	"BatchNormalization": func(t *rapid.T) (*single, trial) {
		x := drawShape(t, rapid.IntRange(2, 4).Draw(t, "rank"))
		x[0]++ // a batch of one image of one pixel has no variance
		c := x[1]
		variance := drawFloats(t, "variance", c)
		for i := range variance.Float {
			variance.Float[i] = float64(float32(0.5 + variance.Float[i]*variance.Float[i]))
		}
		s := one("BatchNormalization", graph.Attributes{"epsilon": 0.01}, 1, drawFloats(t, "x", x...), drawFloats(t, "gamma", c),
			drawFloats(t, "beta", c), drawFloats(t, "mean", c), variance)
		return follow(t, s), trial{trainable: []string{"w0", "w1", "w2"}, training: true, tolerance: 1e-4}
	},
}

// more are cases in which a condition is made by a node, and shapes that another kernel takes.
var more = map[string]func(t *rapid.T) (*single, trial){
	"Conv of few pixels": func(t *rapid.T) (*single, trial) {
		w := drawWindow(t)
		channels := 64 / product(w.kernel)
		x := append(tensor.Shape{1, int64(channels) + 1}, w.image...)
		for i := range w.image {
			x[2+i] = min(x[2+i], w.kernel[i]+1)
			if !strings.Contains(fmt.Sprint(w.attributes["auto_pad"]), "SAME") {
				x[2+i] = max(x[2+i], (w.kernel[i]-1)*w.attributes["dilations"].([]int64)[i]+1)
			}
		}
		return follow(t, one("Conv", w.attributes, 1, drawFloats(t, "x", x...), drawFloats(t, "w", append(tensor.Shape{3, x[1]}, w.kernel...)...),
			drawFloats(t, "bias", 3))), trial{}
	},
	"Where made": func(t *rapid.T) (*single, trial) {
		a, b := drawBroadcast(t)
		s := one("Greater", nil, 1, drawFloats(t, "p", a...), drawFloats(t, "q", b...))
		s.operands["w2"], s.operands["w3"] = drawFloats(t, "a", a...), drawFloats(t, "b", b...)
		s.order = append(s.order, "w2", "w3")
		s.nodes = append(s.nodes, &graph.Node{Name: "where", Op: "Where", Inputs: []string{"y0", "w2", "w3"}, Outputs: []string{"z"}})
		s.outputs = []string{"z"}
		return s, trial{trainable: []string{"w2", "w3"}}
	},
	"If made": func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 0)
		c := one("Greater", nil, 1, drawFloats(t, "p"), drawFloats(t, "q"))
		c.operands["w2"] = drawFloats(t, "a", s...)
		c.order = append(c.order, "w2")
		branch := func(name string, ops ...string) *graph.Graph {
			g := &graph.Graph{Name: name}
			last := "v"
			for i, op := range ops {
				g.Nodes = append(g.Nodes, &graph.Node{Name: fmt.Sprint(name, i), Op: op, Inputs: []string{last}, Outputs: []string{fmt.Sprint(name, "_", i)}})
				last = g.Nodes[i].Outputs[0]
			}
			g.Outputs = []string{last}
			return g
		}
		c.nodes = append(c.nodes,
			&graph.Node{Name: "v", Op: "Neg", Inputs: []string{"w2"}, Outputs: []string{"v"}},
			&graph.Node{Name: "if", Op: "If", Inputs: []string{"y0"}, Outputs: []string{"z"}, Attributes: graph.Attributes{
				"then_branch": branch("yes", "Relu", "Abs", "Neg"), "else_branch": branch("no", "Tanh"),
			}})
		c.outputs = []string{"z"}
		return c, trial{noStep: true}
	},
}

func drawSoftmax(op string) func(t *rapid.T) (*single, trial) {
	return func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 1)
		a := rapid.Int64Range(-int64(len(s)), int64(len(s))-1).Draw(t, "axis")
		return one(op, graph.Attributes{"axis": a}, 1, drawFloats(t, "x", s...)), trial{}
	}
}

type drawnWindow struct {
	image, kernel tensor.Shape
	attributes    graph.Attributes
}

// drawWindow returns an image of one or two axes, and windows that fit it.
func drawWindow(t *rapid.T) drawnWindow {
	var w drawnWindow
	var strides, dilations, before, after []int64
	for range rapid.IntRange(1, 2).Draw(t, "axes") {
		k := rapid.Int64Range(1, 3).Draw(t, "kernel")
		d := rapid.Int64Range(1, 2).Draw(t, "dilation")
		b, a := rapid.Int64Range(0, k-1).Draw(t, "before"), rapid.Int64Range(0, k-1).Draw(t, "after")
		n := rapid.Int64Range(max(1, d*(k-1)+1-b-a), 8).Draw(t, "image")
		w.image, w.kernel = append(w.image, n), append(w.kernel, k)
		strides, dilations = append(strides, rapid.Int64Range(1, 3).Draw(t, "stride")), append(dilations, d)
		before, after = append(before, b), append(after, a)
	}
	w.attributes = graph.Attributes{"kernel_shape": []int64(w.kernel), "strides": strides, "dilations": dilations, "pads": append(before, after...)}
	if rapid.IntRange(0, 4).Draw(t, "auto_pad") == 0 {
		delete(w.attributes, "pads")
		w.attributes["auto_pad"] = rapid.SampledFrom([]string{"SAME_UPPER", "SAME_LOWER"}).Draw(t, "which")
	}
	return w
}

func drawPool(op string) func(t *rapid.T) (*single, trial) {
	return func(t *rapid.T) (*single, trial) {
		w := drawWindow(t)
		if op == "AveragePool" {
			delete(w.attributes, "dilations")
			w.attributes["count_include_pad"] = rapid.Int64Range(0, 1).Draw(t, "count_include_pad")
		}
		x := append(tensor.Shape{rapid.Int64Range(1, 3).Draw(t, "batch"), rapid.Int64Range(1, 3).Draw(t, "channels")}, w.image...)
		return one(op, w.attributes, 1, drawFloats(t, "x", x...)), trial{}
	}
}

func drawGlobalPool(op string) func(t *rapid.T) (*single, trial) {
	return func(t *rapid.T) (*single, trial) {
		return one(op, nil, 1, drawFloats(t, "x", drawShape(t, rapid.IntRange(3, 4).Draw(t, "rank"))...)), trial{}
	}
}

// Activations that are spelt out, behind a convolution whose products and sums are
// folded, are what they were; and the plan has one operator for each.
func TestSpelling(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"HardSwish", "Conv Mul Add, HardSwish Add Clip Div, Mul"},
		{"Swish", "Conv Mul Add, Swish Sigmoid, Mul"},
		{"Relu", "Conv Mul Add Relu, Mul"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				c := rapid.Int64Range(2, 4).Draw(t, "channels")
				s := one("Conv", nil, 1, drawFloats(t, "x", 2, 2, 5, 5), drawFloats(t, "w", c, 2, 3, 3))
				add := func(op, out string, in ...string) {
					s.nodes = append(s.nodes, &graph.Node{Name: out, Op: op, Inputs: in, Outputs: []string{out}})
				}
				weight := func(name string, v *graph.Value) string {
					s.operands[name], s.order = v, append(s.order, name)
					return name
				}
				add("Mul", "a", weight("k0", scalarOf(1.5)), "y0")
				add("Add", "b", "a", weight("k1", drawFloats(t, "shift", 1, c, 1, 1)))
				switch tt.name {
				case "HardSwish":
					add("Add", "c", "b", weight("three", scalarOf(3)))
					add("Clip", "d", "c", weight("zero", scalarOf(0)), weight("six", scalarOf(6)))
					add("Mul", "e", "b", "d")
					add("Div", "f", "e", "six")
				case "Swish":
					add("Mul", "c", "b", weight("one", scalarOf(1)))
					add("Sigmoid", "d", "c")
					add("Mul", "f", "b", "d")
				default:
					add("Relu", "f", "b")
				}
				add("Mul", "z", "f", weight("k2", scalarOf(-0.5)))
				s.outputs = []string{"z"}
				s.place["w0"] = summed
				s.check(t, trial{trainable: []string{"w0", "w1", "k1"}})
				p, err := compile(s.graph(t), nil)
				if err != nil {
					t.Fatalf("%v", err)
				}
				defer p.Close()
				if _, err := p.Forward([]engine.Array{{Shape: tensor.Shape{}, Float: []float32{0.25}}}); err != nil {
					t.Fatalf("%v", err)
				}
				var got []string
				for _, n := range p.plans[0].nodes[1:] {
					op := n.Op
					if len(n.with) > 0 && n.Op == "Mul" {
						op = tt.name
					}
					got = append(got, strings.Join(append([]string{op}, n.with...), " "))
				}
				if have := strings.Join(got, ", "); have != tt.want {
					t.Fatalf("the plan is %q, want %q", have, tt.want)
				}
			})
		})
	}
}

// follow puts a Relu or a Clip behind the graph, or nothing.
func follow(t *rapid.T, s *single) *single {
	n := &graph.Node{Name: "follower", Inputs: s.outputs, Outputs: []string{"z"}}
	switch rapid.IntRange(0, 3).Draw(t, "follower") {
	case 0:
		n.Op = "Relu"
	case 1:
		n.Op = "Relu"
		s.nodes = append(s.nodes, &graph.Node{Name: "again", Op: "Add", Inputs: []string{s.outputs[0], "quarter"}, Outputs: []string{"again"}})
		n.Inputs = []string{"again"}
	default:
		return s
	}
	s.nodes = append(s.nodes, n)
	s.outputs = n.Outputs
	return s
}

// drawPoint draws a function of each element; positive ones get operands above 0.
func drawPoint(op string, positive bool) func(t *rapid.T) (*single, trial) {
	return func(t *rapid.T) (*single, trial) {
		x := drawFloats(t, "x", drawRank(t, 0)...)
		for i := range x.Float {
			switch {
			case positive:
				x.Float[i] = x.Float[i]*x.Float[i] + 0.5
			case op == "Acosh":
				x.Float[i] = x.Float[i]*x.Float[i] + 1.25
			case op == "Asin" || op == "Acos" || op == "Atanh": // from -1 to 1, and a quarter may be added
				x.Float[i] *= 0.6
			case op == "Tan":
			default:
				x.Float[i] *= 3
			}
			x.Float[i] = float64(float32(x.Float[i]))
		}
		a := graph.Attributes{}
		for _, name := range parameters[op] {
			if rapid.Bool().Draw(t, name) {
				a[name] = rapid.SampledFrom([]float64{0.25, 0.75, 1.5}).Draw(t, "value")
			}
		}
		if op == "Gelu" && rapid.Bool().Draw(t, "tanh") {
			a["approximate"] = "tanh"
		}
		operands := []*graph.Value{x}
		if op == "Clip" {
			operands = append(operands, scalarOf(-0.51), scalarOf(0.7))
		}
		return one(op, a, 1, operands...), trial{trainable: []string{"w0"}}
	}
}

func scalarOf(x float64) *graph.Value {
	return &graph.Value{Type: tensor.F32, Shape: tensor.Shape{}, Float: []float64{float64(float32(x))}}
}

// parameters are the attributes that are numbers.
var parameters = map[string][]string{
	"LeakyRelu": {"alpha"}, "Elu": {"alpha"}, "Celu": {"alpha"}, "Selu": {"alpha", "gamma"}, "HardSigmoid": {"alpha", "beta"},
	"Swish": {"alpha"}, "ThresholdedRelu": {"alpha"}, "Shrink": {"lambd", "bias"},
}

func TestOperators(t *testing.T) {
	for op := range pointRules {
		cases[op] = drawPoint(op, op == "Log" || op == "Sqrt")
	}
	for _, op := range []string{
		"Relu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Swish", "Gelu", "Exp", "Erf", "Clip", "LeakyRelu", "Elu", "Selu", "Celu",
		"ThresholdedRelu", "Shrink",
	} {
		cases[op] = drawPoint(op, false)
	}
	for op := range reduceRules {
		cases[op] = drawReduce(op)
	}
	cases["ReduceLogSumExp"] = drawReduce("ReduceLogSumExp")
	maps.Copy(cases, layerCases)
	maps.Copy(cases, more)
	for op, draw := range cases {
		t.Run(op, func(t *testing.T) {
			name, _, _ := strings.Cut(op, " ")
			needsOracle(t, name)
			rapid.Check(t, func(t *rapid.T) {
				s, tr := draw(t)
				if tr.trainable == nil {
					tr.trainable = s.trainable()
				}
				s.drawPlaces(t)
				s.check(t, tr)
			})
		})
	}
}

func drawReduce(op string) func(t *rapid.T) (*single, trial) {
	return func(t *rapid.T) (*single, trial) {
		s := drawRank(t, 0)
		x := drawFloats(t, "x", s...)
		if op == "ReduceLogSum" {
			for i := range x.Float {
				x.Float[i] = float64(float32(2 + x.Float[i]))
			}
		}
		var axes []int64
		for i := range s {
			if rapid.Bool().Draw(t, "along") {
				axes = append(axes, int64(i)-int64(len(s)))
			}
		}
		a := graph.Attributes{"keepdims": rapid.Int64Range(0, 1).Draw(t, "keepdims")}
		if axes == nil && rapid.Bool().Draw(t, "no axes") {
			a["noop_with_empty_axes"] = int64(1)
			return one(op, a, 1, x), trial{}
		}
		return one(op, a, 1, x, intsOf(axes...)), trial{}
	}
}
