package native

import (
	"errors"
	"fmt"
	"slices"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/tensor"
)

// A plan is a graph made ready for inputs of fixed shapes: nodes in order, and
// where each value lies.
//
// Time goes by nodes: forward of node i of n is at time i, the loss at time n, and
// backward of node i at time 2n−i.
type plan struct {
	mode
	shapes   []tensor.Shape // of the inputs
	steering []*graph.Value // by input: its value, if the plan is for that only; see build
	nodes    []*node
	running  *node // see caught

	inputs, outputs []*site // an input that steers is nil
	sites           []*site // all, in the order in which they come to be
	blocks          []*block
	memories        []*memory
	size            int       // of the arena in floats
	slab            []float32 // that the plan is bound to
	idle            []*weight // trainable, but the outputs do not depend on them

	results, slopes []engine.Array // outputs and their gradients
	dying           [][]*block     // by time; only if memory is poisoned
}

// A mode is what a plan is for.
type mode struct {
	training bool // batch statistics, Dropout
	backward bool
	fuse     bool
	poison   bool // see plan.expire
}

// A builder makes a plan.
type builder struct {
	*plan
	program *program
	special *graph.Specialized
	values  map[string]*site
	missing []graph.Missing
}

// buildFor makes the plan of p for inputs of the given shapes, and for the values of those
// that steer it.
func (p *program) buildFor(inputs []engine.Array, steering []*graph.Value, m mode) (*plan, error) {
	byName, constants := map[string]tensor.Shape{}, map[string]*graph.Value{}
	l := &plan{mode: m, steering: steering}
	for i, in := range p.graph.Inputs {
		byName[in.Name] = inputs[i].Shape
		l.shapes = append(l.shapes, slices.Clone(inputs[i].Shape))
		if v := steering[i]; v != nil {
			constants[in.Name] = v
		}
	}
	s, err := graph.Specialize(p.graph, byName, constants)
	if err != nil {
		return nil, fmt.Errorf("engine/native: %w", err)
	}
	b := &builder{plan: l, program: p, special: s, values: map[string]*site{}}
	for i, in := range p.graph.Inputs {
		if steering[i] != nil {
			b.inputs = append(b.inputs, nil)
			continue
		}
		b.inputs = append(b.inputs, b.define(in.Name, fed))
	}
	for _, d := range b.drafts() {
		if err := b.add(d); err != nil {
			return nil, err
		}
	}
	if len(b.missing) > 0 {
		return nil, &graph.UnsupportedError{What: m.what(), Missing: b.missing}
	}
	if err := b.addOutputs(); err != nil {
		return nil, err
	}
	b.follow()
	if err := b.checkGradients(); err != nil {
		return nil, err
	}
	b.lay()
	return b.plan, nil
}

func (m mode) what() string {
	if m.training {
		return "train"
	}
	return "compute"
}

// define makes the site of a value whose type the graph knows.
func (b *builder) define(name string, k kind) *site {
	t, ok := b.special.Types[name]
	if !ok {
		panic(fmt.Sprintf("engine/native: internal error: value %q has no type", name))
	}
	s := &site{
		name: name, kind: k, shape: t.Shape, size: product(t.Shape), producer: -1,
		ints: !t.DType.Numeric(), dtype: t.DType,
	}
	b.values[name] = s
	b.sites = append(b.sites, s)
	return s
}

// site returns the site of a value that a node reads.
func (b *builder) site(name string) *site {
	if s := b.values[name]; s != nil {
		return s
	}
	if w := b.program.byName[name]; w != nil {
		s := b.define(name, held)
		s.weight, s.float, s.grad, s.requires = w, w.values, w.gradient, w.trainable
		return s
	}
	v := b.special.Constants[name]
	if t := b.special.Graph.Weights.Lookup(name); v == nil && t != nil {
		v = b.program.integers(t)
	}
	if v == nil {
		panic(fmt.Sprintf("engine/native: internal error: nothing makes value %q", name))
	}
	s := b.define(name, constant)
	if s.ints {
		s.int = v.Int
	} else {
		s.float = float32s(v.Float)
	}
	return s
}

