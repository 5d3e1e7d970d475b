package nets

import (
	"fmt"

	"ropewalk/graph"
)

var mobileNets = []plan{
	{"mobilenet_v2", 1000, imagenet, mobileNetV2(2, 2)},
	{"mobilenet_v3_large", 1000, imagenet, mobileNetV3Large},
}

// For small images the first two strides are 1, as in kuangliu/pytorch-cifar; names
// and shapes are those of torchvision.
var cifarMobileNets = []plan{{"mobilenet_v2_cifar", 10, cifar, mobileNetV2(1, 1)}}

// mobileClassifier is that of MobileNets in torchvision.
var mobileClassifier = linear{small, zeroBias}

// mobileNetV2 is table 2 of Sandler et al., 2018. The strides of the first layer and
// of the second stage are given.
func mobileNetV2(first, second int64) func(*builder, value) {
	stages := []struct{ expand, out, blocks, stride int64 }{
		{1, 16, 1, 1}, {6, 24, 2, second}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1},
	}
	return func(b *builder, x value) {
		// layer is name.0 (convolution), name.1 (norm) and name.2 (ReLU6).
		layer := func(x value, name string, out, kernel, stride, group int64) value {
			x = b.conv(x, name+".0", convolution{out: out, kernel: kernel, stride: stride, pad: kernel / 2, group: group, weight: heOut})
			return b.relu6(b.norm(x, name+".1", torchNorm), name+".2")
		}
		x = layer(x, "features.0", 32, 3, first, 1)
		at := 1
		for _, s := range stages {
			for block := range s.blocks {
				name := fmt.Sprintf("features.%d", at)
				at++
				stride := s.stride
				if block > 0 {
					stride = 1
				}
				y, k := x, 0
				next := func() string {
					k++
					return fmt.Sprintf("%s.conv.%d", name, k-1)
				}
				hidden := s.expand * x.channels()
				if s.expand != 1 {
					y = layer(y, next(), hidden, 1, 1, 1)
				}
				y = layer(y, next(), hidden, 3, stride, hidden)
				y = b.conv(y, next(), convolution{out: s.out, kernel: 1, weight: heOut})
				y = b.norm(y, next(), torchNorm)
				if stride == 1 && s.out == x.channels() {
					y = b.add(x, y, name+".add")
				}
				x = y
			}
		}
		x = layer(x, fmt.Sprintf("features.%d", at), 1280, 1, 1, 1)
		x = b.flatten(b.globalPool(x, "avgpool"))
		b.head(b.dropout(x, "classifier.0", 0.2), "classifier.1", mobileClassifier)
	}
}

// mobileNetV3Large is table 1 of Howard et al., 2019.
func mobileNetV3Large(b *builder, x value) {
	norm := batchNorm{1e-3, 0.01}
	layer := func(x value, name, act string, out, kernel, stride, group int64) value {
		x = b.conv(x, name+".0", convolution{out: out, kernel: kernel, stride: stride, pad: kernel / 2, group: group, weight: heOut})
		x = b.norm(x, name+".1", norm)
		if act == "" {
			return x
		}
		return b.act(x, act, name+".2")
	}
	x = layer(x, "features.0", "HardSwish", 16, 3, 2, 1)
	at := 1
	for _, s := range []struct {
		kernel, hidden, out int64
		squeeze             bool
		act                 string
		stride              int64
	}{
		{3, 16, 16, false, "Relu", 1},
		{3, 64, 24, false, "Relu", 2},
		{3, 72, 24, false, "Relu", 1},
		{5, 72, 40, true, "Relu", 2},
		{5, 120, 40, true, "Relu", 1},
		{5, 120, 40, true, "Relu", 1},
		{3, 240, 80, false, "HardSwish", 2},
		{3, 200, 80, false, "HardSwish", 1},
		{3, 184, 80, false, "HardSwish", 1},
		{3, 184, 80, false, "HardSwish", 1},
		{3, 480, 112, true, "HardSwish", 1},
		{3, 672, 112, true, "HardSwish", 1},
		{5, 672, 160, true, "HardSwish", 2},
		{5, 960, 160, true, "HardSwish", 1},
		{5, 960, 160, true, "HardSwish", 1},
	} {
		name := fmt.Sprintf("features.%d", at)
		at++
		y, k := x, 0
		next := func() string {
			k++
			return fmt.Sprintf("%s.block.%d", name, k-1)
		}
		if s.hidden != x.channels() {
			y = layer(y, next(), s.act, s.hidden, 1, 1, 1)
		}
		y = layer(y, next(), s.act, s.hidden, s.kernel, s.stride, s.hidden)
		if s.squeeze {
			y = b.squeezeExcite(y, next(), divisible(s.hidden/4))
		}
		y = layer(y, next(), "", s.out, 1, 1, 1)
		if s.stride == 1 && s.out == x.channels() {
			y = b.add(y, x, name+".add")
		}
		x = y
	}
	x = layer(x, fmt.Sprintf("features.%d", at), "HardSwish", 960, 1, 1, 1)
	x = b.flatten(b.globalPool(x, "avgpool"))
	x = b.act(b.full(x, "classifier.0", "classifier.0", 1280, mobileClassifier), "HardSwish", "classifier.1")
	b.head(b.dropout(x, "classifier.2", 0.2), "classifier.3", mobileClassifier)
}

// squeezeExcite multiplies each channel by what two layers make of the means of all.
func (b *builder) squeezeExcite(x value, name string, squeezed int64) value {
	conv := func(y value, layer string, out int64) value {
		return b.conv(y, name+layer, convolution{out: out, kernel: 1, weight: heOut, bias: zeroBias})
	}
	y := b.globalPool(x, name+".avgpool")
	y = b.relu(conv(y, ".fc1", squeezed), name+".activation")
	y = conv(y, ".fc2", x.channels())
	y = b.node("HardSigmoid", name+".scale_activation", y.shape, graph.Attributes{"alpha": 1. / 6, "beta": 0.5}, y.name)
	return b.node("Mul", name, x.shape, nil, x.name, y.name)
}

// divisible rounds to a multiple of 8, but not down by more than a tenth.
func divisible(n int64) int64 {
	m := max(8, (n+4)/8*8)
	if 10*m < 9*n {
		m += 8
	}
	return m
}
