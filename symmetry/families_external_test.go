//go:build external

package symmetry_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ropewalk/checkpoint"
	"ropewalk/symmetry"
)

// familiesScript makes small networks with random weights, all of them, biases and norms too.
// "make" writes weights and outputs; "check" reads weights and prints how far the
// outputs moved, and what the outputs are about.
const familiesScript = `
import sys, os, warnings
warnings.simplefilter('ignore')
import torch, transformers as T
from safetensors.torch import save_file, load_file
common = dict(hidden_size=32, num_attention_heads=4, num_hidden_layers=2, vocab_size=50)
llama = dict(common, num_key_value_heads=2, intermediate_size=40, pad_token_id=0)
bert = dict(common, intermediate_size=48, max_position_embeddings=20)
vit = dict(hidden_size=32, num_attention_heads=4, num_hidden_layers=2, intermediate_size=48, image_size=16, patch_size=8)
gpt2 = dict(n_embd=32, n_head=4, n_layer=2, vocab_size=50, n_positions=20)
def vision(name, **k):
    import torchvision
    return getattr(torchvision.models, name)(**k)
make = {
 'bert-masked': lambda: T.BertForMaskedLM(T.BertConfig(**bert)),
 'bert-pretraining': lambda: T.BertForPreTraining(T.BertConfig(**bert)),
 'bert-class': lambda: T.BertForSequenceClassification(T.BertConfig(**bert)),
 'bert-token': lambda: T.BertForTokenClassification(T.BertConfig(**bert)),
 'bert-answer': lambda: T.BertForQuestionAnswering(T.BertConfig(**bert)),
 'bert-bare': lambda: T.BertModel(T.BertConfig(**bert)),
 'vit-class': lambda: T.ViTForImageClassification(T.ViTConfig(**vit)),
 'vit-bare': lambda: T.ViTModel(T.ViTConfig(**vit)),
 'gpt2': lambda: T.GPT2LMHeadModel(T.GPT2Config(**gpt2)),
 'gpt2-untied': lambda: T.GPT2LMHeadModel(T.GPT2Config(tie_word_embeddings=False, **gpt2)),
 'llama': lambda: T.LlamaForCausalLM(T.LlamaConfig(**llama)),
 'llama-tied': lambda: T.LlamaForCausalLM(T.LlamaConfig(tie_word_embeddings=True, **llama)),
 'mistral': lambda: T.MistralForCausalLM(T.MistralConfig(**llama)),
 'qwen2': lambda: T.Qwen2ForCausalLM(T.Qwen2Config(**llama)),
 'phi3': lambda: T.Phi3ForCausalLM(T.Phi3Config(**llama)),
 'mixtral': lambda: T.MixtralForCausalLM(T.MixtralConfig(num_local_experts=3, **llama)),
 'qwen2-moe': lambda: T.Qwen2MoeForCausalLM(T.Qwen2MoeConfig(num_experts=3, num_experts_per_tok=2, moe_intermediate_size=24, shared_expert_intermediate_size=28, **llama)),
 'torchvision-mobilenet_v2': lambda: vision('mobilenet_v2', num_classes=7, width_mult=0.25),
 'torchvision-mobilenet_v3_small': lambda: vision('mobilenet_v3_small', num_classes=7),
 'torchvision-mobilenet_v3_large': lambda: vision('mobilenet_v3_large', num_classes=7),
 'torchvision-vit': lambda: __import__('torchvision').models.VisionTransformer(16, 8, 2, 4, 32, 48, num_classes=7),
}
mode, name, folder = sys.argv[1:]
if mode == 'list':
    print(' '.join(make)); sys.exit()
if name.startswith('torchvision'):
    import torchvision
torch.manual_seed(1)
net = make[name]().double().eval()
with torch.no_grad():
    for k, p in list(net.named_parameters()) + list(net.named_buffers()):
        if not p.is_floating_point() or 'inv_freq' in k: continue
        if k.endswith('running_var'): p.uniform_(0.5, 2)
        elif p.dim() == 1: p.add_(torch.randn_like(p) * 0.3)
        elif not name.startswith('torchvision-m'): p.normal_(0, 0.3)
def outputs():
    torch.manual_seed(2)
    ids = torch.randint(1, 50, (2, 7))
    size = 16 if name.startswith('vit') or name == 'torchvision-vit' else 64
    img = torch.randn(2, 3, size, size, dtype=torch.float64)
    with torch.no_grad():
        if name.startswith('torchvision'): return [net(img)]
        r = net(img) if name.startswith('vit') else net(input_ids=ids)
        return [v for v in r.to_tuple() if torch.is_tensor(v)]
if mode == 'make':
    state, seen = {}, set()
    drop = name in ('gpt2', 'llama-tied')
    for k, v in net.state_dict().items():
        if drop and v.data_ptr() in seen: continue
        seen.add(v.data_ptr())
        state[k] = v.clone().contiguous()
    save_file(state, folder + '/a.safetensors')
    torch.save(outputs(), folder + '/out.pt')
else:
    old = net.state_dict()
    new = load_file(folder + '/b.safetensors')
    changed = sum(not torch.equal(old[k], v) for k, v in new.items())
    net.load_state_dict(new, strict=False)
    was, now = torch.load(folder + '/out.pt'), outputs()
    worst = max(((a - b).abs().max() / a.abs().max()).item() for a, b in zip(was, now))
    assert len(was) == len(now) and changed > 0 and worst < 1e-5, (changed, worst)
    print('%d tensors changed, outputs by %.1e of the largest' % (changed, worst))
`

// Networks of the libraries themselves compute the same after a random element.
func TestExternalFamilies(t *testing.T) {
	python := os.Getenv("ROPEWALK_PYTHON")
	if python == "" || exec.Command(python, "-c", "import transformers, torch, safetensors").Run() != nil {
		t.Skip("ROPEWALK_PYTHON names no Python with transformers, torch and safetensors: nothing to compare with")
	}
	vision := exec.Command(python, "-c", "import torchvision").Run() == nil
	run := func(t *testing.T, args ...string) string {
		out, err := exec.Command(python, append([]string{"-c", familiesScript}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return lines[len(lines)-1]
	}
	for name := range strings.FieldsSeq(run(t, "list", "-", "-")) {
		t.Run(name, func(t *testing.T) {
			if strings.HasPrefix(name, "torchvision") && !vision {
				t.Skip("ROPEWALK_PYTHON has no torchvision")
			}
			folder := t.TempDir()
			run(t, "make", name, folder)
			c, err := checkpoint.Open(filepath.Join(folder, "a.safetensors"), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			s, err := symmetry.DeriveNames(c.Tensors, &symmetry.NamesOptions{HeadSize: 8})
			if err != nil {
				t.Fatal(err)
			}
			if again, err := symmetry.Parse(s.String()); err != nil || again.String() != s.String() {
				t.Errorf("the print does not parse back: %v", err)
			}
			e, err := s.Fit(c.Tensors, s.Random(&symmetry.RandomOptions{Seed: 1, Scale: 0.5, Signs: true}))
			if err != nil {
				t.Fatal(err)
			}
			moved, err := symmetry.Apply(s, c.Tensors, e)
			if err != nil {
				t.Fatal(err)
			}
			f, err := os.Create(filepath.Join(folder, "b.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			if err := checkpoint.Convert(f, "safetensors", moved, nil); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			t.Logf("%d groups; %s", len(s.Groups), run(t, "check", name, folder))
		})
	}
}
