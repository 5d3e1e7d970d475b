package mark

import (
	"fmt"

	"ropewalk/tensor"
)

// Residuals make of a tensor of a suspect, and of what is kept of the unmarked reference,
// the numbers that are held against the signs of a key, one for each number of the tensor.
// They may be any function of the two, but must know nothing of the key: that is all the
// proof of [Bound] asks for. A tensor of which nothing is kept is a [SkipError].
type Residuals func(t *tensor.Tensor) ([]float32, error)

// A SkipError says why a tensor is not read.
type SkipError struct{ Reason string }

// Error implements error.
func (e *SkipError) Error() string { return e.Reason }

// ExtractFrom reads a mark of scheme keyed, payload or grid where something else than the
// reference itself is there to compare with, such as its sketches. The suspect is in the
// order of the network that was marked. If all tensors were skipped, the error is an
// [ErrNetwork].
func ExtractFrom(suspect *tensor.Set, residuals Residuals, s Secrets, p *Parameters) (*Reading, error) {
	var r *Reading
	var err error
	switch {
	case p.Scheme == uchida{}.Name():
		return nil, fmt.Errorf("%w: scheme uchida is read without a reference, and from no residuals", ErrOptions)
	case p.Bits > 0:
		r, err = readPayload(suspect, s, p, residuals)
	default:
		r, _, err = readSigns(suspect, s, p, 0, residuals)
	}
	if err == nil && len(r.Skipped) == len(r.Layers) {
		return nil, fmt.Errorf("%w: of none of the %d marked tensors there is anything to compare with: %s: %s", ErrNetwork, len(r.Layers), r.Skipped[0].Tensor, r.Skipped[0].Reason)
	}
	return r, err
}

// Amplitude is about how large the mark of p is in a tensor, in the tensor's units: what
// makers of [Residuals] weigh tensors by.
func Amplitude(t *tensor.Tensor, p *Parameters) (float64, error) {
	x, err := floats(t)
	if err != nil {
		return 0, err
	}
	deviation := momentsOf(x).deviation
	if p.Epsilon > 0 {
		return p.Epsilon * deviation, nil
	}
	return assumedMoves * deviation, nil
}

// assumedMoves is the root of the share of weights that scheme grid moves, if it is not
// known.
const assumedMoves = 0.05
