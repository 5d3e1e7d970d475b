package main

import "fmt"

// mostBlock is MaxBlock of package kernel.
const mostBlock = 4

// hats writes the loops of Hats.
func hats(f *file) {
	if f.masks {
		locate(f)
		hatPull(f)
	} else {
		locateHalf(f)
		hatPullHalf(f)
	}
	for n := 2; n <= mostBlock; n++ {
		if n == mostBlock && !f.masks {
			scatterHalves(f)
			slopesHalves(f)
			continue
		}
		scatter(f, n)
		slopes(f, n)
		// What a weight's share is multiplied by in each lane, and what is added: that
		// makes 1−u or u.
		for m := range n {
			for i := 0; i < 1<<n; i += 2 {
				var sign, one [2]uint32
				for k := range 2 {
					sign[k], one[k] = 0xbf800000, 0x3f800000 // −1 and 1
					if (i+k)>>(n-1-m)&1 == 1 {
						sign[k], one[k] = 0x3f800000, 0
					}
				}
				fmt.Fprintf(&f.body, "DATA %s<>+%d(SB)/8, $0x%08x%08x\n", signOf(n, m), 4*i, sign[1], sign[0])
				fmt.Fprintf(&f.body, "DATA %s<>+%d(SB)/8, $0x%08x%08x\n", oneOf(n, m), 4*i, one[1], one[0])
			}
			fmt.Fprintf(&f.body, "GLOBL %s<>(SB), RODATA|NOPTR, $%d\n", signOf(n, m), 4<<n)
			fmt.Fprintf(&f.body, "GLOBL %s<>(SB), RODATA|NOPTR, $%d\n", oneOf(n, m), 4<<n)
		}
	}
	for _, name := range []string{"scatter", "slopes"} {
		fmt.Fprintf(&f.decls, "\nvar %s%s = [MaxBlock + 1]func(*hatArgs){\n", name, f.tag)
		for n := 2; n <= mostBlock; n++ {
			fmt.Fprintf(&f.decls, "\t%d: %s%d%s,\n", n, name, n, f.tag)
		}
		f.decls.WriteString("}\n")
	}
}

func signOf(n, m int) string { return fmt.Sprintf("sign%d%d", n, m) }
func oneOf(n, m int) string  { return fmt.Sprintf("one%d%d", n, m) }

func hatArg(name string) string { return field("hatArgs", name, 0) }

// hatArgs loads arguments: each name is followed by its register.
func (f *file) hatArgs(pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		f.op("MOVQ", hatArg(pairs[i]), pairs[i+1])
	}
}

// sumHalves adds up the lanes of X1 and of another register in X0.
func (f *file) sumHalves(other string) {
	f.op("VADDPS", "X1", other, "X0")
	f.op("VSHUFPS", "$0xee", "X0", "X0", "X1")
	f.op("VADDPS", "X1", "X0", "X0")
	f.op("VSHUFPS", "$0x55", "X0", "X0", "X1")
	f.op("VADDPS", "X1", "X0", "X0")
}

// vectorLoop runs body for each register of CX elements, with the lanes that there are
// in K1. next moves the pointers.
func vectorLoop(f *file, body, next func()) {
	f.op("KXNORW", "K1", "K1", "K1")
	f.op("SUBQ", "$16", "CX")
	f.op("JLT", "last")
	f.op("PCALIGN", "$32")
	f.at("loop")
	body()
	next()
	f.op("SUBQ", "$16", "CX")
	f.op("JGE", "loop")
	f.at("last")
	f.op("ADDQ", "$16", "CX")
	f.op("JEQ", "done")
	f.op("MOVL", "$1", "AX")
	f.op("SHLL", "CX", "AX")
	f.op("DECL", "AX")
	f.op("KMOVW", "AX", "K1")
	f.label++
	body()
	f.at("done")
}

