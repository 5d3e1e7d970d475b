package align

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ropewalk/tensor"
)

// A testNet is a network by its weights and a hand-made specification.
type testNet struct {
	names  []string
	arrays map[string]*array
	spec   *Spec
}

func newTestNet() *testNet { return &testNet{arrays: map[string]*array{}, spec: &Spec{}} }

func (n *testNet) put(name string, data []float32, dims ...int) {
	n.names = append(n.names, name)
	n.arrays[name] = &array{dims, data}
}

// he draws weights as they are at the start of training, with rows of unequal
// size, as they are at its end.
func (n *testNet) he(r *rand.Rand, name string, dims ...int) {
	size, fan := 1, 1
	for k, d := range dims {
		size *= d
		if k > 0 {
			fan *= d
		}
	}
	x := gaussian(r, size)
	for i := range dims[0] {
		s := float32(math.Sqrt(2/float64(fan)) * math.Exp(0.3*r.NormFloat64()))
		for k := range size / dims[0] {
			x[i*(size/dims[0])+k] *= s
		}
	}
	n.put(name, x, dims...)
}

func (n *testNet) bias(r *rand.Rand, name string, size int, sigma float64) {
	x := gaussian(r, size)
	for i := range x {
		x[i] *= float32(sigma)
	}
	n.put(name, x, size)
}

func (n *testNet) network() Network {
	var ts []*tensor.Tensor
	for _, name := range n.names {
		a := n.arrays[name]
		t := &tensor.Tensor{Name: name, DType: tensor.F32}
		for _, d := range a.dims {
			t.Shape = append(t.Shape, int64(d))
		}
		t.Data = tensor.Bytes(tensor.F32.AppendFloats(nil, a.data))
		ts = append(ts, t)
	}
	return Network{must(tensor.NewSet(ts...)), n.spec}
}

func (n *testNet) clone() *testNet {
	m := &testNet{names: n.names, arrays: map[string]*array{}, spec: n.spec}
	for name, a := range n.arrays {
		m.arrays[name] = a.clone()
	}
	return m
}

// damage does the same to each tensor of weights.
func (n *testNet) damage(f func(x []float32)) {
	for _, name := range n.names {
		if a := n.arrays[name]; len(a.dims) > 1 {
			f(a.data)
		}
	}
}

// rescaled applies random factors to all classes, and returns them.
func (n *testNet) rescaled(r *rand.Rand, sigma float64) [][][]float64 {
	s := &side{arrays: n.arrays}
	out := ones(n.spec.Classes)
	for c := range n.spec.Classes {
		class := &n.spec.Classes[c]
		for f, g := range class.Factors {
			for i := range class.Size {
				if g.scales() {
					out[c][f][i] = math.Exp(sigma * r.NormFloat64())
				}
				if g.flips() && r.IntN(2) == 0 {
					out[c][f][i] = -out[c][f][i]
				}
			}
		}
		s.rescale(class, out[c])
	}
	return out
}

// shuffled moves the neurons of all classes, and returns where they went.
func (n *testNet) shuffled(r *rand.Rand) map[string]*Matching {
	truth := map[string]*Matching{}
	for c := range n.spec.Classes {
		class := &n.spec.Classes[c]
		order := r.Perm(class.Size) // suspect neuron j is reference neuron order[j]
		truth[class.Name] = must(NewMatching(order, class.Size)).Inverse()
		for p := range class.Places {
			place := &class.Places[p]
			a := n.arrays[place.Tensor]
			outer, inner := a.split(place.Axis)
			old := slices.Clone(a.data)
			d := a.dims[place.Axis]
			for j, i := range order {
				for k := range max(1, place.Run) {
					for o := range outer {
						copy(a.data[(o*d+place.position(j, k))*inner:][:inner], old[(o*d+place.position(i, k))*inner:])
					}
				}
			}
		}
	}
	return truth
}

// Acts of the usual places, for a class with one factor.
var (
	in  = []Act{{0, 1, true}}
	out = []Act{{0, -1, true}}
)

