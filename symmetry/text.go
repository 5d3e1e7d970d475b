package symmetry

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// lineWidth is where lists of places break.
const lineWidth = 110

// String returns s as a text that explains it, and that [Parse] reads back:
//
//	group conv1.out: 16 × permutation × nonzero a × scale b —
//	    in conv1.weight[0]*a, param bn1.weight[0]*sign(a)*b, bn1.bias[0]*b,
//	    stat bn1.running_mean[0]*a, bn1.running_var[0]*a^2+1e-05,
//	    out conv2.weight[1]/b, fc.weight[1:x49]/b
//	fixed "input \"x\" of the network": conv1.weight[1]
//
// A line that begins with a space goes on with the one before. A place is a tensor and
// an axis, and, if neuron i is not just at i, where the neurons are, how many numbers
// each has there, and at which distance:
//
//	[0:8..23]        at 8, 9, … 23
//	[0:0..7,24..31]  at 0 … 7 and 24 … 31
//	[1:0..392/49x49] at 0, 49, … 392; 49 numbers each
//	[1:x49]          the same: number after number
//	[1:0..63x49/64]  at 0, 1, … 63; 49 numbers each, at distances of 64
//
// Whole tensors that exchange places, one for each neuron, have no axis; names that
// differ in a number that counts up are written as one:
//
//	experts.{0..7}.w1.weight
//	{a.weight b.weight}
//
// What follows says how factors act: *a and /a multiply and divide, *|a| leaves out the
// sign, *sign(a) is only the sign, *a^2 the square, and +1e-05 is the epsilon of the batch
// norm. Before the first place of a kind stands what it is: in, out, param, stat (see
// [Role]).
func (s *Spec) String() string {
	var b strings.Builder
	for i := range s.Groups {
		g := &s.Groups[i]
		fmt.Fprintf(&b, "group %s: %d × permutation", word(g.Name), g.Size)
		for f, gauge := range g.Factors {
			fmt.Fprintf(&b, " × %v %s", gauge, factorName(f))
		}
		b.WriteString(" —")
		items := make([]string, len(g.Places))
		for k := range g.Places {
			items[k] = g.Places[k].String()
			if k == 0 || g.Places[k].Role != g.Places[k-1].Role {
				items[k] = g.Places[k].Role.String() + " " + items[k]
			}
		}
		list(&b, items)
	}
	for i := range s.Fixed {
		f := &s.Fixed[i]
		fmt.Fprintf(&b, "fixed %s:", strconv.Quote(f.Reason))
		items := make([]string, len(f.Axes))
		for k, a := range f.Axes {
			items[k] = a.String()
		}
		list(&b, items)
	}
	return b.String()
}

// list writes items with commas, over as many lines as they need.
func list(b *strings.Builder, items []string) {
	width := lineWidth
	for i, item := range items {
		if n := utf8.RuneCountInString(item) + 2; width+n > lineWidth {
			b.WriteString("\n   ")
			width = 3 + n
		} else {
			width += n
		}
		b.WriteString(" " + item)
		if i < len(items)-1 {
			b.WriteByte(',')
		}
	}
	b.WriteByte('\n')
}

// String returns the axis as it is in the text of its specification: "w[0:1..3]".
func (a Axis) String() string {
	return fmt.Sprintf("%s[%d%s]", word(a.Tensor), a.Axis, positionText(a.At, 1, 1))
}

// bare reports whether a name needs no quotes.
func bare(name string) bool {
	for i := range len(name) {
		if c := name[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_./-", c) >= 0) {
			return false
		}
	}
	return name != ""
}

func word(name string) string {
	if bare(name) {
		return name
	}
	return strconv.Quote(name)
}

// factorName returns a, b, … z, f26, ….
func factorName(f int) string {
	if f < 26 {
		return string(rune('a' + f))
	}
	return fmt.Sprintf("f%d", f)
}

