package lanes

// contexts sets tables, one for each value of a segment, to the number of the
// table that it is coded with.
func (m *model) contexts(tables, syms []uint16, g *shape) {
	p := m.params
	for r := range g.rows {
		from, to, pos := g.span(r)
		class := -p.low
		if p.rowed {
			class += int(p.rows[r])
		}
		if p.means > 0 {
			m.predicted(tables[from:to], syms[from:to], class, pos, g.taps)
		} else {
			m.unpredicted(tables[from:to], class, pos, g.taps)
		}
	}
}

// unpredicted fills the tables of a row whose class is given, from position
// pos, without a prediction.
func (m *model) unpredicted(tables []uint16, class, pos, taps int) {
	p := m.params
	top := p.scales - 1
	if !p.coled && !p.tapped {
		t := uint16(min(max(class, 0), top))
		for i := range tables {
			tables[i] = t
		}
		return
	}
	col, tap := pos/taps, pos%taps
	for i := 0; i < len(tables); col++ {
		c := class
		if p.coled {
			c += int(p.cols[col])
		}
		here := tables[i:min(i+taps-tap, len(tables))]
		if p.tapped {
			for k, t := range p.taps[tap : tap+len(here)] {
				here[k] = uint16(min(max(c+int(t), 0), top))
			}
		} else {
			t := uint16(min(max(c, 0), top))
			for k := range here {
				here[k] = t
			}
		}
		i += len(here)
		tap = 0
	}
}

// predicted is the like with a prediction, from the symbols of the row.
func (m *model) predicted(tables, syms []uint16, class, pos, taps int) {
	p := m.params
	// The values of the row, behind as many zeros as a prediction looks back.
	margin := max(taps, maxBack)
	m.line = room(m.line, margin+len(syms))
	line := m.line
	clear(line[:margin])
	values := line[margin:]
	for i, s := range syms {
		values[i] = m.values[s>>m.split]
	}
	col, tap := pos/taps, pos%taps
	for i := range tables {
		c := class
		if p.coled {
			c += int(p.cols[col])
		}
		if p.tapped {
			c += int(p.taps[tap])
		}
		coefs := &m.coefs[min(tap, maxSets-1)]
		n := min(tap, maxBack)
		at := margin + i
		sum := int64(coefs[n]) * int64(line[at-taps])
		for k := range n {
			sum += int64(coefs[k]) * int64(line[at-1-k])
		}
		tables[i] = uint16(m.at(c, sum))
		if tap++; tap == taps {
			tap = 0
			col++
		}
	}
}
