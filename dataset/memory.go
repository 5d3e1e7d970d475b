package dataset

import (
	"fmt"
	"slices"

	"ropewalk/tensor"
)

// A Memory is a Source whose examples are in memory, as bytes or floats.
type Memory struct {
	shape  tensor.Shape
	size   int // elements of an example
	pixels []uint8
	floats []float32
	labels []int
}

// NewPixels returns a source of examples of the given shape. pixels holds them one
// after the other; an element becomes value/255. The slices are kept. It fails if
// their lengths do not fit each other, or a label is negative.
func NewPixels(shape tensor.Shape, pixels []uint8, labels []int) (*Memory, error) {
	return newMemory(&Memory{shape: slices.Clone(shape), pixels: pixels, labels: labels}, len(pixels))
}

// NewFloats is as [NewPixels] for values that are taken as they are.
func NewFloats(shape tensor.Shape, values []float32, labels []int) (*Memory, error) {
	return newMemory(&Memory{shape: slices.Clone(shape), floats: values, labels: labels}, len(values))
}

func newMemory(m *Memory, n int) (*Memory, error) {
	elems, err := m.shape.Elems()
	if err != nil {
		return nil, err
	}
	if elems == 0 || int64(n)/elems != int64(len(m.labels)) || int64(n)%elems != 0 {
		return nil, fmt.Errorf("%d values are not %d examples of %v", n, len(m.labels), m.shape)
	}
	for i, c := range m.labels {
		if c < 0 {
			return nil, fmt.Errorf("example %d has the label %d; labels are not negative", i, c)
		}
	}
	m.size = int(elems)
	return m, nil
}

// Len implements Source.
func (m *Memory) Len() int { return len(m.labels) }

// Shape implements Source.
func (m *Memory) Shape() tensor.Shape { return m.shape }

// Label implements Source.
func (m *Memory) Label(i int) int { return m.labels[i] }

// Example implements Source. It never fails.
func (m *Memory) Example(i int, dst []float32) error {
	checkLen(dst, m.size)
	at := i * m.size
	if m.pixels == nil {
		copy(dst, m.floats[at:at+m.size])
		return nil
	}
	for k, p := range m.pixels[at : at+m.size] {
		dst[k] = unit[p]
	}
	return nil
}

// unit is value/255 in float32, which is what others compute, too.
var unit = func() (u [256]float32) {
	for i := range u {
		u[i] = float32(i) / 255
	}
	return u
}()

func checkLen(dst []float32, size int) {
	if len(dst) != size {
		panic(fmt.Sprintf("dataset: room for %d values, but an example has %d", len(dst), size))
	}
}

// conform brings images to the size and the channels that o asks for.
func (m *Memory) conform(o *Options) (*Memory, error) {
	if o.Size == [2]int{} && o.Channels == 0 {
		return m, nil
	}
	if len(m.shape) != 3 {
		return nil, fmt.Errorf("examples are %v; only images (channels, height, width) can be given a size or a number of channels", m.shape)
	}
	from := picture{channels: int(m.shape[0]), height: int(m.shape[1]), width: int(m.shape[2])}
	to := from
	if o.Size != [2]int{} {
		to.height, to.width = o.Size[0], o.Size[1]
	}
	if o.Channels != 0 {
		to.channels = o.Channels
	}
	if to.sameSize(from) && to.channels == from.channels {
		return m, nil
	}
	if to.channels != from.channels && from.channels != 1 && from.channels != 3 {
		return nil, fmt.Errorf("cannot make %d channels of %d", to.channels, from.channels)
	}
	width := int64(1)
	if m.pixels == nil {
		width = 4
	}
	size := to.elems()
	if need := width * int64(size) * int64(m.Len()); need > o.Memory {
		return nil, tooLarge(m.Len(), to.shape(), need, o.Memory)
	}
	out := &Memory{shape: to.shape(), size: size, labels: m.labels}
	if m.pixels != nil {
		out.pixels = make([]uint8, size*m.Len())
	} else {
		out.floats = make([]float32, size*m.Len())
	}
	s := newScaler(o.Fit)
	for i := range m.labels {
		if m.pixels != nil {
			from.pixels = append(from.pixels[:0], m.pixels[i*m.size:][:m.size]...)
			p := s.fit(from.withChannels(to.channels), to.height, to.width)
			copy(out.pixels[i*size:], p.pixels)
			continue
		}
		planes := channelsOfFloats(m.floats[i*m.size:][:m.size], from.channels, to.channels)
		s.fitFloats(out.floats[i*size:][:size], planes, from.height, from.width, to.height, to.width)
	}
	return out, nil
}

func tooLarge(n int, shape tensor.Shape, need, memory int64) error {
	return fmt.Errorf("%d examples of %v take %d bytes of memory, and %d are allowed; raise the limit, or make images smaller with a size", n, shape, need, memory)
}
