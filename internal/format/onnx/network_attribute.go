package onnx

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/tensor"
)

// The values of AttributeProto.AttributeType.
const (
	kindFloat = iota + 1
	kindInt
	kindString
	kindTensor
	kindGraph
	kindFloats
	kindInts
	kindStrings
	kindTensors
	kindGraphs
	kindSparse
	kindSparses
	kindType
	kindTypes
)

// kindOf are the kinds by the field that has the value: IR version 1 did not
// write the kind.
var kindOf = map[protowire.Number]uint64{
	attributeFloat: kindFloat, attributeInt: kindInt, attributeString: kindString,
	attributeTensor: kindTensor, attributeGraph: kindGraph,
	attributeFloats: kindFloats, attributeInts: kindInts, attributeStrings: kindStrings,
	attributeTensors: kindTensors, attributeGraphs: kindGraphs,
	attributeSparseTensor: kindSparse, attributeSparseTensors: kindSparses,
	attributeTypeProto: kindType, attributeTypeProtos: kindTypes,
}

func (n *networkReader) attribute(f field, owner *node) (Attribute, error) {
	var a Attribute
	if err := n.count(&n.attrs, maxAttributes, f.start, "attributes"); err != nil {
		return a, err
	}
	var kind, seen uint64
	var name field
	at := f.body.start
	body := f.body
	err := n.message(f, func(f field) (err error) {
		switch f.num {
		case attributeName:
			name = f
			a.Name, err = n.string(f)
		case attributeRef:
			a.Ref, err = n.string(f)
		case attributeKind:
			kind = f.value
			err = n.r.want(f, protowire.VarintType, "type of an attribute")
		default:
			if k := kindOf[f.num]; k != 0 {
				seen = k
			}
		}
		return err
	})
	if err != nil || a.Ref != "" {
		return a, err
	}
	if kind == 0 {
		kind = seen
	}
	if i, ok := n.slot[at]; ok {
		a.Tensor = n.set.At(i)
	}
	a.Value, err = n.attributeValue(kind, body, owner, name)
	return a, err
}

// attributeValue reads the value of an attribute. A field that is left out is
// zero.
func (n *networkReader) attributeValue(kind uint64, body span, owner *node, name field) (any, error) {
	each := func(num protowire.Number, visit func(field) error) error {
		return n.r.fields(body, func(f field) error {
			if f.num != num {
				return nil
			}
			return visit(f)
		})
	}
	switch kind {
	case kindFloat:
		v, err := n.floats(each, attributeFloat)
		if len(v) == 0 {
			return 0.0, err
		}
		return v[len(v)-1], err
	case kindFloats:
		return n.floats(each, attributeFloats)
	case kindInt:
		v := int64(0)
		err := each(attributeInt, func(f field) error {
			v = int64(f.value)
			return n.r.want(f, protowire.VarintType, "i")
		})
		return v, err
	case kindInts:
		v := []int64{}
		err := intsOf(n.r, body, func(x uint64) { v = append(v, int64(x)) })
		return v, err
	case kindString:
		v, err := n.texts(each, attributeString)
		if len(v) == 0 {
			return "", err
		}
		return v[len(v)-1], err
	case kindStrings:
		return n.texts(each, attributeStrings)
	case kindTensor, kindSparse:
		num := attributeTensor
		if kind == kindSparse {
			num = attributeSparseTensor
		}
		var c Constant
		err := each(num, func(f field) (err error) {
			c, _, err = n.constant(f, kind == kindSparse)
			return err
		})
		return c, err
	case kindTensors, kindSparses:
		num := attributeTensors
		if kind == kindSparses {
			num = attributeSparseTensors
		}
		v := []Constant{}
		err := each(num, func(f field) error {
			if err := n.count(&n.vals, maxValues, f.start, "initializers and types"); err != nil {
				return err
			}
			c, _, err := n.constant(f, kind == kindSparses)
			v = append(v, c)
			return err
		})
		return v, err
	case kindGraph:
		var g *Graph
		err := each(attributeGraph, func(f field) (err error) {
			g, err = n.nested(f, owner, name, -1)
			return err
		})
		if g == nil {
			return nil, err
		}
		return g, err
	case kindGraphs:
		v := []*Graph{}
		err := each(attributeGraphs, func(f field) error {
			if err := n.count(&n.vals, maxValues, f.start, "initializers and types"); err != nil {
				return err
			}
			g, err := n.nested(f, owner, name, len(v))
			v = append(v, g)
			return err
		})
		return v, err
	}
	return nil, nil
}

