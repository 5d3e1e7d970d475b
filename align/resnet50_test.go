package align

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// resnet50 is the ResNet-50 of torchvision, without its statistics, with random
// weights; all widths are divided by shrink. Inner channels have the two factors of
// a convolution in front of a batch norm, streams their order alone.
func resnet50(r *rand.Rand, shrink int) *testNet {
	n := newTestNet()
	w := func(k int) int { return k / shrink }
	norm := func(name string, size int) {
		n.bias(r, name+".weight", size, 0.1)
		n.bias(r, name+".bias", size, 0.1)
		for i := range n.arrays[name+".weight"].data {
			n.arrays[name+".weight"].data[i]++
		}
	}
	places := func(c *Class, conv, bn string, two bool) {
		of := [][]Act{nil, nil, nil}
		if two {
			of = [][]Act{preconv, gamma, beta}
		}
		c.Places = append(
			c.Places,
			Place{Tensor: conv + ".weight", Axis: 0, Role: Incoming, Acts: of[0]},
			Place{Tensor: bn + ".weight", Axis: 0, Role: Parameter, Acts: of[1]},
			Place{Tensor: bn + ".bias", Axis: 0, Role: Parameter, Acts: of[2]},
		)
	}
	two := []Gauge{Positive, Positive}
	n.he(r, "conv1.weight", w(64), 3, 7, 7)
	norm("bn1", w(64))
	stream := &Class{Name: "stem", Size: w(64), Factors: two}
	places(stream, "conv1", "bn1", true)
	read := reader
	var classes []*Class
	classes = append(classes, stream)
	width := w(64)
	for stage, blocks := range []int{3, 4, 6, 3} {
		inner, outer := w(64<<stage), w(256<<stage)
		next := &Class{Name: fmt.Sprintf("layer%d", stage+1), Size: outer}
		first := true
		for b := range blocks {
			name := fmt.Sprintf("layer%d.%d", stage+1, b)
			n.he(r, name+".conv1.weight", inner, width, 1, 1)
			norm(name+".bn1", inner)
			n.he(r, name+".conv2.weight", inner, inner, 3, 3)
			norm(name+".bn2", inner)
			n.he(r, name+".conv3.weight", outer, inner, 1, 1)
			norm(name+".bn3", outer)
			stream.Places = append(stream.Places, Place{Tensor: name + ".conv1.weight", Axis: 1, Role: Outgoing, Acts: read})
			c1, c2 := &Class{Name: name + ".1", Size: inner, Factors: two}, &Class{Name: name + ".2", Size: inner, Factors: two}
			places(c1, name+".conv1", name+".bn1", true)
			c1.Places = append(c1.Places, Place{Tensor: name + ".conv2.weight", Axis: 1, Role: Outgoing, Acts: reader})
			places(c2, name+".conv2", name+".bn2", true)
			c2.Places = append(c2.Places, Place{Tensor: name + ".conv3.weight", Axis: 1, Role: Outgoing, Acts: reader})
			classes = append(classes, c1, c2)
			if first {
				n.he(r, name+".downsample.0.weight", outer, width, 1, 1)
				norm(name+".downsample.1", outer)
				stream.Places = append(stream.Places, Place{Tensor: name + ".downsample.0.weight", Axis: 1, Role: Outgoing, Acts: read})
				places(next, name+".downsample.0", name+".downsample.1", false)
				classes = append(classes, next)
				stream, read, width, first = next, nil, outer, false
			}
			places(stream, name+".conv3", name+".bn3", false)
		}
	}
	n.he(r, "fc.weight", 1000/shrink, width)
	stream.Places = append(stream.Places, Place{Tensor: "fc.weight", Axis: 1, Role: Outgoing, Acts: nil})
	for _, c := range classes {
		n.spec.Classes = append(n.spec.Classes, *c)
	}
	return n
}

func TestResNet50(t *testing.T) {
	r := rand.New(rand.NewPCG(50, 50))
	n := resnet50(r, 8)
	m := n.clone()
	m.damage(func(x []float32) { noise(r, x, 0.1) })
	m.rescaled(r, 0.3)
	truth := m.shuffled(r)
	res := must(MatchNetworks(n.network(), m.network(), nil))
	if got := psi(res, truth); got != 100 || !res.Related {
		t.Errorf("found %.2f %%, log evidence %.0f", got, res.LogEvidence)
	}
}

// The whole network in its own size, from a cold start: only shuffled, as
// internal/bench/align/weightmatching.py has it, and rescaled as well.
func BenchmarkResNet50(b *testing.B) {
	for _, rescaled := range []bool{false, true} {
		b.Run(fmt.Sprintf("rescaled=%v", rescaled), func(b *testing.B) {
			r := rand.New(rand.NewPCG(50, 50))
			n := resnet50(r, 1)
			if !rescaled {
				for c := range n.spec.Classes {
					class := &n.spec.Classes[c]
					class.Factors = nil
					for p := range class.Places {
						class.Places[p].Acts = nil
					}
				}
			}
			m := n.clone()
			m.damage(func(x []float32) { noise(r, x, 0.1) })
			m.rescaled(r, 0.3)
			truth := m.shuffled(r)
			x, y := n.network(), m.network()
			for b.Loop() {
				res := must(MatchNetworks(x, y, &NetworkOptions{Options: Options{Threads: 1}}))
				if got := psi(res, truth); got != 100 {
					b.Fatalf("found %.2f %%", got)
				}
			}
		})
	}
}
