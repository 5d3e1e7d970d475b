package onnx

import (
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/layout"
)

const (
	// maxDepth bounds graphs within graphs. Exported control flow nests three
	// or four deep; the walk recurses, so the bound also keeps its stack small.
	maxDepth = 64

	// maxTensors bounds the tensors of a model; large ones have some thousands.
	maxTensors = 1 << 20
)

// An enclosure is a message with a tensor somewhere in it: its length changes
// when the tensor does.
type enclosure struct {
	parent int   // index of the enclosure around it; -1: the model
	lenAt  int64 // where its length is written
	body   span
}

// A walker finds the tensors of one model.
type walker struct {
	r          *reader
	open       layout.Opener
	files      []layout.File
	fileIndex  map[string]int // of external files
	enclosures []enclosure
	slots      []slot
	names      namer
	metadata   []layout.Pair
}

// A scope is a graph within others. The nil scope is the graph of the model.
type scope struct {
	outer *scope
	depth int
	name  func() (string, error) // of the graph within outer
}

// prefix returns the path to the graph, for the names of its tensors. It is put
// together only for tensors that are found: it can be long, and a small file can
// have very many graphs.
func (s *scope) prefix() (string, error) {
	if s == nil {
		return "", nil
	}
	outer, err := s.outer.prefix()
	if err != nil {
		return "", err
	}
	name, err := s.name()
	return outer + name + "/", err
}

// deeper returns the depth of a graph inside of s.
func (s *scope) deeper() int {
	if s == nil {
		return 1
	}
	return s.depth + 1
}

// inside calls visit with the index of a new enclosure for the message f, and
// forgets that enclosure if visit finds no tensors.
func (w *walker) inside(f field, parent int, name string, visit func(in int) error) error {
	if err := w.r.want(f, protowire.BytesType, name); err != nil {
		return err
	}
	in, found := len(w.enclosures), len(w.slots)
	w.enclosures = append(w.enclosures, enclosure{parent, f.lenAt, f.body})
	if err := visit(in); err != nil {
		return err
	}
	if len(w.slots) == found {
		w.enclosures = w.enclosures[:in]
	}
	return nil
}

// model walks over the ModelProto.
func (w *walker) model() error {
	var graph, other bool
	training, function := 0, 0
	err := w.r.fields(w.r.all(), func(f field) error {
		switch f.num {
		case modelGraph:
			if err := w.r.once(f, &graph, "graph"); err != nil {
				return err
			}
			return w.inside(f, -1, "graph", func(in int) error { return w.graph(in, nil) })
		case modelTraining:
			other = true
			label := "training_" + strconv.Itoa(training)
			training++
			return w.inside(f, -1, "training_info", func(in int) error { return w.training(in, label) })
		case modelFunctions:
			other = true
			function++
			return w.inside(f, -1, "functions", func(in int) error { return w.function(in, function-1) })
		}
		return w.describe(f)
	})
	if err == nil && !graph && !other {
		return w.r.truncated(w.r.all().end, "the model ends without a graph")
	}
	return err
}

// training walks over a TrainingInfoProto.
func (w *walker) training(in int, label string) error {
	var initialization, algorithm bool
	return w.r.fields(w.enclosures[in].body, func(f field) error {
		var seen *bool
		var name string
		switch f.num {
		case trainingInitialization:
			seen, name = &initialization, "initialization"
		case trainingAlgorithm:
			seen, name = &algorithm, "algorithm"
		default:
			return nil
		}
		if err := w.r.once(f, seen, name); err != nil {
			return err
		}
		return w.inside(f, in, name, func(in int) error {
			return w.graph(in, &scope{name: func() (string, error) { return label + "." + name, nil }})
		})
	})
}

// function walks over a FunctionProto.
func (w *walker) function(in, index int) error {
	var name, domain, overload field
	msg := w.enclosures[in].body
	err := w.r.fields(msg, func(f field) error {
		switch f.num {
		case functionName:
			name = f
		case functionDomain:
			domain = f
		case functionOverload:
			overload = f
		default:
			return nil
		}
		return w.r.want(f, protowire.BytesType, "name of a function")
	})
	if err != nil {
		return err
	}
	s := &scope{name: func() (string, error) { return w.functionName(name, domain, overload, index) }}
	nodes := 0
	return w.r.fields(msg, func(f field) error {
		switch f.num {
		case functionNode:
			nodes++
			return w.inside(f, in, "node", func(in int) error { return w.node(in, nodes-1, s) })
		case functionAttribute:
			// The default of an attribute: named as if the function were a node.
			owner := &node{name: name, index: index}
			return w.inside(f, in, "attribute_proto", func(in int) error { return w.attribute(in, owner) })
		}
		return nil
	})
}

// functionName returns what a function is called by: domain.name:overload.
func (w *walker) functionName(name, domain, overload field, index int) (string, error) {
	n, err := w.r.text(name)
	if err != nil {
		return "", err
	}
	if n == "" {
		n = "function_" + strconv.Itoa(index)
	}
	d, err := w.r.text(domain)
	if err != nil {
		return "", err
	}
	if d != "" {
		n = d + "." + n
	}
	o, err := w.r.text(overload)
	if o != "" {
		n += ":" + o
	}
	return n, err
}

// graph walks over a GraphProto.
func (w *walker) graph(in int, s *scope) error {
	if s != nil && s.depth == maxDepth {
		return w.r.unsupported(w.enclosures[in].body.start, "graphs are nested more than %d deep", maxDepth)
	}
	nodes := 0
	return w.r.fields(w.enclosures[in].body, func(f field) error {
		switch f.num {
		case graphNode:
			nodes++
			return w.inside(f, in, "node", func(in int) error { return w.node(in, nodes-1, s) })
		case graphTensor:
			return w.inside(f, in, "initializer", func(in int) error { return w.tensor(in, s, nameInitializer) })
		case graphSparse:
			return w.inside(f, in, "sparse_initializer", func(in int) error { return w.sparse(in, s, nameInitializer) })
		}
		return nil
	})
}
