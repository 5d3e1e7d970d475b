package cli

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"

	"ropewalk/internal/report"
	"ropewalk/lineage/passport"
)

// passportPage is the page of a passport; of is the file that it was made of, or "".
func (e *env) passportPage(verb string, i *passportInfo, kept *passport.Passport, of string) *report.Page {
	p := newPage(verb, filepath.Base(i.File))
	if of != "" {
		p.Lead = "What is kept of " + filepath.Base(of) + "."
	}
	p.passport(i)
	p.kept(kept)
	p.claims(passportClaims(i, e.command())...)
	return p.Page
}

func passportClaims(i *passportInfo, command string) []report.Claim {
	show := shellWords("ropewalk", "passport", "show", i.File)
	if command == "" {
		command = show
	}
	list := []report.Claim{
		{Text: fmt.Sprintf("The passport of %s in %s has", i.Name, i.File), Value: commas(i.Bytes) + " bytes", Command: command},
		{Text: "What it says, to be time-stamped, has the SHA-256", Value: i.Digest, Command: show},
	}
	if i.Signed {
		list = append(list, report.Claim{Text: fmt.Sprintf("Its signature (%s) fits, and is of the key", i.Algorithm), Value: i.Signer, Command: show, Assumption: "whose key that is, --signer FILE tells"})
	}
	return list
}

// passport shows what a passport says.
func (p *pager) passport(i *passportInfo) {
	v := &report.Verdict{Word: "not signed", Text: "Anybody can have made it. Its checksums and its digest are right."}
	if i.Signed {
		v = &report.Verdict{Word: "signed", Tone: report.Good, Text: "The signature fits what it says. Whose key it is, is not known here."}
		v.Facts = []report.Fact{fact("signature", "%s", i.Algorithm)}
	}
	v.Facts = append(v.Facts,
		fact("network", "%s", i.Name), bytesFact("size", i.Bytes), fact("neurons", "%s in %s", commas(int64(i.Neurons)), count(i.Groups, "group")),
		fact("tensors", "%s", commas(int64(i.Tensors))), fact("values", "%s", commas(i.Elements)), fact("sums of a neuron", "%d", i.Numbers))
	s := p.section("Passport")
	s.Verdict(v)
	s.Text("Digest " + i.Digest)
	if i.Signed {
		s.Text("Key " + i.Signer)
	}
	if len(i.Metadata)+len(i.Files) > 0 {
		t := &report.Table{Columns: []report.Column{{Name: "of", Text: true}, {Name: "name", Text: true}, {Name: "value", Text: true}}}
		for _, k := range slices.Sorted(maps.Keys(i.Files)) {
			t.Row(report.Text("SHA-256 of a file"), report.Name(k), report.Name(i.Files[k]))
		}
		for _, k := range slices.Sorted(maps.Keys(i.Metadata)) {
			t.Row(report.Text("metadata"), report.Name(k), report.Text(i.Metadata[k]))
		}
		s.Table(t)
	}
	p.passportBytes(i)
}

// passportParts are the parts of a passport in words.
var passportParts = map[string]string{
	passport.PartHeader: "header, name and metadata", passport.PartSpec: "what can move", passport.PartTensors: "tensors and digests", passport.PartSignature: "digest and signature",
}

// passportBytes shows what the bytes are spent on.
func (p *pager) passportBytes(i *passportInfo) {
	if len(i.Ledger) == 0 {
		return
	}
	m := &report.Treemap{Unit: "bytes"}
	t := &report.Table{Columns: []report.Column{{Name: "part", Text: true}, {Name: "places with sketches"}, {Name: "bytes"}, {Name: "share"}}}
	groups, places := map[string]int{}, map[string]int64{}
	var all []report.Node // sums of groups, in their order
	for _, x := range i.Ledger {
		if x.Part != passport.PartGroup {
			name := passportParts[x.Part]
			if name == "" {
				name = x.Part
			}
			all = append(all, report.Node{Name: name, Value: report.Value(x.Bytes)})
			continue
		}
		at, ok := groups[x.Group]
		if !ok {
			at = len(all)
			groups[x.Group] = at
			all = append(all, report.Node{Name: x.Group})
		}
		all[at].Value += report.Value(x.Bytes)
		name := x.Place
		if name == "" {
			name = "rest"
		} else {
			places[x.Group]++
		}
		all[at].Children = append(all[at].Children, report.Node{Name: name, Value: report.Value(x.Bytes)})
	}
	m.Nodes = all
	for _, n := range all {
		row := []report.Cell{report.Text(n.Name), noCell, numberCell(int64(n.Value)), shareCell(float64(n.Value) / float64(max(1, i.Bytes)))}
		if n.Children != nil {
			row[0], row[1] = report.Name(n.Name), numberCell(places[n.Name])
		}
		t.Row(row...)
	}
	s := p.section("Where the bytes are")
	s.Chart(&report.Chart{Title: "Bytes of each group", Caption: "Areas are bytes in the file: sketches of the neurons of each group, at each place where they are made or read. A click goes into a group.", Wide: true, Data: m})
	s.Table(t)
}

