package graph

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"ropewalk/tensor"
)

// EvaluateOptions say how to evaluate. Nil and the zero value are the default.
type EvaluateOptions struct {
	// All has Evaluate return every value of the graph (those inside of
	// subgraphs excepted), not only its outputs.
	All bool
	// Training has BatchNormalization use the statistics of the batch, and
	// Dropout drop, whatever the graph says.
	Training bool
	// Seed drives what is random. It gives other numbers than engines have.
	Seed uint64
	// Mask, if not nil, says which elements Dropout of that node keeps.
	Mask func(node string, elems int) []bool
	// Updated, if not nil, gets the running statistics after a step of training,
	// under the names of the old ones. The variance is the unbiased one (of
	// n-1), as in PyTorch.
	Updated map[string]*Value
	// MaxElems bounds the elements of all values that are held at a time; 0 is 2^28,
	// which take 2 GiB.
	MaxElems int64
	// MaxSteps bounds the elementary operations, such as multiplications; 0 is 2^36,
	// which take minutes.
	MaxSteps int64
}

var (
	errMemory = errors.New("it would take more memory than EvaluateOptions.MaxElems allows")
	errSteps  = errors.New("it would take more work than EvaluateOptions.MaxSteps allows")
)

// nodeSteps is what a node costs however small its arrays are.
const nodeSteps = 512

// A budget is what is left of the limits.
type budget struct {
	elems int64 // that may still be held
	steps int64
	// last keeps what lastUses said: a loop runs its body many times.
	last map[*Graph][][]string
}

func newBudget(o *EvaluateOptions) *budget {
	b := &budget{elems: o.MaxElems, steps: o.MaxSteps, last: map[*Graph][][]string{}}
	if b.elems <= 0 {
		b.elems = 1 << 28
	}
	if b.steps <= 0 {
		b.steps = 1 << 36
	}
	return b
}

// spend takes n elementary operations, before they are done.
func (c *context) spend(n int64) error {
	if n < 0 || n > c.budget.steps {
		return errSteps
	}
	c.budget.steps -= n
	return nil
}

// spendProduct takes as many elementary operations as the product of the numbers.
func (c *context) spendProduct(numbers ...int64) error {
	n := int64(1)
	for _, k := range numbers {
		if k < 0 || k > 0 && n > c.budget.steps/k {
			return errSteps
		}
		n *= k
	}
	return c.spend(n)
}

// hold takes the memory of n elements.
func (c *context) hold(n int64) error {
	if n > c.budget.elems {
		return errMemory
	}
	c.budget.elems -= n
	return nil
}

func (c *context) release(n int64) { c.budget.elems += n }

// chance is a source of random numbers.
type chance = rand.Rand

func newChance(seed uint64) *chance { return rand.New(rand.NewPCG(seed, 0x6a09e667f3bcc909)) }

// A scope holds the values of one run of a graph, on top of those around it.
type scope struct {
	values map[string]*Value
	around func(name string) (*Operand, error)
}

// find returns what the scope knows of a value.
func (s *scope) find(name string) (*Operand, error) {
	if v, ok := s.values[name]; ok {
		return &Operand{v.typ(), v}, nil
	}
	return s.around(name)
}

// Evaluate computes g on inputs, which name every input of the graph, and returns its
// outputs by name. It computes in float64 whatever float type a value has, so that
// it can stand as the truth; only Cast rounds. Operators that are not known are one
// *[UnsupportedError]. It is plain and slow.
func Evaluate(g *Graph, inputs map[string]*Value, o *EvaluateOptions) (map[string]*Value, error) {
	if o == nil {
		o = &EvaluateOptions{}
	}
	if missing := g.Missing(); len(missing) > 0 {
		return nil, &UnsupportedError{What: "evaluate the graph", Missing: missing}
	}
	weights := map[string]*Value{}
	c := newContext(nil, newBudget(o))
	c.training, c.mask, c.updated, c.chance = o.Training, o.Mask, o.Updated, newChance(o.Seed)
	c.outer = func(name string) (*Operand, error) {
		if v, ok := weights[name]; ok {
			return &Operand{v.typ(), v}, nil
		}
		t := g.Weights.Lookup(name)
		if t == nil {
			return nil, fmt.Errorf("value %q is used, but nothing makes it", name)
		}
		if err := c.hold(t.Elems()); err != nil {
			return nil, fmt.Errorf("weight %q: %w", name, err)
		}
		v, err := ValueOf(t)
		if err != nil {
			return nil, err
		}
		weights[name] = v
		return &Operand{v.typ(), v}, nil
	}
	in := make([]*Value, len(g.Inputs))
	for i, want := range g.Inputs {
		v := inputs[want.Name]
		if v == nil {
			return nil, fmt.Errorf("input %q is missing", want.Name)
		}
		if err := v.check(); err != nil {
			return nil, fmt.Errorf("input %q: %w", want.Name, err)
		}
		if err := want.accepts(v.typ()); err != nil {
			return nil, err
		}
		in[i] = v
	}
	return c.run(g, in, o.All)
}

