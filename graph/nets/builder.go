package nets

import (
	"encoding/binary"
	"fmt"
	"slices"

	"ropewalk/graph"
	"ropewalk/tensor"
)

// A value is a name with the shape of an example: the batch axis is left out.
type value struct {
	name  string
	shape tensor.Shape
}

func (v value) channels() int64 { return v.shape[0] }

// A builder collects nodes and tensors. After an error it goes on, and keeps the
// first.
type builder struct {
	net       string
	seed      uint64
	classes   int64
	widths    []int64 // of hidden layers that are still to come; nil for the usual ones
	nodes     []*graph.Node
	state     []*tensor.Tensor
	constants []*tensor.Tensor
	err       error
}

func (b *builder) fail(format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf(format, args...)
	}
}

// width returns the units of the next hidden layer, which are usually so many.
func (b *builder) width(usual int64) int64 {
	if b.widths == nil {
		return usual
	}
	w := b.widths[0]
	b.widths = b.widths[1:]
	return w
}

// node adds an operator, whose output has its name.
func (b *builder) node(op, name string, shape tensor.Shape, a graph.Attributes, inputs ...string) value {
	if a == nil {
		a = graph.Attributes{}
	}
	b.nodes = append(b.nodes, &graph.Node{Name: name, Op: op, Inputs: inputs, Outputs: []string{name}, Attributes: a})
	return value{name, shape}
}

// weight adds a tensor of the state.
func (b *builder) weight(name string, d distribution, shape ...int64) string {
	b.state = append(b.state, initialTensor(b.net, b.seed, name, d, shape))
	return name
}

// ints adds a constant of integers, once for each name.
func (b *builder) ints(name string, values ...int64) string {
	raw := make([]byte, 0, 8*len(values))
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return b.constant(&tensor.Tensor{Name: name, DType: tensor.I64, Shape: tensor.Shape{int64(len(values))}, Data: tensor.Bytes(raw)})
}

// index adds a constant that is one integer without axes.
func (b *builder) index(name string, i int64) string {
	raw := binary.LittleEndian.AppendUint64(nil, uint64(i))
	return b.constant(&tensor.Tensor{Name: name, DType: tensor.I64, Shape: tensor.Shape{}, Data: tensor.Bytes(raw)})
}

// scalar adds a constant that is one float without axes.
func (b *builder) scalar(name string, v float32) string {
	raw := tensor.F32.AppendFloats(nil, []float32{v})
	return b.constant(&tensor.Tensor{Name: name, DType: tensor.F32, Shape: tensor.Shape{}, Data: tensor.Bytes(raw)})
}

func (b *builder) constant(t *tensor.Tensor) string {
	if !slices.ContainsFunc(b.constants, func(c *tensor.Tensor) bool { return c.Name == t.Name }) {
		b.constants = append(b.constants, t)
	}
	return t.Name
}

// A convolution is what conv adds. The zero values of group and stride are 1.
type convolution struct {
	out, kernel, stride, pad, group int64
	weight                          func(in, out int64) distribution // of fan-in and fan-out
	bias                            func(in int64) distribution      // nil for none
}

// conv adds a Conv with the tensors name.weight and name.bias.
func (b *builder) conv(x value, name string, c convolution) value {
	c.stride, c.group = max(c.stride, 1), max(c.group, 1)
	area := c.kernel * c.kernel
	if x.channels()%c.group != 0 || c.out%c.group != 0 {
		panic(fmt.Sprintf("nets: internal error: layer %s of %s", name, b.net))
	}
	// As torch counts: fan-out takes all output channels, whatever the groups.
	in, out := x.channels()/c.group*area, c.out*area
	inputs := []string{x.name, b.weight(name+".weight", c.weight(in, out), c.out, x.channels()/c.group, c.kernel, c.kernel)}
	if c.bias != nil {
		inputs = append(inputs, b.weight(name+".bias", c.bias(in), c.out))
	}
	shape := b.window(x, name, c.out, c.kernel, c.stride, c.pad)
	a := window(c.kernel, c.stride, c.pad)
	if c.group != 1 {
		a["group"] = c.group
	}
	return b.node("Conv", name, shape, a, inputs...)
}

// window returns the shape of what slides a square over x.
func (b *builder) window(x value, name string, channels, kernel, stride, pad int64) tensor.Shape {
	h, w := x.shape[1]+2*pad-kernel, x.shape[2]+2*pad-kernel
	if h < 0 || w < 0 {
		b.fail("layer %s gets %dx%d pixels and needs %d along each axis; the input is too small", name, x.shape[1], x.shape[2], kernel-2*pad)
		return tensor.Shape{channels, 1, 1}
	}
	return tensor.Shape{channels, h/stride + 1, w/stride + 1}
}

