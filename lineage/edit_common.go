package lineage

import (
	"cmp"
	"encoding/binary"
	"maps"
	"math"
	"math/bits"
	"slices"
)

// What neurons of several classes have in common shows only together: none of them can be
// changed alone for the better. So factors are the unknowns of a system of equations, one for
// each part of a tensor that is of the same unknowns. Equations that most numbers speak for
// come first; those that contradict what holds already are left out, and edits are among them.

// unknowns numbers the factors of classes: one for each neuron, or one for all of a class.
type unknowns struct {
	first [][]int // by class and factor; -1 for those that are not looked for
	each  bool
	count int
}

func (g *regauge) unknowns(each bool, look func(c, f int) bool) *unknowns {
	u := &unknowns{each: each}
	for c := range g.p.classes {
		x := &g.p.classes[c]
		first := make([]int, len(x.Factors))
		for f := range first {
			first[f] = -1
			if !g.active[c] || !look(c, f) {
				continue
			}
			first[f] = u.count
			if u.count++; each {
				u.count += x.Size - 1
			}
		}
		u.first = append(u.first, first)
	}
	return u
}

// of returns the number of a factor of a neuron, or -1.
func (u *unknowns) of(c, f, i int) int {
	k := u.first[c][f]
	if k >= 0 && u.each {
		k += i
	}
	return k
}

// A term is an unknown and its power.
type term struct{ unknown, power int }

// A part is the numbers of a tensor that are of the same unknowns.
type part struct {
	terms []term
	turns int // how many more numbers are turned than not
	logs  []float64
}

// parts returns those of all tensors, in a fixed order. act says which power an act counts with.
func (g *regauge) parts(u *unknowns, power func(c int, odd bool, power int) int, logs bool) []*part {
	var out []*part
	for _, name := range slices.Sorted(maps.Keys(g.tensors)) {
		t := g.tensors[name]
		axes := g.p.axes[name]
		of := make([][][]term, len(axes)) // by axis and position
		for a := range axes {
			if axes[a].seats == nil {
				continue
			}
			of[a] = make([][]term, len(axes[a].seats))
			for at, seats := range axes[a].seats {
				for _, s := range seats {
					for _, act := range g.p.classes[s.class].Places[s.place].Acts {
						k, p := u.of(s.class, act.Factor, s.neuron), power(s.class, act.Odd, act.Power)
						if k >= 0 && p != 0 {
							of[a][at] = append(of[a][at], term{k, p})
						}
					}
				}
			}
		}
		byKey := map[string]*part{}
		var sum []term
		var key []byte
		n := &pairedTensor{dims: t.dims, x: t.log}
		n.each(func(k int, index []int) {
			if l := t.log[k]; l != l {
				return
			}
			sum, key = sum[:0], key[:0]
			for a := range of {
				if of[a] != nil {
					sum = append(sum, of[a][index[a]]...)
				}
			}
			slices.SortFunc(sum, func(a, b term) int { return cmp.Compare(a.unknown, b.unknown) })
			for _, x := range sum {
				key = binary.AppendUvarint(key, uint64(x.unknown))
				key = binary.AppendVarint(key, int64(x.power))
			}
			p := byKey[string(key)]
			if p == nil {
				p = &part{terms: slices.Clone(sum)}
				byKey[string(key)] = p
				out = append(out, p)
			}
			if t.turn[k] {
				p.turns++
			} else {
				p.turns--
			}
			if logs {
				p.logs = append(p.logs, t.log[k])
			}
		})
	}
	return out
}

const (
	maxUnknowns = 4096    // that are solved for
	maxParts    = 1 << 17 // equations
	maxCommon   = 1 << 22 // numbers that they are made of
)

// size is how many numbers are looked at.
func (g *regauge) size() (n int) {
	for _, t := range g.tensors {
		n += len(t.log)
	}
	return n
}

// commonSigns turns signs as the system says, of whole factors or of each neuron. It returns
// what it has turned, by class and neuron.
func (g *regauge) commonSigns(each bool) (flips [][][]bool) {
	u := g.unknowns(each, func(c, f int) bool { return g.p.classes[c].Factors[f].Flips() })
	if u.count == 0 || each && (u.count > maxUnknowns || g.size() > maxCommon) {
		return nil
	}
	list := g.parts(u, func(_ int, odd bool, _ int) int {
		if odd {
			return 1
		}
		return 0
	}, false)
	if len(list) > maxParts || !slices.ContainsFunc(list, func(p *part) bool { return p.turns > 0 }) {
		return nil
	}
	slices.SortStableFunc(list, func(a, b *part) int { return cmp.Compare(max(b.turns, -b.turns), max(a.turns, -a.turns)) })
	turned := solveSigns(list, u.count)
	for c := range g.p.classes {
		x := &g.p.classes[c]
		of := make([][]bool, x.Size)
		for i := range x.Size {
			of[i] = make([]bool, len(x.Factors))
			for f := range x.Factors {
				k := u.of(c, f, i)
				of[i][f] = k >= 0 && turned[k]
			}
			g.turn(c, i, of[i])
		}
		flips = append(flips, of)
	}
	return flips
}

