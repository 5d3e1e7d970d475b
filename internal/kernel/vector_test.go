package kernel

import (
	"fmt"
	"math"
	"testing"
)

// A vecCase says how an op is tested.
type vecCase struct {
	name string
	op   op
	k    []float32
	// f is the exact result for element operands d, a, b and c; nil for those that are only
	// held against the portable path.
	f func(a float64) float64
	// ulp bounds the error, in units in the last place of the result.
	ulp float64
	// least, if it is set, is the least unit: where the result is a product of a
	// and what is too small for a float of full precision.
	least func(a float64) float64
}

var vecCases = []vecCase{
	{name: "add", op: opAdd},
	{name: "sub", op: opSub},
	{name: "mul", op: opMul},
	{name: "div", op: opDiv},
	{name: "muladd", op: opMulAdd},
	{name: "combine", op: opCombine, k: []float32{0.7, -1.3}},
	{name: "affine", op: opAffine, k: []float32{0.7, 0.1, -1, 0.9}},
	{name: "addclamp", op: opAddClamp, k: []float32{0, 0.5}},
	{name: "clampgrad", op: opClampGrad, k: []float32{0, 0.5}},
	{name: "exp", op: opExp, f: math.Exp, ulp: 2},
	{name: "sigmoid", op: opSigmoid, f: sigmoid64, ulp: 4},
	{name: "tanh", op: opTanh, f: math.Tanh, ulp: 4},
	{name: "erf", op: opErf, f: math.Erf, ulp: 4},
	{name: "silu", op: opSiLU, f: silu64, ulp: 5, least: tiny},
	{name: "gelu", op: opGELU, f: gelu64, ulp: 8, least: tiny},
	{name: "hardswish", op: opHardSwish},
	{name: "sigmoidgrad", op: opSigmoidGrad},
	{name: "tanhgrad", op: opTanhGrad},
	{name: "silugrad", op: opSiLUGrad},
	{name: "gelugrad", op: opGELUGrad},
	{name: "hardswishgrad", op: opHardSwishGrad},
	{name: "sum", op: opSum},
	{name: "sumsquares", op: opSumSquares, k: []float32{0.3}},
	{name: "dot", op: opDot},
	{name: "max", op: opMax, k: []float32{float32(math.Inf(-1))}},
	{name: "maxabs", op: opMaxAbs, k: []float32{0}},
	{name: "maxneg", op: opMaxNeg, k: []float32{float32(math.Inf(-1))}},
	{name: "probe", op: opProbe},
	{name: "expsum", op: opExpSum, k: []float32{0.4}},
	{name: "normgradsums", op: opNormGradSums, k: []float32{0.2}},
	{name: "normgrad", op: opNormGrad, k: []float32{0.3, 0.2, 0.1}},
	{name: "normgradsumsclamp", op: opNormGradSumsClamp, k: []float32{0.2, 0, 0, 0, 1}},
	{name: "normgradclamp", op: opNormGradClamp, k: []float32{0.3, 0.2, 0.1, 0, 1}},
	{name: "pull", op: opPull, k: []float32{1, 0.4, -1, 0.9}},
	{name: "hat", op: opHat, k: []float32{0.5, 0.7, 0.2}},
	{name: "ternary", op: opTernary, k: []float32{-0.4, 0.3, -0.8, 0.7}},
	{name: "sides", op: opSides},
	{name: "sgd", op: opSGD, k: []float32{0.9, 0.01, 0.1}},
	{name: "nesterov", op: opNesterov, k: []float32{0.9, 0.01, 0.1}},
	{name: "adam", op: opAdam, k: []float32{0.9, 0.1, 0.99, 0.01, 0.02, 0.1, 1.1, 0.01, 0.98}},
}

func tiny(a float64) float64 { return math.Abs(a) * 0x1p-149 }