// kept shows what is kept of each tensor.
func (p *pager) kept(k *passport.Passport) {
	t := &report.Table{Note: "Mean and deviation are of all numbers; levels are counted up to 65,536.", Columns: []report.Column{
		{Name: "tensor", Text: true}, {Name: "type", Text: true}, {Name: "shape", Text: true}, {Name: "mean"}, {Name: "deviation"}, {Name: "zeros"}, {Name: "levels"}, {Name: "SHA-256", Text: true},
	}}
	for i := range k.Tensors {
		x := &k.Tensors[i]
		row := []report.Cell{report.Name(x.Name), report.Text(string(x.DType)), report.Text(x.Shape.String()), noCell, noCell, noCell, noCell, report.Name(hex.EncodeToString(x.SHA256[:]))}
		if n, _ := x.Shape.Elems(); n > 0 {
			if x.Numeric() {
				mean := x.Sum / float64(n)
				row[3], row[4], row[5] = realCell("%.3g", mean), realCell("%.3g", math.Sqrt(max(0, x.Squares/float64(n)-mean*mean))), numberCell(int64(x.Zeros))
			}
			if x.Levels > 0 {
				row[6] = numberCell(int64(x.Levels))
			}
		}
		t.Row(row...)
	}
	if len(t.Rows) > 0 {
		p.section("Tensors").Table(t)
	}
}

func matchClaims(r *passportMatchResult, command string) []report.Claim {
	if command == "" {
		words := []string{"ropewalk", "passport", "match", r.Suspect}
		for _, k := range r.Ranked {
			words = append(words, k.File)
		}
		command = shellWords(words...)
	}
	if len(r.Ranked) == 0 {
		return nil
	}
	k := &r.Ranked[0]
	if k.Relation == passport.Misfit {
		return []report.Claim{{Text: fmt.Sprintf("Of %s, %s fits", count(r.Tried, "passport"), r.Suspect), Value: "none", Command: command}}
	}
	c := report.Claim{Text: fmt.Sprintf("%s is, to %s, the closest of %s,", r.Suspect, k.File, count(r.Tried, "passport")), Value: string(k.Relation), Command: command}
	switch k.Relation {
	case passport.Related, passport.Unrelated:
		c.Assumption = "weights of strangers are independent; unrelated means that no evidence was found, not that there is none"
	case passport.SameNumbers:
		c.Assumption = "nobody made other numbers with the same sums on purpose; verify proves it"
	case passport.SameWeights, passport.Misfit:
	}
	return []report.Claim{c, {Text: "A closer look at the closest:", Command: shellWords("ropewalk", "verify", r.Suspect, "--against", k.File)}}
}

// relationTones say how relations are meant to be taken, and in which words.
var relationTones = map[passport.Relation]report.Verdict{
	passport.SameWeights: {Tone: report.Good, Text: "All tensors have the digests of the closest passport: it is the same network."},
	passport.SameNumbers: {Tone: report.Good, Text: "Each tensor has the numbers of the closest passport, in another order."},
	passport.Related:     {Tone: report.Warn, Text: "Neurons of the closest passport were found again."},
	passport.Unrelated:   {Text: "No match is better than one of strangers. That is no proof that it was not made from one of these networks."},
	passport.Misfit:      {Text: "It has other tensors than the networks of these passports, so that it cannot be compared with them."},
}

// mostRanked is how many passports have a bar.
const mostRanked = 30

