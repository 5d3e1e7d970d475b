package lanes

import (
	"encoding/binary"
	"sort"

	"ropewalk/internal/codec"
)

// reference decodes one symbol at a time, by the letter of the specification.
// It shares with the decoder how parameters are read and frequencies are made.
func reference(syms []uint16, coded []byte, segs []codec.Segment) error {
	var d decoder
	d.lanes = lanesOf(len(syms))
	plain, rest, err := d.side(coded, segs)
	if err != nil {
		return err
	}
	if len(rest) < plain {
		return corrupt("plain")
	}
	bits, rest := rest[:plain], rest[plain:]
	states := make([]uint32, d.lanes)
	if d.lanes == 1 {
		n := len(rest)
		if n > 4 {
			n = 4
			if len(rest)%2 == 1 {
				n = 3
			}
		}
		for _, b := range rest[:n] {
			states[0] = states[0]*256 + uint32(b)
		}
		rest = rest[n:]
	} else {
		if len(rest) < 4*d.lanes {
			return corrupt("states")
		}
		for l := range states {
			states[l] = binary.LittleEndian.Uint32(rest)
			rest = rest[4:]
		}
	}
	bit := 0
	base := 0
	for i, s := range segs {
		if s.Len == 0 {
			continue
		}
		p := &d.params[i]
		out := syms[base : base+s.Len]
		base += s.Len
		if p.constant {
			for j := range out {
				out[j] = uint16(p.symbol)
			}
			continue
		}
		var m model
		m.prepare(p, s.Levels)
		type table struct {
			freqs   []uint16
			buckets []bucket
		}
		tables := map[int]table{}
		for _, v := range places(s, d.lanes) {
			class := 0
			if p.rowed {
				class += int(p.rows[v.row])
			}
			if p.coled {
				class += int(p.cols[v.pos/v.taps])
			}
			if p.tapped {
				class += int(p.taps[v.pos%v.taps])
			}
			scale := min(max(class-p.low, 0), p.scales-1)
			mean := 0
			if p.means > 0 {
				tap := v.pos % v.taps
				c := p.coefs[min(tap, 24)]
				sum := int64(0)
				k := 0
				for ; k < min(tap, 8); k++ {
					if v.i-1-k >= 0 {
						sum += int64(c[k]) * int64(m.values[out[v.i-1-k]])
					}
				}
				if v.pos >= v.taps && v.i >= v.taps {
					sum += int64(c[k]) * int64(m.values[out[v.i-v.taps]])
				}
				mean = int((sum>>8*(inverse(p.base+scale*p.step())>>8) + 1<<27) >> 28)
				mean = min(max(mean, -p.means), p.means)
			}
			key := scale*100 + mean
			if tables[key].freqs == nil {
				t := table{freqs: make([]uint16, m.symbols)}
				m.frequencies(t.freqs, scale*m.width+m.means+mean)
				t.buckets = buckets(t.freqs)
				tables[key] = t
			}
			t := tables[key]
			x := states[v.lane]
			size := total / len(t.buckets)
			number, place := int(x%total)/size, int(x%total)%size
			symbol := number
			if b := t.buckets[number]; place >= b.cut {
				symbol, place = b.other, b.from+place-b.cut
			}
			out[v.i] = uint16(symbol)
			x = uint32(t.freqs[symbol])*(x/total) + uint32(place)
			if x < 1<<16 && (len(rest) >= 2 || d.lanes > 1) {
				if len(rest) < 2 {
					return corrupt("words")
				}
				x = x<<16 | uint32(rest[0]) | uint32(rest[1])<<8
				rest = rest[2:]
			}
			states[v.lane] = x
		}
		if p.split > 0 {
			ok := true
			for j := range out {
				v := int(out[j])
				low := 0
				for b := range p.split {
					low |= int(bits[bit/8]>>(bit%8)&1) << b
					bit++
				}
				v = v<<p.split | low
				ok = ok && v < len(s.Levels)
				out[j] = uint16(v)
			}
			if !ok {
				return corrupt("symbol")
			}
		}
	}
	if len(rest) > 0 {
		return corrupt("rest")
	}
	for _, x := range states {
		if d.lanes == 1 && x != 1 || d.lanes > 1 && x != 1<<16 {
			return corrupt("end")
		}
	}
	return nil
}

// A placeOf is where a value lies: its index in the segment, row and position,
// taps of a kernel, and the lane that has its row.
type placeOf struct{ i, row, pos, taps, lane int }

// places returns the places of a segment in the order of coding.
func places(s codec.Segment, lanes int) []placeOf {
	row, taps, start := s.Cols*s.Taps, s.Taps, s.Start%(s.Cols*s.Taps)
	rows := (start + s.Len + row - 1) / row
	if rows < lanes && (rows == 1 || s.Len >= 1<<14) {
		row, taps, start = (s.Len+lanes-1)/lanes, 1, 0
	}
	list := make([]placeOf, s.Len)
	for i := range list {
		at := start + i
		list[i] = placeOf{i: i, row: at / row, pos: at % row, taps: taps, lane: at / row % lanes}
	}
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.row/lanes != b.row/lanes {
			return a.row < b.row
		}
		if a.pos != b.pos {
			return a.pos < b.pos
		}
		return a.lane < b.lane
	})
	return list
}

// A bucket of an alias table: the symbol of its number up to a cut, another one
// behind it, whose places begin at from.
type bucket struct{ cut, other, from int }

// buckets spreads symbols over buckets.
func buckets(freqs []uint16) []bucket {
	n := 1
	for n < len(freqs) {
		n *= 2
	}
	size := total / n
	list := make([]bucket, n)
	var under, over []int // the last is the next one
	for i := range list {
		if i < len(freqs) {
			list[i].cut = int(freqs[i])
		}
		if list[i].cut < size {
			under = append(under, i)
		} else if list[i].cut > size {
			over = append(over, i)
		}
	}
	for len(under) > 0 {
		u, o := under[len(under)-1], over[len(over)-1]
		under = under[:len(under)-1]
		list[o].cut -= size - list[u].cut
		list[u].other, list[u].from = o, list[o].cut
		if list[o].cut < size {
			under = append(under, o)
		}
		if list[o].cut <= size {
			over = over[:len(over)-1]
		}
	}
	return list
}
