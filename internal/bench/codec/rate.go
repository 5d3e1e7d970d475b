package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"

	"ropewalk/checkpoint"
	"ropewalk/lossy"
	"ropewalk/quant"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// The second part of the page holds quantizers against each other: bytes at the
// same error. The bytes are those of the quantized weights in a file of effort
// max, with their codebooks. Lloyd-Max sets the errors; it is that of package
// quant, which starts twice and runs until it settles, since that of the suite
// would be an easy rival.

// A criterion says what an error is: the squared differences of each matrix
// times a factor of that matrix, summed.
type criterion struct {
	name string
	// factor of a matrix, given its squares, summed, and their number.
	factor func(signal, weights float64) float64
	// same says that each squared difference counts the same; sensitivities
	// tell the quantizers so. Otherwise it is what they look at by themselves.
	same bool
}

var criteria = []criterion{
	// What issues and papers mean by the error of weights.
	{"equal squared error", func(float64, float64) float64 { return 1 }, true},
	// What a network feels is nearer to this: the next norm takes scales out.
	{"equal error relative to each tensor's own squares", func(signal, weights float64) float64 {
		if signal == 0 {
			return 0
		}
		return weights / signal
	}, false},
}

// A rate is a quantizer that can be tuned to an error.
type rate struct {
	name string
	rdo  bool
}

// rates are what is compared with Lloyd-Max, under the names of the targets.
var rates = []rate{
	{defaultRate, false},
	{rdoRate, true},
}

const (
	defaultRate = "default"
	rdoRate     = "default, RDO"
)

// lloydRate is the name that the anchors have among the rates.
const lloydRate = "Lloyd-Max"

// anchors are the numbers of levels of Lloyd-Max whose errors are to be met.
var anchors = []int{4, 8, 16, 32}

// A ratePoint is what one quantizer needs at the error of an anchor.
type ratePoint struct {
	criterion string
	stream    string // the anchor
	rate      string
	error     float64 // by the criterion
	size      int64   // indices and levels
}

// A subject is a network that is quantized.
type subject struct {
	file   *checkpoint.Checkpoint
	signal []float64   // squares of each array, summed
	ones   *tensor.Set // a sensitivity of one for each weight
}

// measureRates lets every rate meet every anchor whose name matches.
func measureRates(ctx context.Context, c *config) ([]ratePoint, error) {
	var points []ratePoint
	for i := range networks {
		n := &networks[i]
		var levels []int
		for _, k := range anchors {
			if c.match.MatchString(n.anchor(k)) {
				levels = append(levels, k)
			}
		}
		if len(levels) == 0 {
			continue
		}
		file, err := n.open(c)
		if err != nil {
			return nil, err
		}
		if file == nil {
			continue // the page says so
		}
		list, err := meetAll(ctx, n, file, levels)
		_ = file.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n.file, err)
		}
		points = append(points, list...)
	}
	return points, nil
}

// anchor returns the name of the network with so many levels, as the streams
// of the suite have it.
func (n *network) anchor(levels int) string { return fmt.Sprintf("%s LM%d", n.name, levels) }

func meetAll(ctx context.Context, n *network, file *checkpoint.Checkpoint, levels []int) ([]ratePoint, error) {
	s, err := newSubject(file)
	if err != nil {
		return nil, err
	}
	var points []ratePoint
	for _, k := range levels {
		q, err := lossy.New(ctx, file.Layout, &lossy.Options{Quant: quant.Options{Method: quant.Lloyd, Levels: k}})
		if err != nil {
			return nil, err
		}
		lloyd, err := q.Quantize(ctx, 0)
		if err != nil {
			return nil, err
		}
		weights, _ := lloyd.Weights()
		if weights != int64(n.weights) {
			return nil, fmt.Errorf("%d weights, the suite has %d: is it another file?", weights, n.weights)
		}
		size, err := stored(ctx, lloyd)
		if err != nil {
			return nil, err
		}
		for i := range criteria {
			c := &criteria[i]
			most := s.error(c, lloyd)
			points = append(points, ratePoint{c.name, n.anchor(k), lloydRate, most, size})
			for _, r := range rates {
				p, err := s.meet(ctx, r, c, most, s.zeros(c, lloyd))
				if err != nil {
					return nil, err
				}
				p.stream = n.anchor(k)
				fmt.Fprintf(os.Stderr, "%s, %s: %s %d bytes for %d\n", p.stream, c.name, r.name, p.size, size)
				points = append(points, p)
			}
		}
	}
	return points, nil
}