// matched shows which passports are a suspect's.
func (p *pager) matched(r *passportMatchResult) {
	s := p.section("Answer")
	v := &report.Verdict{Word: "nothing to compare with", Text: "No passport was there that is believed."}
	if len(r.Ranked) > 0 {
		k := &r.Ranked[0]
		tone := relationTones[k.Relation]
		v = &tone
		v.Word = string(k.Relation)
		for _, x := range []passport.Relation{passport.SameWeights, passport.SameNumbers, passport.Related, passport.Unrelated, passport.Misfit} {
			v.Ladder = append(v.Ladder, string(x))
		}
		closest := report.Fact{Name: "the closest", Value: k.Name, Note: k.File}
		if k.Name == "" {
			closest = fact("the closest", "%s", k.File)
		}
		v.Facts = append(v.Facts, closest, report.Fact{Name: "neurons found", Value: percentText(k.Certain), Note: "whose match is certain"}, report.Fact{Name: "equal numbers", Value: percentText(k.Equal), Note: "in tensors with the same SHA-256"})
		if k.LogEvidence != 0 {
			v.Facts = append(v.Facts, report.Fact{Name: "evidence", Value: fmt.Sprintf("e^%.0f", k.LogEvidence), Note: "of matches by hard decisions"})
		}
	}
	v.Facts = append(v.Facts, fact("suspect", "%s", r.Suspect), fact("tried", "%s", count(r.Tried, "passport")), fact("time", "%.2f s", r.Seconds.All))
	s.Verdict(v)
	s = p.section("Passports, the closest first")
	if len(r.Ranked) > 0 && r.Ranked[0].Relation != passport.Misfit {
		s.Chart(rankCharts(r)...)
	}
	t := &report.Table{Columns: []report.Column{{Name: "rank"}, {Name: "passport", Text: true}, {Name: "network", Text: true}, {Name: "relation", Text: true}, {Name: "equal"}, {Name: "certain"}, {Name: "log evidence"}, {Name: "note", Text: true}}}
	for i := range r.Ranked {
		k := &r.Ranked[i]
		relation := report.Cell{Text: string(k.Relation)}
		if tone := relationTones[k.Relation].Tone; tone != report.Neutral {
			relation.Tone = tone
		}
		row := []report.Cell{numberCell(int64(i + 1)), report.Name(k.File), report.Text(k.Name), relation, shareCell(k.Equal), shareCell(k.Certain), noCell, report.Text(k.Reason)}
		if k.LogEvidence != 0 {
			row[6] = realCell("%.0f", k.LogEvidence)
		}
		t.Row(row...)
	}
	for _, x := range r.Skipped {
		t.Row(noCell, report.Name(x.File), report.Text(""), report.Cell{Text: "skipped", Tone: report.Warn}, noCell, noCell, noCell, report.Text(x.Reason))
	}
	s.Table(t)
}

// rankCharts draw how close passports are.
func rankCharts(r *passportMatchResult) []*report.Chart {
	list := r.Ranked[:min(len(r.Ranked), mostRanked)]
	names, certain, equal, evidence := []string{}, report.Numbers{}, report.Numbers{}, report.Numbers{}
	matched := false
	for i := range list {
		k := &list[i]
		name := k.Name
		if name == "" {
			name = filepath.Base(k.File)
		}
		x := math.NaN() // where nothing was matched
		if k.LogEvidence != 0 {
			x, matched = k.LogEvidence, true
		}
		names, certain, equal, evidence = append(names, name), append(certain, k.Certain), append(equal, k.Equal), append(evidence, x)
	}
	note := ""
	if n := len(r.Ranked) - len(list); n > 0 {
		note = fmt.Sprintf(" The %d that follow are in the table.", n)
	}
	charts := []*report.Chart{
		{Title: "Neurons found", Caption: "The part of the neurons of each passport whose partner in the suspect is certain." + note, Data: &report.Bars{X: "passport", Y: "certain", Names: names, Values: certain, Low: value(0), High: value(1), Percent: true}},
		{Title: "Equal numbers", Caption: "The part of the numbers that are in tensors with the same SHA-256." + note, Data: &report.Bars{X: "passport", Y: "equal", Names: names, Values: equal, Low: value(0), High: value(1), Percent: true}},
	}
	if matched {
		charts = append(charts, &report.Chart{Title: "Evidence", Caption: "The natural logarithm of how much better the match is than one of strangers; where tensors are equal, or do not fit, nothing was matched." + note, Wide: true, Data: &report.Bars{X: "passport", Y: "log evidence", Names: names, Values: evidence}})
	}
	return charts
}
