package dataset

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// An Augmentation is how training examples are varied at random. The zero value
// leaves them as they are. The steps are in the order of the fields; new pixels at
// the border are black.
type Augmentation struct {
	// Rotate is the most degrees that an image is turned, either way: 0 to 180.
	Rotate float64 `json:"rotate,omitempty"`
	// Shift is the most that it moves along each axis, as a fraction of its length:
	// 0 to 1.
	Shift float64 `json:"shift,omitempty"`
	// Scale is the most that it grows or shrinks, as a factor less one: 0.1 is from
	// 1/1.1 to 1.1.
	Scale float64 `json:"scale,omitempty"`
	// Crop is the pixels of border around an image, out of which its own size is
	// cut: 4 is usual for CIFAR.
	Crop int `json:"crop,omitempty"`
	// Flip mirrors every other image, left to right.
	Flip bool `json:"flip,omitempty"`
	// Mixup is the parameter of the Beta distribution by which an example is averaged
	// with another (Zhang et al., 2018): 0.2 to 1 are usual, 0 is off. It makes soft
	// targets.
	Mixup float64 `json:"mixup,omitempty"`
	// CutMix is that by which a rectangle is taken from another example (Yun et al.,
	// 2019): 1 is usual, 0 is off. Where Mixup is set, too, each example takes one of
	// the two. It makes soft targets.
	CutMix float64 `json:"cutmix,omitempty"`
}

// Soft reports whether a makes soft targets.
func (a *Augmentation) Soft() bool { return a != nil && (a.Mixup > 0 || a.CutMix > 0) }

// moves reports whether a rotates, shifts or scales.
func (a *Augmentation) moves() bool { return a.Rotate != 0 || a.Shift != 0 || a.Scale != 0 }

const maxCrop = 1 << 10

// Check says whether a is in its ranges, and for examples like those of s.
func (a *Augmentation) Check(s Source) error {
	if a == nil {
		return nil
	}
	for _, r := range []struct {
		name      string
		value, to float64
	}{{"rotate", a.Rotate, 180}, {"shift", a.Shift, 1}, {"scale", a.Scale, 10}, {"crop", float64(a.Crop), maxCrop}, {"mixup", a.Mixup, 100}, {"cutmix", a.CutMix, 100}} {
		if !(r.value >= 0 && r.value <= r.to) {
			return fmt.Errorf("augmentation: %s is %v; want 0 to %v", r.name, r.value, r.to)
		}
	}
	if (a.moves() || a.Crop != 0 || a.Flip || a.CutMix != 0) && len(s.Shape()) != 3 {
		return fmt.Errorf("augmentation: examples are %v; only mixup is possible where they are not images (channels, height, width)", s.Shape())
	}
	return nil
}

// A canvas is the room that one goroutine needs to vary images.
type canvas struct {
	channels, height, width int
	black                   []float32
	copied                  []float32
}

// vary changes the image x in place. What it does follows from rng alone.
func (a *Augmentation) vary(x []float32, c *canvas, rng *rand.Rand) {
	if a.moves() {
		// All numbers are drawn whatever is zero, so that one setting does not change
		// what another one does.
		angle := a.Rotate * math.Pi / 180 * (2*rng.Float64() - 1)
		down := a.Shift * float64(c.height) * (2*rng.Float64() - 1)
		right := a.Shift * float64(c.width) * (2*rng.Float64() - 1)
		scale := math.Pow(1+a.Scale, 2*rng.Float64()-1)
		c.affine(x, angle, scale, down, right)
	}
	if a.Crop > 0 {
		down, right := rng.IntN(2*a.Crop+1)-a.Crop, rng.IntN(2*a.Crop+1)-a.Crop
		c.crop(x, down, right)
	}
	if a.Flip && rng.IntN(2) == 1 {
		flip(x, c.width)
	}
}

// crop moves the image: pixel (y, x) is what was at (y+down, x+right).
func (c *canvas) crop(x []float32, down, right int) {
	c.copied = append(c.copied[:0], x...)
	for k := range c.channels {
		from, to := c.plane(c.copied, k), c.plane(x, k)
		for i := range to {
			to[i] = c.black[k]
		}
		for y := max(0, -down); y < min(c.height, c.height-down); y++ {
			first, last := max(0, -right), min(c.width, c.width-right)
			if first < last {
				copy(to[y*c.width+first:y*c.width+last], from[(y+down)*c.width+first+right:])
			}
		}
	}
}

