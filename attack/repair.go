package attack

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"ropewalk/graph"
	"ropewalk/tensor"
)

// repair has the graph fit weights of other shapes, where it says numbers of neurons
// itself: the groups of a depthwise convolution, and the shapes that Reshape gives.
// What it does not know of is found out by whoever computes the graph.
func (r *run) repair(before *graph.Graph) error {
	g := *r.Graph
	g.Nodes = slices.Clone(g.Nodes)
	r.Graph = &g
	for i, n := range g.Nodes {
		if n.Op == "Conv" || n.Op == "ConvTranspose" {
			r.regroup(i, n, before)
		}
	}
	was, err := types(before)
	if err != nil {
		return err
	}
	for _, n := range g.Nodes {
		if n.Op == "Reshape" && len(n.Inputs) == 2 {
			if err := r.reshape(n, was); err != nil {
				return fmt.Errorf("node %q: %w", n.Name, err)
			}
		}
	}
	return nil
}

// regroup gives a convolution of each channel by itself as many groups as it has
// channels.
func (r *run) regroup(i int, n *graph.Node, before *graph.Graph) {
	groups, _ := n.Attributes["group"].(int64)
	if groups <= 1 || len(n.Inputs) < 2 {
		return
	}
	a, b := before.Weights.Lookup(n.Inputs[1]), r.Graph.Weights.Lookup(n.Inputs[1])
	if a == nil || len(a.Shape) < 2 || a.Shape[0] == b.Shape[0] || a.Shape[0] == 0 || n.Op == "Conv" && a.Shape[1] != 1 || n.Op != "Conv" && a.Shape[0] != groups {
		return
	}
	if groups*b.Shape[0]%a.Shape[0] != 0 {
		return
	}
	c := *n
	c.Attributes = maps.Clone(n.Attributes)
	c.Attributes["group"] = groups * b.Shape[0] / a.Shape[0]
	r.Graph.Nodes[i] = &c
	r.regraphed = true
}

// types returns the types of the values of a graph.
func types(g *graph.Graph) (map[string]graph.Type, error) {
	s, err := graph.Specialize(g, someShapes(g), nil)
	if err != nil {
		return nil, err
	}
	return s.Types, nil
}

// someShapes returns a shape for each input.
func someShapes(g *graph.Graph) map[string]tensor.Shape {
	shapes := map[string]tensor.Shape{}
	for _, in := range g.Inputs {
		if in.Shape == nil {
			continue
		}
		s := make(tensor.Shape, len(in.Shape))
		for i, d := range in.Shape {
			switch {
			case d.Size >= 0:
				s[i] = d.Size
			case i == 0:
				s[i] = 1
			default:
				s[i] = 64
			}
		}
		shapes[in.Name] = s
	}
	return shapes
}

// reshape changes the constant that a Reshape takes its shape from, if what it
// reshapes has another one now.
func (r *run) reshape(n *graph.Node, was map[string]graph.Type) error {
	oldIn, ok := was[n.Inputs[0]]
	oldOut, also := was[n.Outputs[0]]
	if !ok || !also {
		return nil
	}
	part := *r.Graph
	part.Outputs = []string{n.Inputs[0]}
	now, err := types(&part)
	if err != nil {
		return err
	}
	newIn := now[n.Inputs[0]]
	if newIn.Shape.Equal(oldIn.Shape) || len(newIn.Shape) != len(oldIn.Shape) {
		return nil
	}
	for a := range newIn.Shape {
		x, y := oldIn.Shape[a], newIn.Shape[a]
		if x == y {
			continue
		}
		k := axisWithin(oldIn.Shape, oldOut.Shape, a)
		if k < 0 {
			return fmt.Errorf("a shape of %v cannot be had from %v", oldOut.Shape, newIn.Shape)
		}
		if c, at := r.constant(n.Inputs[1], k, len(oldOut.Shape)); c != nil {
			if err := r.multiply(c, at, y, x); err != nil {
				return err
			}
		}
	}
	return nil
}

// constant returns the tensor, and where in it, that number k of n numbers comes from;
// nil if from none, as that which follows from the input.
func (r *run) constant(name string, k, n int) (*tensor.Tensor, int) {
	const far = 64
	for range far {
		if t := r.Graph.Weights.Lookup(name); t != nil {
			if (t.DType == tensor.I64 || t.DType == tensor.I32) && t.Elems() == int64(n) {
				return t, k
			}
			return nil, 0
		}
		i := slices.IndexFunc(r.Graph.Nodes, func(m *graph.Node) bool { return slices.Contains(m.Outputs, name) })
		if i < 0 {
			return nil, 0
		}
		m := r.Graph.Nodes[i]
		switch {
		case len(m.Inputs) == 0:
			return nil, 0
		case m.Op == "Concat" && len(m.Inputs) == n: // one number each
			name, k, n = m.Inputs[k], 0, 1
		case m.Op == "Cast", m.Op == "Identity", m.Op == "Unsqueeze", m.Op == "Squeeze", m.Op == "Reshape":
			name = m.Inputs[0]
		default:
			return nil, 0
		}
	}
	return nil, 0
}

// multiply has a number of a constant be y/x times what it was. 0, which takes the axis
// of the input, and -1, which takes what is left, stay.
func (r *run) multiply(c *tensor.Tensor, at int, y, x int64) error {
	raw, err := c.Bytes()
	if err != nil {
		return err
	}
	raw = slices.Clone(raw)
	le := binary.LittleEndian
	length := int64(0)
	if c.DType == tensor.I64 {
		length = int64(le.Uint64(raw[8*at:]))
	} else {
		length = int64(int32(le.Uint32(raw[4*at:])))
	}
	if length <= 0 {
		return nil
	}
	if length > math.MaxInt32 || y > math.MaxInt32 || length*y%x != 0 || length*y/x > math.MaxInt32 {
		return fmt.Errorf("an axis of %d cannot be had where there are %d neurons instead of %d", length, y, x)
	}
	length = length * y / x
	if c.DType == tensor.I64 {
		le.PutUint64(raw[8*at:], uint64(length))
	} else {
		le.PutUint32(raw[4*at:], uint32(length))
	}
	t := &tensor.Tensor{Name: c.Name, DType: c.DType, Shape: c.Shape, Data: tensor.Bytes(raw)}
	if r.Set.Lookup(c.Name) != nil {
		return r.change(t)
	}
	r.regraphed = true
	weights, err := tensor.Overlay(r.Graph.Weights, t)
	if err != nil {
		return err
	}
	g := *r.Graph
	g.Weights = weights
	r.Graph = &g
	return nil
}

// axisWithin returns the axis of a reshaped value in which axis a begins.
func axisWithin(in, out tensor.Shape, a int) int {
	before := int64(1)
	for _, n := range in[:a] {
		before *= n
	}
	sum := int64(1)
	for k, n := range out {
		if sum *= n; before < sum {
			return k
		}
	}
	return -1
}
