package native

import (
	"fmt"
	"slices"

	"ropewalk/graph"
)

// A branching is If with a condition that is known only when it runs: forward only.
// Both branches are made; one runs.
type branching struct {
	condition *operand
	then, or  branch
	out       []*site
}

// A branch is a list of nodes, and where its results come to be.
type branch struct {
	nodes []*node
	out   []*site
}

// addIf makes an If. Values in its branches live as long as the node runs.
func (b *builder) addIf(d *draft) error {
	n := &node{Node: d.Node, pool: b.program.pool, index: len(b.nodes)}
	o := &branching{}
	outer := slices.Clone(d.inputs)
	for _, g := range nested(d.Node) {
		for _, name := range free(g) {
			if b.values[name] != nil && b.values[name].kind != constant && !slices.Contains(outer, name) {
				outer = append(outer, name)
			}
		}
	}
	for _, name := range outer {
		n.in = append(n.in, &operand{site: b.site(name)})
	}
	o.condition = n.in[0]
	outside := b.nodes
	for _, part := range []struct {
		name string
		to   *branch
	}{{"then_branch", &o.then}, {"else_branch", &o.or}} {
		g, ok := d.Attributes[part.name].(*graph.Graph)
		if !ok {
			return fmt.Errorf("engine/native: node %q (If) has no %s", d.Name, part.name)
		}
		b.nodes, b.inside = nil, n
		for _, inner := range g.Nodes {
			if err := b.add(&draft{Node: inner, op: inner.Op, inputs: inner.Inputs, outputs: inner.Outputs}); err != nil {
				return err
			}
		}
		part.to.nodes = b.nodes
		for _, name := range g.Outputs {
			part.to.out = append(part.to.out, b.site(name))
		}
	}
	b.nodes, b.inside = outside, nil
	n.inner = slices.Concat(o.then.nodes, o.or.nodes)
	for _, name := range d.outputs {
		s := b.define(name, made)
		s.producer = n.index
		s.requires = b.backward && slices.ContainsFunc(n.in, func(o *operand) bool { return o.root().requires }) && !s.ints
		n.out = append(n.out, s)
	}
	n.keepsIn, n.keepsOut = make([]bool, len(n.in)), make([]bool, len(n.out))
	o.out = n.out
	n.op = o
	b.nodes = append(b.nodes, n)
	return nil
}

func (o *branching) forward() {
	branch := &o.or
	if o.condition.int[0] != 0 {
		branch = &o.then
	}
	for _, n := range branch.nodes {
		n.op.forward()
	}
	for k, y := range o.out {
		copy(y.float, branch.out[k].float)
		copy(y.int, branch.out[k].int)
	}
}
