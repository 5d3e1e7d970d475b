package nets

import "fmt"

// The networks of He et al., 2015, table 1, as torchvision has them: bottlenecks have
// their stride in the middle.
var resnets = []plan{
	{"resnet18", 1000, imagenet, resnet(false, 2, 2, 2, 2)},
	{"resnet34", 1000, imagenet, resnet(false, 3, 4, 6, 3)},
	{"resnet50", 1000, imagenet, resnet(true, 3, 4, 6, 3)},
	{"resnet101", 1000, imagenet, resnet(true, 3, 4, 23, 3)},
}

func resnet(bottleneck bool, blocks ...int) func(*builder, value) {
	return func(b *builder, x value) {
		layer := func(x value, conv, bn string, out, kernel, stride int64) value {
			x = b.conv(x, conv, convolution{out: out, kernel: kernel, stride: stride, pad: kernel / 2, weight: heOut})
			return b.norm(x, bn, torchNorm)
		}
		x = b.relu(layer(x, "conv1", "bn1", 64, 7, 2), "relu")
		x = b.maxPool(x, "maxpool", 3, 1)
		for l, n := range blocks {
			planes := int64(64) << l
			for block := range n {
				at := fmt.Sprintf("layer%d.%d.", l+1, block)
				stride := int64(1)
				if l > 0 && block == 0 {
					stride = 2
				}
				y, out := x, planes
				if bottleneck {
					out = 4 * planes
					y = b.relu(layer(y, at+"conv1", at+"bn1", planes, 1, 1), at+"relu1")
					y = b.relu(layer(y, at+"conv2", at+"bn2", planes, 3, stride), at+"relu2")
					y = layer(y, at+"conv3", at+"bn3", out, 1, 1)
				} else {
					y = b.relu(layer(y, at+"conv1", at+"bn1", planes, 3, stride), at+"relu1")
					y = layer(y, at+"conv2", at+"bn2", planes, 3, 1)
				}
				if stride != 1 || out != x.channels() {
					x = layer(x, at+"downsample.0", at+"downsample.1", out, 1, stride)
				}
				x = b.relu(b.add(y, x, at+"add"), at+"relu")
			}
		}
		x = b.flatten(b.globalPool(x, "avgpool"))
		b.head(x, "fc", linear{torchDefault, torchBias})
	}
}
