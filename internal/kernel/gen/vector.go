package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A vec is a loop over elements that is being written.
type vec struct {
	*file
	tail   bool
	unroll int // which of the copies of the body this is
	sums   int // results
	sum0   int // first accumulator
	consts map[uint32]bool
	runK   map[int]string
	lits   int // literals so far, on machines that have no operands in memory
}

// The registers of a loop. Temporaries are 0 to 9.
func (v *vec) t(i int) string { return v.r(i) }

// tailMask is the register of the mask, on machines that have no masks.
func (v *vec) tailMask() int {
	if v.arm {
		return 16
	}
	return 15
}

// k is constant i of the caller.
func (v *vec) k(i int) string { return v.runK[i] }

// lit is a number as an operand in memory.
func (v *vec) lit(x float64) string { return v.bits(math.Float32bits(float32(x))) }

// bits is a pattern as an operand in memory or, where there are no such operands, in
// a register, of which the last four are kept.
func (v *vec) bits(b uint32) string {
	if v.arm {
		v.lits = (v.lits + 1) % 4
		reg := v.r(12 + v.lits)
		v.op("MOVD", fmt.Sprintf("$0x%08x", b), "R11")
		v.op("VDUP", "R11", reg+".S4")
		return reg
	}
	v.consts[b] = true
	return fmt.Sprintf("lit%08x<>(SB)", b)
}

// In what follows dst comes first, and the last operand may be in memory.

func (v *vec) add(dst, a, b string) { v.three("VADDPS", armADD, dst, a, b) }
func (v *vec) sub(dst, a, b string) { v.three("VSUBPS", armSUB, dst, a, b) }
func (v *vec) mul(dst, a, b string) { v.three("VMULPS", armMUL, dst, a, b) }
func (v *vec) div(dst, a, b string) { v.three("VDIVPS", armDIV, dst, a, b) }

// max and min are NaN if b is.
func (v *vec) max(dst, a, b string) { v.three("VMAXPS", armMAX, dst, a, b) }
func (v *vec) min(dst, a, b string) { v.three("VMINPS", armMIN, dst, a, b) }

func (v *vec) and(dst, a, b string) { v.three(v.either("VPANDD", "VANDPS"), armAND, dst, a, b) }
func (v *vec) or(dst, a, b string)  { v.three(v.either("VPORD", "VORPS"), armORR, dst, a, b) }

// addInt and subInt are of integers.
func (v *vec) addInt(dst, a, b string) { v.three("VPADDD", armIADD, dst, a, b) }
func (v *vec) subInt(dst, a, b string) { v.three("VPSUBD", armISUB, dst, a, b) }

func (v *vec) three(name string, code int, dst, a, b string) {
	if v.arm {
		v.arm3(code, number(dst), number(a), number(b))
	} else {
		v.op(name, b, a, dst)
	}
}

// either is the name with masks or without.
func (v *vec) either(with, without string) string {
	if v.masks {
		return with
	}
	return without
}

// spare is a register that only three-operand forms of instructions use, on
// machines that have two-operand ones.
const spare = 11

// fma: dst += a·b; fnma: dst −= a·b; fms: dst = a·b − dst; fmaTo: dst = dst·a + b.
func (v *vec) fma(dst, a, b string)  { v.three("VFMADD231PS", armMLA, dst, a, b) }
func (v *vec) fnma(dst, a, b string) { v.three("VFNMADD231PS", armMLS, dst, a, b) }

func (v *vec) fms(dst, a, b string) {
	if v.arm {
		v.arm2(armNEG, number(dst), number(dst))
		v.arm3(armMLA, number(dst), number(a), number(b))
		return
	}
	v.op("VFMSUB231PS", b, a, dst)
}

func (v *vec) fmaTo(dst, a, b string) {
	if v.arm {
		v.armMove(spare, number(b))
		v.arm3(armMLA, spare, number(dst), number(a))
		v.armMove(number(dst), spare)
		return
	}
	v.op("VFMADD213PS", b, a, dst)
}

func (v *vec) mov(dst, a string) {
	if v.arm {
		v.armMove(number(dst), number(a))
		return
	}
	v.op("VMOVUPS", a, dst)
}

func (v *vec) sqrt(dst, a string) {
	if v.arm {
		v.arm2(armSQRT, number(dst), number(a))
		return
	}
	v.op("VSQRTPS", a, dst)
}

func (v *vec) round(dst, a string) {
	switch {
	case v.arm:
		v.arm2(armROUND, number(dst), number(a))
	case v.masks:
		v.op("VRNDSCALEPS", "$0", a, dst)
	default:
		v.op("VROUNDPS", "$0", a, dst)
	}
}

// less makes mask i the lanes where a < b. Without masks, it lies in register 7−i.
func (v *vec) less(i int, a, b string) {
	switch {
	case v.arm:
		v.arm3(armGT, 7-i, number(b), number(a))
	case v.masks:
		v.op("VCMPPS", "$1", b, a, fmt.Sprint("K", 2+i))
	default:
		v.op("VCMPPS", "$1", b, a, v.r(7-i))
	}
}