// solveSigns returns which unknowns are negative; what no equation tells is not.
func solveSigns(list []*part, count int) []bool {
	words := (count + 64) / 64 // the result is unknown number count
	pivots := make([][]uint64, count)
	set := func(row []uint64, k int) { row[k/64] ^= 1 << (k % 64) }
	for _, p := range list {
		if p.turns == 0 {
			continue
		}
		row := make([]uint64, words)
		for _, x := range p.terms {
			set(row, x.unknown)
		}
		if p.turns > 0 {
			set(row, count)
		}
		for {
			k := slices.IndexFunc(row, func(w uint64) bool { return w != 0 })
			if k < 0 {
				break
			}
			if k = k*64 + bits.TrailingZeros64(row[k]); k == count {
				break // it contradicts those before
			}
			if pivots[k] == nil {
				pivots[k] = row
				break
			}
			for w := range row {
				row[w] ^= pivots[k][w]
			}
		}
	}
	out := make([]bool, count)
	for k := count - 1; k >= 0; k-- {
		if pivots[k] == nil {
			continue
		}
		odd := pivots[k][count/64]>>(count%64)&1 == 1
		for j := k + 1; j < count; j++ {
			odd = odd != (pivots[k][j/64]>>(j%64)&1 == 1 && out[j])
		}
		out[k] = odd
	}
	return out
}

// commonLogs multiplies whole factors as the system says. It returns the largest step.
func (g *regauge) commonLogs() float64 {
	u := g.unknowns(false, func(c, f int) bool { return g.p.classes[c].Factors[f].Scales() })
	if u.count == 0 || u.count > maxUnknowns/4 {
		return 0
	}
	list := g.parts(u, func(_ int, _ bool, power int) int { return power }, true)
	slices.SortStableFunc(list, func(a, b *part) int { return cmp.Compare(len(b.logs), len(a.logs)) })
	steps := solveLogs(list, u.count)
	most := 0.0
	for c := range g.p.classes {
		x := &g.p.classes[c]
		own := make([]float64, len(x.Factors))
		some := false
		for f := range own {
			if k := u.of(c, f, 0); k >= 0 {
				own[f] = steps[k]
				some = some || own[f] != 0
				most = max(most, math.Abs(own[f]))
			}
		}
		for i := range x.Size {
			if some {
				g.apply(c, i, own)
			}
		}
	}
	return most
}

// solveLogs returns the logarithms of unknowns; what no equation tells is 0.
func solveLogs(list []*part, count int) []float64 {
	const small = 1e-9
	pivots := make([][]float64, count)
	for _, p := range list {
		if len(p.logs) == 0 {
			continue
		}
		row := make([]float64, count+1)
		for _, x := range p.terms {
			row[x.unknown] += float64(x.power)
		}
		slices.Sort(p.logs)
		row[count] = p.logs[len(p.logs)/2]
		for k := range count {
			if math.Abs(row[k]) < small {
				row[k] = 0
				continue
			}
			if pivots[k] == nil {
				pivots[k] = row
				break
			}
			q := row[k] / pivots[k][k]
			for j := k; j <= count; j++ {
				row[j] -= q * pivots[k][j]
			}
		}
	}
	out := make([]float64, count)
	for k := count - 1; k >= 0; k-- {
		if pivots[k] == nil {
			continue
		}
		s := pivots[k][count]
		for j := k + 1; j < count; j++ {
			s -= pivots[k][j] * out[j]
		}
		out[k] = s / pivots[k][k]
	}
	return out
}

// agreement adds up the weights of all votes, each times the share of its numbers that are not turned.
func (g *regauge) agreement() float64 {
	sum := 0.0
	var buf []float64
	for c := range g.p.classes {
		for i := range g.p.classes[c].Size {
			if !g.active[c] {
				continue
			}
			for _, v := range g.votes(c, i, &buf) {
				sum += v.weight * v.upright
			}
		}
	}
	return sum
}

// allSigns looks for signs neuron by neuron, and, as long as that leaves places that say
// otherwise, as a system.
func (g *regauge) allSigns() {
	g.signs()
	for _, each := range [...]bool{false, true} {
		before := g.agreement()
		saved := slices.Clone(g.scale)
		for c := range saved {
			saved[c] = slices.Clone(saved[c])
			for f := range saved[c] {
				saved[c][f] = slices.Clone(saved[c][f])
			}
		}
		if g.commonSigns(each) == nil {
			continue
		}
		g.signs()
		if g.agreement() <= before {
			g.turnTo(saved)
		}
	}
}

// turnTo brings signs back.
func (g *regauge) turnTo(scale [][][]float64) {
	for c := range g.p.classes {
		x := &g.p.classes[c]
		flip := make([]bool, len(x.Factors))
		for i := range x.Size {
			for f := range flip {
				flip[f] = (g.scale[c][f][i] < 0) != (scale[c][f][i] < 0)
			}
			g.turn(c, i, flip)
		}
	}
}
