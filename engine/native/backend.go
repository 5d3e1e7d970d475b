package native

import (
	"errors"
	"fmt"
	"slices"

	"ropewalk/engine"
	"ropewalk/graph"
	"ropewalk/internal/kernel"
)

// Backend is the engine in Go. Its zero value is ready.
type Backend struct{}

// Name implements [engine.Backend].
func (Backend) Name() string { return "native" }

// Compile implements [engine.Backend]. It looks for operators that are missing;
// whether all have a form that can be done is known with the shapes of the inputs,
// at the first Forward or Step.
func (Backend) Compile(g *graph.Graph, o *engine.Options) (engine.Program, error) {
	return compile(g, o)
}

func compile(g *graph.Graph, o *engine.Options) (*program, error) {
	if o == nil {
		o = &engine.Options{}
	}
	if missing := lacking(g); len(missing) > 0 {
		return nil, &graph.UnsupportedError{What: "compute", Missing: missing}
	}
	if o.Fixed && len(o.Trainable) > 0 {
		return nil, errors.New("engine/native: weights that are fixed cannot be trainable")
	}
	p := &program{
		graph: g, byName: map[string]*weight{}, frozen: o.Frozen, random: random{seed: o.Seed},
		fixed: o.Fixed, ready: map[string]*ready{},
	}
	for _, t := range g.Weights.All() {
		if !t.DType.Numeric() {
			continue
		}
		raw, err := t.Bytes()
		if err != nil {
			return nil, fmt.Errorf("engine/native: %w", err)
		}
		w := &weight{name: t.Name, shape: t.Shape, trainable: slices.Contains(o.Trainable, t.Name)}
		w.values = t.DType.AppendFloat32s(make([]float32, 0, t.Elems()), raw)
		if w.trainable {
			w.gradient = make([]float32, len(w.values))
		}
		p.weights = append(p.weights, w)
		p.byName[w.name] = w
		p.shown = append(p.shown, engine.Weight{Name: w.name, Shape: w.shape, Values: w.values, Gradient: w.gradient})
	}
	for _, name := range o.Trainable {
		if p.byName[name] == nil {
			return nil, fmt.Errorf("engine/native: there is no weight %q of floats to train", name)
		}
	}
	p.pool = kernel.NewPool(o.Threads)
	return p, nil
}

// lacking returns the operators of g, and of the graphs in it, that no row of the
// table has.
func lacking(g *graph.Graph) []graph.Missing {
	var missing []graph.Missing
	for _, n := range g.Nodes {
		if n.Domain != "" || !known(n.Op) {
			missing = append(missing, graph.Missing{Node: n.Name, Op: n.Op, Domain: n.Domain, Opset: n.Opset})
		}
		for _, h := range nested(n) {
			missing = append(missing, lacking(h)...)
		}
	}
	return missing
}

func known(op string) bool { return makerOf(op) != nil || views[op] || folded[op] }
