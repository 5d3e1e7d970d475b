package cli

import (
	"context"

	"ropewalk/engine"
	"ropewalk/train"
)

// verifyAccuracy is what the changes cost on labelled data.
type verifyAccuracy struct {
	Data      string         `json:"data"`
	Split     string         `json:"split" about:"train, test or validation"`
	Normalise string         `json:"normalise" about:"what was done to the data: unit (nothing), or means/deviations"`
	Assumed   bool           `json:"assumed,omitempty" about:"neither the command line nor the reference said how to normalise"`
	Examples  int            `json:"examples"`
	Reference *train.Summary `json:"reference"`
	Suspect   *train.Summary `json:"suspect"`
	Drop      float64        `json:"drop" about:"of top-1, 0 to 1; negative if the suspect is better"`

	usual string
}

// accuracy runs both networks on labelled data, if there is any.
func (v *verification) accuracy(ctx context.Context) error {
	if v.o.data.data == "" {
		return nil
	}
	if v.ref.graph == nil || v.sus.graph == nil {
		v.r.skip(checkAccuracy, "%s", v.r.why(checkOutputs, "it is not known how to compute both"))
		return nil
	}
	o := &evalOptions{net: netOptions{net: v.o.against}, data: v.o.data, split: v.o.split, flags: v.o.flags}
	if v.o.net != "" {
		o.net = netOptions{net: v.o.net, weights: v.o.against}
	}
	er := &evalResult{Data: v.o.data.data}
	n, data, err := v.e.evalInputs(ctx, o, er)
	if n != nil {
		defer n.close()
	}
	if err != nil {
		return err
	}
	bar := v.e.progress("eval", 0)
	defer bar.stop()
	bar.mixed.Store(true)
	a := &verifyAccuracy{Data: er.Data, Split: er.Split, Normalise: er.Normalise, Assumed: er.Assumed, usual: er.usual}
	if a.Reference, a.Examples, err = v.scores(ctx, n, o, data, bar); err != nil {
		return err
	}
	sus := &network{Graph: v.sus.graph, spec: v.sus.path}
	if a.Suspect, _, err = v.scores(ctx, sus, o, data, bar); err != nil {
		v.r.skip(checkAccuracy, "%v", err)
		return ctx.Err()
	}
	if a.Reference.Top1 != nil && a.Suspect.Top1 != nil {
		a.Drop = *a.Reference.Top1 - *a.Suspect.Top1
	}
	v.r.Accuracy = a
	return nil
}

// scores runs a network on labelled data.
func (v *verification) scores(ctx context.Context, n *network, o *evalOptions, data train.Source, bar *progress) (*train.Summary, int, error) {
	p, err := v.e.compile(n, engine.Options{Fixed: true})
	if err != nil {
		return nil, 0, err
	}
	defer p.Close()
	r, err := train.Evaluate(ctx, p, data, &train.EvaluateOptions{
		Batch: o.batch, FixedBatch: o.fixedBatch, Objective: &train.CrossEntropy{Probabilities: n.probabilities()},
		Progress: func(done, total int) {
			bar.total.Store(int64(total))
			bar.done.Store(int64(done))
		},
	})
	if err != nil {
		return nil, 0, evalError(n, err)
	}
	return r.Summary(), r.Examples, nil
}
