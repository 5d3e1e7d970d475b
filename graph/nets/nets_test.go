package nets_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/tensor"
)

func build(t testing.TB, name string, o *nets.Options) *graph.Graph {
	t.Helper()
	g, err := nets.Build(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// parameters counts what is trained, and the running statistics.
func parameters(g *graph.Graph) (trained, running int64) {
	for _, t := range g.Weights.All() {
		switch {
		case !nets.IsState(t):
		case strings.HasSuffix(t.Name, ".running_mean") || strings.HasSuffix(t.Name, ".running_var"):
			running += t.Elems()
		default:
			trained += t.Elems()
		}
	}
	return trained, running
}

// The numbers are those that the authors publish: torchvision's model pages,
// akamaster/pytorch_resnet_cifar10 (ResNet-20 and -32 to the last digit, the others as
// 0.66, 0.85 and 1.7 million), Caffe's LeNet, kuangliu/pytorch-cifar.
func TestParameters(t *testing.T) {
	published := map[string]int64{
		"lenet-300-100": 266_610, "lenet5": 431_080,
		"resnet20": 269_722, "resnet32": 464_154, "resnet44": 658_586, "resnet56": 853_018, "resnet110": 1_727_962,
		"vgg11_bn_cifar": 9_231_114, "vgg16_bn_cifar": 14_728_266,
		"alexnet": 61_100_840,
		"vgg11":   132_863_336, "vgg13": 133_047_848, "vgg16": 138_357_544, "vgg19": 143_667_240,
		"vgg11_bn": 132_868_840, "vgg13_bn": 133_053_736, "vgg16_bn": 138_365_992, "vgg19_bn": 143_678_248,
		"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032, "resnet101": 44_549_160,
		"mobilenet_v2": 3_504_872, "mobilenet_v3_large": 5_483_032, "vit_b_32": 88_224_232,
	}
	for name, want := range published {
		if got, _ := parameters(build(t, name, nil)); got != want {
			t.Errorf("%s has %d parameters, want %d", name, got, want)
		}
	}
	if got, _ := parameters(build(t, "vgg_small", nil)); got != 320+9_248+18_496+36_928+401_536+1_290 {
		t.Errorf("vgg_small has %d parameters", got)
	}
	if _, running := parameters(build(t, "resnet20", nil)); running != 271_098-269_722 {
		t.Errorf("resnet20 has %d running statistics", running)
	}
	// 1,000 classes of 1,280 numbers and a bias less, ten of them more.
	if got, _ := parameters(build(t, "mobilenet_v2_cifar", nil)); got != 3_504_872-990*1281 {
		t.Errorf("mobilenet_v2_cifar has %d parameters", got)
	}
}

// Every network is a graph: names are made once, before they are read, and every
// tensor is used.
func TestValid(t *testing.T) {
	for _, name := range nets.Names() {
		g := build(t, name, &nets.Options{Classes: 7})
		made, read := map[string]bool{nets.Input: true}, map[string]bool{}
		for _, w := range g.Weights.All() {
			made[w.Name] = true
		}
		for _, n := range g.Nodes {
			for _, in := range n.Inputs {
				if !made[in] {
					t.Errorf("%s: node %s reads %q before it is made", name, n.Name, in)
				}
				read[in] = true
			}
			for _, out := range n.Outputs {
				if made[out] {
					t.Errorf("%s: %q is made twice", name, out)
				}
				made[out] = true
			}
		}
		for value := range made {
			if !read[value] && value != nets.Output {
				t.Errorf("%s: nobody reads %q", name, value)
			}
		}
		if !slices.Equal(g.Outputs, []string{nets.Output}) || !made[nets.Output] {
			t.Errorf("%s: outputs %q", name, g.Outputs)
		}
	}
}

// Inputs of other sizes, where a network can take them.
func TestInputs(t *testing.T) {
	for _, c := range []struct {
		name  string
		input tensor.Shape
		want  string // of the error
	}{
		{"lenet5", tensor.Shape{3, 32, 32}, ""},
		{"lenet5", tensor.Shape{1, 8, 8}, "layer conv2 gets 2x2 pixels and needs 5 along each axis; the input is too small"},
		{"mobilenet_v2", tensor.Shape{3, 32, 32}, ""},
		{"resnet50", tensor.Shape{3, 64, 96}, ""},
		{"alexnet", tensor.Shape{3, 32, 32}, "features.12 gets 1x1 pixels"},
		{"vgg16", tensor.Shape{3, 448, 224}, ""},
		{"vgg16", tensor.Shape{3, 256, 256}, "avgpool gets 8x8 pixels and needs a multiple of 7"},
		{"vit_b_32", tensor.Shape{3, 64, 96}, ""},
		{"vit_b_32", tensor.Shape{3, 64, 100}, "multiples of the patches' 32"},
		{"resnet20", tensor.Shape{3, 32}, "inputs of shape 3x32; want channels, height and width"},
		{"resnet20", tensor.Shape{3, 0, 32}, "1 to 8192 each"},
	} {
		_, err := nets.Build(c.name, &nets.Options{Input: c.input})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s, %v: %v, want %q", c.name, c.input, err, c.want)
		}
	}
	if _, err := nets.Build("resnet20", &nets.Options{Classes: -1}); err == nil {
		t.Error("built a network with -1 classes")
	}
}

func TestNames(t *testing.T) {
	for alias, name := range map[string]string{"ResNet-20": "resnet20", "LeNet_300_100": "lenet-300-100", "MobileNetV2": "mobilenet_v2", "vit-b-32": "vit_b_32"} {
		if g := build(t, alias, nil); g.Name != name {
			t.Errorf("%s is %s, want %s", alias, g.Name, name)
		}
	}
	_, err := nets.Build("resnet21", nil)
	if err == nil || !strings.Contains(err.Error(), `no network is named "resnet21"; near are resnet20, `) {
		t.Errorf("got %v", err)
	}
}

// Initial weights have the moments that they should, and depend on seed, network and
// name.
func TestInitial(t *testing.T) {
	values := func(name, weight string, seed uint64) []float32 {
		w := build(t, name, &nets.Options{Seed: seed}).Weights.Lookup(weight)
		raw, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return w.DType.AppendFloat32s(nil, raw)
	}
	for _, c := range []struct {
		net, weight string
		std, bound  float64 // bound 0: none
	}{
		{"resnet18", "layer4.0.conv1.weight", math.Sqrt(2. / (512 * 9)), 0},                                                     // He, fan-out
		{"resnet20", "layer3.0.conv1.weight", math.Sqrt(2. / (32 * 9)), 0},                                                      // He, fan-in
		{"lenet5", "fc1.weight", math.Sqrt(1. / 800), math.Sqrt(3. / 800)},                                                      // Caffe
		{"lenet-300-100", "fc1.weight", math.Sqrt(1. / (3 * 784)), math.Sqrt(1. / 784)},                                         // torch
		{"mobilenet_v2", "classifier.1.weight", 0.01, 0},                                                                        //
		{"vit_b_32", "encoder.pos_embedding", 0.02, 0},                                                                          //
		{"vit_b_32", "encoder.layers.encoder_layer_3.mlp.0.weight", math.Sqrt(2. / (768 + 3072)), math.Sqrt(6. / (768 + 3072))}, // Glorot
	} {
		sum, square := 0.0, 0.0
		v := values(c.net, c.weight, 1)
		for _, x := range v {
			sum += float64(x)
			square += float64(x) * float64(x)
			if c.bound > 0 && math.Abs(float64(x)) > c.bound {
				t.Fatalf("%s of %s: %v is beyond %v", c.weight, c.net, x, c.bound)
			}
		}
		n := float64(len(v))
		mean, std := sum/n, math.Sqrt(square/n)
		// Five standard errors.
		if math.Abs(mean) > 5*c.std/math.Sqrt(n) || math.Abs(std/c.std-1) > 5/math.Sqrt(2*n) {
			t.Errorf("%s of %s: mean %v, deviation %v, want 0 and %v", c.weight, c.net, mean, std, c.std)
		}
	}
	same := values("resnet20", "conv1.weight", 1)
	if !slices.Equal(same, values("resnet20", "conv1.weight", 1)) {
		t.Error("the same seed gives other weights")
	}
	if slices.Equal(same, values("resnet20", "conv1.weight", 2)) || slices.Equal(same, values("resnet32", "conv1.weight", 1)) {
		t.Error("another seed or network gives the same weights")
	}
	if v := values("resnet20", "bn1.running_var", 1); slices.Max(v) != 1 || slices.Min(v) != 1 {
		t.Errorf("running variances are %v, want ones", v)
	}
}

// Any part of a tensor can be read at any time.
func TestReadAnywhere(t *testing.T) {
	w := build(t, "resnet20", &nets.Options{Seed: 3}).Weights.Lookup("conv1.weight")
	all, err := w.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for off := range 9 {
		for n := range 11 {
			p := make([]byte, n)
			if got, err := w.Data.ReadAt(p, int64(off)); got != n || err != nil || !slices.Equal(p, all[off:off+n]) {
				t.Fatalf("%d bytes at %d: %d, %v", n, off, got, err)
			}
		}
	}
	p := make([]byte, 8)
	if n, err := w.Data.ReadAt(p, w.Size()-5); n != 5 || err == nil || !slices.Equal(p[:5], all[len(all)-5:]) {
		t.Errorf("a read beyond the end gives %d, %v", n, err)
	}
}

// state returns the state dict of a network under other names.
func state(t *testing.T, g *graph.Graph, rename func(string) string) []*tensor.Tensor {
	t.Helper()
	var ts []*tensor.Tensor
	for _, w := range g.Weights.All() {
		if nets.IsState(w) {
			c := *w
			c.Name = rename(w.Name)
			ts = append(ts, &c)
		}
	}
	return ts
}

func set(t *testing.T, ts []*tensor.Tensor) *tensor.Set {
	t.Helper()
	s, err := tensor.NewSet(ts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLoad(t *testing.T) {
	from, to := build(t, "resnet20", &nets.Options{Seed: 1}), build(t, "resnet20", &nets.Options{Seed: 2})
	counter := &tensor.Tensor{Name: "module.bn1.num_batches_tracked", DType: tensor.I64, Shape: tensor.Shape{}, Data: tensor.Bytes(make([]byte, 8))}
	optimizer := &tensor.Tensor{Name: "optimizer.state.0", DType: tensor.F32, Shape: tensor.Shape{1}, Data: tensor.Bytes(make([]byte, 4))}
	for name, ts := range map[string][]*tensor.Tensor{
		"plain":     state(t, from, func(s string) string { return s }),
		"module":    append(state(t, from, func(s string) string { return "module." + s }), counter),
		"container": append(state(t, from, func(s string) string { return "state_dict.model.module." + s }), optimizer),
		"model":     append(state(t, from, func(s string) string { return "model." + s }), optimizer),
		"net":       append(state(t, from, func(s string) string { return "net.module." + s }), optimizer),
	} {
		got, err := nets.Load(to, set(t, ts))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, w := range got.Weights.All() {
			want := from.Weights.At(i)
			a, err := w.Bytes()
			b, err2 := want.Bytes()
			if err != nil || err2 != nil || w.Name != want.Name || !slices.Equal(a, b) {
				t.Errorf("%s: tensor %q differs from %q (%v, %v)", name, w.Name, want.Name, err, err2)
			}
		}
	}
	if w := to.Weights.Lookup("conv1.weight"); w == nil || w.Data == from.Weights.Lookup("conv1.weight").Data {
		t.Error("the network that was loaded into has changed")
	}

	for _, d := range []tensor.DType{tensor.F16, tensor.BF16, tensor.F64} {
		ts := state(t, from, func(s string) string { return s })
		for i, w := range ts {
			ts[i] = tensor.Cast(w, d)
		}
		got, err := nets.Load(to, set(t, ts))
		if err != nil {
			t.Fatal(err)
		}
		w := got.Weights.Lookup("linear.bias")
		raw, err := w.Bytes()
		want, err2 := tensor.Cast(tensor.Cast(from.Weights.Lookup("linear.bias"), d), tensor.F32).Bytes()
		if w.DType != tensor.F32 || err != nil || err2 != nil || !slices.Equal(raw, want) {
			t.Errorf("%s is not converted", d)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	g := build(t, "resnet20", nil)
	ts := state(t, build(t, "resnet20", &nets.Options{Classes: 100}), func(s string) string { return s })
	ts[0].Name = "stem.weight"
	ts[1].DType, ts[1].Data = tensor.I32, tensor.Bytes(make([]byte, 4*16))
	twice := *ts[2]
	twice.Name = "module." + twice.Name
	_, err := nets.Load(g, set(t, append(ts, &twice)))
	want := "the weights do not fit resnet20: 1 missing (conv1.weight); 1 not in the network (stem.weight); " +
		"4 different (bn1.bias and module.bn1.bias are both bn1.bias, bn1.weight holds I32, want floats, linear.weight is 100x64, want 10x64, linear.bias is 100, want 10); " +
		"is it another network, or another number of classes?"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	_, err = nets.Load(g, set(t, state(t, build(t, "resnet32", nil), func(s string) string { return s })))
	if err == nil || !strings.Contains(err.Error(), "60 not in the network (layer1.3.conv1.weight, ") || !strings.Contains(err.Error(), ", …)") {
		t.Errorf("got %v", err)
	}
	// The constants of operators are none of the state's business.
	_, err = nets.Load(g, set(t, append(state(t, g, func(s string) string { return s }), g.Weights.Lookup("shortcut.steps"))))
	if err == nil || !strings.Contains(err.Error(), "1 not in the network (shortcut.steps)") {
		t.Errorf("got %v", err)
	}
}

// Hidden layers have the widths that were asked for, and weights say theirs.
func TestWidths(t *testing.T) {
	for name, layers := range map[string]int{"lenet-300-100": 2, "lenet5": 3, "lenet5-relu": 3} {
		widths := []int64{7, 5, 3}[:layers]
		g, err := nets.Build(name, &nets.Options{Widths: widths})
		if err != nil {
			t.Fatal(err)
		}
		if got := nets.WidthsOf(name, g.Weights); !slices.Equal(got, widths) {
			t.Errorf("%s has widths %v, want %v", name, got, widths)
		}
		for _, wrong := range [][]int64{{}, {1}, {1, 2, 3, 4}, []int64{0, 1, 1}[:layers], []int64{1 << 40, 1, 1}[:layers]} {
			if _, err := nets.Build(name, &nets.Options{Widths: wrong}); err == nil {
				t.Errorf("%s was built with widths %v", name, wrong)
			}
		}
	}
	if _, err := nets.Build("resnet20", &nets.Options{Widths: []int64{1}}); err == nil {
		t.Error("resnet20 was built with widths")
	}
	if nets.WidthsOf("resnet20", nil) != nil || nets.CanNarrow("resnet20") {
		t.Error("resnet20 has widths")
	}
}
