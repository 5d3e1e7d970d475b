package lanes

// An entry is a symbol in a table. Its number is that of the table times the
// number of symbols, plus the symbol.

// entries sets to, one for each value of a segment, to the entry that it is
// coded with.
func (m *model) entries(to []uint32, syms []uint16, g *shape) {
	p := m.params
	if p.means > 0 {
		m.reverse()
	}
	for r := range g.rows {
		from, end, pos := g.span(r)
		class := -p.low
		if p.rowed {
			class += int(p.rows[r])
		}
		switch to, syms := to[from:end], syms[from:end]; {
		case p.means > 0:
			m.predicted(to, syms, class, pos, g.taps)
		case p.coled || p.tapped:
			m.classified(to, syms, class, pos, g.taps)
		default:
			first := m.entry(m.at(class, 0))
			for i, s := range syms {
				to[i] = first + uint32(s>>p.split)
			}
		}
	}
}

// entry returns the first entry of a table.
func (m *model) entry(table int) uint32 { return uint32(table * m.symbols) }

// classified sets the entries of a row whose class is given, and whose first
// value is at position pos, without a prediction.
func (m *model) classified(to []uint32, syms []uint16, class, pos, taps int) {
	p := m.params
	col, tap, top := pos/taps, pos%taps, p.scales-1
	for i, s := range syms {
		c := class
		if p.coled {
			c += int(p.cols[col])
		}
		if p.tapped {
			c += int(p.taps[tap])
		}
		to[i] = m.entry(min(max(c, 0), top)) + uint32(s>>p.split)
		if tap++; tap == taps {
			tap = 0
			col++
		}
	}
}

// predicted is the like with a prediction.
func (m *model) predicted(to []uint32, syms []uint16, class, pos, taps int) {
	p := m.params
	// The values of the row, behind as many zeros as a prediction looks back.
	margin := max(taps, maxBack)
	m.line = room(m.line, margin+len(syms))
	line := m.line
	clear(line[:margin])
	for i, s := range syms {
		line[margin+i] = int64(m.values[s>>p.split])
	}
	col, tap := pos/taps, pos%taps
	for i, s := range syms {
		c := class
		if p.coled {
			c += int(p.cols[col])
		}
		if p.tapped {
			c += int(p.taps[tap])
		}
		set := &m.sets[min(tap, maxSets-1)]
		sum := set.beside * line[margin+i-taps]
		if tap > 0 {
			v := (*[maxBack]int64)(line[margin+i-maxBack:])
			sum += set.back[0]*v[0] + set.back[1]*v[1] + set.back[2]*v[2] + set.back[3]*v[3] +
				set.back[4]*v[4] + set.back[5]*v[5] + set.back[6]*v[6] + set.back[7]*v[7]
		}
		to[i] = m.entry(m.at(c, sum)) + uint32(s>>p.split)
		if tap++; tap == taps {
			tap = 0
			col++
		}
	}
}

// A set is one of coefficients, in the order of the values: those of the last
// taps, 0 for those of another kernel, and that of the column before.
type set struct {
	back   [maxBack]int64
	beside int64
}

// reverse makes the sets.
func (m *model) reverse() {
	for t := range m.sets {
		s := &m.sets[t]
		*s = set{}
		n := min(t, maxBack)
		for k := range n {
			s.back[maxBack-1-k] = int64(m.coefs[t][k])
		}
		s.beside = int64(m.coefs[t][n])
	}
}
