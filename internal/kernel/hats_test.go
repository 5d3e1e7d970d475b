package kernel

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// hatsCase is a set of bins, and weights of which some are on centers and some beyond.
func hatsCase(seed uint64, n, bins int) (*Hats, []Bin, []float32) {
	r := generator(seed)
	b := make([]Bin, bins)
	for i := range b {
		at := float32(i) - float32(bins)/2
		b[i] = Bin{From: at, Inverse: 1, Split: at + 0.5, Low: at, High: at + 1}
	}
	b[0].Split, b[0].Low = float32(math.Inf(-1)), b[0].High
	b[bins-1].Split, b[bins-1].High = float32(math.Inf(1)), b[bins-1].Low
	w := random(r, n)
	for i := range w {
		w[i] = min(max(w[i]*float32(bins)/4, b[0].From), -b[0].From-1e-3)
		if i%41 == 3 {
			w[i] = b[i%bins].From
		}
	}
	h := &Hats{}
	h.Reset(b, bins)
	return h, b, w
}

// The loops of hats on each path do what the formulas say, for all lengths of the last
// register.
func TestHats(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		for bins := 1; bins < MaxCenters; bins += 2 {
			for _, n := range []int{0, 1, 15, 16, 17, 1003} {
				checkLocate(t, n, bins)
			}
		}
		for n := 1; n <= MaxBlock; n++ {
			for _, blocks := range []int{0, 1, 2, 999} {
				checkBlocks(t, n, blocks, 2+n)
			}
		}
	})
}

func checkLocate(t *testing.T, n, bins int) {
	t.Helper()
	h, b, w := hatsCase(1, n, bins)
	got, shares := make([]int32, n+HatsRoom), make([]float32, n+HatsRoom)
	on := h.Locate(got, shares, w)
	some := false
	slopes, dst := random(generator(2), n), make([]float32, n)
	squares := 0.0
	factors := make([]float32, bins)
	for i := range factors {
		factors[i] = float32(3 + i)
	}
	sum := h.Pull(dst, w, slopes, got, factors, 0.25)
	for i, x := range w {
		k := 0
		for k+1 < bins && x >= b[k+1].From {
			k++
		}
		u := float64(x) - float64(b[k].From)
		some = some || u < leastShare
		if int(got[i]) != k || math.Abs(float64(shares[i])-min(max(u, 0), 1)) > 1e-6 || shares[i] < 0 || shares[i] >= 1 {
			t.Fatalf("%d bins: %v is in bin %d with %v, want %d with %v", bins, x, got[i], shares[i], k, u)
		}
		d := float64(x - b[k].Low)
		if x > b[k].Split {
			d = float64(x - b[k].High)
		}
		squares += d * d
		if want := float64(3+k)*float64(slopes[i]) + 0.25*d; math.Abs(float64(dst[i])-want) > 1e-5 {
			t.Fatalf("%d bins: %v is pulled by %v, want %v", bins, x, dst[i], want)
		}
	}
	if on != some {
		t.Errorf("%d bins, %d weights: on a center %v, want %v", bins, n, on, some)
	}
	if math.Abs(float64(sum)-squares) > 1e-4*(1+squares) {
		t.Errorf("%d bins, %d weights: squares %v, want %v", bins, n, sum, squares)
	}
}

func checkBlocks(t *testing.T, n, blocks, bins int) {
	t.Helper()
	h, _, w := hatsCase(3, n*blocks, bins)
	at, shares := make([]int32, len(w)+HatsRoom), make([]float32, len(w)+HatsRoom)
	h.Locate(at, shares, w)
	values := random(generator(4), h.TableSize(n))
	want := make([]float64, len(values))
	wantSlopes := make([]float64, len(w))
	for i := range blocks {
		cell := 0
		for _, b := range at[i*n:][:n] {
			cell = cell*bins + int(b)
		}
		for s := range 1 << n {
			product := 1.0
			for m := range n {
				u := float64(shares[i*n+m])
				if s>>(n-1-m)&1 == 0 {
					u = 1 - u
				}
				product *= u
			}
			want[cell<<n+s] += product
			for m := range n {
				rest, sign := 1.0, -1.0
				for l := range n {
					u := float64(shares[i*n+l])
					switch up := s>>(n-1-l)&1 == 1; {
					case l == m && up:
						sign = 1
					case l == m:
					case up:
						rest *= u
					default:
						rest *= 1 - u
					}
				}
				wantSlopes[i*n+m] += sign * rest * float64(values[cell<<n+s])
			}
		}
	}
	table, slopes := make([]float32, len(values)), make([]float32, len(w)+HatsRoom)
	h.Scatter(table, n, blocks, at, shares)
	h.Slopes(slopes, values, n, blocks, at, shares)
	for i, x := range table {
		if math.Abs(float64(x)-want[i]) > 1e-4*(1+want[i]) {
			t.Fatalf("blocks of %d: cell %d has %v, want %v", n, i, x, want[i])
		}
	}
	for i, x := range slopes[:len(w)] {
		if math.Abs(float64(x)-wantSlopes[i]) > 1e-5*(1+math.Abs(wantSlopes[i])) {
			t.Fatalf("blocks of %d: slope %d is %v, want %v", n, i, x, wantSlopes[i])
		}
	}
}

// What is too short, or too much, is said.
func TestHatsRefuses(t *testing.T) {
	h, _, w := hatsCase(5, 8, 5)
	bins, shares := make([]int32, 8+HatsRoom), make([]float32, 8+HatsRoom)
	for what, f := range map[string]func(){
		"no bins":   func() { h.Reset(nil, 1) },
		"many bins": func() { h.Reset(make([]Bin, MaxCenters), MaxCenters) },
		"no room":   func() { h.Locate(bins, shares[:9], w) },
		"a block":   func() { h.Scatter(make([]float32, 1<<20), MaxBlock+1, 1, bins, shares) },
		"a table":   func() { h.Scatter(make([]float32, 99), 2, 4, bins, shares) },
		"slopes":    func() { h.Slopes(make([]float32, 8), make([]float32, 100), 2, 4, bins, shares) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was taken", what)
				}
			}()
			f()
		}()
	}
}

// BenchmarkHats is a refresh of the paper's regulariser for 8,192 weights and four
// levels.
func BenchmarkHats(b *testing.B) {
	h, _, w := hatsCase(6, 8192, 5)
	slices.Reverse(w)
	bins, shares, slopes := make([]int32, len(w)+HatsRoom), make([]float32, len(w)+HatsRoom), make([]float32, len(w)+HatsRoom)
	b.Run("locate", func(b *testing.B) {
		for b.Loop() {
			h.Locate(bins, shares, w)
		}
	})
	for n := 1; n <= MaxBlock; n++ {
		table := make([]float32, h.TableSize(n))
		b.Run(fmt.Sprintf("scatter%d", n), func(b *testing.B) {
			for b.Loop() {
				h.Scatter(table, n, len(w)/n, bins, shares)
			}
		})
		b.Run(fmt.Sprintf("slopes%d", n), func(b *testing.B) {
			for b.Loop() {
				h.Slopes(slopes, table, n, len(w)/n, bins, shares)
			}
		})
	}
	b.Run("pull", func(b *testing.B) {
		for b.Loop() {
			h.Pull(slopes, w, slopes, bins, make([]float32, 5), 0.1)
		}
	})
}
