package dataset

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Subset returns the examples of s with the given indices, in that order. The slice
// is kept.
func Subset(s Source, indices []int) (Source, error) {
	for k, i := range indices {
		if i < 0 || i >= s.Len() {
			return nil, fmt.Errorf("index %d of a subset is %d; want 0 to %d", k, i, s.Len()-1)
		}
	}
	return &subset{s, indices}, nil
}

type subset struct {
	Source
	indices []int
}

func (s *subset) Len() int { return len(s.indices) }

func (s *subset) Label(i int) int { return s.Source.Label(s.indices[i]) }

func (s *subset) Example(i int, dst []float32) error { return s.Source.Example(s.indices[i], dst) }

func (s *subset) black() []float32 { return blackOf(s.Source) }

// First returns the first n examples of s, or all of them if there are fewer.
func First(s Source, n int) Source {
	return &subset{s, count(min(max(n, 0), s.Len()))}
}

// Shuffle returns the examples of s in an order that follows from the seed.
func Shuffle(s Source, seed uint64) Source {
	return &subset{s, order(s.Len(), seed, shuffleEpoch)}
}

// Split takes a part of the examples of every class away: off has the given
// fraction of them, rounded to whole examples, and kept the rest, both in the order
// of s. Which examples go follows from the seed.
func Split(s Source, fraction float64, seed uint64) (kept, off Source, err error) {
	if !(fraction > 0 && fraction < 1) {
		return nil, nil, fmt.Errorf("cannot split off the fraction %v; want more than 0 and less than 1", fraction)
	}
	classes := map[int][]int{}
	for _, i := range order(s.Len(), seed, splitEpoch) {
		classes[s.Label(i)] = append(classes[s.Label(i)], i)
	}
	var a, b []int
	for _, of := range classes {
		n := int(fraction*float64(len(of)) + 0.5)
		b = append(b, of[:n]...)
		a = append(a, of[n:]...)
	}
	if len(a) == 0 || len(b) == 0 {
		return nil, nil, fmt.Errorf("splitting the fraction %v off %d examples leaves nothing on one side", fraction, s.Len())
	}
	slices.Sort(a)
	slices.Sort(b)
	return &subset{s, a}, &subset{s, b}, nil
}

func count(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// Epochs that no training has, for orders that are no epoch's.
const (
	shuffleEpoch = 1<<64 - 1 - iota
	splitEpoch
)

// order is a random order of n examples that follows from seed and epoch.
func order(n int, seed, epoch uint64) []int {
	list := count(n)
	rng := random(seed, epoch, orderIndex)
	rng.Shuffle(n, func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// orderIndex is an index that no example has.
const orderIndex = 1<<64 - 1

// random returns a stream of numbers that follows from seed, epoch and the index of
// an example, and has nothing to do with that of any other.
func random(seed, epoch, index uint64) *rand.Rand {
	return rand.New(rand.NewPCG(mixed(mixed(seed)^epoch), mixed(mixed(index)+seed)))
}

// mixed is the finalizer of SplitMix64: a bijection without visible structure.
func mixed(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
