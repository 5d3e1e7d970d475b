package kernel

// An op is an inner loop over up to four arrays. Each path has a table of them.
type op int

// What the ops do with each element; k are constants, r are results that start at
// 0. Arrays that are written are named; dst may be one of the others, if it begins
// where that begins.
const (
	opAdd               op = iota // dst = a + b
	opSub                         // dst = a − b
	opMul                         // dst = a·b
	opDiv                         // dst = a / b
	opMulAdd                      // dst = a·b + c
	opCombine                     // dst = k0·a + k1·b
	opAffine                      // dst = clamp(k0·a + k1, k2, k3)
	opAddClamp                    // dst = clamp(a + b, k0, k1)
	opClampGrad                   // dst = b where k0 < a < k1, else 0
	opExp                         // dst = exp(a)
	opSigmoid                     // dst = 1 / (1 + exp(−a))
	opTanh                        // dst = tanh(a)
	opErf                         // dst = erf(a)
	opSiLU                        // dst = a·sigmoid(a)
	opGELU                        // dst = a·(1 + erf(a/√2))/2
	opHardSwish                   // dst = a·clamp(a/6 + 1/2, 0, 1)
	opSigmoidGrad                 // dst = b·a·(1 − a)
	opTanhGrad                    // dst = b·(1 − a²)
	opSiLUGrad                    // dst = b·d/da SiLU(a)
	opGELUGrad                    // dst = b·d/da GELU(a)
	opHardSwishGrad               // dst = b·d/da HardSwish(a)
	opSum                         // r0 = Σ a
	opSumSquares                  // r0 = Σ (a − k0)²
	opDot                         // r0 = Σ a·b
	opMax                         // r0 = max a, k0 at least
	opMaxAbs                      // r0 = max |a|, k0 at least
	opMaxNeg                      // r0 = max −a, k0 at least
	opProbe                       // r0 = Σ 0·a, which is NaN if some a is not finite
	opExpSum                      // dst = exp(a − k0), r0 = Σ dst
	opNormGradSums                // with d = b: r0 = Σ d, r1 = Σ d·(a − k0)
	opNormGrad                    // with d = b: dst = k0·d + k1·a + k2
	opNormGradSumsClamp           // the same with d = b where k3 < c < k4, else 0
	opNormGradClamp
	opPull     // dst = clamp(dst − (k0 − k1·|a|)·b, k2, k3)
	opHat      // dst += sign(a)·|b|·(k2 where |a| > k0, else k1)
	opTernary  // dst = k2 where a < k0, k3 where a > k1, else 0
	opSides    // r0 = Σ a where b < 0, r1 = Σ a where b > 0
	opSGD      // b = k0·b + a + k1·dst; dst −= k2·b
	opNesterov // b = k0·b + a + k1·dst; dst −= k2·(a + k1·dst + k0·b)
	opAdam     // see Adam; dst: weights, a: gradient, b and c: moments
	numOps
)

// vecArgs are the operands of an op. Assembly knows the offsets.
type vecArgs struct {
	dst, a, b, c []float32
	n            int // elements
	k            [12]float32
	r            [2]float32
}

// chunk is how many elements an op gets at a time: enough to forget the price of
// a call, few enough that three arrays stay in the nearest cache.
const chunk = 4096

// A vecJob is an op over long arrays.
type vecJob struct {
	op           op
	dst, a, b, c []float32
	n            int
	k            [12]float32
	grain        int
	sums         []float64 // of each piece; nil if the op has no results
}

// jobs are the arguments of the job at hand; they are here because what goes to
// another goroutine would else be allocated for each call.
type jobs struct {
	vec     vecJob
	args    []vecArgs    // one for each worker
	workers []gemmWorker // likewise
	sums    []float64
	rows    rowJob
	norm    normJob
	pool    poolJob
	gemm    gemmJob
	conv    convJob
	grad    gradJob
	plane   planeJob
}

func (p *Pool) vecArgs(worker int) *vecArgs {
	return &p.jobs.args[worker]
}

// serial is how many elements are not worth a second thread.
const serial = 1 << 15

func (p *Pool) vector(j vecJob) {
	j.grain = 1 << 14
	if j.n <= serial {
		// Pieces do not change the results of ops without sums.
		j.grain = max(j.n, 1)
	}
	p.jobs.vec = j
	p.run(ceilDiv(j.n, j.grain), &p.jobs.vec)
	p.jobs.vec = vecJob{}
}

// total is vector for the ops whose r0 is a sum.
func (p *Pool) total(j vecJob) float64 {
	j.grain = 1 << 14
	pieces := ceilDiv(j.n, j.grain)
	if cap(p.jobs.sums) < pieces {
		p.jobs.sums = make([]float64, pieces)
	}
	j.sums = p.jobs.sums[:pieces]
	p.jobs.vec = j
	p.run(pieces, &p.jobs.vec)
	p.jobs.vec = vecJob{}
	var total float64
	for _, s := range p.jobs.sums[:pieces] {
		total += s
	}
	return total
}

func (j *vecJob) do(p *Pool, worker, i int) {
	v := p.vecArgs(worker)
	f := current.ops[j.op]
	v.k = j.k
	var sum float64
	end := min(j.n, (i+1)*j.grain)
	for lo := i * j.grain; lo < end; lo += chunk {
		v.n = min(chunk, end-lo)
		v.dst, v.a, v.b, v.c = from(j.dst, lo), from(j.a, lo), from(j.b, lo), from(j.c, lo)
		v.r = [2]float32{}
		f(v)
		sum += float64(v.r[0])
	}
	if j.sums != nil {
		j.sums[i] = sum
	}
	*v = vecArgs{}
}

func from(s []float32, i int) []float32 {
	if s == nil {
		return nil
	}
	return s[i:]
}
