package native

import (
	"cmp"
	"slices"
)

// A block is a piece of memory that is used from one time to another, both
// included, and at one more time if again is not 0.
type block struct {
	size     int // floats
	from, to int
	again    int
	offset   int
}

// meets reports whether both are in use at one time.
func (b *block) meets(p *block) bool {
	within := func(time int, b *block) bool { return time > 0 && (b.from <= time && time <= b.to || time == b.again) }
	return p.from <= b.to && b.from <= p.to || within(b.again, p) || within(p.again, b)
}

// arenaAlign is the grain of offsets in floats: a line of the cache, and a
// register of AVX-512.
const arenaAlign = 16

// arrange gives each block an offset such that no two blocks that are in use at
// one time overlap, and returns the size of the whole. It takes the largest block
// first and puts it as low as it goes: for networks that comes close to the
// greatest sum of sizes at one time, below which no plan can go.
func arrange(blocks []*block) int {
	order := slices.Clone(blocks)
	slices.SortStableFunc(order, func(a, b *block) int { return cmp.Compare(b.size, a.size) })
	var placed, near []*block // placed is in the order of offsets
	total := 0
	for _, b := range order {
		if b.size == 0 {
			continue
		}
		near = near[:0]
		for _, p := range placed {
			if p.meets(b) {
				near = append(near, p)
			}
		}
		at := 0
		for _, p := range near {
			if at+b.size <= p.offset {
				break
			}
			at = max(at, align(p.offset+p.size))
		}
		b.offset = at
		total = max(total, at+b.size)
		i, _ := slices.BinarySearchFunc(placed, at, func(p *block, at int) int { return cmp.Compare(p.offset, at) })
		placed = slices.Insert(placed, i, b)
	}
	return total
}

func align(n int) int { return (n + arenaAlign - 1) / arenaAlign * arenaAlign }
