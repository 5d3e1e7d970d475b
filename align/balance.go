package align

import "math"

// An energy is the sum of squares of each neuron's numbers in one view.
type energy struct {
	acts []Act
	dim  int
	sum  []float64
}

// balance returns a factor for each of the group's factors and each neuron that
// makes neurons comparable whatever they were scaled by: what goes in and what
// comes out of a neuron get the same share of energy, where a view has one or the
// other only, all neurons get the same. Multiply by |s|^Power. A neuron and its
// rescaled self meet at the same point, before anybody knows that they belong
// together. (For ReLU networks the point is unique; compare Stock and others,
// Equi-normalization, 2019.)
func balance(n int, factors []Gauge, views []energy) [][]float64 {
	s := make([][]float64, len(factors))
	for f := range s {
		s[f] = make([]float64, n)
		for i := range s[f] {
			s[f][i] = 1
		}
	}
	in, out := make([]float64, n), make([]float64, n)
	scaled := make([]float64, n)
	for range 12 {
		for f, g := range factors {
			if !g.scales() {
				continue
			}
			clear(in)
			clear(out)
			for _, v := range views {
				dir := powerOf(v.acts, f)
				if dir != 1 && dir != -1 {
					continue
				}
				mean := 0.0
				for i, e := range v.sum {
					for _, a := range v.acts {
						e *= math.Pow(s[a.Factor][i], float64(2*a.Power))
					}
					scaled[i] = e
					mean += e / float64(n)
				}
				if mean == 0 {
					continue
				}
				to := in
				if dir < 0 {
					to = out
				}
				for i, e := range scaled {
					to[i] += e / mean * float64(v.dim)
				}
			}
			for i := range n {
				var step float64
				switch {
				case in[i] > 0 && out[i] > 0:
					step = math.Pow(out[i]/in[i], 0.25)
				case in[i] > 0:
					step = math.Pow(in[i], -0.5)
				case out[i] > 0:
					step = math.Pow(out[i], 0.5)
				default:
					continue // dead
				}
				s[f][i] = min(max(s[f][i]*step, 1e-6), 1e6)
			}
			// What all neurons have in common is of no interest, and would drift.
			mean := 0.0
			for _, x := range s[f] {
				mean += math.Log(x) / float64(n)
			}
			for i := range s[f] {
				s[f][i] *= math.Exp(-mean)
			}
		}
	}
	return s
}

// powerOf returns the sum of the powers of one factor.
func powerOf(acts []Act, factor int) int {
	p := 0
	for _, a := range acts {
		if a.Factor == factor {
			p += a.Power
		}
	}
	return p
}

// gain returns what the factors of neuron i do to the size of numbers with acts.
func gain(s [][]float64, acts []Act, i int) float64 {
	x := 1.0
	for _, a := range acts {
		switch a.Power {
		case 0:
		case 1:
			x *= s[a.Factor][i]
		case -1:
			x /= s[a.Factor][i]
		default:
			x *= math.Pow(s[a.Factor][i], float64(a.Power))
		}
	}
	return x
}

// balanced returns the numbers of all views, balanced, of either side.
func (g *Group) balanced() (ref, sus [][]float32) {
	side := func(n int, of func(*View) []float32) [][]float32 {
		out := make([][]float32, len(g.Views))
		scaling := false
		for _, f := range g.Factors {
			scaling = scaling || f.scales()
		}
		if !scaling {
			for k := range g.Views {
				out[k] = of(&g.Views[k])
			}
			return out
		}
		var es []energy
		for k := range g.Views {
			v := &g.Views[k]
			e := energy{v.Acts, v.Dim, make([]float64, n)}
			for i, l := range lengths(of(v), v.Dim) {
				e.sum[i] = float64(l) * float64(l)
			}
			es = append(es, e)
		}
		s := balance(n, g.Factors, es)
		for k := range g.Views {
			v := &g.Views[k]
			x := of(v)
			y := make([]float32, len(x))
			for i := range n {
				a := float32(gain(s, v.Acts, i))
				for c, w := range x[i*v.Dim:][:v.Dim] {
					y[i*v.Dim+c] = w * a
				}
			}
			out[k] = y
		}
		return out
	}
	return side(g.Ref, func(v *View) []float32 { return v.Ref }), side(g.Sus, func(v *View) []float32 { return v.Sus })
}
