package suite

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"

	"ropewalk/internal/nesting"
)

// A Suite is tables of measurements.
type Suite struct {
	Name   string            `yaml:"-"` // of the file, without its ending
	Title  string            `yaml:"title"`
	About  string            `yaml:"about"`
	Data   map[string]Data   `yaml:"data"`
	Vars   map[string]string `yaml:"vars"`
	Seeds  int               `yaml:"seeds"`
	Quick  Quick             `yaml:"quick"`
	Tables []Table           `yaml:"tables"`
}

// Data is what networks are trained or judged on, or a network. Either it Is at hand, or
// Get says how to get it.
type Data struct {
	Is  string `yaml:"is"`
	Get string `yaml:"get"`
}

// Quick is what is otherwise if a suite has to be quick, with one seed.
type Quick struct {
	Vars map[string]string   `yaml:"vars"`
	Each map[string][]string `yaml:"each"`
}

// A Table is rows of the same columns.
type Table struct {
	Name  string `yaml:"name"`
	Title string `yaml:"title"`
	About string `yaml:"about"`
	// Measures is what the table is of in a report shaped like those of MPAI-NNT:
	// imperceptibility, robustness or cost; empty if nothing of it belongs there.
	Measures string                `yaml:"measures"`
	Alone    bool                  `yaml:"alone"` // times are measured: nothing else goes on
	Each     []map[string][]string `yaml:"each"`
	Start    []Step                `yaml:"start"`
	Columns  []Column              `yaml:"columns"`
	Steps    []Step                `yaml:"steps"`
	Values   map[string]string     `yaml:"values"`
	Rows     []Row                 `yaml:"rows"`
	Charts   []Chart               `yaml:"charts"`
}

// A Column is a number that rows have.
type Column struct {
	Name   string `yaml:"name"`
	Title  string `yaml:"title"`
	Digits int    `yaml:"digits"`
	Time   bool   `yaml:"time"` // it is another one on another machine, or day
}

// A Row is commands that yield numbers.
type Row struct {
	Name   string            `yaml:"name"`
	What   string            `yaml:"what"`
	Full   bool              `yaml:"full"` // it is left out if the suite has to be quick
	Vars   map[string]string `yaml:"vars"`
	Steps  []Step            `yaml:"steps"`
	Values map[string]string `yaml:"values"`
}

// A Step is a verb with its arguments: a map of one key.
type Step map[string]string

// command returns verb and arguments as one text.
func (s Step) command() string {
	for verb, args := range s {
		return verb + " " + args
	}
	return ""
}

//go:embed suites/*.yaml
var embedded embed.FS

// maxSuite is a generous size for a suite.
const maxSuite = 1 << 20

// Names returns the suites that the program carries, in the order of the alphabet.
func Names() []string {
	entries, err := embedded.ReadDir("suites")
	if err != nil {
		panic("internal error: " + err.Error()) // they are in the program
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// Embedded returns a suite that the program carries.
func Embedded(name string) (*Suite, error) {
	text, err := embedded.ReadFile("suites/" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	return Parse(name+".yaml", strings.NewReader(string(text)))
}

// An Error is about what stands in a suite.
type Error struct {
	File string
	Line int // from 1; 0 if it is about no line alone
	Text string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Text
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
}

// placed is how errors of YAML begin.
var placed = regexp.MustCompile(`^\[(\d+):\d+\] (.*)`)

// Parse reads a suite. File is what errors call it, which are of the type [*Error] if
// they are about what it says.
func Parse(file string, r io.Reader) (*Suite, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSuite+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSuite {
		return nil, &Error{File: file, Text: fmt.Sprintf("it has more than %d bytes, which is no suite", maxSuite)}
	}
	if err := nesting.Check(text); err != nil {
		return nil, &Error{File: file, Text: err.Error()}
	}
	// A few aliases of aliases are gigabytes, and there is nothing that a tag could say.
	for _, t := range lexer.Tokenize(string(text)) {
		switch t.Type {
		case token.AnchorType, token.AliasType:
			return nil, &Error{file, t.Position.Line, "anchors and aliases are not for suites; vars are"}
		case token.TagType:
			return nil, &Error{file, t.Position.Line, "tags (!...) are not for suites; text that begins with ! is quoted"}
		}
	}
	s := &Suite{}
	if err := decode(text, s); err != nil {
		line, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		e := &Error{File: file, Text: line}
		if m := placed.FindStringSubmatch(line); m != nil {
			_, _ = fmt.Sscan(m[1], &e.Line) // they are digits
			e.Text = m[2]
		}
		return nil, e
	}
	s.Name = strings.TrimSuffix(path.Base(strings.ReplaceAll(file, "\\", "/")), path.Ext(file))
	if err := s.check(); err != nil {
		return nil, &Error{File: file, Text: err.Error()}
	}
	return s, nil
}

// decode is the strict decoder of YAML, of which a panic (it has some for what is hardly
// YAML: a tag where a list should be) is an error like any other.
func decode(text []byte, s *Suite) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("this YAML cannot be decoded (%v)", p)
		}
	}()
	return yaml.UnmarshalWithOptions(text, s, yaml.Strict())
}

