// Mark measures what marks survive: every scheme, after every attack, read with and
// without alignment; what chance reads; what a mark costs in accuracy and bytes; how fast
// writing and reading are.
//
//	go run ./internal/bench/mark -quick > table.md
//	go run ./internal/bench/mark -nets 'lenet5=lenet5.safetensors@mnist,resnet20=r20.safetensors@cifar:imagenet' > table.md
//
// A network is NAME=FILE@DATA[:NORMALISE], with the name of a builder of package nets, or
// "onnx"; without -nets it is the small one of testdata. All is seeded.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

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

type config struct {
	nets          string
	keys, images  int
	nulls         int
	parts, attack string
	quick         bool
	size          string
	ctx           context.Context
	out           *bufio.Writer
}

func main() {
	c := config{out: bufio.NewWriter(os.Stdout)}
	flag.StringVar(&c.nets, "nets", "onnx=testdata/fashion-cnn.onnx@builtin:fashion-mnist:fashion-mnist", "the `LIST` of networks")
	flag.IntVar(&c.keys, "keys", 5, "keys for each network")
	flag.IntVar(&c.images, "images", 1000, "test images that accuracy is measured on")
	flag.IntVar(&c.nulls, "nulls", 100000, "wrong keys")
	flag.StringVar(&c.parts, "parts", "attacks,uchida,null,overwrite,collusion,grid,cost,speed", "what is measured")
	flag.StringVar(&c.attack, "attacks", "", "attacks, separated by commas, in the place of ours")
	flag.StringVar(&c.size, "size", "", "scale images to `HxW`")
	flag.BoolVar(&c.quick, "quick", false, "two keys, fewer attacks and controls")
	flag.Parse()
	if c.quick {
		c.keys, c.nulls = 2, 5000
	}
	var stop context.CancelFunc
	c.ctx, stop = signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := errors.Join(c.main(), c.out.Flush())
	if err != nil {
		fmt.Fprintln(os.Stderr, "mark:", err)
		os.Exit(1)
	}
}

func (c *config) main() error {
	var all []*network
	for word := range strings.SplitSeq(c.nets, ",") {
		n, err := c.open(word)
		if err != nil {
			return fmt.Errorf("%s: %w", word, err)
		}
		all = append(all, n)
	}
	parts := []struct {
		name string
		run  func([]*network) error
	}{
		{"cost", c.cost},
		{"speed", c.speed},
		{"null", c.null},
		{"overwrite", c.overwrite},
		{"collusion", c.collusion},
		{"grid", c.grid},
		{"uchida", c.uchida},
		{"attacks", c.attacks},
	}
	for _, p := range parts {
		if !strings.Contains(","+c.parts+",", ","+p.name+",") {
			continue
		}
		start := time.Now()
		if err := p.run(all); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintln(c.out)
		if err := c.out.Flush(); err != nil { // a run that is ended leaves what it has
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: %.0f s\n", p.name, time.Since(start).Seconds())
	}
	return nil
}

// A network is one that is marked, and what judges it.
type network struct {
	name  string
	graph *graph.Graph
	set   *tensor.Set
	spec  *symmetry.Spec
	test  train.Source
	train train.Source
	base  float64 // accuracy, 0 to 1
}

func (c *config) open(word string) (*network, error) {
	name, rest, ok := strings.Cut(word, "=")
	file, data, ok2 := strings.Cut(rest, "@")
	if !ok || !ok2 {
		return nil, errors.New("want NAME=FILE@DATA[:NORMALISE]")
	}
	o := &dataset.Options{}
	if at := strings.LastIndex(data, ":"); at > 0 && data[:at] != "builtin" {
		data, o.Normalise = data[:at], data[at+1:]
	}
	if c.size != "" {
		if _, err := fmt.Sscanf(c.size+"\n", "%dx%d\n", &o.Size[0], &o.Size[1]); err != nil {
			return nil, fmt.Errorf("-size is %q, want HxW", c.size)
		}
	}
	ck, err := checkpoint.Open(file, nil) // open until the end
	if err != nil {
		return nil, err
	}
	d, err := dataset.Open(data, o)
	if err != nil {
		return nil, err
	}
	n := &network{name: name, set: ck.Tensors}
	if name == "onnx" {
		n.name = file[strings.LastIndex(file, "/")+1:]
		n.graph, err = graph.FromLayout(ck.Layout)
	} else {
		g, err := nets.Build(name, &nets.Options{Classes: len(d.Classes), Input: d.Shape})
		if err != nil {
			return nil, err
		}
		n.graph, err = nets.Load(g, ck.Tensors)
		if err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	if n.spec, err = symmetry.Derive(n.graph, nil); err != nil {
		return nil, err
	}
	test, err := first(d.Test, c.images)
	if err != nil {
		return nil, err
	}
	n.test = &train.Examples{Data: test, Classes: len(d.Classes)}
	if d.Train != nil {
		s, err := first(d.Train, 3*c.images)
		if err != nil {
			return nil, err
		}
		n.train = &train.Examples{Data: s, Classes: len(d.Classes)}
	}
	n.base, err = c.accuracy(n, n.graph, n.set)
	return n, err
}

// first is the first examples of a source, taken evenly.
func first(s dataset.Source, n int) (dataset.Source, error) {
	if s == nil {
		return nil, errors.New("there are no such examples")
	}
	if s.Len() <= n {
		return s, nil
	}
	index := make([]int, n)
	for i := range index {
		index[i] = i * s.Len() / n
	}
	return dataset.Subset(s, index)
}

// with returns a graph with the weights of a set.
func with(g *graph.Graph, set *tensor.Set) (*graph.Graph, error) {
	var list []*tensor.Tensor
	for _, t := range set.All() {
		if g.Weights.Lookup(t.Name) != nil {
			list = append(list, t)
		}
	}
	own, err := tensor.NewSet(list...)
	if err != nil {
		return nil, err
	}
	return g.WithWeights(own)
}

func (c *config) accuracy(n *network, g *graph.Graph, set *tensor.Set) (float64, error) {
	g, err := with(g, set)
	if err != nil {
		return 0, err
	}
	p, err := native.Backend{}.Compile(g, &engine.Options{Fixed: true})
	if err != nil {
		return 0, err
	}
	defer p.Close()
	r, err := train.Evaluate(c.ctx, p, n.test, nil)
	if err != nil {
		return 0, err
	}
	return *r.Top1, nil
}
