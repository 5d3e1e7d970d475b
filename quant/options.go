package quant

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// MaxLevels bounds a codebook, as the coders do.
const MaxLevels = 4096

// ErrOptions reports options that no tensor, or not this one, can be quantized
// with. [errors.Is] finds it in an error that says which and why.
var ErrOptions = errors.New("quant: impossible options")

// impossible returns an error that is ErrOptions and says just what is wrong.
func impossible(format string, args ...any) error {
	return &optionsError{fmt.Errorf(format, args...)}
}

type optionsError struct{ why error }

func (e *optionsError) Error() string   { return e.why.Error() }
func (e *optionsError) Unwrap() []error { return []error{ErrOptions, e.why} }

// A Method is a way to choose levels.
type Method string

// The methods.
const (
	// Uniform has levels at the multiples of a step, a dead zone around zero
	// and, where they pay for their storage, the centroids instead of the
	// multiples. It is the default: see the table in the package comment.
	Uniform Method = "uniform"
	// Lloyd has the levels of least distortion on the data.
	Lloyd Method = "lloyd"
	// LloydGaussian has the levels of least distortion for a Gaussian with
	// the tensor's mean and variance, as HEMP.
	LloydGaussian Method = "lloyd-gaussian"
	// ECSQ has the levels and cells of least D + lambda·R by the order-0 code.
	// That is 0.05 to 0.8 % lower than Uniform, less with a real coder, and
	// its levels are never multiples, so its codebooks are larger.
	ECSQ Method = "ecsq"
	// Codebook has the user's levels, and takes the nearest.
	Codebook Method = "codebook"
)

// Options say how to quantize. The zero value, or a nil pointer, is Uniform with
// a step of half the scale. At most one of Step, Bits and Lambda may be set.
type Options struct {
	Method Method `json:"method,omitempty"` // default Uniform

	// Levels is the largest number of levels, 1 to 4096. Default: 16 for the
	// two Lloyds, unless Bits says more; else 4096. Uniform and ECSQ without
	// Step, Bits and Lambda have the least distortion with that many.
	Levels int `json:"levels,omitempty"`

	// Step is the distance of levels, in units of the scale of each tensor
	// (or channel): the root of the mean square. Uniform only; ECSQ starts there.
	Step float64 `json:"step,omitempty"`

	// Bits is the mean number of bits per weight, by the ideal order-0 code
	// of each tensor; real coders need fewer.
	Bits float64 `json:"bits,omitempty"`

	// Lambda is how much distortion a bit is worth: see the package comment
	// for its unit. 0.03 belongs to a step of half the scale, and four times as much
	// to twice the step.
	Lambda float64 `json:"lambda,omitempty"`

	// Rounding is the fraction below which a weight between two multiples of
	// the step goes to the one farther from zero, minus one: 0.5 takes the
	// nearest, less makes a dead zone. In (0, 0.5]; default: the best. Uniform only.
	Rounding float64 `json:"rounding,omitempty"`

	// PerChannel gives each output channel (index of axis 0) a scale of its
	// own; levels are integers. Uniform only; tensors of one axis have one scale.
	PerChannel bool `json:"perChannel,omitempty"`

	// Codebook has the levels of the method Codebook, increasing.
	Codebook []float32 `json:"codebook,omitempty"`
}

const (
	defaultStep   = 0.5
	defaultLevels = 16 // of the Lloyds
)

// fill returns o with its defaults, or says what is wrong with it.
func (o *Options) fill() (Options, error) {
	var f Options
	if o != nil {
		f = *o
	}
	if f.Method == "" {
		f.Method = Uniform
	}
	if err := f.check(); err != nil {
		return f, impossible("%w", err)
	}
	lloyd := f.Method == Lloyd || f.Method == LloydGaussian
	switch {
	case f.Levels == 0 && lloyd && f.Bits == 0:
		f.Levels = defaultLevels
	case f.Levels == 0:
		f.Levels = MaxLevels
		if f.Method != Codebook && f.Step == 0 && f.Bits == 0 && f.Lambda == 0 {
			f.Step = defaultStep
		}
	}
	return f, nil
}

func (o *Options) check() error {
	if !slices.Contains([]Method{Uniform, Lloyd, LloydGaussian, ECSQ, Codebook}, o.Method) {
		return fmt.Errorf("there is no method %q", o.Method)
	}
	if o.Levels < 0 || o.Levels > MaxLevels {
		return fmt.Errorf("%d levels, want 1 to %d", o.Levels, MaxLevels)
	}
	set := 0
	for _, f := range []struct {
		name  string
		value float64
	}{{"step", o.Step}, {"bits", o.Bits}, {"lambda", o.Lambda}, {"rounding", o.Rounding}} {
		if !(f.value >= 0) || math.IsInf(f.value, 1) { // also true for NaN
			return fmt.Errorf("%s is %g, want a positive number", f.name, f.value)
		}
		if f.value > 0 && f.name != "rounding" {
			set++
		}
	}
	lloyd := o.Method == Lloyd || o.Method == LloydGaussian
	switch {
	case set > 1:
		return errors.New("at most one of step, bits and lambda can be met")
	case o.Rounding > 0.5:
		return fmt.Errorf("rounding is %g, want at most 0.5", o.Rounding)
	case o.Rounding > 0 && o.Method != Uniform:
		return fmt.Errorf("method %q has no rounding", o.Method)
	case o.PerChannel && o.Method != Uniform:
		return fmt.Errorf("method %q has no scale per channel", o.Method)
	case lloyd && (o.Step > 0 || o.Lambda > 0):
		return fmt.Errorf("method %q knows levels or bits only", o.Method)
	case o.Method != Codebook && len(o.Codebook) > 0:
		return fmt.Errorf("method %q has no codebook", o.Method)
	case o.Method != Codebook:
		return nil
	case set > 0 || o.Levels > 0:
		return errors.New("a codebook knows its levels and steps")
	case len(o.Codebook) == 0 || len(o.Codebook) > MaxLevels:
		return fmt.Errorf("a codebook of %d levels, want 1 to %d", len(o.Codebook), MaxLevels)
	}
	for i, l := range o.Codebook {
		if !finite(l) {
			return fmt.Errorf("level %d of the codebook is %g", i, l)
		}
		if i > 0 && !(o.Codebook[i-1] < l) {
			return fmt.Errorf("level %d of the codebook, %g, is not above level %d, %g", i, l, i-1, o.Codebook[i-1])
		}
	}
	return nil
}

// finite says no to NaN, too.
func finite(v float32) bool { return math.Abs(float64(v)) <= math.MaxFloat32 }
