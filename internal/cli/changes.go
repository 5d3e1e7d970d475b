package cli

import (
	"context"
	"math"

	"ropewalk/tensor"
)

// A tensorChange is what became of the values of a tensor, place by place: a value that
// was moved counts as another.
type tensorChange struct {
	Name   string     `json:"name"`
	Before *typeShape `json:"before"`
	After  *typeShape `json:"after"`
	Looked int64      `json:"looked_at" about:"values that the numbers below are about: all, or some of a large tensor"`
	// Of tensors of one shape.
	Changed  *int64   `json:"changed,omitempty" about:"values that are others than before; absent if the shape is another"`
	Relative *float64 `json:"relative,omitempty" about:"norm of the difference, as a share of the norm before; absent if the shape is another, or that is 0"`

	NormBefore     float64 `json:"norm_before"`
	NormAfter      float64 `json:"norm_after"`
	ZerosBefore    int64   `json:"zeros_before"`
	ZerosAfter     int64   `json:"zeros_after"`
	DistinctBefore *int    `json:"distinct_before,omitempty" about:"different values, if at most 4096"`
	DistinctAfter  *int    `json:"distinct_after,omitempty" about:"different values, if at most 4096"`
}

// share is the part of the values that are others, NaN if that is not known.
func (c *tensorChange) share() float64 {
	if c.Changed == nil {
		return math.NaN()
	}
	return float64(*c.Changed) / float64(max(1, c.Looked))
}

// stepChanges is what a step of an attack did to each tensor that it changed.
type stepChanges struct {
	Step    string         `json:"step"`
	Tensors []tensorChange `json:"tensors"`
}

const (
	// mostLooked is how many values of a tensor a change is told of.
	mostLooked = 1 << 22
	// mostDistinct is how many different values are counted.
	mostDistinct = 4096
)

// changesOf compares the tensors of after that are other ones than those of before. What is
// only in one of the two is left out: no step adds or takes tensors.
func changesOf(ctx context.Context, before, after *tensor.Set) ([]tensorChange, error) {
	list := []tensorChange{}
	for _, t := range after.All() {
		old := before.Lookup(t.Name)
		if old == nil || old == t || !old.DType.Known() || !t.DType.Known() || !isReal(old) || !isReal(t) {
			continue
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		c, err := changeOf(old, t)
		if err != nil {
			return nil, err
		}
		if c.Changed == nil || *c.Changed > 0 || c.Before.DType != c.After.DType {
			list = append(list, *c)
		}
	}
	return list, nil
}

func changeOf(before, after *tensor.Tensor) (*tensorChange, error) {
	// What is computed when it is read is kept until another is: one after the other.
	x, err := sampleValues(before, mostLooked)
	if err != nil {
		return nil, err
	}
	y, err := sampleValues(after, mostLooked)
	if err != nil {
		return nil, err
	}
	c := &tensorChange{Name: after.Name, Before: typeShapeOf(before), After: typeShapeOf(after), Looked: int64(len(y))}
	c.NormBefore, c.ZerosBefore, c.DistinctBefore = measured(x)
	c.NormAfter, c.ZerosAfter, c.DistinctAfter = measured(y)
	if !before.Shape.Equal(after.Shape) || len(x) != len(y) {
		return c, nil
	}
	changed, sum := int64(0), 0.0
	for i, v := range x {
		if v == y[i] || v != v && y[i] != y[i] {
			continue
		}
		changed++
		if d := v - y[i]; d-d == 0 {
			sum += d * d
		}
	}
	c.Changed = &changed
	if c.NormBefore > 0 {
		r := finite(math.Sqrt(sum) / c.NormBefore)
		c.Relative = &r
	}
	return c, nil
}

// measured returns the norm of the finite values, how many are zero, and how many
// different ones there are, nil for more than mostDistinct.
func measured(v []float64) (norm float64, zeros int64, distinct *int) {
	seen := map[float64]bool{}
	for _, x := range v {
		if x == 0 {
			zeros++
		}
		if x-x == 0 {
			norm += x * x
		}
		if x == x && len(seen) <= mostDistinct {
			seen[x] = true
		}
	}
	if n := len(seen); n <= mostDistinct {
		distinct = &n
	}
	return finite(math.Sqrt(norm)), zeros, distinct
}

// finite keeps a number in what JSON can say.
func finite(x float64) float64 { return min(x, math.MaxFloat64) }