// choose: dst = yes where mask 0 is, else no; no is in a register.
func (v *vec) choose(dst, yes, no string) {
	switch {
	case v.arm:
		v.armMove(spare, 7)
		v.arm3(armBSL, spare, number(yes), number(no))
		v.armMove(number(dst), spare)
	case v.masks:
		v.op("VBLENDMPS", yes, no, "K2", dst)
	default:
		v.op("VBLENDVPS", v.r(7), yes, no, dst)
	}
}

// keep: dst = a where mask i is, else 0.
func (v *vec) keep(dst string, i int, a string) {
	if v.masks {
		v.op("VMOVAPS.Z", a, fmt.Sprint("K", 2+i), dst)
		return
	}
	v.and(dst, v.r(7-i), a)
}

var pointer = map[string]string{"dst": "BX", "a": "SI", "b": "R8", "c": "R9"}

var armPointer = map[string]string{"dst": "R1", "a": "R2", "b": "R3", "c": "R4"}

// place is the address of what the body works on, on arm64.
func (v *vec) place(array string) string {
	if v.unroll == 0 {
		return armPointer[array]
	}
	v.op("ADD", fmt.Sprint("$", v.unroll*v.bytes), armPointer[array], "R12")
	return "R12"
}

func (v *vec) load(dst, array string) {
	if v.arm {
		if v.tail { // an element, and zeros
			v.op("FMOVS", "("+v.place(array)+")", fmt.Sprint("F", number(dst)))
		} else {
			v.armLoad(v.place(array), number(dst))
		}
		return
	}
	mem := "(" + pointer[array] + ")(R10*1)"
	if v.unroll > 0 {
		mem = fmt.Sprintf("%d(%s)(R10*1)", v.unroll*v.bytes, pointer[array])
	}
	switch {
	case v.tail && v.masks:
		v.op("VMOVUPS.Z", mem, "K1", dst)
	case v.tail:
		v.op("VMASKMOVPS", mem, v.r(v.tailMask()), dst)
	default:
		v.op("VMOVUPS", mem, dst)
	}
}

func (v *vec) store(array, src string) {
	if v.arm {
		if v.tail {
			v.op("FMOVS", fmt.Sprint("F", number(src)), "("+v.place(array)+")")
		} else {
			v.armStore(number(src), v.place(array))
		}
		return
	}
	mem := "(" + pointer[array] + ")(R10*1)"
	if v.unroll > 0 {
		mem = fmt.Sprintf("%d(%s)(R10*1)", v.unroll*v.bytes, pointer[array])
	}
	switch {
	case v.tail && v.masks:
		v.op("VMOVUPS", src, "K1", mem)
	case v.tail:
		v.op("VMASKMOVPS", src, v.r(v.tailMask()), mem)
	default:
		v.op("VMOVUPS", src, mem)
	}
}

func (v *vec) acc(result, unroll int) string { return v.r(v.sum0 + result*unrolled(v.sums) + unroll) }

// unrolled is how many accumulators each result has.
func unrolled(sums int) int {
	switch sums {
	case 0:
		return 1
	case 1:
		return 4
	}
	return 2
}

// collect adds x, which it may destroy, to a result.
func (v *vec) collect(result int, x string) {
	acc := v.acc(result, v.unroll)
	switch {
	case v.tail && v.masks:
		v.op("VADDPS", x, acc, "K1", acc)
	case v.tail:
		v.and(x, x, v.r(v.tailMask()))
		v.add(acc, acc, x)
	default:
		v.add(acc, acc, x)
	}
}

// collectMax takes the larger one of temporary 0 and the first result.
func (v *vec) collectMax() {
	acc := v.acc(0, v.unroll)
	switch {
	case v.tail && v.masks:
		v.op("VMAXPS", acc, v.t(0), "K1", acc)
	case v.tail && v.arm:
		v.armMove(1, v.tailMask())
		v.arm3(armBSL, 1, 0, number(acc))
		v.max(acc, acc, v.t(1))
	case v.tail:
		v.op("VBLENDVPS", v.r(v.tailMask()), v.t(0), acc, v.t(0))
		v.max(acc, v.t(0), acc)
	default:
		v.max(acc, v.t(0), acc)
	}
}

// A loop is an op: the arrays that it uses, how many constants of the caller and
// results it has, and its body.
type loop struct {
	name   string
	arrays string // letters; d for dst
	k      []int
	sums   int
	isMax  bool
	body   func(v *vec)
}

