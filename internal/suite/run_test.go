package suite

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A fake is a program whose make writes a file and whose look tells of it.
type fake struct {
	mu    sync.Mutex
	lines []string
	fails string // words of commands that fail
	most  int    // at a time
	now   int
	alone int // commands that were told to be
}

func (f *fake) run(_ context.Context, words []string, alone bool) ([]byte, error) {
	f.mu.Lock()
	if alone {
		f.alone++
	}
	f.lines = append(f.lines, words[0])
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.now--
		f.mu.Unlock()
	}()
	if f.fails != "" && slices.Contains(words, f.fails) {
		return nil, errors.New("it fails")
	}
	switch words[0] {
	case "make":
		return []byte(`{}`), os.WriteFile(words[len(words)-1], []byte(words[1]), 0o666)
	case "look":
		b, err := os.ReadFile(words[1])
		if err != nil {
			return nil, err
		}
		if words[len(words)-1] == "--impossible" {
			return nil, &Refusal{"no such size"}
		}
		return fmt.Appendf(nil, `{"bytes":%d,"list":[null,{"top":0.%s}]}`, 1000*int(b[0]-'a')+len(words), words[3]+"5"), nil
	}
	return nil, fmt.Errorf("no verb %s", words[0])
}

func (f *fake) count(verb string) int {
	n := 0
	for _, l := range f.lines {
		if l == verb {
			n++
		}
	}
	return n
}

func runner(dir string, f *fake) *Runner {
	return &Runner{Run: f.run, Results: filepath.Join(dir, "small.jsonl"), Work: filepath.Join(dir, "work"), Jobs: 2, Program: "test"}
}

func plan(t *testing.T, s *Suite) []*Job {
	t.Helper()
	return planWith(t, s, "")
}

