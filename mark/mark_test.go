package mark

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ropewalk/tensor"
)

func TestStreamAnywhere(t *testing.T) {
	s := newStream([32]byte{5})
	whole := make([]byte, 1000)
	s.bytes(whole, 0)
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, len(whole)).Draw(t, "from")
		to := rapid.IntRange(from, len(whole)).Draw(t, "to")
		got := make([]byte, to-from)
		s.bytes(got, int64(from))
		if d := cmp.Diff(whole[from:to], got); d != "" {
			t.Fatal(d)
		}
	})
}

func TestNormals(t *testing.T) {
	s := newStream([32]byte{6})
	x := make([]float32, 1<<16+1)
	s.normals(x, 0)
	m := momentsOf(x)
	four := 0.0
	for _, v := range x {
		four += math.Pow(float64(v), 4)
	}
	if math.Abs(m.mean) > 0.02 || math.Abs(m.deviation-1) > 0.01 || math.Abs(four/m.n-3) > 0.15 {
		t.Errorf("mean %.3f, deviation %.3f, fourth moment %.3f", m.mean, m.deviation, four/m.n)
	}
	part := make([]float32, 300)
	s.normals(part, 1000)
	if d := cmp.Diff(x[1000:1300], part); d != "" {
		t.Errorf("from the middle: %s", d)
	}
}

// The signs are the same wherever one begins to read, and reading finds what filling made.
func TestCarrier(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := LayerKey{secret: [32]byte{byte(rapid.IntRange(0, 255).Draw(t, "key"))}}
		n := rapid.IntRange(1, 20000).Draw(t, "n")
		var code []int8
		if rapid.Bool().Draw(t, "code") {
			code = make([]int8, rapid.IntRange(1, 3000).Draw(t, "chips"))
			for i := range code {
				code[i] = int8(1 - 2*(i*i/7%2))
			}
		}
		c := newCarrier(&l, len(code))
		whole := make([]float32, n)
		c.fill(whole, 0, 0.5, code)
		from := rapid.IntRange(0, n).Draw(t, "from")
		part := make([]float32, n-from)
		c.fill(part, int64(from), 0.5, code)
		if d := cmp.Diff(whole[from:], part); d != "" {
			t.Fatal(d)
		}
		s := c.read(whole)
		z := s.z()
		if code != nil {
			z = s.zOf(code)
		}
		if want := math.Sqrt(float64(n)); math.Abs(z-want) > 1e-3*want {
			t.Fatalf("z = %g, want %g", z, want)
		}
	})
}

// What is computed when it is read is the same however it is read.
func TestAddedReads(t *testing.T) {
	set := network(t, 1)
	e := embed(t, "keyed", set, newKey(t, 1), nil)
	u := e.Set.Lookup("fc2.weight")
	whole, err := u.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, len(whole)-1).Draw(t, "from")
		n := rapid.IntRange(0, len(whole)-from).Draw(t, "n")
		got := make([]byte, n)
		if k, err := u.Data.ReadAt(got, int64(from)); k != n || err != nil {
			t.Fatal(k, err)
		}
		if string(got) != string(whole[from:from+n]) {
			t.Fatalf("bytes %d to %d differ", from, from+n)
		}
	})
}

func TestTypes(t *testing.T) {
	for _, dt := range []tensor.DType{tensor.F16, tensor.BF16, tensor.F32, tensor.F64} {
		var list []*tensor.Tensor
		for _, u := range network(t, 1).All() {
			list = append(list, tensor.Cast(u, dt))
		}
		set := setOf(t, list...)
		k := newKey(t, 1)
		e := embed(t, "keyed", set, k, &Options{Epsilon: 0.02})
		r := extract(t, e.Set, set, k, e.Parameters)
		if r.Log10P > -500 {
			t.Errorf("%s: z %.1f, log10 p %.1f", dt, r.Z, r.Log10P)
		}
		got, err := e.Set.Lookup("conv.bias").Bytes()
		if err != nil {
			t.Fatal(err)
		}
		was, err := set.Lookup("conv.bias").Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(was) {
			t.Errorf("%s: the bias was changed", dt)
		}
	}
}