// add makes the node of a draft. What cannot be done is collected in missing.
func (b *builder) add(d *draft) error {
	if d.op == "If" {
		d = b.withCaptured(d)
	}
	n := &node{
		Node: d.Node, fused: d.fused, pool: b.program.pool, random: &b.program.random,
		training: b.training, frozen: b.program.frozen, index: len(b.nodes), inside: b,
		keepsIn: make([]bool, len(d.inputs)), keepsOut: make([]bool, len(d.outputs)),
	}
	for _, name := range d.inputs {
		if name == "" {
			n.in = append(n.in, nil)
			continue
		}
		n.in = append(n.in, &operand{site: b.site(name)})
	}
	requires := b.backward && slices.ContainsFunc(n.in, func(o *operand) bool { return o != nil && o.root().requires })
	for _, name := range d.outputs {
		if name == "" {
			n.out = append(n.out, nil)
			continue
		}
		s := b.define(name, made)
		s.producer = n.index
		s.requires = requires && !s.ints
		n.out = append(n.out, s)
		if _, err := s.elems(); err != nil {
			return fmt.Errorf("engine/native: node %q (%s): %w", n.Name, n.Op, err)
		}
	}
	if n.hasText() {
		b.missing = append(b.missing, graph.Missing{Node: n.Name, Op: n.Op, Domain: n.Domain, Why: "it works on text"})
		return nil
	}
	if view := b.view(d.op, n); view {
		return nil
	}
	mk := makerOf(d.op)
	if mk == nil {
		b.missing = append(b.missing, graph.Missing{Node: n.Name, Op: n.Op, Domain: n.Domain, Opset: n.Opset})
		return nil
	}
	op, err := mk.try(n)
	if lack := (*lackError)(nil); errors.As(err, &lack) {
		b.missing = append(b.missing, graph.Missing{Node: n.Name, Op: n.Op, Domain: n.Domain, Opset: n.Opset, Why: lack.why})
		return nil
	} else if err != nil {
		return fmt.Errorf("engine/native: node %q (%s): %w", n.Name, n.Op, err)
	}
	n.op = op
	b.nodes = append(b.nodes, n)
	return nil
}

// views are the operators whose result has the elements of operand 0 in their
// order.
var views = map[string]bool{"Reshape": true, "Flatten": true, "Squeeze": true, "Unsqueeze": true, "Identity": true}

// view makes result 0 a view of operand 0 if the operator is one.
func (b *builder) view(op string, n *node) bool {
	isView := views[op] || op == "Dropout" && (!b.training || b.program.frozen) && (len(n.out) < 2 || n.out[1] == nil)
	if !isView {
		return false
	}
	x, y := n.in[0].site, n.out[0]
	y.of, y.producer = x, x.root().producer
	y.float, y.int, y.grad = x.float, x.int, x.grad // of weights and constants, which do not move
	return true
}

// addOutputs finds the results. A result that is not in memory of its own (a view
// of an input, or of another result) gets a copy.
func (b *builder) addOutputs() error {
	taken := map[*site]bool{}
	for _, name := range b.special.Graph.Outputs {
		s := b.site(name)
		if r := s.root(); r.kind != made || taken[r] {
			c := &draft{Node: &graph.Node{Name: "output " + name, Op: "Copy"}, op: "Copy", inputs: []string{name}, outputs: []string{"copy of " + name}}
			b.special.Types[c.outputs[0]] = b.special.Types[name]
			if err := b.add(c); err != nil {
				return err
			}
			s = b.values[c.outputs[0]]
		}
		taken[s.root()] = true
		s.root().output = true
		b.outputs = append(b.outputs, s)
	}
	return nil
}

// follow finds out which gradients are wanted: those of values that depend on a
// trainable weight and on which an output depends.
func (b *builder) follow() {
	if !b.backward {
		return
	}
	for _, o := range b.outputs {
		o.root().reached = !o.ints
	}
	for _, n := range slices.Backward(b.nodes) {
		n.active = slices.ContainsFunc(n.out, func(s *site) bool { return s != nil && s.wanted() })
		if !n.active {
			continue
		}
		for _, o := range n.in {
			if o != nil && !o.ints {
				o.root().reached = true
			}
		}
	}
	for _, w := range b.program.weights {
		if s := b.values[w.name]; w.trainable && (s == nil || !s.reached) {
			b.idle = append(b.idle, w)
		}
	}
}

// checkGradients refuses operators that have no derivative where one is needed.
func (b *builder) checkGradients() error {
	for _, n := range b.nodes {
		if _, ok := n.op.(differentiable); n.active && !ok {
			b.missing = append(b.missing, graph.Missing{Node: n.Name, Op: n.Op, Domain: n.Domain, Opset: n.Opset, Why: "its gradient is not implemented"})
		}
	}
	if len(b.missing) > 0 {
		return &graph.UnsupportedError{What: "train", Missing: b.missing}
	}
	return nil
}

// lay gives everything its place in the arena.
func (b *builder) lay() {
	b.layValues()
	if b.backward {
		b.layGradients()
	}
	loss := len(b.nodes)
	for _, n := range b.nodes {
		back := 2*loss - n.index
		for _, m := range n.retained {
			m.block.from, m.block.to = n.index, n.index
			if n.active {
				m.block.to = back
			}
			b.memories, b.blocks = append(b.memories, m), append(b.blocks, m.block)
		}
		for _, m := range n.scratches {
			m.block.from, m.block.to = n.index, n.index
			if n.active {
				m.block.again = back
			}
			b.memories, b.blocks = append(b.memories, m), append(b.blocks, m.block)
		}
	}
	b.size = arrange(b.blocks)
	b.layArrays()
	if b.poison {
		b.dying = make([][]*block, 2*loss+1)
		for _, k := range b.blocks {
			b.dying[k.to] = append(b.dying[k.to], k)
			if k.again > 0 {
				b.dying[k.again] = append(b.dying[k.again], k)
			}
		}
	}
}