// planWith plans with the data "there" where it is given, and known by where it is.
func planWith(t *testing.T, s *Suite, there string) []*Job {
	t.Helper()
	o := &PlanOptions{Seeds: 2, Data: map[string]string{}, Digests: map[string]string{"mine": "builtin:fashion-mnist"}}
	if there != "" {
		o.Data["there"], o.Digests["there"] = there, "digest of "+there
	}
	jobs, err := s.Plan(o)
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

// tables returns all forms of the tables.
func tables(t *testing.T, s *Suite, jobs []*Job, records []Record) string {
	t.Helper()
	var b bytes.Buffer
	lines := Lines(jobs, records)
	if err := errors.Join(s.WriteMarkdown(&b, lines), s.WriteLaTeX(&b, lines), s.WriteCSV(&b, lines)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Runs that are interrupted go on, starts are shared, and however it went the tables are
// the same.
func TestRunGoesOn(t *testing.T) {
	s := parse(t, smallest)
	jobs := plan(t, s)
	f := &fake{}
	want, err := runner(t.TempDir(), f).Do(t.Context(), jobs)
	if err != nil {
		t.Fatal(err)
	}
	if f.count("make") != 2 || f.count("look") != 8 { // what needs the data that is not there is left out
		t.Errorf("%d starts and %d runs, want 2 and 8", f.count("make"), f.count("look"))
	}

	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	f = &fake{}
	r := runner(dir, f)
	r.Jobs = 1
	r.Progress = func(p Progress) {
		if p.Done == 3 {
			cancel()
		}
	}
	if _, err := r.Do(ctx, jobs); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if n := f.count("look"); n != 3 {
		t.Fatalf("%d runs before the interruption, want 3", n)
	}
	// The machine went down while a line was written.
	file, err := os.OpenFile(r.Results, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"schema":"ropewalk/be`); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := runner(dir, f).Do(t.Context(), jobs)
	if err != nil {
		t.Fatal(err)
	}
	if n := f.count("look"); n != 8 {
		t.Errorf("%d runs in all, want 8: none twice", n)
	}
	if a, b := tables(t, s, jobs, want), tables(t, s, jobs, got); a != b {
		t.Errorf("tables differ:\n%s\n%s", a, b)
	}
	if _, err := os.Stat(filepath.Join(dir, "work")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the files of runs are left: %v", err)
	}

	// A row that changes is measured again, and only that.
	s2 := parse(t, strings.Replace(smallest, "--well", "--better", 1))
	if _, err := runner(dir, f).Do(t.Context(), plan(t, s2)); err != nil {
		t.Fatal(err)
	}
	if n := f.count("look"); n != 12 {
		t.Errorf("%d runs in all, want 12: those of the row", n)
	}
}

// Numbers of other data, or of data that is not known, are not those of a row, nor is what
// was trained on it; where data is not given, the last numbers are shown.
func TestRunKnowsItsData(t *testing.T) {
	s := parse(t, smallest)
	dir := t.TempDir()
	f := &fake{fails: "--well"} // so that starts are kept
	r := runner(dir, f)
	want := func(what string, jobs []*Job, makes, looks int) []Record {
		t.Helper()
		m, l := f.count("make"), f.count("look")
		records, err := r.Do(t.Context(), jobs)
		if err != nil && f.fails == "" {
			t.Fatal(err)
		}
		if m, l = f.count("make")-m, f.count("look")-l; m != makes || l != looks {
			t.Errorf("%s: %d starts and %d runs, want %d and %d", what, m, l, makes, looks)
		}
		return records
	}
	first, second := planWith(t, s, "first"), planWith(t, s, "second")
	want("first", first, 2, 16)
	f.fails = ""
	want("first, whole", first, 0, 8)
	want("first again", first, 0, 0)
	records := want("second", second, 2, 8)
	if !first[0].Measured(records) || !second[0].Measured(records) {
		t.Error("of one of both there are no numbers")
	}
	records = want("not given", plan(t, s), 0, 0)
	for i, j := range plan(t, s) {
		if rec := find(records, j); rec == nil || rec != find(records, second[i]) {
			t.Errorf("not given: %s has %+v, want the last", j.Line(), rec)
		}
	}

	// Lines that were written before they said which data it was.
	text, err := os.ReadFile(r.Results)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(r.Results); err != nil {
		t.Fatal(err)
	}
	if records, err = r.old(text); err != nil {
		t.Fatal(err)
	}
	for _, j := range append(second, plan(t, s)...) {
		if j.Measured(records) {
			t.Errorf("%s is taken from a line that does not say of which data it is", j.Line())
		}
	}
}

// old writes results as they were without data.
func (r *Runner) old(text []byte) ([]Record, error) {
	var b bytes.Buffer
	for line := range bytes.Lines(text) {
		var rec Record
		if err := json.Unmarshal(line, &rec); err != nil {
			return nil, err
		}
		rec.Data = nil
		if _, err := appendRecord(&b, &rec); err != nil {
			return nil, err
		}
	}
	if err := os.WriteFile(r.Results, b.Bytes(), 0o666); err != nil {
		return nil, err
	}
	return ReadRecords(r.Results)
}

// What fails keeps nothing else from being run, and is tried again; what cannot be had
// is a result.
func TestRunFails(t *testing.T) {
	s := parse(t, strings.Replace(smallest, `how: ""`, "how: --impossible", 1))
	jobs := plan(t, s)
	dir := t.TempDir()
	f := &fake{fails: "--well"}
	records, err := runner(dir, f).Do(t.Context(), jobs)
	if err == nil || !strings.Contains(err.Error(), "small one/first/a/mine, seed 0: step 1") {
		t.Fatalf("error %v", err)
	}
	lines := Lines(jobs, records)
	if l := lines[0]; l.Pending != 2 || l.Seeds != 0 {
		t.Errorf("what fails is %+v", l)
	}
	i := slices.IndexFunc(lines, func(l Line) bool { return l.Row == "second" })
	if l := lines[i]; l.Failed != 2 || l.Seeds != 0 {
		t.Errorf("what cannot be had is %+v", l)
	}
	if got := tables(t, s, jobs, records); !strings.Contains(got, "no such size") {
		t.Errorf("the tables do not say why:\n%s", got)
	}
	f.fails = ""
	if _, err := runner(dir, f).Do(t.Context(), jobs); err != nil {
		t.Errorf("again: %v", err)
	}
}

// A fullDisk has room for half of what is written.
type fullDisk struct{ *os.File }

func (d fullDisk) WriteAt(b []byte, at int64) (int, error) {
	n, err := d.File.WriteAt(b[:len(b)/2], at)
	return n, errors.Join(err, errors.New("the disk is full"))
}

// A line of which only half could be written spoils neither those before nor those behind.
func TestRunOnFullDisk(t *testing.T) {
	name := filepath.Join(t.TempDir(), "results")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	u := &run{file: f}
	for seed, file := range []resultsFile{f, fullDisk{f}, f} {
		u.file = file
		long := strings.Repeat("x", 1000*(seed%2)) // its half is longer than what comes behind it
		if err := u.keep(&Record{Row: "row" + long, Seed: uint64(seed)}); (err != nil) != (seed == 1) {
			t.Errorf("line %d: %v", seed, err)
		}
	}
	records, size, err := readRecords(name)
	if err != nil || len(records) != 2 || records[1].Seed != 2 || size != u.size || len(u.records) != 2 {
		t.Errorf("records %+v, %v, %d bytes, want two of %d bytes", records, err, size, u.size)
	}
	if st, err := f.Stat(); err != nil || st.Size() != u.size {
		t.Errorf("the file has %d bytes, %v, want %d", st.Size(), err, u.size)
	}
}

// Tables of times are measured alone, and their commands are told so.
func TestRunAlone(t *testing.T) {
	f := &fake{}
	if _, err := runner(t.TempDir(), f).Do(t.Context(), plan(t, parse(t, smallest))); err != nil {
		t.Fatal(err)
	}
	if f.alone != 0 {
		t.Errorf("%d commands of tables that are not alone are told that they are", f.alone)
	}
	s := parse(t, strings.Replace(smallest, "  - name: one\n", "  - name: one\n    alone: true\n", 1))
	f = &fake{}
	if _, err := runner(t.TempDir(), f).Do(t.Context(), plan(t, s)); err != nil {
		t.Fatal(err)
	}
	if f.most != 1 || f.alone != len(f.lines) {
		t.Errorf("%d commands at a time, want 1; %d of %d are told so", f.most, f.alone, len(f.lines))
	}
}

// Files of others are never removed: a folder that no run has made is not worked in.
func TestRunKnowsItsWork(t *testing.T) {
	jobs := plan(t, parse(t, smallest))
	dir := t.TempDir()
	f := &fake{fails: "--well"} // so that the folder is kept
	r := runner(dir, f)
	precious := filepath.Join(r.Work, "precious")
	put(t, precious, "x")
	var e *WorkError
	if _, err := r.Do(t.Context(), jobs); !errors.As(err, &e) || e.Folder != r.Work || len(f.lines) > 0 {
		t.Errorf("error %v, want one about the folder, after %d commands", err, len(f.lines))
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	if err := os.Remove(precious); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Do(t.Context(), jobs); err == nil || errors.As(err, &e) {
		t.Errorf("an empty folder: %v", err)
	}
	f.fails = ""
	if _, err := r.Do(t.Context(), jobs); err != nil {
		t.Errorf("a folder of ours: %v", err)
	}
	if _, err := os.Stat(r.Work); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is left: %v", err)
	}
}

// A line that was changed by hand is noticed, whatever was changed.
func TestRecordsAreWhole(t *testing.T) {
	s := parse(t, smallest)
	dir := t.TempDir()
	r := runner(dir, &fake{})
	if _, err := r.Do(t.Context(), plan(t, s)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(r.Results)
	if err != nil {
		t.Fatal(err)
	}
	if records, err := ReadRecords(r.Results); err != nil || len(records) != 8 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	for _, change := range [][2]string{
		{`"bytes":`, `"bytes":1`},
		{`"seed":0`, `"seed":7`},
		{`"row":"one`, `"row":"two`},
		{`"program":"test"`, `"program":"tests"`},
		{`"digest":"`, `"digest":"0`},
		{`"seed":`, `"more":1,"seed":`},
		{`{`, ``},
	} {
		second := strings.Replace(string(lines[1]), change[0], change[1], 1)
		if second == string(lines[1]) {
			if second = strings.Replace(second, `"seed":1`, `"seed":7`, 1); second == string(lines[1]) {
				t.Fatalf("%s has no %s", second, change[0])
			}
		}
		changed := slices.Concat(lines[0], []byte(second), bytes.Join(lines[2:], nil))
		if err := os.WriteFile(r.Results, changed, 0o666); err != nil {
			t.Fatal(err)
		}
		var e *ChangedError
		if _, err := ReadRecords(r.Results); !errors.As(err, &e) || e.Line != 2 {
			t.Errorf("%s: %v", change[1], err)
		}
		if _, err := r.Do(t.Context(), plan(t, s)); !errors.As(err, &e) {
			t.Errorf("%s: it goes on: %v", change[1], err)
		}
	}
}

func TestExpressions(t *testing.T) {
	d := json.NewDecoder(strings.NewReader(`{"a":2,"b":{"c":[1,{"d":8}]},"yes":true,"no":false,"text":"x","null":null,"blank":"a b","list":[{"k":"one"},{"k":"two"}]}`))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]float64{
		"1.a": 2, "1.b.c.1.d": 8, "1.yes": 1, "1.no": 0, "1 - 1.a * 3 + 1.b.c.1.d / 4": -3, "100 * 1.a / 1.b.c.1.d": 25, "-2.5": -2.5, "1.a / 2 / 2": 0.5,
		"1.text=x": 1, "1.text=y|x": 1, "1.text=y": 0, "100 * 1.text=x * 1.a": 200, "1.nothing=x": 0, "1.a=2": 0, "1.blank=a_b": 1, "1.list.*.k=two": 1, "1.list.0.k=two": 0, "1.list.1.k=two": 1, "1.list.*.k=three": 0, "1.list.9.k=one": 0,
	} {
		e, err := parseExpression(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, ok, err := e.value([]any{v}); got != want || !ok || err != nil {
			t.Errorf("%s is %v, %v, %v, want %v", text, got, ok, err, want)
		}
	}
	for _, text := range []string{"1.nothing", "1.b.c.7", "1.text", "1.b", "1.null", "1.a / 1.no", "1.a.b"} {
		e, err := parseExpression(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if x, _, err := e.value([]any{v}); err == nil {
			t.Errorf("%s is %v", text, x)
		}
	}
	e, err := parseExpression("1.nothing?")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := e.value([]any{v}); ok || err != nil {
		t.Errorf("a value that may be missing: %v, %v", ok, err)
	}
	for _, text := range []string{"", "1.a 2", "a.b", "1.a + ", "NaN", "100.x", "Inf", "1.text=", "1.text=x|", "1.list.*.k"} {
		if _, err := parseExpression(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// Tables hold medians with the least and the most, and what LaTeX and CSV do not take as
// it is.
func TestPages(t *testing.T) {
	s := parse(t, strings.Replace(smallest, "what: the first", `what: "50 % | a_b & c"`, 1))
	jobs := plan(t, s)
	records, err := runner(t.TempDir(), &fake{}).Do(t.Context(), jobs)
	if err != nil {
		t.Fatal(err)
	}
	lines := Lines(jobs, records)
	var md, tex, table bytes.Buffer
	if err := errors.Join(s.WriteMarkdown(&md, lines), s.WriteLaTeX(&tex, lines), s.WriteCSV(&table, lines)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| net | row | bytes | error | seeds |\n|---|---|---:|---:|---:|\n",
		`| a | 50 % \| a_b & c | 5 | 90.00 (85.00 – 95.00) | 2 |`,
		"- 4 rows are left out for want of there: from somebody.\n",
	} {
		if !strings.Contains(md.String(), want) {
			t.Errorf("no %q in\n%s", want, md.String())
		}
	}
	if want := `a & 50 \% | a\_b \& c & 5 & 90.00 (85.00 -- 95.00) & 2 \\`; !strings.Contains(tex.String(), want) {
		t.Errorf("no %q in\n%s", want, tex.String())
	}
	rows, err := csv.NewReader(&table).ReadAll()
	if err != nil || len(rows) != 1+8*2 {
		t.Errorf("%d rows of CSV, want %d; %v", len(rows), 1+8*2, err)
	}
	if want := []string{"small", "one", "one/first/a/mine", "0", "bytes", "5", ""}; len(rows) > 1 && !slices.Equal(rows[1], want) {
		t.Errorf("first row %q, want %q", rows[1], want)
	}
}

// Numbers in CSV have no exponent that a reader of tables would not expect.
func TestPlainNumbers(t *testing.T) {
	for x, want := range map[float64]string{1067024: "1067024", -0.5: "-0.5", 0: "0", 82.68: "82.68", 1e-6: "0.000001", 2.5e-60: "2.5e-60", 1e22: "1e+22"} {
		if got := plain(x); got != want {
			t.Errorf("%v is written %s, want %s", x, got, want)
		}
	}
}
