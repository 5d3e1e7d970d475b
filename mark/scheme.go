package mark

import (
	"errors"
	"fmt"
	"math"
	"path"
	"runtime"
	"slices"
	"strings"

	"ropewalk/tensor"
)

// The errors that callers tell apart. Each is wrapped in one that says what and where.
var (
	// ErrNetwork reports tensors that a mark cannot be put into, or read from: other
	// names or shapes than those that were marked, numbers that are not finite.
	ErrNetwork = errors.New("mark: the network does not fit")
	// ErrCapacity reports a payload that is larger than what fits.
	ErrCapacity = errors.New("mark: the payload does not fit")
	// ErrBound reports a mark that would change the network more than is allowed.
	ErrBound = errors.New("mark: the mark would exceed the bound")
	// ErrOptions reports options that cannot be.
	ErrOptions = errors.New("mark: impossible options")
)

// A Scheme is a way to write a mark.
type Scheme interface {
	// Name is the word for it, as in [Parameters].
	Name() string
	// Plan chooses what is to be marked in a network, and how strongly: the public
	// parameters of a mark. Set is the unmarked network. The errors are [ErrNetwork],
	// [ErrCapacity], [ErrBound] and [ErrOptions].
	Plan(set *tensor.Set, key *Key, o *Options) (*Parameters, error)
	// Capacity returns how many bits of payload fit; 0 for a scheme that only says
	// whose it is.
	Capacity(set *tensor.Set, o *Options) (bits int, err error)
	// Cost predicts what a mark does to the network.
	Cost(set *tensor.Set, p *Parameters) (*Cost, error)
	// Embed writes the mark. What it returns is set with some tensors changed, which
	// may be computed when they are read, so set has to stay open.
	Embed(set *tensor.Set, key *Key, p *Parameters) (*Embedded, error)
	// Extract reads the mark in a suspect, whose neurons are in the order of the
	// network that was marked ([Align]). Reference is the unmarked network. Without it
	// (nil) uchida reads as well, keyed and payload weakly, and grid not at all. What is
	// known of the key may be a part of it.
	Extract(suspect, reference *tensor.Set, s Secrets, p *Parameters) (*Reading, error)
}

// Schemes returns all schemes, the default first.
func Schemes() []Scheme { return []Scheme{keyed{}, payload{}, grid{}, uchida{}} }

// Find returns the scheme of a name.
func Find(name string) (Scheme, error) {
	var names []string
	for _, s := range Schemes() {
		if s.Name() == name {
			return s, nil
		}
		names = append(names, s.Name())
	}
	return nil, fmt.Errorf("%w: there is no scheme %q, but %s", ErrOptions, name, strings.Join(names, ", "))
}

// Options say how to plan a mark. The zero value and nil are the default.
type Options struct {
	// Only has patterns, as of [path.Match], of names of tensors that may carry the
	// mark; none is all that are large enough: floats of at least two axes and
	// [MinWeights] values. Each has to match one.
	Only []string
	// Epsilon is the strength of keyed and payload: the change of each weight, in
	// standard deviations of its tensor. 0 is what MaxChange allows, at most [MaxEpsilon].
	Epsilon float64
	// MaxChange bounds the predicted relative change of the network's outputs (see
	// [Cost]); 0 is [DefaultMaxChange], and [GridMaxChange] or [UchidaMaxChange] for these.
	MaxChange float64
	// Payload is what to write; nil is that of the key.
	Payload []byte
	// Bits is how many bits uchida writes if there is no payload; 0 is 64.
	Bits int
	// Margin is how clearly uchida's bits read: the least projection, in units of
	// that of a random direction; 0 is 4, or as much as MaxChange allows.
	Margin float64
	// Axes has the axis of the output filters for tensors where it is not the first
	// one; for uchida.
	Axes map[string]int
	// Moves is how many weights grid moves to a neighbouring level; 0 is what a
	// clear reading takes.
	Moves int
	// Original is the network before it was put on a grid, where there is one: weights
	// that were nearly at the other level are moved first.
	Original *tensor.Set
}

// The defaults and limits of [Options].
const (
	MinWeights       = 64
	DefaultMaxChange = 0.05
	GridMaxChange    = 0.15 // what a quantizer does to a network is several times that
	UchidaMaxChange  = 0.15 // in one layer
	MaxEpsilon       = 0.03
	maxBits          = 1024
)

