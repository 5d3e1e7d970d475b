package nets

import (
	"slices"

	"ropewalk/tensor"
)

var lenets = []plan{
	{"lenet-300-100", 10, digits, lenet300},
	{"lenet5", 10, digits, lenet5},
	{"lenet5-relu", 10, digits, lenet5ReLU},
}

// hidden are the layers whose units can be more or fewer.
var hidden = map[string][]string{
	"lenet-300-100": {"fc1", "fc2"},
	"lenet5":        {"conv1", "conv2", "fc1"},
	"lenet5-relu":   {"conv1", "conv2", "fc1"},
}

// CanNarrow reports whether a network can be built with other [Options.Widths].
func CanNarrow(name string) bool { return hidden[name] != nil }

// WidthsOf returns the [Options.Widths] with which the network of that name has
// weights of the shapes in set; nil if it has none, or the set lacks its weights.
func WidthsOf(name string, set *tensor.Set) []int64 {
	i := slices.IndexFunc(plans, func(p plan) bool { return plain(p.name) == plain(name) })
	if i < 0 {
		return nil
	}
	var widths []int64
	for _, layer := range hidden[plans[i].name] {
		t := set.Lookup(layer + ".weight")
		if t == nil || len(t.Shape) < 2 || t.Shape[0] < 1 || t.Shape[0] > maxWidth {
			return nil
		}
		widths = append(widths, t.Shape[0])
	}
	return widths
}

// lenet300 is the fully connected network of LeCun et al., 1998, with ReLU, as the
// papers on compression use it.
func lenet300(b *builder, x value) {
	l := linear{torchDefault, torchBias}
	x = b.flatten(x)
	x = b.relu(b.full(x, "fc1", "fc1", b.width(300), l), "relu1")
	x = b.relu(b.full(x, "fc2", "fc2", b.width(100), l), "relu2")
	b.head(x, "fc3", l)
}

// lenet5 is the LeNet of Caffe: 20 and 50 channels, 500 units, and one ReLU.
func lenet5(b *builder, x value) { caffeLeNet(b, x, false) }

// lenet5ReLU is lenet5 with a ReLU after each convolution, too, as most papers on
// compression have it.
func lenet5ReLU(b *builder, x value) { caffeLeNet(b, x, true) }

func caffeLeNet(b *builder, x value, kinks bool) {
	l := linear{caffeXavier, zeroBias}
	for _, c := range []struct {
		conv, pool, relu string
		channels         int64
	}{{"conv1", "pool1", "convrelu1", 20}, {"conv2", "pool2", "convrelu2", 50}} {
		x = b.conv(x, c.conv, convolution{out: b.width(c.channels), kernel: 5, weight: caffeXavier, bias: zeroBias})
		x = b.maxPool(x, c.pool, 2, 0)
		if kinks {
			x = b.relu(x, c.relu)
		}
	}
	x = b.relu(b.full(b.flatten(x), "fc1", "fc1", b.width(500), l), "relu1")
	b.head(x, "fc2", l)
}
