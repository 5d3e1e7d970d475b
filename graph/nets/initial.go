package nets

import (
	"fmt"
	"hash/fnv"
	"io"
	"math"

	"ropewalk/tensor"
)

// A distribution is what initial values are drawn from.
type distribution struct {
	kind  kind
	scale float64 // the constant, the standard deviation, or the bound
}

type kind int

const (
	constant kind = iota
	normal        // mean 0, standard deviation scale
	uniform       // from -scale to scale
)

var (
	zeros = distribution{constant, 0}
	ones  = distribution{constant, 1}
)

// Distributions of weights, by fan-in and fan-out.

// heIn and heOut keep the variance through ReLU, forward or backward (He et al.,
// 2015, equations 10 and 14).
func heIn(in, _ int64) distribution   { return distribution{normal, math.Sqrt(2 / float64(in))} }
func heOut(_, out int64) distribution { return distribution{normal, math.Sqrt(2 / float64(out))} }

// torchDefault is what torch gives layers that nobody initialises.
func torchDefault(in, _ int64) distribution { return distribution{uniform, 1 / math.Sqrt(float64(in))} }

// caffeXavier is the filler of Caffe's LeNet: uniform, variance 1/fan-in.
func caffeXavier(in, _ int64) distribution { return distribution{uniform, math.Sqrt(3 / float64(in))} }

// glorot is that of Glorot and Bengio, 2010, equation 16.
func glorot(in, out int64) distribution {
	return distribution{uniform, math.Sqrt(6 / float64(in+out))}
}

// lecun keeps the variance through what is linear.
func lecun(in, _ int64) distribution { return distribution{normal, math.Sqrt(1 / float64(in))} }

// small is the normal distribution of the classifiers of VGG and MobileNet.
func small(_, _ int64) distribution { return distribution{normal, 0.01} }

// Distributions of biases, by the fan-in of their layer.

func zeroBias(int64) distribution                    { return zeros }
func torchBias(in int64) distribution                { return torchDefault(in, 0) }
func always(d distribution) func(int64) distribution { return func(int64) distribution { return d } }

// initialTensor returns a tensor whose values are computed when they are read.
func initialTensor(net string, seed uint64, name string, d distribution, shape tensor.Shape) *tensor.Tensor {
	n, err := shape.Elems()
	if err != nil {
		panic(fmt.Sprintf("nets: internal error: %s of shape %v: %v", name, shape, err))
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, net+"\x00"+name) // never fails
	return &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: initial{d, mixed(mixed(seed) ^ h.Sum64()), n}}
}

// initial is the bytes of a tensor of n floats that follow from a key. Each value
// follows from its place alone, so any part can be read at any time.
type initial struct {
	d   distribution
	key uint64
	n   int64
}

// Size implements tensor.Data.
func (v initial) Size() int64 { return 4 * v.n }

// ReadAt implements tensor.Data.
func (v initial) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("initial weights: a read at %d", off)
	}
	n := int(min(int64(len(p)), max(v.Size()-off, 0)))
	for k := 0; k < n; {
		at := off + int64(k)
		bits := math.Float32bits(v.value(at / 4))
		for shift := at % 4; shift < 4 && k < n; shift++ {
			p[k] = byte(bits >> (8 * shift))
			k++
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// value returns value i.
func (v initial) value(i int64) float32 {
	if v.d.kind == constant {
		return float32(v.d.scale)
	}
	// Strictly between -1 and 1.
	u := (float64(mixed(v.key+uint64(i)*golden)>>11)+0.5)/(1<<52) - 1
	if v.d.kind == uniform {
		return float32(v.d.scale * u)
	}
	return float32(v.d.scale * math.Sqrt2 * math.Erfinv(u))
}

const golden = 0x9e3779b97f4a7c15

// mixed is the finalizer of SplitMix64: a bijection without visible structure.
func mixed(x uint64) uint64 {
	x += golden
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
