package main

import "fmt"

// The loops of Hats for registers of eight lanes: what a bin has is in two of them, and
// so are the cells of a block of four weights. There are no masks: elements that fill no
// register are left to Go.

// wholeLoop runs body for each register of CX elements that is full, and moves pointers.
func wholeLoop(f *file, body func(), pointers ...string) {
	f.op("SHRQ", "$3", "CX")
	f.op("JEQ", "done")
	f.op("PCALIGN", "$32")
	f.at("loop")
	body()
	for _, p := range pointers {
		f.op("ADDQ", "$32", p)
	}
	f.op("DECQ", "CX")
	f.op("JNE", "loop")
	f.at("done")
}

// lookUp sets dst to what the bins in Y1 have. Bins of eight and more have the sign bit
// in Y15. It uses Y14.
func lookUp(f *file, name, dst string) {
	f.op("VPERMPS", fmt.Sprintf("(hatArgs_%s+0)(DI)", name), "Y1", dst)
	f.op("VPERMPS", fmt.Sprintf("(hatArgs_%s+32)(DI)", name), "Y1", "Y14")
	f.op("VBLENDVPS", "Y15", "Y14", dst, dst)
}

func locateHalf(f *file) {
	f.label = 0
	f.fn("locate"+f.tag, "t", "hatArgs")
	f.hatArgs("w", "SI", "bins", "BX", "shares", "R8", "n", "CX", "inner", "R9")
	f.op("LEAQ", "(hatArgs_at+4)(DI)", "R10")
	for i, bits := range []string{"$0x21800000", "$0x3f7fffff"} { // 2^-60, the last number below 1
		f.op("MOVL", bits, "AX")
		f.op("VMOVD", "AX", fmt.Sprint("X", 5+i))
		f.op("VPBROADCASTD", fmt.Sprint("X", 5+i), fmt.Sprint("Y", 5+i))
	}
	f.op("XORL", "R13", "R13")
	wholeLoop(f, func() {
		f.op("VMOVUPS", "(SI)", "Y0")
		f.op("VPXOR", "Y1", "Y1", "Y1")
		f.op("MOVQ", "R10", "R12")
		f.op("MOVQ", "R9", "DX")
		f.op("TESTQ", "DX", "DX")
		f.op("JEQ", "found")
		f.at("compare")
		f.op("VBROADCASTSS", "(R12)", "Y2")
		f.op("VCMPPS", "$13", "Y2", "Y0", "Y2") // all bits, which are −1, if not below
		f.op("VPSUBD", "Y2", "Y1", "Y1")
		f.op("ADDQ", "$4", "R12")
		f.op("DECQ", "DX")
		f.op("JNE", "compare")
		f.at("found")
		f.op("VPSLLD", "$28", "Y1", "Y15")
		lookUp(f, "at", "Y2")
		lookUp(f, "inverse", "Y3")
		f.op("VSUBPS", "Y2", "Y0", "Y2")
		f.op("VMULPS", "Y3", "Y2", "Y2")
		f.op("VCMPPS", "$13", "Y5", "Y2", "Y3") // not less
		f.op("VANDPS", "Y3", "Y2", "Y2")
		f.op("VMOVMSKPS", "Y3", "AX")
		f.op("XORL", "$255", "AX")
		f.op("ORL", "AX", "R13")
		f.op("VMINPS", "Y6", "Y2", "Y2")
		f.op("VMOVDQU", "Y1", "(BX)")
		f.op("VMOVUPS", "Y2", "(R8)")
	}, "SI", "BX", "R8")
	f.op("XORL", "AX", "AX")
	f.op("TESTL", "R13", "R13")
	f.op("SETNE", "AX")
	f.op("MOVQ", "AX", hatArg("zero"))
	f.end()
}

