package lineage

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ropewalk/graph"
	"ropewalk/tensor"
)

// maxGraphDifferences bounds what [GraphDifferences] lists: after one that matters, the
// rest mostly follows from it.
const maxGraphDifferences = 20

// maxNested bounds how deep graphs inside of nodes are followed.
const maxNested = 32

// A GraphDifference is a place where two graphs are not the same.
type GraphDifference struct {
	Text      string `json:"text"`                // in words
	Node      string `json:"node,omitempty"`      // of the suspect
	Attribute string `json:"attribute,omitempty"` // of the node
}

// GraphDifferences lists where the graph of a suspect is another one than that
// of the reference, and so computes something else from the same weights: in inputs and
// outputs, operators, attributes, or what is connected with what. Names of values and
// nodes may differ, and so may the weights that are tensors of the networks' sets, but
// not their names; numbers that a graph holds elsewhere, such as axes, may not. Nil means
// that the graphs are the same. At most 20 are listed.
//
// Nodes are held against each other in their order in the files. So two graphs that do
// the same in another order count as different; that is rare, and errs on the safe side.
// Both need a graph.
func GraphDifferences(ref, sus Network) []GraphDifference {
	d := &graphDifference{ref: ref, sus: sus}
	d.graphs("", ref.Graph, sus.Graph, map[string]string{}, 0)
	return d.found
}

type graphDifference struct {
	ref, sus Network
	found    []GraphDifference
}

func (d *graphDifference) addf(format string, args ...any) {
	d.add(GraphDifference{Text: fmt.Sprintf(format, args...)})
}

func (d *graphDifference) add(g GraphDifference) {
	if len(d.found) < maxGraphDifferences {
		d.found = append(d.found, g)
	}
}

// graphs compares two graphs. names holds the suspect's name of each value of the
// reference that is known from outside, and where says in which node they are.
func (d *graphDifference) graphs(where string, a, b *graph.Graph, names map[string]string, depth int) {
	if depth > maxNested {
		d.addf("%sgraphs in graphs are deeper than %d", where, maxNested)
		return
	}
	names = maps.Clone(names)
	if len(a.Inputs) != len(b.Inputs) {
		d.addf("%s%d inputs in the place of %d", where, len(b.Inputs), len(a.Inputs))
	}
	for i := range min(len(a.Inputs), len(b.Inputs)) {
		x, y := &a.Inputs[i], &b.Inputs[i]
		names[x.Name] = y.Name
		if depth == 0 && (x.Type != y.Type || !sameDims(x.Shape, y.Shape)) {
			d.addf("%sinput %s is %s %v in the place of %s %v", where, y.Name, y.Type, sizes(y.Shape), x.Type, sizes(x.Shape))
		}
	}
	for i := range min(len(a.Nodes), len(b.Nodes)) {
		d.nodes(fmt.Sprintf("%snode %d (%s)", where, i, b.Nodes[i].Name), a.Nodes[i], b.Nodes[i], names, depth)
		if len(d.found) >= maxGraphDifferences {
			return
		}
	}
	for i := len(a.Nodes); i < len(b.Nodes); i++ {
		d.addf("%snode %d (%s) was added: %s", where, i, b.Nodes[i].Name, b.Nodes[i].Op)
	}
	for i := len(b.Nodes); i < len(a.Nodes); i++ {
		d.addf("%snode %d (%s) is missing: %s", where, i, a.Nodes[i].Name, a.Nodes[i].Op)
	}
	if len(a.Outputs) != len(b.Outputs) {
		d.addf("%s%d outputs in the place of %d", where, len(b.Outputs), len(a.Outputs))
	}
	for i := range min(len(a.Outputs), len(b.Outputs)) {
		if !d.same(a.Outputs[i], b.Outputs[i], names) {
			d.addf("%soutput %d is another value: %s", where, i, b.Outputs[i])
		}
	}
}

