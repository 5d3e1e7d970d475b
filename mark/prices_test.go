package mark

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// levelled is a network of five levels with random prices of its moves.
func levelled(t *testing.T, seed uint64) (x []float32, prices Prices) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	never := float32(math.Inf(1))
	x = make([]float32, 128*64)
	prices = Prices{Tensor: "w", Up: make([]float32, len(x)), Down: make([]float32, len(x))}
	for i := range x {
		x[i] = float32(r.IntN(5)-2) / 8
		prices.Up[i], prices.Down[i] = r.Float32(), r.Float32()
		if x[i] == 0.25 {
			prices.Up[i] = never
		}
		if x[i] == -0.25 {
			prices.Down[i] = never
		}
	}
	return x, prices
}

// Moves by prices read as those of Embed: z is √moves, the payload is right, and another
// key reads nothing.
func TestChooseMoves(t *testing.T) {
	x, prices := levelled(t, 1)
	ref := setOf(t, tensorOf("w", x, 128, 64))
	for _, payload := range [][]byte{nil, {1, 2, 3}} {
		k := newKey(t, 5, payload...)
		p, err := PlanMoves(ref, k, &Options{Moves: 500})
		if err != nil {
			t.Fatal(err)
		}
		moves, err := ChooseMoves(k, p, []Prices{prices})
		if err != nil {
			t.Fatal(err)
		}
		y := slices.Clone(x)
		for _, m := range moves {
			price := prices.Down[m.Index]
			if m.Up {
				price = prices.Up[m.Index]
			}
			if price > 0.2 { // 500 of 8192, and each has one direction
				t.Errorf("a move of price %v was chosen", price)
			}
			y[m.Index] += map[bool]float32{true: 0.125, false: -0.125}[m.Up]
		}
		with := setOf(t, tensorOf("w", y, 128, 64))
		r, err := grid{}.Extract(with, ref, k, p)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(r.Z-math.Sqrt(500)) > 0.5 || payload != nil && r.Payload != "010203" {
			t.Errorf("z is %v with %d bits, payload %q", r.Z, p.Bits, r.Payload)
		}
		other, err := grid{}.Extract(with, ref, newKey(t, 6, payload...), p)
		if err != nil {
			t.Fatal(err)
		}
		if Judge(other, &Circumstances{Committed: true}).Present {
			t.Errorf("another key reads z = %v", other.Z)
		}
	}
}

func TestChooseMovesRefusals(t *testing.T) {
	x, prices := levelled(t, 2)
	ref := setOf(t, tensorOf("w", x, 128, 64))
	k := newKey(t, 5)
	p, err := PlanMoves(ref, k, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := PlanMoves(ref, k, &Options{Moves: len(x)}); !errors.Is(err, ErrOptions) {
		t.Errorf("a move of each weight: %v", err)
	}
	if _, err := PlanMoves(ref, newKey(t, 5, make([]byte, 32)...), nil); !errors.Is(err, ErrCapacity) {
		t.Errorf("256 bits in %d weights: %v", len(x), err)
	}
	if _, err := PlanMoves(network(t, 1), k, nil); !errors.Is(err, ErrNetwork) {
		t.Errorf("no levels: %v", err)
	}
	if _, err := ChooseMoves(k, p, nil); !errors.Is(err, ErrOptions) {
		t.Errorf("no prices: %v", err)
	}
	short := prices
	short.Up = short.Up[:10]
	if _, err := ChooseMoves(k, p, []Prices{short}); !errors.Is(err, ErrOptions) {
		t.Errorf("prices of few: %v", err)
	}
	other := prices
	other.Tensor = "v"
	if _, err := ChooseMoves(k, p, []Prices{other}); !errors.Is(err, ErrOptions) {
		t.Errorf("prices of another: %v", err)
	}
	for i := range prices.Up {
		prices.Up[i] = float32(math.Inf(1))
	}
	for i := range prices.Down[200:] {
		prices.Down[200+i] = float32(math.NaN())
	}
	if _, err := ChooseMoves(k, p, []Prices{prices}); !errors.Is(err, ErrCapacity) {
		t.Errorf("hardly any move: %v", err)
	}
}
