package entropy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ropewalk/tensor"
)

// naive is the definition of H_n, with a map.
func naive(n int, sliding bool, tensors ...[]uint16) Entropy {
	counts := map[string]int64{}
	e := Entropy{Order: n}
	for _, t := range tensors {
		step := n
		if sliding {
			step = 1
		}
		for i := 0; i+n <= len(t); i += step {
			counts[fmt.Sprint(t[i:i+n])]++
			e.Blocks++
		}
	}
	e.Distinct = int64(len(counts))
	for _, c := range counts {
		p := float64(c) / float64(e.Blocks)
		e.Bits -= p * math.Log2(p)
	}
	return e
}

// The counter agrees with the definition, for any order, any split of a tensor
// into pieces, and any limit of memory.
func TestMeasure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(t, "order")
		k := rapid.SampledFrom([]uint16{1, 2, 3, 40, 65535}).Draw(t, "largest")
		ts := rapid.SliceOfN(rapid.SliceOfN(rapid.Uint16Range(0, k), 0, 60), 1, 4).Draw(t, "tensors")
		o := CounterOptions{Order: n, Sliding: rapid.Bool().Draw(t, "sliding"), MaxDistinct: rapid.SampledFrom([]int{0, 1, 5}).Draw(t, "limit")}
		c := NewCounter(&o)
		piece := rapid.IntRange(1, 9).Draw(t, "piece")
		for c.Next() {
			for _, s := range ts {
				for p := range slices.Chunk(s, piece) {
					c.Add(p)
				}
				c.EndTensor()
			}
		}
		got, err := c.Entropy()
		if err != nil {
			t.Fatal(err)
		}
		want := naive(n, o.Sliding, ts...)
		if math.Abs(got.Bits-want.Bits) > 1e-12 {
			t.Fatalf("H_%d = %v, want %v", n, got.Bits, want.Bits)
		}
		got.Bits = want.Bits
		if got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	})
}

// Permuting whole blocks leaves H_n as it is, to the last bit.
func TestMeasurePermuted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= 8; n++ {
		s := make([]uint16, 1000*n)
		for i := range s {
			s[i] = uint16(rng.IntN(3))
		}
		want := Measure(n, s)
		blocks := slices.Collect(slices.Chunk(s, n))
		rng.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
		if got := Measure(n, slices.Concat(blocks...)); got != want {
			t.Errorf("n = %d: %+v, before %+v", n, got, want)
		}
	}
}

func TestMeasureKnown(t *testing.T) {
	tests := []struct {
		n    int
		s    []uint16
		want Entropy
	}{
		{1, []uint16{0, 1, 2, 3}, Entropy{1, 4, 4, 2}},
		{2, []uint16{0, 1, 0, 1, 7}, Entropy{2, 2, 1, 0}}, // the last weight is in no block
		{3, []uint16{0, 1}, Entropy{3, 0, 0, 0}},
		{1, nil, Entropy{1, 0, 0, 0}},
		{5, []uint16{1, 2, 3, 4, 5, 9, 2, 3, 4, 5}, Entropy{5, 2, 2, 1}}, // the symbol of another word differs
	}
	for _, tt := range tests {
		if got := Measure(tt.n, tt.s); got != tt.want {
			t.Errorf("H_%d of %v is %+v, want %+v", tt.n, tt.s, got, tt.want)
		}
	}
}

// Symbols that change between passes are noticed.
func TestMeasureChanged(t *testing.T) {
	c := NewCounter(&CounterOptions{MaxDistinct: 1})
	for n := 9; c.Next(); n-- {
		for i := range n {
			c.Add([]uint16{uint16(i)})
		}
	}
	if _, err := c.Entropy(); err == nil {
		t.Error("no error")
	}
}

func TestScan(t *testing.T) {
	tests := []struct {
		scan  Scan
		shape tensor.Shape
		want  []int32
	}{
		{RowMajor, tensor.Shape{2, 3}, nil},
		{KernelColumns, tensor.Shape{2, 3}, nil},
		{InputChannels, tensor.Shape{2, 3}, nil},
		{OutputChannels, tensor.Shape{2, 3}, []int32{0, 3, 1, 4, 2, 5}},
		{OutputChannels, tensor.Shape{6}, nil},
		{OutputChannels, nil, nil},
		{KernelColumns, tensor.Shape{1, 1, 2, 3}, []int32{0, 3, 1, 4, 2, 5}},
		{InputChannels, tensor.Shape{1, 2, 1, 3}, []int32{0, 3, 1, 4, 2, 5}},
		{OutputChannels, tensor.Shape{2, 1, 2, 2}, []int32{0, 4, 2, 6, 1, 5, 3, 7}},
	}
	for _, tt := range tests {
		got, err := tt.scan.Order(tt.shape)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%v of %v (-want +got):\n%s", tt.scan, tt.shape, d)
		}
	}
	for s := RowMajor; s <= OutputChannels; s++ {
		if p, err := ParseScan(s.String()); err != nil || p != s {
			t.Errorf("%v parses as %v, %v", s, p, err)
		}
	}
	if _, err := ParseScan("zigzag"); err == nil {
		t.Error("zigzag is no scan")
	}
}

// Every scan visits every weight once.
func TestScanIsPermutation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := tensor.Shape(rapid.SliceOfN(rapid.Int64Range(0, 5), 0, 5).Draw(t, "shape"))
		for s := RowMajor; s <= OutputChannels; s++ {
			order, err := s.Order(shape)
			if err != nil {
				t.Fatal(err)
			}
			n, _ := shape.Elems()
			if order == nil {
				continue
			}
			slices.Sort(order)
			for i, at := range order {
				if int64(len(order)) != n || int(at) != i {
					t.Fatalf("%v of %v has %d positions, of %d weights, place %d is %d", s, shape, len(order), n, i, at)
				}
			}
		}
	})
}
