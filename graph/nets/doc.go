// Package nets builds the networks of the papers.
//
// [Build] makes a [graph.Graph] in the canonical operators of package graph, with
// the names of parameters that PyTorch's state dicts have, and the initial weights
// of the original programs:
//
//	g, err := nets.Build("resnet20", &nets.Options{Seed: 1})
//	…
//	g, err = nets.Load(g, checkpoint.Tensors) // trained weights
//
// The networks are those of torchvision (AlexNet, VGG, ResNet-18 and up,
// MobileNet-v2 and -v3, ViT), of akamaster/pytorch_resnet_cifar10 (ResNet-20 to
// -110, with shortcuts that have no weights), of kuangliu/pytorch-cifar (VGG and
// MobileNet-v2 for small images), and of Caffe (LeNet-5). [Names] lists them.
//
//	input                     (batch, channels, height, width)
//	features.0.weight, …      the state: all tensors of floats with at least one axis
//	flatten.shape, …          other tensors are constants that operators take as inputs
//	logits                    (batch, classes)
//
// Initial weights are computed when they are read, each from the seed, the names of
// network and tensor, and its place: a network costs no memory until then. Processors
// that fuse multiplications and additions may round some of them differently.
package nets
