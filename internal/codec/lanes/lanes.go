package lanes

import (
	"errors"
	"fmt"

	"ropewalk/internal/codec"
)

// MaxLevels bounds a codebook.
const MaxLevels = 4096

// ErrCorrupt reports coded bytes that no encoder writes.
var ErrCorrupt = errors.New("lanes: damaged block")

func corrupt(what string) error { return fmt.Errorf("%w: %s", ErrCorrupt, what) }

// check panics if the segments do not describe n symbols.
func check(n int, segs []codec.Segment) {
	for i, s := range segs {
		if s.Cols < 1 || s.Taps < 1 || s.Start < 0 || s.Len < 0 || len(s.Levels) < 1 || len(s.Levels) > MaxLevels {
			panic(fmt.Sprintf("lanes: bad segment %d: %d columns, %d taps, %d levels", i, s.Cols, s.Taps, len(s.Levels)))
		}
	}
	if t := codec.Total(segs); t != n {
		panic(fmt.Sprintf("lanes: segments of %d symbols, want %d", t, n))
	}
}

// A state is that of a lane: it holds at least lowState between symbols, and
// takes or gives words of 16 bits to remain below 2^32.
const (
	wordBits = 16
	lowState = 1 << wordBits
)

// startState returns the state that an encoder begins with, and so a decoder ends
// with. A lone lane begins with less than a word, which saves two bytes: its
// decoder can tell the end by the end of the words.
func startState(lanes int) uint32 {
	if lanes == 1 {
		return 1
	}
	return lowState
}
