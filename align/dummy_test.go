package align

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// obfuscated returns a copy of a network with dummy neurons added to each class, in
// the given share of its size, of all three kinds, hidden by noise of a thousandth
// of each weight and by rescaling; then shuffled. kinds says what each suspect neuron
// is: "" for real ones.
func obfuscated(r *rand.Rand, n *testNet, ratio float64) (m *testNet, truth map[string]*Matching, kinds map[string][]DummyKind) {
	m = n.clone()
	m.spec = &Spec{}
	kinds = map[string][]DummyKind{}
	truth = map[string]*Matching{}
	for _, c := range n.spec.Classes {
		count := int(ratio * float64(c.Size))
		kind := make([]DummyKind, c.Size, c.Size+count)
		of := make([]int, c.Size+count) // whose incoming weights are copied
		for k := range count {
			switch {
			case k%4 == 0:
				kind = append(kind, SplitDummy)
				of[c.Size+k] = r.IntN(c.Size)
			case k%4 == 1:
				kind = append(kind, ZeroDummy)
				of[c.Size+k] = -1
			case k%4 == 2 && k+1 < count:
				kind = append(kind, CliqueDummy)
				of[c.Size+k] = -1
			case k%4 == 3:
				kind = append(kind, CliqueDummy)
				of[c.Size+k] = c.Size + k - 1
			default:
				kind = append(kind, ZeroDummy)
				of[c.Size+k] = -1
			}
		}
		for _, p := range c.Places {
			a := m.arrays[p.Tensor]
			outer, inner := a.split(p.Axis)
			run := max(1, p.Run)
			s := deviation(a.data)
			b := &array{slices.Clone(a.dims), nil}
			b.dims[p.Axis] = (c.Size + count) * run
			b.data = make([]float32, outer*b.dims[p.Axis]*inner)
			row := func(x *array, o, i int) []float32 { return x.data[(o*x.dims[p.Axis]+i*run)*inner:][:run*inner] }
			for o := range outer {
				for i := range c.Size {
					copy(row(b, o, i), row(a, o, i))
				}
				for k := range count {
					i := c.Size + k
					dst := row(b, o, i)
					for x := range dst {
						switch {
						case p.Role != Outgoing && of[i] >= 0:
							dst[x] = row(b, o, of[i])[x]
						case p.Role != Outgoing:
							dst[x] = float32(s * r.NormFloat64())
						case kind[i] == SplitDummy: // takes 40 % of what is left
							src := row(b, o, of[i])
							dst[x] = 0.4 * src[x]
							src[x] -= dst[x]
						case kind[i] == CliqueDummy && of[i] >= 0:
							dst[x] = -row(b, o, of[i])[x]
						case kind[i] == CliqueDummy:
							dst[x] = float32(s * r.NormFloat64())
						}
					}
				}
			}
			m.arrays[p.Tensor] = b
		}
		c.Size += count
		m.spec.Classes = append(m.spec.Classes, c)
		kinds[c.Name] = kind
	}
	for _, name := range m.names { // camouflage
		for k := range m.arrays[name].data {
			m.arrays[name].data[k] *= float32(1 + 1e-3*r.NormFloat64())
		}
	}
	m.rescaled(r, 0.5)
	moved := m.shuffled(r)
	for _, c := range n.spec.Classes {
		x := moved[c.Name] // old place to new
		old := kinds[c.Name]
		kind := make([]DummyKind, len(old))
		for i, j := range x.Sus {
			kind[j] = old[i]
		}
		kinds[c.Name] = kind
		truth[c.Name] = must(NewMatching(slices.Clone(x.Sus[:c.Size]), len(x.Ref)))
	}
	return m, truth, kinds
}

// All real neurons are found among as many dummies of three kinds, which are named;
// of a split either part may stand for the whole.
func TestDummies(t *testing.T) {
	for _, ratio := range []float64{0.1, 0.5, 1} {
		r := rand.New(rand.NewPCG(4, uint64(ratio*10)))
		n := lenet300(r, Positive)
		m, truth, kinds := obfuscated(r, n, ratio)
		res := must(MatchNetworks(n.network(), m.network(), nil))
		if !res.Related {
			t.Errorf("ratio %v: log evidence %.1f", ratio, res.LogEvidence)
		}
		for _, c := range res.Classes {
			splits := map[int]bool{}
			for _, x := range c.Merged {
				splits[x.Neuron], splits[x.Into] = true, true
			}
			wrong := 0
			for i, j := range c.Sus {
				if j != truth[c.Name].Sus[i] && (j < 0 || !splits[j]) {
					wrong++
				}
			}
			named := 0
			for _, d := range c.Added {
				want := kinds[c.Name][d.Sus]
				if d.Kind == want || d.Kind == SplitDummy && want == "" && splits[d.Sus] {
					named++
				}
			}
			if wrong > 0 || named != len(c.Ref)-len(c.Sus) {
				t.Errorf("ratio %v, class %s: %d of %d neurons wrong, %d of %d dummies named", ratio, c.Name, wrong, len(c.Sus), named, len(c.Ref)-len(c.Sus))
			}
		}
		// The factors are those of whole neurons.
		ref := must(load(n.network(), "reference"))
		back := must(restoreAligned(n, m, res))

		worst := 0.0
		for name, a := range ref.arrays {
			b := back.arrays[name]
			sd := deviation(a.data)
			for k, x := range a.data {
				worst = max(worst, math.Abs(float64(x-b.data[k]))/sd)
			}
		}
		t.Logf("ratio %v: restored within %.4f σ", ratio, worst)
		if worst > 0.05 {
			t.Errorf("ratio %v: restored weights are off by %.3f σ", ratio, worst)
		}
	}
}

// A half of the neurons are split, so that the second best partner of many is as good as
// the best; or the parts of one are of other signs.
func TestSplitsOnly(t *testing.T) {
	for _, gauge := range []Gauge{Positive, Nonzero} {
		r := rand.New(rand.NewPCG(5, uint64(gauge)))
		n := lenet300(r, gauge)
		m := n.clone()
		m.spec = &Spec{}
		for _, c := range n.spec.Classes {
			for _, p := range c.Places {
				a := m.arrays[p.Tensor]
				outer, inner := a.split(p.Axis)
				run := max(1, p.Run)
				b := &array{slices.Clone(a.dims), nil}
				b.dims[p.Axis] = (c.Size + c.Size/2) * run
				for o := range outer {
					rows := slices.Clone(a.data[o*c.Size*run*inner:][:c.Size*run*inner])
					half := rows[:c.Size/2*run*inner]
					if p.Role == Outgoing {
						for k := range half {
							half[k] /= 2
						}
					}
					b.data = append(append(b.data, rows...), half...)
				}
				m.arrays[p.Tensor] = b
			}
			c.Size += c.Size / 2
			m.spec.Classes = append(m.spec.Classes, c)
		}
		m.rescaled(r, 0.5)
		m.shuffled(r)
		res := must(MatchNetworks(n.network(), m.network(), nil))
		for _, c := range res.Classes {
			if k := slices.Index(c.Sus, -1); k >= 0 || len(c.Merged) != len(c.Ref)-len(c.Sus) {
				t.Errorf("%v, class %s: %d of %d splits found, neuron %d has no partner", gauge, c.Name, len(c.Merged), len(c.Ref)-len(c.Sus), k)
			}
		}
	}
}