// lenet300 is LeNet-300-100: 784-300-100-10, fully connected.
func lenet300(r *rand.Rand, g ...Gauge) *testNet {
	n := newTestNet()
	n.he(r, "fc1.weight", 300, 784)
	n.bias(r, "fc1.bias", 300, 0.05)
	n.he(r, "fc2.weight", 100, 300)
	n.bias(r, "fc2.bias", 100, 0.05)
	n.he(r, "fc3.weight", 10, 100)
	n.bias(r, "fc3.bias", 10, 0.05)
	n.spec.Classes = []Class{
		dense("fc1", "fc2", 300, 1, g),
		dense("fc2", "fc3", 100, 1, g),
	}
	return n
}

// narrow is 120-60-40-10, fully connected.
func narrow(r *rand.Rand, g ...Gauge) *testNet {
	n := newTestNet()
	n.he(r, "fc1.weight", 60, 120)
	n.bias(r, "fc1.bias", 60, 0.05)
	n.he(r, "fc2.weight", 40, 60)
	n.bias(r, "fc2.bias", 40, 0.05)
	n.he(r, "fc3.weight", 10, 40)
	n.bias(r, "fc3.bias", 10, 0.05)
	n.spec.Classes = []Class{dense("fc1", "fc2", 60, 1, g), dense("fc2", "fc3", 40, 1, g)}
	return n
}

// dense is the class of the outputs of a layer with bias that one other reads.
func dense(layer, next string, size, run int, g []Gauge) Class {
	c := Class{Name: layer, Size: size, Factors: g, Places: []Place{
		{Tensor: layer + ".weight", Axis: 0, Role: Incoming, Acts: in},
		{Tensor: layer + ".bias", Axis: 0, Role: Parameter, Acts: in},
		{Tensor: next + ".weight", Axis: 1, Run: run, Role: Outgoing, Acts: out},
	}}
	if len(g) == 0 {
		for p := range c.Places {
			c.Places[p].Acts = nil
		}
	}
	return c
}

// lenet5 is LeNet-5 as Caffe has it: 20 and 50 filters of 5x5, 500 units.
func lenet5(r *rand.Rand, g ...Gauge) *testNet {
	n := newTestNet()
	n.he(r, "conv1.weight", 20, 1, 5, 5)
	n.bias(r, "conv1.bias", 20, 0.05)
	n.he(r, "conv2.weight", 50, 20, 5, 5)
	n.bias(r, "conv2.bias", 50, 0.05)
	n.he(r, "fc1.weight", 500, 800)
	n.bias(r, "fc1.bias", 500, 0.05)
	n.he(r, "fc2.weight", 10, 500)
	n.bias(r, "fc2.bias", 10, 0.05)
	n.spec.Classes = []Class{
		dense("conv1", "conv2", 20, 1, g),
		dense("conv2", "fc1", 50, 16, g),
		dense("fc1", "fc2", 500, 1, g),
	}
	return n
}

// A condition is what is done to all weights of a network.
type condition struct {
	name   string
	damage func(r *rand.Rand, x []float32)
	first  bool    // before rescaling; else after it, as somebody who got the rescaled network would
	want   float64 // of Joint, percent of neurons, at least
}

func netConditions() []condition {
	q := func(bits int) func(*rand.Rand, []float32) {
		return func(_ *rand.Rand, x []float32) { quantize(x, bits) }
	}
	p := func(t float64) func(*rand.Rand, []float32) { return func(_ *rand.Rand, x []float32) { prune(x, t) } }
	o := func(s float64) func(*rand.Rand, []float32) { return func(r *rand.Rand, x []float32) { noise(r, x, s) } }
	return []condition{
		{"none", func(*rand.Rand, []float32) {}, false, 100},
		{"noise 1", o(1), true, 100},
		{"noise 2", o(2), true, 100},
		{"noise 3", o(3), true, 95},
		{"prune .9", p(.9), true, 100},
		{"prune .95", p(.95), true, 100},
		{"prune .99", p(.99), true, 95},
		{"quant 8", q(8), true, 100},
		{"quant 4", q(4), true, 100},
		{"quant 3", q(3), true, 100},
		{"quant 2", q(2), true, 100},
		{"rescaled, then prune .9", p(.9), false, 99},
		{"rescaled, then quant 4", q(4), false, 99},
		{"rescaled, then noise 1", o(1), false, 99},
		{"prune .9 + quant 4 + noise 1", func(r *rand.Rand, x []float32) { prune(x, .9); quantize(x, 4); noise(r, x, 1) }, true, 99},
	}
}

