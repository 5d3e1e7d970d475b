package dataset

import "math"

// A scaler changes the size of images. It remembers filters, since images of one
// set mostly have few sizes. It is not safe for concurrent use.
type scaler struct {
	how     string // FitCrop or FitStretch
	filters map[[2]int][]tap
	rows    []float32
}

// A tap is how one element comes from neighbours: from first on, with weights.
type tap struct {
	first   int
	weights []float32
}

// maxFilters bounds what a scaler remembers.
const maxFilters = 64

func newScaler(how string) *scaler {
	return &scaler{how: how, filters: map[[2]int][]tap{}}
}

// filter returns the taps of a triangle filter that makes n elements of m. Where
// there are fewer after than before, it is as much wider, and so averages.
func (s *scaler) filter(m, n int) []tap {
	if f, ok := s.filters[[2]int{m, n}]; ok {
		return f
	}
	step := float64(m) / float64(n)
	reach := max(step, 1)
	taps := make([]tap, n)
	for i := range taps {
		centre := (float64(i) + 0.5) * step
		first := max(0, int(math.Floor(centre-reach+0.5)))
		last := min(m, int(math.Floor(centre+reach+0.5)))
		sum := 0.0
		w := make([]float64, last-first)
		for k := range w {
			w[k] = max(0, 1-math.Abs((float64(first+k)-centre+0.5)/reach))
			sum += w[k]
		}
		taps[i] = tap{first, make([]float32, len(w))}
		for k := range w {
			taps[i].weights[k] = float32(w[k] / sum)
		}
	}
	if len(s.filters) >= maxFilters {
		clear(s.filters)
	}
	s.filters[[2]int{m, n}] = taps
	return taps
}

// cover returns the size that an image of h x w is scaled to, before the middle of
// height x width is cut out.
func (s *scaler) cover(h, w, height, width int) (int, int) {
	if s.how == FitStretch {
		return height, width
	}
	f := max(float64(height)/float64(h), float64(width)/float64(w))
	return max(height, int(math.Round(f*float64(h)))), max(width, int(math.Round(f*float64(w))))
}

// fit returns p in another size.
func (s *scaler) fit(p picture, height, width int) picture {
	if p.height == height && p.width == width {
		return p
	}
	in := make([]float32, p.elems())
	for i, v := range p.pixels {
		in[i] = float32(v)
	}
	q := picture{channels: p.channels, height: height, width: width}
	out := make([]float32, q.elems())
	s.fitFloats(out, in, p.height, p.width, height, width)
	q.pixels = make([]uint8, len(out))
	for i, v := range out {
		q.pixels[i] = uint8(min(max(math.Round(float64(v)), 0), 255))
	}
	return q
}

// fitFloats scales planes of h x w in src to planes of height x width in dst.
func (s *scaler) fitFloats(dst, src []float32, h, w, height, width int) {
	if h == height && w == width {
		copy(dst, src)
		return
	}
	ch, cw := s.cover(h, w, height, width)
	down, across := s.filter(h, ch), s.filter(w, cw)
	down, across = down[(ch-height)/2:][:height], across[(cw-width)/2:][:width]
	if cap(s.rows) < h*width {
		s.rows = make([]float32, h*width)
	}
	rows := s.rows[:h*width]
	for len(src) > 0 {
		for y := range h {
			line := src[y*w : (y+1)*w]
			for x, t := range across {
				sum := float32(0)
				for k, f := range t.weights {
					sum += f * line[t.first+k]
				}
				rows[y*width+x] = sum
			}
		}
		for y, t := range down {
			out := dst[y*width : (y+1)*width]
			clear(out)
			for k, f := range t.weights {
				for x, v := range rows[(t.first+k)*width : (t.first+k+1)*width] {
					out[x] += f * v
				}
			}
		}
		src, dst = src[h*w:], dst[height*width:]
	}
}