// Strengths are what theory says, and the wrong key reads nothing.
func TestKeyed(t *testing.T) {
	set := network(t, 1)
	k, other := newKey(t, 1), newKey(t, 2)
	e := embed(t, "keyed", set, k, &Options{Epsilon: 0.02})
	n := float64(e.Cost.Weights)
	if e.Cost.Changed < e.Cost.Weights*9/10 || math.Abs(e.Cost.Change-0.02) > 0.001 {
		t.Errorf("cost %+v", e.Cost)
	}
	prune := func(v float32) float32 {
		if math.Abs(float64(v)) < 0.05 {
			return 0
		}
		return v
	}
	for _, tt := range []struct {
		name    string
		suspect *tensor.Set
		least   float64
	}{
		{"untouched", e.Set, 0.95 * math.Sqrt(n)},
		{"noise 0.1", noise(t, e.Set, 0.1, 1), 0.94*0.02/0.1*math.Sqrt(n) - 3.5},
		{"noise 0.5", noise(t, e.Set, 0.5, 1), 0.94*0.02/0.5*math.Sqrt(n) - 3.5},
		{"pruned", change(t, e.Set, func(_ *tensor.Tensor, _ int, v float32) float32 { return prune(v) }), 70},
		{"shrunk", change(t, e.Set, func(_ *tensor.Tensor, _ int, v float32) float32 { return 0.7 * v }), 0.9 * math.Sqrt(n)},
		{"4 bits", change(t, e.Set, func(_ *tensor.Tensor, _ int, v float32) float32 {
			return float32(math.Round(float64(v)/0.04) * 0.04)
		}), 8},
	} {
		r := extract(t, tt.suspect, set, k, e.Parameters)
		if r.Z < tt.least {
			t.Errorf("%s: z = %.1f, want at least %.1f", tt.name, r.Z, tt.least)
		}
		if r := extract(t, tt.suspect, set, other, e.Parameters); math.Abs(r.Z) > 4.5 {
			t.Errorf("%s: another key reads z = %.1f", tt.name, r.Z)
		}
	}
	// Nothing is in what is not marked: the reference itself, its relative, a stranger.
	for name, suspect := range map[string]*tensor.Set{"reference": set, "relative": noise(t, set, 0.1, 5), "stranger": network(t, 9)} {
		if r := extract(t, suspect, set, k, e.Parameters); math.Abs(r.Z) > 4.5 {
			t.Errorf("%s: z = %.1f", name, r.Z)
		}
	}
	if r := extract(t, e.Set, nil, k, e.Parameters); !r.Blind || r.Z < 1.5 || r.Z > 8 {
		t.Errorf("blind: z = %.1f, and it should be %.1f", r.Z, 0.02*math.Sqrt(n))
	}
}

// z is distributed as that of fair coins, whatever the residual is: 5,000 keys on suspects
// that were made without them. The bound holds at each level.
func TestNullKeyed(t *testing.T) {
	set := network(t, 1)
	owner := newKey(t, 1)
	e := embed(t, "keyed", set, owner, nil)
	for name, suspect := range map[string]*tensor.Set{"marked by another": noise(t, e.Set, 0.02, 1), "stranger": network(t, 4)} {
		const keys = 5000
		zs, err := Controls(suspect, set, e.Parameters, keys, chacha(77))
		if err != nil {
			t.Fatal(err)
		}
		// One by one, with keys, it is the same.
		random := chacha(77)
		for i := range 3 {
			k, err := NewKey(random, Identity{})
			if err != nil {
				t.Fatal(err)
			}
			if r := extract(t, suspect, set, k, e.Parameters); math.Abs(r.Z-zs[i]) > 1e-3 {
				t.Errorf("%s: z = %g by key, %g in bulk", name, r.Z, zs[i])
			}
		}
		var sum, squares float64
		tail := map[float64]int{}
		for _, z := range zs {
			sum += z
			squares += z * z
			for _, a := range []float64{0.1, 0.01, 0.001} {
				if math.Pow(10, Bound(z)) <= a {
					tail[a]++
				}
			}
		}
		mean, sd := sum/keys, math.Sqrt(squares/keys)
		if math.Abs(mean) > 4/math.Sqrt(keys) || math.Abs(sd-1) > 0.03 {
			t.Errorf("%s: z has mean %.4f and deviation %.4f", name, mean, sd)
		}
		for a, n := range tail {
			if want := a * keys; float64(n) > want+3*math.Sqrt(want) {
				t.Errorf("%s: p <= %g for %d of %d keys", name, a, n, keys)
			}
		}
	}
}

