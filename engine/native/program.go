package native

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/internal/kernel"
)

// plansKept is how many plans a program remembers: those for training and for
// evaluation, each with the last, smaller batch, and some more.
const plansKept = 8

// A program is a graph with its weights, and the plans for the shapes that were
// seen last. All plans share one arena, since one runs at a time.
type program struct {
	graph   *graph.Graph
	weights []*weight
	byName  map[string]*weight
	tables  map[string]*graph.Value // large weights of integers, that plans share
	shown   []engine.Weight
	pool    *kernel.Pool
	frozen  bool
	fixed   bool              // nobody writes to weights
	ready   map[string]*ready // weights that are made ready once; see conv.prepare
	random  random
	plans   []*plan // the one used last comes first
	slab    []float32

	steering int // see build

	// Tests look at both.
	poison bool // see plan.expire
	noFuse bool
}

// Forward implements [engine.Program].
func (p *program) Forward(inputs []engine.Array) ([]engine.Array, error) {
	l, err := p.prepare(inputs, mode{fuse: !p.noFuse, poison: p.poison})
	if err != nil {
		return nil, err
	}
	if err := l.forward(); err != nil {
		return nil, fmt.Errorf("engine/native: %w", err)
	}
	return l.results, nil
}

// Step implements [engine.Program].
func (p *program) Step(step uint64, loss engine.Loss, inputs []engine.Array) (float64, error) {
	p.random.step = step
	l, err := p.prepare(inputs, mode{training: true, backward: true, fuse: !p.noFuse, poison: p.poison})
	if err != nil {
		return 0, err
	}
	if err := l.forward(); err != nil {
		return 0, fmt.Errorf("engine/native: %w", err)
	}
	for _, s := range l.slopes {
		clear(s.Float)
	}
	value := loss(l.results, l.slopes)
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return value, p.firstNonFinite(step, inputs)
	}
	l.commit()
	if err := l.backwards(); err != nil {
		return value, fmt.Errorf("engine/native: %w", err)
	}
	return value, nil
}

// Weights implements [engine.Program].
func (p *program) Weights() []engine.Weight { return p.shown }

// Close implements [engine.Program].
func (p *program) Close() error {
	p.pool.Close()
	p.plans, p.slab, p.ready = nil, nil, nil
	return nil
}

// prepare returns the plan for the inputs, bound to memory and fed.
func (p *program) prepare(inputs []engine.Array, m mode) (*plan, error) {
	i := slices.IndexFunc(p.plans, func(l *plan) bool { return l.mode == m && l.fits(inputs) })
	if i < 0 {
		if err := p.check(inputs); err != nil {
			return nil, err
		}
		l, err := p.build(inputs, m)
		if err != nil {
			return nil, err
		}
		if len(p.plans) >= plansKept {
			p.plans = p.plans[:plansKept-1]
		}
		p.plans = append(p.plans, l)
		i = len(p.plans) - 1
	}
	l := p.plans[i]
	copy(p.plans[1:i+1], p.plans[:i])
	p.plans[0] = l
	if err := l.checkFed(inputs); err != nil {
		return nil, err
	}
	if l.size > maxArena {
		return nil, fmt.Errorf("engine/native: inputs of this size need %d MB of memory, and the limit is %d", l.size>>18, maxArena>>18)
	}
	if len(p.slab) < l.size {
		p.slab = nil // let go of it first
		p.slab = make([]float32, l.size)
	}
	l.bind(p.slab)
	l.feed(inputs)
	return l, nil
}

// fits reports whether the plan is for inputs like these.
func (l *plan) fits(inputs []engine.Array) bool {
	if len(inputs) != len(l.shapes) {
		return false
	}
	for i, s := range l.shapes {
		if !s.Equal(inputs[i].Shape) {
			return false
		}
	}
	for i, v := range l.steering {
		if v != nil && !steers(v, inputs[i]) {
			return false
		}
	}
	return true
}

// check holds inputs against what the graph says of them.
func (p *program) check(inputs []engine.Array) error {
	want := p.graph.Inputs
	if len(inputs) != len(want) {
		return fmt.Errorf("engine/native: %d inputs given, and the network %q has %d", len(inputs), p.graph.Name, len(want))
	}
	for i, x := range inputs {
		n, err := x.Shape.Elems()
		if err != nil {
			return fmt.Errorf("engine/native: input %q: %w", want[i].Name, err)
		}
		if n > maxElements {
			return fmt.Errorf("engine/native: input %q of shape %v has more than %d elements", want[i].Name, x.Shape, maxElements)
		}
		if want[i].Shape == nil {
			continue
		}
		fits := len(x.Shape) == len(want[i].Shape)
		for k := 0; fits && k < len(x.Shape); k++ {
			fits = want[i].Shape[k].Size < 0 || want[i].Shape[k].Size == x.Shape[k]
		}
		if !fits {
			return fmt.Errorf("engine/native: input %q has shape %v, and the network wants %v", want[i].Name, x.Shape, dimsText(want[i].Shape))
		}
	}
	return nil
}

// maxElements bounds every value, so that a graph from a stranger cannot ask for
// memory without end, and sums of sizes stay far from overflow.
const maxElements = 1 << 31

// maxArena bounds the arena: 256 GiB.
const maxArena = min(1<<36, math.MaxInt/4)

func dimsText(dims []graph.Dim) string {
	list := make([]string, len(dims))
	for i, d := range dims {
		switch {
		case d.Size >= 0:
			list[i] = strconv.FormatInt(d.Size, 10)
		case d.Name != "":
			list[i] = d.Name
		default:
			list[i] = "any"
		}
	}
	return "(" + strings.Join(list, ", ") + ")"
}

// checkFed makes sure that the slices hold what the shapes say.
func (l *plan) checkFed(inputs []engine.Array) error {
	for i, s := range l.inputs {
		if s == nil { // a constant of the plan
			continue
		}
		have, what := len(inputs[i].Float), "Float"
		if s.ints {
			have, what = len(inputs[i].Int), "Int"
		}
		if have != s.size {
			return fmt.Errorf("engine/native: input %q of shape %v needs %d elements in %s, and has %d", s.name, s.shape, s.size, what, have)
		}
	}
	return nil
}
