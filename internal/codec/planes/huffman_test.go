package planes

import (
	"math"
	"math/rand"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// exponents returns the top plane of a block of bfloat16 weights.
func exponents(kind int) []byte {
	plane := make([]byte, chunk)
	extract(plane, texture(kind, chunk, 2, 1), 2, 1, Rotate)
	return plane
}

// drawHistogram draws counts of at least two symbols.
func drawHistogram(t *rapid.T) *histogram {
	r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
	symbols := rapid.IntRange(2, 256).Draw(t, "symbols")
	steep := rapid.Float64Range(0, 3).Draw(t, "steep")
	var h histogram
	for i, s := range r.Perm(256)[:symbols] {
		h[s] = 1 + uint32(100000*math.Exp(-steep*float64(i))*r.Float64())
	}
	return &h
}

// cost returns the bits of all words.
func (c *code) cost(h *histogram) (bits int) {
	for s, n := range h {
		bits += int(n) * int(c[s])
	}
	return bits
}

// plainHuffman returns the cost of an optimal code without a limit, and its
// longest word: the classic way, merging the two least again and again.
func plainHuffman(h *histogram) (cost, longest int) {
	type node struct{ count, depth int }
	var nodes []node
	for _, n := range h {
		if n > 0 {
			nodes = append(nodes, node{int(n), 0})
		}
	}
	takeLeast := func() node {
		least := 0
		for i, n := range nodes {
			if n.count < nodes[least].count || n.count == nodes[least].count && n.depth < nodes[least].depth {
				least = i
			}
		}
		n := nodes[least]
		nodes = append(nodes[:least], nodes[least+1:]...)
		return n
	}
	for len(nodes) > 1 {
		a, b := takeLeast(), takeLeast()
		cost += a.count + b.count
		nodes = append(nodes, node{a.count + b.count, max(a.depth, b.depth) + 1})
	}
	return cost, nodes[0].depth
}

// A code is complete, has no word longer than allowed, and none is shorter in
// sum, unless it has longer words.
func TestCodeIsOptimal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistogram(t)
		var c code
		c.build(h)
		space := 0
		for s, l := range c {
			if l > maxBits || l > 0 != (h[s] > 0) {
				t.Fatalf("symbol %d, which occurs %d times, has a word of %d bits", s, h[s], l)
			}
			if l > 0 {
				space += 1 << (maxBits - l)
			}
		}
		if space != 1<<maxBits {
			t.Fatalf("words take %d of %d", space, 1<<maxBits)
		}
		least, longest := plainHuffman(h)
		if got := c.cost(h); got < least || longest <= maxBits && got != least {
			t.Fatalf("%d bits, the least without a limit is %d", got, least)
		}
	})
}

func TestLengthsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c, got code
		c.build(drawHistogram(t))
		rest, err := got.read(append(c.append(nil), "rest"...))
		if err != nil || string(rest) != "rest" {
			t.Fatalf("%q, %v", rest, err)
		}
		if diff := cmp.Diff(c, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A plane of exponents takes 1.5 % more than its entropy at most, with all that
// is needed to read it; less than its entropy if rows differ.
func TestNearEntropy(t *testing.T) {
	for kind, most := range []float64{1.015, 0.97} {
		plane := exponents(kind)
		var h histogram
		h.count(plane)
		entropy := 0.0
		for _, n := range h {
			if n > 0 {
				entropy -= float64(n) / 8 * math.Log2(float64(n)/chunk)
			}
		}
		var e Encoder
		var p plan
		p.make(plane, true)
		if got := float64(len(e.appendPlane(nil, plane, &p))); got > entropy*most {
			t.Errorf("%s: %.0f bytes, entropy is %.0f", textures[kind].name, got, entropy)
		}
	}
}

// The estimate of a code's size is what it takes, or up to a few bytes more.
func TestSize(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plane := make([]byte, rapid.IntRange(2, 40000).Draw(t, "n"))
		r := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		for i := range plane {
			plane[i] = byte(r.ExpFloat64() * 10)
		}
		plane[0] = ^plane[1]
		var h histogram
		h.count(plane)
		var c code
		c.build(&h)
		var e Encoder
		if got, size := len(e.appendHuffman(nil, plane, &c)), c.size(&h); got > size || got < size-streams {
			t.Fatalf("%d bytes, estimate %d", got, size)
		}
	})
}