func hatPullHalf(f *file) {
	f.label = 0
	f.fn("hatPull"+f.tag, "t", "hatArgs")
	f.hatArgs("w", "SI", "bins", "BX", "slopes", "R8", "dst", "R9", "n", "CX")
	f.op("VBROADCASTSS", hatArg("pull"), "Y12")
	f.op("VXORPS", "Y13", "Y13", "Y13")
	wholeLoop(f, func() {
		f.op("VMOVUPS", "(SI)", "Y0")
		f.op("VMOVDQU", "(BX)", "Y1")
		f.op("VPSLLD", "$28", "Y1", "Y15")
		for i, name := range []string{"factor", "split", "low", "high"} {
			lookUp(f, name, f.r(2+i))
		}
		f.op("VCMPPS", "$14", "Y3", "Y0", "Y3") // above the split
		f.op("VBLENDVPS", "Y3", "Y5", "Y4", "Y4")
		f.op("VSUBPS", "Y4", "Y0", "Y0")
		f.op("VFMADD231PS", "Y0", "Y0", "Y13")
		f.op("VMULPS", "Y12", "Y0", "Y0")
		f.op("VMOVUPS", "(R8)", "Y1")
		f.op("VFMADD231PS", "Y2", "Y1", "Y0")
		f.op("VMOVUPS", "Y0", "(R9)")
	}, "SI", "BX", "R8", "R9")
	f.op("VEXTRACTF128", "$1", "Y13", "X1")
	f.sumHalves("X13")
	f.op("VMOVSS", "X0", hatArg("squares"))
	f.end()
}

// scatterHalves: the cells of the lower choice of the first weight, then the others.
func scatterHalves(f *file) {
	f.label = 0
	f.fn(fmt.Sprint("scatter", mostBlock)+f.tag, "t", "hatArgs")
	blockLoop(f, mostBlock, false, func() {
		f.op("VMULPS", "Y2", "Y1", "Y1")
		f.op("VMULPS", "Y3", "Y1", "Y1")
		f.op("VMULPS", "Y0", "Y1", "Y2")
		f.op("VSUBPS", "Y2", "Y1", "Y1")
		for half, r := range []string{"Y1", "Y2"} {
			at := fmt.Sprintf("%d(BX)(AX*1)", 32*half)
			f.op("VADDPS", at, r, r)
			f.op("VMOVUPS", r, at)
		}
	})
	f.end()
}

// slopesHalves: the first weight decides between the halves, so it is taken out, and what
// is left is a block of three.
func slopesHalves(f *file) {
	f.label = 0
	f.fn(fmt.Sprint("slopes", mostBlock)+f.tag, "t", "hatArgs")
	blockLoop(f, mostBlock, true, func() {
		f.op("VMOVUPS", "(BX)(AX*1)", "Y4")
		f.op("VMOVUPS", "32(BX)(AX*1)", "Y5")
		f.op("VSUBPS", "Y4", "Y5", "Y5")
		f.op("VFMADD213PS", "Y4", "Y5", "Y0") // the numbers without the first weight
		f.op("VMULPS", "Y2", "Y1", "Y4")      // of both before the last
		f.op("VMULPS", "Y3", "Y5", "Y5")
		f.op("VMULPS", "Y4", "Y5", "Y5") // slope of the first
		f.op("VMULPS", "Y0", "Y4", "Y4") // of the last
		f.op("VMULPS", "Y3", "Y0", "Y0")
		f.op("VMULPS", "Y0", "Y1", "Y1") // of the third
		f.op("VMULPS", "Y0", "Y2", "Y2") // of the second
		for m, r := range []string{1: "Y2", 2: "Y1", 3: "Y4"} {
			if m > 0 {
				f.op("VMULPS", f.r(8+m), r, r)
			}
		}
		pairs := func(a, b, dst string) {
			f.op("VUNPCKLPS", b, a, "Y0")
			f.op("VUNPCKHPS", b, a, dst)
			f.op("VADDPS", "Y0", dst, dst)
		}
		pairs("Y5", "Y2", "Y6")
		pairs("Y1", "Y4", "Y7")
		f.op("VUNPCKLPD", "Y7", "Y6", "Y1")
		f.op("VUNPCKHPD", "Y7", "Y6", "Y0")
		f.op("VADDPS", "Y1", "Y0", "Y0")
		f.op("VEXTRACTF128", "$1", "Y0", "X1")
		f.op("VADDPS", "X1", "X0", "X0")
		f.op("VMOVUPS", "X0", "(R10)")
	})
	f.end()
}
