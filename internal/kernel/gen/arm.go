package main

import (
	"fmt"
	"strings"
)

// neon has 32 registers of 4 lanes. Go's assembler lacks most of its arithmetic, so
// that is written as words.
var neon = machine{name: "neon", tag: "NEON", reg: "V", bytes: 16, lanes: 4, arm: true, mr: 12, dotRows: 4, dotCols: 6}

// The words of instructions on four floats or integers; registers are to be added.
const (
	armADD    = 0x4e20d400 // FADD
	armSUB    = 0x4ea0d400
	armMUL    = 0x6e20dc00
	armDIV    = 0x6e20fc00
	armMAX    = 0x4e20f400
	armMIN    = 0x4ea0f400
	armMLA    = 0x4e20cc00
	armMLS    = 0x4ea0cc00
	armADDP   = 0x6e20d400 // of neighbours
	armMAXP   = 0x6e20f400
	armGT     = 0x6ea0e400
	armBSL    = 0x6e601c00
	armAND    = 0x4e201c00
	armORR    = 0x4ea01c00
	armIADD   = 0x4ea08400
	armISUB   = 0x6ea08400
	armNEG    = 0x6ea0f800
	armSQRT   = 0x6ea1f800
	armROUND  = 0x4e218800 // FRINTN
	armTOINT  = 0x4e21a800 // FCVTNS
	armSHL23  = 0x4f375400
	armSSHR1  = 0x4f3f0400
	armMOVREG = 0x4ea01c00 // ORR with itself
)

var armNames = map[int]string{
	armADD: "fadd", armSUB: "fsub", armMUL: "fmul", armDIV: "fdiv", armMAX: "fmax", armMIN: "fmin", armMLA: "fmla",
	armMLS: "fmls", armADDP: "faddp", armMAXP: "fmaxp", armGT: "fcmgt", armBSL: "bsl", armAND: "and", armORR: "orr",
	armIADD: "add", armISUB: "sub", armNEG: "fneg", armSQRT: "fsqrt", armROUND: "frintn", armTOINT: "fcvtns",
	armSHL23: "shl 23", armSSHR1: "sshr 1",
}

// arm3 writes an instruction with two operands, and arm2 one with one.
func (f *file) arm3(code, dst, a, b int) {
	fmt.Fprintf(&f.body, "\tWORD $0x%08x // %s v%d, v%d, v%d\n", code|b<<16|a<<5|dst, armNames[code], dst, a, b)
}

func (f *file) arm2(code, dst, a int) {
	fmt.Fprintf(&f.body, "\tWORD $0x%08x // %s v%d, v%d\n", code|a<<5|dst, armNames[code], dst, a)
}

func (f *file) armMove(dst, a int) { f.arm3(armMOVREG, dst, a, a) }

func (f *file) armZero(i int) {
	v := fmt.Sprintf("V%d.B16", i)
	f.op("VEOR", v, v, v)
}

func s4(i int) string { return fmt.Sprintf("[V%d.S4]", i) }

// armLoad and armStore move a register.
func (f *file) armLoad(reg string, i int)  { f.op("VLD1", "("+reg+")", s4(i)) }
func (f *file) armStore(i int, reg string) { f.op("VST1", s4(i), "("+reg+")") }

func armField(typ, name string, index int) string {
	return fmt.Sprintf("(%s_%s+%d)(R0)", typ, name, 8*index)
}

func armTiles(f *file) {
	for rows := 1; rows <= f.mr; rows++ {
		armTile(f, rows, 2, linear)
		armTile(f, rows, 1, linear)
		armTile(f, rows, 2, table)
	}
}

