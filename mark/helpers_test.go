package mark

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"ropewalk/tensor"
)

// chacha is a reproducible source of secrets.
func chacha(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func newKey(t testing.TB, seed byte, payload ...byte) *Key {
	t.Helper()
	k, err := NewKey(chacha(seed), Identity{Owner: "Alice", Created: time.Unix(1e9, 0), Payload: payload})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func tensorOf(name string, x []float32, shape ...int64) *tensor.Tensor {
	b := make(tensor.Bytes, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: b}
}

func setOf(t testing.TB, ts ...*tensor.Tensor) *tensor.Set {
	t.Helper()
	s, err := tensor.NewSet(ts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// network is Gaussian weights of a network of three layers, and a bias.
func network(t testing.TB, seed uint64) *tensor.Set {
	r := rand.New(rand.NewPCG(seed, 7))
	normal := func(n int, sd float64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64() * sd)
		}
		return x
	}
	return setOf(t,
		tensorOf("conv.weight", normal(32*16*9, 0.1), 32, 16, 3, 3),
		tensorOf("conv.bias", normal(32, 0.1), 32),
		tensorOf("fc1.weight", normal(200*32, 0.05), 200, 32),
		tensorOf("fc2.weight", normal(100*200, 0.03), 100, 200),
	)
}

// change returns set with each weight of matrices and kernels changed.
func change(t testing.TB, set *tensor.Set, f func(t *tensor.Tensor, i int, v float32) float32) *tensor.Set {
	t.Helper()
	var list []*tensor.Tensor
	for _, u := range set.All() {
		if len(u.Shape) < 2 {
			continue
		}
		x, err := floats(u)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range x {
			x[i] = f(u, i, v)
		}
		list = append(list, tensorOf(u.Name, x, u.Shape...))
	}
	s, err := tensor.Overlay(set, list...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// combine returns a with each weight of matrices and kernels made of those of a and b.
func combine(t testing.TB, a, b *tensor.Set, f func(x, y []float32, i int) float32) *tensor.Set {
	t.Helper()
	var x, y []float32
	var now *tensor.Tensor
	return change(t, a, func(u *tensor.Tensor, i int, _ float32) float32 {
		if u != now {
			var err error
			if x, err = floats(u); err != nil {
				t.Fatal(err)
			}
			if y, err = floats(b.Lookup(u.Name)); err != nil {
				t.Fatal(err)
			}
			now = u
		}
		return f(x, y, i)
	})
}

// noise adds Gaussian noise of omega deviations of each tensor.
func noise(t testing.TB, set *tensor.Set, omega float64, seed uint64) *tensor.Set {
	r := rand.New(rand.NewPCG(seed, 8))
	sd := map[string]float64{}
	return change(t, set, func(u *tensor.Tensor, _ int, v float32) float32 {
		if _, ok := sd[u.Name]; !ok {
			x, err := floats(u)
			if err != nil {
				t.Fatal(err)
			}
			sd[u.Name] = momentsOf(x).deviation
		}
		return v + float32(omega*sd[u.Name]*r.NormFloat64())
	})
}

func embed(t testing.TB, scheme string, set *tensor.Set, k *Key, o *Options) *Embedded {
	t.Helper()
	s, err := Find(scheme)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Plan(set, k, o)
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Embed(set, k, p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func extract(t testing.TB, suspect, reference *tensor.Set, k Secrets, p *Parameters) *Reading {
	t.Helper()
	s, err := Find(p.Scheme)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Extract(suspect, reference, k, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