func (d *graphDifference) nodes(where string, a, b *graph.Node, names map[string]string, depth int) {
	if a.Op != b.Op || a.Domain != b.Domain {
		d.add(GraphDifference{Text: fmt.Sprintf("%s is %s in the place of %s", where, b.Op, a.Op), Node: b.Name})
	}
	if n, m := len(trimmed(a.Inputs)), len(trimmed(b.Inputs)); n != m {
		d.add(GraphDifference{Text: fmt.Sprintf("%s reads %d values in the place of %d", where, m, n), Node: b.Name})
	}
	for i := range min(len(a.Inputs), len(b.Inputs)) {
		if !d.same(a.Inputs[i], b.Inputs[i], names) {
			d.add(GraphDifference{Text: fmt.Sprintf("%s reads another value as operand %d: %s", where, i, b.Inputs[i]), Node: b.Name})
		}
	}
	if len(a.Outputs) != len(b.Outputs) {
		d.add(GraphDifference{Text: fmt.Sprintf("%s makes %d values in the place of %d", where, len(b.Outputs), len(a.Outputs)), Node: b.Name})
	}
	for i := range min(len(a.Outputs), len(b.Outputs)) {
		if a.Outputs[i] != "" {
			names[a.Outputs[i]] = b.Outputs[i]
		}
	}
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a.Attributes)), maps.Keys(b.Attributes))
	slices.Sort(keys)
	for _, k := range slices.Compact(keys) {
		x, y := a.Attributes[k], b.Attributes[k]
		xg, ok := x.(*graph.Graph)
		if yg, also := y.(*graph.Graph); ok && also {
			d.graphs(where+" "+k+": ", xg, yg, names, depth+1)
			continue
		}
		if !sameAttribute(x, y) {
			d.add(GraphDifference{fmt.Sprintf("%s has %s %s in the place of %s", where, k, attributeText(y), attributeText(x)), b.Name, k})
		}
	}
}

// trimmed leaves out operands at the end that are not given.
func trimmed(names []string) []string {
	for len(names) > 0 && names[len(names)-1] == "" {
		names = names[:len(names)-1]
	}
	return names
}

// same reports whether two names are those of the same value. Weights of nested graphs
// are among those of the outermost one.
func (d *graphDifference) same(a, b string, names map[string]string) bool {
	if own, ok := names[a]; ok {
		return own == b
	}
	x, y := d.ref.Graph.Weights.Lookup(a), d.sus.Graph.Weights.Lookup(b)
	if x == nil || y == nil {
		return a == b && x == nil && y == nil // an operand that is left out
	}
	if d.ref.Set.Lookup(a) != nil || d.sus.Set.Lookup(b) != nil {
		return a == b // what is in it is compared elsewhere
	}
	return sameTensor(x, y)
}

// maxConstant bounds the constants of a graph that are read: those that are no tensors of
// the file are few numbers.
const maxConstant = 1 << 20

func sameTensor(x, y *tensor.Tensor) bool {
	if x.DType != y.DType || !x.Shape.Equal(y.Shape) || x.Size() > maxConstant {
		return false
	}
	p, err := x.Bytes()
	if err != nil {
		return false
	}
	q, err := y.Bytes()
	return err == nil && bytes.Equal(p, q)
}

func sameAttribute(x, y any) bool {
	switch x := x.(type) {
	case []int64:
		y, ok := y.([]int64)
		return ok && slices.Equal(x, y)
	case []float64:
		y, ok := y.([]float64)
		return ok && slices.Equal(x, y)
	case []string:
		y, ok := y.([]string)
		return ok && slices.Equal(x, y)
	case *tensor.Tensor:
		y, ok := y.(*tensor.Tensor)
		return ok && sameTensor(x, y)
	case int64, float64, string, nil:
		return x == y
	}
	return false
}

func attributeText(x any) string {
	switch x := x.(type) {
	case nil:
		return "none"
	case *tensor.Tensor:
		return fmt.Sprintf("%s %v", x.DType, x.Shape)
	case *graph.Graph:
		return "a graph"
	case string:
		return fmt.Sprintf("%q", shortened(x))
	}
	return shortened(strings.Trim(fmt.Sprint(x), "[]"))
}

// shortened shortens a long text.
func shortened(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// sameDims reports whether two shapes of inputs are the same. Names of open axes may
// differ.
func sameDims(a, b []graph.Dim) bool {
	return slices.Equal(sizes(a), sizes(b)) && (a == nil) == (b == nil)
}

func sizes(dims []graph.Dim) []int64 {
	var n []int64
	for _, d := range dims {
		n = append(n, max(d.Size, -1))
	}
	return n
}