func TestBinomial(t *testing.T) {
	// Thresholds of resynchronisation tables: the least right bits of n for a level.
	for _, tt := range []struct {
		n, right int
		level    float64
	}{{64, 51, -6}, {64, 56, -9}, {128, 98, -9}, {256, 167, -6}, {256, 227, -128 * math.Log10(2)}, {1024, 719, -128 * math.Log10(2)}} {
		if p := Binomial(tt.right, tt.n); p > tt.level {
			t.Errorf("%d of %d: 10^%.3f, want at most 10^%.3f", tt.right, tt.n, p, tt.level)
		}
		if p := Binomial(tt.right-1, tt.n); p <= tt.level {
			t.Errorf("%d of %d: 10^%.3f, want more than 10^%.3f", tt.right-1, tt.n, p, tt.level)
		}
	}
	for n := 1; n <= 12; n++ { // against counting
		for right := range n + 1 {
			count := 0
			for x := range 1 << n {
				ones := 0
				for ; x > 0; x &= x - 1 {
					ones++
				}
				if ones >= right {
					count++
				}
			}
			want := math.Log10(float64(count) / float64(int(1)<<n))
			if got := Binomial(right, n); math.Abs(got-want) > 1e-9 {
				t.Errorf("%d of %d: %g, want %g", right, n, got, want)
			}
		}
	}
}

func TestJudge(t *testing.T) {
	r := &Reading{Log10P: -10, Layers: []LayerReading{{Tensor: "a", Log10P: -3}, {Tensor: "b", Log10P: -11}}}
	v := Judge(r, &Circumstances{Committed: true, Keys: 10})
	if !v.Present || v.Tests != 30 || v.Layer != "b" || math.Abs(v.Log10P-(-11+math.Log10(30))) > 1e-9 {
		t.Errorf("%+v", v)
	}
	if v := Judge(r, &Circumstances{}); v.Present || math.Abs(v.Threshold+38.53) > 0.01 {
		t.Errorf("without a commitment: %+v", v)
	}
	if v := Judge(r, &Circumstances{Committed: true, Keys: 1000, Alignments: 2}); v.Present {
		t.Errorf("of 6000 tests: %+v", v)
	}
}

// The payload comes back after damage, and is the owner's or none.
func TestPayload(t *testing.T) {
	set := network(t, 1)
	message := []byte("cust0042")
	k := newKey(t, 1, message...)
	e := embed(t, "payload", set, k, &Options{Epsilon: 0.03, MaxChange: 0.1})
	for name, suspect := range map[string]*tensor.Set{"untouched": e.Set, "noise 0.3": noise(t, e.Set, 0.3, 2)} {
		blank := &Key{Identity: Identity{Owner: k.Owner}, secret: k.secret} // which does not know the payload
		want := fmt.Sprintf("%x", message)
		e.Parameters.payload = nil
		r := extract(t, suspect, set, blank, e.Parameters)
		if r.Payload != want || r.Collusion || r.Log10P > -9 {
			t.Errorf("%s: payload %q, collusion %v, z %.1f, log10 p %.1f", name, r.Payload, r.Collusion, r.Z, r.Log10P)
		}
		r = extract(t, suspect, set, k, e.Parameters)
		if *r.Wrong != 0 || r.Payload != want {
			t.Errorf("%s: %d wrong bits", name, *r.Wrong)
		}
		r = extract(t, suspect, set, newKey(t, 8, message...), e.Parameters)
		if r.Payload != "" || r.Log10P < -6 || r.Collusion {
			t.Errorf("%s, another key: payload %q, z %.1f", name, r.Payload, r.Z)
		}
	}
}

