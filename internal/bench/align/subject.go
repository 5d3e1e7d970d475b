package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"ropewalk/attack"
	"ropewalk/checkpoint"
	"ropewalk/dataset"
	"ropewalk/engine"
	"ropewalk/engine/native"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/symmetry"
	"ropewalk/tensor"
	"ropewalk/train"
)

// A plan is a network to measure. fashion-cnn is VGG-like: 3x3 convolutions with batch norms,
// and pooling; it comes with the repository, trained.
type plan struct {
	name  string
	net   string // of package nets; "" is an ONNX file: of the repository or of models
	from  string // where weights come from: initial, trained, or a file
	layer string // the tensor that the protocol for one layer attacks
	parts string
	quick bool
}

// fashion is the data of the networks that are trained here.
const fashion = "builtin:fashion-mnist"

var subjects = []plan{
	{"LeNet-5", "lenet5", "trained", "conv2.weight", "layer gauge", true},
	{"fashion-cnn", "", "testdata/fashion-cnn.onnx", "conv3.weight", "layer gauge", true},
	{"ResNet-20", "resnet20", "resnet20_cifar10.safetensors", "layer3.1.conv1.weight", "layer gauge", true},
	{"ResNet-32", "resnet32", "resnet32_cifar10.safetensors", "layer3.1.conv1.weight", "layer cold gauge", false},
	{"MobileNet-v2", "mobilenet_v2", "mobilenet_v2.safetensors", "features.14.conv.0.0.weight", "layer cold gauge", false},
	{"VGG-16", "vgg16", "initial", "features.17.weight", "layer", false},
	{"ResNet-18", "resnet18", "initial", "layer4.0.conv1.weight", "layer", false},
	{"ResNet-50", "resnet50", "initial", "layer4.2.conv3.weight", "layer", false},
	{"ResNet-101", "resnet101", "initial", "layer4.2.conv3.weight", "layer", false},
	{"ViT-B/32", "vit_b_32", "initial", "encoder.layers.encoder_layer_0.mlp.0.weight", "layer", false},
	{"MobileNet-v3", "mobilenet_v3_large", "initial", "classifier.0.weight", "layer", false},
	{"PP-OCRv4 detector", "", "ch_PP-OCRv4_det_infer.onnx", "", "cold", false},
	{"PP-OCR classifier", "", "ch_ppocr_mobile_v2.0_cls_infer.onnx", "", "cold", true},
}

// A subject is a network that is open.
type subject struct {
	plan
	attack.Network
	trainer  *attack.Trainer // nil where there is nothing to train on
	accuracy float64         // after training here, percent
	closing  func() error
}

func (s *subject) close() {
	if s.closing != nil {
		_ = s.closing() // was only read
	}
}

// open makes or reads the network.
func (p plan) open(ctx context.Context, c *config) (*subject, error) {
	s := &subject{plan: p}
	var g *graph.Graph
	var err error
	switch {
	case p.net == "":
		path := p.from
		if filepath.Base(path) == path {
			if c.models == "" {
				return nil, fmt.Errorf("%s: -models is not given: %w", path, os.ErrNotExist)
			}
			path = filepath.Join(c.models, path)
		}
		f, err := checkpoint.Open(path, nil)
		if err != nil {
			return nil, err
		}
		s.closing = f.Close
		if g, err = graph.FromLayout(f.Layout); err != nil {
			return nil, err
		}
		if p.name == "fashion-cnn" {
			d, err := dataset.Open(fashion, &dataset.Options{Normalise: "measured"})
			if err != nil {
				return nil, err
			}
			s.learn(c, d)
		}
	case p.from == "initial":
		g, err = nets.Build(p.net, &nets.Options{Seed: 1})
	case p.from == "trained":
		g, err = s.train(ctx, c)
	default:
		g, err = s.load(filepath.Join(c.data, p.from))
	}
	if err != nil {
		return nil, err
	}
	spec, err := symmetry.Derive(g, nil)
	if err != nil {
		return nil, err
	}
	s.Network = attack.Network{Set: g.Weights, Spec: spec, Graph: g}
	return s, nil
}

// load reads the weights of a state dict.
func (s *subject) load(path string) (*graph.Graph, error) {
	f, err := checkpoint.Open(path, nil)
	if err != nil {
		return nil, err
	}
	s.closing = f.Close
	o := &nets.Options{}
	if t := f.Tensors.Lookup("classifier.1.weight"); t != nil {
		o.Classes = int(t.Shape[0])
	}
	g, err := nets.Build(s.net, o)
	if err != nil {
		return nil, err
	}
	return nets.Load(g, f.Tensors)
}

// learn says what to fine-tune on.
func (s *subject) learn(c *config, d *dataset.Dataset) train.Source {
	data := &train.Examples{Data: d.Train, Classes: len(d.Classes), Workers: 1}
	s.trainer = &attack.Trainer{Backend: native.Backend{}, Data: data, Compile: engine.Options{Threads: c.threads}}
	return data
}

// train trains the network on the images that the program carries.
func (s *subject) train(ctx context.Context, c *config) (*graph.Graph, error) {
	d, err := dataset.Open(fashion, &dataset.Options{Normalise: "measured"})
	if err != nil {
		return nil, err
	}
	g, err := nets.Build(s.net, &nets.Options{Seed: 1, Input: d.Train.Shape()})
	if err != nil {
		return nil, err
	}
	data := s.learn(c, d)
	p, err := native.Backend{}.Compile(g, &engine.Options{Trainable: g.Parameters(), Threads: c.threads})
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }() // gives memory back
	_, err = train.Fit(ctx, p, data, &train.Options{
		Epochs: c.epochs, Batch: 64, Threads: c.threads,
		Optimizer: train.Optimizer{Kind: train.SGD, Rate: 0.02, Momentum: 0.9, Decay: 5e-4},
		Schedule:  train.Schedule{Kind: train.Cosine},
	})
	if err != nil {
		return nil, err
	}
	test := &train.Examples{Data: d.Test, Classes: len(d.Classes), Workers: 1}
	r, err := train.Evaluate(ctx, p, test, nil)
	if err != nil {
		return nil, err
	}
	if r.Top1 != nil {
		s.accuracy = 100 * *r.Top1
	}
	var changed []*tensor.Tensor
	for _, w := range p.Weights() {
		if g.Weights.Lookup(w.Name) == nil {
			continue
		}
		changed = append(changed, &tensor.Tensor{
			Name: w.Name, DType: tensor.F32, Shape: w.Shape,
			Data: tensor.Bytes(tensor.F32.AppendFloats(nil, w.Values)),
		})
	}
	set, err := tensor.Overlay(g.Weights, changed...)
	if err != nil {
		return nil, err
	}
	return g.WithWeights(set)
}
