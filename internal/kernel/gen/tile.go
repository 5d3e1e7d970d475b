package main

import "fmt"

// How a tile finds its columns.
type columns int

const (
	linear columns = iota // row k of B lies bStep after row k−1; columns are dense
	table                 // row k of B lies off[k] after the start, in each slot
	halves                // likewise; a register holds two slots
)

var columnsName = [...]string{"linear", "table", "halves"}

// tiles writes the kernels that compute a tile of C = A·B in registers. A holds
// the rows of the tile side by side: those of step k lie aStep after those of
// step k−1.
func tiles(f *file) {
	for rows := 1; rows <= f.mr; rows++ {
		tile(f, rows, 2, linear)
		tile(f, rows, 1, linear)
		tile(f, rows, 2, table)
		if f.masks {
			tile(f, rows, 2, halves)
		}
	}
}

func tileName(how columns, rows, width int, m machine) string {
	return fmt.Sprintf("%sTile%dx%d%s", columnsName[how], rows, width, m.tag)
}

func tileTables(m machine) []functionTable {
	var tables []functionTable
	add := func(name string, how columns, vectors int) {
		t := functionTable{name: name + m.tag}
		for rows := 1; rows <= m.mr; rows++ {
			t.funcs = append(t.funcs, tileName(how, rows, vectors*m.lanes, m))
		}
		tables = append(tables, t)
	}
	add("linearTiles", linear, 2)
	add("linearTilesNarrow", linear, 1)
	add("tableTiles", table, 2)
	if m.masks {
		add("halvesTiles", halves, 2)
	}
	return tables
}

// The bits of tileArgs.flags.
const (
	flagAccumulate = 1 << iota
	flagRowBias
	flagColBias
	flagResidual
	flagClamp
)

func tile(f *file, rows, vectors int, how columns) {
	name := tileName(how, rows, vectors*f.lanes, f.machine)
	f.label = 0
	f.fn(name, "t", "tileArgs")
	arg := func(name string, i int) string { return field("tileArgs", name, i) }
	acc := func(r, v int) int { return r*vectors + v }
	b := func(v int) int { return rows*vectors + v }
	free := b(vectors) // the first register that the loop uses for A
	slots := vectors
	if how == halves {
		slots *= 2
	}

	f.op("MOVQ", arg("a", 0), "SI")
	f.op("MOVQ", arg("aStep", 0), "R12")
	f.op("MOVQ", arg("k", 0), "CX")
	slot := []string{"R8", "R9", "R10", "R11"}
	if how == linear {
		f.op("MOVQ", arg("b", 0), "R8")
		f.op("MOVQ", arg("bStep", 0), "R13")
	} else {
		for s := range slots {
			f.op("MOVQ", arg("b", s), slot[s])
		}
		f.op("MOVQ", arg("off", 0), "R13")
	}
	if f.masks {
		for s := range slots {
			f.op("KMOVW", arg("mask", s), fmt.Sprint("K", s+1))
		}
	}
	if how == linear {
		// C is far away: it is on its way while the sums are made.
		f.op("MOVQ", arg("c", 0), "R9")
		f.op("MOVQ", arg("ldc", 0), "R10")
		for r := range rows {
			for v := 0; v < vectors*f.bytes; v += 64 {
				f.op("PREFETCHT0", disp(v, "R9"))
			}
			if r < rows-1 {
				f.op("ADDQ", "R10", "R9")
			}
		}
	}
	for r := range rows {
		for v := range vectors {
			f.zero(acc(r, v))
		}
	}

	step := func() {
		load := func(mem string, v int) {
			if f.masks {
				f.op("VMOVUPS.Z", mem, fmt.Sprint("K", v+1), f.r(b(v)))
			} else {
				f.op("VMOVUPS", mem, f.r(b(v)))
			}
		}
		switch how {
		case linear:
			for v := range vectors {
				load(disp(v*f.bytes, "R8"), v)
			}
		case table:
			f.op("MOVQ", "(R13)", "DX")
			for v := range vectors {
				load("("+slot[v]+")(DX*1)", v)
			}
		case halves:
			f.op("MOVQ", "(R13)", "DX")
			for v := range vectors {
				f.op("VMOVUPS", "("+slot[2*v]+")(DX*1)", fmt.Sprint("Y", b(v)))
				f.op("VINSERTF32X8", "$1", "("+slot[2*v+1]+")(DX*1)", f.r(b(v)), f.r(b(v)))
			}
		}
		last := 15
		if f.masks {
			last = 31
		}
		for r := range rows {
			a := free + r%(last-free+1)
			f.op("VBROADCASTSS", disp(4*r, "SI"), f.r(a))
			for v := range vectors {
				f.op("VFMADD231PS", f.r(b(v)), f.r(a), f.r(acc(r, v)))
			}
		}
		f.op("ADDQ", "R12", "SI")
		if how == linear {
			f.op("ADDQ", "R13", "R8")
		} else {
			f.op("ADDQ", "$8", "R13")
		}
	}
	const unroll = 4
	f.op("SUBQ", fmt.Sprint("$", unroll), "CX")
	f.op("JLT", "rest")
	f.op("PCALIGN", "$32")
	f.at("loop")
	for range unroll {
		step()
	}
	f.op("SUBQ", fmt.Sprint("$", unroll), "CX")
	f.op("JGE", "loop")
	f.at("rest")
	f.op("ADDQ", fmt.Sprint("$", unroll), "CX")
	f.op("JEQ", "done")
	f.at("single")
	step()
	f.op("DECQ", "CX")
	f.op("JNE", "single")
	f.at("done")
	finish(f, rows, vectors, slots, how == halves)
	f.end()
}

