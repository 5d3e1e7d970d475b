package main

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/engine"
	"ropewalk/engine/native"
	"ropewalk/graph"
	"ropewalk/lineage"
	"ropewalk/symmetry"
)

// judge says what is wrong with what was said: kinds that are missing, that were not
// there, or in the wrong order; parameters that are off; a verdict that does not go with the kinds.
func judge(t *truth, c *lineage.Comparison) (wrong []string) {
	used := make([]bool, len(c.Changes))
	for _, it := range t.items {
		at := slices.IndexFunc(c.Changes, func(x lineage.Change) bool { return slices.Contains(it.kinds, x.Kind) })
		if at < 0 {
			if it.must {
				wrong = append(wrong, fmt.Sprintf("missing: %s", it.kinds[0]))
			}
			continue
		}
		used[at] = true
		if it.check == nil || !it.must {
			continue // what is covered may be measured wrong
		}
		if why := it.check(&c.Changes[at]); why != "" {
			wrong = append(wrong, fmt.Sprintf("%s: %s", c.Changes[at].Kind, why))
		}
	}
	last, name := -1, ""
	for _, it := range t.items {
		at := slices.IndexFunc(c.Changes, func(x lineage.Change) bool { return slices.Contains(it.kinds, x.Kind) })
		if !it.ordered || !it.must || at < 0 {
			continue
		}
		if at < last {
			wrong = append(wrong, fmt.Sprintf("order: %s before %s", c.Changes[at].Kind, name))
		}
		last, name = max(at, last), string(c.Changes[at].Kind)
	}
	for i, x := range c.Changes {
		if !used[i] {
			wrong = append(wrong, fmt.Sprintf("not done: %s", x.Kind))
		}
	}
	if want := rung(c.Changes); want != c.Verdict {
		wrong = append(wrong, fmt.Sprintf("verdict: %s, want %s", c.Verdict, want))
	}
	return wrong
}

// rung is the verdict that goes with changes.
func rung(changes []lineage.Change) lineage.Verdict {
	v := lineage.SameWeights
	for _, c := range changes {
		of := lineage.Modified
		switch c.Kind {
		case lineage.Container, lineage.Metadata, lineage.Renamed:
			of = lineage.SameWeights
		case lineage.Reorder:
			of = lineage.Reordered
		case lineage.Rescale, lineage.SignFlip, lineage.Padding:
			of = lineage.Rescaled
		case lineage.Cast, lineage.Quantize:
			of = lineage.Reencoded
		case lineage.Prune, lineage.Removal:
			of = lineage.Pruned
		case lineage.Partial, lineage.Merge:
			of = lineage.PartlyDerived
		}
		list := lineage.Verdicts()
		if slices.Index(list, of) > slices.Index(list, v) {
			v = of
		}
	}
	return v
}

// apart is how far the outputs of two networks are apart, relative to the largest:
// the most of any output.
func apart(a, b *graph.Graph) (float64, error) {
	list, err := symmetry.Compare(a, b, &symmetry.VerifyOptions{Seed: 11, Run: compute, Tolerance: math.Inf(1)})
	if err != nil {
		return 0, err
	}
	most := 0.0
	for _, d := range list {
		most = max(most, d.Largest)
	}
	return most, nil
}

// compute runs a network on the engine, in float32.
func compute(g *graph.Graph, inputs map[string]*graph.Value) (map[string]*graph.Value, error) {
	p, err := native.Backend{}.Compile(g, &engine.Options{Threads: 1})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	var in []engine.Array
	for _, i := range g.Inputs {
		v := inputs[i.Name]
		a := engine.Array{Shape: v.Shape, Int: v.Int}
		for _, x := range v.Float {
			a.Float = append(a.Float, float32(x))
		}
		in = append(in, a)
	}
	arrays, err := p.Forward(in)
	if err != nil {
		return nil, err
	}
	out := map[string]*graph.Value{}
	for i, a := range arrays {
		v := &graph.Value{Shape: a.Shape, Int: slices.Clone(a.Int)}
		for _, x := range a.Float {
			v.Float = append(v.Float, float64(x))
		}
		out[g.Outputs[i]] = v
	}
	return out, nil
}

// What outputs say: below same, a function is as it was but for rounding; above other, it
// is another.
const (
	same  = 1e-3
	other = 1e-2
)

// function judges what was said of the function: "" is right.
func function(t *truth, c *lineage.Comparison, distance float64) string {
	preserving := !slices.ContainsFunc(c.Changes, func(x lineage.Change) bool { return !x.Preserves })
	switch {
	case t.preserves && (!preserving || c.Function.Same == "no" || slices.Index(lineage.Verdicts(), c.Verdict) > slices.Index(lineage.Verdicts(), lineage.Rescaled)):
		return "a change that preserves the function is called a modification"
	case !t.preserves && distance > other && c.Verdict != lineage.Unrelated && (preserving || c.Function.Same == "yes"):
		return "a modification is called one that preserves the function"
	}
	return ""
}
