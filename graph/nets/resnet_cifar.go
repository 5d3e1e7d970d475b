package nets

import (
	"fmt"
	"math"

	"ropewalk/graph"
	"ropewalk/tensor"
)

// The networks of He et al., 2015, section 4.2, as akamaster/pytorch_resnet_cifar10
// has them: 6n+2 layers.
var cifarResnets = []plan{
	{"resnet20", 10, cifar, cifarResnet(3)},
	{"resnet32", 10, cifar, cifarResnet(5)},
	{"resnet44", 10, cifar, cifarResnet(7)},
	{"resnet56", 10, cifar, cifarResnet(9)},
	{"resnet110", 10, cifar, cifarResnet(18)},
}

func cifarResnet(n int) func(*builder, value) {
	return func(b *builder, x value) {
		conv := func(x value, name string, out, stride int64) value {
			return b.conv(x, name, convolution{out: out, kernel: 3, stride: stride, pad: 1, weight: heIn})
		}
		x = b.relu(b.norm(conv(x, "conv1", 16, 1), "bn1", torchNorm), "relu")
		for layer := range 3 {
			out := int64(16) << layer
			for block := range n {
				at := fmt.Sprintf("layer%d.%d.", layer+1, block)
				stride := int64(1)
				if layer > 0 && block == 0 {
					stride = 2
				}
				y := b.relu(b.norm(conv(x, at+"conv1", out, stride), at+"bn1", torchNorm), at+"relu1")
				y = b.norm(conv(y, at+"conv2", out, 1), at+"bn2", torchNorm)
				x = b.relu(b.add(y, b.shortcut(x, at+"shortcut", out, stride), at+"add"), at+"relu2")
			}
		}
		x = b.flatten(b.globalPool(x, "avgpool"))
		b.head(x, "linear", linear{heIn, torchBias})
	}
}

// shortcut is option A of the paper: every second pixel, and zeros for the channels
// that are new, half of them before and half behind.
func (b *builder) shortcut(x value, name string, out, stride int64) value {
	if stride == 1 && out == x.channels() {
		return x
	}
	shape := tensor.Shape{x.channels(), (x.shape[1] + stride - 1) / stride, (x.shape[2] + stride - 1) / stride}
	end := int64(math.MaxInt64)
	x = b.node("Slice", name+".slice", shape, nil, x.name, b.ints("shortcut.starts", 0, 0), b.ints("shortcut.ends", end, end),
		b.ints("shortcut.axes", 2, 3), b.ints("shortcut.steps", stride, stride))
	side := (out - x.channels()) / 2
	return b.node("Pad", name+".pad", tensor.Shape{out, shape[1], shape[2]}, graph.Attributes{"mode": "constant"}, x.name,
		b.ints(name+".pads", 0, side, 0, 0, 0, side, 0, 0))
}
