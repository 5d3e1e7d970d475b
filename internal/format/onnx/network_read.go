package onnx

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/tensor"
)

const (
	// maxNodes bounds the nodes of a model, all graphs together: an empty node
	// takes two bytes of the file and a hundred times that of memory. Networks
	// have some thousands.
	maxNodes = 1 << 20

	// maxAttributes bounds the attributes, for the same reason.
	maxAttributes = 1 << 22

	// maxValues bounds the initializers and declared types.
	maxValues = 1 << 22
)

// Network reads the graph of the model. Its tensors are those of set, which
// is what [layout.Layout.Set] returned for the layout of the model, or was made
// of that with [tensor.Overlay]. It is big where the model has many nodes, not
// where it has large weights: those are not read.
func (m *Model) Network(set *tensor.Set) (*Network, error) {
	n := &networkReader{
		walker: walker{r: newReader(m.name, 0, m.Layout.Files[0].Data)},
		set:    set,
		slot:   make(map[int64]int, len(m.slots)),
	}
	for i := range m.slots {
		n.slot[m.enclosures[m.slots[i].enclosure].body.start] = i
	}
	return n.network()
}

// A networkReader reads the nodes of one model. It is a walker for the names of
// graphs only: the tensors have been found before.
type networkReader struct {
	walker
	set   *tensor.Set
	slot  map[int64]int // by where the message of the tensor begins
	nodes int
	attrs int
	vals  int
	paths int // bytes
}

// count adds to one of the counters.
func (n *networkReader) count(counter *int, limit int, at int64, what string) error {
	if *counter++; *counter > limit {
		return n.r.unsupported(at, "the model has more than %d %s", limit, what)
	}
	return nil
}

