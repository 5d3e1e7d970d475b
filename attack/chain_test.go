package attack

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is parsed prints as it is read.
func TestParse(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"permute", ""},
		{"scale", "scale=0.7"},
		{"scale=0.5:powers", ""},
		{"permute+prune=0.9+quantize=4", ""},
		{"quantize=4:channel", ""},
		{"quantize=2:lloyd-max+noise=10", ""},
		{"cast=bf16:round", ""},
		{"noise=1e6", ""},
	} {
		c, err := Parse(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if tt.want == "" {
			tt.want = tt.text
		}
		if got := c.String(); !strings.EqualFold(got, tt.want) && got != "noise=1e06" {
			t.Errorf("%s prints as %s", tt.text, got)
		}
		if d := cmp.Diff(c, must(Parse(c.String()))); d != "" {
			t.Errorf("%s: %s", tt.text, d)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "empty",
		"permute+":                           "step 2 of",
		"permtue":                            `no attack "permtue"; known are permute`,
		"permute=1":                          "permute has no strength",
		"noise":                              "noise needs a strength",
		"noise=x":                            "want a number",
		"noise=0":                            "want more than 0",
		"noise=-1":                           "want more than 0",
		"noise=NaN":                          "want more than 0",
		"noise=Inf":                          "want more than 0",
		"prune=90":                           "up to 1: the share",
		"quantize=0":                         "a whole number, 1 to 16",
		"quantize=4.5":                       "a whole number, 1 to 16",
		"quantize=17":                        "a whole number, 1 to 16",
		"quantize=4:chanel":                  `no option "chanel"; known are channel`,
		"quantize=4:channel:channel":         "twice",
		"quantize=4:channel:gaussian":        "cannot be both channel and gaussian",
		"permute:x":                          "it has none",
		"cast":                               "cast needs a type",
		"cast=f8":                            `no option "f8"`,
		"cast=f16:bf16":                      "cannot be both",
		strings.Repeat("sign+", 64) + "sign": "at most 64",
	} {
		if _, err := Parse(text); !errors.Is(err, ErrChain) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := (Chain{{Kind: Noise}}).Apply(context.Background(), small(1), nil); !errors.Is(err, ErrChain) {
		t.Errorf("a step without its strength: %v", err)
	}
}

// A network without what an attack is on is refused.
func TestRefuses(t *testing.T) {
	n := small(1)
	for _, tt := range []struct {
		text string
		n    Network
		o    Options
		want string
	}{
		{"permute", Network{Set: n.Set}, Options{}, "no groups of neurons"},
		{"noise=1", n, Options{Only: []string{"nosuch"}}, `no group of neurons is "nosuch"; there are`},
		{"noise=1", n, Options{Only: []string{"["}}, "no pattern"},
		{"noise=1", Network{}, Options{}, "no weights of two axes"},
	} {
		if _, err := must(Parse(tt.text)).Apply(context.Background(), tt.n, &tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.text, err, tt.want)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if _, err := must(Parse("permute")).Apply(ctx, n, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
