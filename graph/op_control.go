package graph

import (
	"errors"
	"fmt"
	"slices"

	"ropewalk/tensor"
)

// controlOps run graphs that are attributes of their nodes.
var controlOps = map[string]operator{
	"If":   {infer: inferIf, evaluate: evaluateIf, min: 1, max: 1, late: true},
	"Loop": {infer: inferLoop, evaluate: evaluateLoop, min: 0, max: -1, late: true},
	"Scan": {infer: inferScan, evaluate: evaluateScan, min: 1, max: -1, late: true},
}

// maxDepth bounds graphs in graphs.
const maxDepth = 32

// nested returns the context for a subgraph.
func (c *context) nested() (*context, error) {
	inner := *c
	inner.depth++
	if inner.depth > maxDepth {
		return nil, fmt.Errorf("graphs are nested more than %d deep", maxDepth)
	}
	return &inner, nil
}

// runNested computes the outputs of a subgraph, in their order.
func (c *context) runNested(g *Graph, in []*Value) ([]*Value, error) {
	inner, err := c.nested()
	if err != nil {
		return nil, err
	}
	for i, v := range in {
		if i < len(g.Inputs) {
			if err := g.Inputs[i].accepts(v.typ()); err != nil {
				return nil, err
			}
		}
	}
	values, err := inner.run(g, in, false)
	if err != nil {
		return nil, err
	}
	out := make([]*Value, len(g.Outputs))
	for i, name := range g.Outputs {
		out[i] = values[name]
	}
	return out, nil
}

// foldLimit bounds the constants that are made when subgraphs are looked through.
const foldLimit = 1 << 12