// locate: the bin of a weight is the number of inner centers that are not above it.
func locate(f *file) {
	f.label = 0
	f.fn("locate"+f.tag, "t", "hatArgs")
	f.hatArgs("w", "SI", "bins", "BX", "shares", "R8", "n", "CX", "inner", "R9")
	f.op("LEAQ", "(hatArgs_at+4)(DI)", "R10")
	f.op("VMOVUPS", hatArg("at"), "Z16")
	f.op("VMOVUPS", hatArg("inverse"), "Z17")
	f.op("MOVL", "$1", "AX")
	f.op("VPBROADCASTD", "AX", "Z18")
	f.op("MOVL", "$0x21800000", "AX") // 2^-60
	f.op("VPBROADCASTD", "AX", "Z19")
	f.op("MOVL", "$0x3f7fffff", "AX") // the last number below 1
	f.op("VPBROADCASTD", "AX", "Z20")
	f.op("XORL", "R13", "R13")
	vectorLoop(f, func() {
		compare, found := fmt.Sprint("compare", f.label), fmt.Sprint("found", f.label)
		f.op("VMOVUPS.Z", "(SI)", "K1", "Z0")
		f.op("VPXORD", "Z1", "Z1", "Z1")
		f.op("MOVQ", "R10", "R12")
		f.op("MOVQ", "R9", "DX")
		f.op("TESTQ", "DX", "DX")
		f.op("JEQ", found)
		f.at(compare)
		f.op("VCMPPS.BCST", "$13", "(R12)", "Z0", "K2")
		f.op("VPADDD", "Z18", "Z1", "K2", "Z1")
		f.op("ADDQ", "$4", "R12")
		f.op("DECQ", "DX")
		f.op("JNE", compare)
		f.at(found)
		f.op("VPERMPS", "Z16", "Z1", "Z2")
		f.op("VPERMPS", "Z17", "Z1", "Z3")
		f.op("VSUBPS", "Z2", "Z0", "Z2")
		f.op("VMULPS", "Z3", "Z2", "Z2")
		f.op("VCMPPS", "$13", "Z19", "Z2", "K2") // not less
		f.op("VMOVAPS.Z", "Z2", "K2", "Z2")
		f.op("KANDNW", "K1", "K2", "K2")
		f.op("KMOVW", "K2", "AX")
		f.op("ORL", "AX", "R13")
		f.op("VMINPS", "Z20", "Z2", "Z2")
		f.op("VMOVDQU32", "Z1", "(BX)")
		f.op("VMOVUPS", "Z2", "(R8)")
	}, func() {
		for _, p := range []string{"SI", "BX", "R8"} {
			f.op("ADDQ", "$64", p)
		}
	})
	f.op("XORL", "AX", "AX")
	f.op("TESTL", "R13", "R13")
	f.op("SETNE", "AX")
	f.op("MOVQ", "AX", hatArg("zero"))
	f.end()
}

// hatPull: what a bin has is looked up by permutations.
func hatPull(f *file) {
	f.label = 0
	f.fn("hatPull"+f.tag, "t", "hatArgs")
	f.hatArgs("w", "SI", "bins", "BX", "slopes", "R8", "dst", "R9", "n", "CX")
	for i, name := range []string{"factor", "split", "low", "high"} {
		f.op("VMOVUPS", hatArg(name), f.r(16+i))
	}
	f.op("VBROADCASTSS", hatArg("pull"), "Z20")
	f.op("VPXORD", "Z21", "Z21", "Z21")
	vectorLoop(f, func() {
		f.op("VMOVUPS.Z", "(SI)", "K1", "Z0")
		f.op("VMOVDQU32.Z", "(BX)", "K1", "Z1")
		for i := range 4 {
			f.op("VPERMPS", f.r(16+i), "Z1", f.r(2+i))
		}
		f.op("VCMPPS", "$14", "Z3", "Z0", "K2") // above the split
		f.op("VMOVAPS", "Z5", "K2", "Z4")
		f.op("VSUBPS", "Z4", "Z0", "Z0")
		f.op("VFMADD231PS", "Z0", "Z0", "K1", "Z21")
		f.op("VMULPS", "Z20", "Z0", "Z0")
		f.op("VMOVUPS.Z", "(R8)", "K1", "Z1")
		f.op("VFMADD231PS", "Z2", "Z1", "Z0")
		f.op("VMOVUPS", "Z0", "K1", "(R9)")
	}, func() {
		for _, p := range []string{"SI", "BX", "R8", "R9"} {
			f.op("ADDQ", "$64", p)
		}
	})
	f.op("VEXTRACTF32X8", "$1", "Z21", "Y0")
	f.op("VADDPS", "Y0", "Y21", "Y0")
	f.op("VEXTRACTF128", "$1", "Y0", "X1")
	f.sumHalves("X0")
	f.op("VMOVSS", "X0", hatArg("squares"))
	f.end()
}

// lanesOf names a register that has the cells of a block of n weights, or half of them
// if there is no such register.
func (f *file) lanesOf(n, i int) string {
	return fmt.Sprint([]string{2: "X", 3: "Y", 4: f.reg}[n], i)
}

// factorsAt is the first weight of a block of n whose factor is different from lane to
// lane. That of those before it is their share, or one less it, in a whole register.
func (f *file) factorsAt(n int) int {
	if n == mostBlock && !f.masks {
		return 1
	}
	return 0
}

