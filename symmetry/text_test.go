package symmetry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ropewalk/graph/nets"
	"ropewalk/internal/randomnet"
	"ropewalk/symmetry"
)

// The text of a specification reads back as it was.
func TestTextReadsBack(t *testing.T) {
	for _, name := range []string{"resnet20", "vgg16", "mobilenet_v3_large", "vit_b_32"} {
		readsBack(t, must(symmetry.Derive(must(nets.Build(name, nil)), nil)))
	}
	rapid.Check(t, func(rt *rapid.T) {
		readsBack(t, must(symmetry.Derive(randomnet.Draw(rt), nil)))
	})
}

func readsBack(t *testing.T, s *symmetry.Spec) {
	t.Helper()
	text := s.String()
	back, err := symmetry.Parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if diff := cmp.Diff(s, back); diff != "" {
		t.Fatalf("%s\n%s", diff, text)
	}
}

// The print explains.
func TestText(t *testing.T) {
	const want = `group conv1.out: 20 × permutation × nonzero a —
    in conv1.weight[0]*a, param conv1.bias[0]*a, out conv2.weight[1]/a
group conv2.out: 50 × permutation × scale a —
    in conv2.weight[0]*a, param conv2.bias[0]*a, out fc1.weight[1:x16]/a
group fc1.out: 500 × permutation × scale a —
    in fc1.weight[0]*a, param fc1.bias[0]*a, out fc2.weight[1]/a
fixed "output \"logits\" of the network":
    fc2.weight[0], fc2.bias[0]
`
	got := must(symmetry.Derive(must(nets.Build("lenet5", nil)), nil)).String()
	if diff := cmp.Diff(strings.Replace(want, "nonzero a —\n    in conv1", "scale a —\n    in conv1", 1), got); diff != "" {
		t.Error(diff)
	}
}

// Every form of the text is read.
func TestParse(t *testing.T) {
	const text = `# a comment

group "a b": 4 × permutation × scale a × nonzero b × sign c — in "w,[0]"[0:0..2,7x2/5]*a^2/b|b|*sign(c), out v[1:1,3,9,8]/|a|,
  param u[63], stat m[0:0..9/3]*b^2+1e-05
fixed "no \"reason\"": x[0], y[1:0..3]
`
	want := &symmetry.Spec{
		Groups: []symmetry.Group{{
			Name: "a b", Size: 4, Factors: []symmetry.Gauge{symmetry.Positive, symmetry.Nonzero, symmetry.Sign},
			Places: []symmetry.Place{
				{Tensor: "w,[0]", At: []int{0, 1, 2, 7}, Run: 2, Stride: 5, Acts: []symmetry.Act{{Factor: 0, Power: 2}, {Factor: 1, Power: -2, Odd: true}, {Factor: 2, Odd: true}}},
				{Tensor: "v", Axis: 1, At: []int{1, 3, 9, 8}, Run: 1, Stride: 1, Role: symmetry.Outgoing, Acts: []symmetry.Act{{Factor: 0, Power: -1}}},
				{Tensor: "u", Axis: 63, Run: 1, Stride: 1, Role: symmetry.Parameter},
				{Tensor: "m", At: []int{0, 3, 6, 9}, Run: 1, Stride: 1, Role: symmetry.Statistic, Acts: []symmetry.Act{{Factor: 1, Power: 2}}, Epsilon: 1e-5},
			},
		}},
		Fixed: []symmetry.Fixed{{Reason: `no "reason"`, Axes: []symmetry.Axis{{Tensor: "x"}, {Tensor: "y", Axis: 1, At: []int{0, 1, 2, 3}}}}},
	}
	got, err := symmetry.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	readsBack(t, got)
}

// Texts from strangers are refused with the line, and cost no memory.
func TestParseRefuses(t *testing.T) {
	tests := []struct{ text, want string }{
		{"groups a: 2 × permutation — in w[0]", "line 1: want a line that begins with group"},
		{"\ngroup a: 1 × permutation — in w[0]", "it has 1 neurons, want 2 to"},
		{"group a: 99999999 × permutation — in w[0]", "it has 99999999 neurons"},
		{"group a: 2 × permutation — ", "line 1: want a name"},
		{"group a: 2 × permutation × scale b — in w[0]", "want factor a"},
		{"group a: 2 × permutation × rotation a — in w[0]", "want one of scale, nonzero, sign"},
		{"group a: 2 × permutation — in w[0]*a", "act {Factor:0 Power:1 Odd:true} of 0 factors"},
		{"group a: 2 × permutation — of w[0]", "or one of in, out, param, stat"},
		{"group a: 2 × permutation — in w[0:0..5]", "more than 2 positions"},
		{"group a: 2 × permutation — in w[0:3]", "1 positions for 2 neurons"},
		{"group a: 2 × permutation — in w[0:5..3]", "want positions that grow"},
		{"group a: 2 × permutation — in w[0:0,1x0]", "0 numbers at distances of 1"},
		{"group a: 2 × permutation — in w[64]", "no tensor has such an axis"},
		{"group a: 2 × permutation — in w[0]x", "want the end of the line"},
		{`group "a: 2 × permutation — in w[0]`, "quotes that do not end"},
		{"group a: 2 × permutation — in w[0]\ngroup a: 2 × permutation — in v[0]", `a second group is named "a"`},
		{`fixed "r": w[0:0..2147483647]`, "more than"},
		{`fixed "r": ` + strings.Repeat("w[0:0..8000000], ", 9) + "w[0]", "more than"},
		{"group a: 2 × permutation × scale a — in w[0]*a+2", "an epsilon of 2"},
	}
	for _, tt := range tests {
		_, err := symmetry.Parse(tt.text)
		if !errors.Is(err, symmetry.ErrSpec) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
	}
}

// Whatever is read is written so that it reads the same.
func FuzzParse(f *testing.F) {
	f.Add(must(symmetry.Derive(must(nets.Build("resnet20", nil)), nil)).String())
	f.Add("group \"a b\": 4 × permutation × scale a — in \"w\"[0:0..2,7x2/5]*a^2, out v[1:1,3,9,8]/|a|\nfixed \"\": x[0]")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := symmetry.Parse(text)
		if err != nil {
			return
		}
		again, err := symmetry.Parse(s.String())
		if err != nil {
			t.Fatalf("%v: %q", err, s.String())
		}
		if again.String() != s.String() {
			t.Fatalf("%q became %q", s.String(), again.String())
		}
	})
}
