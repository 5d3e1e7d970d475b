package main

import "fmt"

// columnKernels writes what sorts even and odd columns, which takes masks and
// permutations of two registers.
func columnKernels(f *file) {
	splitColumns(f)
	joinColumns(f)
	maxPool2(f)
	// The numbers of even and odd lanes of two registers.
	for _, s := range []struct {
		name  string
		first int
	}{{"even", 0}, {"odd", 1}} {
		for i := 0; i < 16; i += 2 {
			fmt.Fprintf(&f.body, "DATA %s<>+%d(SB)/8, $0x%08x%08x\n", s.name, 4*i, 2*(i+1)+s.first, 2*i+s.first)
		}
		fmt.Fprintf(&f.body, "GLOBL %s<>(SB), RODATA|NOPTR, $64\n", s.name)
	}
}

// splitColumns: even and odd elements of each row go to dst and dst2, which may
// be nil.
func splitColumns(f *file) {
	f.label = 0
	f.fn("splitColumns"+f.tag, "t", "columnArgs")
	arg := func(name string, i int) string { return field("columnArgs", name, i) }
	f.op("VMOVDQU32", "even<>(SB)", "Z30")
	f.op("VMOVDQU32", "odd<>(SB)", "Z31")
	f.op("MOVQ", arg("src", 0), "SI")
	f.op("MOVQ", arg("dst", 0), "BX")
	f.op("MOVQ", arg("dst2", 0), "R8")
	f.op("MOVQ", arg("rows", 0), "CX")
	for i := range 4 {
		f.op("KMOVW", arg("mask", i), fmt.Sprint("K", i+1))
	}
	f.op("TESTQ", "CX", "CX")
	f.op("JEQ", "done")
	f.at("row")
	f.op("MOVQ", "SI", "R10")
	f.op("MOVQ", "BX", "R11")
	f.op("MOVQ", "R8", "R12")
	f.op("MOVQ", arg("vectors", 0), "DX")
	f.op("TESTQ", "DX", "DX")
	f.op("JEQ", "tail")
	permute := func() {
		f.op("VMOVDQA32", "Z30", "Z2")
		f.op("VPERMI2PS", "Z1", "Z0", "Z2")
		f.op("VMOVDQA32", "Z31", "Z3")
		f.op("VPERMI2PS", "Z1", "Z0", "Z3")
	}
	f.at("loop")
	f.op("VMOVUPS", "(R10)", "Z0")
	f.op("VMOVUPS", "64(R10)", "Z1")
	permute()
	f.op("VMOVUPS", "Z2", "(R11)")
	f.op("TESTQ", "R8", "R8")
	f.op("JEQ", "next")
	f.op("VMOVUPS", "Z3", "(R12)")
	f.at("next")
	f.op("ADDQ", "$128", "R10")
	f.op("ADDQ", "$64", "R11")
	f.op("ADDQ", "$64", "R12")
	f.op("DECQ", "DX")
	f.op("JNE", "loop")
	f.at("tail")
	f.op("VMOVUPS.Z", "(R10)", "K1", "Z0")
	f.op("VMOVUPS.Z", "64(R10)", "K2", "Z1")
	permute()
	f.op("VMOVUPS", "Z2", "K3", "(R11)")
	f.op("TESTQ", "R8", "R8")
	f.op("JEQ", "line")
	f.op("VMOVUPS", "Z3", "K4", "(R12)")
	f.op("ADDQ", arg("dstStep", 0), "R8")
	f.at("line")
	f.op("ADDQ", arg("dstStep", 0), "BX")
	f.op("ADDQ", arg("srcStep", 0), "SI")
	f.op("DECQ", "CX")
	f.op("JNE", "row")
	f.at("done")
	f.end()
}

// joinColumns: each row of src goes to every second element of dst, or is added
// there.
func joinColumns(f *file) {
	f.label = 0
	f.fn("joinColumns"+f.tag, "t", "columnArgs")
	arg := func(name string) string { return field("columnArgs", name, 0) }
	f.op("MOVQ", arg("src"), "SI")
	f.op("MOVQ", arg("dst"), "BX")
	f.op("MOVQ", arg("rows"), "CX")
	f.op("MOVQ", arg("accumulate"), "R8")
	f.op("MOVL", "$0x5555", "AX")
	f.op("KMOVW", "AX", "K1")
	f.op("KMOVW", arg("mask"), "K2") // the same of the last vector
	f.op("TESTQ", "CX", "CX")
	f.op("JEQ", "done")
	step := func(mask, label string) {
		f.op("VEXPANDPS.Z", "(R10)", mask, "Z0")
		f.op("TESTQ", "R8", "R8")
		f.op("JEQ", label)
		f.op("VMOVUPS.Z", "(R11)", mask, "Z1")
		f.op("VADDPS", "Z1", "Z0", "Z0")
		f.at(label)
		f.op("VMOVUPS", "Z0", mask, "(R11)")
	}
	f.at("row")
	f.op("MOVQ", "SI", "R10")
	f.op("MOVQ", "BX", "R11")
	f.op("MOVQ", arg("vectors"), "DX")
	f.op("TESTQ", "DX", "DX")
	f.op("JEQ", "tail")
	f.at("loop")
	step("K1", "write")
	f.op("ADDQ", "$32", "R10")
	f.op("ADDQ", "$64", "R11")
	f.op("DECQ", "DX")
	f.op("JNE", "loop")
	f.at("tail")
	step("K2", "writeTail")
	f.op("ADDQ", arg("dstStep"), "BX")
	f.op("ADDQ", arg("srcStep"), "SI")
	f.op("DECQ", "CX")
	f.op("JNE", "row")
	f.at("done")
	f.end()
}

