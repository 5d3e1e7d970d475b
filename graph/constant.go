package graph

import (
	"fmt"

	"ropewalk/internal/format/onnx"
	"ropewalk/tensor"
)

// constantNode defines the value of a Constant.
func (imp *importer) constantNode(b *block, n *onnx.Node, attributes []onnx.Attribute) error {
	if len(attributes) != 1 {
		return imp.corrupt(n.At, "Constant %q has %d attributes, want 1", n.Outputs[0], len(attributes))
	}
	name, a := n.Outputs[0], attributes[0]
	if name == "" {
		return nil
	}
	if a.Tensor != nil {
		return imp.bind(b, name, a.Tensor.Name, n.At)
	}
	var c onnx.Constant
	switch v := a.Value.(type) {
	case onnx.Constant:
		c = v
	case string:
		c = onnx.Constant{Text: []string{v}, Shape: tensor.Shape{}}
	case []string:
		c = onnx.Constant{Text: v, Shape: tensor.Shape{int64(len(v))}}
	default:
		t, err := arrayOf(v)
		if err != nil {
			return imp.corrupt(n.At, "Constant %q: attribute %s: %s", name, a.Name, err)
		}
		global, err := imp.define(b, name, n.At)
		if err != nil {
			return err
		}
		t.Name = global
		return imp.add(t, n.At)
	}
	return imp.constant(b, name, c, n.At)
}

// add adds a tensor to the weights.
func (imp *importer) add(t *tensor.Tensor, at int64) error {
	if imp.addedSize += t.Size() + 1; imp.addedSize > maxAdded {
		return imp.unsupported(at, "attributes and numbers that become tensors take more than %d bytes", maxAdded)
	}
	imp.added = append(imp.added, t)
	imp.addedNames[t.Name] = t
	return nil
}

// constant defines a constant.
func (imp *importer) constant(b *block, name string, c onnx.Constant, at int64) error {
	switch {
	case c.Dense != nil:
		return imp.bind(b, name, c.Dense.Name, at)
	case c.Text != nil:
		return imp.text(b, name, c, at)
	case c.Values != nil:
		return imp.sparse(b, name, c, at)
	}
	// An empty message is no value: whoever reads it finds that out.
	return nil
}

// text keeps strings in a Constant node: package tensor has no strings.
func (imp *importer) text(b *block, name string, c onnx.Constant, at int64) error {
	global, err := imp.define(b, name, at)
	if err != nil {
		return err
	}
	n := &Node{Op: "Constant", Outputs: []string{global}, Attributes: Attributes{"value_strings": c.Text}, Opset: b.opsets[""]}
	switch {
	case len(c.Shape) == 0:
		n.Attributes = Attributes{"value_string": c.Text[0]}
	case len(c.Shape) > 1:
		n.Problem = fmt.Sprintf("a constant of strings has %d axes, want at most 1", len(c.Shape))
	}
	return imp.emit(b, n, global, at)
}

// emit puts a node that is made up into b.
func (imp *importer) emit(b *block, n *Node, name string, at int64) error {
	if imp.count++; imp.count > maxNodes {
		return imp.unsupported(at, "the model has more than %d nodes in the canonical form", maxNodes)
	}
	n.Name = imp.nodes.unique(name)
	b.out = append(b.out, n)
	return nil
}

// sparse makes a dense value of a sparse tensor: zeros, into which the values are
// scattered.
func (imp *importer) sparse(b *block, name string, c onnx.Constant, at int64) error {
	elems, err := c.Shape.Elems()
	nnz := c.Values.Elems()
	if err != nil || nnz > elems || len(c.Values.Shape) != 1 || c.Indices.DType != tensor.I64 {
		return imp.corrupt(at, "sparse tensor %q of %v has values %v and indices %s %v", name, c.Shape, c.Values.Shape, c.Indices.DType, c.Indices.Shape)
	}
	linear := c.Indices.Shape.Equal(tensor.Shape{nnz})
	if !linear && !c.Indices.Shape.Equal(tensor.Shape{nnz, int64(len(c.Shape))}) {
		return imp.corrupt(at, "sparse tensor %q of %v has indices %v for %d values", name, c.Shape, c.Indices.Shape, nnz)
	}
	r := &rewriter{imp: imp, b: b, at: at, n: &Node{Name: b.own(name), Opset: b.opsets[""]}}
	global, err := imp.define(b, name, at)
	if err != nil {
		return err
	}
	shape := c.Shape
	if linear {
		shape = tensor.Shape{elems}
	}
	zero := &tensor.Tensor{Name: global + ".zero", DType: c.Values.DType, Shape: tensor.Shape{1}, Data: tensor.Bytes(make([]byte, (c.Values.DType.Bits()+7)/8))}
	zeros := r.emit("zeros", "ConstantOfShape", Attributes{"value": zero}, r.ints("shape", shape...))
	last := &Node{Op: "ScatterND", Inputs: []string{zeros, c.Indices.Name, c.Values.Name}, Outputs: []string{global}, Opset: r.n.Opset}
	if linear {
		flat := r.emit("flat", "ScatterElements", nil, zeros, c.Indices.Name, c.Values.Name)
		last = &Node{Op: "Reshape", Inputs: []string{flat, r.ints("dims", c.Shape...)}, Outputs: []string{global}, Opset: r.n.Opset}
	}
	if r.err != nil {
		return r.err
	}
	return imp.emit(b, last, global, at)
}
