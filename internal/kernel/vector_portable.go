package kernel

import "math"

// portable are the ops in Go. Functions like exp go through float64, so that
// they are right to the last bit or nearly so: the other paths are measured by them.
var portable = [numOps]func(*vecArgs){
	opAdd: func(v *vecArgs) { v.map2(func(a, b float32) float32 { return a + b }) },
	opSub: func(v *vecArgs) { v.map2(func(a, b float32) float32 { return a - b }) },
	opMul: func(v *vecArgs) { v.map2(func(a, b float32) float32 { return a * b }) },
	opDiv: func(v *vecArgs) { v.map2(func(a, b float32) float32 { return a / b }) },
	opMulAdd: func(v *vecArgs) {
		dst, a, b, c := v.dst[:v.n], v.a[:v.n], v.b[:v.n], v.c[:v.n]
		for i := range dst {
			dst[i] = a[i]*b[i] + c[i]
		}
	},
	opCombine: func(v *vecArgs) {
		s, t := v.k[0], v.k[1]
		v.map2(func(a, b float32) float32 { return s*a + t*b })
	},
	opAffine: func(v *vecArgs) {
		scale, shift, lo, hi := v.k[0], v.k[1], v.k[2], v.k[3]
		v.map1(func(a float32) float32 { return clamp(scale*a+shift, lo, hi) })
	},
	opAddClamp: func(v *vecArgs) {
		lo, hi := v.k[0], v.k[1]
		v.map2(func(a, b float32) float32 { return clamp(a+b, lo, hi) })
	},
	opClampGrad: func(v *vecArgs) {
		lo, hi := v.k[0], v.k[1]
		v.map2(func(a, b float32) float32 {
			if lo < a && a < hi {
				return b
			}
			return 0
		})
	},
	opExp:     func(v *vecArgs) { v.map64(math.Exp) },
	opSigmoid: func(v *vecArgs) { v.map64(sigmoid64) },
	opTanh:    func(v *vecArgs) { v.map64(math.Tanh) },
	opErf:     func(v *vecArgs) { v.map64(math.Erf) },
	opSiLU:    func(v *vecArgs) { v.map64(silu64) },
	opGELU:    func(v *vecArgs) { v.map64(gelu64) },
	opHardSwish: func(v *vecArgs) {
		v.map1(func(a float32) float32 { return a * clamp(a*(1.0/6)+0.5, 0, 1) })
	},
	opSigmoidGrad: func(v *vecArgs) { v.map2(func(a, b float32) float32 { return b * (a * (1 - a)) }) },
	opTanhGrad:    func(v *vecArgs) { v.map2(func(a, b float32) float32 { return b * (1 - a*a) }) },
	opSiLUGrad:    func(v *vecArgs) { v.mapGrad(siluGrad64) },
	opGELUGrad:    func(v *vecArgs) { v.mapGrad(geluGrad64) },
	opHardSwishGrad: func(v *vecArgs) {
		v.map2(func(a, b float32) float32 {
			switch {
			case a <= -3:
				return 0
			case a >= 3:
				return b
			}
			return b * (a*(1.0/3) + 0.5)
		})
	},
	opSum: func(v *vecArgs) {
		v.r[0] = v.sum(func(i int) float32 { return v.a[i] })
	},
	opSumSquares: func(v *vecArgs) {
		c := v.k[0]
		v.r[0] = v.sum(func(i int) float32 { return (v.a[i] - c) * (v.a[i] - c) })
	},
	opDot: func(v *vecArgs) {
		v.r[0] = v.sum(func(i int) float32 { return v.a[i] * v.b[i] })
	},
	opMax: func(v *vecArgs) {
		m := v.k[0]
		for _, a := range v.a[:v.n] {
			if a > m {
				m = a
			}
		}
		v.r[0] = m
	},
	opMaxAbs: func(v *vecArgs) {
		m := v.k[0]
		for _, a := range v.a[:v.n] {
			if a = abs(a); a > m {
				m = a
			}
		}
		v.r[0] = m
	},
	opMaxNeg: func(v *vecArgs) {
		m := v.k[0]
		for _, a := range v.a[:v.n] {
			if -a > m {
				m = -a
			}
		}
		v.r[0] = m
	},
	opProbe: func(v *vecArgs) {
		v.r[0] = v.sum(func(i int) float32 { return 0 * v.a[i] })
	},
	opExpSum: func(v *vecArgs) {
		m := float64(v.k[0])
		v.map64(func(a float64) float64 { return math.Exp(a - m) })
		v.r[0] = v.sum(func(i int) float32 { return v.dst[i] })
	},
	opNormGradSums: func(v *vecArgs) {
		mean := v.k[0]
		v.r[0] = v.sum(func(i int) float32 { return v.b[i] })
		v.r[1] = v.sum(func(i int) float32 { return v.b[i] * (v.a[i] - mean) })
	},
	opNormGrad: func(v *vecArgs) {
		k0, k1, k2 := v.k[0], v.k[1], v.k[2]
		v.map2(func(a, b float32) float32 { return k0*b + (k1*a + k2) })
	},
	opNormGradSumsClamp: func(v *vecArgs) {
		mean, lo, hi := v.k[0], v.k[3], v.k[4]
		v.r[0] = v.sum(func(i int) float32 { return through(v.b[i], v.c[i], lo, hi) })
		v.r[1] = v.sum(func(i int) float32 { return through(v.b[i], v.c[i], lo, hi) * (v.a[i] - mean) })
	},
	opNormGradClamp: func(v *vecArgs) {
		dst, a, b, c := v.dst[:v.n], v.a[:v.n], v.b[:v.n], v.c[:v.n]
		for i := range dst {
			dst[i] = v.k[0]*through(b[i], c[i], v.k[3], v.k[4]) + (v.k[1]*a[i] + v.k[2])
		}
	},
	opPull: func(v *vecArgs) {
		dst, a, b := v.dst[:v.n], v.a[:v.n], v.b[:v.n]
		for i := range dst {
			dst[i] = clamp(dst[i]-(v.k[0]-v.k[1]*abs(a[i]))*b[i], v.k[2], v.k[3])
		}
	},
	opHat: func(v *vecArgs) {
		dst, a, b := v.dst[:v.n], v.a[:v.n], v.b[:v.n]
		for i, x := range a {
			slope := v.k[1]
			if abs(x) > v.k[0] {
				slope = v.k[2]
			}
			switch {
			case x > 0:
				dst[i] += slope * abs(b[i])
			case x < 0:
				dst[i] -= slope * abs(b[i])
			}
		}
	},
	opTernary: func(v *vecArgs) {
		dst := v.dst[:v.n]
		level := func(x float32) float32 {
			switch {
			case x < v.k[0]:
				return v.k[2]
			case x > v.k[1]:
				return v.k[3]
			}
			return 0
		}
		for i, x := range v.a[:v.n] {
			dst[i] = level(x)
		}
	},
	opSides: func(v *vecArgs) {
		side := func(is bool, a float32) float32 {
			if is {
				return a
			}
			return 0
		}
		v.r[0] = v.sum(func(i int) float32 { return side(v.b[i] < 0, v.a[i]) })
		v.r[1] = v.sum(func(i int) float32 { return side(v.b[i] > 0, v.a[i]) })
	},
	opSGD: func(v *vecArgs) {
		w, g, m := v.dst[:v.n], v.a[:v.n], v.b[:v.n]
		momentum, decay, rate := v.k[0], v.k[1], v.k[2]
		for i := range w {
			m[i] = momentum*m[i] + (g[i] + decay*w[i])
			w[i] -= rate * m[i]
		}
	},
	opNesterov: func(v *vecArgs) {
		w, g, m := v.dst[:v.n], v.a[:v.n], v.b[:v.n]
		momentum, decay, rate := v.k[0], v.k[1], v.k[2]
		for i := range w {
			d := g[i] + decay*w[i]
			m[i] = momentum*m[i] + d
			w[i] -= rate * (d + momentum*m[i])
		}
	},
	opAdam: func(v *vecArgs) {
		w, g, m, s := v.dst[:v.n], v.a[:v.n], v.b[:v.n], v.c[:v.n]
		k := &v.k
		for i := range w {
			d := g[i] + k[4]*w[i]
			m[i] = k[0]*m[i] + k[1]*d
			s[i] = k[2]*s[i] + k[3]*(d*d)
			root := float32(math.Sqrt(float64(s[i])))*k[6] + k[7]
			w[i] = k[8]*w[i] - k[5]*(m[i]/root)
		}
	},
}

