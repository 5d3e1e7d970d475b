package dataset

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func newCanvas(channels, height, width int) *canvas {
	black := make([]float32, channels)
	for i := range black {
		black[i] = -1 - float32(i)
	}
	return &canvas{channels: channels, height: height, width: width, black: black}
}

// drawImage makes an image whose values are all different.
func drawImage(t *rapid.T) ([]float32, *canvas) {
	c := newCanvas(rapid.IntRange(1, 3).Draw(t, "channels"), rapid.IntRange(1, 7).Draw(t, "height"), rapid.IntRange(1, 7).Draw(t, "width"))
	x := make([]float32, c.channels*c.height*c.width)
	for i := range x {
		x[i] = float32(i)
	}
	return x, c
}

// A crop is the definition: a window of the padded image.
func TestCrop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, c := drawImage(t)
		down, right := rapid.IntRange(-9, 9).Draw(t, "down"), rapid.IntRange(-9, 9).Draw(t, "right")
		was := slices.Clone(x)
		c.crop(x, down, right)
		for k := range c.channels {
			for y := range c.height {
				for i := range c.width {
					if got, want := c.plane(x, k)[y*c.width+i], c.at(c.plane(was, k), c.black[k], y+down, i+right); got != want {
						t.Fatalf("pixel %d, %d of plane %d is %v, want %v", y, i, k, got, want)
					}
				}
			}
		}
	})
}

// Mirrored twice, and turned by nothing, an image is what it was.
func TestFlipAndIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, c := drawImage(t)
		was := slices.Clone(x)
		flip(x, c.width)
		if x[0] != was[c.width-1] {
			t.Fatalf("the first pixel is %v, want the last of its row, %v", x[0], was[c.width-1])
		}
		flip(x, c.width)
		c.affine(x, 0, 1, 0, 0)
		if !slices.Equal(x, was) {
			t.Fatalf("got %v, want %v", x, was)
		}
	})
}

// An affine map by whole pixels, quarter turns and powers of two is exact.
func TestAffine(t *testing.T) {
	c := newCanvas(1, 3, 3)
	image := []float32{1, 2, 3, 4, 5, 6, 7, 8, 9}
	for _, tt := range []struct {
		name                      string
		angle, scale, down, right float64
		want                      []float32
	}{
		{"down 1", 0, 1, 1, 0, []float32{-1, -1, -1, 1, 2, 3, 4, 5, 6}},
		{"right 2", 0, 1, 0, 2, []float32{-1, -1, 1, -1, -1, 4, -1, -1, 7}},
		{"quarter turn counter-clockwise", math.Pi / 2, 1, 0, 0, []float32{3, 6, 9, 2, 5, 8, 1, 4, 7}},
		{"twice as large", 0, 2, 0, 0, []float32{3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7}},
		{"half a pixel right", 0, 1, 0, .5, []float32{0, 1.5, 2.5, 1.5, 4.5, 5.5, 3, 7.5, 8.5}},
	} {
		x := slices.Clone(image)
		c.affine(x, tt.angle, tt.scale, tt.down, tt.right)
		for i := range x {
			if math.Abs(float64(x[i]-tt.want[i])) > 1e-5 {
				t.Errorf("%s: got %v, want %v", tt.name, x, tt.want)
				break
			}
		}
	}
}

// Mixed pixels come from both images in the shares that are said.
func TestMix(t *testing.T) {
	c := newCanvas(2, 8, 8)
	for _, a := range []*Augmentation{{Mixup: .3}, {CutMix: 1}, {Mixup: 2, CutMix: .5}} {
		for i := range uint64(200) {
			x, y := make([]float32, 128), slices.Repeat([]float32{1}, 128)
			share := a.mix(x, y, c, random(1, 2, i))
			sum := 0.0
			for _, v := range x {
				if sum += float64(v); a.Mixup == 0 && v != 0 && v != 1 {
					t.Fatalf("a pixel of a cut image is %v", v)
				}
			}
			if got := 1 - sum/128; math.Abs(got-share) > 1e-6 {
				t.Fatalf("%+v: the share of the pixels is %v, said is %v", a, got, share)
			}
		}
	}
}

// Beta(a, a) has the mean 1/2 and the variance 1/(8a+4).
func TestBeta(t *testing.T) {
	for _, a := range []float64{.01, .2, 1, 5} {
		const n = 20000
		rng := random(1, 0, 0)
		sum, square := 0.0, 0.0
		for range n {
			v := beta(a, rng)
			if !(v >= 0 && v <= 1) {
				t.Fatalf("Beta(%v) gave %v", a, v)
			}
			sum += v
			square += (v - .5) * (v - .5)
		}
		// Five standard errors: the square of a value about its mean is below 1/4.
		if want := 1 / (8*a + 4); math.Abs(sum/n-.5) > 5*math.Sqrt(want/n) || math.Abs(square/n-want) > 5*.25/math.Sqrt(n) {
			t.Errorf("Beta(%v): mean %v, variance %v, want .5 and %v", a, sum/n, square/n, want)
		}
	}
}

// The steps are the same numbers for the same stream, and use it all.
func TestVary(t *testing.T) {
	c := newCanvas(1, 9, 9)
	a := &Augmentation{Rotate: 30, Shift: .3, Scale: .2, Crop: 2, Flip: true}
	make9 := func(index uint64) []float32 {
		x := make([]float32, 81)
		for i := range x {
			x[i] = float32(i)
		}
		a.vary(x, c, random(4, 1, index))
		return x
	}
	if !slices.Equal(make9(3), make9(3)) {
		t.Error("the same stream gave two images")
	}
	if slices.Equal(make9(3), make9(4)) {
		t.Error("two streams gave the same image")
	}
}

// Scaling keeps what is constant, averages when it makes smaller, and cuts the
// middle out.
func TestScale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.IntRange(1, 20)
		h, w, height, width := side.Draw(t, "h"), side.Draw(t, "w"), side.Draw(t, "height"), side.Draw(t, "width")
		p := picture{channels: 2, height: h, width: w, pixels: slices.Concat(slices.Repeat([]uint8{200}, h*w), slices.Repeat([]uint8{7}, h*w))}
		s := newScaler(rapid.SampledFrom([]string{FitCrop, FitStretch}).Draw(t, "fit"))
		want := slices.Concat(slices.Repeat([]uint8{200}, height*width), slices.Repeat([]uint8{7}, height*width))
		if q := s.fit(p, height, width); !slices.Equal(q.pixels, want) {
			t.Fatalf("got %v", q.pixels)
		}
	})
	s := newScaler(FitCrop)
	q := s.fit(picture{channels: 1, height: 2, width: 6, pixels: []uint8{0, 9, 10, 20, 99, 0, 0, 9, 10, 20, 99, 0}}, 2, 2)
	if !slices.Equal(q.pixels, []uint8{10, 20, 10, 20}) {
		t.Errorf("the middle is %v, want 10 20 10 20", q.pixels)
	}
	// A triangle of twice the width: weights 1 3 3 1 of 8 inside, 3 3 1 of 7 at the border.
	q = newScaler(FitStretch).fit(picture{channels: 1, height: 1, width: 4, pixels: []uint8{0, 70, 140, 210}}, 1, 2)
	if !slices.Equal(q.pixels, []uint8{50, 160}) {
		t.Errorf("made smaller: %v, want 50 160", q.pixels)
	}
}
