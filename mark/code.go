package mark

import (
	"math"
	"slices"
)

// The error-correcting code of payloads is two codes, one inside of the other:
//
//	message ── blocks of at most 8 bytes ── Reed–Solomon, rate 1/3 ── symbols
//	symbol, 8 bits ── biorthogonal code ── 128 chips of ±1
//
// The inner one turns many very noisy chips into one correlation for each of 256
// values, by a fast Walsh–Hadamard transform. The outer one is decoded softly: any k
// symbols of a block name all others, so the most reliable ones are believed, with their
// two best values each, and the block that correlates best with all chips wins. That comes
// close to the best decoder there is, which a decoder of hard symbols, as libraries have,
// does not; and the runner-up shows mixtures of copies.

// chipsPerSymbol is the length of the biorthogonal code for 8 bits.
const chipsPerSymbol = 128

// maxBlock bounds the bytes of a block: 2^8 candidates are tried for a set of symbols.
const maxBlock = 8

// codeRate is the symbols of a block for each byte.
const codeRate = 3

// A layout says how a message is cut: the bytes of each block.
type blocks []int

// blocksOf cuts n bytes into as few blocks as there can be, of nearly equal size.
func blocksOf(n int) blocks {
	count := (n + maxBlock - 1) / maxBlock
	b := make(blocks, count)
	for i := range b {
		b[i] = n * (i + 1) / count
		b[i] -= n * i / count
	}
	return b
}

// symbols is the number of all symbols.
func (b blocks) symbols() int {
	n := 0
	for _, k := range b {
		n += codeRate * k
	}
	return n
}

// chips is the number of all chips.
func (b blocks) chips() int { return b.symbols() * chipsPerSymbol }

// encode returns the chips of a message. Symbols of blocks stand one after another.
func (b blocks) encode(message []byte) []int8 {
	chips := make([]int8, 0, b.chips())
	for _, k := range b {
		for _, s := range spread(message[:k]) {
			chips = appendChips(chips, s)
		}
		message = message[k:]
	}
	return chips
}

// appendChips appends the biorthogonal code of a symbol: row s%128 of the Hadamard matrix
// of Sylvester, negated if the highest bit is set.
func appendChips(dst []int8, s byte) []int8 {
	for t := range chipsPerSymbol {
		dst = append(dst, 1-2*int8(parity(int(s&127)&t)^int(s>>7)))
	}
	return dst
}

func parity(x int) int {
	x ^= x >> 4
	x ^= x >> 2
	x ^= x >> 1
	return x & 1
}

// transform is the Walsh–Hadamard transform, in place: x[v] becomes the sum of x[t]
// times chip t of symbol v.
func transform(x *[chipsPerSymbol]float64) {
	for h := 1; h < len(x); h *= 2 {
		for i := 0; i < len(x); i += 2 * h {
			for j := i; j < i+h; j++ {
				x[j], x[j+h] = x[j]+x[j+h], x[j]-x[j+h]
			}
		}
	}
}

// The field GF(256) with the polynomial x^8 + x^4 + x^3 + x^2 + 1, of which x is a
// primitive element.
var (
	gfPower [510]byte
	gfLog   [256]int
)

func init() {
	x := 1
	for i := range 255 {
		gfPower[i], gfPower[i+255] = byte(x), byte(x)
		gfLog[x] = i
		if x <<= 1; x > 255 {
			x ^= 0x11d
		}
	}
}

func gfMul(a, b byte) byte {
	if a == 0 || b == 0 {
		return 0
	}
	return gfPower[gfLog[a]+gfLog[b]]
}

func gfDiv(a, b byte) byte { // b is not 0
	if a == 0 {
		return 0
	}
	return gfPower[gfLog[a]+255-gfLog[b]]
}

// spread returns the 3k symbols of k bytes: the values at 0, 1, 2, … of the polynomial
// of degree below k that has the bytes at 0 to k-1.
func spread(data []byte) []byte {
	at := make([]int, len(data))
	for i := range at {
		at[i] = i
	}
	return interpolate(newBasis(at, codeRate*len(data)), data)
}

// newBasis returns Lagrange's basis for the places at: basis[t][i] is what the value at
// place at[i] counts in the one at place t, for t below n. Places differ.
func newBasis(at []int, n int) [][]byte {
	basis := make([][]byte, n)
	for t := range basis {
		basis[t] = make([]byte, len(at))
		for i, a := range at {
			v := byte(1)
			for j, b := range at {
				if j != i {
					v = gfMul(v, gfDiv(byte(t^b), byte(a^b)))
				}
			}
			basis[t][i] = v
		}
	}
	return basis
}

