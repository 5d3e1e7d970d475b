package attack

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"ropewalk/dataset"
	"ropewalk/engine/native"
	"ropewalk/symmetry"
	"ropewalk/tensor"
	"ropewalk/train"
)

// images are 64 images of 1x6x6 that are bright in one of four places.
func images(t *testing.T) *train.Examples {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	var x []float32
	var labels []int
	for i := range 64 {
		for p := range 36 {
			v := 0.1 * r.NormFloat64()
			if p/9 == i%4 {
				v++
			}
			x = append(x, float32(v))
		}
		labels = append(labels, i%4)
	}
	return &train.Examples{Data: must(dataset.NewFloats(tensor.Shape{1, 6, 6}, x, labels)), Classes: 4}
}

// Fine-tuning is what train does with these settings, and is better at it after.
func TestFinetune(t *testing.T) {
	n := small(1)
	data := images(t)
	o := &Options{Seed: 4, Trainer: &Trainer{Backend: native.Backend{}, Data: data}}
	o.Trainer.Compile.Threads = 1
	r := apply(t, "finetune=20:batch=16", n, o)
	loss := func(n Network) float64 {
		p := must(native.Backend{}.Compile(n.Graph, nil))
		defer p.Close()
		return must(train.Evaluate(context.Background(), p, data, nil)).Loss
	}
	if before, after := loss(n), loss(r.Network); !(after < before/2) || r.Reports[0].Loss == nil || r.Reports[0].Tensors != n.Set.Len() {
		t.Errorf("the loss went from %g to %g; %+v", before, after, r.Reports[0])
	}
	if d := symmetryDifference(t, n, r.Network); d < 0.01 {
		t.Errorf("outputs changed by %g", d)
	}
	again := apply(t, "finetune=20:batch=16", n, o)
	for _, x := range r.Set.All() {
		if string(must(x.Bytes())) != string(must(again.Set.Lookup(x.Name).Bytes())) {
			t.Errorf("%s differs the second time", x.Name)
		}
	}
	for _, bad := range []string{"finetune=1:rate=x", "finetune=1:batch=2.5", "finetune=1:rate=-1"} {
		if _, err := must(Parse(bad)).Apply(context.Background(), n, o); err == nil {
			t.Errorf("%s was done", bad)
		}
	}
	for _, o := range []*Options{nil, {Trainer: &Trainer{}}} {
		if _, err := must(Parse("finetune=1")).Apply(context.Background(), n, o); err == nil {
			t.Error("trained without examples")
		}
	}
	if _, err := must(Parse("finetune=1")).Apply(context.Background(), Network{Set: n.Set}, o); err == nil {
		t.Error("trained without a graph")
	}
}

func symmetryDifference(t *testing.T, a, b Network) float64 {
	t.Helper()
	d, err := symmetry.Compare(a.Graph, b.Graph, &symmetry.VerifyOptions{Tolerance: math.MaxFloat64})
	if err != nil {
		t.Fatal(err)
	}
	return d[0].Largest
}

// The mark is read by who knows its secret, and the change is the least there is.
func TestOverwrite(t *testing.T) {
	n := small(2)
	r := apply(t, "overwrite=48:tensor=c.weight", n, &Options{Seed: 9})
	m := r.Reports[0].Mark
	if m == nil || m.Tensor != "c.weight" || m.Axis != 0 || m.Bits != 48 || m.Wrong == 0 || m.Wrong == 48 || !(m.Change > 0 && m.Change < 1) {
		t.Fatalf("%+v", m)
	}
	for _, x := range n.Set.All() {
		same := string(must(x.Bytes())) == string(must(r.Set.Lookup(x.Name).Bytes()))
		if same == (x.Name == "c.weight") {
			t.Errorf("%s is the same: %v", x.Name, same)
		}
	}
	random := source(9, "c.weight")()
	read := func(n Network) (wrong int) {
		x := n.Set.Lookup("c.weight")
		random = source(9, "c.weight")()
		mean := meanAlong(values(x, must(x.Bytes())), x.Shape, 0)
		y := project(secret(48, len(mean), random), mean)
		for _, v := range y {
			if v > 0 != (random.Uint64()&1 == 1) {
				wrong++
			}
		}
		return wrong
	}
	if a, b := read(n), read(r.Network); a != m.Wrong || b != 0 {
		t.Errorf("%d bits are wrong before, want %d, and %d after", a, m.Wrong, b)
	}
	// Writing it again changes nothing.
	if again := apply(t, "overwrite=48:tensor=c.weight", r.Network, &Options{Seed: 9}).Reports[0].Mark; again.Wrong != 0 || again.Change > 0.3*m.Change {
		t.Errorf("again: %+v, after %+v", again, m)
	}
	// A tensor is chosen that has room.
	if m := apply(t, "overwrite=100", n, &Options{Seed: 3}).Reports[0].Mark; m.Tensor != "c.weight" && m.Tensor != "e.weight" {
		t.Errorf("100 bits are in %s", m.Tensor)
	}
	for _, bad := range []string{"overwrite=1000", "overwrite=64:tensor=a.weight", "overwrite=8:tensor=bn.var"} {
		if _, err := must(Parse(bad)).Apply(context.Background(), n, nil); err == nil {
			t.Errorf("%s was done", bad)
		}
	}
}

// The least change meets its conditions, and is in the span of the secret's rows.
func TestLeastChange(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	x, mean := secret(5, 12, r), secret(1, 12, r)
	bits := []bool{true, false, true, true, false}
	d := must(leastChange(x, mean, bits, 2))
	for i := range mean {
		mean[i] += d[i]
	}
	for i, y := range project(x, mean) {
		if s := map[bool]float64{true: 1, false: -1}[bits[i]]; s*y < 2-1e-9 {
			t.Errorf("bit %d reads %g", i, y)
		}
	}
	// A vector that all rows are perpendicular to cannot make it smaller.
	v := secret(1, 12, r)
	sums := project(x, v)
	gram := make([]float64, 25)
	for i := range 5 {
		for j := range 5 {
			for k := range 12 {
				gram[i*5+j] += x[i*12+k] * x[j*12+k]
			}
		}
	}
	if err := solve(gram, sums); err != nil {
		t.Fatal(err)
	}
	dot := 0.0
	for k := range v {
		for i, f := range sums {
			v[k] -= f * x[i*12+k]
		}
		dot += v[k] * d[k]
	}
	if math.Abs(dot) > 1e-9 {
		t.Errorf("a part of %g is of no use", dot)
	}
	if err := solve([]float64{1, 1, 1, 1}, []float64{1, 2}); err == nil {
		t.Error("equal rows were solved")
	}
}
