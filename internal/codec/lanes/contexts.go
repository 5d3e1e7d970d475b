package lanes

// contexts fills seq, in the order of coding, with the table (from bit 11), the
// lane (from bit 8) and the symbol of each value of a segment.
func (m *model) contexts(syms []uint16, g *shape, lanes int, seq []uint32) {
	p := m.params
	i := 0
	row := func(step, l int) int {
		r := step*lanes + l
		if p.rowed && r < len(p.rows) {
			return int(p.rows[r]) - p.low
		}
		return -p.low
	}
	for step := range g.steps(lanes) {
		var rows, at [maxLanes]int
		for l := range lanes {
			rows[l] = row(step, l)
			at[l] = g.at(step, lanes, l)
		}
		for _, sp := range g.spans(step, lanes) {
			if sp.from >= sp.to || sp.first >= sp.last {
				continue
			}
			col, tap := sp.from/g.taps, sp.from%g.taps
			for pos := sp.from; pos < sp.to; pos++ {
				class := 0
				if p.coled {
					class = int(p.cols[col])
				}
				if p.tapped {
					class += int(p.taps[tap])
				}
				if p.means == 0 {
					top := p.scales - 1
					for l := sp.first; l < sp.last; l++ {
						t := min(max(class+rows[l&7], 0), top)
						seq[i] = uint32(t)<<11 | uint32(l)<<8 | uint32(syms[at[l&7]+pos]>>p.split)
						i++
					}
				}
				for l := sp.first; l < sp.last && p.means > 0; l++ {
					sum := m.sum(syms, at[l]+pos, pos, tap, g)
					v := syms[at[l]+pos]
					seq[i] = uint32(m.at(class+rows[l], sum))<<11 | uint32(l)<<8 | uint32(v>>p.split)
					i++
				}
				if tap++; tap == g.taps {
					tap = 0
					col++
				}
			}
		}
	}
}

// sum returns the weighted sum of the values before the one at i, which is at
// position pos of its row.
func (m *model) sum(syms []uint16, i, pos, tap int, g *shape) int64 {
	coefs := &m.coefs[min(tap, maxSets-1)]
	n := min(tap, maxBack)
	s := int64(0)
	for k := range min(n, i) {
		s += int64(coefs[k]) * int64(m.values[syms[i-1-k]>>m.split])
	}
	if pos >= g.taps && i >= g.taps {
		s += int64(coefs[n]) * int64(m.values[syms[i-g.taps]>>m.split])
	}
	return s
}