// blockLoop runs body for each block of n weights, with the factors of the weights in
// registers 0 and up (of those before [file.factorsAt] the shares), and the place in the
// table in AX.
func blockLoop(f *file, n int, slopes bool, body func()) {
	f.hatArgs("bins", "SI", "shares", "R8", "table", "BX", "n", "CX", "radix", "R9")
	if slopes {
		f.op("MOVQ", hatArg("slopes"), "R10")
	}
	first := f.factorsAt(n)
	for m := first; m < n; m++ {
		f.op("VMOVUPS", signOf(n-first, m-first)+"<>(SB)", f.lanesOf(n, 8+m))
		f.op("VMOVUPS", oneOf(n-first, m-first)+"<>(SB)", f.lanesOf(n, 12+m))
	}
	f.op("TESTQ", "CX", "CX")
	f.op("JEQ", "done")
	f.op("PCALIGN", "$32")
	f.at("loop")
	f.op("MOVL", "(SI)", "AX")
	for m := 1; m < n; m++ {
		f.op("IMULQ", "R9", "AX")
		f.op("MOVL", disp(4*m, "SI"), "DX")
		f.op("ADDQ", "DX", "AX")
	}
	f.op("SHLQ", fmt.Sprint("$", n+2), "AX")
	for m := range n {
		f.op("VBROADCASTSS", disp(4*m, "R8"), f.lanesOf(n, m))
		if m >= first {
			f.op("VFMADD213PS", f.lanesOf(n, 12+m), f.lanesOf(n, 8+m), f.lanesOf(n, m))
		}
	}
	body()
	f.op("ADDQ", fmt.Sprint("$", 4*n), "SI")
	f.op("ADDQ", fmt.Sprint("$", 4*n), "R8")
	if slopes {
		f.op("ADDQ", fmt.Sprint("$", 4*n), "R10")
	}
	f.op("DECQ", "CX")
	f.op("JNE", "loop")
	f.at("done")
}

func scatter(f *file, n int) {
	f.label = 0
	f.fn(fmt.Sprint("scatter", n)+f.tag, "t", "hatArgs")
	r := func(i int) string { return f.lanesOf(n, i) }
	blockLoop(f, n, false, func() {
		last := r(1)
		switch n {
		case 3:
			f.op("VMULPS", r(1), r(0), r(0))
			last = r(2)
		case 4:
			f.op("VMULPS", r(1), r(0), r(0))
			f.op("VMULPS", r(3), r(2), r(2))
			last = r(2)
		}
		f.op("VFMADD213PS", "(BX)(AX*1)", last, r(0))
		f.op("VMOVUPS", r(0), "(BX)(AX*1)")
	})
	f.end()
}

// slopes: the derivative by a share is the sum of the numbers, times the factors of
// the other weights, with the sign of its own.
func slopes(f *file, n int) {
	f.label = 0
	f.fn(fmt.Sprint("slopes", n)+f.tag, "t", "hatArgs")
	r := func(i int) string { return f.lanesOf(n, i) }
	blockLoop(f, n, true, func() {
		f.op("VMOVUPS", "(BX)(AX*1)", r(7))
		// Registers 4 to 7: a term for each weight.
		switch n {
		case 2:
			f.op("VMULPS", r(1), r(7), r(4))
			f.op("VMULPS", r(0), r(7), r(5))
		case 3:
			f.op("VMULPS", r(0), r(7), r(3))
			f.op("VMULPS", r(1), r(2), r(4))
			f.op("VMULPS", r(7), r(4), r(4))
			f.op("VMULPS", r(2), r(3), r(5))
			f.op("VMULPS", r(1), r(3), r(6))
		case 4:
			f.op("VMULPS", r(3), r(2), r(4))
			f.op("VMULPS", r(7), r(4), r(4)) // without the first two
			f.op("VMULPS", r(1), r(0), r(6))
			f.op("VMULPS", r(7), r(6), r(6)) // without the last two
			f.op("VMULPS", r(0), r(4), r(5))
			f.op("VMULPS", r(1), r(4), r(4))
			f.op("VMULPS", r(2), r(6), r(7))
			f.op("VMULPS", r(3), r(6), r(6))
		}
		for m := range n {
			f.op("VMULPS", r(8+m), r(4+m), r(4+m))
		}
		if n == 3 {
			f.op("VXORPS", r(7), r(7), r(7))
		}
		pairs := func(a, b, dst int) {
			f.op("VUNPCKLPS", r(b), r(a), r(1))
			f.op("VUNPCKHPS", r(b), r(a), r(dst))
			f.op("VADDPS", r(1), r(dst), r(dst))
		}
		pairs(4, 5, 2)
		if n == 2 {
			f.op("VSHUFPS", "$0xee", r(2), r(2), r(1))
			f.op("VADDPS", r(1), r(2), r(0))
		} else {
			pairs(6, 7, 3)
			f.op("VUNPCKLPD", r(3), r(2), r(1))
			f.op("VUNPCKHPD", r(3), r(2), r(0))
			f.op("VADDPS", r(1), r(0), r(0))
		}
		if n == 4 {
			f.op("VEXTRACTF32X8", "$1", "Z0", "Y1")
			f.op("VADDPS", "Y1", "Y0", "Y0")
		}
		if n >= 3 {
			f.op("VEXTRACTF128", "$1", "Y0", "X1")
			f.op("VADDPS", "X1", "X0", "X0")
		}
		f.op("VMOVUPS", "X0", "(R10)")
	})
	f.end()
}
