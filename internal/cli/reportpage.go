package cli

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ropewalk/checkpoint"
	"ropewalk/internal/atomicfile"
	"ropewalk/internal/report"
	"ropewalk/train"
)

// A reportFlag is --report of a verb: where to write what was found as a page.
type reportFlag struct {
	name  string // of the flag; empty is --report
	path  string
	force *bool // the verb's -f, or one of its own
}

// addFlag comes after the verb's own flags: a verb without -f gets one.
func (f *reportFlag) addFlag(cmd *cobra.Command, force *bool) {
	fs := cmd.Flags()
	fs.StringVar(&f.path, "report", "", "write an HTML page with charts to `FILE`")
	if f.force = force; force == nil {
		f.force = new(bool)
		fs.BoolVarP(f.force, "force", "f", false, "replace an existing FILE of --report")
	}
}

// check refuses at the beginning what would fail in the end, and names that are not those
// of pages: a browser would show their text, and serve take them for models.
func (f *reportFlag) check(inputs ...string) error {
	name := cmp.Or(f.name, "--report")
	st, err := os.Stat(f.path)
	isInput := func(in string) bool {
		other, failed := os.Stat(in)
		return err == nil && failed == nil && os.SameFile(st, other)
	}
	switch ext := strings.ToLower(filepath.Ext(f.path)); {
	case f.path == "":
		return nil
	case f.path == dash:
		return usagef("the report is a file; standard output is for the answer").withHint("%s FILE.html", name)
	case err == nil && st.IsDir():
		return usagef("%s %s is a folder", name, f.path).withHint("%s %s", name, filepath.Join(f.path, "report.html"))
	case slices.ContainsFunc(inputs, isInput):
		return usagef("%s is an input and the report at once", f.path).withHint("%s names another file; inputs are never changed", name)
	case ext != ".html" && ext != ".htm":
		return usagef("%s %s does not end in .html, and a page is written", name, f.path).withHint("%s", shellWords(name, f.path+".html"))
	case err == nil && !*f.force:
		return usagef("%s %s exists", name, f.path).withHint("-f replaces it")
	case err != nil:
		if _, err := os.Stat(filepath.Dir(f.path)); err != nil {
			return &verdict{exitFailure, err, "the folder of a report has to exist"}
		}
	}
	return nil
}

// wanted reports whether there is to be a page.
func (f *reportFlag) wanted() bool { return f.path != "" }

// writeReport writes the page, over none of the files of inputs.
func (e *env) writeReport(f *reportFlag, p *report.Page, inputs ...*checkpoint.Checkpoint) error {
	if err := refuseInput(f.path, inputs); err != nil {
		return err
	}
	n, err := writeFile(f.path, *f.force, func(w *atomicfile.File) error { return report.Write(w, p, nil) })
	if err != nil {
		return err
	}
	e.notef("%s is the report (%v)", f.path, byteSize(n))
	return nil
}

// A pager adds sections to a page that may be about several things.
type pager struct {
	*report.Page
	about string // what the sections are about, if about several; else empty
	// ledger are the claims so far; the page ends with them.
	ledger      []report.Claim
	benchCharts int // so far
}

func newPage(verb, title string) *pager {
	return &pager{Page: &report.Page{Verb: verb, Title: title, Made: "ropewalk " + programVersion()}}
}

// section adds a section.
func (p *pager) section(title string) *report.Section {
	if p.about != "" {
		title = p.about + ": " + continued(title)
	}
	return p.Section(title)
}

// continued is a title behind a colon: the first letter is small, unless it is part of a
// name such as LeNet.
func continued(title string) string {
	first, _, _ := strings.Cut(title, " ")
	if len(first) > 1 && first[1:] == strings.ToLower(first[1:]) || len(first) == 1 {
		return strings.ToLower(title[:1]) + title[1:]
	}
	return title
}

// claims ends the page with the ledger of what it claims.
func (p *pager) claims(list ...report.Claim) {
	if list = append(p.ledger, list...); len(list) > 0 {
		p.section("Claims, and how to reproduce them").Claims(list...)
	}
}

// command is the command line as it was given, without what is about the page alone.
func (e *env) command() string {
	if e.args == nil {
		return "" // a page that is served
	}
	var words []string
	for i := 0; i < len(e.args); i++ {
		switch a := e.args[i]; {
		case a == "--report":
			i++
		case strings.HasPrefix(a, "--report="), slices.Contains([]string{"-f", "--force", "-q", "--quiet", "-v", "--verbose", "--json"}, a):
		default:
			words = append(words, a)
		}
	}
	return shellWords(append([]string{"ropewalk"}, words...)...)
}

// shellWords writes a command line such that a POSIX shell reads these words.
func shellWords(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		plain := w != "" && strings.IndexFunc(w, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+,./:@%", r)
		}) < 0
		if quoted[i] = w; !plain {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// Cells of tables, and facts.

func numberCell(n int64) report.Cell { return report.Number(commas(n), float64(n)) }

func realCell(format string, x float64) report.Cell {
	return report.Number(fmt.Sprintf(format, x), x)
}

func shareCell(x float64) report.Cell { return report.Number(percentText(x), x) }

// noCell stands where there is no number.
var noCell = report.Text("–")

func percentText(x float64) string { return fmt.Sprintf("%.2f %%", 100*x) }

func fact(name, format string, args ...any) report.Fact {
	return report.Fact{Name: name, Value: fmt.Sprintf(format, args...)}
}

// bytesFact is a size in words, with all its digits.
func bytesFact(name string, n int64) report.Fact {
	return report.Fact{Name: name, Value: byteSize(n).String(), Note: commas(n) + " bytes"}
}

// scoreFact is how a network does on examples.
func scoreFact(name string, s *train.Summary, note string) report.Fact {
	f := report.Fact{Name: name + ", loss", Value: fmt.Sprintf("%.4f", s.Loss), Note: note}
	if s.Top1 != nil {
		f = report.Fact{Name: name + ", top-1", Value: percentText(*s.Top1), Note: fmt.Sprintf("loss %.4f", s.Loss)}
		if s.Top5 != nil {
			f.Note += ", top-5 " + percentText(*s.Top5)
		}
		if note != "" {
			f.Note += ", " + note
		}
	}
	return f
}

// value returns a number for a chart.
func value(x float64) *report.Value { v := report.Value(x); return &v }