// attacked returns a damaged, rescaled and shuffled copy, and the truth.
func (n *testNet) attacked(r *rand.Rand, c condition, sigma float64) (*testNet, map[string]*Matching) {
	m := n.clone()
	if c.first {
		m.damage(func(x []float32) { c.damage(r, x) })
	}
	m.rescaled(r, sigma)
	if !c.first {
		m.damage(func(x []float32) { c.damage(r, x) })
	}
	return m, m.shuffled(r)
}

// psi is Ψ over the neurons of all classes.
func psi(n *NetworkResult, truth map[string]*Matching) float64 {
	var sum, count float64
	for _, c := range n.Classes {
		k := float64(len(c.Sus))
		sum += k * Psi(&c.Matching, truth[c.Name])
		count += k
	}
	return sum / count
}

// outerKnown matches each class with all others given, by one method.
func outerKnown(ref, sus Network, truth map[string]*Matching, m Method) float64 {
	out := &NetworkResult{}
	for c := range ref.Spec.Classes {
		known := map[string]*Matching{}
		for name, x := range truth {
			if name != ref.Spec.Classes[c].Name {
				known[name] = x
			}
		}
		r := must(MatchNetworks(ref, sus, &NetworkOptions{Options: Options{Method: m}, Known: known}))
		out.Classes = append(out.Classes, r.Classes[c])
	}
	return psi(out, truth)
}

