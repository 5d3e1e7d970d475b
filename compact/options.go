package compact

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/entropy"
	"ropewalk/quant"
)

// The methods.
const (
	// Default is the recipe of this project: see the package comment.
	Default = "default"
	// Paper is HEMP as published, [entropy.Paper].
	Paper = "paper"
)

// Neighbours is the model of bits that goes with [Default]: a pmf for each row and
// column, in which columns learn from those beside them in the picture that they
// make. The models of package entropy are the others.
const Neighbours entropy.Model = "neighbours"

// Models are all models of bits, the default first.
var Models = []entropy.Model{Neighbours, entropy.PerTensor, entropy.RowColumn, entropy.Blocks}

// Options say how a network is made small. The zero value is the default.
type Options struct {
	Method string `json:"method,omitempty"`
	// Model says how bits are counted while training (Default).
	Model entropy.Model `json:"model,omitempty"`
	// Order is n of Paper, default 3, and of the model of blocks, default 2.
	Order int `json:"order,omitempty"`
	// Levels is how many levels a tensor of weights may have. Default: an odd number,
	// 3 or more, of which one is zero; 0 takes 3 for plain chains of layers and 7
	// for other networks, of which those that do not pay for themselves die out.
	// Paper: 2 or more; 0 is 4.
	Levels int `json:"levels,omitempty"`
	// Lambda is what a bit costs, in nats of the loss: default 1e-5. For Paper it is
	// λ_H, default 1.
	Lambda float64 `json:"lambda,omitempty"`
	// Pull is λ_E of Paper; default 0.1.
	Pull float64 `json:"pull,omitempty"`
	// Quantizer makes the levels of Paper: [quant.LloydGaussian] (default), [quant.Lloyd],
	// which is k-means, [quant.ECSQ], [quant.Uniform] from the least to the largest
	// weight, or [quant.Codebook], for all tensors those of Codebook.
	Quantizer quant.Method `json:"quantizer,omitempty"`
	Codebook  []float32    `json:"codebook,omitempty"`
	// Requantize has Paper choose its levels again in the first step of each epoch.
	Requantize bool `json:"requantize,omitempty"`
	// Refresh is after how many steps Paper finds the gradient of the entropy again;
	// default 10.
	Refresh int `json:"refresh,omitempty"`
	// ClosedForm takes the explicit derivative that is published for blocks of two.
	ClosedForm bool `json:"closedForm,omitempty"`
	// Scan is the order in which Paper makes blocks of weights, see [entropy.ParseScan].
	Scan string `json:"scan,omitempty"`
	// Start is the part of training that is done in floats, before the levels are
	// chosen: 0 to less than Freeze.
	Start float64 `json:"start,omitempty"`
	// Ramp is the part of training until which Lambda grows; default half way from
	// Start to 1.
	Ramp float64 `json:"ramp,omitempty"`
	// Freeze is the part of training from which zeros stay zeros, and bits cost
	// nothing; default 0.6 of the way from Start to 1.
	Freeze float64 `json:"freeze,omitempty"`
	// DeadZone is where the cell of zero ends, as a part of the first level; default 0.6.
	DeadZone float64 `json:"deadZone,omitempty"`
	// FloatBiases leaves the biases of layers as they are. Otherwise they are on a
	// grid of BiasStep, default 1/8, with 15 levels.
	FloatBiases bool    `json:"floatBiases,omitempty"`
	BiasStep    float64 `json:"biasStep,omitempty"`
	// BiasRate is how much of Lambda a bit of a bias costs; default 1, negative is none.
	BiasRate float64 `json:"biasRate,omitempty"`
	// Prune is the part of the weights of each tensor, those nearest to zero at Start,
	// that are zero from then on: 0 to less than 1.
	Prune float64 `json:"prune,omitempty"`
	// Shrink is the part of a weight that is taken off it at each step before Start, if
	// the loss does not depend on it at all: 0 to less than 1. Prune then finds the
	// weights that the loss can do without.
	Shrink float64 `json:"shrink,omitempty"`
	// FixedLevels has the levels of weights stay as they were chosen.
	FixedLevels bool `json:"fixedLevels,omitempty"`
	// Target is the bytes that the file should have at most; 0 is none. Lambda is then
	// only where the search for the right one begins.
	Target int64 `json:"target,omitempty"`
	// Restless leaves weights that change levels to and fro after Freeze alone.
	// Otherwise they come to rest at the level at which they mostly are.
	Restless bool `json:"restless,omitempty"`
	// InOrder leaves units where they are in the file, and none out, for what depends on
	// their places. Otherwise they are in the order that codes best.
	InOrder bool `json:"inOrder,omitempty"`
	// Threads bounds the goroutines; the result does not depend on it.
	Threads int `json:"-"`
}

const (
	far        = 1.4   // latents are kept within so many outer levels
	beyond     = 0.3   // slope of the bits beyond the outer level, as a part of that inside
	every      = 20    // steps between two looks at the densities, in trainings of
	leastLooks = 8     // so many looks
	levelRate  = 0.5   // of the learning rate, for levels
	just       = 0.999 // within the outer levels

	biasLevels = 7 // on each side of zero
)

// reach returns within how many outer levels latents are kept. The entropy of blocks has
// no slope beyond the outer levels, so that weights there would never come back where
// levels do not move either: as published, none gets there.
func (o Options) reach() float64 {
	if o.Model == entropy.Blocks && o.FixedLevels {
		return just
	}
	return far
}

