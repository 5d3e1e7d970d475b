package nets

import (
	"fmt"
	"strings"
)

// vggLayers are the columns A, B, D and E of Simonyan and Zisserman, 2014, table 1:
// convolutions of each of the five stages.
var vggLayers = []struct {
	name  string
	convs [5]int
}{
	{"vgg11", [5]int{1, 1, 2, 2, 2}},
	{"vgg13", [5]int{2, 2, 2, 2, 2}},
	{"vgg16", [5]int{2, 2, 3, 3, 3}},
	{"vgg19", [5]int{2, 2, 4, 4, 4}},
}

var vggs, cifarVGGs = func() (big, small []plan) {
	for _, l := range vggLayers {
		for _, norm := range []bool{false, true} {
			name := l.name
			if norm {
				name += "_bn"
			}
			big = append(big, plan{name, 1000, imagenet, vgg(l.convs, norm, false)})
			small = append(small, plan{name + "_cifar", 10, cifar, vgg(l.convs, norm, true)})
		}
	}
	return big, append(small, vggSmall)
}()

// vggSmall is a VGG for images of 28 × 28, for where one of millions of weights takes too
// long: two stages of two convolutions, of 32 and 64 channels, and a full layer of 128.
var vggSmall = plan{"vgg_small", 10, digits, func(b *builder, x value) {
	l := linear{torchDefault, torchBias}
	for stage, channels := range []int64{32, 64} {
		for i := range 2 {
			name := fmt.Sprintf("conv%d", 2*stage+i+1)
			x = b.conv(x, name, convolution{out: channels, kernel: 3, pad: 1, weight: torchDefault, bias: torchBias})
			x = b.relu(x, "relu"+name[4:])
		}
		x = b.maxPool(x, fmt.Sprintf("pool%d", stage+1), 2, 0)
	}
	x = b.relu(b.full(b.flatten(x), "fc1", "fc1", 128, l), "relu5")
	b.head(x, "fc2", l)
}}

// vgg has the three full layers of torchvision, or the single one of
// kuangliu/pytorch-cifar. Layers are numbered as in torch's Sequential, in which
// ReLU and pools count.
func vgg(convs [5]int, norm, single bool) func(*builder, value) {
	return func(b *builder, x value) {
		at := 0
		next := func() string {
			at++
			return fmt.Sprintf("features.%d", at-1)
		}
		c := convolution{kernel: 3, pad: 1, weight: heOut, bias: zeroBias}
		if single {
			c.weight, c.bias = torchDefault, torchBias
		}
		for stage, n := range convs {
			c.out = min(int64(64)<<stage, 512)
			for range n {
				x = b.conv(x, next(), c)
				if norm {
					x = b.norm(x, next(), torchNorm)
				}
				x = b.relu(x, next())
			}
			x = b.maxPool(x, next(), 2, 0)
		}
		if single {
			b.head(b.flatten(x), "classifier", linear{torchDefault, torchBias})
			return
		}
		b.classifier(b.averageTo(x, "avgpool", 7), "Gemm Relu Dropout Gemm Relu Dropout Gemm", linear{small, zeroBias})
	}
}

// classifier adds full layers of 4096 units, in the order of torch's Sequential.
func (b *builder) classifier(x value, order string, l linear) {
	x = b.flatten(x)
	ops := strings.Fields(order)
	for i, op := range ops {
		name := fmt.Sprintf("classifier.%d", i)
		switch {
		case i == len(ops)-1:
			b.head(x, name, l)
		case op == "Gemm":
			x = b.full(x, name, name, 4096, l)
		case op == "Dropout":
			x = b.dropout(x, name, 0.5)
		default:
			x = b.act(x, op, name)
		}
	}
}

var alexnets = []plan{{"alexnet", 1000, imagenet, alexnet}}

// alexnet is that of Krizhevsky, 2014 ("One weird trick"), as torchvision has it.
func alexnet(b *builder, x value) {
	conv := func(at int, out, kernel, stride, pad int64) {
		x = b.conv(x, fmt.Sprintf("features.%d", at), convolution{out: out, kernel: kernel, stride: stride, pad: pad, weight: torchDefault, bias: torchBias})
		x = b.relu(x, fmt.Sprintf("features.%d", at+1))
	}
	pool := func(at int) { x = b.maxPool(x, fmt.Sprintf("features.%d", at), 3, 0) }
	conv(0, 64, 11, 4, 2)
	pool(2)
	conv(3, 192, 5, 1, 2)
	pool(5)
	conv(6, 384, 3, 1, 1)
	conv(8, 256, 3, 1, 1)
	conv(10, 256, 3, 1, 1)
	pool(12)
	b.classifier(b.averageTo(x, "avgpool", 6), "Dropout Gemm Relu Dropout Gemm Relu Gemm", linear{torchDefault, torchBias})
}