// netTable runs the conditions, logs what is found, and holds it to bounds: those
// of the conditions, or those given. ROPEWALK_TABLES is the number of seeds for
// all conditions, with the columns for known outer axes.
func netTable(t *testing.T, name string, net func(seed uint64) *testNet, sigma float64, want map[string]float64) {
	seeds, err := strconv.Atoi(os.Getenv("ROPEWALK_TABLES"))
	full := err == nil && seeds > 0
	if !full {
		seeds = 1
		t.Log("some conditions, one seed: ROPEWALK_TABLES=5 makes the whole table")
	}
	t.Logf("%-12s %-30s %8s %8s %8s %8s %9s %s", name, "condition", "cold", "outer", "paper", "p.outer", "certainty", "log evidence, sweeps")
	for k, c := range netConditions() {
		if !full && !slices.Contains(quick[name], c.name) {
			continue
		}
		var cold, outer, paper, paperOuter, sure, ev float64
		sweeps, soft := 0, 0
		for seed := range uint64(seeds) {
			r := rand.New(rand.NewPCG(seed, uint64(k)))
			n := net(seed)
			m, truth := n.attacked(r, c, sigma)
			a, b := n.network(), m.network()
			res, err := MatchNetworks(a, b, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := 1 / float64(seeds)
			cold += s * psi(res, truth)
			paper += s * psi(must(MatchNetworks(a, b, &NetworkOptions{Options: Options{Method: Paper}})), truth)
			if full {
				outer += s * outerKnown(a, b, truth, Joint)
				paperOuter += s * outerKnown(a, b, truth, Paper)
			}
			var sum, count float64
			for _, x := range res.Classes {
				for _, y := range x.Certainty {
					sum += y
					count++
				}
			}
			sure += s * sum / count
			ev += s * res.LogEvidence
			sweeps += res.Sweeps
			if res.Soft {
				soft++
			}
		}
		t.Logf("%-12s %-30s %8.2f %8.2f %8.2f %8.2f %9.3f %.0f, %d (%d soft)", name, c.name, cold, outer, paper, paperOuter, sure, ev, sweeps/seeds, soft)
		w := c.want
		if x, ok := want[c.name]; ok {
			w = x
		}
		if cold < w {
			t.Errorf("%s, %s: cold start finds %.2f %%, want %.2f", name, c.name, cold, w)
		}
		if cold < paper {
			t.Errorf("%s, %s: cold start finds %.2f %%, the paper's method %.2f", name, c.name, cold, paper)
		}
	}
}

// quick are the conditions of the ordinary tests; the whole tables take minutes.
var quick = map[string][]string{
	"LeNet-300": {"noise 2", "prune .9"},
	"LeNet-5":   {"noise 3"},
	"ResNet-20": {"noise 1", "prune .9", "quant 2"},
	"ResNet-32": {"noise 2"},
}

func TestLeNet300(t *testing.T) {
	// A few neurons have nothing left after 95 % and 99 % pruning of rows of unequal size.
	netTable(t, "LeNet-300", func(seed uint64) *testNet { return lenet300(rand.New(rand.NewPCG(seed, 300)), Positive) }, 0.7, map[string]float64{
		"prune .9": 98, "prune .95": 95, "prune .99": 58, "rescaled, then prune .9": 95, "prune .9 + quant 4 + noise 1": 96,
	})
}

func TestLeNet5(t *testing.T) {
	netTable(t, "LeNet-5", func(seed uint64) *testNet { return lenet5(rand.New(rand.NewPCG(seed, 5)), Positive) }, 0.7, map[string]float64{
		"prune .9": 98, "prune .95": 90, "prune .99": 50, "rescaled, then prune .9": 95, "rescaled, then quant 4": 95, "prune .9 + quant 4 + noise 1": 83,
	})
}

// Signs and scales together, and the factors are found, too.
func TestNetworkFactors(t *testing.T) {
	for _, g := range []Gauge{Positive, Nonzero, Sign} {
		r := rand.New(rand.NewPCG(8, uint64(g)))
		n := lenet300(r, g)
		m := n.clone()
		scales := m.rescaled(r, 0.7)
		truth := m.shuffled(r)
		res := must(MatchNetworks(n.network(), m.network(), nil))
		if got := psi(res, truth); got != 100 {
			t.Errorf("%v: %v %% found", g, got)
		}
		for c, x := range res.Classes {
			for i, s := range x.Scale[0] {
				if want := scales[c][0][i]; math.Abs(s/want-1) > 1e-3 {
					t.Fatalf("%v: class %s, neuron %d: factor %v, want %v", g, x.Name, i, s, want)
				}
			}
		}
		if !res.Related {
			t.Errorf("%v: %+v", g, res)
		}
	}
}

// Neurons removed and strangers added, in a whole network.
func TestNetworkRectangular(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 10))
	n := lenet300(r)
	m := n.clone()
	m.damage(func(x []float32) { noise(r, x, 0.5) })
	keep := map[string][]int{}
	m.spec = &Spec{}
	for _, c := range n.spec.Classes { // a fifth is gone, a tenth of strangers comes
		order := r.Perm(c.Size)[:c.Size*4/5]
		for range c.Size / 10 {
			order = append(order, -1)
		}
		r.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
		keep[c.Name] = order
		for _, p := range c.Places {
			a := m.arrays[p.Tensor]
			s := deviation(a.data)
			outer, inner := a.split(p.Axis)
			b := &array{slices.Clone(a.dims), nil}
			b.dims[p.Axis] = len(order)
			for o := range outer {
				for _, i := range order {
					if i < 0 {
						for range inner {
							b.data = append(b.data, float32(s*r.NormFloat64()))
						}
						continue
					}
					b.data = append(b.data, a.data[(o*c.Size+i)*inner:][:inner]...)
				}
			}
			m.arrays[p.Tensor] = b
		}
		c.Size = len(order)
		m.spec.Classes = append(m.spec.Classes, c)
	}
	res := must(MatchNetworks(n.network(), m.network(), nil))
	for _, c := range res.Classes {
		wrong := 0
		for j, i := range keep[c.Name] {
			if c.Ref[j] != i {
				wrong++
			}
		}
		t.Logf("%s: %d of %d wrong", c.Name, wrong, len(keep[c.Name]))
		if wrong > len(keep[c.Name])/100 {
			t.Errorf("class %s: %d of %d suspect neurons wrong", c.Name, wrong, len(keep[c.Name]))
		}
	}
}

