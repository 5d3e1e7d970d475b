package compact

import (
	"fmt"
	"slices"

	"ropewalk/graph"
	"ropewalk/tensor"
)

// A Layer is a Conv, Gemm or MatMul of a network, as far as it matters for size.
type Layer struct {
	// Weight and Bias name its tensors; Bias is "" if there is none.
	Weight, Bias string
	// Outer says that the first axis of the weight counts the outputs, as in Conv;
	// otherwise the last one does.
	Outer bool
	// Plane is the picture that neighbouring columns of a row make: the taps of a
	// kernel, or the pixels of a channel that was flattened. Zero if there is none.
	Plane [2]int
	// From is the index of the layer whose outputs alone make the inputs, unit by
	// unit, or -1; nothing else reads them. Each output makes Repeat inputs of a row.
	From, Repeat int
}

// unitwise are operators that treat each channel alone and alike, so that channels
// can change places.
var unitwise = []string{
	"Relu", "LeakyRelu", "Clip", "Sigmoid", "Tanh", "Elu", "HardSwish", "HardSigmoid", "Identity", "Dropout",
	"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Flatten", "Reshape", "Squeeze",
}

// Layers finds the layers of a network, in the order of computation. A network
// whose inputs have no known shape, or that cannot be specialized, is an error.
func Layers(g *graph.Graph) ([]Layer, error) {
	shapes := map[string]tensor.Shape{}
	for _, in := range g.Inputs {
		s := make(tensor.Shape, len(in.Shape))
		for i, d := range in.Shape {
			s[i] = d.Size
			if d.Size < 0 {
				s[i] = 1
			}
		}
		shapes[in.Name] = s
	}
	s, err := graph.Specialize(g, shapes, nil)
	if err != nil {
		return nil, fmt.Errorf("the shapes of the layers: %w", err)
	}
	f := &finder{s: s, made: map[string]*graph.Node{}, readers: map[string]int{}, layer: map[*graph.Node]int{}}
	for _, n := range s.Graph.Nodes {
		for _, name := range n.Inputs {
			f.readers[name]++
		}
		for _, name := range n.Outputs {
			f.made[name] = n
		}
	}
	for _, name := range s.Graph.Outputs {
		f.readers[name]++
	}
	for _, n := range s.Graph.Nodes {
		if l, ok := f.find(n); ok {
			f.layer[n] = len(f.layers)
			f.layers = append(f.layers, l)
		}
	}
	return f.layers, nil
}

type finder struct {
	s       *graph.Specialized
	made    map[string]*graph.Node
	readers map[string]int
	layer   map[*graph.Node]int
	layers  []Layer
}

func (f *finder) isWeight(name string) bool {
	return name != "" && f.s.Graph.Weights.Lookup(name) != nil
}

// find returns the layer that a node is, if it is one.
func (f *finder) find(n *graph.Node) (Layer, bool) {
	if n.Domain != "" || !slices.Contains([]string{"Conv", "Gemm", "MatMul"}, n.Op) || len(n.Inputs) < 2 || !f.isWeight(n.Inputs[1]) {
		return Layer{}, false
	}
	l := Layer{Weight: n.Inputs[1], From: -1, Outer: n.Op == "Conv"}
	shape := f.s.Types[l.Weight].Shape
	if n.Op == "Gemm" {
		t, _ := n.Attributes["transB"].(int64)
		l.Outer = t != 0
		if a, _ := n.Attributes["transA"].(int64); a != 0 {
			return Layer{}, false
		}
	}
	if n.Op == "Conv" && len(shape) == 4 {
		l.Plane = [2]int{int(shape[2]), int(shape[3])}
	}
	if len(n.Inputs) > 2 && f.isWeight(n.Inputs[2]) {
		l.Bias = n.Inputs[2]
	}
	if f.tied(n) || len(shape) < 2 {
		return l, true
	}
	f.trace(&l, n.Inputs[0], shape)
	return l, true
}

// tied says that rows and columns of a weight are tied in other ways than to the layers
// before and behind: it has groups, something else reads it, or what it makes are tokens,
// whose units are not on the second axis.
func (f *finder) tied(n *graph.Node) bool {
	group, _ := n.Attributes["group"].(int64)
	return group > 1 || f.readers[n.Inputs[1]] != 1 || n.Op != "Conv" && len(f.s.Types[n.Outputs[0]].Shape) != 2
}

// movable says that the units of a layer can change places, as far as its own tensors go.
func (f *finder) movable(n *graph.Node, l *Layer) bool {
	if len(n.Inputs) > 2 && n.Inputs[2] != "" && (l.Bias == "" || f.readers[l.Bias] != 1) {
		return false
	}
	return !f.tied(n)
}

// keepsUnits says that what stands in a place of the second axis stays together, and in order.
func (f *finder) keepsUnits(n *graph.Node) bool {
	from, to := f.s.Types[n.Inputs[0]].Shape, f.s.Types[n.Outputs[0]].Shape
	if len(from) < 2 || len(to) < 2 || from[0] != to[0] {
		return false
	}
	return from[1] == to[1] || len(to) == 2
}

// trace follows the input of a layer back to the layer that makes it.
func (f *finder) trace(l *Layer, name string, shape tensor.Shape) {
	columns := shape[len(shape)-1]
	if !l.Outer {
		columns = shape[0]
	} else if len(shape) > 2 {
		columns = shape[1]
	}
	alone := f.readers[name] == 1
	for {
		t := f.s.Types[name].Shape
		if l.Plane == [2]int{} && len(t) == 4 && t[1]*t[2]*t[3] == columns {
			l.Plane = [2]int{int(t[2]), int(t[3])}
		}
		n := f.made[name]
		if n == nil {
			return
		}
		if i, ok := f.layer[n]; ok {
			from := f.s.Types[f.layers[i].Weight].Shape
			units := from[len(from)-1]
			if f.layers[i].Outer {
				units = from[0]
			}
			if alone && f.movable(n, &f.layers[i]) && columns%units == 0 {
				l.From, l.Repeat = i, int(columns/units)
			}
			return
		}
		if n.Domain != "" || !slices.Contains(unitwise, n.Op) || !f.keepsUnits(n) {
			return
		}
		name = n.Inputs[0]
		alone = alone && f.readers[name] == 1
	}
}
