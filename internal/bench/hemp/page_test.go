package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVerdictIsOfMedians(t *testing.T) {
	r := &row{table: targets, bytes: 2000, error: 1.9}
	at := func(bytes int64, test float64) result { return result{Bytes: bytes, Test: test} }
	for _, c := range []struct {
		results []result
		want    string
	}{
		{[]result{at(1900, 1.8), at(2100, 2.1), at(1950, 1.9)}, "met"},
		{[]result{at(1900, 1.8), at(2100, 2.1), at(2050, 1.9)}, "missed"},
		{[]result{at(1900, 1.8), at(1900, 2.1), at(1950, 1.95)}, "missed"},
		{[]result{at(1900, 1.8), {Failed: "collapsed"}, {Failed: "collapsed"}}, "missed"},
	} {
		if got := verdict(r, c.results); !strings.HasSuffix(got, c.want) {
			t.Errorf("%v: %q, want %s", c.results, got, c.want)
		}
	}
	if got := verdict(&row{}, []result{at(1, 1)}); got != "" {
		t.Errorf("without a target: %q", got)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		v    []float64
		want string
	}{
		{nil, "-"},
		{[]float64{3}, "3.0"},
		{[]float64{5, 1, 2}, "2.0 (1.0–5.0)"},
		{[]float64{4, 1, 2, 3}, "2.5 (1.0–4.0)"},
	} {
		if got := spread(c.v, 1); got != c.want {
			t.Errorf("%v: %q, want %q", c.v, got, c.want)
		}
	}
}

// Results of other options are not those of the row, and half a line is of a run
// that is done again.
func TestResultsBelongToOptions(t *testing.T) {
	r := row{name: "x", net: lenet5, data: builtin, args: "--lambda 1"}
	other := r
	other.args = "--lambda 2"
	dir := t.TempDir()
	lines := `{"row":"x","seed":1,"options":"` + r.digest() + `","bytes":7}` + "\n" + `{"row":"x","seed":2,"options":"` + other.digest() + `"}` + "\n" + `{"row":"x","se`
	if err := os.WriteFile(filepath.Join(dir, resultsName), []byte(lines), 0o666); err != nil {
		t.Fatal(err)
	}
	b, err := openBench(&config{work: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	if got := b.of(&r); len(got) != 1 || got[0].Seed != 1 || got[0].Bytes != 7 {
		t.Errorf("results %+v", got)
	}
	text, err := os.ReadFile(filepath.Join(dir, resultsName))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(text), "}\n") {
		t.Errorf("half a line is left: %q", text)
	}
}

// Names are of files, and so unique; what rows refer to is there.
func TestRowsAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range append(append([]row(nil), allRows...), quickRows...) {
		if seen[r.name] {
			t.Errorf("two rows are called %s", r.name)
		}
		seen[r.name] = true
		if _, ok := starts[r.start]; r.start != "" && !ok {
			t.Errorf("%s begins with %q, which is not there", r.name, r.start)
		}
	}
}

func TestSymbols(t *testing.T) {
	got := symbolsOf([]float32{0, -1, 2, 0, -1})
	if string(got) != "\x01\x00\x02\x01\x00" {
		t.Errorf("symbols %v", got)
	}
	many := make([]float32, mostLevels+1)
	for i := range many {
		many[i] = float32(i)
	}
	if symbolsOf(many) != nil {
		t.Error("floats became symbols")
	}
}
