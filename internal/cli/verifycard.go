package cli

import (
	"bufio"
	"fmt"
	"strings"

	"ropewalk/lineage"
)

// verifyText is a verifyResult and how much of it is shown.
type verifyText struct {
	*verifyResult
	verbose bool
}

// fewLines is how many edits, tensors or keys of metadata a card shows without -v.
const fewLines = 10

// text prints a card: a word, and what there is to say of it.
func (r *verifyText) text(w *bufio.Writer) {
	c := &card{w: w, most: fewLines}
	if r.verbose {
		c.most = 1 << 30
	}
	c.line("verdict", "%s", r.words())
	r.changes(c)
	c.line("function", "%s", r.function())
	if n := r.Neurons; n != nil && r.Verdict != lineage.Unrelated {
		how := fmt.Sprintf("%s of them certain; evidence e^%.0f", commas(int64(n.Certain)), n.LogEvidence)
		if n.Proven {
			how = "proven by equal SHA-256 in canonical order"
		}
		c.line("neurons", "%s of %s in %s found, %s", commas(int64(n.Matched)), commas(int64(n.Neurons)), count(n.Groups, "group"), how)
	}
	r.tensors(c)
	c.list("edits", len(r.Edits), func(i int) string { return r.Edits[i].Text })
	c.list("graph", len(r.GraphEdits), func(i int) string { return r.GraphEdits[i].Text })
	c.list("metadata", len(r.MetadataEdits), func(i int) string { return r.MetadataEdits[i].String() })
	if r.Passport != nil {
		c.line("passport", "%s", r.Passport)
	}
	r.evidence(c)
	if r.Repair != nil {
		c.line("repair", "%s", r.Repair)
	}
	if a := r.Accuracy; a != nil {
		c.line("accuracy", "%s", a.String())
	}
	c.list("unchecked", len(r.Unchecked), func(i int) string { return r.Unchecked[i].Check + ": " + r.Unchecked[i].Why })
	for _, f := range r.Files {
		c.line("wrote", "%s (%s bytes)", f.Name, commas(f.Bytes))
	}
	if r.Passed {
		c.line("passed", "%s", r.passing())
		return
	}
	for i, b := range r.Breaches {
		c.line([]string{"failed", ""}[min(i, 1)], "%s", b.Text)
	}
	if len(r.would) > 0 {
		c.line("", "--allow %s would let it pass", strings.Join(r.would, ","))
	}
}

// words says the verdict, and what it is worth.
func (r *verifyText) words() string {
	if r.Verdict == lineage.Unrelated {
		return "unrelated: no evidence found that it was made from the reference"
	}
	return string(r.Verdict)
}

func (r *verifyText) changes(c *card) {
	c.list("changes", len(r.Changes), func(i int) string { return r.Changes[i].Text })
}

// function says whether both compute the same, and how that is known.
func (r *verifyText) function() string {
	f := &r.Function
	words := map[string]string{"yes": "preserved", "no": "changed"}[f.Same]
	if words == "" {
		words = "not known"
	}
	if f.How != "" {
		words += ": " + f.How
	}
	if d := r.worst(); d != "" {
		words += "; " + d
	}
	return words
}

// worst says by how much outputs differ.
func (r *verifyText) worst() string {
	name, most := "", 0.0
	for _, d := range r.Function.Differences {
		if name == "" || d.Largest > most {
			name, most = d.Output, d.Largest
		}
	}
	if name == "" {
		return ""
	}
	return fmt.Sprintf("output %s differs by %.2g of its largest", name, most)
}

// tensors says how many tensors are equal, and with -v how each differs.
func (r *verifyText) tensors(c *card) {
	equal, changed := 0, 0
	for i := range r.Tensors {
		if t := &r.Tensors[i]; t.Equal || t.Rounding && t.Changed == 0 {
			equal++
		} else {
			changed++
		}
	}
	if changed == 0 {
		return
	}
	also := ""
	if c.most == fewLines {
		also = "; -v lists them"
	}
	c.line("tensors", "%s of %s changed%s", commas(int64(changed)), commas(int64(equal+changed)), also)
	if also != "" {
		return
	}
	t := &table{left: map[int]bool{0: true}}
	t.row("tensor", "changed", "of", "largest", "relative", "zeros", "levels")
	for i := range r.Tensors {
		d := &r.Tensors[i]
		if d.Equal {
			continue
		}
		levels := "-"
		if d.Levels > 0 {
			levels = commas(int64(d.Levels))
		}
		t.row(printable(d.Name), commas(d.Changed), commas(d.Elements), fmt.Sprintf("%.4g", d.Largest), fmt.Sprintf("%.4g", d.Relative), fmt.Sprintf("%.2f %%", 100*d.Zeros), levels)
	}
	t.write(c.w, strings.Repeat(" ", cardWidth))
}

// String says what became of a key.
func (m *metadataEdit) String() string {
	short := func(s string) string {
		const most = 40
		if r := []rune(s); len(r) > most {
			s = string(r[:most]) + "…"
		}
		return fmt.Sprintf("%q", s)
	}
	switch {
	case m.Reference == nil:
		return fmt.Sprintf("%s added: %s", m.Key, short(*m.Suspect))
	case m.Suspect == nil:
		return fmt.Sprintf("%s removed: was %s", m.Key, short(*m.Reference))
	}
	return fmt.Sprintf("%s: %s => %s", m.Key, short(*m.Reference), short(*m.Suspect))
}

// String says what the changes cost.
func (a *verifyAccuracy) String() string {
	s := fmt.Sprintf("loss %.4f => %.4f", a.Reference.Loss, a.Suspect.Loss)
	if a.Reference.Top1 != nil && a.Suspect.Top1 != nil {
		s = fmt.Sprintf("top-1 %.2f %% => %.2f %%, %s", 100**a.Reference.Top1, 100**a.Suspect.Top1, s)
	}
	s += fmt.Sprintf(", of %s (%s, %s)", count(a.Examples, "example"), a.Data, a.Split)
	if a.Assumed {
		s += "; the data was taken as it is, --normalise sets it"
	}
	return s
}

// passing says by what a suspect passed.
func (r *verifyText) passing() string {
	switch {
	case r.Policy != "":
		return "it keeps " + r.Policy
	case len(r.Allowed) > 0:
		return "allowed are " + strings.Join(r.Allowed, ", ")
	}
	return "the same weights"
}

// A card is lines of a word and a text.
type card struct {
	w    *bufio.Writer
	most int // lines of a list
}

// cardWidth is that of the words.
const cardWidth = 11

func (c *card) line(word, format string, args ...any) {
	text := printable(fmt.Sprintf(format, args...))
	fmt.Fprintf(c.w, "%s\n", strings.TrimRight(fmt.Sprintf("%-*s%s", cardWidth, word, text), " "))
}

// list prints the first few of n lines, and how many more there are.
func (c *card) list(word string, n int, text func(i int) string) {
	for i := range min(n, c.most) {
		c.line(word, "%s", text(i))
		word = ""
	}
	if n > c.most {
		c.line("", "and %s more; -v lists all", commas(int64(n-c.most)))
	}
}
