package align

import (
	"math"
	"math/rand/v2"
	"slices"
)

// What an adversary does to one tensor, as the paper defines it (papers 2.7).

// noise adds Gaussian noise of omega standard deviations of the tensor.
func noise(r *rand.Rand, x []float32, omega float64) {
	s := omega * deviation(x)
	for i := range x {
		x[i] += float32(s * r.NormFloat64())
	}
}

// prune zeroes the given share of the numbers of least magnitude.
func prune(x []float32, share float64) {
	m := make([]float64, len(x))
	for i, v := range x {
		m[i] = math.Abs(float64(v))
	}
	slices.Sort(m)
	k := int(share * float64(len(x)))
	if k == 0 {
		return
	}
	for i, v := range x {
		if math.Abs(float64(v)) <= m[k-1] {
			x[i] = 0
		}
	}
}

// quantize rounds to 2^bits levels from the least to the largest number.
func quantize(x []float32, bits int) {
	lo, hi := float64(slices.Min(x)), float64(slices.Max(x))
	if lo == hi {
		return
	}
	s := (math.Exp2(float64(bits)) - 1) / (hi - lo)
	for i, v := range x {
		x[i] = float32(math.Round((float64(v)-lo)*s)/s + lo)
	}
}

func deviation(x []float32) float64 {
	var sum, sq float64
	for _, v := range x {
		sum += float64(v)
	}
	mean := sum / float64(len(x))
	for _, v := range x {
		sq += (float64(v) - mean) * (float64(v) - mean)
	}
	return math.Sqrt(sq / float64(len(x)))
}

func gaussian(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// rows returns the rows of x (n, dim) in the given order, -1 for new random ones.
func rowsOf(r *rand.Rand, x []float32, dim int, order []int) []float32 {
	out := make([]float32, 0, len(order)*dim)
	for _, i := range order {
		if i < 0 {
			out = append(out, gaussian(r, dim)...)
			continue
		}
		out = append(out, x[i*dim:][:dim]...)
	}
	return out
}

// A specimen is a group whose truth is known.
type specimen struct {
	group Group
	truth Matching
	scale [][]float64 // true factors of reference neurons
}

// layer makes a group of n neurons: incoming, outgoing and bias, with the given
// factor on all of them, damaged by the function and then shuffled.
func layer(r *rand.Rand, n, in, out int, factors []Gauge, damage func(x []float32)) specimen {
	g := Group{Name: "layer", Ref: n, Sus: n, Factors: factors}
	order := r.Perm(n) // suspect neuron j is reference neuron order[j]
	s := specimen{truth: *must(NewMatching(order, n)).Inverse()}
	for _, f := range factors {
		x := make([]float64, n)
		for i := range x {
			x[i] = 1
			if f.scales() {
				x[i] = math.Exp(0.7 * r.NormFloat64())
			}
			if f.flips() && r.IntN(2) == 0 {
				x[i] = -x[i]
			}
		}
		s.scale = append(s.scale, x)
	}
	add := func(name string, role Role, dim, power int) {
		if dim == 0 {
			return
		}
		ref := gaussian(r, n*dim)
		sus := slices.Clone(ref)
		damage(sus)
		var acts []Act
		if len(factors) > 0 {
			acts = []Act{{Factor: 0, Power: power, Odd: true}}
			for i := range n {
				for c := range dim {
					sus[i*dim+c] *= float32(math.Pow(s.scale[0][i], float64(power)))
				}
			}
		}
		g.Views = append(g.Views, View{Name: name, Role: role, Dim: dim, Ref: ref, Sus: rowsOf(r, sus, dim, order), Acts: acts})
	}
	add("in", Incoming, in, 1)
	add("out", Outgoing, out, -1)
	add("bias", Parameter, 1, 1)
	s.group = g
	return s
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}
