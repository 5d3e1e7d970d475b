package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"ropewalk/attack"
	"ropewalk/internal/bench/rival"
	"ropewalk/lineage"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// A place is a change by hand that cosine similarity does not see.
var placeKinds = []string{"weight, 1 ULP", "norm", "sign", "bias", "statistic", "column", "swapped"}

// A spot is what was said of one such change in a shuffled network.
type spot struct {
	Network string   `json:"network"`
	Kind    string   `json:"kind"`
	Seed    int      `json:"seed"`
	Where   string   `json:"where"`
	Found   bool     `json:"found"` // an edit is there
	Named   bool     `json:"named"` // its kind and place are right
	Placed  bool     `json:"placed"`
	Others  int      `json:"others"`
	Verdict string   `json:"verdict"`
	Said    []string `json:"said"`
	Edits   []string `json:"edits"`
	Seconds float64  `json:"seconds"`
}

// A mark is where a network was changed.
type mark struct {
	what   string
	tensor string
	group  string
	neuron int
	other  int
	factor float64
	index  int // of a single weight, in the reference
}

func (m *mark) String() string {
	switch {
	case m.what == "weight":
		return fmt.Sprintf("%s[%d]", m.tensor, m.index)
	case m.what == "swapped":
		return fmt.Sprintf("%s, neurons %d and %d", m.tensor, m.neuron, m.other)
	}
	return fmt.Sprintf("%s, group %s, neuron %d", m.tensor, m.group, m.neuron)
}

