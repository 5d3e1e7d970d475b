package planes

import (
	"encoding/binary"
	"math/bits"
)

// The rows of a weight matrix differ in scale, and so do its exponents. A plane
// is therefore seen as segments, and segments whose symbols have a similar mean
// may share a code that others do not use.
const (
	segment    = 128 // symbols
	segments   = chunk / segment
	maxClasses = 4
	buckets    = 16 // of segments by their mean, from which classes are joined
	minClassed = 2 * buckets * segment
	groups     = 64                  // of symbols
	classCost  = 35 * 8 << costShift // what a class costs beside its symbols, about
)

// A classing assigns a class to each segment of a plane.
type classing struct {
	n    int // of classes
	of   [segments]uint8
	cost uint64
}

// classify finds the classes of a plane that cost least, which may be just one.
// Of a large plane it counts a sample.
func (cl *classing) classify(plane []byte) {
	every := 1 << bits.Len(uint(len(plane)>>16))
	var hist [buckets]histogram
	cl.bucket(plane, every, &hist)

	// To compare classes, similar symbols may count as one if they are many.
	var all histogram
	for i := range hist {
		all.add(&hist[i])
	}
	var grouped [buckets + 1][groups]uint32 // the last one: all
	used, of := all.rank()
	fine := uint64(0)
	for s, n := range all {
		fine += nlogn(n)
		g := int(of[s])
		if used > groups {
			g = g * groups / used
		}
		g %= groups
		for i := range hist {
			grouped[i][g] += hist[i][s]
		}
		grouped[buckets][g] += n
	}
	coarse := uint64(0)
	for _, n := range grouped[buckets] {
		coarse += nlogn(n)
	}

	// cost[i][j] is that of a class of the buckets from i up to j.
	var cost [buckets][buckets + 1]uint64
	for i := range buckets {
		var h [groups]uint32
		total := uint32(0)
		for j := i; j < buckets; j++ {
			parts := uint64(0)
			for g, n := range grouped[j][:min(used, groups)] {
				total += n
				h[g] += n
				parts += nlogn(h[g])
			}
			cost[i][j+1] = (nlogn(total)-parts)*uint64(every) + classCost
		}
	}
	// best[k][j] is the least cost of k+1 classes for the buckets up to j, the
	// last of which begins at from[k][j].
	var best [maxClasses][buckets + 1]uint64
	var from [maxClasses][buckets + 1]int
	best[0] = cost[0]
	cl.n, cl.cost = 1, cost[0][buckets]
	ids := uint64(len(plane)/segment) << (costShift + 1)
	for k := 1; k < maxClasses; k++ {
		for j := k + 1; j <= buckets; j++ {
			best[k][j] = 1 << 63
			for i := k; i < j; i++ {
				if b := best[k-1][i] + cost[i][j]; b < best[k][j] {
					best[k][j], from[k][j] = b, i
				}
			}
		}
		if b := best[k][buckets] + ids; b < cl.cost {
			cl.n, cl.cost = k+1, b
		}
	}
	cl.cost += (coarse - fine) * uint64(every)
	var class [buckets]uint8
	for k, j := cl.n-1, buckets; k >= 0; k-- {
		i := from[k][j]
		for b := i; b < j; b++ {
			class[b] = uint8(k)
		}
		j = i
	}
	for i, b := range cl.of {
		cl.of[i] = class[b%buckets]
	}
}

// bucket splits the segments in buckets of about the same size by the mean of
// their symbols, and counts the symbols of each in every so many words.
func (cl *classing) bucket(plane []byte, every int, hist *[buckets]histogram) {
	const grain = 8
	var sums [segments]uint16
	var ranks [segment*255/grain + 1]uint16 // first how many segments have a sum
	n := (len(plane) + segment - 1) / segment
	for i := range n {
		sums[i] = mean(plane[i*segment:min((i+1)*segment, len(plane))]) / grain
		ranks[sums[i]]++
	}
	seen := 0
	for i, r := range ranks {
		ranks[i] = uint16(seen * buckets / n)
		seen += int(r)
	}
	for i := range n {
		cl.of[i] = uint8(ranks[sums[i]])
		h := &hist[cl.of[i]%buckets]
		part := plane[i*segment : min((i+1)*segment, len(plane))]
		for ; len(part) >= 8*every; part = part[8*every:] {
			v := binary.LittleEndian.Uint64(part)
			h[v&255]++
			h[v>>8&255]++
			h[v>>16&255]++
			h[v>>24&255]++
			h[v>>32&255]++
			h[v>>40&255]++
			h[v>>48&255]++
			h[v>>56]++
		}
		for _, x := range part {
			h[x]++
		}
	}
}

// mean returns the mean of the symbols of a segment, times the symbols of a
// whole one.
func mean(part []byte) uint16 {
	n := len(part)
	var s uint64 // four sums: 32 symbols come to less than 2^16
	for ; len(part) >= 8; part = part[8:] {
		v := binary.LittleEndian.Uint64(part)
		s += v&even + v>>8&even
	}
	s = s * 0x0001000100010001 >> 48
	if n == segment {
		return uint16(s)
	}
	for _, x := range part {
		s += uint64(x)
	}
	return uint16(s * segment / uint64(n))
}

// gather appends the segments of class k.
func (cl *classing) gather(dst, plane []byte, k int) []byte {
	for i := 0; i*segment < len(plane); i++ {
		if int(cl.of[i]) == k {
			dst = append(dst, plane[i*segment:min((i+1)*segment, len(plane))]...)
		}
	}
	return dst
}
