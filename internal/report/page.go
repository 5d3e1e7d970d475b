package report

// A Page is what one HTML file shows.
type Page struct {
	Verb    string // what made it: "verify"
	Title   string
	Lead    string // a sentence under the title; may be empty
	Made    string // which program made it: "ropewalk v1.2.0"
	Content []*Section
	// Live is where the charts of a page that is served are asked for again, every two
	// seconds; empty in a file.
	Live string
}

// Section adds a section with that title.
func (p *Page) Section(title string) *Section {
	s := &Section{Title: title}
	p.Content = append(p.Content, s)
	return s
}

// A Section is a part of a page with a heading.
type Section struct {
	Title  string
	Blocks []Block
}

// A Block is one thing on a page: one field is set.
type Block struct {
	Verdict *Verdict
	Facts   []Fact
	Text    string
	Table   *Table
	Charts  []*Chart // one beside the other where there is room
	Choice  *Choice
	Claims  []Claim
	Links   []Link
	Form    *Form
}

// Verdict adds a card with an answer.
func (s *Section) Verdict(v *Verdict) { s.add(Block{Verdict: v}) }

// Facts adds numbers with their names.
func (s *Section) Facts(f ...Fact) { s.add(Block{Facts: f}) }

// Text adds a paragraph.
func (s *Section) Text(t string) { s.add(Block{Text: t}) }

// Table adds a table.
func (s *Section) Table(t *Table) { s.add(Block{Table: t}) }

// Chart adds charts that belong together.
func (s *Section) Chart(c ...*Chart) { s.add(Block{Charts: c}) }

// Choice adds charts of which one is shown at a time. Without charts nothing is added.
func (s *Section) Choice(c *Choice) {
	if len(c.Charts) > 0 {
		s.add(Block{Choice: c})
	}
}

// Claims adds a ledger of what is claimed and how to reproduce it.
func (s *Section) Claims(c ...Claim) { s.add(Block{Claims: c}) }

// Links adds a list of links, which work in pages that are served only.
func (s *Section) Links(l ...Link) { s.add(Block{Links: l}) }

// Form adds a form that asks for another page, in pages that are served only.
func (s *Section) Form(f *Form) { s.add(Block{Form: f}) }

func (s *Section) add(b Block) { s.Blocks = append(s.Blocks, b) }

// A Tone says how an answer is meant to be taken.
type Tone string

// The tones.
const (
	Neutral Tone = ""
	Good    Tone = "good"
	Warn    Tone = "warn"
	Bad     Tone = "bad"
)

// A Verdict is an answer in a word, with what it rests on.
type Verdict struct {
	Word  string
	Tone  Tone
	Text  string // a sentence
	Facts []Fact
	// Ladder are all answers that there could have been, from strongest to weakest, and
	// Word is one of them; nil if they are no ladder.
	Ladder []string
}

// A Fact is a number with its name.
type Fact struct {
	Name, Value string
	Note        string // may be empty
}

// A Claim is a statement with the command that reproduces it.
type Claim struct {
	Text, Value string
	Command     string
	// Assumption is what the value rests on; may be empty.
	Assumption string
}

// A Link leads to another page of a server.
type Link struct {
	Text, To, Note string
}

// A Form asks a server for a page, with a value for each of its fields.
type Form struct {
	To     string
	Fields []Field
	Button string
}

// A Field is a question of a form with the answers that there are.
type Field struct {
	Name, Label string
	Options     []Option
	Chosen      string // the value of the option that is chosen at first; "" is the first
}

// An Option is an answer, and how it is shown.
type Option struct {
	Value, Text string
}

// A Table has a row for each thing. Its columns can be sorted by who reads it.
type Table struct {
	Title   string
	Note    string
	Columns []Column
	Rows    [][]Cell
	// Left is how many rows there are beside these.
	Left int
}

// A Column is the head of a column.
type Column struct {
	Name string
	Text bool   // aligned to the left
	Note string // shown when pointed at
}

// A Cell is a field of a table.
type Cell struct {
	Text string
	// Key is what rows are sorted by, if HasKey; else by the text.
	Key    float64
	HasKey bool
	Tone   Tone
	Code   bool   // a name, in the type of a machine
	Link   string // in pages that are served
}

// Row adds a row, if there is room.
func (t *Table) Row(cells ...Cell) {
	if len(t.Rows) >= MaxRows {
		t.Left++
		return
	}
	t.Rows = append(t.Rows, cells)
}

// Name is a cell with a name.
func Name(s string) Cell { return Cell{Text: s, Code: true} }

// Text is a cell with text.
func Text(s string) Cell { return Cell{Text: s} }

// Number is a cell with a number that was written as text.
func Number(s string, key float64) Cell { return Cell{Text: s, Key: key, HasKey: key == key} }