func (n *networkReader) nested(f field, owner *node, attribute field, index int) (*Graph, error) {
	label := func() (string, error) { return n.label(owner, attribute, index) }
	return n.graph(f, &scope{owner.scope, owner.scope.deeper(), label})
}

// A fieldWalk calls visit for each field with a number.
type fieldWalk func(num protowire.Number, visit func(field) error) error

// floats returns all floats of the fields with a number, packed or not.
func (n *networkReader) floats(each fieldWalk, num protowire.Number) ([]float64, error) {
	v := []float64{}
	err := each(num, func(f field) error {
		if f.typ != protowire.BytesType {
			if err := n.r.want(f, protowire.Fixed32Type, "float"); err != nil {
				return err
			}
		}
		if f.body.size()%4 != 0 {
			return n.r.corrupt(f.start, "floats have %d bytes, want a multiple of 4", f.body.size())
		}
		b, err := tensor.ReadRange(n.r.data, f.body.start, f.body.size(), nil)
		for ; len(b) >= 4; b = b[4:] {
			bits, _ := protowire.ConsumeFixed32(b)
			v = append(v, float64(math.Float32frombits(bits)))
		}
		return err
	})
	return v, err
}

// texts returns all bytes of the fields with a number, as strings.
func (n *networkReader) texts(each fieldWalk, num protowire.Number) ([]string, error) {
	v := []string{}
	err := each(num, func(f field) error {
		if err := n.r.want(f, protowire.BytesType, "string"); err != nil {
			return err
		}
		b, err := tensor.ReadRange(n.r.data, f.body.start, f.body.size(), nil)
		v = append(v, string(b))
		return err
	})
	return v, err
}

// constant returns a TensorProto or SparseTensorProto, and its own name.
func (n *networkReader) constant(f field, sparse bool) (c Constant, name string, err error) {
	if err := n.r.want(f, protowire.BytesType, "tensor"); err != nil {
		return c, "", err
	}
	if sparse {
		var m message
		err := n.r.fields(f.body, func(f field) (err error) {
			var part Constant
			switch f.num {
			case sparseValues:
				part, name, err = n.constant(f, false)
				c.Values = part.Dense
			case sparseIndices:
				part, _, err = n.constant(f, false)
				c.Indices = part.Dense
			case sparseDims:
				err = m.addDims(n.r, f)
			}
			return err
		})
		c.Shape = m.shape
		if err == nil && (c.Values == nil || c.Indices == nil) {
			err = n.r.corrupt(f.start, "a sparse tensor lacks values or indices")
		}
		return c, name, err
	}
	m, err := scanMessage(n.r, f.body)
	if err != nil {
		return c, "", err
	}
	if name, err = n.r.text(m.name); err != nil {
		return c, "", err
	}
	c.Shape = m.shape
	if i, ok := n.slot[f.body.start]; ok {
		c.Dense = n.set.At(i)
		return c, name, nil
	}
	if m.typ != typeString || m.external.used {
		return c, name, nil
	}
	each := func(num protowire.Number, visit func(field) error) error {
		return n.r.fields(f.body, func(f field) error {
			if f.num != num {
				return nil
			}
			return visit(f)
		})
	}
	if c.Text, err = n.texts(each, tensorString); err != nil {
		return c, "", err
	}
	if elems, err := m.shape.Elems(); err != nil || elems != int64(len(c.Text)) {
		return c, "", n.r.corrupt(f.start, "a tensor of %v strings has %d", m.shape, len(c.Text))
	}
	return c, name, nil
}