// maxPool2: the maximum of 2×2 pixels, and where it is: rows of dst and, if it is
// not nil, dst2, from pairs of rows of src.
func maxPool2(f *file) {
	f.label = 0
	f.fn("maxPool2"+f.tag, "t", "columnArgs")
	arg := func(name string, i int) string { return field("columnArgs", name, i) }
	f.op("VMOVDQU32", "even<>(SB)", "Z30")
	f.op("VMOVDQU32", "odd<>(SB)", "Z31")
	f.op("MOVQ", arg("src", 0), "SI")
	f.op("MOVQ", arg("dst", 0), "BX")
	f.op("MOVQ", arg("dst2", 0), "R8")
	f.op("MOVQ", arg("srcStep", 0), "R9") // of one row
	f.op("MOVQ", arg("rows", 0), "CX")
	f.op("XORQ", "R13", "R13")                       // index of the row's first pixel
	f.op("VPTERNLOGD", "$0xff", "Z29", "Z29", "Z29") // −1
	f.op("MOVQ", "R9", "AX")
	f.op("SHRQ", "$2", "AX")
	f.op("VPBROADCASTD", "AX", "Z28") // elements of a row
	for i := range 2 {
		f.op("KMOVW", arg("mask", i), fmt.Sprint("K", i+1))
	}
	f.op("KMOVW", arg("mask", 2), "K3")
	f.op("TESTQ", "CX", "CX")
	f.op("JEQ", "done")
	body := func(load func(mem string, half int, reg string), store func(reg, mem string), skip string) {
		load("(R10)", 0, "Z0")
		load("64(R10)", 1, "Z1")
		load("(R10)(R9*1)", 0, "Z2")
		load("64(R10)(R9*1)", 1, "Z3")
		// Z4 to Z7: the four pixels, in the order of rows.
		for i, row := range []int{0, 2} {
			for k, pick := range []string{"Z30", "Z31"} {
				to := fmt.Sprint("Z", 4+2*i+k)
				f.op("VMOVDQA32", pick, to)
				f.op("VPERMI2PS", fmt.Sprint("Z", row+1), fmt.Sprint("Z", row), to)
			}
		}
		f.op("VPBROADCASTD", "DX", "Z8")
		f.op("VPADDD", "Z30", "Z8", "Z8") // index of the first pixel
		f.op("VPSUBD", "Z29", "Z8", "Z9") // of the second
		f.op("VPADDD", "Z28", "Z8", "Z10")
		f.op("VPADDD", "Z28", "Z9", "Z11")
		for i := 1; i < 4; i++ {
			// Replace unless it is less or equal; but NaN stays.
			f.op("VCMPPS", "$0x16", "Z4", fmt.Sprint("Z", 4+i), "K4")
			f.op("VCMPPS", "$7", "Z4", "Z4", "K4", "K4")
			f.op("VMOVAPS", fmt.Sprint("Z", 4+i), "K4", "Z4")
			f.op("VMOVDQA32", fmt.Sprint("Z", 8+i), "K4", "Z8")
		}
		store("Z4", "(R11)")
		f.op("TESTQ", "R8", "R8")
		f.op("JEQ", skip)
		store("Z8", "(R12)")
		f.at(skip)
	}
	f.at("row")
	f.op("MOVQ", "SI", "R10")
	f.op("MOVQ", "BX", "R11")
	f.op("MOVQ", "R8", "R12")
	f.op("MOVQ", "R13", "DX")
	f.op("MOVQ", arg("vectors", 0), "R15")
	f.op("TESTQ", "R15", "R15")
	f.op("JEQ", "tail")
	f.at("loop")
	body(func(mem string, _ int, reg string) { f.op("VMOVUPS", mem, reg) },
		func(reg, mem string) { f.op("VMOVUPS", reg, mem) }, "next")
	f.op("ADDQ", "$128", "R10")
	f.op("ADDQ", "$64", "R11")
	f.op("ADDQ", "$64", "R12")
	f.op("ADDQ", "$32", "DX")
	f.op("DECQ", "R15")
	f.op("JNE", "loop")
	f.at("tail")
	body(func(mem string, half int, reg string) { f.op("VMOVUPS.Z", mem, fmt.Sprint("K", half+1), reg) },
		func(reg, mem string) { f.op("VMOVUPS", reg, "K3", mem) }, "line")
	f.op("ADDQ", arg("dstStep", 0), "BX")
	f.op("TESTQ", "R8", "R8")
	f.op("JEQ", "plain")
	f.op("ADDQ", arg("dstStep", 0), "R8")
	f.at("plain")
	f.op("LEAQ", "(SI)(R9*2)", "SI")
	f.op("MOVQ", "R9", "AX")
	f.op("SHRQ", "$1", "AX")
	f.op("ADDQ", "AX", "R13") // two rows of elements
	f.op("DECQ", "CX")
	f.op("JNE", "row")
	f.at("done")
	f.end()
}
