package native

import (
	"errors"
	"slices"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/tensor"
)

// maxSteering bounds an input whose values a plan can be made for.
const maxSteering = 64

// specialize fixes the shapes of the inputs. Where shapes or forms of operators follow
// from the values of small inputs of integers (a sampling rate, a size to which
// to resize), these are fixed, too, and returned in their places: the plan is then
// for these values only. Where they do not, a plan serves all values.
func (p *program) specialize(shapes []tensor.Shape, inputs []engine.Array) (*graph.Specialized, []*graph.Value, error) {
	byName := map[string]tensor.Shape{}
	for i, in := range p.graph.Inputs {
		byName[in.Name] = shapes[i]
	}
	none := make([]*graph.Value, len(shapes))
	s, err := graph.Specialize(p.graph, byName, nil)
	if u := (*graph.UnsupportedError)(nil); !errors.As(err, &u) {
		return s, none, err
	}
	steering, constants := make([]*graph.Value, len(shapes)), map[string]*graph.Value{}
	for i, in := range p.graph.Inputs {
		if x := inputs[i]; len(x.Int) > 0 && len(x.Int) <= maxSteering && len(x.Int) == product(x.Shape) {
			t := in.Type
			if t == "" {
				t = tensor.I64
			}
			steering[i] = &graph.Value{Type: t, Shape: slices.Clone(x.Shape), Int: slices.Clone(x.Int)}
			constants[in.Name] = steering[i]
		}
	}
	if len(constants) == 0 {
		return s, none, err
	}
	if s, err2 := graph.Specialize(p.graph, byName, constants); err2 == nil {
		return s, steering, nil
	}
	return nil, none, err
}

// integers returns a weight of integers that is too large to be a constant.
func (p *program) integers(t *tensor.Tensor) *graph.Value {
	if v := p.tables[t.Name]; v != nil {
		return v
	}
	v, err := graph.ValueOf(t)
	if err != nil {
		return nil
	}
	if p.tables == nil {
		p.tables = map[string]*graph.Value{}
	}
	p.tables[t.Name] = v
	return v
}

// hasText reports whether the node reads or makes text.
func (n *node) hasText() bool {
	return slices.ContainsFunc(n.in, func(o *operand) bool { return o != nil && o.dtype == graph.Text }) ||
		slices.ContainsFunc(n.out, func(s *site) bool { return s != nil && s.dtype == graph.Text })
}