func armTile(f *file, rows, vectors int, how columns) {
	f.label = 0
	f.fn(tileName(how, rows, vectors*f.lanes, f.machine), "t", "tileArgs")
	arg := func(name string, i int) string { return armField("tileArgs", name, i) }
	f.op("MOVD", arg("a", 0), "R1")
	f.op("MOVD", arg("aStep", 0), "R2")
	f.op("MOVD", arg("k", 0), "R3")
	slot := []string{"R4", "R5"}
	if how == linear {
		f.op("MOVD", arg("b", 0), "R4")
		f.op("MOVD", arg("bStep", 0), "R6")
	} else {
		for s := range vectors {
			f.op("MOVD", arg("b", s), slot[s])
		}
		f.op("MOVD", arg("off", 0), "R6")
	}
	acc := func(r, v int) int { return r*vectors + v }
	b := rows * vectors
	a := b + vectors
	for i := range rows * vectors {
		f.armZero(i)
	}
	f.op("CBZ", "R3", "done")
	f.at("loop")
	if how == linear {
		list := fmt.Sprintf("[V%d.S4]", b)
		if vectors == 2 {
			list = fmt.Sprintf("[V%d.S4, V%d.S4]", b, b+1)
		}
		f.op("VLD1", "(R4)", list)
		f.op("ADD", "R6", "R4")
	} else {
		f.op("MOVD.P", "8(R6)", "R7")
		for v := range vectors {
			f.op("ADD", "R7", slot[v], "R8")
			f.armLoad("R8", b+v)
		}
	}
	f.op("MOVD", "R1", "R8")
	for r := range rows {
		t := a + r%(32-a)
		f.op("VLD1R.P", "4(R8)", s4(t))
		for v := range vectors {
			f.arm3(armMLA, acc(r, v), b+v, t)
		}
	}
	f.op("ADD", "R2", "R1")
	f.op("SUBS", "$1", "R3")
	f.op("BNE", "loop")
	f.at("done")

	t0, t1 := b, b+1
	f.op("MOVD", arg("flags", 0), "R9")
	f.op("MOVD", arg("ldc", 0), "R10")
	pointers := func(name string) {
		for s := range vectors {
			f.op("MOVD", arg(name, s), slot[s])
		}
	}
	when := func(flag int, body func()) {
		skip := f.newLabel("without")
		f.op("TST", fmt.Sprint("$", flag), "R9")
		f.op("BEQ", skip)
		body()
		f.at(skip)
	}
	add := func(name string) {
		pointers(name)
		for r := range rows {
			for v := range vectors {
				f.armLoad(slot[v], t0)
				f.arm3(armADD, acc(r, v), acc(r, v), t0)
				f.op("ADD", "R10", slot[v])
			}
		}
	}
	when(flagAccumulate, func() { add("c") })
	when(flagRowBias, func() {
		f.op("MOVD", arg("rowBias", 0), "R8")
		for r := range rows {
			f.op("VLD1R.P", "4(R8)", s4(t0))
			for v := range vectors {
				f.arm3(armADD, acc(r, v), acc(r, v), t0)
			}
		}
	})
	when(flagColBias, func() {
		f.op("MOVD", arg("colBias", 0), "R8")
		for v := range vectors {
			f.op("VLD1.P", "16(R8)", s4(t0))
			for r := range rows {
				f.arm3(armADD, acc(r, v), acc(r, v), t0)
			}
		}
	})
	when(flagResidual, func() { add("res") })
	when(flagClamp, func() {
		f.op("MOVWU", arg("lo", 0), "R7")
		f.op("VDUP", "R7", fmt.Sprintf("V%d.S4", t0))
		f.op("MOVWU", arg("hi", 0), "R7")
		f.op("VDUP", "R7", fmt.Sprintf("V%d.S4", t1))
		for i := range rows * vectors {
			f.arm3(armMAX, i, i, t0)
			f.arm3(armMIN, i, i, t1)
		}
	})
	pointers("c")
	for r := range rows {
		for v := range vectors {
			f.armStore(acc(r, v), slot[v])
			f.op("ADD", "R10", slot[v])
		}
	}
	f.end()
}

func armDots(f *file) {
	for rows := 1; rows <= f.dotRows; rows++ {
		for cols := 1; cols <= f.dotCols; cols++ {
			armDot(f, rows, cols)
		}
	}
}

