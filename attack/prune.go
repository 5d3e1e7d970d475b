package attack

import (
	"math"

	"ropewalk/tensor"
)

// prune makes zeros of the share T of smallest magnitude: of each tensor, or, with
// the option global, of all together.
func (r *run) prune(s *Step, rep *Report) error {
	list, err := r.weights()
	if err != nil {
		return err
	}
	rep.counted(list)
	counts := make([]int64, len(list))
	for i, t := range list {
		counts[i] = int64(math.RoundToEven(s.Strength * float64(t.Elems()))) // as PyTorch rounds
	}
	if s.has("global") {
		if counts, err = globalCounts(list, s.Strength); err != nil {
			return err
		}
	}
	var changed []*tensor.Tensor
	for i, t := range list {
		changed = append(changed, r.changed(t, edit{
			func(x []float32) error { pruneSmallest(x, counts[i], bits32); return nil },
			func(x []float64) error { pruneSmallest(x, counts[i], bits64); return nil },
		}))
	}
	return r.change(changed...)
}

// bits32 and bits64 return the bits of a magnitude, which are in its order.
func bits32(x float32) uint64 { return uint64(math.Float32bits(x)&^(1<<31)) << 32 }
func bits64(x float64) uint64 { return math.Float64bits(x) &^ (1 << 63) }

// pruneSmallest makes zeros of the n numbers of smallest magnitude; of equal ones,
// of the first.
func pruneSmallest[F floating](x []F, n int64, bits func(F) uint64) {
	if n <= 0 {
		return
	}
	each := func(yield func(uint64)) {
		for _, v := range x {
			yield(bits(v))
		}
	}
	limit, equal := smallest(each, n)
	for i, v := range x {
		b := bits(v)
		if b == limit && equal > 0 {
			equal--
			x[i] = 0
		} else if b < limit {
			x[i] = 0
		}
	}
}

// smallest returns the n-th smallest of some keys, n >= 1, and how many keys of that
// value are among the n smallest. It goes through them four times, 16 bits a time,
// because they may not fit into memory.
func smallest(each func(yield func(uint64)), n int64) (limit uint64, equal int64) {
	for shift := 48; shift >= 0; shift -= 16 {
		var counts [1 << 16]int64
		high := ^uint64(0) << shift << 16 // none at first
		each(func(k uint64) {
			if k&high == limit&high {
				counts[k>>shift&0xffff]++
			}
		})
		digit := 0
		for digit < len(counts)-1 && counts[digit] < n {
			n -= counts[digit]
			digit++
		}
		limit |= uint64(digit) << shift
	}
	return limit, n
}

// globalCounts returns how many numbers of each tensor are among the share of all
// that is smallest in magnitude.
func globalCounts(list []*tensor.Tensor, share float64) ([]int64, error) {
	total := int64(0)
	for _, t := range list {
		total += t.Elems()
	}
	n := int64(math.RoundToEven(share * float64(total)))
	counts := make([]int64, len(list))
	if n == 0 {
		return counts, nil
	}
	var failed error
	keys := func(t *tensor.Tensor, yield func(uint64)) {
		raw, err := t.Bytes()
		if err == nil {
			err = finite(t)
		}
		if err != nil {
			failed = err
			return
		}
		width := t.DType.Bits() / 8
		for i := 0; i < len(raw); i += width {
			yield(bits64(valueAt(t.DType, raw[i:i+width])))
		}
	}
	limit, equal := smallest(func(yield func(uint64)) {
		for _, t := range list {
			keys(t, yield)
		}
	}, n)
	for i, t := range list {
		keys(t, func(k uint64) {
			if k < limit {
				counts[i]++
			} else if k == limit && equal > 0 {
				counts[i]++
				equal--
			}
		})
	}
	return counts, failed
}
