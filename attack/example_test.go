package attack_test

import (
	"context"
	"fmt"

	"ropewalk/attack"
	"ropewalk/graph/nets"
	"ropewalk/symmetry"
)

func Example() {
	g, err := nets.Build("lenet-300-100", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	spec, err := symmetry.Derive(g, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	chain, err := attack.Parse("permute+dummy=0.1:zero+prune=0.9+quantize=4")
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := chain.Apply(context.Background(), attack.Network{Set: g.Weights, Spec: spec, Graph: g}, &attack.Options{Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, step := range r.Reports {
		fmt.Println(step.Step, step.Groups, step.Neurons, step.Tensors, step.Weights)
	}
	fmt.Println(r.Set.Lookup("fc1.weight").Shape, len(r.Truth.Element))
	// Output:
	// permute 2 400 0 0
	// dummy=0.1:zero 2 40 0 0
	// prune=0.9 0 0 3 296120
	// quantize=4 0 0 3 296120
	// 330x784 2
}
