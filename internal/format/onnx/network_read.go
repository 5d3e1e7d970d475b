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
