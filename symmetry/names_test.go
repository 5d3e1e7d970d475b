package symmetry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/checkpoint"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// state returns the tensors of a state dict under a prefix.
func state(g *graph.Graph, prefix string) *tensor.Set {
	var ts []*tensor.Tensor
	for _, t := range g.Weights.All() {
		if nets.IsState(t) {
			ts = append(ts, &tensor.Tensor{Name: prefix + t.Name, DType: t.DType, Shape: t.Shape, Data: t.Data})
		}
	}
	return must(tensor.NewSet(ts...))
}

// Names say the same as the graph.
func TestDeriveNamesEqualsDerive(t *testing.T) {
	for _, name := range []string{
		"resnet20", "resnet56", "resnet18", "resnet50", "vgg11", "vgg16_bn", "vgg13_bn_cifar", "alexnet",
		"lenet-300-100", "lenet5", "mobilenet_v2_cifar", "mobilenet_v2", "mobilenet_v3_large", "vit_b_32",
	} {
		g := must(nets.Build(name, nil))
		got, err := symmetry.DeriveNames(state(g, "module."), &symmetry.NamesOptions{HeadSize: 64})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got = must(symmetry.Parse(strings.ReplaceAll(got.Only(all).String(), "module.", "")))
		if diff := cmp.Diff(must(symmetry.Derive(g, nil)).Only(all), got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func all(*symmetry.Group) bool { return true }

// llamaShapes are the tensors of a small Llama with grouped-query heads.
func llamaShapes(experts bool) *tensor.Set {
	var ts []*tensor.Tensor
	put := func(name string, shape ...int64) {
		n := must(tensor.Shape(shape).Size(tensor.BF16))
		ts = append(ts, &tensor.Tensor{Name: name, DType: tensor.BF16, Shape: shape, Data: tensor.Bytes(make([]byte, n))})
	}
	put("model.embed_tokens.weight", 100, 16)
	for l := range 2 {
		at := fmt.Sprintf("model.layers.%d.", l)
		put(at+"input_layernorm.weight", 16)
		put(at+"post_attention_layernorm.weight", 16)
		put(at+"self_attn.q_proj.weight", 24, 16)
		put(at+"self_attn.k_proj.weight", 12, 16)
		put(at+"self_attn.v_proj.weight", 12, 16)
		put(at+"self_attn.o_proj.weight", 16, 24)
		if experts {
			put(at+"block_sparse_moe.gate.weight", 2, 16)
		}
		for e := range 2 {
			mlp, names := at+"mlp.", []string{"gate_proj", "up_proj", "down_proj"}
			if experts {
				mlp, names = fmt.Sprintf("%sblock_sparse_moe.experts.%d.", at, e), []string{"w1", "w3", "w2"}
			} else if e > 0 {
				break
			}
			put(mlp+names[0]+".weight", 20, 16)
			put(mlp+names[1]+".weight", 20, 16)
			put(mlp+names[2]+".weight", 16, 20)
		}
	}
	put("model.norm.weight", 16)
	put("lm_head.weight", 100, 16)
	return must(tensor.NewSet(ts...))
}

// A Llama's stream, groups of heads, places in values, and gated units.
func TestDeriveNamesLlama(t *testing.T) {
	s := must(symmetry.DeriveNames(llamaShapes(false), &symmetry.NamesOptions{HeadSize: 6}))
	text := s.String()
	for _, want := range []string{
		"group model.embed_tokens.out: 16 × permutation",
		"in model.layers.0.self_attn.q_proj.weight[0:x12], model.layers.0.self_attn.k_proj.weight[0:x6],",
		"in model.layers.0.mlp.gate_proj.weight[0], model.layers.0.mlp.up_proj.weight[0]*a,",
		"out model.layers.0.mlp.down_proj.weight[1]/a",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, g := range must(symmetry.DeriveNames(llamaShapes(false), nil)).Groups {
		if strings.Contains(g.Name, "self_attn") {
			t.Errorf("heads of no known size move: %s", g.Name)
		}
	}
	moe := must(symmetry.DeriveNames(llamaShapes(true), nil))
	if moe.Group("model.layers.1.block_sparse_moe.experts.1.w1.out") == nil {
		t.Errorf("no units of an expert in\n%v", moe)
	}
}

// Experts exchange places with the rows of their router, if they are alike and nothing else
// may know their order.
func TestDeriveNamesExperts(t *testing.T) {
	const name = "model.layers.1.block_sparse_moe.experts"
	zeros := func(name string, shape ...int64) *tensor.Tensor {
		return &tensor.Tensor{Name: name, DType: tensor.BF16, Shape: shape, Data: tensor.Bytes(make([]byte, must(tensor.Shape(shape).Size(tensor.BF16))))}
	}
	set := llamaShapes(true)
	s := must(symmetry.DeriveNames(set, nil))
	want := "group " + name + ": 2 × permutation —\n    in model.layers.1.block_sparse_moe.gate.weight[0],"
	if text := s.String(); !strings.Contains(text, want) || strings.Contains(text, "experts that are not alike") {
		t.Errorf("no %q in\n%s", want, text)
	}
	for what, x := range map[string]*tensor.Tensor{
		"a bias of scores":            zeros("model.layers.1.block_sparse_moe.gate.score_bias", 2),
		"something more in an expert": zeros("model.layers.1.block_sparse_moe.experts.1.w1.scale", 20),
		"a third expert":              zeros("model.layers.1.block_sparse_moe.experts.2.w4.weight", 20),
		"no expert":                   zeros("model.layers.1.block_sparse_moe.experts.01.w4.weight", 20),
	} {
		var list []*tensor.Tensor
		for _, w := range set.All() {
			list = append(list, w)
		}
		odd := must(symmetry.DeriveNames(must(tensor.NewSet(append(list, x)...)), nil))
		if text := odd.String(); odd.Group(name) != nil || !strings.Contains(text, "experts that are not alike") {
			t.Errorf("%s: experts move in\n%s", what, text)
		}
	}
}

// Names that mean nothing, or shapes that don't fit them, are errors.
func TestDeriveNamesRefuses(t *testing.T) {
	g := must(nets.Build("resnet20", nil))
	without := func(name string, change func(*tensor.Tensor) *tensor.Tensor) *tensor.Set {
		var ts []*tensor.Tensor
		for _, w := range state(g, "").All() {
			if w.Name == name {
				w = change(w)
			}
			if w != nil {
				ts = append(ts, w)
			}
		}
		return must(tensor.NewSet(ts...))
	}
	gone := func(*tensor.Tensor) *tensor.Tensor { return nil }
	longer := func(w *tensor.Tensor) *tensor.Tensor {
		return &tensor.Tensor{Name: w.Name, DType: w.DType, Shape: tensor.Shape{17}, Data: tensor.Bytes(make([]byte, 68))}
	}
	for _, set := range []*tensor.Set{nil, without("layer1.0.bn1.weight", gone), without("bn1.running_var", longer), without("linear.weight", gone)} {
		if _, err := symmetry.DeriveNames(set, nil); !errors.Is(err, symmetry.ErrFamily) {
			t.Errorf("%v", err)
		}
	}
}

// The trained ResNets have the groups of their graphs.
func TestTrainedResNets(t *testing.T) {
	for _, name := range []string{"resnet20", "resnet32"} {
		c, err := checkpoint.Open("../../shared/data/"+name+"_cifar10.safetensors", nil)
		if err != nil {
			t.Skipf("needs trained weights, which the repository does not carry: %v", err)
		}
		defer func() { _ = c.Close() }()
		g := must(nets.Load(must(nets.Build(name, nil)), c.Tensors))
		s := must(symmetry.DeriveNames(c.Tensors, nil))
		if diff := cmp.Diff(must(symmetry.Derive(g, nil)).Only(all), reordered(s, g)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		verify(t, must(symmetry.Derive(g, nil)), g)
	}
}

// reordered is what names say when tensors are in the order of the graph.
func reordered(s *symmetry.Spec, g *graph.Graph) *symmetry.Spec {
	return must(symmetry.DeriveNames(state(g, ""), nil)).Only(func(x *symmetry.Group) bool { return s.Group(x.Name) != nil })
}

// Strangers among the tensors stay, and so does all that is as long as they are. A
// part of another network with the names of a LeNet is none.
func TestDeriveNamesStrangers(t *testing.T) {
	zeros := func(name string, shape ...int64) *tensor.Tensor {
		n := must(tensor.Shape(shape).Size(tensor.F32))
		return &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: tensor.Bytes(make([]byte, n))}
	}
	adapted := []*tensor.Tensor{zeros("model.layers.0.mlp.up_proj.lora_B.weight", 20, 3)}
	for _, w := range llamaShapes(false).All() {
		adapted = append(adapted, w)
	}
	s := must(symmetry.DeriveNames(must(tensor.NewSet(adapted...)), nil))
	for _, g := range s.Groups {
		if g.Size == 20 {
			t.Errorf("%s moves beside an adapter", g.Name)
		}
	}
	if s.Group("model.embed_tokens.out") == nil {
		t.Error("the stream, which no adapter is as long as, stays")
	}
	mlp := must(tensor.NewSet(zeros("a.mlp.fc1.weight", 8, 4), zeros("a.mlp.fc2.weight", 4, 8), zeros("a.query", 4, 4)))
	for _, set := range []*tensor.Set{mlp, must(tensor.NewSet(zeros("some.table", 4, 4)))} {
		if _, err := symmetry.DeriveNames(set, nil); !errors.Is(err, symmetry.ErrFamily) {
			t.Errorf("%v", err)
		}
	}
}
