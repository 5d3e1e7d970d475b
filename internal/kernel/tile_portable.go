package kernel

import (
	"math/bits"
	"unsafe"
)

// The tiles of the portable path have up to 4 rows, and slots of 8 lanes.

const portableLanes = 8

func portableLinear(rows, slots int) func(*tileArgs) {
	return func(t *tileArgs) {
		b := t.b
		if slots == 2 && t.k > 0 { // a panel without lines has no second slot to point to
			b[1] = unsafe.Add(t.b[0], 4*portableLanes)
		}
		portableTile(t, rows, slots, &b, func(k int) int { return k * t.bStep })
	}
}

func portableTable(rows int) func(*tileArgs) {
	return func(t *tileArgs) {
		off := unsafe.Slice((*int)(t.off), t.k)
		portableTile(t, rows, 2, &t.b, func(k int) int { return off[k] })
	}
}

func portableTile(t *tileArgs, rows, slots int, b *[4]unsafe.Pointer, off func(k int) int) {
	var sums [4 * 2 * portableLanes]float32
	for r := range rows {
		for s := range slots {
			acc := (*[portableLanes]float32)(sums[(r*slots+s)*portableLanes:])
			for k := range t.k {
				a := load(t.a, 4*r+k*t.aStep)
				row := (*[portableLanes]float32)(unsafe.Add(b[s], off(k)))
				acc[0] += a * row[0]
				acc[1] += a * row[1]
				acc[2] += a * row[2]
				acc[3] += a * row[3]
				acc[4] += a * row[4]
				acc[5] += a * row[5]
				acc[6] += a * row[6]
				acc[7] += a * row[7]
			}
		}
	}
	finishTile(t, sums[:], rows, slots, portableLanes)
}

func portableDot(rows, cols int) func(*dotArgs) {
	return func(t *dotArgs) {
		for r := range rows {
			for c := range cols {
				var sum float32
				for g := range t.groups {
					for l := range t.lines {
						y := unsafe.Add(t.y, r*t.yStep+g*t.yGroupStep+l*t.yLine)
						x := unsafe.Add(t.x, t.off[c]+g*t.xGroupStep+l*t.xLine)
						n := t.vectors * portableLanes
						for i := range n {
							sum += load(y, 4*i) * load(x, 4*i)
						}
						for m := t.mask; m != 0; m &= m - 1 {
							sum += load(y, 4*n) * load(x, 4*n)
							n++
						}
					}
				}
				*(*float32)(unsafe.Add(t.out, r*t.ldo+4*c)) += sum
			}
		}
	}
}

func portableCopyRows(t *copyArgs) {
	for r := range t.rows {
		dst := unsafe.Add(t.dst, r*t.dstStep)
		clear(unsafe.Slice((*float32)(dst), portableLanes))
		src := unsafe.Add(t.src, r*t.srcStep)
		if t.single != 0 {
			n := bits.OnesCount64(t.mask[0])
			copy(unsafe.Slice((*float32)(unsafe.Add(dst, t.left)), n), unsafe.Slice((*float32)(src), n))
			continue
		}
		n := t.vectors * portableLanes
		for m := t.mask[0]; m != 0; m &= m - 1 {
			n++
		}
		row := unsafe.Slice((*float32)(unsafe.Add(dst, t.left)), n+portableLanes)
		copy(row, unsafe.Slice((*float32)(src), n))
		clear(row[n:])
	}
}

func portablePackRows(t *copyArgs) {
	n := 0
	for _, m := range t.mask {
		for ; m != 0; m &= m - 1 {
			n++
		}
	}
	for r := range t.rows {
		dst := unsafe.Slice((*float32)(unsafe.Add(t.dst, r*2*portableLanes*4)), 2*portableLanes)
		copy(dst, unsafe.Slice((*float32)(unsafe.Add(t.src, r*t.srcStep)), n))
		clear(dst[n:])
	}
}

func portableTranspose(t *copyArgs) {
	for k := range t.vectors * portableLanes {
		for r := range t.rows {
			*(*float32)(unsafe.Add(t.dst, k*t.dstStep+4*r)) = load(t.src, r*t.srcStep+4*k)
		}
	}
}
