package cli

import (
	"maps"
	"slices"

	"ropewalk/internal/report"
	"ropewalk/lineage/passport"
)

// passport shows what a passport says.
func (p *pager) passport(i *passportInfo) {
	signed := report.Fact{Name: "signature", Value: "none"}
	if i.Signed {
		signed = report.Fact{Name: "signature", Value: i.Algorithm, Note: "it fits; whose key it is, is not known here: " + i.Signer}
	}
	s := p.section("Passport")
	s.Facts(fact("network", "%s", i.Name), bytesFact("size", i.Bytes), fact("neurons", "%s in %s", commas(int64(i.Neurons)), count(i.Groups, "group")), fact("tensors", "%s", commas(int64(i.Tensors))), fact("values", "%s", commas(i.Elements)), fact("sums of a neuron", "%d", i.Numbers), signed)
	s.Text("Digest " + i.Digest)
	if len(i.Metadata)+len(i.Files) == 0 {
		return
	}
	t := &report.Table{Columns: []report.Column{{Name: "of", Text: true}, {Name: "name", Text: true}, {Name: "value", Text: true}}}
	for _, k := range slices.Sorted(maps.Keys(i.Files)) {
		t.Row(report.Text("SHA-256 of a file"), report.Name(k), report.Name(i.Files[k]))
	}
	for _, k := range slices.Sorted(maps.Keys(i.Metadata)) {
		t.Row(report.Text("metadata"), report.Name(k), report.Text(i.Metadata[k]))
	}
	s.Table(t)
}

// matched shows which passports are a suspect's.
func (p *pager) matched(r *passportMatchResult) {
	s := p.section("Passports")
	s.Facts(fact("tried", "%s", commas(int64(r.Tried))), fact("suspect", "%s", r.Suspect), fact("time", "%.2f s", r.Seconds.All))
	t := &report.Table{Columns: []report.Column{{Name: "passport", Text: true}, {Name: "network", Text: true}, {Name: "relation", Text: true}, {Name: "equal"}, {Name: "certain"}, {Name: "log evidence"}}}
	for _, k := range r.Ranked {
		relation := report.Cell{Text: string(k.Relation)}
		if k.Relation == passport.SameWeights || k.Relation == passport.Related {
			relation.Tone = report.Good
		}
		t.Row(report.Name(k.File), report.Text(k.Name), relation, shareCell(k.Equal), shareCell(k.Certain), realCell("%.0f", k.LogEvidence))
	}
	for _, x := range r.Skipped {
		t.Row(report.Name(x.File), report.Text(""), report.Cell{Text: x.Reason, Tone: report.Warn}, noCell, noCell, noCell)
	}
	s.Table(t)
}
