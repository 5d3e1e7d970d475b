package nesting

import (
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "",
		"a: [1, {b: 2}]\nc:\n  - d\n":          "",
		strings.Repeat("a: [1]\n", 1000):       "",
		strings.Repeat("[", 100):               "",
		"a: 1\nb: " + strings.Repeat("[", 101): "line 2: more than 100 brackets are open",
		strings.Repeat("{a: ", 101):            "line 1: more than 100 brackets are open",
		"a:\n" + strings.Repeat("- ", 201):     "line 2: it begins after column 400",
		strings.Repeat(" ", 401) + "a: 1":      "line 1: it begins after column 400",
		"a: " + strings.Repeat("-", 500):       "",
	} {
		got := ""
		if err := Check([]byte(text)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%.20q…: %q, want %q", text, got, want)
		}
	}
}
