package lineage

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"ropewalk/attack"
	"ropewalk/checkpoint"
	"ropewalk/dataset"
	"ropewalk/engine/native"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/tensor"
	"ropewalk/train"
)

// What was trained is called so, alone, and before or after other damage; and never noise,
// or a merge.
func TestDamagesOfTraining(t *testing.T) {
	g := must(nets.Build("lenet5", &nets.Options{Seed: 3}))
	in := g.Inputs[0].Shape
	shape := tensor.Shape{in[1].Size, in[2].Size, in[3].Size}
	r := rand.New(rand.NewPCG(1, 2))
	size := int(must(shape.Elems()))
	var x []float32
	var labels []int
	for i := range 128 {
		for p := range size {
			v := 0.3 * r.NormFloat64()
			if p*10/size == i%10 {
				v++
			}
			x = append(x, float32(v))
		}
		labels = append(labels, i%10)
	}
	data := &train.Examples{Data: must(dataset.NewFloats(shape, x, labels)), Classes: 10}
	o := &attack.Options{Seed: 4, Trainer: &attack.Trainer{Backend: native.Backend{}, Data: data}}
	for _, test := range []struct {
		chain string
		kinds []Kind
	}{
		{"finetune=1:batch=32", []Kind{Training}},
		{"finetune=4:batch=32", []Kind{Training}},
		{"finetune=4:batch=32:rate=0.05", []Kind{Training}},
		{"finetune=4:batch=32:rate=0.05+quantize=8", []Kind{Training, Quantize}},
		{"finetune=4:batch=32:rate=0.05+prune=0.9", []Kind{Training, Prune}},
		{"prune=0.9+finetune=2:batch=32", []Kind{Prune, Training}},
		{"quantize=4+finetune=2:batch=32", []Kind{Quantize, Training}},
		{"finetune=2:batch=32+cast=bf16", []Kind{Training, Cast}},
	} {
		res := must(must(attack.Parse(test.chain)).Apply(t.Context(), attack.Network{Set: g.Weights, Graph: g}, o))
		got := damages(examineAll(t, g.Weights, res.Set))
		var kinds []Kind
		for _, c := range got {
			kinds = append(kinds, c.Kind)
		}
		if !slices.Equal(kinds, test.kinds) {
			t.Errorf("%s is called %q", test.chain, describe(got))
		}
	}
}

// Training that makes all neurons of a layer smaller, or leaves some weight just where factors would
// have it, is not called a rescaling; and pruning after it is told from pruning before by the edge, which
// it has crossed.
func TestTrainingIsNoRescaling(t *testing.T) {
	n := bundled(t)
	c := must(checkpoint.Open("../testdata/fashion-cnn.onnx", nil))
	t.Cleanup(func() { _ = c.Close() })
	g := must(graph.FromLayout(c.Layout))
	data := must(dataset.Open("builtin:fashion-mnist", &dataset.Options{Normalise: "measured"}))
	trainer := &attack.Trainer{Backend: native.Backend{}, Data: &train.Examples{Data: data.Train, Classes: len(data.Classes)}}
	for _, test := range []struct {
		chain string
		seed  uint64
		want  string
	}{
		{"cast=bf16:round+finetune=1:rate=0.01", 112, "trained further"},
		{"finetune=1:rate=0.01+prune=0.9:global", 139, "trained further, pruned 89.1 % by one threshold"},
	} {
		sus := must(must(attack.Parse(test.chain)).Apply(t.Context(), attack.Network{Set: g.Weights, Spec: n.Spec, Graph: g}, &attack.Options{Seed: test.seed, Trainer: trainer}))
		c := must(Compare(t.Context(), Network{Set: g.Weights, Spec: n.Spec}, Network{Set: sus.Set}, nil))
		if c.Summary() != test.want {
			t.Errorf("%s is called %q, want %q", test.chain, c.Summary(), test.want)
		}
	}
}

// A mean with other weights has the share of the reference for its slope.
func TestDamagesOfMerge(t *testing.T) {
	set := open(t, "../testdata/fashion-cnn.safetensors")
	for _, share := range []float64{0.2, 0.5, 0.8} {
		var merged []*tensor.Tensor
		r := rand.New(rand.NewPCG(7, 7))
		for _, x := range set.All() {
			if !x.DType.Numeric() {
				continue
			}
			v := x.DType.AppendFloat32s(nil, must(x.Bytes()))
			other := slices.Clone(v)
			r.Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
			for i := range v {
				v[i] = float32(share*float64(v[i]) + (1-share)*float64(other[i]))
			}
			merged = append(merged, &tensor.Tensor{Name: x.Name, DType: x.DType, Shape: x.Shape, Data: tensor.Bytes(x.DType.AppendFloats(nil, v))})
		}
		sus := must(tensor.Overlay(set, merged...))
		got := damages(examineAll(t, set, sus))
		if len(got) != 1 || got[0].Kind != Merge || math.Abs(got[0].Share-share) > 0.03 {
			t.Errorf("a sum with %g of the reference is called %q", share, describe(got))
		}
		got = damages(examineAll(t, set, afterAttack(t, sus, "quantize=8", 1)))
		if len(got) != 2 || got[0].Kind != Merge || got[1].Kind != Quantize {
			t.Errorf("a sum with %g of the reference, quantized, is called %q", share, describe(got))
		}
	}
}

// Independent weights are no merge, and no noise of a strength worth the name.
func TestDamagesOfStrangers(t *testing.T) {
	var a, b []*tensor.Tensor
	for i, n := range []string{"a", "b", "c"} {
		a = append(a, tensorOf(n, normals(uint64(i), 4000, 1), 40, 100))
		b = append(b, tensorOf(n, normals(uint64(i+10), 4000, 1), 40, 100))
	}
	for _, c := range damages(examineAll(t, must(tensor.NewSet(a...)), must(tensor.NewSet(b...)))) {
		if c.Kind != Shifted {
			t.Errorf("independent weights are called %q", c.Text)
		}
	}
}