func (v *vecArgs) map1(f func(a float32) float32) {
	dst, a := v.dst[:v.n], v.a[:v.n]
	for i := range dst {
		dst[i] = f(a[i])
	}
}

func (v *vecArgs) map2(f func(a, b float32) float32) {
	dst, a, b := v.dst[:v.n], v.a[:v.n], v.b[:v.n]
	for i := range dst {
		dst[i] = f(a[i], b[i])
	}
}

func (v *vecArgs) map64(f func(a float64) float64) {
	v.map1(func(a float32) float32 { return float32(f(float64(a))) })
}

func (v *vecArgs) mapGrad(f func(a float64) float64) {
	v.map2(func(a, b float32) float32 { return float32(float64(b) * f(float64(a))) })
}

func (v *vecArgs) sum(f func(i int) float32) float32 {
	var sum float64
	for i := range v.n {
		sum += float64(f(i))
	}
	return float32(sum)
}

func through(d, y, lo, hi float32) float32 {
	if lo < y && y < hi {
		return d
	}
	return 0
}

func sigmoid64(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// silu64 of −∞ is −0 and not NaN.
func silu64(x float64) float64 {
	if math.IsInf(x, -1) {
		return math.Copysign(0, -1)
	}
	return x * sigmoid64(x)
}

func gelu64(x float64) float64 {
	if math.IsInf(x, -1) {
		return math.Copysign(0, -1)
	}
	return x * 0.5 * math.Erfc(-x/math.Sqrt2)
}

func siluGrad64(x float64) float64 {
	if math.IsInf(x, 0) {
		return sigmoid64(x)
	}
	s := sigmoid64(x)
	return s * (1 + x*(1-s))
}

func geluGrad64(x float64) float64 {
	if math.IsInf(x, 0) {
		return sigmoid64(x)
	}
	return 0.5*math.Erfc(-x/math.Sqrt2) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
}

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }
