package align

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// sorted equals a stable sort by value, whatever the numbers are.
func TestSorted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 17, 5000} {
		x := gaussian(r, n)
		for i := range x {
			switch r.IntN(6) {
			case 0:
				x[i] = 0
			case 1:
				x[i] = float32(math.Copysign(0, -1))
			case 2:
				x[i] = float32(math.Round(float64(x[i])))
			case 3:
				x[i] *= 1e-38
			case 4:
				x[i] *= 1e38
			}
		}
		want := make([]int, n)
		for i := range want {
			want[i] = i
		}
		slices.SortStableFunc(want, func(a, b int) int { return cmp.Compare(x[a]+0, x[b]+0) })
		for k, v := range sorted(x) {
			if int(uint32(v)) != want[k] {
				t.Fatalf("place %d of %d: number %d (%v), want %d (%v)", k, n, uint32(v), x[uint32(v)], want[k], x[want[k]])
			}
		}
	}
}

// Whatever monotone thing was done, it is repeated exactly on the reference, in
// whatever order the suspect's numbers are.
func TestImitate(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	ref := gaussian(r, 3000)
	for name, damage := range map[string]func(x []float32){
		"quantize": func(x []float32) { quantize(x, 3) },
		"one-sided": func(x []float32) {
			for i := range x {
				x[i] = max(x[i], 0)
			}
		},
	} {
		want := slices.Clone(ref)
		damage(want)
		sus := slices.Clone(want)
		r.Shuffle(len(sus), func(i, j int) { sus[i], sus[j] = sus[j], sus[i] })
		if got := imitate(ref, sus); !slices.Equal(got, want) {
			t.Errorf("%s: not repeated", name)
		}
	}
	if imitate(ref, gaussian(r, 3000)) != nil {
		t.Error("numbers that are all different were imitated")
	}
}
