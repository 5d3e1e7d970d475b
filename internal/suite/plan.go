package suite

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// PlanOptions say which part of a suite is run.
type PlanOptions struct {
	Quick bool
	Seeds int            // 0 for as many as the suite says
	Match *regexp.Regexp // of [Job.Line], or of its TABLE/ROW; nil for all
	// Data says where data is, by the names of the suite. What is missing there is left
	// out.
	Data map[string]string
	// Digests says which data it is, as [DataDigest] does, by the same names. Numbers that
	// were measured with other data are not taken for those of the jobs.
	Digests map[string]string
}

// A Job is a row of a table with a seed.
type Job struct {
	Suite *Suite
	Table *Table
	Row   *Row
	Each  []Choice
	Seed  uint64
	// Missing names data that the user has not given.
	Missing []string

	start, steps []string          // with $here, $start and data in them
	options      string            // a digest of the commands and values
	data         map[string]string // digests of the data in them, or "" of what is missing
}

// A Choice is a value of each.
type Choice struct {
	Name, Value string
}

// Line names the line of the table that a job belongs to: TABLE/ROW, and a /VALUE for
// each of each.
func (j *Job) Line() string {
	words := []string{j.Table.Name, j.Row.Name}
	for _, c := range j.Each {
		words = append(words, c.Value)
	}
	return strings.Join(words, "/")
}

// Plan returns all jobs, seed by seed, so that a suite that is stopped has a little of
// every row.
func (s *Suite) Plan(o *PlanOptions) ([]*Job, error) {
	seeds := s.Seeds
	if o.Quick {
		seeds = 1
	}
	if o.Seeds > 0 {
		seeds = o.Seeds
	}
	choices, err := s.allChoices(o.Quick)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	left := maxPlan
	var jobs []*Job
	for seed := range seeds {
		for i := range s.Tables {
			t := &s.Tables[i]
			for k := range t.Rows {
				r := &t.Rows[k]
				if o.Quick && r.Full {
					continue
				}
				for _, each := range choices[i] {
					if !o.matches(&Job{Table: t, Row: r, Each: each}) {
						continue
					}
					j, err := s.job(t, r, each, uint64(seed), o, &left)
					if err != nil {
						return nil, fmt.Errorf("%s: table %s, row %s: %w", s.Name, t.Name, r.Name, err)
					}
					if len(jobs) == maxJobs {
						return nil, fmt.Errorf("%s: there are more than %d rows, with values of each and seeds", s.Name, maxJobs)
					}
					jobs = append(jobs, j)
				}
			}
		}
	}
	return jobs, nil
}

// matches reports whether a job is one of those that are wanted.
func (o *PlanOptions) matches(j *Job) bool {
	return o.Match == nil || o.Match.MatchString(j.Line()) || o.Match.MatchString(j.Table.Name+"/"+j.Row.Name)
}

// allChoices returns the combinations of each table. Their number is bounded before they
// are made, as it is a product.
func (s *Suite) allChoices(quick bool) ([][][]Choice, error) {
	all := make([][][]Choice, len(s.Tables))
	left := maxLines
	for i := range s.Tables {
		t := &s.Tables[i]
		n := len(t.Rows)
		for _, e := range t.Each {
			for k, values := range e {
				n *= len(s.valuesOf(k, values, quick))
			}
			if n > left {
				return nil, fmt.Errorf("table %s: rows and all combinations of each are more than %d lines of tables", t.Name, maxLines)
			}
		}
		left -= n
		all[i] = s.choices(t, quick)
	}
	return all, nil
}

// valuesOf returns the values of one of each: those of the suite, if it has to be quick.
func (s *Suite) valuesOf(k string, values []string, quick bool) []string {
	if q, ok := s.Quick.Each[k]; quick && ok {
		return q
	}
	return values
}

// choices returns all combinations of each, the first of them changing last.
func (s *Suite) choices(t *Table, quick bool) [][]Choice {
	all := [][]Choice{nil}
	for _, e := range t.Each {
		for k, values := range e {
			values = s.valuesOf(k, values, quick)
			var more [][]Choice
			for _, before := range all {
				for _, v := range values {
					more = append(more, append(slices.Clone(before), Choice{k, v}))
				}
			}
			all = more
		}
	}
	return all
}

func (s *Suite) job(t *Table, r *Row, each []Choice, seed uint64, o *PlanOptions, left *int) (*Job, error) {
	j := &Job{Suite: s, Table: t, Row: r, Each: each, Seed: seed}
	vars := maps.Clone(s.Vars)
	if vars == nil {
		vars = map[string]string{}
	}
	if o.Quick {
		maps.Copy(vars, s.Quick.Vars)
	}
	for _, c := range each {
		vars[c.Name] = c.Value
	}
	maps.Copy(vars, r.Vars)
	vars[seedVar] = strconv.FormatUint(seed, 10)
	var err error
	if j.start, err = s.expandAll(t.Start, vars, left); err != nil {
		return nil, err
	}
	if j.steps, err = s.expandAll(t.stepsOf(r), vars, left); err != nil {
		return nil, err
	}
	for _, k := range s.dataIn(slices.Concat(j.start, j.steps)) {
		if s.Data[k].Is == "" && o.Data[k] == "" {
			j.Missing = append(j.Missing, k)
		}
		if j.data == nil {
			j.data = map[string]string{}
		}
		j.data[k] = o.Digests[k]
	}
	h := sha256.New()
	for _, line := range slices.Concat(j.start, []string{"rows"}, j.steps) {
		_, _ = fmt.Fprintln(h, line) // a hash takes all
	}
	for _, k := range keysOf(t.valuesOf(r)) {
		_, _ = fmt.Fprintln(h, k, t.valuesOf(r)[k])
	}
	j.options = hex.EncodeToString(h.Sum(nil)[:8])
	return j, nil
}