// name is what tables, rows, columns and variables may be called: they become names
// of files.
var name = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]*$`)

// fileName is what a suite may be called: files and a folder get that name.
var fileName = regexp.MustCompile(`^[\pL\pN][\pL\pN ._-]*$`)

// Variables that are always there.
const (
	seedVar  = "seed"
	hereVar  = "here"
	startVar = "start"
)

// maxNames is a generous number of variables of a suite or row, and of columns of a table.
// Each job goes through them.
const maxNames = 256

// ours are names that mean something already.
var ours = []string{seedVar, hereVar, startVar}

func (s *Suite) check() error {
	switch {
	case !fileName.MatchString(s.Name):
		return fmt.Errorf("a suite is called as its file, and %q is no name: want letters, digits, blanks, - _ and ., with a letter or digit first", s.Name)
	case len(s.Tables) == 0:
		return errors.New("it has no tables")
	case s.Seeds < 0 || s.Seeds > 1000:
		return fmt.Errorf("seeds is %d, want 1 to 1000", s.Seeds)
	case len(s.Vars) > maxNames:
		return fmt.Errorf("it has %d vars, want at most %d", len(s.Vars), maxNames)
	}
	s.Seeds = max(s.Seeds, 1)
	for k, d := range s.Data {
		if !name.MatchString(k) || slices.Contains(ours, k) || (d.Is == "") == (d.Get == "") {
			return fmt.Errorf("data %q: want a name, and either is (where it is) or get (how to get it)", k)
		}
	}
	for _, k := range append(keysOf(s.Vars), keysOf(s.Quick.Vars)...) {
		if err := s.checkVar(k); err != nil {
			return err
		}
	}
	for k := range s.Quick.Vars {
		if _, ok := s.Vars[k]; !ok {
			return fmt.Errorf("quick sets %q, and vars do not", k)
		}
	}
	seen := map[string]bool{}
	each := map[string]bool{}
	for i := range s.Tables {
		t := &s.Tables[i]
		if !name.MatchString(t.Name) || seen[t.Name] {
			return fmt.Errorf("table %d: %q is no name, or that of another table", i+1, t.Name)
		}
		seen[t.Name] = true
		if err := s.checkTable(t, each); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	for k, values := range s.Quick.Each {
		if !each[k] {
			return fmt.Errorf("quick has each %q, and no table does", k)
		}
		if err := checkValues(values); err != nil {
			return fmt.Errorf("quick: each %s: %w", k, err)
		}
	}
	return nil
}

func (s *Suite) checkVar(k string) error {
	_, isData := s.Data[k]
	if !name.MatchString(k) || isData || slices.Contains(ours, k) {
		return fmt.Errorf("a variable cannot be called %q", k)
	}
	return nil
}

// checkValues checks values of each, which are words in the names of lines: no two lines
// may be called alike.
func checkValues(values []string) error {
	seen := map[string]bool{}
	for _, v := range values {
		switch {
		case strings.Contains(v, "/"):
			return fmt.Errorf("%q has a / in it, which stands between the words of a row's name; a variable of the row may have one", v)
		case seen[v]:
			return fmt.Errorf("%q is there twice", v)
		}
		seen[v] = true
	}
	return nil
}

// maxEach is a generous number of what rows are there for.
const maxEach = 16

func (s *Suite) checkTable(t *Table, each map[string]bool) error {
	if t.Measures != "" && !slices.Contains(measures, t.Measures) {
		return fmt.Errorf("measures is %q, want %s", t.Measures, strings.Join(measures, ", "))
	}
	if len(t.Each) > maxEach {
		return fmt.Errorf("each has %d entries, want at most %d", len(t.Each), maxEach)
	}
	own := map[string]bool{}
	for _, e := range t.Each {
		if len(e) != 1 {
			return errors.New("each is a list of entries such as - net: [lenet5]")
		}
		for k, values := range e {
			if err := s.checkVar(k); err != nil {
				return err
			}
			if len(values) == 0 {
				return fmt.Errorf("each %s has no values", k)
			}
			if own[k] {
				return fmt.Errorf("each has %s twice", k)
			}
			if err := checkValues(values); err != nil {
				return fmt.Errorf("each %s: %w", k, err)
			}
			own[k], each[k] = true, true
		}
	}
	if len(t.Columns) == 0 || len(t.Rows) == 0 {
		return errors.New("it has no columns, or no rows")
	}
	if len(t.Columns) > maxNames {
		return fmt.Errorf("it has %d columns, want at most %d", len(t.Columns), maxNames)
	}
	columns := map[string]bool{}
	for _, c := range t.Columns {
		if !name.MatchString(c.Name) || columns[c.Name] || c.Digits < 0 || c.Digits > 12 {
			return fmt.Errorf("column %q: want a name that no other has, and 0 to 12 digits", c.Name)
		}
		columns[c.Name] = true
	}
	for i := range t.Charts {
		if err := t.Charts[i].check(columns, own); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for i := range t.Rows {
		r := &t.Rows[i]
		if !name.MatchString(r.Name) || seen[r.Name] {
			return fmt.Errorf("row %d: %q is no name, or that of another row", i+1, r.Name)
		}
		seen[r.Name] = true
		if len(r.Vars) > maxNames {
			return fmt.Errorf("row %s: it has %d vars, want at most %d", r.Name, len(r.Vars), maxNames)
		}
		for k := range r.Vars {
			if err := s.checkVar(k); err != nil {
				return fmt.Errorf("row %s: %w", r.Name, err)
			}
		}
		if err := checkRow(t, r, columns); err != nil {
			return fmt.Errorf("row %s: %w", r.Name, err)
		}
	}
	return nil
}

func checkRow(t *Table, r *Row, columns map[string]bool) error {
	steps, values := t.stepsOf(r), t.valuesOf(r)
	if len(steps) == 0 || len(values) == 0 {
		return errors.New("it has no steps, or no values")
	}
	for _, s := range append(slices.Clone(t.Start), steps...) {
		if len(s) != 1 {
			return errors.New("a step is a verb and its arguments, such as - pack: FILE")
		}
	}
	for _, c := range keysOf(values) {
		if !columns[c] {
			return fmt.Errorf("it has a value %q, and the table has no such column", c)
		}
		e, err := parseExpression(values[c])
		if err != nil {
			return fmt.Errorf("value %s: %w", c, err)
		}
		if n := e.lastStep(); n > len(steps) {
			return fmt.Errorf("value %s is of step %d, and there are %d", c, n, len(steps))
		}
	}
	return nil
}

func (t *Table) stepsOf(r *Row) []Step {
	if len(r.Steps) > 0 {
		return r.Steps
	}
	return t.Steps
}

func (t *Table) valuesOf(r *Row) map[string]string {
	if len(r.Values) > 0 {
		return r.Values
	}
	return t.Values
}

// keysOf returns the keys of a map in order.
func keysOf[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
