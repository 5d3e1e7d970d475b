package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"

	"ropewalk/tensor"
)

// MaxPixels bounds the pixels of an image file, which says itself how many it has.
// The largest of ImageNet has 61 million.
const MaxPixels = 1 << 26

// A picture is an image in planes: (channels, height, width), one or three channels.
type picture struct {
	channels, height, width int
	pixels                  []uint8
}

func (p picture) elems() int { return p.channels * p.height * p.width }

func (p picture) sameSize(q picture) bool { return p.height == q.height && p.width == q.width }

func (p picture) shape() tensor.Shape {
	return tensor.Shape{int64(p.channels), int64(p.height), int64(p.width)}
}

var errFormat = errors.New("neither PNG nor JPEG")

// codec returns the functions of an image's format, known by its first bytes.
func codecOf(raw []byte) (config func(raw []byte) (image.Config, error), decode func(raw []byte) (image.Image, error), err error) {
	switch {
	case bytes.HasPrefix(raw, []byte("\x89PNG\r\n\x1a\n")):
		return func(raw []byte) (image.Config, error) { return png.DecodeConfig(bytes.NewReader(raw)) },
			func(raw []byte) (image.Image, error) { return png.Decode(bytes.NewReader(raw)) }, nil
	case bytes.HasPrefix(raw, []byte("\xff\xd8")):
		return func(raw []byte) (image.Config, error) { return jpeg.DecodeConfig(bytes.NewReader(raw)) },
			func(raw []byte) (image.Image, error) { return jpeg.Decode(bytes.NewReader(raw)) }, nil
	}
	return nil, nil, errFormat
}

// maxRatio is how many bytes deflate makes of one, at most.
const maxRatio = 1032

// pictureSize reads the header of an image: its size, and one or three channels.
func pictureSize(raw []byte) (picture, error) {
	config, _, err := codecOf(raw)
	if err != nil {
		return picture{}, err
	}
	c, err := config(raw)
	if err != nil {
		return picture{}, err
	}
	if c.Width < 1 || c.Height < 1 || int64(c.Width)*int64(c.Height) > MaxPixels {
		return picture{}, fmt.Errorf("%dx%d pixels are not read; want 1 to %d", c.Height, c.Width, MaxPixels)
	}
	// A pixel of PNG has a bit at least, and the decoder reserves them all before it
	// reads one.
	if raw[0] == 0x89 && int64(c.Width)*int64(c.Height)/8 > maxRatio*int64(len(raw)) {
		return picture{}, fmt.Errorf("%d bytes cannot hold %dx%d pixels", len(raw), c.Height, c.Width)
	}
	p := picture{channels: 3, height: c.Height, width: c.Width}
	if c.ColorModel == color.GrayModel || c.ColorModel == color.Gray16Model {
		p.channels = 1
	}
	return p, nil
}

// decodePicture decodes an image. An alpha channel is dropped, as if everything was
// opaque; sixteen bits become the upper eight.
func decodePicture(raw []byte) (picture, error) {
	want, err := pictureSize(raw)
	if err != nil {
		return picture{}, err
	}
	_, decode, err := codecOf(raw)
	if err != nil {
		return picture{}, err
	}
	img, err := decode(raw)
	if err != nil {
		return picture{}, err
	}
	return planes(img, want.channels), nil
}

// planes splits an image into one grey or three colour planes.
func planes(img image.Image, channels int) picture {
	b := img.Bounds()
	p := picture{channels: channels, height: b.Dy(), width: b.Dx()}
	n := p.height * p.width
	p.pixels = make([]uint8, channels*n)
	if channels == 1 {
		for y := range p.height {
			for x := range p.width {
				p.pixels[y*p.width+x] = grey(img, b.Min.X+x, b.Min.Y+y)
			}
		}
		return p
	}
	red, green, blue := p.pixels[:n], p.pixels[n:2*n], p.pixels[2*n:]
	if m, ok := img.(*image.YCbCr); ok {
		colourPlanes(m, red, green, blue)
		return p
	}
	for y := range p.height {
		for x := range p.width {
			k := y*p.width + x
			red[k], green[k], blue[k] = colour(img, b.Min.X+x, b.Min.Y+y)
		}
	}
	return p
}

func grey(img image.Image, x, y int) uint8 {
	switch m := img.(type) {
	case *image.Gray:
		return m.GrayAt(x, y).Y
	case *image.Gray16:
		return uint8(m.Gray16At(x, y).Y >> 8)
	}
	return color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y
}

func colour(img image.Image, x, y int) (r, g, b uint8) {
	switch m := img.(type) {
	case *image.RGBA: // of PNG: always opaque
		at := m.PixOffset(x, y)
		return m.Pix[at], m.Pix[at+1], m.Pix[at+2]
	case *image.NRGBA:
		at := m.PixOffset(x, y)
		return m.Pix[at], m.Pix[at+1], m.Pix[at+2]
	case *image.NRGBA64:
		c := m.NRGBA64At(x, y)
		return uint8(c.R >> 8), uint8(c.G >> 8), uint8(c.B >> 8)
	}
	c := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
	return c.R, c.G, c.B
}

// withChannels makes a grey image of a colour one (luma of ITU-R BT.601), or three
// equal planes of a grey one.
func (p picture) withChannels(channels int) picture {
	if p.channels == channels {
		return p
	}
	n := p.height * p.width
	q := picture{channels: channels, height: p.height, width: p.width, pixels: make([]uint8, channels*n)}
	if channels == 3 {
		for c := range 3 {
			copy(q.pixels[c*n:], p.pixels)
		}
		return q
	}
	for i := range n {
		r, g, b := uint32(p.pixels[i]), uint32(p.pixels[n+i]), uint32(p.pixels[2*n+i])
		q.pixels[i] = uint8((19595*r + 38470*g + 7471*b + 1<<15) >> 16)
	}
	return q
}

// channelsOfFloats is withChannels for floats.
func channelsOfFloats(values []float32, from, to int) []float32 {
	if from == to {
		return values
	}
	n := len(values) / from
	out := make([]float32, to*n)
	if to == 3 {
		for c := range 3 {
			copy(out[c*n:], values)
		}
		return out
	}
	for i := range n {
		out[i] = 0.299*values[i] + 0.587*values[n+i] + 0.114*values[2*n+i]
	}
	return out
}