// finish adds what is to be added, cuts off, and stores. The accumulators are
// registers 0 to rows·vectors − 1.
func finish(f *file, rows, vectors, slots int, half bool) {
	arg := func(name string, i int) string { return field("tileArgs", name, i) }
	t0, t1 := rows*vectors, rows*vectors+1
	slot := []string{"R8", "R9", "R10", "R11"}
	mask := func(s int) string { return fmt.Sprint("K", s+1) }
	pointers := func(name string) {
		for s := range slots {
			f.op("MOVQ", arg(name, s), slot[s])
		}
	}
	f.op("MOVQ", arg("flags", 0), "BX")
	f.op("MOVQ", arg("ldc", 0), "R12")
	when := func(flag int, body func()) {
		skip := f.newLabel("without")
		f.op("TESTQ", fmt.Sprint("$", flag), "BX")
		f.op("JEQ", skip)
		body()
		f.at(skip)
	}
	add := func(name string) {
		pointers(name)
		for r := range rows {
			for v := range vectors {
				acc := f.r(r*vectors + v)
				switch {
				case half:
					f.op("VMOVUPS.Z", "("+slot[2*v]+")", mask(2*v), fmt.Sprint("Y", t0))
					f.op("VMOVUPS.Z", "("+slot[2*v+1]+")", mask(2*v+1), fmt.Sprint("Y", t1))
					f.op("VINSERTF32X8", "$1", fmt.Sprint("Y", t1), f.r(t0), f.r(t0))
					f.op("VADDPS", f.r(t0), acc, acc)
				case f.masks:
					f.op("VMOVUPS.Z", "("+slot[v]+")", mask(v), f.r(t0))
					f.op("VADDPS", f.r(t0), acc, acc)
				default:
					f.op("VADDPS", "("+slot[v]+")", acc, acc)
				}
			}
			for s := range slots {
				f.op("ADDQ", "R12", slot[s])
			}
		}
	}
	when(flagAccumulate, func() { add("c") })
	when(flagRowBias, func() {
		f.op("MOVQ", arg("rowBias", 0), "DX")
		for r := range rows {
			f.op("VBROADCASTSS", disp(4*r, "DX"), f.r(t0))
			for v := range vectors {
				f.op("VADDPS", f.r(t0), f.r(r*vectors+v), f.r(r*vectors+v))
			}
		}
	})
	if !half {
		when(flagColBias, func() {
			f.op("MOVQ", arg("colBias", 0), "DX")
			for v := range vectors {
				if f.masks {
					f.op("VMOVUPS.Z", disp(v*f.bytes, "DX"), mask(v), f.r(t0))
				} else {
					f.op("VMOVUPS", disp(v*f.bytes, "DX"), f.r(t0))
				}
				for r := range rows {
					f.op("VADDPS", f.r(t0), f.r(r*vectors+v), f.r(r*vectors+v))
				}
			}
		})
	}
	when(flagResidual, func() { add("res") })
	when(flagClamp, func() {
		f.op("VBROADCASTSS", arg("lo", 0), f.r(t0))
		f.op("VBROADCASTSS", arg("hi", 0), f.r(t1))
		for i := range rows * vectors {
			// The last operand of the processor's own order is what NaN leaves.
			f.op("VMAXPS", f.r(i), f.r(t0), f.r(i))
			f.op("VMINPS", f.r(i), f.r(t1), f.r(i))
		}
	})
	pointers("c")
	for r := range rows {
		for v := range vectors {
			acc := r*vectors + v
			switch {
			case half:
				f.op("VMOVUPS", fmt.Sprint("Y", acc), mask(2*v), "("+slot[2*v]+")")
				f.op("VEXTRACTF32X8", "$1", f.r(acc), fmt.Sprint("Y", t0))
				f.op("VMOVUPS", fmt.Sprint("Y", t0), mask(2*v+1), "("+slot[2*v+1]+")")
			case f.masks:
				f.op("VMOVUPS", f.r(acc), mask(v), "("+slot[v]+")")
			default:
				f.op("VMOVUPS", f.r(acc), "("+slot[v]+")")
			}
		}
		if r < rows-1 {
			for s := range slots {
				f.op("ADDQ", "R12", slot[s])
			}
		}
	}
}
