package onnx

import (
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// A node is the part of a NodeProto from which names are made.
type node struct {
	scope                    *scope
	index                    int
	name, op, domain, output field
	constant                 bool // the operator Constant of ONNX
}

// node walks over a NodeProto. Its name may come after its attributes, so it
// looks twice: first for the names, then into the attributes.
func (w *walker) node(in, index int, s *scope) error {
	n := &node{scope: s, index: index}
	attributes := false
	msg := w.enclosures[in].body
	err := w.r.fields(msg, func(f field) error {
		switch f.num {
		case nodeName:
			n.name = f
		case nodeOp:
			n.op = f
		case nodeDomain:
			n.domain = f
		case nodeOutput:
			if n.output.body.size() == 0 {
				n.output = f
			}
		case nodeAttribute:
			attributes = true
		default:
			return nil
		}
		return w.r.want(f, protowire.BytesType, "field of a node")
	})
	if err != nil || !attributes {
		return err
	}
	if n.constant, err = w.isConstant(n); err != nil {
		return err
	}
	return w.r.fields(msg, func(f field) error {
		if f.num != nodeAttribute {
			return nil
		}
		return w.inside(f, in, "attribute", func(in int) error { return w.attribute(in, n) })
	})
}

// isConstant reports whether the node is a Constant of ONNX.
func (w *walker) isConstant(n *node) (bool, error) {
	if is, err := w.r.is(n.op, "Constant"); !is || err != nil || n.domain.body.size() == 0 {
		return is, err
	}
	return w.r.is(n.domain, "ai.onnx")
}

// label names an attribute of a node: by the name of the node, or by its
// operator and place, and that of the attribute. An index of -1 is none.
func (w *walker) label(n *node, attribute field, index int) (string, error) {
	s, err := w.r.text(n.name)
	if err != nil {
		return "", err
	}
	if s == "" {
		if s, err = w.r.text(n.op); err != nil {
			return "", err
		}
		if s == "" {
			s = "node"
		}
		s += "_" + strconv.Itoa(n.index)
	}
	a, err := w.r.text(attribute)
	s += "." + a
	if index >= 0 {
		s += "[" + strconv.Itoa(index) + "]"
	}
	return s, err
}

// attribute walks over an AttributeProto. Like node it looks twice.
func (w *walker) attribute(in int, n *node) error {
	var name field
	var tensors, numbers bool
	msg := w.enclosures[in].body
	err := w.r.fields(msg, func(f field) error {
		switch f.num {
		case attributeName:
			name = f
			return w.r.want(f, protowire.BytesType, "name of an attribute")
		case attributeTensor, attributeGraph, attributeTensors, attributeGraphs, attributeSparseTensor, attributeSparseTensors:
			tensors = true
		case attributeFloats, attributeInts:
			numbers = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	// The value of a Constant is called as the output of the node.
	value := func(own string) (string, error) {
		s, err := w.r.text(n.output)
		if err != nil || s != "" {
			return s, err
		}
		if own != "" {
			return own, nil
		}
		return w.label(n, name, -1)
	}
	if numbers && n.constant {
		if err := w.list(in, n, name, value); err != nil {
			return err
		}
	}
	if !tensors {
		return nil
	}
	var one, graph, sparse bool
	several, graphs, sparses := 0, 0, 0
	return w.r.fields(msg, func(f field) error {
		index := -1
		next := func(i *int) { index, *i = *i, *i+1 }
		switch f.num {
		case attributeTensor:
			err = w.r.once(f, &one, "attribute t")
		case attributeSparseTensor:
			err = w.r.once(f, &sparse, "attribute sparse_tensor")
		case attributeGraph:
			err = w.r.once(f, &graph, "attribute g")
		case attributeTensors:
			next(&several)
		case attributeSparseTensors:
			next(&sparses)
		case attributeGraphs:
			next(&graphs)
		default:
			return nil
		}
		if err != nil {
			return err
		}
		label := func() (string, error) { return w.label(n, name, index) }
		named := func(string) (string, error) { return label() }
		if n.constant && index < 0 {
			named = value
		}
		return w.inside(f, in, "attribute", func(in int) error {
			switch f.num {
			case attributeTensor, attributeTensors:
				return w.tensor(in, n.scope, named)
			case attributeSparseTensor, attributeSparseTensors:
				return w.sparse(in, n.scope, named)
			}
			return w.graph(in, &scope{n.scope, n.scope.deeper(), label})
		})
	})
}