func window(kernel, stride, pad int64) graph.Attributes {
	a := graph.Attributes{"kernel_shape": []int64{kernel, kernel}}
	if stride != 1 {
		a["strides"] = []int64{stride, stride}
	}
	if pad != 0 {
		a["pads"] = []int64{pad, pad, pad, pad}
	}
	return a
}

// A batchNorm is how statistics are normalised: momentum is torch's, the share of
// the new ones.
type batchNorm struct{ eps, momentum float64 }

var torchNorm = batchNorm{1e-5, 0.1}

// norm adds a BatchNormalization with the four tensors of torch.
func (b *builder) norm(x value, name string, n batchNorm) value {
	c := x.channels()
	return b.node("BatchNormalization", name, x.shape, graph.Attributes{"epsilon": n.eps, "momentum": 1 - n.momentum}, x.name,
		b.weight(name+".weight", ones, c), b.weight(name+".bias", zeros, c),
		b.weight(name+".running_mean", zeros, c), b.weight(name+".running_var", ones, c))
}

// act adds an operator that works on each element.
func (b *builder) act(x value, op, name string) value { return b.node(op, name, x.shape, nil, x.name) }

func (b *builder) relu(x value, name string) value { return b.act(x, "Relu", name) }

// relu6 adds a Clip to 0..6.
func (b *builder) relu6(x value, name string) value {
	return b.node("Clip", name, x.shape, nil, x.name, b.scalar("relu6.min", 0), b.scalar("relu6.max", 6))
}

func (b *builder) add(x, y value, name string) value {
	if !x.shape.Equal(y.shape) {
		panic(fmt.Sprintf("nets: internal error: %s of %s adds %v and %v", name, b.net, x.shape, y.shape))
	}
	return b.node("Add", name, x.shape, nil, x.name, y.name)
}

// maxPool adds a pool of stride 2.
func (b *builder) maxPool(x value, name string, kernel, pad int64) value {
	return b.node("MaxPool", name, b.window(x, name, x.channels(), kernel, 2, pad), window(kernel, 2, pad), x.name)
}

// averageTo adds a pool that leaves side x side places, which have to divide x: what
// adaptive pooling does with equal windows.
func (b *builder) averageTo(x value, name string, side int64) value {
	h, w := x.shape[1], x.shape[2]
	if h == side && w == side {
		return x
	}
	if h%side != 0 || w%side != 0 {
		b.fail("the pool %s gets %dx%d pixels and needs a multiple of %d along each axis; choose another size of the input", name, h, w, side)
		return value{x.name, tensor.Shape{x.channels(), side, side}}
	}
	step := []int64{h / side, w / side}
	return b.node("AveragePool", name, tensor.Shape{x.channels(), side, side}, graph.Attributes{"kernel_shape": step, "strides": step}, x.name)
}

// globalPool adds the mean over all places.
func (b *builder) globalPool(x value, name string) value {
	return b.node("GlobalAveragePool", name, tensor.Shape{x.channels(), 1, 1}, nil, x.name)
}

// flatten makes a list of an example.
func (b *builder) flatten(x value) value {
	n, err := x.shape.Elems()
	if err != nil {
		b.fail("the last layer: %w", err)
	}
	return b.node("Flatten", "flatten", tensor.Shape{n}, nil, x.name)
}

// A linear is what a full layer is made of.
type linear struct {
	weight func(in, out int64) distribution
	bias   func(in int64) distribution
}

// full adds a Gemm with the tensors module.weight, (out, in), and module.bias. Its
// output is name.
func (b *builder) full(x value, module, name string, out int64, l linear) value {
	in := x.shape[len(x.shape)-1]
	return b.node("Gemm", name, tensor.Shape{out}, graph.Attributes{"transB": int64(1)}, x.name,
		b.weight(module+".weight", l.weight(in, out), out, in), b.weight(module+".bias", l.bias(in), out))
}

// head adds the last layer.
func (b *builder) head(x value, module string, l linear) { b.full(x, module, Output, b.classes, l) }

// dropout adds a Dropout, which does something in training only.
func (b *builder) dropout(x value, name string, ratio float32) value {
	return b.node("Dropout", name, x.shape, nil, x.name, b.scalar(name+".ratio", ratio))
}
