package dataset

import (
	"image"
	"image/color"
)

// JPEG mostly stores colour at half the resolution. The standard library repeats its
// samples; nearly everybody else interpolates as libjpeg does ("fancy upsampling"), and
// networks are trained on that. Here it is done so, too: each new sample is three
// quarters of the nearest old one and a quarter of the next, along each halved axis,
// rounded up and down in turns.

// colourPlanes writes the three planes of a JPEG image.
func colourPlanes(m *image.YCbCr, red, green, blue []uint8) {
	b := m.Bounds()
	w, h := b.Dx(), b.Dy()
	across := m.SubsampleRatio == image.YCbCrSubsampleRatio420 || m.SubsampleRatio == image.YCbCrSubsampleRatio422
	down := m.SubsampleRatio == image.YCbCrSubsampleRatio420
	half := (w + 1) / 2
	if !across || half <= 2 || b.Min != (image.Point{}) { // libjpeg does not interpolate so few, either
		for y := range h {
			for x := range w {
				k := y*w + x
				l, c := m.YOffset(b.Min.X+x, b.Min.Y+y), m.COffset(b.Min.X+x, b.Min.Y+y)
				red[k], green[k], blue[k] = color.YCbCrToRGB(m.Y[l], m.Cb[c], m.Cr[c])
			}
		}
		return
	}
	rows := h
	if down {
		rows = (h + 1) / 2
	}
	cb, cr := make([]uint8, 2*half), make([]uint8, 2*half)
	sums := make([]int, half)
	for y := range h {
		row, next := y, y
		if down { // odd rows lean on the one below, even rows on that above
			row = y / 2
			next = min(max(row-1+y%2*2, 0), rows-1)
		}
		for _, p := range []struct{ from, to []uint8 }{{m.Cb, cb}, {m.Cr, cr}} {
			a, b := p.from[row*m.CStride:], p.from[next*m.CStride:]
			if down {
				for i := range sums {
					sums[i] = 3*int(a[i]) + int(b[i])
				}
				widen(p.to, sums, 8, 7, 4)
			} else {
				for i := range sums {
					sums[i] = int(a[i])
				}
				widen(p.to, sums, 1, 2, 2)
			}
		}
		for x := range w {
			k := y*w + x
			red[k], green[k], blue[k] = color.YCbCrToRGB(m.Y[y*m.YStride+x], cb[x], cr[x])
		}
	}
}

// widen makes two samples of each, 3/4 of it and 1/4 of its neighbour, and shifts them
// right after adding even or odd.
func widen(to []uint8, from []int, even, odd, shift int) {
	last := len(from) - 1
	for i, v := range from {
		to[2*i] = uint8((3*v + from[max(i-1, 0)] + even) >> shift)
		to[2*i+1] = uint8((3*v + from[min(i+1, last)] + odd) >> shift)
	}
}
