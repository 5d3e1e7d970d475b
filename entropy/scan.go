package entropy

import (
	"fmt"
	"math"

	"ropewalk/tensor"
)

// A Scan is the order in which the weights of a tensor form blocks. The paper
// exchanges two axes of a kernel of shape (out, in, kh, kw) and then goes row by
// row; here the last axis is exchanged with another one, which is the same for
// kernels and for matrices and defined for any rank. A tensor without that axis,
// or whose last axis it is, is read as it lies.
type Scan int

// The scans, with the numbers that the paper's program gives them.
const (
	// RowMajor is the order in memory: blocks lie along the last axis.
	RowMajor Scan = iota
	// KernelColumns exchanges the last axis with axis 2: blocks lie along the
	// height of a kernel. Matrices are not changed.
	KernelColumns
	// InputChannels exchanges the last axis with axis 1: blocks lie along the
	// input channels. Matrices have them last already.
	InputChannels
	// OutputChannels exchanges the last axis with axis 0: blocks lie along the
	// output channels of kernels and matrices.
	OutputChannels
)

// scans are the names, in the order of the numbers.
var scans = [...]string{"row-major", "kernel-columns", "input-channels", "output-channels"}

// String returns the name of the scan.
func (s Scan) String() string {
	if s < 0 || int(s) >= len(scans) {
		return fmt.Sprintf("Scan(%d)", int(s))
	}
	return scans[s]
}

// ParseScan returns the scan of that name.
func ParseScan(name string) (Scan, error) {
	for i, n := range scans {
		if n == name {
			return Scan(i), nil
		}
	}
	return 0, fmt.Errorf("entropy: there is no scan %q, want one of %v", name, scans)
}

// Order returns, for each position of the scan, the index of the weight in
// memory; nil means that they are the same. A tensor has less than 2^31 weights.
func (s Scan) Order(shape tensor.Shape) ([]int32, error) {
	n, err := shape.Elems()
	switch {
	case err != nil:
		return nil, err
	case s < 0 || int(s) >= len(scans):
		return nil, fmt.Errorf("entropy: there is no scan %d", int(s))
	case n > math.MaxInt32:
		return nil, fmt.Errorf("entropy: a tensor of %d weights, want at most %d", n, math.MaxInt32)
	}
	last := len(shape) - 1
	axis := 3 - int(s)
	if s == RowMajor || last < 1 || axis >= last || n == 0 {
		return nil, nil
	}
	// The tensor is (a, x, b, y) with x and y to be exchanged.
	a, b := 1, 1
	for _, d := range shape[:axis] {
		a *= int(d)
	}
	for _, d := range shape[axis+1 : last] {
		b *= int(d)
	}
	x, y := int(shape[axis]), int(shape[last])
	order := make([]int32, 0, n)
	for i := range a {
		for k := range y {
			for j := range b {
				for l := range x {
					order = append(order, int32(((i*x+l)*b+j)*y+k))
				}
			}
		}
	}
	return order, nil
}