func vectors(f *file) {
	consts := map[uint32]bool{}
	for _, l := range loops {
		v := &vec{file: f, sums: l.sums, consts: consts, runK: map[int]string{}}
		v.write(l)
	}
	fmt.Fprintf(&f.decls, "\nvar ops%s = [numOps]func(*vecArgs){\n", f.tag)
	for _, l := range loops {
		fmt.Fprintf(&f.decls, "\top%s: vec%s%s,\n", l.name, l.name, f.tag)
	}
	f.decls.WriteString("}\n")

	var sorted []uint32
	for b := range consts {
		sorted = append(sorted, b)
	}
	slices.Sort(sorted)
	for _, b := range sorted {
		for i := 0; i < f.bytes; i += 8 {
			fmt.Fprintf(&f.body, "DATA lit%08x<>+%d(SB)/8, $0x%08x%08x\n", b, i, b, b)
		}
		fmt.Fprintf(&f.body, "GLOBL lit%08x<>(SB), RODATA|NOPTR, $%d\n", b, f.bytes)
	}
	if !f.masks && !f.arm {
		// Eight lanes that exist, and eight that do not.
		for i := 0; i < 64; i += 8 {
			word := "0xffffffffffffffff"
			if i >= 32 {
				word = "0"
			}
			fmt.Fprintf(&f.body, "DATA lanes<>+%d(SB)/8, $%s\n", i, word)
		}
		f.body.WriteString("GLOBL lanes<>(SB), RODATA|NOPTR, $64\n")
	}
}

func (v *vec) write(l loop) {
	if v.arm {
		v.writeARM(l)
		return
	}
	v.label = 0
	v.fn("vec"+l.name+v.tag, "v", "vecArgs")
	arg := func(name string, i int) string { return fmt.Sprintf("(vecArgs_%s+%d)(DI)", name, 4*i) }
	for _, a := range []string{"dst", "a", "b", "c"} {
		if strings.Contains(l.arrays, a[:1]) {
			v.op("MOVQ", arg(a, 0), pointer[a])
		}
	}
	v.op("MOVQ", arg("n", 0), "CX")
	v.op("XORQ", "R10", "R10")
	// Constants of the caller lie at the top, accumulators below.
	top := 14
	if v.masks {
		top = 31
	}
	for _, i := range l.k {
		v.runK[i] = v.r(top)
		v.op("VBROADCASTSS", arg("k", i), v.r(top))
		top--
	}
	unroll := unrolled(l.sums)
	if l.sums > 0 {
		v.sum0 = top - l.sums*unroll + 1
		for i := range l.sums * unroll {
			if l.isMax {
				v.op("VBROADCASTSS", arg("k", 0), v.r(v.sum0+i))
			} else {
				v.zero(v.sum0 + i)
			}
		}
	}
	part := func(n int, label, next string) {
		v.op("SUBQ", fmt.Sprint("$", n*v.lanes), "CX")
		v.op("JLT", next)
		v.op("PCALIGN", "$32")
		v.at(label)
		for v.unroll = 0; v.unroll < n; v.unroll++ {
			l.body(v)
		}
		v.unroll = 0
		v.op("ADDQ", fmt.Sprint("$", n*v.bytes), "R10")
		v.op("SUBQ", fmt.Sprint("$", n*v.lanes), "CX")
		v.op("JGE", label)
		v.at(next)
		v.op("ADDQ", fmt.Sprint("$", n*v.lanes), "CX")
	}
	if unroll > 1 {
		part(unroll, "loop", "rest")
	}
	part(1, "single", "last")
	v.op("TESTQ", "CX", "CX")
	v.op("JEQ", "done")
	if v.masks {
		v.op("MOVL", "$1", "AX")
		v.op("SHLL", "CX", "AX")
		v.op("DECL", "AX")
		v.op("KMOVW", "AX", "K1")
	} else {
		v.op("LEAQ", "lanes<>+32(SB)", "AX")
		v.op("SHLQ", "$2", "CX")
		v.op("SUBQ", "CX", "AX")
		v.op("VMOVDQU", "(AX)", v.r(v.tailMask()))
	}
	v.tail = true
	l.body(v)
	v.tail = false
	v.at("done")
	fold := "VADDPS"
	if l.isMax {
		fold = "VMAXPS"
	}
	for s := range l.sums {
		for u := 1; u < unroll; u++ {
			v.op(fold, v.acc(s, u), v.acc(s, 0), v.acc(s, 0))
		}
		x := v.sum0 + s*unroll
		v.mov(v.r(0), v.r(x))
		if v.lanes == 16 {
			v.op("VEXTRACTF32X8", "$1", "Z0", "Y1")
			v.op(fold, "Y1", "Y0", "Y0")
		}
		v.op("VEXTRACTF128", "$1", "Y0", "X1")
		v.op(fold, "X1", "X0", "X0")
		v.op("VSHUFPS", "$0xee", "X0", "X0", "X1")
		v.op(fold, "X1", "X0", "X0")
		v.op("VSHUFPS", "$0x55", "X0", "X0", "X1")
		v.op(fold, "X1", "X0", "X0")
		v.op("VMOVSS", "X0", arg("r", s))
	}
	v.end()
}

