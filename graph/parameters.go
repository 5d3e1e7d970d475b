package graph

import (
	"fmt"

	"ropewalk/tensor"
)

// Parameters returns the names of the weights that training changes, in the order
// of g.Weights: float tensors that are operands of layers. These are the kernels and
// biases of Conv, ConvTranspose, Gemm, MatMul, Einsum, LSTM, GRU and RNN, scale and
// bias of normalizations, slopes of PRelu, tables of Gather, and constants with more
// than one element that are added to data, multiplied with it or joined to it. A
// weight on its way through other operators (transposed, divided by its norm) counts
// as well. Numbers from which only shapes follow are none.
func (g *Graph) Parameters() []string {
	return newUsage(g).names(parameterUse)
}

// Buffers returns the names of the running means and variances of
// BatchNormalization, in the order of g.Weights. Training changes them, but not by
// a gradient.
func (g *Graph) Buffers() []string {
	return newUsage(g).names(bufferUse)
}

// BatchStatistics returns the names of the BatchNormalization nodes, those of
// subgraphs included, that normalize by the statistics of the batch at inference,
// too: training_mode is 1. What such a network says of an example depends on the
// others in its batch.
func (g *Graph) BatchStatistics() []string {
	var names []string
	g.each(func(g *Graph) {
		for _, n := range g.Nodes {
			if on, _ := n.Attributes["training_mode"].(int64); n.Op == "BatchNormalization" && on != 0 {
				names = append(names, n.Name)
			}
		}
	})
	return names
}

// WithWeights returns g with the tensors of set in the place of those of the same
// name. A float tensor is rounded to the type that it had in g. A name that g lacks
// is an error, and so is another shape, or another type that is no float.
func (g *Graph) WithWeights(set *tensor.Set) (*Graph, error) {
	changed := make([]*tensor.Tensor, 0, set.Len())
	for _, t := range set.All() {
		old := g.Weights.Lookup(t.Name)
		switch {
		case old == nil:
			return nil, fmt.Errorf("the graph has no weight %q", t.Name)
		case !old.Shape.Equal(t.Shape):
			return nil, fmt.Errorf("weight %q is %v, in the graph %v", t.Name, t.Shape, old.Shape)
		case old.DType == t.DType:
		case old.DType.Numeric() && t.DType.Numeric():
			t = tensor.Cast(t, old.DType)
		default:
			return nil, fmt.Errorf("weight %q is %s, in the graph %s", t.Name, t.DType, old.DType)
		}
		changed = append(changed, t)
	}
	weights, err := tensor.Overlay(g.Weights, changed...)
	if err != nil {
		return nil, err
	}
	out := *g
	out.Weights = weights
	return &out, nil
}

// A use is what a weight is to the network.
type use int

const (
	noUse use = iota
	parameterUse
	bufferUse
)

// layerOperands are the operands of layers that are parameters whatever they are.
var layerOperands = map[string][]int{
	"Conv":                  {1, 2},
	"ConvTranspose":         {1, 2},
	"Gemm":                  {0, 1, 2},
	"MatMul":                {0, 1},
	"Einsum":                {0, 1, 2, 3},
	"BatchNormalization":    {1, 2},
	"LayerNormalization":    {1, 2},
	"InstanceNormalization": {1, 2},
	"GroupNormalization":    {1, 2},
	"RMSNormalization":      {1},
	"LSTM":                  {1, 2, 3, 7},
	"GRU":                   {1, 2, 3},
	"RNN":                   {1, 2, 3},
	"PRelu":                 {1},
	"Gather":                {0},
}

// mixingOperators make a parameter of an operand with more than one element.
var mixingOperators = map[string]bool{"Add": true, "Sub": true, "Mul": true, "Div": true, "Concat": true}

// movingOperators leave the numbers of their first operand as they are.
var movingOperators = map[string]bool{
	"Identity": true, "Transpose": true, "Reshape": true, "Squeeze": true, "Unsqueeze": true,
	"Flatten": true, "Expand": true, "Cast": true, "CastLike": true,
}

// A usage finds out what the weights of a graph are for.
type usage struct {
	g     *Graph
	maker map[string]*Node
	data  map[string]bool // values that follow from the numbers in the inputs
	use   map[string]use
	seen  map[visit]bool
}

// A visit is a value that was looked at, as a parameter by itself or as one of
// several that a parameter is computed from.
type visit struct {
	name  string
	moved bool
	use   use
}

func newUsage(g *Graph) *usage {
	u := &usage{g: g, maker: map[string]*Node{}, data: map[string]bool{}, use: map[string]use{}, seen: map[visit]bool{}}
	u.follow(g)
	g.each(func(g *Graph) {
		for _, n := range g.Nodes {
			u.node(n)
		}
	})
	return u
}

func (u *usage) names(want use) []string {
	var names []string
	for _, t := range u.g.Weights.All() {
		if u.use[t.Name] == want {
			names = append(names, t.Name)
		}
	}
	return names
}

// follow finds the values that follow from the inputs of a graph.
func (u *usage) follow(g *Graph) {
	for _, in := range g.Inputs {
		u.data[in.Name] = true
	}
	for _, n := range g.Nodes {
		for _, in := range n.subgraphs() {
			u.follow(in)
		}
		is := false
		if n.Op != "Shape" && n.Op != "Size" {
			operands(n, func(name string) { is = is || u.data[name] })
		}
		for _, name := range n.Outputs {
			u.maker[name] = n
			u.data[name] = u.data[name] || is && name != ""
		}
	}
}

// node notes what the operands of a node are for.
func (u *usage) node(n *Node) {
	works := false
	for _, name := range n.Outputs {
		works = works || u.data[name]
	}
	if !works || n.Domain != "" {
		return
	}
	if n.Op == "BatchNormalization" {
		for _, i := range []int{3, 4} {
			if i < len(n.Inputs) {
				u.note(n.Inputs[i], true, bufferUse)
			}
		}
	}
	for _, i := range layerOperands[n.Op] {
		if i < len(n.Inputs) {
			u.note(n.Inputs[i], true, parameterUse)
		}
	}
	if mixingOperators[n.Op] {
		for _, name := range n.Inputs {
			u.note(name, false, parameterUse)
		}
	}
}

// note notes a use of all weights that a value is computed from. moved says that
// the value is a weight as it is: then a single number counts, too.
func (u *usage) note(name string, moved bool, as use) {
	todo := []visit{{name, moved, as}}
	for len(todo) > 0 {
		v := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if v.name == "" || u.data[v.name] || u.seen[v] {
			continue
		}
		u.seen[v] = true
		n := u.maker[v.name]
		if n == nil {
			t := u.g.Weights.Lookup(v.name)
			if t != nil && t.DType.Numeric() && (v.moved || t.Elems() > 1) && u.use[v.name] == noUse {
				u.use[v.name] = as
			}
			continue
		}
		switch {
		case n.Op == "Shape" || n.Op == "Size" || n.Op == "DequantizeLinear" || n.Op == "ConstantOfShape":
		case movingOperators[n.Op] && len(n.Inputs) > 0:
			todo = append(todo, visit{n.Inputs[0], v.moved, as})
		default:
			for _, name := range n.Inputs {
				todo = append(todo, visit{name, false, as})
			}
		}
	}
}
