package native

import (
	"slices"
	"testing"

	"ropewalk/engine"
)

// Weights that are made ready once give the same bits as those that are not.
func TestFixed(t *testing.T) {
	for _, name := range []string{"lenet5", "resnet20", "mobilenet_v2_cifar"} {
		t.Run(name, func(t *testing.T) {
			g, in := network(t, name, 2, nil)
			outputs := func(fixed bool) []float32 {
				p, err := compile(g, &engine.Options{Threads: 2, Fixed: fixed})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = p.Close() }()
				var all []float32
				for _, batch := range []int64{2, 1, 2} {
					x := in[0]
					x.Shape = slices.Clone(x.Shape)
					x.Shape[0] = batch
					x.Float = x.Float[:product(x.Shape)]
					y, err := p.Forward([]engine.Array{x})
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, y[0].Float...)
				}
				if n := len(p.ready); (n > 0) != fixed {
					t.Errorf("fixed is %v, and %d convolutions are ready", fixed, n)
				}
				return all
			}
			if want, got := outputs(false), outputs(true); !slices.Equal(want, got) {
				t.Error("outputs differ")
			}
		})
	}
}

func TestFixedAndTrainable(t *testing.T) {
	g, _ := network(t, "lenet5", 1, nil)
	if _, err := compile(g, &engine.Options{Fixed: true, Trainable: g.Parameters()}); err == nil {
		t.Error("weights were fixed and trainable")
	}
}