// The mean of two customers' copies names both, or none; never a third.
func TestCollusion(t *testing.T) {
	set := network(t, 1)
	k := newKey(t, 1)
	for trial := range 4 {
		a := embed(t, "payload", set, k, &Options{Epsilon: 0.02, Payload: []byte{0, 0, 0, byte(trial)}})
		b := embed(t, "payload", set, k, &Options{Epsilon: 0.02, Payload: []byte{0, 0, 1, byte(trial)}})
		mean := combine(t, a.Set, b.Set, func(x, y []float32, i int) float32 { return (x[i] + y[i]) / 2 })
		for _, omega := range []float64{0, 0.05, 0.1} {
			suspect := mean
			if omega > 0 {
				suspect = noise(t, mean, omega, uint64(trial))
			}
			p := *a.Parameters
			p.payload = nil
			r := extract(t, suspect, set, k, &p)
			for _, c := range append(r.Colluders, r.Payload) {
				if c != "" && c != fmt.Sprintf("000000%02x", trial) && c != fmt.Sprintf("000001%02x", trial) {
					t.Errorf("noise %g: %q is innocent", omega, c)
				}
			}
			if !r.Collusion && r.Payload == "" {
				t.Errorf("noise %g: neither collusion nor a name; z %.1f", omega, r.Z)
			}
		}
	}
}

func TestSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 1, maxBlock).Draw(t, "data")
		s := spread(data)
		if d := cmp.Diff(data, s[:len(data)]); d != "" {
			t.Fatal(d)
		}
		// Any k symbols give all others.
		at := rapid.Permutation(indices(len(s))).Draw(t, "at")[:len(data)]
		values := make([]byte, len(data))
		for i, k := range at {
			values[i] = s[k]
		}
		if d := cmp.Diff(s, interpolate(newBasis(at, len(s)), values)); d != "" {
			t.Fatal(d)
		}
	})
}

