package main

import "fmt"

// copies writes the kernels that bring operands into order.
func copies(f *file) {
	rowsCopy(f)
	packRows(f)
	transpose(f)
	widen(f)
}

// packRows: each row of dst, which has two registers, becomes the elements of src
// in the masks, and zeros.
func packRows(f *file) {
	f.label = 0
	f.fn("packRows"+f.tag, "t", "copyArgs")
	arg := func(name string, i int) string { return field("copyArgs", name, i) }
	f.op("MOVQ", arg("dst", 0), "BX")
	f.op("MOVQ", arg("src", 0), "SI")
	f.op("MOVQ", arg("rows", 0), "CX")
	f.op("MOVQ", arg("srcStep", 0), "R9")
	if f.masks {
		f.op("KMOVW", arg("mask", 0), "K1")
		f.op("KMOVW", arg("mask", 1), "K2")
	} else {
		f.op("VMOVDQU", arg("lanes", 0), "Y2")
		f.op("VMOVDQU", arg("lanes", 4), "Y3")
	}
	f.op("TESTQ", "CX", "CX")
	f.op("JEQ", "done")
	f.at("row")
	for v := range 2 {
		if f.masks {
			f.op("VMOVUPS.Z", disp(v*f.bytes, "SI"), fmt.Sprint("K", v+1), f.r(v))
		} else {
			f.op("VMASKMOVPS", disp(v*f.bytes, "SI"), fmt.Sprint("Y", v+2), f.r(v))
		}
	}
	for v := range 2 {
		f.op("VMOVUPS", f.r(v), disp(v*f.bytes, "BX"))
	}
	f.op("ADDQ", fmt.Sprint("$", 2*f.bytes), "BX")
	f.op("ADDQ", "R9", "SI")
	f.op("DECQ", "CX")
	f.op("JNE", "row")
	f.at("done")
	f.end()
}

// rowsCopy: each row of dst becomes up to a register of zeros, width elements of
// src, and at least a register of zeros, at most two.
func rowsCopy(f *file) {
	f.label = 0
	f.fn("copyRows"+f.tag, "t", "copyArgs")
	arg := func(name string) string { return field("copyArgs", name, 0) }
	f.op("MOVQ", arg("dst"), "BX")
	f.op("MOVQ", arg("src"), "SI")
	f.op("MOVQ", arg("rows"), "CX")
	f.op("MOVQ", arg("dstStep"), "R8")
	f.op("MOVQ", arg("srcStep"), "R9")
	f.op("MOVQ", arg("left"), "R10") // bytes
	f.op("MOVQ", arg("vectors"), "R11")
	if f.masks {
		f.op("KMOVW", arg("mask"), "K1")
	} else {
		f.op("VMOVDQU", arg("lanes"), "Y2")
	}
	f.zero(0)
	f.op("TESTQ", "CX", "CX")
	f.op("JEQ", "done")
	f.op("CMPQ", arg("single"), "$0")
	f.op("JEQ", "row")
	// A register is a row, zeros included: the mask leaves out what src has there.
	f.op("SUBQ", "R10", "SI")
	f.at("short")
	if f.masks {
		f.op("VMOVUPS.Z", "(SI)", "K1", f.r(1))
	} else {
		f.op("VMASKMOVPS", "(SI)", "Y2", "Y1")
	}
	f.op("VMOVUPS", f.r(1), "(BX)")
	f.op("ADDQ", "R8", "BX")
	f.op("ADDQ", "R9", "SI")
	f.op("DECQ", "CX")
	f.op("JNE", "short")
	f.op("JMP", "done")
	f.at("row")
	f.op("VMOVUPS", f.r(0), "(BX)")
	f.op("LEAQ", "(BX)(R10*1)", "R12")
	f.op("MOVQ", "SI", "R13")
	f.op("MOVQ", "R11", "DX")
	f.op("TESTQ", "DX", "DX")
	f.op("JEQ", "tail")
	f.at("loop")
	f.op("VMOVUPS", "(R13)", f.r(1))
	f.op("VMOVUPS", f.r(1), "(R12)")
	f.op("ADDQ", fmt.Sprint("$", f.bytes), "R13")
	f.op("ADDQ", fmt.Sprint("$", f.bytes), "R12")
	f.op("DECQ", "DX")
	f.op("JNE", "loop")
	f.at("tail")
	// What is not in the mask becomes zero.
	if f.masks {
		f.op("VMOVUPS.Z", "(R13)", "K1", f.r(1))
	} else {
		f.op("VMASKMOVPS", "(R13)", "Y2", "Y1")
	}
	f.op("VMOVUPS", f.r(1), "(R12)")
	f.op("VMOVUPS", f.r(0), disp(f.bytes, "R12"))
	f.op("ADDQ", "R8", "BX")
	f.op("ADDQ", "R9", "SI")
	f.op("DECQ", "CX")
	f.op("JNE", "row")
	f.at("done")
	f.end()
}

