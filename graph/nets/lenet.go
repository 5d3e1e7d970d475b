package nets

var lenets = []plan{
	{"lenet-300-100", 10, digits, lenet300},
	{"lenet5", 10, digits, lenet5},
}

// lenet300 is the fully connected network of LeCun et al., 1998, with ReLU, as the
// papers on compression use it.
func lenet300(b *builder, x value) {
	l := linear{torchDefault, torchBias}
	x = b.flatten(x)
	x = b.relu(b.full(x, "fc1", "fc1", 300, l), "relu1")
	x = b.relu(b.full(x, "fc2", "fc2", 100, l), "relu2")
	b.head(x, "fc3", l)
}

// lenet5 is the LeNet of Caffe: 20 and 50 channels, 500 units, and one ReLU.
func lenet5(b *builder, x value) {
	l := linear{caffeXavier, zeroBias}
	for _, c := range []struct {
		conv, pool string
		channels   int64
	}{{"conv1", "pool1", 20}, {"conv2", "pool2", 50}} {
		x = b.conv(x, c.conv, convolution{out: c.channels, kernel: 5, weight: caffeXavier, bias: zeroBias})
		x = b.maxPool(x, c.pool, 2, 0)
	}
	x = b.relu(b.full(b.flatten(x), "fc1", "fc1", 500, l), "relu1")
	b.head(x, "fc2", l)
}