// variable is a $ and a name.
var variable = regexp.MustCompile(`\$[a-z_][a-z0-9_-]*`)

// expandAll puts values in the place of variables; those of data, and folders, stay until
// it is known where they are. Left is how much room all commands have.
func (s *Suite) expandAll(steps []Step, vars map[string]string, left *int) ([]string, error) {
	var lines []string
	for _, step := range steps {
		x := &expander{suite: s, vars: vars, left: maxCommand}
		if err := x.expand(step.command()); err != nil {
			return nil, err
		}
		line := strings.Join(strings.Fields(x.out.String()), " ")
		if *left -= len(line) + perCommand; *left < 0 {
			return nil, fmt.Errorf("the commands of all rows, values of each and seeds have more than %d MiB", maxPlan>>20)
		}
		if line == "" {
			return nil, errors.New("a step has no verb")
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// dataIn returns the names of the data in commands, in order.
func (s *Suite) dataIn(lines []string) []string {
	names := map[string]bool{}
	for _, line := range lines {
		for _, w := range variable.FindAllString(line, -1) {
			if _, ok := s.Data[w[1:]]; ok {
				names[w[1:]] = true
			}
		}
	}
	return keysOf(names)
}

// The bounds of variables in variables.
const (
	maxDepth   = 8
	maxCommand = 64 << 10 // bytes of a command, with those of all texts that went into it
)

// The bounds of a plan: a suite of strangers is planned before anybody sees what it runs.
const (
	maxLines   = 1 << 16   // of all tables
	maxJobs    = 1 << 18   // lines and seeds
	maxPlan    = 256 << 20 // bytes of all commands
	perCommand = 64        // bytes that a short one takes, too
)

// An expander puts values in the place of the variables of one command.
type expander struct {
	suite  *Suite
	vars   map[string]string
	inside []string // the variables whose values are being read, from the outermost
	left   int      // bytes that may still be read: a few short lines can stand for gigabytes
	out    strings.Builder
}

func (x *expander) expand(text string) error {
	if x.left -= len(text); x.left < 0 {
		return fmt.Errorf("a command with its variables is longer than %d bytes", maxCommand)
	}
	from := 0
	for _, at := range variable.FindAllStringIndex(text, -1) {
		x.out.WriteString(text[from:at[0]])
		from = at[1]
		if err := x.variable(text[at[0]+1 : at[1]]); err != nil {
			return err
		}
	}
	x.out.WriteString(text[from:])
	return nil
}

func (x *expander) variable(k string) error {
	v, ok := x.vars[k]
	_, isData := x.suite.Data[k]
	_, namesData := x.suite.Data[v]
	switch {
	case isData || k == hereVar || k == startVar:
		x.out.WriteString("$" + k)
		return nil
	case !ok:
		return fmt.Errorf("there is no variable $%s", k)
	case namesData:
		return x.expand("$" + v)
	case slices.Contains(x.inside, k):
		circle := strings.Join(x.inside[slices.Index(x.inside, k):], ", $")
		return fmt.Errorf("variables do not come to an end, but lead in a circle: $%s, $%s", circle, k)
	case len(x.inside) == maxDepth:
		return fmt.Errorf("there are more than %d variables in variables: $%s, $%s", maxDepth, strings.Join(x.inside, ", $"), k)
	}
	x.inside = append(x.inside, k)
	err := x.expand(v)
	x.inside = x.inside[:len(x.inside)-1]
	return err
}

// startKey names what rows with the same start, of the same data, share.
func (j *Job) startKey() string {
	lines := slices.Clone(j.start)
	for _, k := range j.Suite.dataIn(j.start) {
		lines = append(lines, k+" "+j.data[k])
	}
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:8])
}

// words returns the words of a command with folders and data in their places.
func (j *Job) words(line, here, start string, data map[string]string) []string {
	words := strings.Fields(line)
	for i, w := range words {
		words[i] = variable.ReplaceAllStringFunc(w, func(v string) string {
			switch k := v[1:]; k {
			case hereVar:
				return here
			case startVar:
				return start
			default:
				if p := data[k]; p != "" {
					return p
				}
				return j.Suite.Data[k].Is
			}
		})
	}
	return words
}

// folder is where a job works, below the folder of work. It is no other job's, also where
// letters of values cannot be in names of files, or large and small ones are alike there.
func (j *Job) folder() string {
	readable := strings.NewReplacer("/", "_", ":", "_", "\\", "_").Replace(j.Suite.Name + "_" + j.Line())
	sum := sha256.Sum256([]byte(j.Line() + "\n" + j.options))
	return path.Join(fmt.Sprintf("seed-%d", j.Seed), readable+"-"+hex.EncodeToString(sum[:8]))
}

// Commands returns what a job runs, with names in the place of folders.
func (j *Job) Commands() []string { return append(slices.Clone(j.start), j.steps...) }

// Check returns the first command that is not one of the program's, as check says, or
// no measurement.
func (s *Suite) Check(check func(words []string) error) error {
	somewhere := map[string]string{}
	for k := range s.Data {
		somewhere[k] = k
	}
	for _, quick := range []bool{false, true} {
		jobs, err := s.Plan(&PlanOptions{Quick: quick, Seeds: 1})
		if err != nil {
			return err
		}
		for _, j := range jobs {
			for _, line := range j.Commands() {
				words := j.words(line, hereVar, startVar, somewhere)
				if words[0] == measureVerb {
					_, err = parseMeasure(words[1:])
				} else {
					err = check(words)
				}
				if err != nil {
					return fmt.Errorf("%s: table %s, row %s: %q: %w", s.Name, j.Table.Name, j.Row.Name, line, err)
				}
			}
		}
	}
	return nil
}