func (n *networkReader) network() (*Network, error) {
	out := &Network{}
	functions := 0
	r := n.r
	err := r.fields(r.all(), func(f field) (err error) {
		switch f.num {
		case modelIRVersion:
			out.IRVersion = int64(f.value)
			return r.want(f, protowire.VarintType, "ir_version")
		case modelProducer:
			out.Producer, err = n.string(f)
		case modelOpset:
			out.Opsets, err = n.opset(f, out.Opsets)
		case modelGraph:
			out.Graph, err = n.graph(f, nil)
		case modelFunctions:
			var fn *Function
			fn, err = n.function(f, functions)
			out.Functions = append(out.Functions, fn)
			functions++
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// string returns the text of a field that must be one.
func (n *networkReader) string(f field) (string, error) {
	if err := n.r.want(f, protowire.BytesType, "string"); err != nil {
		return "", err
	}
	return n.r.text(f)
}

func (n *networkReader) opset(f field, to []Opset) ([]Opset, error) {
	if err := n.r.want(f, protowire.BytesType, "opset_import"); err != nil {
		return nil, err
	}
	var o Opset
	err := n.r.fields(f.body, func(f field) (err error) {
		switch f.num {
		case opsetDomain:
			o.Domain, err = n.string(f)
		case opsetVersion:
			o.Version = int64(f.value)
			err = n.r.want(f, protowire.VarintType, "version of an opset")
		}
		return err
	})
	o.Domain = canonicalDomain(o.Domain)
	if len(to) == maxMetadata {
		return nil, n.r.unsupported(f.start, "more than %d opsets", maxMetadata)
	}
	return append(to, o), err
}

// canonicalDomain returns "" for the longer name of ONNX's own domain.
func canonicalDomain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

func (n *networkReader) function(f field, index int) (*Function, error) {
	if err := n.r.want(f, protowire.BytesType, "functions"); err != nil {
		return nil, err
	}
	fn := &Function{At: f.start}
	var name, domain, overload field
	err := n.r.fields(f.body, func(f field) (err error) {
		switch f.num {
		case functionName:
			name = f
			fn.Name, err = n.string(f)
		case functionDomain:
			domain = f
			fn.Domain, err = n.string(f)
		case functionOverload:
			overload = f
			fn.Overload, err = n.string(f)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	s := &scope{name: func() (string, error) { return n.functionName(name, domain, overload, index) }}
	if fn.Path, err = n.path(f.start, s); err != nil {
		return nil, err
	}
	fn.Domain = canonicalDomain(fn.Domain)
	err = n.r.fields(f.body, func(f field) (err error) {
		var s2 string
		switch f.num {
		case functionInput:
			s2, err = n.string(f)
			fn.Inputs = append(fn.Inputs, s2)
		case functionOutput:
			s2, err = n.string(f)
			fn.Outputs = append(fn.Outputs, s2)
		case functionRequired:
			s2, err = n.string(f)
			fn.Attributes = append(fn.Attributes, s2)
		case functionOpset:
			fn.Opsets, err = n.opset(f, fn.Opsets)
		case functionNode:
			var nd *Node
			nd, err = n.node(f, len(fn.Nodes), s)
			fn.Nodes = append(fn.Nodes, nd)
		case functionAttribute:
			var a Attribute
			a, err = n.attribute(f, &node{name: name, index: index})
			fn.Defaults = append(fn.Defaults, a)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return fn, nil
}

// path returns the path of a scope, of which all together are bounded.
func (n *networkReader) path(at int64, s *scope) (string, error) {
	p, err := s.prefix()
	if n.paths += len(p); err == nil && n.paths > maxNames {
		err = n.r.unsupported(at, "the paths to all graphs have more than %d bytes", maxNames)
	}
	return p, err
}

func (n *networkReader) graph(f field, s *scope) (*Graph, error) {
	if err := n.r.want(f, protowire.BytesType, "graph"); err != nil {
		return nil, err
	}
	if s != nil && s.depth >= maxDepth {
		return nil, n.r.unsupported(f.start, "graphs are nested more than %d deep", maxDepth)
	}
	path, err := n.path(f.start, s)
	if err != nil {
		return nil, err
	}
	g := &Graph{At: f.start, Path: path}
	err = n.r.fields(f.body, func(f field) (err error) {
		switch f.num {
		case graphName:
			g.Name, err = n.string(f)
		case graphInput:
			g.Inputs, err = n.value(f, g.Inputs)
		case graphOutput:
			g.Outputs, err = n.value(f, g.Outputs)
		case graphValue:
			g.Values, err = n.value(f, g.Values)
		case graphNode:
			var nd *Node
			nd, err = n.node(f, len(g.Nodes), s)
			g.Nodes = append(g.Nodes, nd)
		case graphTensor, graphSparse:
			if err := n.count(&n.vals, maxValues, f.start, "initializers and types"); err != nil {
				return err
			}
			i := Initializer{At: f.start}
			i.Constant, i.Name, err = n.constant(f, f.num == graphSparse)
			g.Initializers = append(g.Initializers, i)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// value reads a ValueInfoProto.
func (n *networkReader) value(f field, to []Value) ([]Value, error) {
	if err := n.count(&n.vals, maxValues, f.start, "initializers and types"); err != nil {
		return nil, err
	}
	var v Value
	err := n.message(f, func(f field) (err error) {
		switch f.num {
		case valueName:
			v.Name, err = n.string(f)
		case valueType:
			return n.message(f, func(f field) error {
				if f.num != typeTensor {
					return nil
				}
				return n.tensorType(f, &v)
			})
		}
		return err
	})
	return append(to, v), err
}

func (n *networkReader) tensorType(f field, v *Value) error {
	return n.message(f, func(f field) error {
		switch f.num {
		case tensorTypeElement:
			switch t := int32(f.value); {
			case t == typeString:
				v.Text = true
			case t > 0 && f.value <= math.MaxInt32:
				v.Type = dtypeOf(t)
			}
			return n.r.want(f, protowire.VarintType, "elem_type")
		case tensorTypeShape:
			v.Ranked = true
			return n.message(f, func(f field) error {
				if f.num != shapeDim {
					return nil
				}
				if len(v.Shape) == tensor.MaxRank {
					return n.r.unsupported(f.start, "a value has more than %d dimensions", tensor.MaxRank)
				}
				d := Dim{Size: -1}
				err := n.message(f, func(f field) (err error) {
					switch f.num {
					case dimValue:
						d.Size = max(int64(f.value), -1)
						err = n.r.want(f, protowire.VarintType, "dim_value")
					case dimParam:
						d.Name, err = n.string(f)
					}
					return err
				})
				v.Shape = append(v.Shape, d)
				return err
			})
		}
		return nil
	})
}

// message calls visit for the fields of the message that f has to be.
func (n *networkReader) message(f field, visit func(field) error) error {
	if err := n.r.want(f, protowire.BytesType, "message"); err != nil {
		return err
	}
	return n.r.fields(f.body, visit)
}

func (n *networkReader) node(f field, index int, s *scope) (*Node, error) {
	if err := n.count(&n.nodes, maxNodes, f.start, "nodes"); err != nil {
		return nil, err
	}
	out := &Node{At: f.start, Index: index}
	names := &node{scope: s, index: index}
	err := n.message(f, func(f field) (err error) {
		var v string
		switch f.num {
		case nodeInput:
			v, err = n.string(f)
			out.Inputs = append(out.Inputs, v)
		case nodeOutput:
			v, err = n.string(f)
			out.Outputs = append(out.Outputs, v)
		case nodeName:
			names.name = f
			out.Name, err = n.string(f)
		case nodeOp:
			names.op = f
			out.Op, err = n.string(f)
		case nodeDomain:
			out.Domain, err = n.string(f)
		case nodeOverload:
			out.Overload, err = n.string(f)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out.Domain = canonicalDomain(out.Domain)
	err = n.r.fields(f.body, func(f field) error {
		if f.num != nodeAttribute {
			return nil
		}
		a, err := n.attribute(f, names)
		out.Attributes = append(out.Attributes, a)
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

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
