package align

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Acts of a convolution in front of a batch norm, which has two factors: what
// goes into the norm, and what comes out.
var (
	preconv  = []Act{{0, 1, true}}
	variance = []Act{{0, 2, false}}
	gamma    = []Act{{0, 0, true}, {1, 1, false}}
	beta     = []Act{{1, 1, false}}
	reader   = []Act{{1, -1, false}}
)

// resnetCIFAR is the specification of the ResNets of akamaster/pytorch_resnet_cifar10
// with n blocks per stage: shortcuts without weights, which pad new channels on
// both sides. So the stream of the last stage consists of that of the first in
// the middle, what the second stage added around it, and what the third did.
//
// A block's inner channels have two factors; those of a stream have none but their
// order: all its writers and readers would have to agree.
func resnetCIFAR(n int) *Spec {
	type stage struct {
		width   int
		streams map[string][]int // by class: where it is on the stage's axis
	}
	seq := func(from, to int) []int {
		var s []int
		for i := from; i < to; i++ {
			s = append(s, i)
		}
		return s
	}
	plus := func(a []int, d int) []int {
		var s []int
		for _, x := range a {
			s = append(s, x+d)
		}
		return s
	}
	b := append(seq(0, 8), seq(24, 32)...)
	stages := []stage{
		{16, map[string][]int{"stream1": seq(0, 16)}},
		{32, map[string][]int{"stream1": seq(8, 24), "stream2": b}},
		{64, map[string][]int{"stream1": seq(24, 40), "stream2": plus(b, 16), "stream3": append(seq(0, 16), seq(48, 64)...)}},
	}
	names := []string{"stream1", "stream2", "stream3"}
	streams := map[string]*Class{}
	for k, size := range []int{16, 16, 32} {
		streams[names[k]] = &Class{Name: names[k], Size: size}
	}
	on := func(s stage, tensor string, axis int, role Role) {
		for _, name := range names {
			if at := s.streams[name]; at != nil {
				streams[name].Places = append(streams[name].Places, Place{Tensor: tensor, Axis: axis, At: at, Role: role})
			}
		}
	}
	norm := func(s stage, bn string) {
		on(s, bn+".weight", 0, Parameter)
		on(s, bn+".bias", 0, Parameter)
		on(s, bn+".running_mean", 0, Statistic)
		on(s, bn+".running_var", 0, Statistic)
	}
	spec := &Spec{}
	on(stages[0], "conv1.weight", 0, Incoming)
	norm(stages[0], "bn1")
	for k, s := range stages {
		for i := range n {
			block := fmt.Sprintf("layer%d.%d", k+1, i)
			before := s
			if i == 0 && k > 0 {
				before = stages[k-1]
			}
			on(before, block+".conv1.weight", 1, Outgoing)
			spec.Classes = append(spec.Classes, Class{Name: block, Size: s.width, Factors: []Gauge{Positive, Positive}, Places: []Place{
				{Tensor: block + ".conv1.weight", Axis: 0, Role: Incoming, Acts: preconv},
				{Tensor: block + ".bn1.weight", Axis: 0, Role: Parameter, Acts: gamma},
				{Tensor: block + ".bn1.bias", Axis: 0, Role: Parameter, Acts: beta},
				{Tensor: block + ".bn1.running_mean", Axis: 0, Role: Statistic, Acts: preconv},
				{Tensor: block + ".bn1.running_var", Axis: 0, Role: Statistic, Acts: variance},
				{Tensor: block + ".conv2.weight", Axis: 1, Role: Outgoing, Acts: reader},
			}})
			on(s, block+".conv2.weight", 0, Incoming)
			norm(s, block+".bn2")
		}
	}
	on(stages[2], "linear.weight", 1, Outgoing)
	// The streams come first where they begin.
	out := []Class{*streams["stream1"]}
	out = append(out, spec.Classes[:n]...)
	out = append(out, *streams["stream2"])
	out = append(out, spec.Classes[n:2*n]...)
	out = append(out, *streams["stream3"])
	spec.Classes = append(out, spec.Classes[2*n:]...)
	return spec
}

// readNet reads a safetensors file of float32 tensors, or skips the test.
func readNet(t *testing.T, file string, spec *Spec) *testNet {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "shared", "data", file))
	if err != nil {
		t.Skipf("needs trained weights, which the repository does not carry: %v", err)
	}
	size := binary.LittleEndian.Uint64(raw)
	var header map[string]struct {
		DType   string
		Shape   []int
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw[8:8+size], &header); err != nil {
		t.Fatal(err)
	}
	n := newTestNet()
	n.spec = spec
	for _, name := range slices.Sorted(maps.Keys(header)) {
		h := header[name]
		if h.DType != "F32" {
			continue
		}
		b := raw[8+int(size)+h.Offsets[0] : 8+int(size)+h.Offsets[1]]
		x := make([]float32, len(b)/4)
		for i := range x {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		n.put(name, x, h.Shape...)
	}
	return n
}

func TestResNet20(t *testing.T) {
	n := readNet(t, "resnet20_cifar10.safetensors", resnetCIFAR(3))
	netTable(t, "ResNet-20", func(uint64) *testNet { return n }, 0.5, map[string]float64{
		"noise 1": 99.8, "noise 2": 99.8, "noise 3": 99.8, "prune .9": 99.8, "prune .95": 99.8, "prune .99": 98, "quant 2": 99.8,
		"rescaled, then prune .9": 99,
	})
}

func TestResNet32(t *testing.T) {
	n := readNet(t, "resnet32_cifar10.safetensors", resnetCIFAR(5))
	netTable(t, "ResNet-32", func(uint64) *testNet { return n }, 0.5, map[string]float64{
		"noise 1": 99, "noise 2": 97, "noise 3": 95, "prune .9": 98.5, "prune .95": 97, "prune .99": 88, "quant 2": 99,
		"rescaled, then prune .9": 97, "rescaled, then quant 4": 98, "rescaled, then noise 1": 97, "prune .9 + quant 4 + noise 1": 95,
	})
}
