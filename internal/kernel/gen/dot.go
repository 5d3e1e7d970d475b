package main

import "fmt"

// dots writes the kernels that compute a small matrix of dot products, each of a
// row of y and a row of x: sums over groups, lines and columns.
func dots(f *file) {
	for rows := 1; rows <= f.dotRows; rows++ {
		for cols := 1; cols <= f.dotCols; cols++ {
			dot(f, rows, cols, whole)
			if f.masks {
				dot(f, rows, cols, half)
				dot(f, rows, cols, pair)
			}
		}
	}
}

// How a register of dot products holds lines.
type lines int

const (
	whole lines = iota // columns of one line
	half               // eight columns of each of two lines
	pair               // likewise, and there are eight columns, side by side in y
)

var linesName = [...]string{"dot", "dotHalves", "dotPairs"}

// dotTables writes tables by rows and columns.
func (f *file) dotTables() {
	for how, kind := range linesName {
		if lines(how) != whole && !f.masks {
			continue
		}
		fmt.Fprintf(&f.decls, "\nvar %sTable%s = [][]func(*dotArgs){\n", kind, f.tag)
		for rows := 1; rows <= f.dotRows; rows++ {
			fmt.Fprintf(&f.decls, "\t%d: {", rows)
			for cols := 1; cols <= f.dotCols; cols++ {
				if cols > 1 {
					f.decls.WriteString(", ")
				}
				fmt.Fprintf(&f.decls, "%d: %s%dx%d%s", cols, kind, rows, cols, f.tag)
			}
			f.decls.WriteString("},\n")
		}
		f.decls.WriteString("}\n")
	}
}

func dot(f *file, rows, cols int, how lines) {
	name := fmt.Sprintf("%s%dx%d%s", linesName[how], rows, cols, f.tag)
	f.label = 0
	f.fn(name, "t", "dotArgs")
	arg := func(name string, i int) string { return field("dotArgs", name, i) }
	acc := func(r, c int) int { return r*cols + c }
	y := func(r int) int { return rows*cols + r }
	tap := []string{"R10", "R11", "R12", "R13", "R15", "AX"}
	x := rows*cols + rows
	xs := 16 - x
	if f.masks {
		xs = min(32-x, 4)
		f.op("KMOVW", arg("mask", 0), "K1")
	}
	f.op("MOVQ", arg("yStep", 0), "R8")
	for c := range cols {
		f.op("MOVQ", arg("off", c), tap[c])
	}
	for i := range rows * cols {
		f.zero(i)
	}
	yAt := func(r int) string {
		if r == 3 {
			return "(R9)(R8*1)" // R9 is two rows further on
		}
		return []string{"(BX)", "(BX)(R8*1)", "(BX)(R8*2)"}[r]
	}
	step := func(masked bool) {
		if rows > 3 {
			f.op("LEAQ", "(BX)(R8*2)", "R9")
		}
		for r := range rows {
			switch {
			case how == half:
				f.op("VMOVUPS", yAt(r), fmt.Sprint("Y", y(r)))
			case masked && f.masks:
				f.op("VMOVUPS.Z", yAt(r), "K1", f.r(y(r)))
			case masked:
				f.op("VMASKMOVPS", yAt(r), f.r(x), f.r(y(r)))
			default:
				f.op("VMOVUPS", yAt(r), f.r(y(r)))
			}
		}
		if how == pair {
			f.op("LEAQ", "(SI)(R14*1)", "DX")
		}
		if how == half {
			f.op("MOVQ", arg("yLine", 0), "DX")
			f.op("ADDQ", "BX", "DX")
			at := []string{"(DX)", "(DX)(R8*1)", "(DX)(R8*2)"}
			for r := range rows {
				if r == 3 {
					f.op("LEAQ", "(DX)(R8*2)", "DX")
					f.op("VINSERTF32X8", "$1", "(DX)(R8*1)", f.r(y(r)), f.r(y(r)))
					continue
				}
				f.op("VINSERTF32X8", "$1", at[r], f.r(y(r)), f.r(y(r)))
			}
			f.op("MOVQ", arg("xLine", 0), "DX")
			f.op("ADDQ", "SI", "DX")
		}
		for c := range cols {
			t := x + c%xs
			mem := "(SI)(" + tap[c] + "*1)"
			switch {
			case how != whole:
				f.op("VMOVUPS", mem, fmt.Sprint("Y", t))
				f.op("VINSERTF32X8", "$1", "(DX)("+tap[c]+"*1)", f.r(t), f.r(t))
			case masked && f.masks:
				f.op("VMOVUPS.Z", mem, "K1", f.r(t))
			case masked:
				// One register is left, and the mask is in it: y is 0 where the
				// mask is, so that it may serve as the mask if it is not.
				t = x
				f.op("VMOVDQU", arg("lanes", 0), f.r(t))
				f.op("VMASKMOVPS", mem, f.r(t), f.r(t))
			default:
				f.op("VMOVUPS", mem, f.r(t))
			}
			for r := range rows {
				f.op("VFMADD231PS", f.r(t), f.r(y(r)), f.r(acc(r, c)))
			}
		}
	}
	// Counters of groups and lines live in memory.
	for _, name := range []string{"groups", "lines"} {
		f.op("CMPQ", arg(name, 0), "$0")
		f.op("JLE", "done")
	}
	f.op("MOVQ", arg("groups", 0), "DX")
	f.op("MOVQ", "DX", arg("place", 0))
	f.op("MOVQ", arg("y", 0), "BX")
	f.op("MOVQ", "BX", arg("place", 2))
	f.op("MOVQ", arg("x", 0), "SI")
	f.op("MOVQ", "SI", arg("place", 3))
	f.at("group")
	f.op("MOVQ", arg("lines", 0), "DX")
	f.op("MOVQ", "DX", arg("place", 1))
	f.op("MOVQ", arg("place", 2), "DX")
	f.op("MOVQ", "DX", arg("place", 4))
	f.op("MOVQ", arg("place", 3), "DX")
	f.op("MOVQ", "DX", arg("place", 5))
	if how == pair {
		f.op("MOVQ", arg("place", 4), "BX")
		f.op("MOVQ", arg("place", 5), "SI")
		f.op("MOVQ", arg("xLine", 0), "R14")
		f.op("MOVQ", arg("lines", 0), "CX")
		f.op("PCALIGN", "$32")
		f.at("pair")
		step(false)
		f.op("ADDQ", "$64", "BX")
		f.op("LEAQ", "(SI)(R14*2)", "SI")
		f.op("DECQ", "CX")
		f.op("JNE", "pair")
		nextGroup(f, arg)
		sums(f, rows, cols, arg)
		f.end()
		return
	}
	f.at("line")
	f.op("MOVQ", arg("place", 4), "BX")
	f.op("MOVQ", arg("place", 5), "SI")
	f.op("MOVQ", arg("vectors", 0), "CX")
	f.op("TESTQ", "CX", "CX")
	f.op("JEQ", "tail")
	f.op("PCALIGN", "$32")
	f.at("loop")
	step(false)
	width := f.bytes
	if how == half {
		width = 32
	}
	f.op("ADDQ", fmt.Sprint("$", width), "BX")
	f.op("ADDQ", fmt.Sprint("$", width), "SI")
	f.op("DECQ", "CX")
	f.op("JNE", "loop")
	f.at("tail")
	if how == whole {
		f.op("CMPQ", arg("mask", 0), "$0")
		f.op("JEQ", "whole")
		if !f.masks {
			f.op("VMOVDQU", arg("lanes", 0), f.r(x))
		}
		step(true)
		f.at("whole")
	}
	f.op("MOVQ", arg("yLine", 0), "DX")
	f.op("ADDQ", "DX", arg("place", 4))
	f.op("MOVQ", arg("xLine", 0), "DX")
	f.op("ADDQ", "DX", arg("place", 5))
	if how == half { // two lines at a time
		f.op("ADDQ", "DX", arg("place", 5))
		f.op("MOVQ", arg("yLine", 0), "DX")
		f.op("ADDQ", "DX", arg("place", 4))
	}
	f.op("DECQ", arg("place", 1))
	f.op("JNE", "line")
	nextGroup(f, arg)
	sums(f, rows, cols, arg)
	f.end()
}