func indices(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

// A message comes back at noise 3.8 dB above Shannon's limit, where one bit in 30 would be
// wrong without a code.
func TestCode(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{5, 12, 20, 36} {
		code := blocksOf(n)
		wrong := 0
		const trials = 4
		for range trials {
			message := make([]byte, n)
			for i := range message {
				message[i] = byte(r.Uint32())
			}
			chips := code.encode(message)
			// z²/2 = 2.4 times the bits, in nats: Shannon's limit is 1.
			z := math.Sqrt(2 * 2.4 * math.Ln2 * 8 * float64(n))
			x, ones := make([]float64, len(chips)), slices.Repeat([]float64{1}, len(chips))
			for i, c := range chips {
				x[i] = z/math.Sqrt(float64(len(chips)))*float64(c) + r.NormFloat64()
			}
			var got []byte
			for _, c := range code.decode(x, ones, 2) {
				got = append(got, c[0].data...)
			}
			if string(got) != string(message) {
				wrong++
			}
		}
		if wrong > 1 {
			t.Errorf("%d bytes: %d of %d messages wrong", n, wrong, trials)
		}
	}
}

func TestGrid(t *testing.T) {
	float := network(t, 1)
	set := change(t, float, func(_ *tensor.Tensor, _ int, v float32) float32 {
		return float32(math.Round(float64(v)/0.04)) * 0.04
	})
	for _, o := range []*Options{{}, {Payload: []byte("cust0001")}, {Payload: []byte("x"), Original: float}} {
		k := newKey(t, 1)
		e := embed(t, "grid", set, k, o)
		e.Parameters.payload = nil
		r := extract(t, e.Set, set, k, e.Parameters)
		if o.Payload != nil && r.Payload != fmt.Sprintf("%x", o.Payload) || r.Log10P > -20 {
			t.Errorf("payload %q, z %.1f, log10 p %.1f", r.Payload, r.Z, r.Log10P)
		}
		moved := int64(0)
		for _, u := range set.All() {
			x, err := floats(u)
			if err != nil {
				t.Fatal(err)
			}
			y, err := floats(e.Set.Lookup(u.Name))
			if err != nil {
				t.Fatal(err)
			}
			for i := range x {
				if x[i] != y[i] {
					moved++
				}
			}
			if len(u.Shape) > 1 {
				if d := cmp.Diff(levelsOf(x), levelsOf(append(y, x...))); d != "" {
					t.Errorf("%s has new levels: %s", u.Name, d)
				}
			}
		}
		if moved != e.Cost.Changed || moved != int64(e.Parameters.Moves) {
			t.Errorf("%d weights moved, and it says %d of %d", moved, e.Cost.Changed, e.Parameters.Moves)
		}
		if r := extract(t, e.Set, set, newKey(t, 2), e.Parameters); r.Log10P < -6 {
			t.Errorf("another key: z %.1f", r.Z)
		}
		if r := extract(t, noise(t, e.Set, 0.02, 1), set, k, e.Parameters); r.Log10P > -20 {
			t.Errorf("noise 0.02: z %.1f, log10 p %.1f", r.Z, r.Log10P)
		}
	}
	if _, err := (keyed{}).Plan(set, newKey(t, 1), nil); !errors.Is(err, ErrOptions) || !strings.Contains(fmt.Sprint(err), "Scheme grid") {
		t.Errorf("keyed on a grid: %v", err)
	}
	if _, err := (grid{}).Plan(float, newKey(t, 1), nil); !errors.Is(err, ErrNetwork) {
		t.Errorf("grid on floats: %v", err)
	}
}

func TestUchida(t *testing.T) {
	set := network(t, 1)
	k := newKey(t, 1)
	e := embed(t, "uchida", set, k, &Options{Only: []string{"fc2.weight"}, MaxChange: 0.3})
	r := extract(t, e.Set, nil, k, e.Parameters)
	if *r.Wrong != 0 || math.Abs(r.Log10P-64*math.Log10(0.5)) > 1e-6 {
		t.Errorf("%d wrong, log10 p %.2f", *r.Wrong, r.Log10P)
	}
	if r := extract(t, noise(t, e.Set, 1, 3), nil, k, e.Parameters); *r.Wrong > 3 {
		t.Errorf("noise 1: %d wrong", *r.Wrong)
	}
	if r := extract(t, set, nil, k, e.Parameters); *r.BER < 0.25 || *r.BER > 0.75 {
		t.Errorf("unmarked: BER %.2f", *r.BER)
	}
	move := func(set *tensor.Set, axis int) *tensor.Set { // reverses an axis of fc2
		return combine(t, set, set, func(x, _ []float32, i int) float32 {
			if len(x) != 100*200 {
				return x[i]
			}
			row, col := i/200, i%200
			if axis == 0 {
				return x[(99-row)*200+col]
			}
			return x[row*200+199-col]
		})
	}
	if r := extract(t, move(e.Set, 0), nil, k, e.Parameters); *r.Wrong != 0 {
		t.Errorf("its own neurons in another order: %d wrong", *r.Wrong)
	}
	if r := extract(t, move(e.Set, 1), nil, k, e.Parameters); *r.BER < 0.25 {
		t.Errorf("the neurons before in another order: BER %.2f", *r.BER)
	}
}

// The change is the least one: it satisfies the conditions of Karush, Kuhn and Tucker.
func TestLeastChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 3))
		n, m := rapid.IntRange(1, 20).Draw(t, "n"), rapid.IntRange(40, 80).Draw(t, "m")
		x, mean, bits := make([]float32, n*m), make([]float64, m), make([]bool, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		for i := range mean {
			mean[i] = r.NormFloat64()
		}
		for i := range bits {
			bits[i] = r.IntN(2) == 1
		}
		d, err := leastChange(x, mean, bits, 3)
		if err != nil {
			t.Fatal(err)
		}
		after := make([]float64, m)
		norm := 0.0
		for i := range after {
			after[i] = mean[i] + d[i]
			norm += d[i] * d[i]
		}
		before := project(x, mean)
		for j, y := range project(x, after) {
			if !bits[j] {
				y = -y
			}
			if y < 3-1e-5 {
				t.Fatalf("bit %d reads %g, want 3 (before %g)", j, y, before[j])
			}
		}
		// No point of the convex set between is nearer: compare with any other that fits.
		for range 5 {
			other := make([]float64, m)
			for i := range other {
				other[i] = d[i] + 0.05*r.NormFloat64()
			}
			fits, size := true, 0.0
			for i := range after {
				after[i] = mean[i] + other[i]
				size += other[i] * other[i]
			}
			for j, y := range project(x, after) {
				if !bits[j] {
					y = -y
				}
				fits = fits && y >= 3
			}
			if fits && size < norm-1e-6 {
				t.Fatalf("a change of norm² %g fits, too, and %g was found", size, norm)
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	set := network(t, 1)
	k := newKey(t, 1)
	long := make([]byte, 64)
	nan := change(t, set, func(_ *tensor.Tensor, i int, v float32) float32 {
		if i == 5 {
			return float32(math.NaN())
		}
		return v
	})
	for _, tt := range []struct {
		scheme string
		set    *tensor.Set
		o      *Options
		is     error
		want   string
	}{
		{"keyed", set, &Options{Epsilon: 0.5}, ErrBound, "epsilon may be up to"},
		{"keyed", set, &Options{Epsilon: -1}, ErrOptions, "epsilon is -1"},
		{"keyed", set, &Options{Only: []string{"nosuch*"}}, ErrOptions, `"nosuch*"`},
		{"keyed", set, &Options{Only: []string{"conv.bias"}}, ErrNetwork, "conv.bias"},
		{"keyed", nan, nil, ErrNetwork, "value 5 of conv.weight is NaN"},
		{"payload", set, nil, ErrOptions, "no payload"},
		{"payload", set, &Options{Payload: long}, ErrCapacity, "512 bits"},
		{"uchida", set, &Options{Bits: 1000}, ErrCapacity, "fit into"},
		{"uchida", set, &Options{Margin: 1000}, ErrBound, "margin"},
		{"uchida", set, &Options{Axes: map[string]int{"fc1.weight": 7}}, ErrOptions, "axis 7"},
	} {
		s, err := Find(tt.scheme)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Plan(tt.set, k, tt.o)
		if !errors.Is(err, tt.is) || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s %+v: %v, want %q", tt.scheme, tt.o, err, tt.want)
		}
	}
	e := embed(t, "keyed", set, k, nil)
	twice := *e.Parameters
	twice.Tensors = append(slices.Clone(twice.Tensors), twice.Tensors[0])
	if _, err := (keyed{}).Extract(set, set, k, &twice); !errors.Is(err, ErrOptions) {
		t.Errorf("a tensor that counts twice: %v", err)
	}
	other := setOf(t, tensorOf("a", make([]float32, 100), 10, 10))
	if _, err := (keyed{}).Extract(other, set, k, e.Parameters); !errors.Is(err, ErrNetwork) {
		t.Errorf("another architecture: %v", err)
	}
	if _, err := (keyed{}).Extract(set, other, k, e.Parameters); !errors.Is(err, ErrNetwork) {
		t.Errorf("another reference: %v", err)
	}
}