// knowNested returns what is known of the outputs of a subgraph.
func (c *context) knowNested(g *Graph, in []*Operand) ([]*Operand, error) {
	if len(in) != len(g.Inputs) {
		return nil, fmt.Errorf("graph %q gets %d inputs, want %d", g.Name, len(in), len(g.Inputs))
	}
	inner, err := c.nested()
	if err != nil {
		return nil, err
	}
	known := map[string]*Operand{}
	find := func(name string) (*Operand, error) {
		if o, ok := known[name]; ok {
			return o, nil
		}
		return c.outer(name)
	}
	inner.outer = find
	for i, o := range in {
		known[g.Inputs[i].Name] = o
	}
	for _, n := range g.Nodes {
		if err := inner.spend(nodeSteps); err != nil {
			return nil, err
		}
		args := make([]*Operand, len(n.Inputs))
		for i, name := range n.Inputs {
			if name == "" {
				continue
			}
			if args[i], err = find(name); err != nil {
				return nil, nodeError(n, err)
			}
		}
		out, err := inner.know(n, args, foldLimit)
		if err != nil {
			return nil, nodeError(n, err)
		}
		for i, name := range n.Outputs {
			if name != "" {
				known[name] = out[i]
			}
		}
	}
	out := make([]*Operand, len(g.Outputs))
	for i, name := range g.Outputs {
		if out[i], err = find(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// oneTruth says whether o can be a condition.
func oneTruth(o *Operand) error {
	if k, err := o.Type.Shape.Elems(); err != nil || k != 1 || o.Type.DType != tensor.Bool {
		return fmt.Errorf("the condition is %v, want one truth value", o.Type)
	}
	return nil
}

// inferIf looks through the branch that is taken, or through both, whose outputs must
// then be of the same types.
func inferIf(c *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	branches := []*Graph{r.graph("else_branch"), r.graph("then_branch")}
	if r.err != nil {
		return nil, r.err
	}
	if err := oneTruth(in[0]); err != nil {
		return nil, err
	}
	if in[0].Value != nil {
		branches = branches[in[0].Value.Int[0]:][:1]
	}
	var types []Type
	for i, g := range branches {
		out, err := c.knowNested(g, nil)
		if err != nil {
			return nil, err
		}
		t := typesOf(out)
		if i > 0 && !slices.EqualFunc(t, types, Type.equal) {
			return nil, fmt.Errorf("its branches give %v and %v, and which is taken is known only when the graph runs", t, types)
		}
		types = t
	}
	return types, nil
}

func typesOf(operands []*Operand) []Type {
	types := make([]Type, len(operands))
	for i, o := range operands {
		types[i] = o.Type
	}
	return types
}

func evaluateIf(c *context, n *Node, in []*Value) ([]*Value, error) {
	r := read(n)
	g := r.graph("else_branch")
	if err := oneTruth(&Operand{in[0].typ(), in[0]}); err != nil {
		return nil, err
	}
	if in[0].Int[0] == 1 {
		g = r.graph("then_branch")
	}
	if r.err != nil {
		return nil, r.err
	}
	return c.runNested(g, nil)
}

// A Loop has a count (or none), a condition (or none), and values that go from one
// turn to the next. Its body gets the number of the turn, the condition and the
// values; it gives the next condition, the next values, and elements of scans,
// which are stacked.
type loop struct {
	body      *Graph
	carried   int
	scans     int
	count     *Operand
	condition *Operand
	initial   []*Operand
}

func loopOf(n *Node, in []*Operand) (*loop, error) {
	r := read(n)
	body := r.graph("body")
	if r.err != nil {
		return nil, r.err
	}
	if len(in) < 2 {
		return nil, fmt.Errorf("it has %d inputs, want a count and a condition at least", len(in))
	}
	l := &loop{body: body, carried: len(in) - 2, count: in[0], condition: in[1], initial: in[2:]}
	if len(body.Inputs) != 2+l.carried || len(body.Outputs) < 1+l.carried {
		return nil, fmt.Errorf("its body has %d inputs and %d outputs, which do not fit %d values", len(body.Inputs), len(body.Outputs), l.carried)
	}
	l.scans = len(body.Outputs) - 1 - l.carried
	if l.count != nil {
		if k, err := l.count.Type.Shape.Elems(); err != nil || k != 1 || l.count.Type.DType != tensor.I64 {
			return nil, fmt.Errorf("the count is %v, want one I64", l.count.Type)
		}
	}
	if l.condition != nil {
		if err := oneTruth(l.condition); err != nil {
			return nil, err
		}
	}
	for i, o := range l.initial {
		if o == nil {
			return nil, fmt.Errorf("value %d is missing", i)
		}
	}
	return l, nil
}

// inferLoop knows the types if no turn changes those of the values; the number of turns
// must be constant if there are scans.
func inferLoop(c *context, n *Node, in []*Operand) ([]Type, error) {
	l, err := loopOf(n, in)
	if err != nil {
		return nil, err
	}
	on := &Value{Type: tensor.Bool, Shape: tensor.Shape{}, Int: []int64{1}}
	args := []*Operand{{Type: Type{tensor.I64, tensor.Shape{}}}, {on.typ(), on}}
	for _, o := range l.initial {
		args = append(args, &Operand{Type: o.Type})
	}
	out, err := c.knowNested(l.body, args)
	if err != nil {
		return nil, err
	}
	types := typesOf(out[1:])
	for i, o := range l.initial {
		if !types[i].equal(o.Type) {
			return nil, fmt.Errorf("value %d is %v before a turn and %v behind it", i, o.Type, types[i])
		}
	}
	if l.scans == 0 {
		return types, nil
	}
	// The number of turns is the count if the condition is true at first and always.
	isCount := l.count != nil && l.count.Value != nil
	always := out[0].Value != nil && out[0].Value.Int[0] == 1 && (l.condition == nil || l.condition.Value != nil && l.condition.Value.Int[0] == 1)
	var turns int64
	switch {
	case isCount && l.count.Value.Int[0] <= 0, l.condition != nil && l.condition.Value != nil && l.condition.Value.Int[0] == 0:
	case isCount && always:
		turns = l.count.Value.Int[0]
	default:
		return nil, &neededError{"the number of turns"}
	}
	for i := range l.scans {
		t := &types[l.carried+i]
		t.Shape = append(tensor.Shape{turns}, t.Shape...)
	}
	return types, nil
}

func evaluateLoop(c *context, n *Node, in []*Value) ([]*Value, error) {
	l, err := loopOf(n, operandsOf(in))
	if err != nil {
		return nil, err
	}
	turns, on := int64(-1), true
	if l.count != nil {
		turns = max(l.count.Value.Int[0], 0)
	}
	if l.condition != nil {
		on = l.condition.Value.Int[0] == 1
	}
	carried := slices.Clone(in[2:])
	stacks := make([]*stack, l.scans)
	for i := range stacks {
		stacks[i] = &stack{}
	}
	defer func() {
		for _, s := range stacks {
			c.release(s.held)
		}
	}()
	for turn := int64(0); on && turn != turns; turn++ {
		if err := c.spend(nodeSteps); err != nil {
			return nil, err
		}
		args := append([]*Value{
			{Type: tensor.I64, Shape: tensor.Shape{}, Int: []int64{turn}},
			{Type: tensor.Bool, Shape: tensor.Shape{}, Int: []int64{truth(on)}},
		}, carried...)
		out, err := c.runNested(l.body, args)
		if err != nil {
			return nil, fmt.Errorf("turn %d: %w", turn, err)
		}
		if err := oneTruth(&Operand{out[0].typ(), nil}); err != nil {
			return nil, err
		}
		on = out[0].Int[0] == 1
		carried = out[1 : 1+l.carried]
		for i, s := range stacks {
			if err := s.push(c, out[1+l.carried+i]); err != nil {
				return nil, fmt.Errorf("scan %d in turn %d: %w", i, turn, err)
			}
		}
	}
	results := slices.Clone(carried)
	for i, s := range stacks {
		v, err := s.value(false)
		if err != nil { // no turn: the types are those that the body would give
			types, inferErr := inferLoop(c, n, operandsOf(in))
			if inferErr != nil {
				return nil, errors.Join(err, inferErr)
			}
			v = newValue(types[l.carried+i])
		}
		results = append(results, v)
	}
	return results, nil
}

// A stack puts arrays of one type on top of each other.
type stack struct {
	list []*Value
	held int64
}

func (s *stack) push(c *context, v *Value) error {
	if len(s.list) > 0 && !v.typ().equal(s.list[0].typ()) {
		return fmt.Errorf("it is %v, and was %v before", v.typ(), s.list[0].typ())
	}
	size := int64(v.elems()) + 1
	if err := c.hold(size); err != nil {
		return err
	}
	s.held += size
	s.list = append(s.list, v)
	return nil
}

// value returns the arrays as one with a new first axis, from the last if reversed.
func (s *stack) value(reversed bool) (*Value, error) {
	if len(s.list) == 0 {
		return nil, errors.New("nothing was scanned")
	}
	v := s.list[0]
	out := newValue(Type{v.Type, append(tensor.Shape{int64(len(s.list))}, v.Shape...)})
	size := v.elems()
	for i, v := range s.list {
		if reversed {
			i = len(s.list) - 1 - i
		}
		for k := range size {
			out.set(i*size+k, v, k)
		}
	}
	return out, nil
}

// A Scan has values that go from one turn to the next, and arrays of which each turn
// sees one slice.
type scan struct {
	body                    *Graph
	states, inputs, outputs int
	inAxes, outAxes         []int64
	inReversed, outReversed []bool
	length                  int64
	slices                  []Type // of the arrays
}

func scanOf(n *Node, in []*Operand) (*scan, error) {
	r := read(n)
	s := &scan{body: r.graph("body"), inputs: int(r.int("num_scan_inputs", 0))}
	if r.err != nil {
		return nil, r.err
	}
	s.states = len(in) - s.inputs
	s.outputs = len(s.body.Outputs) - s.states
	if s.inputs < 1 || s.states < 0 || s.outputs < 0 || len(s.body.Inputs) != len(in) {
		return nil, fmt.Errorf("its body has %d inputs and %d outputs, which do not fit %d inputs of which %d are scanned",
			len(s.body.Inputs), len(s.body.Outputs), len(in), s.inputs)
	}
	list := func(name string, count int) []int64 {
		v := r.ints(name)
		if v == nil {
			v = make([]int64, count)
		}
		if len(v) != count {
			r.fail("attribute %s has %d numbers, want %d", name, len(v), count)
			v = make([]int64, count)
		}
		return v
	}
	flags := func(name string, count int) []bool {
		set := make([]bool, count)
		for i, x := range list(name, count) {
			set[i] = x == 1
		}
		return set
	}
	s.inAxes, s.outAxes = list("scan_input_axes", s.inputs), list("scan_output_axes", s.outputs)
	s.inReversed, s.outReversed = flags("scan_input_directions", s.inputs), flags("scan_output_directions", s.outputs)
	if r.err != nil {
		return nil, r.err
	}
	for i, o := range in {
		if o == nil {
			return nil, fmt.Errorf("input %d is missing", i)
		}
		if i < s.states {
			continue
		}
		k := i - s.states
		axis, err := axisOf(s.inAxes[k], len(o.Type.Shape))
		if err != nil {
			return nil, err
		}
		s.inAxes[k] = int64(axis)
		if k > 0 && o.Type.Shape[axis] != s.length {
			return nil, fmt.Errorf("scans of %d and of %d turns", s.length, o.Type.Shape[axis])
		}
		s.length = o.Type.Shape[axis]
		s.slices = append(s.slices, Type{o.Type.DType, slices.Delete(slices.Clone(o.Type.Shape), axis, axis+1)})
	}
	return s, nil
}

func inferScan(c *context, n *Node, in []*Operand) ([]Type, error) {
	s, err := scanOf(n, in)
	if err != nil {
		return nil, err
	}
	var args []*Operand
	for _, o := range in[:s.states] {
		args = append(args, &Operand{Type: o.Type})
	}
	for _, t := range s.slices {
		args = append(args, &Operand{Type: t})
	}
	out, err := c.knowNested(s.body, args)
	if err != nil {
		return nil, err
	}
	types := typesOf(out)
	for i := range s.states {
		if !types[i].equal(in[i].Type) {
			return nil, fmt.Errorf("value %d is %v before a turn and %v behind it", i, in[i].Type, types[i])
		}
	}
	for i := range s.outputs {
		t := &types[s.states+i]
		axis, err := axisOf(s.outAxes[i], len(t.Shape)+1)
		if err != nil {
			return nil, err
		}
		t.Shape = slices.Insert(slices.Clone(t.Shape), axis, s.length)
	}
	return types, nil
}

func evaluateScan(c *context, n *Node, in []*Value) ([]*Value, error) {
	s, err := scanOf(n, operandsOf(in))
	if err != nil {
		return nil, err
	}
	states := slices.Clone(in[:s.states])
	stacks := make([]*stack, s.outputs)
	for i := range stacks {
		stacks[i] = &stack{}
	}
	defer func() {
		for _, s := range stacks {
			c.release(s.held)
		}
	}()
	for turn := range s.length {
		if err := c.spend(nodeSteps); err != nil {
			return nil, err
		}
		args := slices.Clone(states)
		for k, t := range s.slices {
			v, axis := in[s.states+k], int(s.inAxes[k])
			at := turn
			if s.inReversed[k] {
				at = s.length - 1 - turn
			}
			own := stridesOf(v.Shape)
			first := int(at) * own[axis]
			args = append(args, gatherWith(v, t.Shape, first, slices.Delete(own, axis, axis+1)))
			if err := c.spend(int64(product(t.Shape))); err != nil {
				return nil, err
			}
		}
		out, err := c.runNested(s.body, args)
		if err != nil {
			return nil, fmt.Errorf("turn %d: %w", turn, err)
		}
		states = out[:s.states]
		for i, k := range stacks {
			if err := k.push(c, out[s.states+i]); err != nil {
				return nil, fmt.Errorf("scan %d in turn %d: %w", i, turn, err)
			}
		}
	}
	results := slices.Clone(states)
	for i, k := range stacks {
		v, err := k.value(s.outReversed[i])
		if err != nil {
			types, inferErr := inferScan(c, n, operandsOf(in))
			if inferErr != nil {
				return nil, errors.Join(err, inferErr)
			}
			results = append(results, newValue(types[s.states+i]))
			continue
		}
		axis, err := axisOf(s.outAxes[i], len(v.Shape))
		if err != nil {
			return nil, err
		}
		var perm []int
		for a := 1; a < len(v.Shape); a++ {
			perm = append(perm, a)
		}
		results = append(results, transpose(v, slices.Insert(perm, axis, 0)))
	}
	return results, nil
}