func interpolate(basis [][]byte, values []byte) []byte {
	out := make([]byte, len(basis))
	for t, row := range basis {
		for i, b := range row {
			out[t] ^= gfMul(b, values[i])
		}
	}
	return out
}

// A candidate is what a block may say.
type candidate struct {
	data  []byte
	score float64 // correlation with the chips
}

// correlations returns for each symbol and each of its values the sum of the chips with
// their signs.
func (b blocks) correlations(chips []float64) [][256]float64 {
	out := make([][256]float64, b.symbols())
	for s := range out {
		x := [chipsPerSymbol]float64(chips[s*chipsPerSymbol:])
		transform(&x)
		for v, c := range x {
			out[s][v], out[s][v+128] = c, -c
		}
	}
	return out
}

// decode returns the best few candidates for each block, the best first. squares has for
// each chip the sum of squares that its correlation is of.
func (b blocks) decode(chips, squares []float64, keep int) [][]candidate {
	all := b.correlations(chips)
	out := make([][]candidate, len(b))
	for i, k := range b {
		n := codeRate * k
		energy := 0.0
		for _, q := range squares[:n*chipsPerSymbol] {
			energy += q
		}
		out[i] = decodeBlock(all[:n], k, keep, energy)
		all, squares = all[n:], squares[n*chipsPerSymbol:]
	}
	return out
}

// Sets of symbols are believed in turn: so many at least, and until so many candidates
// were tried if none of them is certain by then.
const (
	leastRounds    = 96
	mostCandidates = 1 << 17
)

func decodeBlock(symbols [][256]float64, k, keep int, energy float64) []candidate {
	type pick struct {
		best, next    byte
		first, margin float64
	}
	n := len(symbols)
	picks := make([]pick, n)
	order := make([]int, n)
	for s := range symbols {
		p := pick{first: math.Inf(-1)}
		second := math.Inf(-1)
		for v, c := range symbols[s] {
			switch {
			case c > p.first:
				p.next, second = p.best, p.first
				p.best, p.first = byte(v), c
			case c > second:
				p.next, second = byte(v), c
			}
		}
		p.margin = p.first - second
		picks[s], order[s] = p, s
	}
	// By the best correlation and not by the margin: of a mixture of two copies both
	// values of a symbol are good.
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case picks[a].first > picks[b].first:
			return -1
		case picks[a].first < picks[b].first:
			return 1
		}
		return a - b
	})
	var best []candidate
	consider := func(basis [][]byte, values []byte) {
		score := 0.0
		for t, row := range basis {
			var v byte
			for i, f := range row {
				v ^= gfMul(f, values[i])
			}
			score += symbols[t][v]
		}
		if len(best) == keep && score <= best[keep-1].score {
			return
		}
		data := interpolate(basis[:k], values)
		for _, c := range best {
			if slices.Equal(c.data, data) {
				return
			}
		}
		at := 0
		for at < len(best) && best[at].score >= score {
			at++
		}
		best = slices.Insert(best, at, candidate{data, score})
		best = best[:min(len(best), keep)]
	}
	values := make([]byte, k)
	at := make([]int, k)
	random := uint64(1)
	rounds := max(leastRounds, mostCandidates>>k)
	for round := range rounds {
		if round >= leastRounds && Bound(best[0].score/math.Sqrt(energy))+float64(8*k)*log10of2 <= ThresholdCommitted {
			break
		}
		// The most reliable symbols, and then ever wider choices among them.
		if round == 0 {
			copy(at, order)
		} else {
			width := min(n, k+1+round*n/leastRounds)
			perm := slices.Clone(order[:width])
			for i := range k {
				random = random*6364136223846793005 + 1442695040888963407
				j := i + int(random>>33)%(width-i)
				perm[i], perm[j] = perm[j], perm[i]
			}
			copy(at, perm)
		}
		basis := newBasis(at, n)
		for mask := range 1 << k {
			for i, s := range at {
				values[i] = picks[s].best
				if mask>>i&1 == 1 {
					values[i] = picks[s].next
				}
			}
			consider(basis, values)
		}
	}
	return best
}
