package kernel

// A Strip runs loops on the goroutine that calls it, for those who share work out
// themselves. The zero value is ready. It is not safe for concurrent use.
type Strip struct {
	v vecArgs // here, because what goes to a table of functions would else be allocated
}

// each runs an op over n elements, and calls done after each chunk.
func (s *Strip) each(o op, n int, dst, a, b []float32, k [4]float32, done func(r [2]float32)) {
	need("the first operand", a, n)
	if b != nil {
		need("the second operand", b, n)
	}
	f := current.ops[o]
	copy(s.v.k[:], k[:])
	for lo := 0; lo < n; lo += chunk {
		s.v.n = min(chunk, n-lo)
		s.v.dst, s.v.a, s.v.b = from(dst, lo), from(a, lo), from(b, lo)
		s.v.r = [2]float32{}
		f(&s.v)
		if done != nil {
			done(s.v.r)
		}
	}
	s.v = vecArgs{}
}

// MaxAbs returns the largest |x|, 0 of nothing. NaN does not count.
func (s *Strip) MaxAbs(x []float32) float32 {
	most := float32(0)
	s.each(opMaxAbs, len(x), nil, x, nil, [4]float32{}, func(r [2]float32) {
		if r[0] > most {
			most = r[0]
		}
	})
	return most
}

// Range returns the least and the largest of x, which has some elements, and whether
// all are finite; if not, the others do not matter.
func (s *Strip) Range(x []float32) (least, largest float32, finite bool) {
	k := [4]float32{x[0]}
	largest, finite = x[0], true
	least = -x[0]
	for lo := 0; lo < len(x); lo += chunk { // what was read is near
		part := x[lo:min(lo+chunk, len(x))]
		s.each(opMax, len(part), nil, part, nil, k, func(r [2]float32) { largest = max(largest, r[0]) })
		k[0] = least
		s.each(opMaxNeg, len(part), nil, part, nil, k, func(r [2]float32) { least = max(least, r[0]) })
		k[0] = largest
		s.each(opProbe, len(part), nil, part, nil, k, func(r [2]float32) { finite = finite && r[0] == 0 })
	}
	return -least, largest, finite
}

// Add computes dst = a + b.
func (s *Strip) Add(dst, a, b []float32) {
	s.each(opAdd, len(dst), dst, a, operand(b), [4]float32{}, nil)
}

// Pull computes w = clamp(w − (s − t·|g|)·pull, lo, hi).
func (s *Strip) Pull(w, g, pull []float32, at, less, lo, hi float32) {
	s.each(opPull, len(w), w, g, operand(pull), [4]float32{at, less, lo, hi}, nil)
}

// Clamp computes x = clamp(x, lo, hi). NaN stays.
func (s *Strip) Clamp(x []float32, lo, hi float32) {
	s.each(opAffine, len(x), x, x, nil, [4]float32{1, 0, lo, hi}, nil)
}

// Hat adds to dst, for each x, the slope of |price·x|, times near where |x| is at
// most top, and times far where it is more. At 0 it is 0.
func (s *Strip) Hat(dst, x, price []float32, top, near, far float32) {
	s.each(opHat, len(dst), dst, x, operand(price), [4]float32{top, near, far}, nil)
}

// Ternary computes dst: low where x < below, high where x > above, and 0 elsewhere.
func (s *Strip) Ternary(dst, x []float32, below, above, low, high float32) {
	s.each(opTernary, len(dst), dst, x, nil, [4]float32{below, above, low, high}, nil)
}

// Sides returns the sum of those of x where side is negative, and where it is
// positive.
func (s *Strip) Sides(x, side []float32) (negative, positive float64) {
	s.each(opSides, len(x), nil, x, operand(side), [4]float32{}, func(r [2]float32) {
		negative += float64(r[0])
		positive += float64(r[1])
	})
	return negative, positive
}