func newSubject(file *checkpoint.Checkpoint) (*subject, error) {
	s := &subject{file: file, signal: make([]float64, len(file.Layout.Arrays))}
	ms, err := matrices(file.Tensors)
	if err != nil {
		return nil, err
	}
	signal := make(map[string]float64)
	var list []*tensor.Tensor
	for _, m := range ms {
		one := make([]float32, len(m.values))
		for i, x := range m.values {
			signal[m.name] += float64(x) * float64(x)
			one[i] = 1
		}
		list = append(list, &tensor.Tensor{Name: m.name, DType: tensor.F32, Shape: m.shape, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, one))})
	}
	for _, v := range file.Layout.Views {
		if v.Encoded == nil && s.signal[v.Array] == 0 {
			s.signal[v.Array] = signal[v.Name]
		}
	}
	s.ones, err = tensor.NewSet(list...)
	return s, err
}

// error returns that of all matrices.
func (s *subject) error(c *criterion, r *lossy.Result) float64 {
	sum := 0.0
	for i, t := range r.Tensors {
		if t.Kept == "" {
			sum += t.NMSE * s.signal[i] * c.factor(s.signal[i], float64(t.Weights))
		}
	}
	return sum
}

// zeros returns the error of a network of zeros.
func (s *subject) zeros(c *criterion, r *lossy.Result) float64 {
	sum := 0.0
	for i, t := range r.Tensors {
		if t.Kept == "" {
			sum += s.signal[i] * c.factor(s.signal[i], float64(t.Weights))
		}
	}
	return sum
}

// near is how far below the wanted error is near enough.
const near = 0.005

// meet tunes a rate to an error, or a little less, and packs the result.
func (s *subject) meet(ctx context.Context, r rate, c *criterion, wanted, zeros float64) (ratePoint, error) {
	o := &lossy.Options{RDO: r.rdo}
	if c.same {
		o.Sensitivities = s.ones
	}
	q, err := lossy.New(ctx, s.file.Layout, o)
	if err != nil {
		return ratePoint{}, err
	}
	var best *lossy.Result
	least := 0.0
	err = tune(wanted, zeros, func(lambda float64) (float64, error) {
		got, err := q.Quantize(ctx, lambda)
		if err != nil {
			return 0, err
		}
		e := s.error(c, got)
		if e <= wanted && e > least {
			best, least = got, e
		}
		return e, nil
	})
	if err != nil {
		return ratePoint{}, err
	}
	if best == nil {
		return ratePoint{}, fmt.Errorf("%s: no lambda for an error of %g", r.name, wanted)
	}
	size, err := stored(ctx, best)
	return ratePoint{c.name, "", r.name, least, size}, err
}

// tune looks for a lambda whose error is at most the wanted one, and near it.
// zeros is the error of a network of zeros.
// At high rate lambda is 2·ln 2 times the error of a weight in units of its
// square; from there it goes on along the line through the last two, in logarithms.
func tune(wanted, zeros float64, of func(lambda float64) (float64, error)) error {
	aim := math.Log(wanted * (1 - near/2))
	x := math.Log(wanted / zeros * 2 * math.Ln2)
	slope := 1 / 1.2
	var lastX, lastE float64
	for try := range 8 {
		e, err := of(math.Exp(x))
		if err != nil {
			return err
		}
		if e <= wanted && e >= wanted*(1-near) {
			return nil
		}
		if try > 0 && x != lastX {
			if s := (math.Log(e) - lastE) / (x - lastX); s > 0.2 && s < 5 {
				slope = s
			}
		}
		lastX, lastE = x, math.Log(e)
		x += (aim - lastE) / slope
	}
	return nil
}

// stored returns the bytes of the quantized weights in a packed file.
func stored(ctx context.Context, r *lossy.Result) (int64, error) {
	var b bytes.Buffer
	if _, err := rope.Encode(ctx, &b, r.Layout, &rope.Options{Effort: rope.Max}); err != nil {
		return 0, err
	}
	f, err := rope.Open("packed", tensor.Bytes(b.Bytes()), nil)
	if err != nil {
		return 0, err
	}
	n, _ := r.Stored(f.Arrays())
	return n, nil
}