// layValues gives each value its block, and puts results into the memory of
// operands where that is safe.
func (b *builder) layValues() {
	loss := len(b.nodes)
	use := func(s *site, time int) { r := s.root(); r.last = max(r.last, time) }
	for _, n := range b.nodes {
		back := 2*loss - n.index
		for i, o := range n.in {
			if o == nil {
				continue
			}
			use(o.site, n.index)
			if n.active && n.keepsIn[i] {
				use(o.site, back)
			}
		}
		for k, s := range n.out {
			if s == nil {
				continue
			}
			use(s, n.index)
			if n.active && n.keepsOut[k] {
				use(s, back)
			}
		}
	}
	for _, s := range b.outputs {
		use(s, loss)
	}
	for _, n := range b.nodes {
		for k, s := range n.out {
			if s == nil || s.ints {
				continue
			}
			if k == 0 {
				if host := b.host(n); host != nil {
					s.values = host.values
					s.values.to = max(s.values.to, s.last)
					continue
				}
			}
			s.values = &block{size: s.size, from: n.index, to: s.last}
			b.blocks = append(b.blocks, s.values)
		}
	}
}

// host returns the site in whose memory result 0 of n can lie, or nil.
func (b *builder) host(n *node) *site {
	for _, i := range n.places {
		o := n.operand(i)
		if o == nil {
			continue
		}
		r := o.root()
		shared := slices.ContainsFunc(n.in, func(other *operand) bool {
			return other != nil && other != o && other.root() == r
		})
		if r.kind == made && !r.ints && r.size == n.out[0].size && r.last == n.index && !shared {
			return r
		}
	}
	return nil
}

// layGradients gives each gradient its block, and finds out who writes it first.
func (b *builder) layGradients() {
	loss := len(b.nodes)
	begin := func(r *site, time int) {
		r.first = time
		if r.kind != made {
			return
		}
		r.slope = &block{size: r.size, from: time, to: 2*loss - r.producer}
		b.blocks = append(b.blocks, r.slope)
	}
	for _, o := range b.outputs {
		if !o.ints {
			begin(o.root(), loss)
			if !o.root().requires {
				o.root().slope.to = loss
			}
		}
	}
	for _, n := range slices.Backward(b.nodes) {
		if !n.active {
			continue
		}
		back := 2*loss - n.index
		given := false // the gradient of result 0 has found a taker
		for i, o := range n.in {
			if o == nil || !o.wanted() {
				continue
			}
			r := o.root()
			o.add = r.first > 0
			if o.add {
				if o.manner == writing {
					o.temporary = &memory{block: &block{size: r.size, from: back, to: back}}
					b.memories, b.blocks = append(b.memories, o.temporary), append(b.blocks, o.temporary.block)
					n.extra = append(n.extra, o)
				}
				continue
			}
			y := n.out[0]
			if !given && r.kind == made && slices.Contains(n.gradPlaces, i) && y != nil && y.slope != nil && y.size == r.size {
				given = true
				r.first, r.slope = back, y.slope
				r.slope.to = max(r.slope.to, 2*loss-r.producer)
			} else {
				begin(r, back)
			}
			if o.manner == adding {
				n.fresh = append(n.fresh, o)
			}
		}
	}
}

// layArrays prepares what is shown to the caller and to the loss.
func (b *builder) layArrays() {
	b.results = make([]engine.Array, len(b.outputs))
	b.slopes = make([]engine.Array, len(b.outputs))
	for _, s := range b.sites {
		if s.ints && s.kind == made && s.of == nil {
			s.int = make([]int64, s.size)
		}
	}
	for _, s := range b.sites {
		if s.of != nil {
			s.int = s.root().int
		}
	}
}

// bind sets the slices of all sites to their places in slab, which has at least
// size floats.
func (l *plan) bind(slab []float32) {
	if len(l.slab) > 0 && len(slab) > 0 && &l.slab[0] == &slab[0] {
		return
	}
	l.slab = slab
	at := func(k *block) []float32 { return slab[k.offset : k.offset+k.size : k.offset+k.size] }
	for _, s := range l.sites {
		if s.values != nil {
			s.float = at(s.values)[:s.size]
		}
		if s.slope != nil {
			s.grad = at(s.slope)[:s.size]
		}
		if s.of != nil { // its root comes before it
			s.float, s.grad = s.root().float, s.root().grad
		}
	}
	for _, m := range l.memories {
		m.float = at(m.block)
	}
	for _, n := range l.nodes {
		for _, o := range n.in {
			switch {
			case o == nil:
			case o.temporary != nil:
				o.into = o.temporary.float
			default:
				o.into = o.grad
			}
		}
	}
	for i, s := range l.outputs {
		l.results[i] = s.array()
		l.slopes[i] = engine.Array{Shape: s.shape, Float: s.grad}
	}
}

// feed sets the inputs of a call.
func (l *plan) feed(inputs []engine.Array) {
	for i, s := range l.inputs {
		if s == nil {
			continue
		}
		s.float, s.int = inputs[i].Float, inputs[i].Int
	}
	for _, s := range l.sites {
		if r := s.root(); s.of != nil && r.kind == fed {
			s.float, s.int = r.float, r.int
		}
	}
}