// writeARM is write for arm64: pointers move, and the tail goes element by
// element.
func (v *vec) writeARM(l loop) {
	v.label = 0
	v.fn("vec"+l.name+v.tag, "v", "vecArgs")
	arg := func(name string, i int) string { return fmt.Sprintf("(vecArgs_%s+%d)(R0)", name, 4*i) }
	var used []string
	for _, a := range []string{"dst", "a", "b", "c"} {
		if strings.Contains(l.arrays, a[:1]) {
			v.op("MOVD", arg(a, 0), armPointer[a])
			used = append(used, armPointer[a])
		}
	}
	v.op("MOVD", arg("n", 0), "R5")
	top := 31
	broadcast := func(i, reg int) {
		v.op("MOVWU", arg("k", i), "R11")
		v.op("VDUP", "R11", fmt.Sprintf("V%d.S4", reg))
	}
	for _, i := range l.k {
		v.runK[i] = v.r(top)
		broadcast(i, top)
		top--
	}
	unroll := unrolled(l.sums)
	if l.sums > 0 {
		v.sum0 = top - l.sums*unroll + 1
		for i := range l.sums * unroll {
			if l.isMax {
				broadcast(0, v.sum0+i)
			} else {
				v.armZero(v.sum0 + i)
			}
		}
	}
	part := func(n, elements int, label, next string) {
		v.op("CMP", fmt.Sprint("$", elements), "R5")
		v.op("BLT", next)
		v.at(label)
		for v.unroll = 0; v.unroll < n; v.unroll++ {
			l.body(v)
		}
		v.unroll = 0
		for _, p := range used {
			v.op("ADD", fmt.Sprint("$", 4*elements), p)
		}
		v.op("SUB", fmt.Sprint("$", elements), "R5")
		v.op("CMP", fmt.Sprint("$", elements), "R5")
		v.op("BGE", label)
		v.at(next)
	}
	if unroll > 1 {
		part(unroll, unroll*v.lanes, "loop", "rest")
	}
	part(1, v.lanes, "single", "last")
	// The lowest lane exists.
	v.op("MOVD", "$0xffffffff", "R11")
	v.op("FMOVS", "ZR", fmt.Sprint("F", v.tailMask()))
	v.op("VMOV", "R11", fmt.Sprintf("V%d.S[0]", v.tailMask()))
	v.tail = true
	part(1, 1, "element", "done")
	v.tail = false
	fold, pairs := armADD, armADDP
	if l.isMax {
		fold, pairs = armMAX, armMAXP
	}
	for s := range l.sums {
		x := v.sum0 + s*unroll
		for u := 1; u < unroll; u++ {
			v.arm3(fold, x, x, x+u)
		}
		v.arm3(pairs, x, x, x)
		v.arm3(pairs, x, x, x)
		v.op("FMOVS", fmt.Sprint("F", x), arg("r", s))
	}
	v.end()
}

// map2 is a body with operands a and b in registers 0 and 1 and its result in 0.
func map2(f func(v *vec)) func(v *vec) {
	return func(v *vec) {
		v.load(v.t(0), "a")
		v.load(v.t(1), "b")
		f(v)
		v.store("dst", v.t(0))
	}
}

// map1 is a body with operand a in register 0, and its result there.
func map1(f func(v *vec)) func(v *vec) {
	return func(v *vec) {
		v.load(v.t(0), "a")
		f(v)
		v.store("dst", v.t(0))
	}
}

// clampTo lets NaN through.
func (v *vec) clampTo(x, lo, hi string) {
	v.max(x, lo, x)
	v.min(x, hi, x)
}

func (v *vec) poly(dst, x string, c []float32) {
	v.mov(dst, v.lit(float64(c[len(c)-1])))
	for i := len(c) - 2; i >= 0; i-- {
		v.fmaTo(dst, x, v.lit(float64(c[i])))
	}
}

// exp: x = exp(x), with temporaries a, b, and c.
func (v *vec) exp(x, a, b, c string) {
	// Beyond these bounds the result is +Inf or 0 anyway.
	v.mov(a, v.lit(89))
	v.min(x, a, x)
	v.mov(a, v.lit(-104))
	v.max(x, a, x)
	v.mul(a, x, v.lit(math.Log2E))
	v.round(a, a)
	// ln 2 in two parts, the first of which has few bits.
	const high = 0x1.62ep-1
	v.fnma(x, a, v.lit(high))
	v.fnma(x, a, v.lit(math.Ln2-high))
	v.poly(b, x, expPoly)
	v.mul(c, x, x)
	v.fmaTo(b, c, x) // r²·P + r
	v.add(b, b, v.lit(1))
	if v.masks {
		v.op("VSCALEFPS", a, b, x)
		return
	}
	// 2ⁿ may be too large or too small for a float: two factors are not.
	if v.arm {
		v.arm2(armTOINT, number(a), number(a))
		v.arm2(armSSHR1, number(c), number(a))
	} else {
		v.op("VCVTPS2DQ", a, a)
		v.op("VPSRAD", "$1", a, c)
	}
	v.subInt(a, a, c)
	for _, n := range []string{a, c} {
		v.addInt(n, n, v.bits(127))
		if v.arm {
			v.arm2(armSHL23, number(n), number(n))
		} else {
			v.op("VPSLLD", "$23", n, n)
		}
	}
	v.mul(b, b, a)
	v.mul(x, b, c)
}

