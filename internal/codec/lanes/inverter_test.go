package lanes

import (
	"math/bits"
	"math/rand"
	"testing"
)

// What an alias table says of each slot leads back to the slot.
func TestInverter(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for _, n := range []int{2, 3, 4, 5, 16, 31, 100, 255, 256} {
		for range 20 {
			var v inverter
			v.freqs = make([]uint16, n)
			left := total
			for i := range v.freqs {
				v.freqs[i] = 1
				left--
			}
			for left > 0 { // a few large ones, and many small ones
				i := r.Intn(1 + r.Intn(n))
				k := 1 + r.Intn(left)
				v.freqs[i] += uint16(k)
				left -= k
			}
			buckets := uint(bits.Len(uint(n - 1)))
			v.cellBits = totalBits - buckets
			v.alias = make([][2]uint64, 1<<buckets)
			symbols := make([]inverseSymbol, n)
			v.add(symbols, v.builder.alias(v.alias, v.freqs, buckets))
			seen := make([]uint32, n)
			for slot := range uint32(total) {
				bucket, place := slot>>v.cellBits, slot&(1<<v.cellBits-1)
				e := v.alias[bucket][0]
				if uint64(place) >= e>>48 {
					e = v.alias[bucket][1]
				}
				symbol := e >> 32 & 0xffff
				place = (uint32(e) + place) & 0xffff
				seen[symbol]++
				s := &symbols[symbol]
				if place >= s.freq {
					t.Fatalf("%d symbols: slot %d is place %d of %d", n, slot, place, s.freq)
				}
				j := v.cells[s.cells+place>>v.cellBits]
				for place >= uint32(v.pieces[j].end) {
					j++
				}
				if got := (place + uint32(v.pieces[j].add)) & (total - 1); got != slot {
					t.Fatalf("%d symbols: place %d of symbol %d has slot %d, want %d", n, place, symbol, got, slot)
				}
			}
			for i, f := range v.freqs {
				if seen[i] != uint32(f) || symbols[i].freq != uint32(f) {
					t.Fatalf("%d symbols: symbol %d has %d slots and frequency %d, want %d", n, i, seen[i], symbols[i].freq, f)
				}
			}
		}
	}
}

// Multiplication by an inverse is division, for all frequencies and states.
func TestInverse(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for f := uint64(1); f <= total; f++ {
		inverse := ^uint64(0) / f
		check := func(x uint64) {
			if got, _ := bits.Mul64(x+1, inverse); got != x/f {
				t.Fatalf("%d / %d is %d, want %d", x, f, got, x/f)
			}
		}
		check(0)
		check(1<<32 - 1)
		for range 20 {
			q := uint64(r.Intn(int((1<<32-1)/f))) * f
			check(q)
			check(q + f - 1)
			check(uint64(r.Uint32()))
		}
	}
}
