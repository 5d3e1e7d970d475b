package main

import "fmt"

// depthwise writes the convolution of one channel: no register is shared between
// output channels, so it takes four of pixels at a time, over a whole image.
func depthwise(f *file) {
	f.label = 0
	f.fn("depthwise"+f.tag, "t", "depthArgs")
	arg := func(name string) string { return field("depthArgs", name, 0) }
	in := []string{"R8", "R9", "R10", "R11"}
	k := func(i int) string { return fmt.Sprint("K", i+1) }
	f.op("MOVQ", arg("segments"), "SI")
	f.op("MOVQ", arg("count"), "CX")
	f.op("MOVQ", arg("flags"), "BX")
	f.op("VPXORD", "Z8", "Z8", "Z8")
	f.op("TESTQ", fmt.Sprint("$", flagRowBias), "BX")
	f.op("JEQ", "unbiased")
	f.op("MOVQ", arg("bias"), "DX")
	f.op("VBROADCASTSS", "(DX)", "Z8")
	f.at("unbiased")
	f.op("VBROADCASTSS", arg("lo"), "Z9")
	f.op("VBROADCASTSS", arg("hi"), "Z10")
	f.op("TESTQ", "CX", "CX")
	f.op("JEQ", "done")
	f.at("group")
	f.op("MOVQ", arg("image"), "DX")
	for i, reg := range in {
		f.op("MOVQ", disp(24*i, "SI"), reg)
		f.op("ADDQ", "DX", reg)
		f.op("KMOVW", disp(24*i+16, "SI"), k(i))
		f.op("VMOVAPS", "Z8", f.r(i))
	}
	f.op("MOVQ", arg("w"), "R12")
	f.op("MOVQ", arg("off"), "R13")
	f.op("MOVQ", arg("k"), "AX")
	f.at("tap")
	f.op("MOVQ", "(R13)", "DX")
	f.op("VBROADCASTSS", "(R12)", "Z4")
	for i, reg := range in {
		f.op("VFMADD231PS", "("+reg+")(DX*1)", "Z4", k(i), f.r(i))
	}
	f.op("ADDQ", "$8", "R13")
	f.op("ADDQ", "$4", "R12")
	f.op("DECQ", "AX")
	f.op("JNE", "tap")
	add := func(flag int, base, skip string) {
		f.op("TESTQ", fmt.Sprint("$", flag), "BX")
		f.op("JEQ", skip)
		f.op("MOVQ", arg(base), "DX")
		for i := range in {
			f.op("MOVQ", disp(24*i+8, "SI"), "R12")
			f.op("VADDPS", "(DX)(R12*1)", f.r(i), k(i), f.r(i))
		}
		f.at(skip)
	}
	add(flagAccumulate, "c", "fresh")
	add(flagResidual, "res", "alone")
	f.op("TESTQ", fmt.Sprint("$", flagClamp), "BX")
	f.op("JEQ", "store")
	for i := range in {
		f.op("VMAXPS", f.r(i), "Z9", f.r(i))
		f.op("VMINPS", f.r(i), "Z10", f.r(i))
	}
	f.at("store")
	f.op("MOVQ", arg("c"), "DX")
	for i := range in {
		f.op("MOVQ", disp(24*i+8, "SI"), "R12")
		f.op("VMOVUPS", f.r(i), k(i), "(DX)(R12*1)")
	}
	f.op("ADDQ", "$96", "SI")
	f.op("DECQ", "CX")
	f.op("JNE", "group")
	f.at("done")
	f.end()
}
