package graph

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// GridSample: X is batch × channels × space, the grid batch × new space × a place,
// whose coordinates go from -1 to 1 and are those of the last axis first.
func inferGridSample(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	if m := gridMode(r); r.err == nil && !slices.Contains([]string{"nearest", "linear", "cubic"}, m) {
		r.fail("attribute mode is %q, want nearest, linear or cubic", m)
	}
	if m := r.string("padding_mode", "zeros"); r.err == nil && !slices.Contains([]string{"zeros", "border", "reflection"}, m) {
		r.fail("attribute padding_mode is %q, want zeros, border or reflection", m)
	}
	r.flag("align_corners", false)
	if r.err != nil {
		return nil, r.err
	}
	t, grid := in[0].Type, in[1].Type
	_, _, space, err := images(t.Shape)
	if err != nil {
		return nil, err
	}
	if kindOf(t.DType) != kindFloat || kindOf(grid.DType) != kindFloat {
		return nil, fmt.Errorf("its inputs are %v and %v, want floats", t, grid)
	}
	g := grid.Shape
	if len(g) != len(t.Shape) || g[0] != t.Shape[0] || g[len(g)-1] != int64(len(space)) {
		return nil, fmt.Errorf("a grid of shape %v does not fit %v", g, t.Shape)
	}
	if len(space) > 8 {
		return nil, fmt.Errorf("%d axes of space are too many", len(space))
	}
	if slices.Contains(space, 0) {
		return nil, fmt.Errorf("%v has nothing to sample", t.Shape)
	}
	return []Type{{t.DType, slices.Concat(t.Shape[:2], g[1:len(g)-1])}}, nil
}

// gridMode returns attribute mode, which had longer names once.
func gridMode(r *attributesReader) string {
	switch m := r.string("mode", "linear"); m {
	case "bilinear":
		return "linear"
	case "bicubic":
		return "cubic"
	default:
		return m
	}
}

func evaluateGridSample(c *context, n *Node, in []*Value) ([]*Value, error) {
	r := read(n)
	mode, pad, corners := gridMode(r), r.string("padding_mode", "zeros"), r.flag("align_corners", false)
	x, grid := in[0], in[1]
	out := newValue(c.types[0])
	space := x.Shape[2:]
	rank, area := len(space), product(space)
	reach := map[string]int{"nearest": 1, "linear": 2, "cubic": 4}[mode]
	around := 1
	for range rank {
		around *= reach
	}
	if err := c.spendProduct(int64(out.elems()), int64(around), int64(rank)); err != nil {
		return nil, err
	}
	if out.elems() == 0 {
		return []*Value{out}, nil
	}
	places := product(out.Shape[2:])
	channels := int(x.Shape[1])
	strides := stridesOf(space)
	for b := range int(x.Shape[0]) {
		for p := range places {
			first := make([]float64, rank)
			weights := make([][]float64, rank)
			for i, d := range space {
				at := (grid.Float[(b*places+p)*rank+rank-1-i] + 1) / 2
				lo, hi := -0.5, float64(d)-0.5 // between what reflects
				if corners {
					at *= float64(d - 1)
					lo, hi = 0, float64(d-1)
				} else {
					at = at*float64(d) - 0.5
				}
				first[i], weights[i] = gridTaps(mode, gridPlace(pad, at, lo, hi, float64(d)))
			}
			counts := make(tensor.Shape, rank)
			for i := range counts {
				counts[i] = int64(reach)
			}
			w := newWalker(counts)
			for range around {
				at, weight := 0, 1.0
				for i, k := range w.at {
					q, d := first[i]+float64(k), float64(space[i])
					weight *= weights[i][k]
					if !(q >= 0 && q < d) {
						lo, hi := -0.5, d-0.5
						if corners {
							lo, hi = 0, d-1
						}
						if q = gridPlace(pad, q, lo, hi, d); !(q >= 0 && q < d) {
							weight = 0
							break
						}
					}
					at += int(q) * strides[i]
				}
				if weight != 0 {
					for ch := range channels {
						out.Float[(b*channels+ch)*places+p] += weight * x.Float[(b*channels+ch)*area+at]
					}
				}
				w.next()
			}
		}
	}
	return []*Value{out}, nil
}

// gridPlace moves a place that lies outside as the padding says.
func gridPlace(pad string, at, lo, hi, n float64) float64 {
	switch pad {
	case "border":
		return math.Min(math.Max(at, 0), n-1)
	case "reflection":
		width := hi - lo
		if width == 0 {
			return 0
		}
		if at < lo || at > hi {
			d := math.Mod(math.Abs(at-lo), 2*width)
			at = lo + math.Min(d, 2*width-d)
		}
		return math.Min(math.Max(at, 0), n-1)
	}
	return at
}

// gridTaps returns the first of the elements around a place, and their weights.
func gridTaps(mode string, at float64) (first float64, weights []float64) {
	switch mode {
	case "nearest":
		return math.RoundToEven(at), []float64{1}
	case "linear":
		first = math.Floor(at)
		return first, []float64{1 - (at - first), at - first}
	}
	first = math.Floor(at) - 1
	for k := range 4 {
		weights = append(weights, cubic(math.Abs(at-first-float64(k)), -0.75))
	}
	return first, weights
}
