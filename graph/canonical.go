package graph

import (
	"encoding/binary"
	"fmt"
	"math"

	"ropewalk/tensor"
)

// newest is the last opset of ONNX whose changes this package knows.
const newest = 25

// A rewriter brings one node into the canonical form. It changes the node, and
// puts nodes that have to come before it into the block.
type rewriter struct {
	imp     *importer
	b       *block
	at      int64 // of the node in the file, for errors
	n       *Node
	version int64
	err     error // the first that emit, ints or float met
}

// A rule brings the operator of a name into the canonical form.
type rule func(r *rewriter)

// rules are the operators of ai.onnx that have changed. The files canonical_*.go
// have them by kind.
var rules = mergeRules(shapeRules, layerRules, valueRules, signalRules)

func mergeRules(families ...map[string]rule) map[string]rule {
	all := map[string]rule{}
	for _, f := range families {
		for name, rule := range f {
			if all[name] != nil {
				panic("graph: internal error: two rules for " + name)
			}
			all[name] = rule
		}
	}
	return all
}

// rewrite applies the rule for the operator, if there is one.
func (r *rewriter) rewrite() error {
	if r.n.Domain != "" {
		return nil
	}
	switch {
	case r.version <= 0:
		r.problem("the model imports no opset for it")
		return nil
	case r.version > newest:
		r.problem("opset %d is newer than this program, which knows those up to %d", r.version, newest)
		return nil
	}
	if r.version < 6 {
		delete(r.n.Attributes, "consumed_inputs") // a hint that never had an effect on values
	}
	if rule := rules[r.n.Op]; rule != nil {
		rule(r)
	}
	return r.err
}

// problem notes why the node has no canonical form; the first reason stays.
func (r *rewriter) problem(format string, args ...any) {
	if r.n.Problem == "" {
		r.n.Problem = fmt.Sprintf(format, args...)
	}
}

// fail keeps the first error.
func (r *rewriter) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// input returns the name of an input, "" if it is left out.
func (r *rewriter) input(i int) string {
	if i < len(r.n.Inputs) {
		return r.n.Inputs[i]
	}
	return ""
}

// setInput puts a value in the place of an input.
func (r *rewriter) setInput(i int, name string) {
	for len(r.n.Inputs) <= i {
		r.n.Inputs = append(r.n.Inputs, "")
	}
	r.n.Inputs[i] = name
	r.n.Inputs = trimmed(r.n.Inputs)
}

// setDefault sets an attribute that the file leaves out.
func (r *rewriter) setDefault(name string, v any) {
	if _, ok := r.n.Attributes[name]; !ok {
		r.n.Attributes[name] = v
	}
}

// take removes an attribute and returns it. One of another type is a problem.
func take[T any](r *rewriter, name string) (v T, ok bool) {
	a, there := r.n.Attributes[name]
	if !there {
		return v, false
	}
	delete(r.n.Attributes, name)
	if v, ok = a.(T); !ok {
		r.problem("attribute %s is of type %T, want %T", name, a, v)
	}
	return v, ok
}

// maxList bounds a list of numbers that becomes a tensor: it has one or two for
// each axis, or one for each output.
const maxList = 1 << 12

// ints returns the name of a new constant with integers.
func (r *rewriter) ints(suffix string, v ...int64) string {
	if len(v) > maxList {
		r.problem("attribute %s has %d numbers, want at most %d", suffix, len(v), maxList)
		return ""
	}
	return r.add(suffix, intArray(v))
}

// int returns the name of a new constant that is one integer, without axes.
func (r *rewriter) int(suffix string, v int64) string {
	t := intArray([]int64{v})
	t.Shape = tensor.Shape{}
	return r.add(suffix, t)
}

// float returns the name of a new constant without axes, of the type of the value
// like.
func (r *rewriter) float(suffix string, v float64, like string) string {
	t := floatArray([]float64{v})
	t.Shape = tensor.Shape{}
	name := r.add(suffix, t)
	if !r.imp.floats {
		return name
	}
	return r.emit(suffix+".like", "CastLike", nil, name, like)
}

// add adds a constant of the node to the weights.
func (r *rewriter) add(suffix string, t *tensor.Tensor) string {
	name, err := r.imp.fresh(r.n.Name+"."+suffix, r.at)
	if err != nil {
		r.fail(err)
		return ""
	}
	t.Name = name
	if err := r.imp.add(t, r.at); err != nil {
		r.fail(err)
	}
	return name
}

// emit puts a node before this one, and returns the name of its output.
func (r *rewriter) emit(suffix, op string, attributes Attributes, inputs ...string) string {
	name, err := r.imp.fresh(r.n.Name+"."+suffix, r.at)
	if err != nil {
		r.fail(err)
		return ""
	}
	n := &Node{Op: op, Inputs: inputs, Outputs: []string{name}, Attributes: attributes, Opset: r.version}
	if n.Attributes == nil {
		n.Attributes = Attributes{}
	}
	if err := r.imp.emit(r.b, n, r.n.Name+"."+suffix, r.at); err != nil {
		r.fail(err)
	}
	return name
}

// weight returns the tensor of an input that is one, or nil.
func (r *rewriter) weight(i int) *tensor.Tensor {
	name := r.input(i)
	if name == "" {
		return nil
	}
	if t := r.imp.base.Lookup(name); t != nil {
		return t
	}
	return r.imp.addedNames[name]
}

func intArray(v []int64) *tensor.Tensor {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	return &tensor.Tensor{DType: tensor.I64, Shape: tensor.Shape{int64(len(v))}, Data: tensor.Bytes(b)}
}

func floatArray(v []float64) *tensor.Tensor {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(x)))
	}
	return &tensor.Tensor{DType: tensor.F32, Shape: tensor.Shape{int64(len(v))}, Data: tensor.Bytes(b)}
}

// arrayOf returns the tensor that the value of a Constant is: value_float, value_int
// and their lists.
func arrayOf(v any) (*tensor.Tensor, error) {
	var t *tensor.Tensor
	switch v := v.(type) {
	case int64:
		t = intArray([]int64{v})
		t.Shape = tensor.Shape{}
	case float64:
		t = floatArray([]float64{v})
		t.Shape = tensor.Shape{}
	case []int64:
		t = intArray(v)
	case []float64:
		t = floatArray(v)
	default:
		return nil, fmt.Errorf("its value is of a kind that is not known")
	}
	return t, nil
}