// accepts says what is wrong with feeding a value of type t.
func (in Input) accepts(t Type) error {
	bad := in.Type != "" && in.Type != t.DType || in.Shape != nil && len(in.Shape) != len(t.Shape)
	for i, d := range in.Shape {
		bad = bad || d.Size >= 0 && d.Size != t.Shape[i]
	}
	if !bad {
		return nil
	}
	axes := make(tensor.Shape, len(in.Shape))
	for i, d := range in.Shape {
		axes[i] = max(d.Size, -1)
	}
	return fmt.Errorf("input %q is %v, want %s %v (-1 is any length)", in.Name, t, in.Type, axes)
}

// run computes the outputs of g, all its values if all is set. c.outer knows the
// weights and the values around g.
func (c *context) run(g *Graph, in []*Value, all bool) (map[string]*Value, error) {
	if len(in) != len(g.Inputs) {
		return nil, fmt.Errorf("graph %q gets %d inputs, want %d", g.Name, len(in), len(g.Inputs))
	}
	s := &scope{values: map[string]*Value{}, around: c.outer}
	inner := *c
	inner.outer = s.find
	for i, v := range in {
		s.values[g.Inputs[i].Name] = v
	}
	last, ok := c.budget.last[g]
	if !ok {
		last = lastUses(g)
		c.budget.last[g] = last
	}
	held := map[string]int64{}
	defer func() {
		for _, n := range held {
			c.release(n)
		}
	}()
	for at, n := range g.Nodes {
		args := make([]*Value, len(n.Inputs))
		for i, name := range n.Inputs {
			if name == "" {
				continue
			}
			o, err := s.find(name)
			if err != nil {
				return nil, nodeError(n, err)
			}
			if args[i], err = need(o, fmt.Sprintf("%q", name)); err != nil {
				return nil, nodeError(n, err)
			}
		}
		out, err := inner.apply(n, args)
		if err != nil {
			return nil, nodeError(n, err)
		}
		for i, name := range n.Outputs {
			if name == "" {
				continue
			}
			size := int64(out[i].elems())
			if err := c.hold(size); err != nil {
				return nil, nodeError(n, err)
			}
			held[name] += size
			s.values[name] = out[i]
		}
		if all {
			continue
		}
		for _, name := range last[at] {
			c.release(held[name])
			delete(held, name)
			delete(s.values, name)
		}
	}
	if all {
		for _, name := range g.Outputs {
			if err := s.output(name); err != nil {
				return nil, err
			}
		}
		return s.values, nil
	}
	outputs := map[string]*Value{}
	for _, name := range g.Outputs {
		if err := s.output(name); err != nil {
			return nil, err
		}
		outputs[name] = s.values[name]
	}
	return outputs, nil
}

// output makes sure that the scope itself has the value, which may be a weight or
// a value around.
func (s *scope) output(name string) error {
	o, err := s.find(name)
	if err != nil {
		return fmt.Errorf("output: %w", err)
	}
	v, err := need(o, fmt.Sprintf("%q", name))
	if err != nil {
		return err
	}
	s.values[name] = v
	return nil
}

// A nodeFailure names the node in which something failed.
type nodeFailure struct {
	node *Node
	err  error
}

func (e *nodeFailure) Error() string {
	return fmt.Sprintf("node %q (%s): %v", e.node.Name, operatorName(e.node), e.err)
}

func (e *nodeFailure) Unwrap() error { return e.err }

func nodeError(n *Node, err error) error { return &nodeFailure{n, err} }

// lastUses returns for each node the values that nobody uses after it.
func lastUses(g *Graph) [][]string {
	at := map[string]int{}
	for i, n := range g.Nodes {
		for name := range uses(n) {
			at[name] = i
		}
		for _, name := range n.Outputs {
			at[name] = i
		}
	}
	for _, name := range g.Outputs {
		delete(at, name)
	}
	last := make([][]string, len(g.Nodes))
	for name, i := range at {
		last[i] = append(last[i], name)
	}
	return last
}

// uses yields the values that a node uses, those of its subgraphs included.
func uses(n *Node) map[string]bool {
	names := map[string]bool{}
	var visit func(n *Node)
	visit = func(n *Node) {
		for _, name := range n.Inputs {
			names[name] = true
		}
		for _, a := range n.Attributes {
			if sub, ok := a.(*Graph); ok {
				for _, inner := range sub.Nodes {
					visit(inner)
				}
				for _, name := range sub.Outputs {
					names[name] = true
				}
			}
		}
	}
	visit(n)
	delete(names, "")
	return names
}
