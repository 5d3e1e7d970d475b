package native

import (
	"math"

	"ropewalk/engine"
	"ropewalk/internal/kernel"
)

// forward computes all values. Its error names a node; see failure.
func (l *plan) forward() (err error) {
	if l.poison {
		l.poisonAll()
	}
	defer l.caught(&err)
	for i, n := range l.nodes {
		l.running = n
		n.op.forward()
		if l.poison {
			l.expire(i)
		}
	}
	l.running = nil
	return nil
}

// backwards runs backward of all nodes that take part, the last one first.
func (l *plan) backwards() (err error) {
	defer l.caught(&err)
	for _, w := range l.idle {
		clear(w.gradient)
	}
	loss := len(l.nodes)
	if l.poison {
		l.expire(loss)
	}
	for i := loss - 1; i >= 0; i-- {
		n := l.nodes[i]
		l.running = n
		if n.active {
			for _, o := range n.fresh {
				clear(o.into)
			}
			n.op.(differentiable).backward()
			for _, o := range n.extra {
				kernel.Add(n.pool, o.grad, o.grad, o.into)
			}
		}
		if l.poison {
			l.expire(2*loss - i)
		}
	}
	l.running = nil
	return nil
}

// commit lets operators update running statistics.
func (l *plan) commit() {
	for _, n := range l.nodes {
		if c, ok := n.op.(committer); ok {
			c.commit()
		}
	}
}

// expire fills memory with NaN whose time has passed, so that a test sees whoever
// still reads it.
func (l *plan) expire(time int) {
	for _, k := range l.dying[time] {
		fillNaN(l.slab[k.offset : k.offset+k.size])
	}
}

func (l *plan) poisonAll() {
	fillNaN(l.slab[:l.size])
	for _, s := range l.sites {
		for i := range s.int {
			if s.root().kind == made {
				s.int[i] = math.MinInt64
			}
		}
	}
}

func fillNaN(s []float32) {
	for i := range s {
		s[i] = float32(math.NaN())
	}
}

// firstNonFinite computes the step again, node by node as the graph has them, and
// looks at each value. It changes nothing.
func (p *program) firstNonFinite(step uint64, inputs []engine.Array) (err error) {
	found := &engine.NonFiniteError{Step: step}
	l, err := p.build(inputs, mode{training: true})
	if err != nil {
		return err
	}
	defer l.caught(&err)
	l.bind(make([]float32, l.size))
	l.feed(inputs)
	bad := func(s *site, n *node) bool {
		if s == nil || s.ints || kernel.AllFinite(p.pool, s.float) {
			return false
		}
		found.Value = s.name
		if n != nil {
			found.Node = n.Name
		}
		return true
	}
	for _, s := range l.inputs {
		if bad(s, nil) {
			return found
		}
	}
	for _, n := range l.nodes {
		for _, o := range n.in {
			if o != nil && o.kind == held && bad(o.site, nil) {
				return found
			}
		}
		l.running = n
		n.op.forward()
		for _, s := range n.out {
			if bad(s, n) {
				return found
			}
		}
	}
	return found
}
