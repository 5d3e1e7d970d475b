package symmetry

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ropewalk/tensor"
)

// whyExperts is the reason of a router's rows, unless experts can exchange places.
const whyExperts = "experts that are not alike, or whose order another tensor may know"

// addExperts adds a group for each router whose experts can exchange places: they all
// have tensors of the same names, types and shapes, and no tensor that the family does
// not have is as long as there are experts.
func (n *named) addExperts(s *Spec) {
	for _, block := range n.experts {
		if g := n.expertsOf(block); g != nil {
			s.Groups = append(s.Groups, *g)
			s.free(g)
		}
	}
}

// expertsOf returns the group of the experts at block, such as "layers.0.mlp.", or nil.
func (n *named) expertsOf(block string) *Group {
	count := int(n.set.Lookup(n.prefix + block + "gate.weight").Shape[0])
	for _, t := range n.set.All() {
		if _, ok := n.weights[t.Name]; ok && !n.strange[t.Name] || t.DType.IsFloat() && noWeight(t) {
			continue
		}
		if slices.Contains(t.Shape, int64(count)) && !strings.HasPrefix(t.Name, n.prefix+block+"experts.") {
			return nil
		}
	}
	g := &Group{Name: n.prefix + block + "experts", Size: count}
	if count < 2 || count > maxWhole {
		return nil
	}
	for _, end := range []string{"gate.weight", "gate.bias"} {
		if t := n.set.Lookup(n.prefix + block + end); t != nil {
			p := Place{Tensor: t.Name, Run: 1, Stride: 1, Role: Incoming}
			if len(t.Shape) == 1 {
				p.Role = Parameter
			}
			if int(t.Shape[0]) != count {
				return nil
			}
			g.Places = append(g.Places, p)
		}
	}
	if len(g.Places) == 0 {
		return nil
	}
	tensors := make([]map[string]*tensor.Tensor, count)
	at := n.prefix + block + "experts."
	for _, t := range n.set.All() {
		rest, ok := strings.CutPrefix(t.Name, at)
		if !ok {
			continue
		}
		number, end, _ := strings.Cut(rest, ".")
		e, ok := digits(number)
		if !ok || e >= count {
			return nil
		}
		if tensors[e] == nil {
			tensors[e] = map[string]*tensor.Tensor{}
		}
		tensors[e][end] = t
	}
	if len(tensors[0]) == 0 {
		return nil
	}
	for _, end := range slices.Sorted(maps.Keys(tensors[0])) {
		p := Place{Run: 1, Stride: 1, Role: Parameter}
		first := tensors[0][end]
		for e := range tensors {
			t := tensors[e][end]
			if t == nil || t.DType != first.DType || !t.Shape.Equal(first.Shape) || len(tensors[e]) != len(tensors[0]) {
				return nil
			}
			p.Tensors = append(p.Tensors, t.Name)
		}
		g.Places = append(g.Places, p)
	}
	return g
}

// digits reads a number as it is written without zeros in front.
func digits(s string) (int, bool) {
	n := 0
	if _, err := fmt.Sscanf(s, "%d", &n); err != nil || fmt.Sprint(n) != s || n < 0 {
		return 0, false
	}
	return n, true
}

// free takes the axes of g from those that are fixed because of experts.
func (s *Spec) free(g *Group) {
	for i := range s.Fixed {
		f := &s.Fixed[i]
		if f.Reason == whyExperts {
			f.Axes = slices.DeleteFunc(f.Axes, func(a Axis) bool {
				return slices.ContainsFunc(g.Places, func(p Place) bool { return !p.whole() && p.Tensor == a.Tensor && p.Axis == a.Axis })
			})
		}
	}
	s.Fixed = slices.DeleteFunc(s.Fixed, func(f Fixed) bool { return len(f.Axes) == 0 })
}