// transpose: dst[k][r] = src[r][k] for up to lanes rows and a multiple of lanes
// steps k. A whole register is stored for each k, in ascending order.
func transpose(f *file) {
	f.label = 0
	f.fn("transpose"+f.tag, "t", "copyArgs")
	arg := func(name string) string { return field("copyArgs", name, 0) }
	n := f.lanes
	f.op("MOVQ", arg("dst"), "BX")
	f.op("MOVQ", arg("src"), "SI")
	f.op("MOVQ", arg("vectors"), "CX")
	f.op("MOVQ", arg("dstStep"), "R8")
	f.op("MOVQ", arg("srcStep"), "R9")
	f.op("TESTQ", "CX", "CX")
	f.op("JEQ", "done")
	f.at("loop")
	f.op("MOVQ", arg("rows"), "DX")
	f.op("MOVQ", "SI", "R13")
	// Rows that are not there stay what they were: they are not used.
	for r := range n {
		f.op("VMOVUPS", "(R13)", f.r(r))
		f.op("DECQ", "DX")
		f.op("JEQ", "loaded")
		if r < n-1 {
			f.op("ADDQ", "R9", "R13")
		}
	}
	f.at("loaded")
	if n == 16 {
		transpose16(f)
	} else {
		transpose8(f)
	}
	f.op("ADDQ", fmt.Sprint("$", f.bytes), "SI")
	f.op("DECQ", "CX")
	f.op("JNE", "loop")
	f.at("done")
	f.end()
}

// transpose16 exchanges within four registers, then blocks of four lanes between
// registers.
func transpose16(f *file) {
	z := func(i int) string { return fmt.Sprint("Z", i) }
	for q := 0; q < 16; q += 4 {
		f.op("VUNPCKLPS", z(q+1), z(q), z(16))
		f.op("VUNPCKHPS", z(q+1), z(q), z(17))
		f.op("VUNPCKLPS", z(q+3), z(q+2), z(18))
		f.op("VUNPCKHPS", z(q+3), z(q+2), z(19))
		f.op("VUNPCKLPD", z(18), z(16), z(q))
		f.op("VUNPCKHPD", z(18), z(16), z(q+1))
		f.op("VUNPCKLPD", z(19), z(17), z(q+2))
		f.op("VUNPCKHPD", z(19), z(17), z(q+3))
	}
	// Register 4q+i holds, in block b, column 4b+i of rows 4q to 4q+3.
	for i := range 4 {
		f.op("VSHUFF32X4", "$0x88", z(4+i), z(i), z(16+i))    // blocks 0, 2 of rows 0..7
		f.op("VSHUFF32X4", "$0xdd", z(4+i), z(i), z(20+i))    // blocks 1, 3
		f.op("VSHUFF32X4", "$0x88", z(12+i), z(8+i), z(24+i)) // rows 8..15
		f.op("VSHUFF32X4", "$0xdd", z(12+i), z(8+i), z(28+i))
	}
	store := func(from int) {
		f.op("VMOVUPS", z(from), "(BX)")
		f.op("ADDQ", "R8", "BX")
	}
	for block := range 4 {
		for i := range 4 {
			lo, hi := 16+i, 24+i
			if block%2 == 1 {
				lo, hi = 20+i, 28+i
			}
			pick := "$0x88"
			if block >= 2 {
				pick = "$0xdd"
			}
			f.op("VSHUFF32X4", pick, z(hi), z(lo), z(i))
			store(i)
		}
	}
}

func transpose8(f *file) {
	y := func(i int) string { return fmt.Sprint("Y", i) }
	for q := 0; q < 8; q += 4 {
		f.op("VUNPCKLPS", y(q+1), y(q), y(8))
		f.op("VUNPCKHPS", y(q+1), y(q), y(9))
		f.op("VUNPCKLPS", y(q+3), y(q+2), y(10))
		f.op("VUNPCKHPS", y(q+3), y(q+2), y(11))
		f.op("VUNPCKLPD", y(10), y(8), y(q))
		f.op("VUNPCKHPD", y(10), y(8), y(q+1))
		f.op("VUNPCKLPD", y(11), y(9), y(q+2))
		f.op("VUNPCKHPD", y(11), y(9), y(q+3))
	}
	for _, pick := range []string{"$0x20", "$0x31"} {
		for i := range 4 {
			f.op("VPERM2F128", pick, y(4+i), y(i), y(8))
			f.op("VMOVUPS", y(8), "(BX)")
			f.op("ADDQ", "R8", "BX")
		}
	}
}

// widen: dst becomes the bfloat16s of src, as many registers as there are vectors.
func widen(f *file) {
	f.label = 0
	f.fn("widen"+f.tag, "t", "copyArgs")
	arg := func(name string) string { return field("copyArgs", name, 0) }
	f.op("MOVQ", arg("dst"), "BX")
	f.op("MOVQ", arg("src"), "SI")
	f.op("MOVQ", arg("vectors"), "CX")
	f.op("TESTQ", "CX", "CX")
	f.op("JEQ", "done")
	f.at("loop")
	f.op("VPMOVZXWD", "(SI)", f.r(0))
	f.op("VPSLLD", "$16", f.r(0), f.r(0))
	f.op("VMOVUPS", f.r(0), "(BX)")
	f.op("ADDQ", fmt.Sprint("$", f.bytes/2), "SI")
	f.op("ADDQ", fmt.Sprint("$", f.bytes), "BX")
	f.op("DECQ", "CX")
	f.op("JNE", "loop")
	f.at("done")
	f.end()
}
