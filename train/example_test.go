package train_test

import (
	"context"
	"fmt"
	"log"

	"ropewalk/dataset"
	"ropewalk/engine"
	"ropewalk/engine/native"
	"ropewalk/graph/nets"
	"ropewalk/train"
)

func Example() {
	d, err := dataset.Open("builtin:fashion-mnist", nil)
	if err != nil {
		log.Fatal(err)
	}
	g, err := nets.Build("lenet-300-100", &nets.Options{Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	p, err := native.Backend{}.Compile(g, &engine.Options{Trainable: g.Parameters()})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	r, err := train.Fit(context.Background(), p, &train.Examples{Data: dataset.First(d.Train, 1000)}, &train.Options{
		Epochs: 5, Batch: 50,
		Optimizer:  train.Optimizer{Rate: 0.05, Momentum: 0.9},
		Schedule:   train.Schedule{Kind: train.Cosine},
		Validation: &train.Examples{Data: dataset.First(d.Test, 500)},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Steps, "steps; more than two of three are right:", *r.Validation.Top1 > 2./3)
	// Output: 100 steps; more than two of three are right: true
}