func (c *canvas) plane(x []float32, k int) []float32 {
	n := c.height * c.width
	return x[k*n : (k+1)*n]
}

// flip mirrors each row.
func flip(x []float32, width int) {
	for ; len(x) > 0; x = x[width:] {
		for i, k := 0, width-1; i < k; i, k = i+1, k-1 {
			x[i], x[k] = x[k], x[i]
		}
	}
}

// affine turns the image by angle (radians, counter-clockwise) about its centre,
// makes it scale times as large, and moves it down and right. Between pixels it
// interpolates linearly.
func (c *canvas) affine(x []float32, angle, scale, down, right float64) {
	c.copied = append(c.copied[:0], x...)
	sin, cos := math.Sincos(angle)
	sin, cos = sin/scale, cos/scale
	my, mx := float64(c.height-1)/2, float64(c.width-1)/2
	for y := range c.height {
		for i := range c.width {
			dy, dx := float64(y)-my-down, float64(i)-mx-right
			// Where it comes from: the inverse map. y goes down.
			sy, sx := my+sin*dx+cos*dy, mx+cos*dx-sin*dy
			fy, fx := math.Floor(sy), math.Floor(sx)
			wy, wx := float32(sy-fy), float32(sx-fx)
			y0, x0 := int(fy), int(fx)
			for k := range c.channels {
				p, b := c.plane(c.copied, k), c.black[k]
				top := (1-wx)*c.at(p, b, y0, x0) + wx*c.at(p, b, y0, x0+1)
				bottom := (1-wx)*c.at(p, b, y0+1, x0) + wx*c.at(p, b, y0+1, x0+1)
				c.plane(x, k)[y*c.width+i] = (1-wy)*top + wy*bottom
			}
		}
	}
}

func (c *canvas) at(p []float32, black float32, y, x int) float32 {
	if y < 0 || y >= c.height || x < 0 || x >= c.width {
		return black
	}
	return p[y*c.width+x]
}

// mix puts a part of the example y into x, and returns the share that stays x's.
func (a *Augmentation) mix(x, y []float32, c *canvas, rng *rand.Rand) float64 {
	cut := a.CutMix > 0 && (a.Mixup == 0 || rng.IntN(2) == 1)
	if !cut {
		share := beta(a.Mixup, rng)
		own := float32(share)
		for i, v := range y {
			x[i] = own*x[i] + (1-own)*v
		}
		return share
	}
	// A rectangle of (1-share) of the area, about a point anywhere, cut at the border.
	side := math.Sqrt(1 - beta(a.CutMix, rng))
	h, w := int(side*float64(c.height)), int(side*float64(c.width))
	cy, cx := rng.IntN(c.height), rng.IntN(c.width)
	y0, y1 := max(0, cy-h/2), min(c.height, cy-h/2+h)
	x0, x1 := max(0, cx-w/2), min(c.width, cx-w/2+w)
	for k := range c.channels {
		to, from := c.plane(x, k), c.plane(y, k)
		for row := y0; row < y1; row++ {
			copy(to[row*c.width+x0:row*c.width+x1], from[row*c.width+x0:])
		}
	}
	return 1 - float64((y1-y0)*(x1-x0))/float64(c.height*c.width)
}

// beta draws from the symmetric Beta distribution: the share of one of two Gamma
// variables in their sum, in logarithms, since small parameters make tiny ones.
func beta(a float64, rng *rand.Rand) float64 {
	x, y := logGamma(a, rng), logGamma(a, rng)
	return 1 / (1 + math.Exp(y-x))
}

// logGamma draws the logarithm of a Gamma variable (Marsaglia and Tsang, 2000), by
// way of the one with parameter a+1 below 1.
func logGamma(a float64, rng *rand.Rand) float64 {
	if a < 1 {
		return logGamma(a+1, rng) + math.Log(1-rng.Float64())/a
	}
	d := a - 1./3
	c := 1 / math.Sqrt(9*d)
	for {
		n := rng.NormFloat64()
		v := 1 + c*n
		if v <= 0 {
			continue
		}
		v = v * v * v
		if u := 1 - rng.Float64(); math.Log(u) < n*n/2+d-d*v+d*math.Log(v) {
			return math.Log(d) + math.Log(v)
		}
	}
}
