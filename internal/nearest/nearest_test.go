package nearest

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// slow is the definition, letter by letter.
func slow(a, b string) int {
	switch {
	case a == "":
		return len(b)
	case b == "":
		return len(a)
	case a[0] == b[0]:
		return slow(a[1:], b[1:])
	}
	return 1 + min(slow(a[1:], b), slow(a, b[1:]), slow(a[1:], b[1:]))
}

func TestDistance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching("[abc]{0,6}")
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		if got, want := Distance(a, b), slow(a, b); got != want {
			t.Fatalf("%q to %q: %d, want %d", a, b, got, want)
		}
	})
}

func TestName(t *testing.T) {
	verbs := []string{"pack", "unpack", "inspect", "diff", "test"}
	for name, want := range map[string]string{
		"pakc": "pack", "pac": "pack", "unpak": "unpack", "inspekt": "inspect", "pack": "pack",
		"dif": "diff", "frobnicate": "", "": "", "x": "",
	} {
		if got := Name(name, verbs); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := Name("rest", []string{"test", "best"}); got != "test" {
		t.Errorf("of equals: %q, want the first", got)
	}
}

func TestSort(t *testing.T) {
	names := []string{"vgg16", "alexnet", "resnet-32", "resnet-200", "resnet-20"}
	Sort(names, "ResNet_20", func(s string) string { return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s)) })
	if want := []string{"resnet-20", "resnet-200", "resnet-32", "alexnet", "vgg16"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
	Sort(names, "vgg16", nil)
	if names[0] != "vgg16" {
		t.Errorf("%q", names)
	}
}
