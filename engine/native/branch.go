package native

import (
	"fmt"
	"slices"

	"ropewalk/engine"
	"ropewalk/graph"
)

// A branching is If with a condition that is known only when it runs. Each branch is a
// plan of its own in memory that both share, with the values from around it as its
// inputs. There is no gradient.
type branching struct {
	condition *operand
	yes, no   *branch
	taken     *branch // by the last forward
	around    []*operand
	memory    *memory
	out       []*site
}

// A branch is a plan for one of the graphs.
type branch struct {
	*plan
	feeds []engine.Array
}

// withCaptured returns the draft of an If with the values that its branches read from
// around them as further operands, so that they live as long as it needs them.
func (b *builder) withCaptured(d *draft) *draft {
	c := *d
	c.inputs = slices.Clone(d.inputs)
	for _, g := range nested(d.Node) {
		for _, name := range free(g) {
			if s := b.values[name]; s != nil && (s.root().kind == made || s.root().kind == fed) && !slices.Contains(c.inputs, name) {
				c.inputs = append(c.inputs, name)
			}
		}
	}
	return &c
}

func makeIf(n *node) (operator, error) {
	o := &branching{condition: n.in[0], around: n.in, out: n.out}
	if o.condition.size != 1 {
		return nil, fmt.Errorf("its condition has shape %v, want one truth value", o.condition.shape)
	}
	size := 0
	for _, part := range []struct {
		name string
		to   **branch
	}{{"then_branch", &o.yes}, {"else_branch", &o.no}} {
		g, ok := n.Attributes[part.name].(*graph.Graph)
		if !ok {
			return nil, fmt.Errorf("it has no %s", part.name)
		}
		l, err := n.inside.branch(g, n)
		if err != nil {
			return nil, err
		}
		*part.to = l
		size = max(size, l.size)
	}
	o.memory = n.scratch(size)
	return o, nil
}

// branch makes the plan of a graph inside of a node, for forward.
func (b *builder) branch(g *graph.Graph, n *node) (*branch, error) {
	special, inner := *b.special, *g
	inner.Weights = b.special.Graph.Weights
	special.Graph = &inner
	c := &builder{
		plan:    &plan{mode: mode{training: b.training, fuse: b.fuse, poison: b.poison}},
		program: b.program, special: &special, values: map[string]*site{},
	}
	for _, o := range n.in {
		if o.root().kind == made || o.root().kind == fed {
			c.inputs = append(c.inputs, c.define(o.name, fed))
		} else {
			c.inputs = append(c.inputs, nil)
		}
	}
	for _, d := range c.drafts() {
		if err := c.add(d); err != nil {
			return nil, err
		}
	}
	b.missing = append(b.missing, c.missing...)
	if len(c.missing) > 0 {
		return &branch{plan: c.plan}, nil // the plan around it will not be
	}
	if err := c.addOutputs(); err != nil {
		return nil, err
	}
	c.lay()
	return &branch{c.plan, make([]engine.Array, len(c.inputs))}, nil
}

func (o *branching) forward() {
	o.taken = o.no
	if o.condition.int[0] != 0 {
		o.taken = o.yes
	}
	l := o.taken
	l.bind(o.memory.float)
	for i, x := range o.around {
		l.feeds[i].Float, l.feeds[i].Int = x.float, x.int
	}
	l.feed(l.feeds)
	if err := l.forward(); err != nil {
		panic(failure{err})
	}
	for k, y := range o.out {
		if y != nil {
			copy(y.float, l.outputs[k].float)
			copy(y.int, l.outputs[k].int)
		}
	}
}

// commit updates the running statistics in the branch that was taken.
func (o *branching) commit() { o.taken.commit() }
