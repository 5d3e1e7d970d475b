package align

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// mixture is a Llama of one layer with experts, without attention that could move.
func mixture(seed uint64, experts int) *tensor.Set {
	r := rand.New(rand.NewPCG(seed, 1))
	var ts []*tensor.Tensor
	put := func(name string, shape ...int64) {
		x := make([]float32, must(tensor.Shape(shape).Elems()))
		for i := range x {
			x[i] = float32(0.1 * r.NormFloat64())
		}
		ts = append(ts, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
	}
	put("embed_tokens.weight", 100, 32)
	for _, norm := range []string{"layers.0.input_layernorm", "layers.0.post_attention_layernorm", "norm"} {
		put(norm+".weight", 32)
	}
	for _, p := range []string{"q_proj", "k_proj", "v_proj", "o_proj"} {
		put("layers.0.self_attn."+p+".weight", 32, 32)
	}
	put("layers.0.mlp.gate.weight", int64(experts), 32)
	for e := range experts {
		at := fmt.Sprintf("layers.0.mlp.experts.%d.", e)
		put(at+"gate_proj.weight", 24, 32)
		put(at+"up_proj.weight", 24, 32)
		put(at+"down_proj.weight", 32, 24)
	}
	put("lm_head.weight", 100, 32)
	return must(tensor.NewSet(ts...))
}

// Experts that exchanged places are found, and so is what moved inside of them, also when
// all weights were damaged. Those of strangers are nothing certain.
func TestExperts(t *testing.T) {
	set := mixture(1, 6)
	s := must(symmetry.DeriveNames(set, nil))
	const experts = "layers.0.mlp.experts"
	spec := must(FromSymmetry(s))
	if len(spec.Exchanges) != 1 || spec.Exchanges[0].Name != experts {
		t.Fatalf("%+v", spec.Exchanges)
	}
	e := s.Random(&symmetry.RandomOptions{Seed: 2})
	inv := must(s.Inverse(e))
	r := rand.New(rand.NewPCG(3, 1))
	var noisy []*tensor.Tensor
	for _, w := range must(symmetry.Apply(s, set, e)).All() {
		x := w.DType.AppendFloat32s(nil, must(w.Bytes()))
		for i := range x {
			x[i] += float32(0.05 * r.NormFloat64()) // half of its deviation
		}
		noisy = append(noisy, &tensor.Tensor{Name: w.Name, DType: w.DType, Shape: w.Shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
	}
	suspect := must(tensor.NewSet(noisy...))
	found := must(MatchNetworks(Network{set, spec}, Network{suspect, spec}, nil))
	if len(found.Exchanged) != 1 || !slices.Equal(found.Exchanged[0].Sus, inv[experts].Order) {
		t.Fatalf("experts %+v, want %v", found.Exchanged, inv[experts].Order)
	}
	for _, c := range found.Classes {
		// What is inside is found in the order of the reference's experts.
		if want := e[c.Name].Order; !slices.Equal(c.Ref, want) {
			t.Errorf("%s: %v, want %v", c.Name, c.Ref, want)
		}
	}
	if _, err := Restore(s, suspect, found); err != nil {
		t.Error(err)
	}
	stranger := must(MatchNetworks(Network{set, spec}, Network{mixture(9, 6), spec}, nil))
	if stranger.Related || slices.Max(stranger.Exchanged[0].Certainty) > 0 {
		t.Errorf("strangers are related: %+v", stranger.Exchanged)
	}
}
