package main

import (
	"math/rand/v2"

	"ropewalk/attack"
)

// steps are the attacks of which all pairs are made.
var steps = []string{
	"permute", "scale", "sign", "dummy:zero", "dummy:clique", "dummy:split",
	"noise=0.1", "noise=0.5", "noise=1",
	"prune=0.5", "prune=0.9", "prune=0.9:global", "remove=0.2",
	"quantize=8", "quantize=4", "quantize=3", "quantize=2", "quantize=4:channel", "quantize=4:lloyd-max", "quantize=4:gaussian",
	"finetune=1:rate=0.01", "overwrite",
	"cast=f16", "cast=bf16", "cast=f16:round", "cast=bf16:round",
}

// more are the combinations that are no pairs: those that the documents speak of.
var more = []string{"permute+prune=0.9+quantize=4", "permute+scale+prune=0.9+quantize=4", "prune=0.5+quantize=4+permute+scale", "permute+scale+sign+cast=bf16", "noise=0.1+permute+scale"}

// chains are all single steps, the combinations, and the pairs of steps of different kinds,
// in both orders: all, or so many that are drawn.
func chains(pairs int, seed uint64) (single, double []string) {
	single = append(append(single, steps...), more...)
	for _, a := range steps {
		for _, b := range steps {
			if kind(a) != kind(b) {
				double = append(double, a+"+"+b)
			}
		}
	}
	if pairs > 0 {
		r := rand.New(rand.NewPCG(seed, 7))
		r.Shuffle(len(double), func(i, j int) { double[i], double[j] = double[j], double[i] })
		double = double[:min(pairs, len(double))]
	}
	return single, double
}

// kind is that of the first step of a chain of ours.
func kind(text string) attack.Kind {
	c, err := attack.Parse(text)
	if err != nil {
		panic("internal error: " + err.Error())
	}
	return c[0].Kind
}