// placesTable changes places of networks, shuffles them, and looks whether they are found.
func placesTable(ctx context.Context, c *config, b *strings.Builder) error {
	s, err := openStore(c.store, "places", func(x *spot) string { return fmt.Sprint(x.Network, "#", x.Kind, "#", x.Seed) })
	if err != nil {
		return err
	}
	defer func() { _ = s.close() }() // each line was written
	for _, p := range subjects {
		if !c.match.MatchString(p.name) || p.net == "" && p.name != "fashion-cnn" || c.quick && !p.quick || c.page {
			continue
		}
		n, err := p.open(ctx, c)
		if err != nil && missing(b, p.name, err) {
			continue
		}
		if err == nil {
			err = n.places(ctx, c, s)
			n.close()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	placesPage(b, s)
	return nil
}

func (s *subject) places(ctx context.Context, c *config, to *store[spot]) error {
	for _, kind := range placeKinds {
		for seed := range c.seeds {
			key := fmt.Sprint(s.name, "#", kind, "#", seed)
			if old := to.all[key]; !c.attacks.MatchString(kind) || old != nil && (!c.again || old.Named && old.Others == 0) {
				continue
			}
			x, err := s.spot(ctx, c, kind, uint64(seed))
			if err != nil {
				return fmt.Errorf("%s, seed %d: %w", kind, seed, err)
			}
			if x == nil {
				continue // the network has no such place
			}
			if err := to.add(x); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "%s, %s, %s: named %v, others %d: %s, %s | %s (%.1f s)\n", s.name, kind, x.Where, x.Named, x.Others, x.Verdict, strings.Join(x.Said, ", "), strings.Join(x.Edits[:min(4, len(x.Edits))], "; "), x.Seconds)
		}
	}
	return nil
}

// spot changes one place, shuffles, and compares.
func (s *subject) spot(ctx context.Context, c *config, kind string, seed uint64) (*spot, error) {
	changed, m, err := s.edit(kind, seed)
	if err != nil || m == nil {
		return nil, err
	}
	set, err := tensor.Overlay(s.Set, changed)
	if err != nil {
		return nil, err
	}
	g, err := with(s.Graph, set)
	if err != nil {
		return nil, err
	}
	r, err := attacked(ctx, attack.Network{Set: set, Spec: s.Spec, Graph: g}, "permute", seed, nil)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	said, err := lineage.Compare(ctx, side(s.Network), side(r.Network), &lineage.Options{Threads: c.threads, Run: compute})
	if err != nil {
		return nil, err
	}
	x := &spot{Network: s.name, Kind: kind, Seed: int(seed), Where: m.String(), Verdict: string(said.Verdict), Found: len(said.Edits) > 0, Seconds: time.Since(start).Seconds()}
	for _, e := range said.Changes {
		x.Said = append(x.Said, e.Text)
	}
	if x.Placed, err = s.placed(said, m, r); err != nil {
		return nil, err
	}
	for i := range said.Edits {
		ok, err := s.names(&said.Edits[i], m, r)
		if err != nil {
			return nil, err
		}
		if ok {
			x.Named = true
		} else {
			x.Others++
		}
		if len(x.Edits) < 8 {
			x.Edits = append(x.Edits, said.Edits[i].Text)
		}
	}
	return x, nil
}

// names reports whether an edit is what was done.
func (s *subject) names(e *lineage.Edit, m *mark, r *attack.Result) (bool, error) {
	if e.What != m.what || e.Tensor != m.tensor {
		return false, nil
	}
	switch m.what {
	case "weight":
		t := s.Set.Lookup(m.tensor)
		own, err := s.own(m, r)
		return err == nil && flat(e.Index, t.Shape) == m.index && flat(e.Own, t.Shape) == own && e.ULPs == 1, err
	case "swapped":
		return e.Neuron == m.neuron && e.Other == m.other || e.Neuron == m.other && e.Other == m.neuron, nil
	case "norm", "column":
		return e.Group == m.group && e.Neuron == m.neuron && math.Abs(e.Factor-m.factor) < 0.01*m.factor, nil
	}
	return e.Group == m.group && e.Neuron == m.neuron, nil
}

// placed reports whether the differences of tensors say where it is: one tensor differs, the
// right one, and of a single weight its index on both sides.
func (s *subject) placed(c *lineage.Comparison, m *mark, r *attack.Result) (bool, error) {
	right := false
	for i := range c.Tensors {
		d := &c.Tensors[i]
		if d.Changed == 0 {
			continue
		}
		if d.Name != m.tensor {
			return false, nil
		}
		if right = true; m.what != "weight" {
			continue
		}
		own, err := s.own(m, r)
		if err != nil {
			return false, err
		}
		shape := s.Set.Lookup(m.tensor).Shape
		right = d.Changed == 1 && flat(d.At, shape) == m.index && flat(d.OwnAt, shape) == own
	}
	return right, nil
}

// own is where a number of the reference is in the suspect, row-major: found by moving
// numbers that say where they were.
func (s *subject) own(m *mark, r *attack.Result) (int, error) {
	list := make([]*tensor.Tensor, 0, s.Set.Len())
	for _, t := range s.Set.All() {
		if !t.DType.Numeric() {
			list = append(list, t)
			continue
		}
		x := make([]float64, t.Elems())
		if t.Name == m.tensor {
			x[m.index] = 1
		}
		list = append(list, &tensor.Tensor{Name: t.Name, DType: tensor.F64, Shape: t.Shape, Data: tensor.Bytes(doubles(x))})
	}
	set, err := tensor.NewSet(list...)
	if err != nil {
		return 0, err
	}
	if set, err = symmetry.Apply(s.Spec, set, r.Truth.Element); err != nil {
		return 0, err
	}
	x, err := set.Lookup(m.tensor).Float32s()
	return slices.Index(x, 1), err
}

// flat is the row-major number of an index, -1 if it is none.
func flat(index []int, shape tensor.Shape) int {
	if len(index) != len(shape) {
		return -1
	}
	at := 0
	for k, i := range index {
		at = at*int(shape[k]) + i
	}
	return at
}

// edit changes one place; nil if the network has none of the kind.
func (s *subject) edit(kind string, seed uint64) (*tensor.Tensor, *mark, error) {
	r := rand.New(rand.NewPCG(seed, 0x91ace))
	if kind == placeKinds[0] {
		return s.ulp(r)
	}
	role, axes := symmetry.Incoming, 2
	switch kind {
	case "column":
		role = symmetry.Outgoing
	case "bias":
		role, axes = symmetry.Parameter, 1
	case "statistic":
		role, axes = symmetry.Statistic, 1
	}
	type choice struct {
		g *symmetry.Group
		p *symmetry.Place
	}
	var list []choice
	for i := range s.Spec.Groups {
		g := &s.Spec.Groups[i]
		for k := range g.Places {
			p := &g.Places[k]
			t := s.Set.Lookup(p.Tensor)
			if p.Tensors != nil || t == nil || !t.DType.Numeric() || (len(t.Shape) < 2) != (axes == 1) {
				continue
			}
			right := p.Role == role
			if kind == "bias" {
				right = p.Role != symmetry.Outgoing && strings.HasSuffix(t.Name, "bias")
			}
			if right {
				list = append(list, choice{g, p})
			}
		}
	}
	if len(list) == 0 {
		return nil, nil, nil
	}
	for range 1000 {
		x := list[r.IntN(len(list))]
		m := &mark{what: kind, tensor: x.p.Tensor, group: x.g.Name, neuron: r.IntN(x.g.Size), factor: 1.5}
		t := s.Set.Lookup(m.tensor)
		data, err := t.Float32s()
		if err != nil {
			return nil, nil, err
		}
		of := positions(x.p, t.Shape, m.neuron)
		if size(data, of) < 1e-2*size(data, nil) {
			continue // a dead neuron, of which nothing can be seen
		}
		data = slices.Clone(data)
		switch kind {
		case "norm", "column":
			for _, i := range of {
				data[i] *= 1.5
			}
		case "sign":
			for _, i := range of {
				data[i] = -data[i]
			}
		case "swapped":
			m.other = (m.neuron + 1 + r.IntN(x.g.Size-1)) % x.g.Size
			with := positions(x.p, t.Shape, m.other)
			if size(data, with) < 1e-2*size(data, nil) {
				continue
			}
			for k, i := range of {
				data[i], data[with[k]] = data[with[k]], data[i]
			}
		default: // a number of a vector
			data[of[0]] += 0.5 * float32(max(size(data, nil), 1e-3))
		}
		return &tensor.Tensor{Name: t.Name, DType: tensor.F32, Shape: t.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, data))}, m, nil
	}
	return nil, nil, fmt.Errorf("no neuron has weights that could be changed")
}