func armDot(f *file, rows, cols int) {
	f.label = 0
	f.fn(fmt.Sprintf("dot%dx%d%s", rows, cols, f.tag), "t", "dotArgs")
	arg := func(name string, i int) string { return armField("dotArgs", name, i) }
	acc := func(r, c int) int { return r*cols + c }
	y, x := rows*cols, rows*cols+rows
	tap := []string{"R20", "R21", "R22", "R23", "R24", "R25"}
	for i, name := range []string{"y", "x", "yStep", "groups", "yGroupStep", "xGroupStep"} {
		f.op("MOVD", arg(name, 0), fmt.Sprint("R", 1+i))
	}
	for c := range cols {
		f.op("MOVD", arg("off", c), tap[c])
	}
	f.op("MOVD", arg("yLine", 0), "R7")
	f.op("MOVD", arg("xLine", 0), "R8")
	f.op("MOVD", arg("vectors", 0), "R9")
	f.op("MOVD", arg("rest", 0), "R10")
	for i := range rows * cols {
		f.armZero(i)
	}
	step := func(load func(reg string, i int)) {
		f.op("MOVD", "R14", "R17")
		for r := range rows {
			load("R17", y+r)
			if r < rows-1 {
				f.op("ADD", "R3", "R17")
			}
		}
		for c := range cols {
			t := x + c%(32-x)
			f.op("ADD", tap[c], "R15", "R17")
			load("R17", t)
			for r := range rows {
				f.arm3(armMLA, acc(r, c), y+r, t)
			}
		}
	}
	f.op("CMP", "$0", "R4")
	f.op("BLE", "done")
	f.at("group")
	f.op("MOVD", arg("lines", 0), "R11")
	f.op("MOVD", "R1", "R12")
	f.op("MOVD", "R2", "R13")
	f.op("CMP", "$0", "R11")
	f.op("BLE", "done")
	f.at("line")
	f.op("MOVD", "R12", "R14")
	f.op("MOVD", "R13", "R15")
	f.op("MOVD", "R9", "R16")
	f.op("CBZ", "R16", "tail")
	f.at("loop")
	step(f.armLoad)
	f.op("ADD", "$16", "R14")
	f.op("ADD", "$16", "R15")
	f.op("SUBS", "$1", "R16")
	f.op("BNE", "loop")
	f.at("tail")
	f.op("MOVD", "R10", "R16")
	f.op("CBZ", "R16", "whole")
	f.at("element")
	// A scalar load clears the other lanes.
	step(func(reg string, i int) { f.op("FMOVS", "("+reg+")", fmt.Sprint("F", i)) })
	f.op("ADD", "$4", "R14")
	f.op("ADD", "$4", "R15")
	f.op("SUBS", "$1", "R16")
	f.op("BNE", "element")
	f.at("whole")
	f.op("ADD", "R7", "R12")
	f.op("ADD", "R8", "R13")
	f.op("SUBS", "$1", "R11")
	f.op("BNE", "line")
	f.op("ADD", "R5", "R1")
	f.op("ADD", "R6", "R2")
	f.op("SUBS", "$1", "R4")
	f.op("BNE", "group")
	f.at("done")
	f.op("MOVD", arg("out", 0), "R1")
	f.op("MOVD", arg("ldo", 0), "R2")
	for r := range rows {
		for c := range cols {
			i := acc(r, c)
			f.arm3(armADDP, i, i, i)
			f.arm3(armADDP, i, i, i)
			f.op("FMOVS", disp(4*c, "R1"), fmt.Sprint("F", y))
			f.arm3(armADD, i, i, y)
			f.op("FMOVS", fmt.Sprint("F", i), disp(4*c, "R1"))
		}
		f.op("ADD", "R2", "R1")
	}
	f.end()
}