// sigmoid: dst = 1/(1 + exp(−x)); x stays; five temporaries from t on.
func (v *vec) sigmoid(dst, x string, t int) {
	e, a := v.t(t), v.t(t+1)
	v.or(e, x, v.bits(0x80000000)) // −|x|
	v.exp(e, a, v.t(t+2), v.t(t+3))
	v.add(a, e, v.lit(1))
	v.mov(dst, v.lit(1))
	v.less(0, x, v.zeroIn(t+2))
	v.choose(dst, e, dst)
	v.div(dst, dst, a)
}

// zeroIn is register t, with 0 in it.
func (v *vec) zeroIn(t int) string {
	v.zero(t)
	return v.t(t)
}

// square: register 3 = t² and 8 = what is lost by its rounding, which counts after
// exp, for t = |x|, at most limit, in register 1; uses 4.
func (v *vec) square(x string, limit float64) {
	t := v.t(1)
	v.and(t, x, v.bits(0x7fffffff))
	v.mov(v.t(4), v.lit(limit))
	v.min(t, v.t(4), t)
	v.mul(v.t(3), t, t)
	v.mov(v.t(8), v.t(3))
	v.fms(v.t(8), t, t)
}

// phi: register 2 = exp(−t²), 3 = erf(t) or erfc(t) for t in register 1, for t
// below limit (mask 0) and above; 3 and 8 are t² as square leaves it. Uses 4 to 6.
func (v *vec) phi(limit float64) {
	t := v.t(1)
	v.sub(v.t(2), v.zeroIn(4), v.t(3))
	v.exp(v.t(2), v.t(4), v.t(5), v.t(6))
	v.fnma(v.t(2), v.t(8), v.t(2))
	// Above 1.
	v.mov(v.t(4), v.lit(1))
	v.mov(v.t(5), v.t(4))
	v.fma(v.t(5), t, v.lit(0.5))
	v.div(v.t(4), v.t(4), v.t(5)) // u
	v.poly(v.t(5), v.t(4), erfcPoly)
	v.mul(v.t(5), v.t(5), v.t(4))
	v.mul(v.t(5), v.t(5), v.t(2))
	// Below.
	v.poly(v.t(6), v.t(3), erfPoly)
	v.mul(v.t(6), v.t(6), t)
	v.less(0, t, v.lit(limit))
	v.choose(v.t(3), v.t(6), v.t(5))
}

// normal: register 3 = Φ(register 0); register 2 = exp(−x²/2); uses 1 to 9.
func (v *vec) normal() {
	v.square(v.t(0), 14.8)
	v.mul(v.t(3), v.t(3), v.lit(0.5))
	v.mul(v.t(8), v.t(8), v.lit(0.5))
	v.mul(v.t(1), v.t(1), v.lit(math.Sqrt2/2))
	v.phi(0.5) // above, 1 − erf would lose digits
	v.mul(v.t(4), v.t(3), v.lit(0.5))
	// Below 1/2 it is (1 ± erf)/2, above erfc/2 or 1 − erfc/2.
	v.mov(v.t(5), v.lit(0.5))
	v.sub(v.t(6), v.t(5), v.t(4))
	v.choose(v.t(6), v.t(6), v.t(4)) // Φ(−|x|)
	v.mov(v.t(5), v.lit(1))
	v.sub(v.t(5), v.t(5), v.t(6))
	v.less(0, v.t(0), v.zeroIn(7))
	v.choose(v.t(3), v.t(6), v.t(5))
}