// Whole networks that have nothing to do with each other: the search ends in a
// matching that agrees with itself, and is not believed.
func TestNetworksUnrelated(t *testing.T) {
	worst := math.Inf(-1)
	for seed := range uint64(16) {
		r := rand.New(rand.NewPCG(seed, 99))
		g := [][]Gauge{nil, {Positive}, {Nonzero}, {Sign}}[seed%4]
		n, m := smallNet(r, g), smallNet(r, g)
		if seed%3 == 1 { // pruned alike
			m.damage(func(x []float32) { prune(x, 0.8) })
		}
		res := must(MatchNetworks(n.network(), m.network(), nil))
		worst = max(worst, res.LogEvidence)
		if res.Related {
			t.Errorf("pair %d %v: log evidence %.1f (z %.1f)", seed, g, res.LogEvidence, res.Z)
		}
		for _, c := range res.Classes {
			if slices.Max(c.Certainty) > 0 {
				t.Errorf("pair %d %v: class %s has certainties up to %v", seed, g, c.Name, slices.Max(c.Certainty))
			}
		}
	}
	t.Logf("largest log evidence of strangers: %.1f", worst)
}

// smallNet is 20-40-30-12.
func smallNet(r *rand.Rand, g []Gauge) *testNet {
	n := newTestNet()
	n.he(r, "a.weight", 40, 20)
	n.bias(r, "a.bias", 40, 0.05)
	n.he(r, "b.weight", 30, 40)
	n.bias(r, "b.bias", 30, 0.05)
	n.he(r, "c.weight", 12, 30)
	n.spec.Classes = []Class{dense("a", "b", 40, 1, g), dense("b", "c", 30, 1, g)}
	return n
}

// Networks that do not fit are refused, with all that differs.
func TestNetworkRefuses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	ok := smallNet(r, nil)
	for _, tt := range []struct {
		name string
		edit func(n *testNet)
		want string
	}{
		{"no spec", func(n *testNet) { n.spec = nil }, "the suspect has no classes"},
		{"missing", func(n *testNet) { n.names = n.names[1:] }, "there is no tensor a.weight"},
		{"NaN", func(n *testNet) { n.arrays["b.weight"].data[7] = float32(math.NaN()) }, "tensor b.weight has NaN at 7"},
		{"axis", func(n *testNet) { n.spec.Classes[0].Places[0].Axis = 2 }, "no axis 2"},
		{"outside", func(n *testNet) { n.spec.Classes[0].Size = 41 }, "neuron 40 is at 40 of axis 0"},
		{"twice", func(n *testNet) { n.spec.Classes[1].Places[0].Tensor = "a.weight" }, "belongs to two neurons"},
		{"positions", func(n *testNet) { n.spec.Classes[0].Places[0].At = []int{1} }, "1 positions for 40"},
		{"negative", func(n *testNet) { n.spec.Classes[0].Places[0].At = slices.Repeat([]int{-1}, 40) }, "is at -1"},
		{"size", func(n *testNet) { n.spec.Classes[0].Size = 1 << 20 }, "1048576 neurons"},
		{"act", func(n *testNet) { n.spec.Classes[0].Places[0].Acts = in }, "of 0 factors"},
		{"classes", func(n *testNet) { n.spec.Classes = n.spec.Classes[:1] }, "2 and 1 classes"},
		{"other class", func(n *testNet) { n.spec.Classes[1].Name = "x" }, "class b [] with 3 places, and x"},
		{"inputs", func(n *testNet) { n.he(r, "a.weight", 40, 21); n.names = n.names[:len(n.names)-1] }, "20 and 21 positions on axis 1"},
		{"rank", func(n *testNet) {
			n.put("a.weight", gaussian(r, 40*20), 40, 20, 1)
			n.names = n.names[:len(n.names)-1]
		}, "shapes [40 20] and [40 20 1]"},
	} {
		n := ok.clone()
		n.spec = &Spec{}
		for _, c := range ok.spec.Classes {
			c.Places = slices.Clone(c.Places)
			n.spec.Classes = append(n.spec.Classes, c)
		}
		tt.edit(n)
		_, err := MatchNetworks(ok.network(), n.network(), nil)
		if !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	bad := map[string]*Matching{"a": must(NewMatching([]int{0}, 1))}
	if _, err := MatchNetworks(ok.network(), ok.network(), &NetworkOptions{Known: bad}); !errors.Is(err, ErrInput) {
		t.Errorf("known matching of another size: %v", err)
	}
}