func armCopies(f *file) {
	arg := func(name string, i int) string { return armField("copyArgs", name, i) }
	begin := func(name string) {
		f.label = 0
		f.fn(name+f.tag, "t", "copyArgs")
		for i, name := range []string{"dst", "src", "rows", "dstStep", "srcStep", "left", "vectors", "cols"} {
			f.op("MOVD", arg(name, 0), fmt.Sprint("R", 1+i))
		}
		f.armZero(0)
	}
	// elements copies R17 of them from R13 to R12.
	elements := func(label string) {
		f.op("CBZ", "R17", label+"Done")
		f.at(label)
		f.op("FMOVS.P", "4(R13)", "F1")
		f.op("FMOVS.P", "F1", "4(R12)")
		f.op("SUBS", "$1", "R17")
		f.op("BNE", label)
		f.at(label + "Done")
	}

	begin("copyRows")
	f.op("CBZ", "R3", "done")
	f.at("row")
	f.armStore(0, "R1")
	f.op("ADD", "R6", "R1", "R12")
	f.op("MOVD", "R2", "R13")
	f.op("MOVD", "R7", "R14")
	f.op("CBZ", "R14", "tail")
	f.at("loop")
	f.op("VLD1.P", "16(R13)", s4(1))
	f.op("VST1.P", s4(1), "16(R12)")
	f.op("SUBS", "$1", "R14")
	f.op("BNE", "loop")
	f.at("tail")
	f.op("MOVD", "R8", "R17")
	elements("element")
	f.armStore(0, "R12")
	f.op("ADD", "R4", "R1")
	f.op("ADD", "R5", "R2")
	f.op("SUBS", "$1", "R3")
	f.op("BNE", "row")
	f.at("done")
	f.end()

	begin("packRows")
	f.op("CBZ", "R3", "done")
	f.op("CMP", "$8", "R8")
	f.op("BNE", "row")
	f.at("whole")
	f.op("VLD1", "(R2)", "[V1.S4, V2.S4]")
	f.op("VST1.P", "[V1.S4, V2.S4]", "32(R1)")
	f.op("ADD", "R5", "R2")
	f.op("SUBS", "$1", "R3")
	f.op("BNE", "whole")
	f.op("JMP", "done")
	f.at("row")
	f.op("MOVD", "R1", "R12")
	f.op("MOVD", "R2", "R13")
	f.op("VST1.P", s4(0), "16(R1)")
	f.op("VST1.P", s4(0), "16(R1)")
	f.op("MOVD", "R8", "R17")
	elements("element")
	f.op("ADD", "R5", "R2")
	f.op("SUBS", "$1", "R3")
	f.op("BNE", "row")
	f.at("done")
	f.end()

	begin("transpose")
	f.op("CBZ", "R7", "done")
	f.at("loop")
	f.op("MOVD", "R2", "R13")
	for r := range 4 {
		f.armLoad("R13", r)
		f.op("CMP", fmt.Sprint("$", r+1), "R3")
		f.op("BEQ", "loaded")
		f.op("ADD", "R5", "R13")
	}
	f.at("loaded")
	zip := func(which, a, b, dst int) {
		f.op(fmt.Sprint("VZIP", which), fmt.Sprintf("V%d.S4", b), fmt.Sprintf("V%d.S4", a), fmt.Sprintf("V%d.S4", dst))
	}
	zip(1, 0, 2, 4)
	zip(2, 0, 2, 5)
	zip(1, 1, 3, 6)
	zip(2, 1, 3, 7)
	for i := range 4 {
		zip(1+i%2, 4+i/2, 6+i/2, 8)
		f.armStore(8, "R1")
		f.op("ADD", "R4", "R1")
	}
	f.op("ADD", "$16", "R2")
	f.op("SUBS", "$1", "R7")
	f.op("BNE", "loop")
	f.at("done")
	f.end()
}

// number is the number of a vector register.
func number(reg string) (n int) {
	if _, err := fmt.Sscanf(strings.TrimPrefix(reg, "V"), "%d", &n); err != nil {
		panic("not a register: " + reg)
	}
	return n
}
