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
	"ropewalk/lineage"
	"ropewalk/symmetry"
	"ropewalk/tensor"
	"ropewalk/train"
)

// fashion is the data of the networks that are trained here.
const fashion = "builtin:fashion-mnist"

// A plan is a network to measure.
type plan struct {
	name  string
	net   string // of package nets; "" is an ONNX file: of the repository or of models
	from  string // where weights come from: trained, or a file
	quick bool
}

var subjects = []plan{
	{name: "LeNet-5", net: "lenet5", from: "trained", quick: true},
	{name: "fashion-cnn", from: "testdata/fashion-cnn.onnx", quick: true},
	{name: "ResNet-20", net: "resnet20", from: "resnet20_cifar10.safetensors"},
	{name: "ResNet-32", net: "resnet32", from: "resnet32_cifar10.safetensors"},
	{name: "OCR classifier", from: "ch_ppocr_mobile_v2.0_cls_infer.onnx"},
	{name: "OCR detector", from: "ch_PP-OCRv4_det_infer.onnx"},
	{name: "OCR recogniser", from: "ch_PP-OCRv4_rec_infer.onnx"},
}

// A subject is a network that is open.
type subject struct {
	plan
	attack.Network
	trainer  *attack.Trainer // nil where there is nothing to train on
	accuracy float64         // after training here, 0 to 1
	closing  func() error
}

func (s *subject) close() {
	if s.closing != nil {
		_ = s.closing() // was only read
	}
}

// side is the network as lineage takes it.
func side(n attack.Network) lineage.Network {
	return lineage.Network{Set: n.Set, Spec: n.Spec, Graph: n.Graph}
}

// open makes or reads the network.
func (p plan) open(ctx context.Context, c *config) (*subject, error) {
	s := &subject{plan: p}
	g, err := s.read(ctx, c)
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

func (s *subject) read(ctx context.Context, c *config) (*graph.Graph, error) {
	switch {
	case s.net == "":
		path := s.from
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
		if s.name == "fashion-cnn" {
			d, err := dataset.Open(fashion, &dataset.Options{Normalise: "measured"})
			if err != nil {
				return nil, err
			}
			s.learn(c, d)
		}
		return graph.FromLayout(f.Layout)
	case s.from == "trained":
		d, err := dataset.Open(fashion, &dataset.Options{Normalise: "measured"})
		if err != nil {
			return nil, err
		}
		s.learn(c, d)
		g, accuracy, err := fitted(ctx, s.net, &nets.Options{Seed: 1, Input: d.Train.Shape()}, d, 3, c.threads)
		s.accuracy = accuracy
		return g, err
	}
	f, err := checkpoint.Open(filepath.Join(c.data, s.from), nil)
	if err != nil {
		return nil, err
	}
	s.closing = f.Close
	if c.cifar != "" {
		d, err := dataset.Open(c.cifar, &dataset.Options{Normalise: "imagenet"})
		if err != nil {
			return nil, err
		}
		s.learn(c, d)
	}
	g, err := nets.Build(s.net, nil)
	if err != nil {
		return nil, err
	}
	return nets.Load(g, f.Tensors)
}

// learn says what to fine-tune on.
func (s *subject) learn(c *config, d *dataset.Dataset) {
	s.trainer = &attack.Trainer{
		Backend: native.Backend{}, Compile: engine.Options{Threads: c.threads},
		Data: &train.Examples{Data: d.Train, Classes: len(d.Classes), Workers: 1},
	}
}

// attacked does what the chain says to a network, without a proof that what should
// preserve the function does: the tests of package attack have that, and the judge looks.
func attacked(ctx context.Context, n attack.Network, chain string, seed uint64, tr *attack.Trainer) (*attack.Result, error) {
	c, err := attack.Parse(chain)
	if err != nil {
		return nil, err
	}
	r, err := c.Apply(ctx, n, &attack.Options{Seed: seed, Unproved: true, Trainer: tr})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", chain, err)
	}
	// It is read several times, and each reading would do the attack again.
	if r.Set, err = inMemory(r.Set); err != nil {
		return nil, fmt.Errorf("%s: %w", chain, err)
	}
	if r.Graph != nil {
		if r.Graph, err = with(r.Graph, r.Set); err != nil {
			return nil, fmt.Errorf("%s: %w", chain, err)
		}
	}
	return r, nil
}

// with returns a graph with the weights of a set, in the types that it had.
func with(g *graph.Graph, set *tensor.Set) (*graph.Graph, error) {
	var list []*tensor.Tensor
	for _, t := range g.Weights.All() {
		own := set.Lookup(t.Name)
		if own == nil {
			continue // a constant of the graph
		}
		if own.DType != t.DType && own.DType.Numeric() && t.DType.Numeric() {
			own = tensor.Cast(own, t.DType)
		}
		list = append(list, own)
	}
	weights, err := tensor.Overlay(g.Weights, list...)
	if err != nil {
		return nil, err
	}
	changed := *g
	changed.Weights = weights
	return &changed, nil
}

// inMemory returns a set of the same tensors that is computed already.
func inMemory(set *tensor.Set) (*tensor.Set, error) {
	list := make([]*tensor.Tensor, 0, set.Len())
	for _, t := range set.All() {
		b, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		list = append(list, &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Data: tensor.Bytes(b)})
	}
	return tensor.NewSet(list...)
}
