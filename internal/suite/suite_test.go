package suite

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// smallest is a suite that is whole.
const smallest = `
title: small
data:
  mine: {is: "builtin:fashion-mnist"}
  there: {get: from somebody}
vars: {n: 3}
quick:
  vars: {n: 1}
  each: {net: [a]}
tables:
  - name: one
    each:
      - net: [a, b]
      - data: [mine, there]
    start:
      - make: $net -n $n -o $start/x
    columns:
      - {name: bytes}
      - {name: error, digits: 2}
    steps:
      - look: $start/x $data $seed $how
    values: {bytes: 1.bytes, error: 100 - 100 * 1.list.1.top?}
    rows:
      - {name: first, what: the first, vars: {how: --well}}
      - {name: second, full: true, vars: {how: ""}}
`

func parse(t *testing.T, text string) *Suite {
	t.Helper()
	s, err := Parse("small.yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPlan(t *testing.T) {
	s := parse(t, smallest)
	jobs, err := s.Plan(&PlanOptions{Seeds: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(jobs) != 2*2*2*2 {
		t.Fatalf("%d jobs, want rows × nets × data × seeds", len(jobs))
	}
	if got, want := jobs[0].Line(), "one/first/a/mine"; got != want {
		t.Errorf("first job %q, want %q", got, want)
	}
	words := jobs[0].words(jobs[0].steps[0], "H", "S", nil)
	if got, want := strings.Join(words, " "), "look S/x builtin:fashion-mnist 0 --well"; got != want {
		t.Errorf("step %q, want %q", got, want)
	}
	if got, want := jobs[0].Commands()[0], "make a -n 3 -o $start/x"; got != want {
		t.Errorf("start %q, want %q", got, want)
	}
	if m := jobs[1].Missing; len(m) != 1 || m[0] != "there" {
		t.Errorf("missing %q, want there", m)
	}
	// A path with a blank in it is one word.
	words = jobs[1].words(jobs[1].steps[0], "H", "S", map[string]string{"there": "my data"})
	if len(words) != 5 || words[2] != "my data" {
		t.Errorf("words %q", words)
	}
	// Rows and nets that have the same start share it, and seeds do not change it here.
	if jobs[0].startKey() != jobs[1].startKey() || jobs[0].startKey() == jobs[2].startKey() {
		t.Error("starts are not shared by those that have them alike, and only those")
	}

	jobs, err = s.Plan(&PlanOptions{Quick: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(jobs) != 2 || jobs[0].Commands()[0] != "make a -n 1 -o $start/x" {
		t.Errorf("quick: %d jobs, the first starts with %q", len(jobs), jobs[0].Commands()[0])
	}
}

// Jobs do not share a folder, whatever names of files can be.
func TestFoldersDiffer(t *testing.T) {
	s := parse(t, strings.NewReplacer("net: [a, b]", `net: ["a:b", a_b, A_b]`, "make: $net", "make: x").Replace(smallest))
	jobs, err := s.Plan(&PlanOptions{Seeds: 2})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, j := range jobs {
		f := strings.ToLower(j.folder())
		if seen[f] != "" || strings.Contains(f, ":") {
			t.Errorf("%s of %s is that of %s, too", f, j.Line(), seen[f])
		}
		seen[f] = j.Line()
	}
}

// What is wrong is said with its line, or with table and row.
func TestParseErrors(t *testing.T) {
	change := func(from, to string) string {
		if !strings.Contains(smallest, from) {
			t.Fatalf("no %q", from)
		}
		return strings.Replace(smallest, from, to, 1)
	}
	many := func(form string) string {
		var b strings.Builder
		for i := range 300 {
			fmt.Fprintf(&b, form, i)
		}
		return b.String()
	}
	for _, tt := range []struct {
		text, want string
		line       int
	}{
		{change("title: small", "titel: small"), `unknown field "titel"`, 2},
		{change("    steps:", "    stepps:"), `unknown field "stepps"`, 20},
		{change("what: the first", "that: the first"), `unknown field "that"`, 24},
		{change("title: small", "title: &a small"), "anchors and aliases", 2},
		{change("title: small", "title: !!str small"), "tags", 2},
		{"tables: " + strings.Repeat("[", 60000), "more than 100 brackets are open", 0},
		{change("title: small", "title: small\ntitle: again"), `"title"`, 3},
		{change("title: small", "title: [small"), "", -1},
		{change("bytes: 1.bytes", "bites: 1.bytes"), "table one: row first: it has a value \"bites\"", 0},
		{change("bytes: 1.bytes", "bytes: 2.bytes"), "there are 1", 0},
		{change("bytes: 1.bytes", "bytes: 1.bytes +"), "want numbers and fields", 0},
		{change("bytes: 1.bytes", "bytes: 1.bytes x 2"), "none of + - * /", 0},
		{change("name: second", "name: first"), "that of another row", 0},
		{change("name: second", "name: ../etc"), "is no name", 0},
		{change("{get: from somebody}", "{}"), "data \"there\"", 0},
		{change("vars: {n: 3}", "vars: {seed: 3}"), "cannot be called", 0},
		{change("  there: {get", "  here: {get"), "data \"here\"", 0},
		{change("  vars: {n: 1}", "  vars: {m: 1}"), "vars do not", 0},
		{change("  each: {net: [a]}", "  each: {nets: [a]}"), "no table does", 0},
		{change("- net: [a, b]", "- net: []"), "no values", 0},
		{change("- net: [a, b]", "- net: [a, a]"), `table one: each net: "a" is there twice`, 0},
		{change("- net: [a, b]", "- net: [a, b/c]"), `table one: each net: "b/c" has a /`, 0},
		{change("- data: [mine, there]", "- net: [c]"), "table one: each has net twice", 0},
		{change("- net: [a, b]", strings.Repeat("- net: [a]\n      ", 20)), "each has 21 entries", 0},
		{change("each: {net: [a]}", "each: {net: [a, a]}"), `quick: each net: "a" is there twice`, 0},
		{change("{n: 3}", "{"+many("n%d: x, ")+"n: 3}"), "it has 301 vars", 0},
		{change("{how: --well}", "{"+many("n%d: x, ")+"n: 3}"), "row first: it has 301 vars", 0},
		{change("- {name: bytes}", many("- {name: n%d}\n      ")+"- {name: bytes}"), "it has 302 columns", 0},
		{"", "no tables", 0},
		{"title: x\n" + strings.Repeat("#", maxSuite), "no suite", 0},
	} {
		_, err := Parse("small.yaml", strings.NewReader(tt.text))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
			continue
		}
		if e.Line != tt.line && tt.line >= 0 {
			t.Errorf("%v: line %d, want %d", e, e.Line, tt.line)
		}
	}
}

// A suite is called as its file, and no name leads out of the folder of results.
func TestSuiteNames(t *testing.T) {
	for file, want := range map[string]string{"small.yaml": "small", "a/b/of-1.2_x.yml": "of-1.2_x", "...yaml": "", "..yaml": "", ".yaml": "", "My suite.yaml": "My suite", "a:b.yaml": ""} {
		s, err := Parse(file, strings.NewReader(smallest))
		switch {
		case want == "" && (err == nil || !strings.Contains(err.Error(), "is no name")):
			t.Errorf("%s: %v", file, err)
		case want != "" && (err != nil || s.Name != want):
			t.Errorf("%s: %v, want %s", file, err, want)
		}
	}
}

func TestVariablesEnd(t *testing.T) {
	// Each of these stands for many of the next: a few lines for gigabytes.
	many := func(last string) string {
		var b strings.Builder
		b.WriteString("vars:\n  n: $n0\n")
		for i := range 6 {
			fmt.Fprintf(&b, "  n%d: \"%s\"\n", i, strings.Repeat(fmt.Sprintf("$n%d", i+1), 60))
		}
		return b.String() + "  n6: \"" + last + "\""
	}
	for text, want := range map[string]string{
		"vars: {n: $n}":                                                        "in a circle: $n, $n",
		"vars: {n: $a, a: $b, b: $a $a}":                                       "in a circle: $a, $b, $a",
		"vars: {n: \"" + strings.Repeat("$n ", 30) + "\"}":                     "in a circle: $n, $n",
		"vars: {n: $a, a: $b, b: $c, c: $d, d: $e, e: $f, f: $g, g: $h, h: x}": "more than 8 variables in variables: $n, $a, $b, $c, $d, $e, $f, $g, $h",
		"vars: {n: $nowhere}":                                                  "no variable $nowhere",
		many("word"):                                                           "longer than 65536 bytes",
		many(""):                                                               "longer than 65536 bytes",
	} {
		s := parse(t, strings.Replace(smallest, "vars: {n: 3}", text, 1))
		if _, err := s.Plan(&PlanOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// A step without a verb is refused, also one whose verb is a variable that is empty.
func TestStepsHaveVerbs(t *testing.T) {
	for _, step := range []string{`"": ""`, `"  ": ""`, `$none: ""`, `"": $none`} {
		s := parse(t, strings.NewReplacer("vars: {n: 3}", `vars: {n: 3, none: ""}`, "look: $start/x $data $seed $how", step).Replace(smallest))
		err := s.Check(func(words []string) error { _ = words[0]; return nil })
		if err == nil || !strings.Contains(err.Error(), "table one, row first: a step has no verb") {
			t.Errorf("%s: %v", step, err)
		}
	}
}

// Many commands are refused before they fill the memory.
func TestPlanIsBounded(t *testing.T) {
	s, left := parse(t, smallest), 1000
	short := Step{"look": ""}
	if lines, err := s.expandAll([]Step{short, short, short}, nil, &left); err != nil || len(lines) != 3 {
		t.Fatalf("%q, %v", lines, err)
	}
	if _, err := s.expandAll(slices.Repeat([]Step{short}, 1000), nil, &left); err == nil || !strings.Contains(err.Error(), "more than 256 MiB") {
		t.Errorf("error %v", err)
	}
}

// The product of each is refused before it is made.
func TestEachIsBounded(t *testing.T) {
	var each strings.Builder
	for i := range 12 {
		fmt.Fprintf(&each, "      - x%d: [%s]\n", i, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")
	}
	s := parse(t, strings.Replace(smallest, "      - net:", each.String()+"      - net:", 1))
	for _, quick := range []bool{false, true} {
		if _, err := s.Plan(&PlanOptions{Quick: quick, Match: regexp.MustCompile("^nothing$")}); err == nil || !strings.Contains(err.Error(), "table one: rows and all combinations of each are more than 65536") {
			t.Errorf("error %v", err)
		}
	}
}

// Suites that the program carries are whole.
func TestEmbedded(t *testing.T) {
	if len(Names()) < 5 {
		t.Fatalf("suites %q", Names())
	}
	for _, n := range Names() {
		s, err := Embedded(n)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, quick := range []bool{false, true} {
			jobs, err := s.Plan(&PlanOptions{Quick: quick, Seeds: 1})
			if err != nil || len(jobs) == 0 {
				t.Errorf("%s, quick %v: %d jobs, %v", n, quick, len(jobs), err)
			}
		}
	}
}

func TestMeasureRefuses(t *testing.T) {
	for _, line := range []string{
		"", "nothing", "step", "step --net lenet5 --turns 0", "step --net lenet5 --steps -1", "step --net lenet5 --penalty none", "step --net lenet5 more",
		"forward --net lenet5 --batch 99999999", "layer --weights x", "key", "layer --nonsense 1",
	} {
		if _, err := parseMeasure(strings.Fields(line)); err == nil {
			t.Errorf("measure %s is taken", line)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(smallest)
	for _, n := range Names() {
		text, err := embedded.ReadFile("suites/" + n + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("x.yaml", strings.NewReader(text))
		if err != nil {
			return
		}
		_, _ = s.Plan(&PlanOptions{Seeds: 1})
	})
}

// A chart is of columns and of what there are rows for.
func TestChartMistakes(t *testing.T) {
	columns, each := map[string]bool{"a": true, "b": true}, map[string]bool{"e": true}
	for _, tt := range []struct {
		chart Chart
		want  string
	}{
		{Chart{Kind: Curves, X: "a", Y: "b", Over: "e"}, ""},
		{Chart{Kind: Matrix, Values: []string{"a"}, Down: "e", High: 1}, ""},
		{Chart{Kind: "pie"}, `kind is "pie"`},
		{Chart{Kind: Curves, X: "a", Y: "c"}, `y is "c", which is no column`},
		{Chart{Kind: Curves, X: "a", Y: "b", Over: "f"}, `"f" is none of each`},
		{Chart{Kind: Curves, X: "a", Y: "b", High: 1}, "are for a matrix"},
		{Chart{Kind: Matrix, Values: []string{"a"}}, "low and high that differ"},
		{Chart{Kind: Matrix, Values: []string{"a", "c"}, High: 1}, `values c is "c"`},
		{Chart{Kind: Matrix, Values: []string{"a"}, High: 1, X: "a"}, "are for curves"},
	} {
		err := tt.chart.check(columns, each)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want %q", tt.chart, err, tt.want)
		}
	}
}