// String returns the place as it is in the text of its specification: "w[0:x49]*a".
func (p *Place) String() string {
	if p.whole() {
		return wholeText(p.Tensors)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s[%d%s]", word(p.Tensor), p.Axis, positionText(p.At, p.Run, p.Stride))
	for _, a := range p.Acts {
		b.WriteString(a.text())
	}
	if p.Epsilon != 0 {
		b.WriteByte('+')
		b.WriteString(strconv.FormatFloat(p.Epsilon, 'g', -1, 64))
	}
	return b.String()
}

func (a Act) text() string {
	sign, name := "*", factorName(a.Factor)
	if a.Power < 0 {
		sign = "/"
	}
	switch {
	case a.Power == 0:
		return "*sign(" + name + ")"
	case max(a.Power, -a.Power) == 2 && a.Odd:
		return sign + name + "|" + name + "|"
	case max(a.Power, -a.Power) == 2:
		return sign + name + "^2"
	case a.Odd:
		return sign + name
	}
	return sign + "|" + name + "|"
}

// positionText returns ":0..7,24..31x49/64", or "" if neuron i is at i.
func positionText(at []int, run, stride int) string {
	var parts []string
	for i := 0; i < len(at); {
		n := 1
		for i+n < len(at) && at[i+n] > at[i+n-1] && at[i+n]-at[i+n-1] == at[i+1]-at[i] {
			n++
		}
		switch step := at[min(i+1, len(at)-1)] - at[i]; {
		case n == 1 || n == 2 && step != 1:
			parts = append(parts, strconv.Itoa(at[i]))
			n = 1
		case step == 1:
			parts = append(parts, fmt.Sprintf("%d..%d", at[i], at[i+n-1]))
		default:
			parts = append(parts, fmt.Sprintf("%d..%d/%d", at[i], at[i+n-1], step))
		}
		i += n
	}
	text := strings.Join(parts, ",")
	if run > 1 {
		text += "x" + strconv.Itoa(run)
		if stride > 1 {
			text += "/" + strconv.Itoa(stride)
		}
	}
	if text == "" {
		return ""
	}
	return ":" + text
}

// maxListed bounds the positions that a text may list, all together: a few
// letters can name millions.
const maxListed = 1 << 23

// Parse reads what [Spec.String] wrote. Empty lines and lines that begin with # are
// left out. An error names the line.
func Parse(text string) (*Spec, error) {
	s := &Spec{}
	listed := 0
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); {
		first := i + 1
		line := lines[i]
		i++
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var b strings.Builder
		b.WriteString(line)
		for i < len(lines) && (strings.HasPrefix(lines[i], " ") || strings.HasPrefix(lines[i], "\t")) {
			b.WriteByte(' ')
			b.WriteString(strings.TrimSpace(lines[i]))
			i++
		}
		p := &parser{rest: b.String(), listed: &listed}
		switch p.word() {
		case "group":
			g := p.group()
			s.Groups = append(s.Groups, g)
		case "fixed":
			s.Fixed = append(s.Fixed, p.fixed())
		default:
			p.fail("want a line that begins with group, fixed or #")
		}
		if p.err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrSpec, first, p.err)
		}
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	return s, nil
}

// A parser reads one line. After an error it reads nothing, and keeps the first.
type parser struct {
	rest   string
	listed *int
	err    error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		near := p.rest
		if len(near) > 24 {
			near = near[:24]
		}
		p.err = fmt.Errorf(format+", near %q", append(args, near)...)
		p.rest = ""
	}
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

// take skips a token, and reports whether it was there.
func (p *parser) take(token string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *parser) need(token string) {
	if p.err == nil && !p.take(token) {
		p.fail("want %q", token)
	}
}

// word reads a name, in quotes or bare.
func (p *parser) word() string {
	p.space()
	if strings.HasPrefix(p.rest, `"`) {
		quoted, err := strconv.QuotedPrefix(p.rest)
		if err != nil {
			p.fail("quotes that do not end")
			return ""
		}
		p.rest = p.rest[len(quoted):]
		name, err := strconv.Unquote(quoted)
		if err != nil {
			p.fail("quotes of another language")
		}
		return name
	}
	n := 0
	for n < len(p.rest) && bare(p.rest[n:n+1]) {
		n++
	}
	if n == 0 {
		p.fail("want a name")
		return ""
	}
	name := p.rest[:n]
	p.rest = p.rest[n:]
	return name
}

// number reads digits.
func (p *parser) number() int {
	n := 0
	for n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9' {
		n++
	}
	v, err := strconv.Atoi(p.rest[:n])
	if err != nil || v > maxPositions {
		p.fail("want a number, at most %d", maxPositions)
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) factor() int {
	if rest, ok := strings.CutPrefix(p.rest, "f"); ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		p.rest = rest
		return p.number()
	}
	if p.rest == "" || p.rest[0] < 'a' || p.rest[0] > 'z' {
		p.fail("want a factor, a to z")
		return 0
	}
	f := int(p.rest[0] - 'a')
	p.rest = p.rest[1:]
	return f
}

