package planes

import (
	"bytes"
	"math/rand"
	"testing"

	"pgregory.net/rapid"
)

// startLanes returns the lanes of a coded Huffman plane of n symbols, as
// decodeHuffman makes them.
func startLanes(t *testing.T, coded []byte, n int) (in []byte, c code, lanes [streams]lane) {
	t.Helper()
	in, err := c.read(coded)
	if err != nil {
		t.Fatal(err)
	}
	w := sizeBytes(n)
	sizes := in[:streams*w]
	in = in[streams*w:]
	bit := 0
	for k := range lanes {
		size := 0
		for i := range w {
			size |= int(sizes[k*w+i]) << (8 * i)
		}
		from, to := quarter(n, k)
		lanes[k] = lane{uint64(bit), uint64(bit + 8*size), uint64(from), uint64(to)}
		bit += 8 * size
	}
	return in, c, lanes
}

// Nearly all of a full block goes through the loop over four lanes, with more
// than three symbols for a look-up on average: that the slow ends give the same must not
// hide that they are used.
func TestFastPathRuns(t *testing.T) {
	for _, kind := range []int{0, 1} {
		plane := exponents(kind)
		var h histogram
		h.count(plane)
		var c code
		c.build(&h)
		var e Encoder
		var b builder
		var out buffer
		in, c, lanes := startLanes(t, e.appendHuffman(nil, plane, &c), chunk)
		decodeLanes(&out, in, b.build(&c, chunk), &lanes)
		for k, l := range lanes {
			if l.end-l.at > chunk/streams/10 {
				t.Errorf("%s, lane %d: %d of %d symbols are left", textures[kind].name, k, l.end-l.at, chunk/streams)
			}
		}
		for k := range streams {
			from, to := quarter(chunk, k)
			to -= int(lanes[k].end - lanes[k].at)
			if !bytes.Equal(out[from:to], plane[from:to]) {
				t.Errorf("%s, lane %d: wrong symbols", textures[kind].name, k)
			}
		}
		// A window is looked up as often as it is likely, 1 in 2^maxBits.
		given := 0
		for _, e := range b.build(&c, chunk) {
			given += int(e / oneSymbol)
		}
		if given < 3<<maxBits {
			t.Errorf("%s: %d symbols in a table of %d entries", textures[kind].name, given, 1<<maxBits)
		}
	}
}

// A table gives what looking for one symbol after another gives.
func TestTable(t *testing.T) {
	var b builder
	rapid.Check(t, func(t *rapid.T) {
		var c code
		c.build(drawHistogram(t))
		first := *b.build(&c, 1)
		for w, e := range b.build(&c, chunk) {
			have, n := uint(0), 0
			for ; n < maxSymbols; n++ {
				next := first[w>>have]
				if have+next.bits() > maxBits {
					break
				}
				if byte(e>>(8*n)) != byte(next) {
					t.Fatalf("window %#x: symbol %d is %d, want %d", w, n, byte(e>>(8*n)), byte(next))
				}
				have += next.bits()
			}
			if e.bits() != have || int(e/oneSymbol) != n {
				t.Fatalf("window %#x: %d symbols in %d bits, want %d in %d", w, e/oneSymbol, e.bits(), n, have)
			}
		}
	})
}

// Words written in pairs are those written one after another.
func TestPairs(t *testing.T) {
	var e Encoder
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		first := rapid.IntRange(0, 192).Draw(t, "first")
		plane := make([]byte, rapid.IntRange(64, 1000).Draw(t, "n"))
		for i := range plane {
			plane[i] = byte(first + min(int(r.ExpFloat64()*8), 63))
		}
		plane[0], plane[1] = byte(first), byte(first+63)
		var h histogram
		h.count(plane)
		var c code
		c.build(&h)
		var words [256]word
		c.words(func(sym int, bits uint16, length uint8) { words[sym] = word(bits)<<8 | word(length) })
		e.pairs.make((*[64]word)(words[first:]))
		one := output{b: make([]byte, 2*len(plane)+16)}
		one.write(plane, &words)
		two := output{b: make([]byte, 2*len(plane)+16)}
		two.write(two.writePairs(plane, byte(first), &e.pairs), &words)
		if !bytes.Equal(one.b[:one.at], two.b[:two.at]) {
			t.Fatal("streams differ")
		}
	})
}