// settled returns the options with defaults filled in.
func (o Options) settled(chain bool) (Options, error) {
	set := func(x *float64, v float64) {
		if *x == 0 {
			*x = v
		}
	}
	if o.Method == "" {
		o.Method = Default
	}
	if o.Method != Default && o.Method != Paper {
		return o, fmt.Errorf("there is no method %q; want %s or %s", o.Method, Default, Paper)
	}
	if o.Method == Paper {
		set(&o.Lambda, 1)
		set(&o.Pull, 0.1)
		if o.Order == 0 {
			o.Order = 3
		}
		if o.Levels == 0 {
			o.Levels = 4
		}
		switch {
		case o.Levels < 2:
			return o, fmt.Errorf("%d levels are too few for the paper; want 2 or more", o.Levels)
		case o.Prune != 0 || o.Shrink != 0 || o.FixedLevels || o.Restless || o.Target != 0 || o.Model != "" || o.Start != 0:
			return o, fmt.Errorf("the method %s knows no pruning, no target, no model and no start of their own, and its levels are fixed anyway", Paper)
		case o.Ramp != 0 || o.Freeze != 0 || o.DeadZone != 0 || o.FloatBiases || o.BiasStep != 0 || o.BiasRate != 0:
			return o, fmt.Errorf("the method %s knows no ramp, no freezing, no dead zone and no grid of biases", Paper)
		case (o.Quantizer == quant.Codebook) != (len(o.Codebook) > 0):
			return o, fmt.Errorf("the quantizer %q with a codebook of %d levels", o.Quantizer, len(o.Codebook))
		case o.Refresh < 0:
			return o, fmt.Errorf("a gradient every %d steps; want 1 or more", o.Refresh)
		case o.ClosedForm && o.Order != 2:
			return o, fmt.Errorf("the closed form is for blocks of 2 weights, not %d", o.Order)
		}
		return o, nil
	}
	if o.Pull != 0 || o.Quantizer != "" || o.Codebook != nil || o.Requantize || o.Refresh != 0 || o.ClosedForm || o.Scan != "" {
		return o, fmt.Errorf("a pull towards levels, a quantizer, a refresh, a closed form and a scan are of the method %s only", Paper)
	}
	if o.Order != 0 && o.Model != entropy.Blocks {
		return o, fmt.Errorf("blocks of %d weights: only the model %s, and the method %s, have any", o.Order, entropy.Blocks, Paper)
	}
	if o.Model == "" {
		o.Model = Neighbours
	}
	if o.Order == 0 {
		o.Order = 2
	}
	if o.Levels == 0 {
		o.Levels = 7
		if chain {
			o.Levels = 3
		}
	}
	set(&o.Lambda, 1e-5)
	set(&o.Ramp, o.Start+0.5*(1-o.Start))
	set(&o.Freeze, o.Start+0.6*(1-o.Start))
	set(&o.DeadZone, 0.6)
	set(&o.BiasStep, 0.125)
	set(&o.BiasRate, 1)
	switch {
	case !slices.Contains(Models, o.Model):
		return o, fmt.Errorf("there is no model %q; want one of %v", o.Model, Models)
	case o.Levels < 3 || o.Levels%2 == 0 || o.Levels > 255:
		return o, fmt.Errorf("%d levels; want an odd number, 3 to 255: zero is one, and the others are on both sides of it", o.Levels)
	case !(o.Lambda > 0) || math.IsInf(o.Lambda, 0):
		return o, fmt.Errorf("a bit costs %g; want a number above 0", o.Lambda)
	case !(o.Start >= 0 && o.Start < o.Ramp && o.Ramp <= o.Freeze && o.Freeze < 1):
		return o, fmt.Errorf("start %g, ramp %g and freeze %g do not follow each other between 0 and 1", o.Start, o.Ramp, o.Freeze)
	case !(o.DeadZone > 0 && o.DeadZone < 1):
		return o, fmt.Errorf("a dead zone of %g; want one between 0 and 1", o.DeadZone)
	case !(o.BiasStep > 0) || math.IsInf(o.BiasStep, 0):
		return o, fmt.Errorf("a step of biases of %g; want a number above 0", o.BiasStep)
	case math.IsNaN(o.BiasRate) || math.IsInf(o.BiasRate, 0):
		return o, fmt.Errorf("a bit of a bias costs %g times that of a weight; want a number", o.BiasRate)
	case !(o.Prune >= 0 && o.Prune < 1):
		return o, fmt.Errorf("%g of the weights pruned; want 0 to less than 1", o.Prune)
	case !(o.Shrink >= 0 && o.Shrink < 1) || o.Shrink > 0 && o.Start == 0:
		return o, fmt.Errorf("weights shrink by %g of themselves a step, until %g of training; want 0 to less than 1, and some time", o.Shrink, o.Start)
	case o.Target < 0:
		return o, fmt.Errorf("a target of %d bytes", o.Target)
	}
	return o, nil
}

// paperOptions are the settings of the paper's regulariser.
func (o *Options) paperOptions() (*entropy.PaperOptions, error) {
	p := &entropy.PaperOptions{
		Levels: o.Levels, Order: o.Order, LambdaH: o.Lambda, LambdaE: o.Pull, Every: o.Refresh, ClosedForm: o.ClosedForm, Threads: o.Threads,
	}
	switch o.Quantizer {
	case "", quant.LloydGaussian:
	case quant.Uniform:
		p.Choose = entropy.ChooseUniform
	case quant.Lloyd, quant.ECSQ, quant.Codebook:
		p.Choose = entropy.ChooseWith(quant.Options{Method: o.Quantizer, Codebook: o.Codebook})
	default:
		return nil, fmt.Errorf("there is no quantizer %q", o.Quantizer)
	}
	if o.Quantizer == quant.Codebook {
		p.Levels = len(o.Codebook)
	}
	return p, nil
}