// Assume returns the parameters to read a mark of which no commitment says them: those
// that [Scheme.Plan] chooses by default for a network like set, the unmarked reference if
// there is one, but for what o says.
func Assume(scheme string, set *tensor.Set, s Secrets, o *Options) (*Parameters, error) {
	if _, err := Find(scheme); err != nil {
		return nil, err
	}
	o = or(o)
	list, err := carriers(set, o)
	if err != nil {
		return nil, err
	}
	p := &Parameters{Scheme: scheme, Tensors: names(list), Epsilon: o.Epsilon, Bits: o.Bits, payload: o.Payload}
	if l, ok := s.(LayerKey); ok {
		p.Tensors = []string{l.Tensor}
	}
	known := o.Payload
	if k, ok := s.(*Key); ok && known == nil && o.Bits == 0 {
		known = k.Payload
	}
	if p.Bits == 0 {
		p.Bits = 8 * len(known)
	}
	switch scheme {
	case keyed{}.Name():
		p.Bits = 0
	case uchida{}.Name():
		bits := p.Bits
		if p, _, err = assumeUchida(set, o); err != nil {
			return nil, err
		}
		p.payload = o.Payload
		if p.Bits = bits; bits == 0 {
			p.Bits = defaultBits
		}
		return p, nil
	case payload{}.Name():
		if p.Bits == 0 {
			return nil, fmt.Errorf("%w: how many bits the payload has is not known", ErrOptions)
		}
	case grid{}.Name():
		on, err := gridded(list)
		if err != nil {
			return nil, err
		}
		p.Tensors = names(on)
		return p, nil
	}
	if p.Epsilon == 0 {
		p.Epsilon = assumedEpsilon
	}
	return p, nil
}

// assumedEpsilon is a strength to read with if the true one is not known. It decides how
// layers of different noise are weighed, and no more.
const assumedEpsilon = 0.01

// Parameters are all that has to be known of a mark beside key and reference to read it.
// They are public.
type Parameters struct {
	Scheme  string         `json:"scheme"`
	Tensors []string       `json:"tensors" about:"that carry the mark"`
	Epsilon float64        `json:"epsilon,omitempty" about:"change of each weight, in standard deviations of its tensor"`
	Bits    int            `json:"bits,omitempty" about:"of the payload"`
	Margin  float64        `json:"margin,omitempty" about:"least projection of a bit, in units of that of a random direction"`
	Axes    map[string]int `json:"axes,omitempty" about:"of the output filters, where that is not the first"`
	Moves   int            `json:"moves,omitempty" about:"weights that went to a neighbouring level"`

	payload  []byte      // for Embed; secret towards others
	original *tensor.Set // for grid
}

// Cost is what a mark does to a network.
type Cost struct {
	Tensors int   `json:"tensors" about:"that carry it"`
	Weights int64 `json:"weights" about:"in these tensors"`
	Changed int64 `json:"changed" about:"weights that are others now; 0 if not counted yet"`
	// Change is the norm of the change as a share of that of the weights.
	Change float64 `json:"change" about:"its norm, as a share of that of the marked tensors"`
	// Output predicts the relative change of the outputs: the root of the sum over
	// tensors of (‖change‖/‖weights‖)². The change is random towards the inputs of each
	// layer, so its part in what the layer computes is about that share, and the parts of
	// layers add as independent ones do. Trained weights are no more random towards
	// their inputs than the change is, so the true change is mostly smaller.
	Output float64 `json:"output" about:"predicted relative change of outputs"`
	// Bits is the change of the ideal order-0 code of the weights, for grid.
	Bits float64 `json:"entropy_bits,omitempty" about:"change of the ideal order-0 code of the weights"`
}

// Embedded is a marked network.
type Embedded struct {
	Set        *tensor.Set
	Parameters *Parameters
	Cost       *Cost
}

// A Reading is what was read. It is no verdict: see [Judge].
type Reading struct {
	Scheme string `json:"scheme"`
	// Z is the correlation with the key, in standard deviations of chance; 0 for uchida.
	Z float64 `json:"z" about:"correlation with the key, in standard deviations of chance"`
	// Log10P is the base-10 logarithm of (a bound on) the probability that it is
	// chance, of this one reading; see [Bound] and [Binomial].
	Log10P float64        `json:"log10_p" about:"of this reading alone, base 10"`
	Layers []LayerReading `json:"layers"`
	// Bits were read, and Wrong of them are not what the key says, if it says.
	Bits  int      `json:"bits,omitempty"`
	Wrong *int     `json:"wrong,omitempty" about:"bits that are not those of the key's payload"`
	BER   *float64 `json:"ber,omitempty" about:"wrong / bits"`
	// Payload is what was read, in hex; empty if no payload is certain.
	Payload string `json:"payload,omitempty" about:"in hex, if one is certain"`
	// Collusion says that parts of several payloads were read: copies were mixed.
	Collusion bool     `json:"collusion,omitempty" about:"several copies with different payloads were mixed"`
	Colluders []string `json:"colluders,omitempty" about:"payloads, in hex, each of which is certain"`
	// Skipped are tensors that could not be read, and why.
	Skipped []Skipped `json:"skipped,omitempty"`
	// Blind says that there was no reference.
	Blind bool `json:"blind" about:"read without the unmarked reference"`
}

