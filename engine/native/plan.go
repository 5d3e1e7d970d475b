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
	shapes []tensor.Shape // of the inputs
	pinned []bool         // which inputs are constants of the plan
	nodes  []*node

	inputs, outputs []*site
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
	inside  *node // the If whose branch is made
}

// build makes the plan of p for inputs of the given shapes. Where shapes or the choice
// of a branch follow from an input that is one integer (a sampling rate), the plan is
// for that integer only.
func (p *program) build(inputs []engine.Array, m mode) (*plan, error) {
	l, err := p.buildFor(inputs, m, p.pins)
	if err != nil && !p.pins {
		if pinned, again := p.buildFor(inputs, m, true); again == nil {
			p.pins = true
			return pinned, nil
		}
	}
	return l, err
}

func (p *program) buildFor(inputs []engine.Array, m mode, pins bool) (*plan, error) {
	byName, constants := map[string]tensor.Shape{}, map[string]*graph.Value{}
	l := &plan{mode: m, pinned: make([]bool, len(inputs))}
	for i, in := range p.graph.Inputs {
		x := inputs[i]
		byName[in.Name] = x.Shape
		l.shapes = append(l.shapes, slices.Clone(x.Shape))
		l.pinned[i] = pins && len(x.Int) == 1 && product(x.Shape) == 1 && in.Type != "" && !in.Type.Numeric()
		if l.pinned[i] {
			constants[in.Name] = &graph.Value{Type: in.Type, Shape: l.shapes[i], Int: slices.Clone(x.Int)}
		}
	}
	s, err := graph.Specialize(p.graph, byName, constants)
	if err != nil {
		return nil, fmt.Errorf("engine/native: %w", err)
	}
	for name, t := range s.Types {
		if n, err := t.Shape.Elems(); err != nil || n > maxElements {
			return nil, fmt.Errorf("engine/native: value %q would have shape %v, and the limit is %d elements", name, t.Shape, int64(maxElements))
		}
	}
	b := &builder{plan: l, program: p, special: s, values: map[string]*site{}}
	for i, in := range p.graph.Inputs {
		if l.pinned[i] {
			b.inputs = append(b.inputs, &site{name: in.Name, kind: fed, shape: l.shapes[i], size: 1, ints: true, int: constants[in.Name].Int})
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
	if d.op == "If" && b.inside == nil {
		return b.addIf(d)
	}
	n := &node{
		Node: d.Node, fused: d.fused, pool: b.program.pool, random: &b.program.random,
		training: b.training, frozen: b.program.frozen, index: len(b.nodes), values: b.values,
		keepsIn: make([]bool, len(d.inputs)), keepsOut: make([]bool, len(d.outputs)),
	}
	if b.inside != nil {
		n.index = b.inside.index
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
	}
	if view := b.view(d.op, n); view {
		return nil
	}
	mk := operators[d.op]
	if mk == nil {
		b.missing = append(b.missing, graph.Missing{Node: n.Name, Op: n.Op, Domain: n.Domain, Opset: n.Opset})
		return nil
	}
	op, err := mk(n)
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
		for _, in := range n.inner {
			for _, m := range in.scratches {
				m.block.from, m.block.to = n.index, n.index
				b.memories, b.blocks = append(b.memories, m), append(b.blocks, m.block)
			}
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
		for _, in := range n.inner {
			for _, s := range in.out {
				if s != nil && !s.ints && s.of == nil {
					s.values = &block{size: s.size, from: n.index, to: n.index}
					b.blocks = append(b.blocks, s.values)
				}
			}
		}
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
		if l.pinned[i] {
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
