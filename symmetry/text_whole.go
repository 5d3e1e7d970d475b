package symmetry

import (
	"strconv"
	"strings"
)

// maxWhole bounds the whole tensors of a place that a text can name.
const maxWhole = 1 << 14

// wholeText returns "experts.{0..7}.w1", or "{a b c}" where names do not differ in a
// number that counts up.
func wholeText(names []string) string {
	if before, from, after, ok := counted(names); ok {
		return before + "{" + strconv.Itoa(from) + ".." + strconv.Itoa(from+len(names)-1) + "}" + after
	}
	words := make([]string, len(names))
	for i, n := range names {
		words[i] = word(n)
	}
	return "{" + strings.Join(words, " ") + "}"
}

// counted finds the number in which bare names differ.
func counted(names []string) (before string, from int, after string, ok bool) {
	if len(names) < 2 || !bare(names[0]) {
		return "", 0, "", false
	}
	a, b := names[0], names[1]
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	for n > 0 && a[n-1] >= '0' && a[n-1] <= '9' {
		n--
	}
	end := n
	for end < len(a) && a[end] >= '0' && a[end] <= '9' {
		end++
	}
	from, err := strconv.Atoi(a[n:end])
	if err != nil || n == 0 || from > maxPositions {
		return "", 0, "", false
	}
	before, after = a[:n], a[end:]
	for i, name := range names {
		if name != before+strconv.Itoa(from+i)+after {
			return "", 0, "", false
		}
	}
	return before, from, after, true
}

// wholePlace reads what wholeText wrote, behind the name that it may begin with.
func (p *parser) wholePlace(before string, role Role, size int) Place {
	pl := Place{Role: role, Run: 1, Stride: 1}
	if size > maxWhole {
		p.fail("want at most %d whole tensors", maxWhole)
		return pl
	}
	p.need("{")
	if before == "" {
		for p.err == nil && !p.take("}") {
			pl.Tensors = append(pl.Tensors, p.word())
			if p.spend(1); len(pl.Tensors) > size {
				p.fail("more than %d whole tensors", size)
			}
		}
	} else {
		from := p.number()
		p.need("..")
		p.space()
		to := p.number()
		p.need("}")
		after := ""
		if p.rest != "" && bare(p.rest[:1]) {
			after = p.word()
		}
		if p.err == nil && to-from+1 != size {
			p.fail("want %d whole tensors", size)
		}
		// Names are made here, which are longer than what they are made of.
		p.spend(size * (len(before) + len(after) + 8) / 8)
		for i := from; p.err == nil && i <= to; i++ {
			pl.Tensors = append(pl.Tensors, before+strconv.Itoa(i)+after)
		}
	}
	if p.err == nil && len(pl.Tensors) != size {
		p.fail("want %d whole tensors", size)
	}
	return pl
}

// spend counts what a text lists.
func (p *parser) spend(n int) {
	if *p.listed += n; *p.listed > maxListed && p.err == nil {
		p.fail("more than %d positions in the whole text", maxListed)
	}
}