var loops = []loop{
	{name: "Add", arrays: "dab", body: map2(func(v *vec) { v.add(v.t(0), v.t(0), v.t(1)) })},
	{name: "Sub", arrays: "dab", body: map2(func(v *vec) { v.sub(v.t(0), v.t(0), v.t(1)) })},
	{name: "Mul", arrays: "dab", body: map2(func(v *vec) { v.mul(v.t(0), v.t(0), v.t(1)) })},
	{name: "Div", arrays: "dab", body: map2(func(v *vec) { v.div(v.t(0), v.t(0), v.t(1)) })},
	{name: "MulAdd", arrays: "dabc", body: map2(func(v *vec) {
		v.load(v.t(2), "c")
		v.fmaTo(v.t(0), v.t(1), v.t(2))
	})},
	{name: "Combine", arrays: "dab", k: []int{0, 1}, body: map2(func(v *vec) {
		v.mul(v.t(1), v.t(1), v.k(1))
		v.fmaTo(v.t(0), v.k(0), v.t(1))
	})},
	{name: "Affine", arrays: "da", k: []int{0, 1, 2, 3}, body: map1(func(v *vec) {
		v.fmaTo(v.t(0), v.k(0), v.k(1))
		v.clampTo(v.t(0), v.k(2), v.k(3))
	})},
	{name: "AddClamp", arrays: "dab", k: []int{0, 1}, body: map2(func(v *vec) {
		v.add(v.t(0), v.t(0), v.t(1))
		v.clampTo(v.t(0), v.k(0), v.k(1))
	})},
	{name: "ClampGrad", arrays: "dab", k: []int{0, 1}, body: map2(func(v *vec) {
		v.less(0, v.k(0), v.t(0))
		v.less(1, v.t(0), v.k(1))
		v.keep(v.t(0), 0, v.t(1))
		v.keep(v.t(0), 1, v.t(0))
	})},
	{name: "Exp", arrays: "da", body: map1(func(v *vec) { v.exp(v.t(0), v.t(1), v.t(2), v.t(3)) })},
	{name: "Sigmoid", arrays: "da", body: map1(func(v *vec) {
		v.sigmoid(v.t(1), v.t(0), 2)
		v.mov(v.t(0), v.t(1))
	})},
	{name: "Tanh", arrays: "da", body: map1(func(v *vec) {
		x, s, t := v.t(0), v.t(1), v.t(2)
		v.and(t, x, v.bits(0x7fffffff))
		v.mul(v.t(3), t, t)
		v.poly(v.t(4), v.t(3), tanhPoly)
		v.mul(v.t(3), v.t(3), v.t(4))
		v.mov(s, t)
		v.fma(s, t, v.t(3)) // for small |x|
		v.less(0, t, v.lit(tanhSmall))
		v.add(t, t, t)
		v.exp(t, v.t(4), v.t(5), v.t(6))
		v.mov(v.t(4), v.lit(1))
		v.add(t, t, v.t(4))
		v.mov(v.t(5), v.lit(2))
		v.div(t, v.t(5), t)
		v.sub(t, v.t(4), t)
		v.choose(s, s, t)
		v.and(x, x, v.bits(0x80000000))
		v.or(x, x, s)
	})},
	{name: "Erf", arrays: "da", body: map1(func(v *vec) {
		v.square(v.t(0), 10.4)
		v.phi(1)
		v.mov(v.t(4), v.lit(1))
		v.sub(v.t(4), v.t(4), v.t(3))
		v.choose(v.t(3), v.t(3), v.t(4))
		v.and(v.t(0), v.t(0), v.bits(0x80000000))
		v.or(v.t(0), v.t(0), v.t(3))
	})},
	{name: "SiLU", arrays: "da", body: map1(func(v *vec) {
		v.sigmoid(v.t(1), v.t(0), 2)
		v.finiteLow()
		v.mul(v.t(0), v.t(0), v.t(1))
	})},
	{name: "GELU", arrays: "da", body: map1(func(v *vec) {
		v.normal()
		v.mov(v.t(1), v.t(3))
		v.finiteLow()
		v.mul(v.t(0), v.t(0), v.t(1))
	})},
	{name: "HardSwish", arrays: "da", body: map1(func(v *vec) {
		v.mov(v.t(1), v.lit(0.5))
		v.fma(v.t(1), v.t(0), v.lit(1.0/6))
		v.mov(v.t(2), v.lit(1))
		v.clampTo(v.t(1), v.zeroIn(3), v.t(2))
		v.finiteLow()
		v.mul(v.t(0), v.t(0), v.t(1))
	})},
	{name: "SigmoidGrad", arrays: "dab", body: map2(func(v *vec) {
		v.mov(v.t(2), v.lit(1))
		v.sub(v.t(2), v.t(2), v.t(0))
		v.mul(v.t(0), v.t(0), v.t(2))
		v.mul(v.t(0), v.t(0), v.t(1))
	})},
	{name: "TanhGrad", arrays: "dab", body: map2(func(v *vec) {
		v.mov(v.t(2), v.lit(1))
		v.fnma(v.t(2), v.t(0), v.t(0))
		v.mul(v.t(0), v.t(1), v.t(2))
	})},
	{name: "SiLUGrad", arrays: "dab", body: func(v *vec) {
		x, s := v.t(0), v.t(1)
		v.load(x, "a")
		v.bound(x)
		v.sigmoid(s, x, 2)
		v.mov(v.t(2), v.lit(1))
		v.mov(v.t(3), v.t(2))
		v.sub(v.t(2), v.t(2), s)
		v.fma(v.t(3), x, v.t(2))
		v.mul(s, s, v.t(3))
		v.load(v.t(2), "b")
		v.mul(s, s, v.t(2))
		v.store("dst", s)
	}},
	{name: "GELUGrad", arrays: "dab", body: func(v *vec) {
		v.load(v.t(0), "a")
		v.bound(v.t(0))
		v.normal()
		v.mul(v.t(2), v.t(2), v.lit(1/math.Sqrt(2*math.Pi)))
		v.fma(v.t(3), v.t(0), v.t(2))
		v.load(v.t(1), "b")
		v.mul(v.t(3), v.t(3), v.t(1))
		v.store("dst", v.t(3))
	}},
	{name: "HardSwishGrad", arrays: "dab", body: map2(func(v *vec) {
		v.mov(v.t(2), v.lit(0.5))
		v.fma(v.t(2), v.t(0), v.lit(1.0/3))
		v.mul(v.t(2), v.t(2), v.t(1))
		v.less(0, v.t(0), v.lit(3))
		v.choose(v.t(2), v.t(2), v.t(1))
		v.mov(v.t(3), v.lit(-3))
		v.less(0, v.t(3), v.t(0))
		v.keep(v.t(0), 0, v.t(2))
	})},
	{name: "Sum", arrays: "a", sums: 1, body: func(v *vec) {
		v.load(v.t(0), "a")
		v.collect(0, v.t(0))
	}},
	{name: "SumSquares", arrays: "a", k: []int{0}, sums: 1, body: func(v *vec) {
		v.load(v.t(0), "a")
		v.sub(v.t(0), v.t(0), v.k(0))
		v.mul(v.t(0), v.t(0), v.t(0))
		v.collect(0, v.t(0))
	}},
	{name: "Dot", arrays: "ab", sums: 1, body: func(v *vec) {
		v.load(v.t(0), "a")
		v.load(v.t(1), "b")
		v.mul(v.t(0), v.t(0), v.t(1))
		v.collect(0, v.t(0))
	}},
	{name: "Max", arrays: "a", k: []int{0}, sums: 1, isMax: true, body: func(v *vec) {
		v.load(v.t(0), "a")
		v.collectMax()
	}},
	{name: "MaxAbs", arrays: "a", k: []int{0}, sums: 1, isMax: true, body: func(v *vec) {
		v.load(v.t(0), "a")
		v.and(v.t(0), v.t(0), v.bits(0x7fffffff))
		v.collectMax()
	}},
	{name: "MaxNeg", arrays: "a", k: []int{0}, sums: 1, isMax: true, body: func(v *vec) {
		v.load(v.t(1), "a")
		v.sub(v.t(0), v.zeroIn(0), v.t(1))
		v.collectMax()
	}},
	{name: "Probe", arrays: "a", sums: 1, body: func(v *vec) {
		v.load(v.t(0), "a")
		v.mul(v.t(0), v.t(0), v.lit(0))
		v.collect(0, v.t(0))
	}},
	{name: "ExpSum", arrays: "da", k: []int{0}, sums: 1, body: func(v *vec) {
		v.load(v.t(0), "a")
		v.sub(v.t(0), v.t(0), v.k(0))
		v.exp(v.t(0), v.t(1), v.t(2), v.t(3))
		v.store("dst", v.t(0))
		v.collect(0, v.t(0))
	}},
	{name: "NormGradSums", arrays: "ab", k: []int{0}, sums: 2, body: func(v *vec) {
		v.load(v.t(0), "a")
		v.load(v.t(1), "b")
		v.normGradSums()
	}},
	{name: "NormGrad", arrays: "dab", k: []int{0, 1, 2}, body: map2(func(v *vec) {
		v.fmaTo(v.t(0), v.k(1), v.k(2))
		v.fma(v.t(0), v.t(1), v.k(0))
	})},
	{name: "NormGradSumsClamp", arrays: "abc", k: []int{0, 3, 4}, sums: 2, body: func(v *vec) {
		v.load(v.t(0), "a")
		v.load(v.t(1), "b")
		v.through()
		v.normGradSums()
	}},
	{name: "NormGradClamp", arrays: "dabc", k: []int{0, 1, 2, 3, 4}, body: map2(func(v *vec) {
		v.through()
		v.fmaTo(v.t(0), v.k(1), v.k(2))
		v.fma(v.t(0), v.t(1), v.k(0))
	})},
	{name: "Pull", arrays: "dab", k: []int{0, 1, 2, 3}, body: func(v *vec) {
		v.load(v.t(0), "a")
		v.and(v.t(0), v.t(0), v.bits(0x7fffffff))
		v.mul(v.t(0), v.t(0), v.k(1))
		v.sub(v.t(0), v.k(0), v.t(0))
		v.load(v.t(1), "b")
		v.load(v.t(2), "dst")
		v.fnma(v.t(2), v.t(0), v.t(1))
		v.clampTo(v.t(2), v.k(2), v.k(3))
		v.store("dst", v.t(2))
	}},
	{name: "Hat", arrays: "dab", k: []int{0, 1, 2}, body: func(v *vec) {
		v.load(v.t(0), "a")
		v.and(v.t(1), v.t(0), v.bits(0x7fffffff))
		v.load(v.t(2), "b")
		v.and(v.t(2), v.t(2), v.bits(0x7fffffff))
		v.mul(v.t(3), v.t(2), v.k(1))
		v.mul(v.t(2), v.t(2), v.k(2))
		v.less(0, v.k(0), v.t(1))
		v.choose(v.t(3), v.t(2), v.t(3))
		v.mov(v.t(4), v.lit(0))
		v.less(1, v.t(4), v.t(1))
		v.and(v.t(0), v.t(0), v.bits(0x80000000))
		v.or(v.t(3), v.t(3), v.t(0))
		v.keep(v.t(3), 1, v.t(3))
		v.load(v.t(2), "dst")
		v.add(v.t(2), v.t(2), v.t(3))
		v.store("dst", v.t(2))
	}},
	{name: "Ternary", arrays: "da", k: []int{0, 1, 2, 3}, body: map1(func(v *vec) {
		v.less(0, v.t(0), v.k(0))
		v.less(1, v.k(1), v.t(0))
		v.keep(v.t(1), 0, v.k(2))
		v.keep(v.t(0), 1, v.k(3))
		v.add(v.t(0), v.t(0), v.t(1))
	})},
	{name: "Sides", arrays: "ab", sums: 2, body: func(v *vec) {
		v.load(v.t(0), "a")
		v.load(v.t(1), "b")
		v.mov(v.t(2), v.lit(0))
		v.less(0, v.t(1), v.t(2))
		v.less(1, v.t(2), v.t(1))
		v.keep(v.t(3), 0, v.t(0))
		v.collect(0, v.t(3))
		v.keep(v.t(3), 1, v.t(0))
		v.collect(1, v.t(3))
	}},
	{name: "SGD", arrays: "dab", k: []int{0, 1, 2}, body: func(v *vec) {
		v.load(v.t(0), "dst")
		v.load(v.t(1), "a")
		v.load(v.t(2), "b")
		v.fma(v.t(1), v.t(0), v.k(1))
		v.fma(v.t(1), v.t(2), v.k(0))
		v.store("b", v.t(1))
		v.fnma(v.t(0), v.t(1), v.k(2))
		v.store("dst", v.t(0))
	}},
	{name: "Nesterov", arrays: "dab", k: []int{0, 1, 2}, body: func(v *vec) {
		v.load(v.t(0), "dst")
		v.load(v.t(1), "a")
		v.load(v.t(2), "b")
		v.fma(v.t(1), v.t(0), v.k(1))
		v.fmaTo(v.t(2), v.k(0), v.t(1))
		v.store("b", v.t(2))
		v.fma(v.t(1), v.t(2), v.k(0))
		v.fnma(v.t(0), v.t(1), v.k(2))
		v.store("dst", v.t(0))
	}},
	{name: "Adam", arrays: "dabc", k: []int{0, 1, 2, 3, 4, 5, 6, 7, 8}, body: func(v *vec) {
		v.load(v.t(0), "dst")
		v.load(v.t(1), "a")
		v.load(v.t(2), "b")
		v.load(v.t(3), "c")
		v.fma(v.t(1), v.t(0), v.k(4))
		v.mul(v.t(2), v.t(2), v.k(0))
		v.fma(v.t(2), v.t(1), v.k(1))
		v.store("b", v.t(2))
		v.mul(v.t(1), v.t(1), v.t(1))
		v.mul(v.t(3), v.t(3), v.k(2))
		v.fma(v.t(3), v.t(1), v.k(3))
		v.store("c", v.t(3))
		v.sqrt(v.t(3), v.t(3))
		v.fmaTo(v.t(3), v.k(6), v.k(7))
		v.div(v.t(2), v.t(2), v.t(3))
		v.mul(v.t(0), v.t(0), v.k(8))
		v.fnma(v.t(0), v.t(2), v.k(5))
		v.store("dst", v.t(0))
	}},
}

// finiteLow makes −∞ in register 0 the lowest number, so that 0 times it is −0.
func (v *vec) finiteLow() {
	v.mov(v.t(2), v.lit(-math.MaxFloat32))
	v.max(v.t(0), v.t(2), v.t(0))
}

// bound keeps x where its square and 0 times it are finite; what is beyond is flat.
func (v *vec) bound(x string) {
	v.mov(v.t(2), v.lit(-200))
	v.max(x, v.t(2), x)
	v.mov(v.t(2), v.lit(200))
	v.min(x, v.t(2), x)
}

// through makes register 1 zero where c is not between k3 and k4.
func (v *vec) through() {
	v.load(v.t(2), "c")
	v.less(0, v.k(3), v.t(2))
	v.less(1, v.t(2), v.k(4))
	v.keep(v.t(1), 0, v.t(1))
	v.keep(v.t(1), 1, v.t(1))
}

func (v *vec) normGradSums() {
	v.sub(v.t(0), v.t(0), v.k(0))
	v.mul(v.t(0), v.t(0), v.t(1))
	v.collect(0, v.t(1))
	v.collect(1, v.t(0))
}
