package lineage

import (
	"math"
	"slices"
)

// symmetricEigen returns the eigenvalues of the symmetric matrix m (n, n), row-major,
// descending, and the eigenvectors, one after the other, by Jacobi's rotations. m is
// overwritten. It takes O(n³) a sweep, and about eight sweeps.
func symmetricEigen(m []float64, n int) (values []float64, vectors [][]float64) {
	v := make([][]float64, n) // rows are the eigenvectors in the making
	for i := range v {
		v[i] = make([]float64, n)
		v[i][i] = 1
	}
	row := func(i int) []float64 { return m[i*n:][:n] }
	for range 30 {
		off, all := 0.0, 0.0
		for i := range n {
			for j, x := range row(i) {
				all += x * x
				if i != j {
					off += x * x
				}
			}
		}
		if off <= 1e-20*all {
			break
		}
		for p := range n {
			for q := p + 1; q < n; q++ {
				rotate(m, v, n, p, q, 1e-14*math.Sqrt(all)/float64(n))
			}
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch a, b := row(i)[i], row(j)[j]; {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
	for _, i := range order {
		values = append(values, row(i)[i])
		vectors = append(vectors, v[i])
	}
	return values, vectors
}

// rotate makes element (p, q) zero, if it is larger than least.
func rotate(m []float64, v [][]float64, n, p, q int, least float64) {
	x := m[p*n+q]
	if math.Abs(x) <= least {
		return
	}
	theta := (m[q*n+q] - m[p*n+p]) / (2 * x)
	t := math.Copysign(1/(math.Abs(theta)+math.Hypot(theta, 1)), theta)
	c := 1 / math.Hypot(t, 1)
	s := t * c
	a, b := m[p*n:][:n], m[q*n:][:n]
	for k := range n { // rows
		a[k], b[k] = c*a[k]-s*b[k], s*a[k]+c*b[k]
	}
	for k := range n { // columns
		y, z := m[k*n+p], m[k*n+q]
		m[k*n+p], m[k*n+q] = c*y-s*z, s*y+c*z
	}
	for k := range n {
		y, z := v[p][k], v[q][k]
		v[p][k], v[q][k] = c*y-s*z, s*y+c*z
	}
}