// Every op on every path agrees with the portable one, for all lengths up to a few
// registers, off alignment, and touches nothing else.
func TestVectors(t *testing.T) {
	if len(vecCases) != int(numOps) {
		t.Errorf("%d cases for %d ops", len(vecCases), numOps)
	}
	eachPath(t, func(t *testing.T) {
		for _, vc := range vecCases {
			t.Run(vc.name, func(t *testing.T) {
				r := generator(uint64(vc.op))
				for n := range 150 {
					if n > 140 {
						n = n*31 + 1
					}
					var args, want vecArgs
					var checks []func(*testing.T, string)
					for _, s := range []struct{ got, want *[]float32 }{{&args.dst, &want.dst}, {&args.a, &want.a}, {&args.b, &want.b}, {&args.c, &want.c}} {
						v := random(r, n)
						if s.got == &args.c && vc.op == opAdam {
							for i := range v {
								v[i] *= v[i]
							}
						}
						*s.want = v
						var check func(*testing.T, string)
						*s.got, check = guarded(v)
						checks = append(checks, check)
					}
					copy(args.k[:], vc.k)
					args.n = n
					want.n, want.k = args.n, args.k
					current.ops[vc.op](&args)
					portable[vc.op](&want)
					for _, check := range checks {
						check(t, fmt.Sprint("n = ", n))
					}
					pairs := [][2][]float32{{args.dst, want.dst}, {args.a, want.a}, {args.b, want.b}, {args.c, want.c}, {args.r[:], want.r[:]}}
					for p, pair := range pairs {
						for i := range pair[0] {
							got, want := float64(pair[0][i]), float64(pair[1][i])
							bound := 4e-6 * max(1, math.Abs(want))
							if p == 4 {
								bound = 1e-6 * max(10, float64(n)) // of sums
							}
							if got != want && !(math.Abs(got-want) <= bound) {
								t.Fatalf("n = %d: element %d of array %d is %v, want %v", n, i, p, got, want)
							}
						}
					}
				}
			})
		}
	})
}

func ulps(got float32, want, least float64) float64 {
	if math.IsNaN(want) || math.IsNaN(float64(got)) {
		if math.IsNaN(want) && math.IsNaN(float64(got)) {
			return 0
		}
		return math.Inf(1)
	}
	rounded := float32(want)
	if got == rounded {
		return 0
	}
	if math.IsInf(float64(rounded), 0) || math.IsInf(float64(got), 0) {
		// One step beyond the largest number is one unit.
		if !math.IsInf(float64(rounded), 0) && math.Abs(want) > 3.4028e38 || math.Abs(float64(got)) > 3.4028e38 && math.IsInf(float64(rounded), 0) && math.Abs(want) < 3.4029e38 {
			return 1
		}
		return math.Inf(1)
	}
	s := float32(math.Abs(want))
	unit := float64(math.Nextafter32(s, float32(math.Inf(1)))) - float64(s)
	if math.IsInf(unit, 0) {
		unit = 0x1p104
	}
	return math.Abs(float64(got)-want) / max(unit, least)
}

// Functions keep their bounds over the whole range of floats.
func TestFunctions(t *testing.T) {
	special := []float32{
		0, float32(math.Copysign(0, -1)), float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
		math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 1e-30, -1e-30,
	}
	var xs []float32
	step := uint32(1) << 12
	if testing.Short() {
		step <<= 3
	}
	for b := uint64(0); b < 1<<32; b += uint64(step) {
		xs = append(xs, math.Float32frombits(uint32(b)))
	}
	for x := -110.0; x < 110; x += 0.0011 * float64(step>>12) {
		xs = append(xs, float32(x))
	}
	xs = append(xs, special...)
	eachPath(t, func(t *testing.T) {
		for _, vc := range vecCases {
			if vc.f == nil {
				continue
			}
			least := vc.least
			if least == nil {
				least = func(float64) float64 { return 0 }
			}
			got := make([]float32, len(xs))
			v := vecArgs{dst: got, a: xs, n: len(xs)}
			current.ops[vc.op](&v)
			worst, at := 0.0, float32(0)
			for i, x := range xs {
				want := vc.f(float64(x))
				if u := ulps(got[i], want, least(float64(x))); u > worst || math.IsNaN(u) {
					worst, at = u, x
				}
			}
			t.Logf("%s: %.2f ULP at %v", vc.name, worst, at)
			if !(worst <= vc.ulp) {
				v := vecArgs{dst: make([]float32, 1), a: []float32{at}, n: 1}
				current.ops[vc.op](&v)
				t.Errorf("%s(%v) is %v, %.2f ULP from %v; the bound is %v", vc.name, at, v.dst[0], worst, vc.f(float64(at)), vc.ulp)
			}
		}
	})
}
