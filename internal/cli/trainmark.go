package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"ropewalk/mark"
	"ropewalk/tensor"
	"ropewalk/train"
)

// trainMarkOptions are the flags of train that write a mark.
type trainMarkOptions struct {
	key    string
	tensor string
	bits   int
	lambda float64
	pass   passOptions
}

func (o *trainMarkOptions) addFlags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&o.key, "mark", "", "write the mark of the key in `KEY` while training: scheme uchida of \"ropewalk mark\"")
	fs.StringVar(&o.tensor, "mark-tensor", "", "into the weights `NAME`; else where most bits fit")
	fs.IntVar(&o.bits, "mark-bits", 0, "of `N` bits (default 64, or the payload of the key)")
	fs.Float64Var(&o.lambda, "mark-lambda", 0, "what a bit that reads wrong costs, `L` (default 0.1)")
	o.pass.addFlags(fs)
}

// prepareMark makes the penalty that writes the mark, if one is wanted.
func (r *trainRun) prepareMark() error {
	o := &r.mark
	if o.key == "" {
		// By their values: a recipe sets all flags.
		switch {
		case o.tensor != "":
			return usagef("--mark-tensor goes with --mark only")
		case o.bits != 0:
			return usagef("--mark-bits goes with --mark only")
		case o.lambda != 0:
			return usagef("--mark-lambda goes with --mark only")
		}
		return nil
	}
	key, err := r.e.key(o.key, &o.pass)
	if err != nil {
		return err
	}
	var list []*tensor.Tensor
	for _, w := range r.trained() {
		if t := r.net.Weights.Lookup(w.Name); t != nil {
			list = append(list, t)
		}
	}
	set, err := tensor.NewSet(list...)
	if err != nil {
		return err
	}
	mo := &mark.Options{Bits: o.bits}
	if o.tensor != "" {
		mo.Only = []string{o.tensor}
	}
	p, err := mark.Assume("uchida", set, key, mo)
	if err != nil {
		return markError(err)
	}
	name := p.Tensors[0]
	n, err := mark.NewPenalty(set.Lookup(name).Shape, key, p, &mark.PenaltyOptions{Lambda: o.lambda})
	if err != nil {
		return markError(err)
	}
	r.marking = []train.Penalty{train.On([]string{name}, n)}
	r.t.Penalties = r.marking
	r.markIdentity = fmt.Sprintf("%s in %s, %d bits, lambda %g", key.ID(), name, p.Bits, o.lambda)
	r.e.notef("the mark of key %s is written into %s, %d bits; \"ropewalk mark extract OUT --key KEY --scheme uchida --tensor %s --bits %d --copy OUT\" reads it", key.ID(), name, p.Bits, name, p.Bits)
	return nil
}
