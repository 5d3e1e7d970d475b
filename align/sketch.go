package align

import (
	"math"
	"math/rand/v2"
	"slices"

	"ropewalk/internal/kernel"
)

// A sketch of a neuron is a signed count-sketch of all its rows: each number, with a
// random sign, is added to one of sketchSize sums, the same for all neurons of both
// networks. Inner products of sketches are those of the neurons, with an error of
// 1/√sketchSize of their lengths (Charikar and others 2002); a sketch costs one pass
// over the weights, and then all pairs cost as much as if a neuron had so few numbers.
const sketchSize = 256

const (
	// sketchLeast is the size of a group from which on sketches pay.
	sketchLeast = 64
	// sketchGap is by how many deviations of strangers each neuron's best candidate has
	// to beat its second best, so that sketches decide. The gap has the error of two
	// products: a wrong winner is 4 of its deviations away.
	sketchGap = 6
)

// sketched matches a group by sketches, if they leave no doubt about any neuron: each
// has a best candidate of its own, far ahead of the second best. Otherwise, and for
// groups with signs to choose, it returns nil, and all evidence has to be looked at.
//
// Correlations of views are those of the pairs, at full width; margins and certainties
// are what the sketches alone allow, a lower bound.
func sketched(g *Group, pool *kernel.Pool) (*evidence, *Result) {
	if g.Ref != g.Sus || g.Ref < sketchLeast || slices.ContainsFunc(g.Factors, Gauge.flips) {
		return nil, nil
	}
	n, numbers := g.Ref, 0
	for k := range g.Views {
		v := &g.Views[k]
		if v.imitated != nil {
			return nil, nil
		}
		if v.Dim > 1 {
			numbers += v.Dim
		}
	}
	if numbers < sketchSize {
		return nil, nil
	}
	ref, ok := g.sketch(func(v *View) []float32 { return v.Ref })
	sus, ok2 := g.sketch(func(v *View) []float32 { return v.Sus })
	if !ok || !ok2 {
		return nil, nil
	}
	c := products(ref, sus, sketchSize, pool)
	of, taken := make([]int, n), make([]bool, n)
	gap, best := make([]float64, n), make([]float64, n)
	rest := 0.0
	for i := range n {
		row := c[i*n:][:n]
		top, second := 0, -1
		for j, x := range row {
			rest += float64(x) * float64(x)
			switch {
			case j == 0:
			case x > row[top]:
				top, second = j, top
			case second < 0 || x > row[second]:
				second = j
			}
		}
		if taken[top] {
			return nil, nil
		}
		taken[top] = true
		of[i], best[i], gap[i] = top, float64(row[top]), float64(row[top]-row[second])
		rest -= best[i] * best[i]
	}
	sd := math.Sqrt(max(0, rest) / float64(n*(n-1)))
	if slices.Min(gap) < sketchGap*sd {
		return nil, nil
	}
	m, err := NewMatching(of, n)
	if err != nil {
		return nil, nil
	}
	rho := min(median(best), maxRho)
	weight := rho / (1 - rho*rho) / max(sd*sd, 1./sketchSize/4)
	r := &Result{Matching: *m, Certainty: make([]float64, n), Margin: make([]float64, n)}
	for i := range n {
		r.Margin[i] = weight * gap[i]
		r.Certainty[i] = 1 / (1 + float64(n)*math.Exp(-r.Margin[i]))
	}
	for k := range g.Views {
		r.Views = append(r.Views, g.Views[k].agreement(of))
	}
	e := &evidence{n: n, m: n, views: r.Views}
	r.Scale = e.scales(g, of)
	return e, r
}

// sketch returns those of all neurons of one side, each of length one, or false if a
// neuron has no weights. Each view counts by its number of numbers, whatever its scale.
func (g *Group) sketch(of func(*View) []float32) ([]float32, bool) {
	n := g.Ref
	out := make([]float32, n*sketchSize)
	for k := range g.Views {
		v := &g.Views[k]
		if v.Dim == 1 {
			continue
		}
		r := rand.New(rand.NewPCG(uint64(k), uint64(v.Dim))) // the same for both sides
		bucket, sign := make([]uint8, v.Dim), make([]float32, v.Dim)
		for c := range bucket {
			x := r.Uint32()
			bucket[c], sign[c] = uint8(x), 1-float32(x>>8&1)*2
		}
		x := of(v)
		for i := range n {
			row := x[i*v.Dim:][:v.Dim]
			var s [sketchSize]float32
			var sum float32
			for c, w := range row {
				s[bucket[c]] += sign[c] * w
				sum += w * w
			}
			if sum == 0 || math.IsInf(float64(sum), 0) {
				continue
			}
			a := float32(math.Sqrt(float64(v.Dim) / float64(sum)))
			dst := out[i*sketchSize:][:sketchSize]
			for b := range dst {
				dst[b] += a * s[b]
			}
		}
	}
	for i := range n {
		row := out[i*sketchSize:][:sketchSize]
		l := lengths(row, sketchSize)[0]
		if l == 0 {
			return nil, false
		}
		for b := range row {
			row[b] /= l
		}
	}
	return out, true
}

// agreement says how pairs agree in one view, at full width.
func (v *View) agreement(of []int) ViewEvidence {
	out := ViewEvidence{Name: v.Name, Role: v.Role.String(), Dim: v.Dim, Effective: float64(v.Dim), Share: 1}
	if v.Dim == 1 {
		return out
	}
	sum := 0.0
	for i, j := range of {
		a, b := v.Ref[i*v.Dim:][:v.Dim], v.Sus[j*v.Dim:][:v.Dim]
		var xx, yy, xy float32
		for c, x := range a {
			y := b[c]
			xx += x * x
			yy += y * y
			xy += x * y
		}
		if xx > 0 && yy > 0 {
			c := float64(xy) / math.Sqrt(float64(xx)*float64(yy))
			sum += c
			out.LogRatio += math.Copysign(-float64(v.Dim)/2*math.Log1p(-min(c*c, 1-1e-6)), c)
		}
	}
	out.Correlation = min(maxRho, max(0, sum/float64(len(of))))
	out.LogRatio = max(0, out.LogRatio)
	return out
}
