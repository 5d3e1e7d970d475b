package mix

// The arithmetic on many lanes at once: inputs of the mixer, features of the
// linear predictor. It is defined here, in 32 bits without overflow; other
// machines than amd64 with AVX2 run this.

// lanes are the estimates for one decision: eight counters, the maps of the
// three experts, the counter of the node, then the experts themselves and a
// constant.
type lanes struct {
	val  [numVals]uint32    // probability·2^22, count below 2^10
	in   [numInputs]int32   // logits
	base [numCounters]int32 // of the counters of the contexts, of all nodes
}

const (
	numVals   = numCounters + numExperts + 1
	laneMap   = numCounters
	laneOrder = numCounters + numExperts
)

// predictLanes returns the logits by two sets of weights. val from laneMap on
// and in from numVals on are set; counters begins at those of the node.
func predictLanes(l *lanes, counters []uint32, a, b *[numInputs]int32) (da, db int32) {
	fresh := l.val[laneOrder] &^ 1023
	for i, at := range l.base {
		v := counters[at]
		n := v & 1023
		if n == 0 {
			v = fresh
		}
		l.val[i] = v
		l.in[i] = stretchTable[v>>20] * confidence[n] >> 8
	}
	for i := laneMap; i < numVals; i++ {
		l.in[i] = stretchTable[l.val[i]>>20]
	}
	for i, x := range l.in {
		da += x * (a[i] >> 6)
		db += x * (b[i] >> 6)
	}
	return da >> 14, db >> 14
}

// learnLanes moves counters towards target, which is 0 or 2^22, and weights
// along the errors.
func learnLanes(l *lanes, counters []uint32, a, b *[numInputs]int32, ea, eb, target int32) {
	for i, x := range l.in {
		a[i] = adjusted(a[i], ea*x)
		b[i] = adjusted(b[i], eb*x)
	}
	for i, at := range l.base {
		counters[at] = move(l.val[i], target, rates[:1024], 250)
	}
	for i := laneMap; i < laneOrder; i++ {
		l.val[i] = move(l.val[i], target, rates[1024:], 600)
	}
	l.val[laneOrder] = move(l.val[laneOrder], target, rates[:1024], 1000)
}

// move brings a counter nearer to target, and counts it.
func move(v uint32, target int32, rates []int32, limit uint32) uint32 {
	n := v & 1023
	q := int32(v >> 10)
	q += ((target - q) >> 7) * rates[n] >> 9
	q = min(max(q, counterMin), 1<<22-counterMin)
	return uint32(q)<<10 | min(n+1, limit)
}

// linearLanes are the features of a linear predictor, and the same in units of
// the expected magnitude.
type linearLanes struct {
	f, q [numFeatures]int32
}

// A divisor turns values into units of the expected magnitude.
type divisor struct{ limit, mul, pre, post int32 }

// newDivisor returns the divisor for a magnitude with that logarithm. Limit
// keeps products in 32 bits; it is above clipAt.
func newDivisor(log int32) divisor {
	n := -max(log, 0)
	pre := max(-n>>8-12, 0)
	return divisor{12 << (-n >> 8), int32(exp2Table[n&255] >> 17), pre, 5 - n>>8 - pre}
}

func (d *divisor) of(f int32) int32 {
	f = min(max(f, -d.limit), d.limit)
	return min(max((f>>d.pre)*d.mul>>d.post, -clipAt), clipAt)
}

// predictLinear sets q and returns its products with the transmitted
// coefficients, with the adaptive weights, and with itself.
func predictLinear(l *linearLanes, coefs *[numFixed]int32, w *[numFeatures]int32, d *divisor) (fixed, adapted, power int32) {
	for i, f := range l.f {
		q := int32(0)
		if f != 0 {
			q = d.of(f)
		}
		l.q[i] = q
		adapted += q * (w[i] >> 4)
		power += q * q
	}
	for i, c := range coefs {
		fixed += c * l.q[i]
	}
	return fixed, adapted, power
}

func learnLinear(l *linearLanes, w *[numFeatures]int32, e int32) {
	for i, q := range l.q {
		w[i] = min(max(w[i]+(e*q+unit/2)>>8, -linearMax), linearMax)
	}
}
