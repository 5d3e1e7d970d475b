package symmetry_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// family returns tensors of the names and shapes of a list, of numbers that count up.
func family(t *testing.T, name string) *tensor.Set {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "families", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	var ts []*tensor.Tensor
	for line := range strings.Lines(string(text)) {
		dims, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		var shape tensor.Shape
		for d := range strings.SplitSeq(dims, "x") {
			shape = append(shape, must(strconv.ParseInt(d, 10, 64)))
		}
		x := make([]float32, must(shape.Elems()))
		for i := range x {
			x[i] = float32(len(ts)<<12 + i)
		}
		ts = append(ts, &tensor.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, x))})
	}
	return must(tensor.NewSet(ts...))
}

// The groups of small networks of Hugging Face, with 4 heads of 8, by name and size. What
// they compute is compared by TestExternalFamilies.
func TestFamilies(t *testing.T) {
	for _, tt := range []struct {
		name  string
		alike []string // groups, as often as there are two layers
		heads []string // those that need the number of heads
	}{
		{"bert-pretraining", []string{".out 32", "intermediate.dense.out 48", "pooler.dense.out 32"}, []string{".blocks 4", "key.inside 8", "value.inside 8"}},
		{"gpt2", []string{".out 32", "c_fc.out 128"}, []string{"c_attn.blocks 4", "c_attn.inside 8"}},
		{"vit-class", []string{".out 32", "intermediate.dense.out 48"}, []string{".blocks 4", "key.inside 8", "value.inside 8"}},
		{"llama", []string{".out 32", "gate_proj.out 40"}, []string{"_proj.blocks 2", "v_proj.inside 8"}},
		{"phi3", []string{".out 32", "gate_up_proj.out 40"}, []string{"qkv_proj.out 2", "qkv_proj.out.2 2", "qkv_proj.out.3 8"}},
		{"mixtral", []string{".out 32", "w1.out 40", "experts 3"}, []string{"_proj.blocks 2", "v_proj.inside 8"}},
		{"qwen2-moe", []string{".out 32", "gate_proj.out 24", "shared_expert.gate_proj.out 28", "experts 3"}, []string{"_proj.blocks 2", "v_proj.inside 8"}},
	} {
		set := family(t, tt.name)
		known := must(symmetry.DeriveNames(set, &symmetry.NamesOptions{Heads: 4}))
		unknown := must(symmetry.DeriveNames(set, nil))
		has := func(s *symmetry.Spec, want string) bool {
			end, size, _ := strings.Cut(want, " ")
			for i := range s.Groups {
				if g := &s.Groups[i]; strings.HasSuffix(g.Name, end) && strconv.Itoa(g.Size) == size {
					return true
				}
			}
			return false
		}
		for _, want := range tt.alike {
			if !has(known, want) || !has(unknown, want) {
				t.Errorf("%s: no group %s in\n%v\n%v", tt.name, want, known, unknown)
			}
		}
		for _, want := range tt.heads {
			if !has(known, want) || has(unknown, want) {
				t.Errorf("%s: no group %s in, or one without the number of heads\n%v\n%v", tt.name, want, known, unknown)
			}
		}
		if strings.Contains(known.String(), symmetry.UnknownHeads) || !strings.Contains(unknown.String(), symmetry.UnknownHeads) {
			t.Errorf("%s: heads are unknown in\n%v\nand known in\n%v", tt.name, known, unknown)
		}
		if text := known.String(); must(symmetry.Parse(text)).String() != text {
			t.Errorf("%s is read back otherwise", tt.name)
		}
		e := known.Random(&symmetry.RandomOptions{Seed: 1})
		moved := must(symmetry.Apply(known, set, e))
		back := must(symmetry.Apply(known, moved, must(known.Inverse(e))))
		changed := 0
		for i, w := range set.All() {
			if !bytes.Equal(must(w.Bytes()), must(moved.At(i).Bytes())) {
				changed++
			}
			if !bytes.Equal(must(w.Bytes()), must(back.At(i).Bytes())) {
				t.Errorf("%s: %s did not come back", tt.name, w.Name)
			}
		}
		if changed < set.Len()*3/4 {
			t.Errorf("%s: only %d of %d tensors moved", tt.name, changed, set.Len())
		}
	}
}

// Numbers of heads that do not fit are an error, whoever says them.
func TestHeads(t *testing.T) {
	llama, bert := family(t, "llama"), family(t, "bert-pretraining")
	for _, o := range []symmetry.NamesOptions{{Heads: 5}, {Heads: -1}, {HeadSize: 5}, {HeadSize: -8}, {Heads: 4, HeadSize: 16}, {Heads: 4, KeyValueHeads: 1}} {
		for _, set := range []*tensor.Set{llama, bert} {
			if _, err := symmetry.DeriveNames(set, &o); !errors.Is(err, symmetry.ErrHeads) {
				t.Errorf("%+v: %v", o, err)
			}
		}
	}
	want := must(symmetry.DeriveNames(llama, &symmetry.NamesOptions{HeadSize: 8})).String()
	for _, o := range []symmetry.NamesOptions{{Heads: 4}, {Heads: 4, KeyValueHeads: 2, HeadSize: 8}} {
		if got := must(symmetry.DeriveNames(llama, &o)).String(); got != want {
			t.Errorf("%+v: %s\nwant %s", o, got, want)
		}
	}
}