func nextGroup(f *file, arg func(string, int) string) {
	f.op("MOVQ", arg("yGroupStep", 0), "DX")
	f.op("ADDQ", "DX", arg("place", 2))
	f.op("MOVQ", arg("xGroupStep", 0), "DX")
	f.op("ADDQ", "DX", arg("place", 3))
	f.op("DECQ", arg("place", 0))
	f.op("JNE", "group")
	f.at("done")
}

// sums adds the sums over the lanes of the accumulators to what out holds: halves
// onto halves into registers 0 to cols − 1, which are free once the first row is
// done, then neighbours, four sums at a time.
func sums(f *file, rows, cols int, arg func(string, int) string) {
	f.op("MOVQ", arg("out", 0), "BX")
	f.op("MOVQ", arg("ldo", 0), "CX")
	t := rows * cols
	ty, tx := fmt.Sprint("Y", t), fmt.Sprint("X", t)
	for r := range rows {
		for c := range cols {
			i := r*cols + c
			sum := fmt.Sprint("Y", i)
			if f.lanes == 16 {
				f.op("VEXTRACTF32X8", "$1", f.r(i), ty)
				f.op("VADDPS", ty, sum, sum)
			}
			if i < 16 && t < 16 {
				f.op("VEXTRACTF128", "$1", sum, tx)
			} else {
				f.op("VEXTRACTF32X4", "$1", sum, tx)
			}
			f.op("VADDPS", tx, fmt.Sprint("X", i), fmt.Sprint("X", c))
		}
		for c := 0; c < cols; {
			x := func(i int) string { return fmt.Sprint("X", c+i) }
			switch {
			case cols-c >= 4:
				f.op("VHADDPS", x(1), x(0), x(0))
				f.op("VHADDPS", x(3), x(2), x(2))
				f.op("VHADDPS", x(2), x(0), x(0))
				f.op("VADDPS", disp(4*c, "BX"), x(0), x(0))
				f.op("VMOVUPS", x(0), disp(4*c, "BX"))
				c += 4
			case cols-c >= 2:
				f.op("VHADDPS", x(1), x(0), x(0))
				f.op("VHADDPS", x(0), x(0), x(0))
				f.op("VMOVSD", disp(4*c, "BX"), x(1))
				f.op("VADDPS", x(1), x(0), x(0))
				f.op("VMOVSD", x(0), disp(4*c, "BX"))
				c += 2
			default:
				f.op("VHADDPS", x(0), x(0), x(0))
				f.op("VHADDPS", x(0), x(0), x(0))
				f.op("VADDSS", disp(4*c, "BX"), x(0), x(0))
				f.op("VMOVSS", x(0), disp(4*c, "BX"))
				c++
			}
		}
		if r < rows-1 {
			f.op("ADDQ", "CX", "BX")
		}
	}
}
