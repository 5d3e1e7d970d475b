package assignment

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// matrix returns negated cosines as those of two networks: n neurons of d
// weights, the second a shuffled copy with noise of omega standard deviations.
// Off the true pairs they are N(0, 1/d); negative omega means unrelated.
func matrix(n int, d, omega float64) []float32 {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	c := make([]float32, n*n)
	for i := range c {
		c[i] = float32(r.NormFloat64())
	}
	if omega >= 0 {
		lift := math.Sqrt(d) / math.Sqrt(1+omega*omega)
		for i, j := range r.Perm(n) {
			c[i*n+j] -= float32(lift)
		}
	}
	return c
}

func BenchmarkDense(b *testing.B) {
	for _, n := range []int{64, 512, 2048} {
		for _, k := range []struct {
			name     string
			d, omega float64
		}{{"light", 1024, 1}, {"noisy", 1024, 8}, {"unrelated", 1024, -1}} {
			b.Run(fmt.Sprintf("%d/%s", n, k.name), func(b *testing.B) {
				c := matrix(n, k.d, k.omega)
				for b.Loop() {
					if _, err := Minimize(n, n, c, nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// The sixteen best candidates of each row, the true one among them or not.
func BenchmarkSparse(b *testing.B) {
	for _, n := range []int{4096, 16384} {
		for _, lift := range []float64{8, 3, 0} {
			b.Run(fmt.Sprintf("%d/lift%v", n, lift), func(b *testing.B) {
				c := sparse(n, 16, lift)
				for b.Loop() {
					if _, err := c.Minimize(&Options{Alone: make([]float64, n)}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func sparse(n, k int, lift float64) *Candidates {
	r := rand.New(rand.NewPCG(uint64(n), 9))
	c := &Candidates{Cols: n, Start: []int{0}}
	seen := make([]int, n)
	for i, j := range r.Perm(n) {
		seen[j] = i + 1
		c.Col = append(c.Col, int32(j))
		c.Cost = append(c.Cost, -3-lift-r.NormFloat64())
		for e := 1; e < k; e++ {
			if j := r.IntN(n); seen[j] != i+1 {
				seen[j] = i + 1
				c.Col = append(c.Col, int32(j))
				c.Cost = append(c.Cost, -3-0.5*r.NormFloat64())
			}
		}
		c.Start = append(c.Start, len(c.Col))
	}
	return c
}
