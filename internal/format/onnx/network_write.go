package onnx

import (
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// Write writes the network as a model. Tensors are written as raw_data, some at
// a time. A model of more than [MaxModel] bytes is refused with a
// [*layout.UnsupportedError] before anything is written. It ignores the places
// and paths in the network, which are those of where it came from. Functions,
// and attributes that refer to theirs, are refused.
func (n *Network) Write(w io.Writer) error {
	if len(n.Functions) > 0 {
		return errors.New("onnx: functions are not written; put their nodes in the place of the calls")
	}
	var e encoding
	if err := e.network(n); err != nil {
		return err
	}
	if e.size > MaxModel {
		return &layout.UnsupportedError{
			File:   n.Producer,
			Offset: -1,
			Reason: fmt.Sprintf("the model would have %d bytes, and protobuf allows %d", e.size, int64(MaxModel)),
		}
	}
	buf := make([]byte, chunk)
	for _, p := range e.parts {
		if _, err := w.Write(p.bytes); err != nil {
			return err
		}
		if p.data == nil {
			continue
		}
		if err := copyRange(w, p.data, 0, p.data.Size(), buf); err != nil {
			return err
		}
	}
	return nil
}

// An encoding is a message that is being put together: bytes, and between them
// the values of tensors, which are read when it is written. The lengths of
// messages come before their bytes, so a message is complete before it goes
// into another.
type encoding struct {
	parts []part
	size  int64
}

// A part is some bytes, and then data, if that is not nil.
type part struct {
	bytes []byte
	data  tensor.Data
}

// tail returns the bytes that the next are appended to.
func (e *encoding) tail() *[]byte {
	if n := len(e.parts); n == 0 || e.parts[n-1].data != nil {
		e.parts = append(e.parts, part{})
	}
	return &e.parts[len(e.parts)-1].bytes
}

func (e *encoding) append(f func(b []byte) []byte) {
	t := e.tail()
	before := len(*t)
	*t = f(*t)
	e.size += int64(len(*t) - before)
}

func (e *encoding) int(num protowire.Number, v int64) {
	e.append(func(b []byte) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
	})
}

func (e *encoding) float(num protowire.Number, v float64) {
	e.append(func(b []byte) []byte {
		return protowire.AppendFixed32(protowire.AppendTag(b, num, protowire.Fixed32Type), math.Float32bits(float32(v)))
	})
}

func (e *encoding) string(num protowire.Number, s string) {
	e.append(func(b []byte) []byte {
		return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
	})
}

// text is string for a field that is left out if it is empty.
func (e *encoding) text(num protowire.Number, s string) {
	if s != "" {
		e.string(num, s)
	}
}

// head appends the tag and length of size bytes that are to follow.
func (e *encoding) head(num protowire.Number, size int64) {
	e.append(func(b []byte) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(size))
	})
}

// message appends what build puts together.
func (e *encoding) message(num protowire.Number, build func(*encoding) error) error {
	var in encoding
	if err := build(&in); err != nil {
		return err
	}
	e.head(num, in.size)
	for i, p := range in.parts {
		if i == 0 {
			t := e.tail()
			*t = append(*t, p.bytes...)
			e.parts[len(e.parts)-1].data = p.data
			continue
		}
		e.parts = append(e.parts, p)
	}
	e.size += in.size
	return nil
}

func (e *encoding) network(n *Network) error {
	e.int(modelIRVersion, n.IRVersion)
	e.text(modelProducer, n.Producer)
	if n.Graph != nil {
		if err := e.graph(modelGraph, n.Graph); err != nil {
			return err
		}
	}
	if err := e.opsets(modelOpset, n.Opsets); err != nil {
		return err
	}
	return nil
}

