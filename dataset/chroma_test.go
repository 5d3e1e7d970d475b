package dataset

import (
	"image"
	"image/color"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// Interpolated colour is the triangle filter, to a rounding; where colour has the full
// resolution, pixels are those of the standard library.
func TestColourPlanes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, w := rapid.IntRange(1, 9).Draw(t, "h"), rapid.IntRange(1, 11).Draw(t, "w")
		ratio := rapid.SampledFrom([]image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420, image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio410}).Draw(t, "ratio")
		m := image.NewYCbCr(image.Rect(0, 0, w, h), ratio)
		for i := range m.Y {
			m.Y[i] = rapid.Uint8().Draw(t, "y")
		}
		for i := range m.Cb {
			m.Cb[i], m.Cr[i] = rapid.Uint8().Draw(t, "cb"), rapid.Uint8().Draw(t, "cr")
		}
		p := planes(m, 3)
		n := h * w
		half := (w + 1) / 2
		smooth := half > 2 && (ratio == image.YCbCrSubsampleRatio422 || ratio == image.YCbCrSubsampleRatio420)
		for y := range h {
			for x := range w {
				r, g, b := p.pixels[y*w+x], p.pixels[n+y*w+x], p.pixels[2*n+y*w+x]
				if !smooth {
					if R, G, B := color.YCbCrToRGB(m.Y[m.YOffset(x, y)], m.Cb[m.COffset(x, y)], m.Cr[m.COffset(x, y)]); r != R || g != G || b != B {
						t.Fatalf("pixel %d, %d is %d %d %d, want %d %d %d", y, x, r, g, b, R, G, B)
					}
					continue
				}
				cb, cr := triangle(m.Cb, m, x, y), triangle(m.Cr, m, x, y)
				// The conversion to red, green and blue in reals; a chroma sample that is
				// one off changes blue by less than 2.
				Y := float64(m.Y[m.YOffset(x, y)])
				for c, want := range []float64{Y + 1.402*(cr-128), Y - 0.344136*(cb-128) - 0.714136*(cr-128), Y + 1.772*(cb-128)} {
					want = min(max(want, 0), 255)
					if got := float64([]uint8{r, g, b}[c]); math.Abs(got-want) > 2.5 {
						t.Fatalf("channel %d of pixel %d, %d is %v, want %v", c, y, x, got, want)
					}
				}
			}
		}
	})
}

// triangle interpolates a chroma plane at a pixel.
func triangle(plane []uint8, m *image.YCbCr, x, y int) float64 {
	b := m.Bounds()
	line := func(row int) float64 {
		half := (b.Dx() + 1) / 2
		near, next := x/2, min(max(x/2-1+x%2*2, 0), half-1)
		return (3*float64(plane[row*m.CStride+near]) + float64(plane[row*m.CStride+next])) / 4
	}
	if m.SubsampleRatio == image.YCbCrSubsampleRatio422 {
		return line(y)
	}
	rows := (b.Dy() + 1) / 2
	return (3*line(y/2) + line(min(max(y/2-1+y%2*2, 0), rows-1))) / 4
}