func (p *parser) group() Group {
	g := Group{Name: p.word()}
	p.need(":")
	p.space()
	g.Size = p.number()
	p.need("×")
	p.need("permutation")
	for p.take("×") {
		k := slices.Index(gaugeNames[:], p.word())
		if k < 0 {
			p.fail("want one of %s", strings.Join(gaugeNames[:], ", "))
			return g
		}
		p.space()
		if f := p.factor(); f != len(g.Factors) && p.err == nil {
			p.fail("want factor %s", factorName(len(g.Factors)))
		}
		g.Factors = append(g.Factors, Gauge(k))
	}
	p.need("—")
	role := Incoming
	for p.err == nil {
		if p.peek("{") { // whole tensors, of the role of those before
			g.Places = append(g.Places, p.wholePlace("", role, g.Size))
			if !p.take(",") {
				break
			}
			continue
		}
		name := p.word()
		if !strings.HasPrefix(p.rest, "[") && !strings.HasPrefix(p.rest, "{") {
			k := slices.Index(roleNames[:], name)
			if k < 0 {
				p.fail("want [ behind a tensor, or one of %s", strings.Join(roleNames[:], ", "))
				return g
			}
			role = Role(k)
			if name = ""; !p.peek("{") {
				name = p.word()
			}
		}
		if strings.HasPrefix(p.rest, "{") {
			g.Places = append(g.Places, p.wholePlace(name, role, g.Size))
		} else {
			g.Places = append(g.Places, p.place(name, role, g.Size))
		}
		if !p.take(",") {
			break
		}
	}
	p.end()
	return g
}

// peek reports whether a token is next.
func (p *parser) peek(token string) bool {
	p.space()
	return strings.HasPrefix(p.rest, token)
}

func (p *parser) end() {
	if p.space(); p.rest != "" {
		p.fail("want the end of the line")
	}
}

func (p *parser) place(name string, role Role, size int) Place {
	pl := Place{Tensor: name, Role: role, Run: 1, Stride: 1}
	p.need("[")
	pl.Axis = p.number()
	if p.take(":") {
		pl.At = p.positions(size)
		if p.take("x") {
			pl.Run = p.number()
			if p.take("/") {
				pl.Stride = p.number()
			}
		}
	}
	p.need("]")
	for p.err == nil && p.rest != "" && (p.rest[0] == '*' || p.rest[0] == '/') {
		pl.Acts = append(pl.Acts, p.act())
	}
	if strings.HasPrefix(p.rest, "+") {
		n := 1
		for n < len(p.rest) && strings.IndexByte("0123456789.e-+", p.rest[n]) >= 0 {
			n++
		}
		eps, err := strconv.ParseFloat(p.rest[1:n], 64)
		if err != nil || eps <= 0 {
			p.fail("want an epsilon")
		}
		pl.Epsilon = eps
		p.rest = p.rest[min(n, len(p.rest)):]
	}
	return pl
}

func (p *parser) act() Act {
	sign := 1
	if p.rest[0] == '/' {
		sign = -1
	}
	p.rest = p.rest[1:]
	literal := func(token string) bool {
		rest, ok := strings.CutPrefix(p.rest, token)
		if ok {
			p.rest = rest
		}
		return ok
	}
	switch {
	case literal("sign("):
		a := Act{Factor: p.factor(), Odd: true}
		if sign < 0 || !literal(")") {
			p.fail("want *sign(a)")
		}
		return a
	case literal("|"):
		a := Act{Factor: p.factor(), Power: sign}
		if !literal("|") {
			p.fail("want |a|")
		}
		return a
	}
	f := p.factor()
	switch {
	case literal("^2"):
		return Act{Factor: f, Power: 2 * sign}
	case literal("|"):
		if g := p.factor(); g != f || !literal("|") {
			p.fail("want a|a|")
		}
		return Act{Factor: f, Power: 2 * sign, Odd: true}
	}
	return Act{Factor: f, Power: sign, Odd: true}
}

// positions reads "0..7,24..31/2", at most most of them; nil if there are none.
func (p *parser) positions(most int) []int {
	var at []int
	for p.err == nil && p.rest != "" && p.rest[0] >= '0' && p.rest[0] <= '9' {
		from := p.number()
		to, step := from, 1
		if strings.HasPrefix(p.rest, "..") {
			p.rest = p.rest[2:]
			to = p.number()
			if strings.HasPrefix(p.rest, "/") {
				p.rest = p.rest[1:]
				step = p.number()
			}
		}
		if p.err == nil && (to < from || step < 1) {
			p.fail("want positions that grow")
		}
		if p.err != nil {
			return nil
		}
		n := (to-from)/step + 1
		if *p.listed += n; n > most-len(at) || *p.listed > maxListed {
			p.fail("more than %d positions, or more than %d in the whole text", most, maxListed)
			return nil
		}
		for k := range n {
			at = append(at, from+k*step)
		}
		if !strings.HasPrefix(p.rest, ",") {
			break
		}
		p.rest = p.rest[1:]
	}
	return at
}

func (p *parser) fixed() Fixed {
	f := Fixed{Reason: p.word()}
	p.need(":")
	for p.err == nil {
		a := Axis{Tensor: p.word()}
		p.need("[")
		a.Axis = p.number()
		if p.take(":") {
			a.At = p.positions(maxListed)
		}
		p.need("]")
		f.Axes = append(f.Axes, a)
		if !p.take(",") {
			break
		}
	}
	p.end()
	return f
}