// ulp changes a number of any tensor of floats to the next one, away from zero.
func (s *subject) ulp(r *rand.Rand) (*tensor.Tensor, *mark, error) {
	total := int64(0)
	for _, t := range s.Set.All() {
		if t.DType == tensor.F32 {
			total += t.Elems()
		}
	}
	at := r.Int64N(total)
	for _, t := range s.Set.All() {
		if t.DType != tensor.F32 {
			continue
		}
		if at >= t.Elems() {
			at -= t.Elems()
			continue
		}
		data, err := t.Float32s()
		if err != nil {
			return nil, nil, err
		}
		data = slices.Clone(data)
		data[at] = math.Float32frombits(math.Float32bits(data[at]) + 1)
		return &tensor.Tensor{Name: t.Name, DType: tensor.F32, Shape: t.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, data))}, &mark{what: "weight", tensor: t.Name, index: int(at)}, nil
	}
	return nil, nil, nil
}

// positions are the row-major numbers of what a neuron has at a place.
func positions(p *symmetry.Place, shape tensor.Shape, neuron int) []int {
	inner, outer := 1, 1
	for k, d := range shape {
		if k < p.Axis {
			outer *= int(d)
		} else if k > p.Axis {
			inner *= int(d)
		}
	}
	var list []int
	for o := range outer {
		for k := range max(1, p.Run) {
			for i := range inner {
				list = append(list, (o*int(shape[p.Axis])+p.Position(neuron, k))*inner+i)
			}
		}
	}
	return list
}

// size is the root mean square of some numbers, or all.
func size(x []float32, of []int) float64 {
	sum, n := 0.0, len(of)
	for _, i := range of {
		sum += float64(x[i]) * float64(x[i])
	}
	if of == nil {
		n = len(x)
		for _, v := range x {
			sum += float64(v) * float64(v)
		}
	}
	return math.Sqrt(sum / float64(max(1, n)))
}

func placesPage(b *strings.Builder, s *store[spot]) {
	if len(s.keys) == 0 {
		return
	}
	fmt.Fprintf(b, "### Changes by hand\n\nOne place of the network is changed, then all neurons are shuffled. *tensor*: it alone is said to differ, and of a single weight its index (in the reference, and in the suspect's file) is right. *named* as an edit: kind, tensor, neuron or index (in the reference and in the suspect's file), factor within 1 %%, and the distance of 1 ULP are right. *more named*: cases in which other places are named, too.\n\n")
	var rows [][]string
	for _, p := range subjects {
		for _, kind := range placeKinds {
			n, placed, named, others, verdicts, seconds := 0, 0, 0, 0, map[string]int{}, 0.0
			for _, k := range s.keys {
				x := s.all[k]
				if x.Network != p.name || x.Kind != kind {
					continue
				}
				n++
				if x.Placed {
					placed++
				}
				if x.Named {
					named++
				}
				if x.Others > 0 {
					others++
				}
				verdicts[x.Verdict]++
				seconds += x.Seconds
			}
			if n == 0 {
				continue
			}
			var said []string
			for _, v := range lineage.Verdicts() {
				if verdicts[string(v)] > 0 {
					said = append(said, fmt.Sprintf("%s %d", v, verdicts[string(v)]))
				}
			}
			rows = append(rows, []string{p.name, kind, fmt.Sprint(n), fmt.Sprint(placed), fmt.Sprint(named), fmt.Sprint(others), strings.Join(said, ", "), fmt.Sprintf("%.1f", seconds/float64(n))})
		}
	}
	rival.Table(b, []string{"network", "change", "cases", "tensor", "named", "more named", "verdicts", "s a case"}, rows)
	b.WriteString("\n")
}