// A LayerReading is the reading of one tensor.
type LayerReading struct {
	Tensor  string  `json:"tensor"`
	Weights int64   `json:"weights" about:"that were read"`
	Z       float64 `json:"z"`
	Log10P  float64 `json:"log10_p" about:"of this layer alone, base 10"`
}

// Skipped is a tensor that was not read.
type Skipped struct {
	Tensor string `json:"tensor"`
	Reason string `json:"reason"`
}

// carriers returns the tensors that may carry a mark.
func carriers(set *tensor.Set, o *Options) ([]*tensor.Tensor, error) {
	var list []*tensor.Tensor
	used := make([]bool, len(o.Only))
	for _, t := range set.All() {
		chosen := len(o.Only) == 0
		for i, pattern := range o.Only {
			ok, err := path.Match(pattern, t.Name)
			if err != nil {
				return nil, fmt.Errorf("%w: pattern %q: %w", ErrOptions, pattern, err)
			}
			if ok || pattern == t.Name {
				chosen, used[i] = true, true
			}
		}
		if chosen && t.DType.Numeric() && len(t.Shape) >= 2 && t.Elems() >= MinWeights {
			list = append(list, t)
		} else if chosen && slices.Contains(o.Only, t.Name) {
			return nil, fmt.Errorf("%w: %s is %s of %s, and a mark takes floats of at least two axes and %d values", ErrNetwork, t.Name, t.DType, t.Shape, MinWeights)
		}
	}
	for i, ok := range used {
		if !ok {
			return nil, fmt.Errorf("%w: no tensor has a name like %q", ErrOptions, o.Only[i])
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: no tensor can carry a mark: it takes floats of at least two axes and %d values", ErrNetwork, MinWeights)
	}
	return list, nil
}

func names(list []*tensor.Tensor) []string {
	s := make([]string, len(list))
	for i, t := range list {
		s[i] = t.Name
	}
	return s
}

// lookup returns the tensors of the parameters.
func lookup(set *tensor.Set, p *Parameters) ([]*tensor.Tensor, error) {
	var list []*tensor.Tensor
	if len(p.Tensors) == 0 {
		return nil, fmt.Errorf("%w: the parameters name no tensor", ErrOptions)
	}
	seen := map[string]bool{}
	for _, name := range p.Tensors {
		t := set.Lookup(name)
		switch {
		case seen[name]: // signs that count twice are no independent coins
			return nil, fmt.Errorf("%w: the parameters name tensor %q twice", ErrOptions, name)
		case t == nil:
			return nil, fmt.Errorf("%w: there is no tensor %q, which the mark is in: this is another architecture, or it has other names", ErrNetwork, name)
		case !t.DType.Numeric() || len(t.Shape) < 2:
			return nil, fmt.Errorf("%w: %s is %s of %s, and a mark is in floats of at least two axes", ErrNetwork, name, t.DType, t.Shape)
		}
		seen[name] = true
		list = append(list, t)
	}
	return list, nil
}

// floats returns the numbers of a tensor, which have to be finite.
func floats(t *tensor.Tensor) ([]float32, error) {
	x, err := t.Float32s()
	if err != nil {
		return nil, err
	}
	for i, v := range x {
		if v-v != 0 { // NaN and infinities
			return nil, fmt.Errorf("%w: value %d of %s is %v", ErrNetwork, i, t.Name, v)
		}
	}
	return x, nil
}

// moments are sums over a tensor.
type moments struct{ n, mean, deviation, norm float64 }

func momentsOf(x []float32) moments {
	var sum, squares float64
	for _, v := range x {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	n := math.Max(1, float64(len(x)))
	mean := sum / n
	return moments{float64(len(x)), mean, math.Sqrt(math.Max(0, squares/n-mean*mean)), math.Sqrt(squares)}
}

// inParallel calls f with 0 to n-1 on all processors and returns the first error by
// number.
func inParallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	next := make(chan int)
	done := make(chan struct{})
	workers := min(n, runtime.GOMAXPROCS(0))
	for range workers {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range next {
				errs[i] = f(i)
			}
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	for range workers {
		<-done
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
