package report

import "slices"

// maxText is how many letters a sentence may have: more is no sentence.
const maxText = 2000

// text makes sentences fit to be shown, as label does with names.
func text(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "…"
	}
	return sane(s)
}

// cleaned returns a copy of a page in which all that may come from a file is fit to be
// shown. Escaping is the template's business.
func (p *Page) cleaned() *Page {
	c := *p
	c.Verb, c.Title, c.Lead, c.Made = label(p.Verb), label(p.Title), text(p.Lead), label(p.Made)
	c.Content = make([]*Section, len(p.Content))
	for i, s := range p.Content {
		t := &Section{Title: label(s.Title), Blocks: make([]Block, len(s.Blocks))}
		for k, b := range s.Blocks {
			t.Blocks[k] = b.cleaned()
		}
		c.Content[i] = t
	}
	return &c
}

func (b Block) cleaned() Block {
	b.Text = text(b.Text)
	b.Facts = cleanFacts(b.Facts)
	if b.Verdict != nil {
		v := *b.Verdict
		v.Word, v.Text, v.Facts = label(v.Word), text(v.Text), cleanFacts(v.Facts)
		v.Ladder = labels(v.Ladder)
		b.Verdict = &v
	}
	if b.Choice != nil {
		b.Choice = &Choice{label(b.Choice.Label), b.Choice.Charts}
	}
	if b.Form != nil {
		f := Form{To: b.Form.To, Button: label(b.Form.Button), Fields: slices.Clone(b.Form.Fields)}
		for i := range f.Fields {
			f.Fields[i].Label = label(f.Fields[i].Label)
			f.Fields[i].Options = slices.Clone(f.Fields[i].Options)
			for k, o := range f.Fields[i].Options {
				f.Fields[i].Options[k].Text = label(o.Text) // the value is what is sent back
			}
		}
		b.Form = &f
	}
	if b.Table != nil {
		b.Table = b.Table.cleaned()
	}
	b.Claims = slices.Clone(b.Claims)
	for i, c := range b.Claims {
		b.Claims[i] = Claim{text(c.Text), label(c.Value), text(c.Command), text(c.Assumption)}
	}
	b.Links = slices.Clone(b.Links)
	for i, l := range b.Links {
		b.Links[i] = Link{label(l.Text), l.To, label(l.Note)}
	}
	return b
}

func cleanFacts(list []Fact) []Fact {
	list = slices.Clone(list)
	for i, f := range list {
		list[i] = Fact{label(f.Name), label(f.Value), text(f.Note)}
	}
	return list
}

func (t *Table) cleaned() *Table {
	c := *t
	c.Title, c.Note = label(t.Title), text(t.Note)
	c.Columns = slices.Clone(t.Columns)
	for i, h := range c.Columns {
		c.Columns[i].Name, c.Columns[i].Note = label(h.Name), text(h.Note)
	}
	c.Rows = make([][]Cell, len(t.Rows))
	for i, r := range t.Rows {
		c.Rows[i] = slices.Clone(r)
		for k := range c.Rows[i] {
			if r[k].Code {
				c.Rows[i][k].Text = label(r[k].Text)
				continue
			}
			c.Rows[i][k].Text = text(r[k].Text)
		}
	}
	return &c
}