func (e *encoding) opsets(num protowire.Number, os []Opset) error {
	for _, o := range os {
		err := e.message(num, func(e *encoding) error {
			e.string(opsetDomain, o.Domain)
			e.int(opsetVersion, o.Version)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *encoding) nodes(num protowire.Number, nodes []*Node) error {
	for _, n := range nodes {
		if err := e.message(num, func(e *encoding) error { return e.node(n) }); err != nil {
			return fmt.Errorf("node %q: %w", n.Name, err)
		}
	}
	return nil
}

func (e *encoding) node(n *Node) error {
	for _, s := range n.Inputs {
		e.string(nodeInput, s)
	}
	for _, s := range n.Outputs {
		e.string(nodeOutput, s)
	}
	e.text(nodeName, n.Name)
	e.string(nodeOp, n.Op)
	for _, a := range n.Attributes {
		if err := e.attribute(nodeAttribute, a); err != nil {
			return fmt.Errorf("attribute %q: %w", a.Name, err)
		}
	}
	e.text(nodeDomain, n.Domain)
	e.text(nodeOverload, n.Overload)
	return nil
}

func (e *encoding) graph(num protowire.Number, g *Graph) error {
	return e.message(num, func(e *encoding) error {
		if err := e.nodes(graphNode, g.Nodes); err != nil {
			return err
		}
		e.string(graphName, g.Name)
		for _, i := range g.Initializers {
			if err := e.initializer(i); err != nil {
				return fmt.Errorf("tensor %q: %w", i.Name, err)
			}
		}
		for _, l := range []struct {
			num    protowire.Number
			values []Value
		}{{graphInput, g.Inputs}, {graphOutput, g.Outputs}, {graphValue, g.Values}} {
			for _, v := range l.values {
				if err := e.message(l.num, func(e *encoding) error { return e.value(v) }); err != nil {
					return fmt.Errorf("value %q: %w", v.Name, err)
				}
			}
		}
		return nil
	})
}

func (e *encoding) value(v Value) error {
	e.string(valueName, v.Name)
	number := int32(typeString)
	if !v.Text {
		if v.Type == "" {
			return nil
		}
		var err error
		if number, err = numberOf(v.Type); err != nil {
			return err
		}
	}
	return e.message(valueType, func(e *encoding) error {
		return e.message(typeTensor, func(e *encoding) error {
			e.int(tensorTypeElement, int64(number))
			if !v.Ranked {
				return nil
			}
			return e.message(tensorTypeShape, func(e *encoding) error {
				for _, d := range v.Shape {
					err := e.message(shapeDim, func(e *encoding) error {
						if d.Size >= 0 {
							e.int(dimValue, d.Size)
						} else {
							e.text(dimParam, d.Name)
						}
						return nil
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
		})
	})
}

func (e *encoding) initializer(i Initializer) error {
	num := graphTensor
	if i.Values != nil {
		num = graphSparse
	}
	return e.constant(num, i.Constant, i.Name)
}

func (e *encoding) constant(num protowire.Number, c Constant, name string) error {
	if c.Values != nil {
		return e.message(num, func(e *encoding) error {
			if err := e.constant(sparseValues, Constant{Dense: c.Values}, name); err != nil {
				return err
			}
			if err := e.constant(sparseIndices, Constant{Dense: c.Indices}, ""); err != nil {
				return err
			}
			for _, d := range c.Shape {
				e.int(sparseDims, d)
			}
			return nil
		})
	}
	return e.message(num, func(e *encoding) error {
		switch {
		case c.Dense != nil:
			head, err := header(c.Dense)
			if err != nil {
				return err
			}
			e.append(func(b []byte) []byte { return append(b, head...) })
			e.text(tensorName, name)
			e.head(tensorRaw, c.Dense.Data.Size())
			e.tail()
			e.parts[len(e.parts)-1].data = c.Dense.Data
			e.size += c.Dense.Data.Size()
		case c.Text != nil:
			for _, d := range c.Shape {
				e.int(tensorDims, d)
			}
			e.int(tensorType, typeString)
			for _, s := range c.Text {
				e.string(tensorString, s)
			}
			e.text(tensorName, name)
		}
		return nil
	})
}

func (e *encoding) attribute(num protowire.Number, a Attribute) error {
	return e.message(num, func(e *encoding) error {
		e.string(attributeName, a.Name)
		kind := int64(0)
		var err error
		switch v := a.Value.(type) {
		case float64:
			kind = kindFloat
			e.float(attributeFloat, v)
		case int64:
			kind = kindInt
			e.int(attributeInt, v)
		case string:
			kind = kindString
			e.string(attributeString, v)
		case []float64:
			kind = kindFloats
			for _, x := range v {
				e.float(attributeFloats, x)
			}
		case []int64:
			kind = kindInts
			for _, x := range v {
				e.int(attributeInts, x)
			}
		case []string:
			kind = kindStrings
			for _, x := range v {
				e.string(attributeStrings, x)
			}
		case Constant:
			kind = kindTensor
			to := attributeTensor
			if v.Values != nil {
				kind, to = kindSparse, attributeSparseTensor
			}
			err = e.constant(to, v, "")
		case *Graph:
			kind = kindGraph
			err = e.graph(attributeGraph, v)
		case []*Graph:
			kind = kindGraphs
			for _, g := range v {
				if err == nil {
					err = e.graph(attributeGraphs, g)
				}
			}
		default:
			return fmt.Errorf("onnx: an attribute cannot be %T", a.Value)
		}
		if err != nil {
			return err
		}
		e.int(attributeKind, kind)
		return nil
	})
}
