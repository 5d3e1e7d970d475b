package main

import (
	"bytes"
	"fmt"
	"io"
	"math"

	"ropewalk/checkpoint"
	"ropewalk/layout"
	"ropewalk/lossy"
	"ropewalk/mark"
	"ropewalk/quant"
	"ropewalk/rope"
	"ropewalk/tensor"
)

// grid prints what a mark of 64 bits costs in the packed file of a quantized network, and
// that it is read from that file.
func (c *config) grid(all []*network) error {
	fmt.Fprintf(c.out, "## On a quantizer's grid\n\n64 bits, %d keys, levels of the quantizer (uniform, step in root mean squares) kept; means, and the worst reading from the packed file.\n\n", c.keys)
	fmt.Fprintln(c.out, "| network | quantizer | moves | packed before | after | % | accuracy before | after | z | log10 p | BER % |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, n := range all {
		for _, step := range []float64{0.2, 0.5, 1} {
			for _, known := range []bool{false, true} {
				if err := c.gridRow(n, step, known); err != nil {
					return fmt.Errorf("%s, step %g: %w", n.name, step, err)
				}
			}
		}
	}
	return nil
}

func (c *config) gridRow(n *network, step float64, known bool) error {
	q, before, err := c.pack(n.set, &quant.Options{Step: step})
	if err != nil {
		return err
	}
	base, err := c.accuracy(n, n.graph, q)
	if err != nil {
		return err
	}
	o := &mark.Options{MaxChange: 0.5}
	if known {
		o.Original = n.set
	}
	var after, accuracy, ber float64
	worst, z, moves := math.Inf(-1), 0.0, 0
	for i := range c.keys {
		k := newKey(i + 1)
		e, err := embed("grid", q, k, o)
		if err != nil {
			return err
		}
		packed, size, err := c.pack(e.Set, nil)
		if err != nil {
			return err
		}
		a, err := c.accuracy(n, n.graph, packed)
		if err != nil {
			return err
		}
		d, err := extract(packed, q, k, e.Parameters)
		if err != nil {
			return err
		}
		after += float64(size) / float64(c.keys)
		accuracy += 100 * a / float64(c.keys)
		ber = max(ber, 100**d.BER)
		moves = e.Parameters.Moves
		if d.Log10P > worst {
			worst, z = d.Log10P, d.Z
		}
	}
	name := fmt.Sprintf("step %g", step)
	if known {
		name += ", floats known"
	}
	_, err = fmt.Fprintf(c.out, "| %s | %s | %d | %d | %.0f | %+.2f | %.2f | %.2f | %.1f | %.1f | %.1f |\n", n.name, name, moves, before, after, 100*(after/float64(before)-1),
		100*base, accuracy, z, worst, ber)
	return err
}

// pack packs tensors, quantized if o is not nil, and opens the packed file.
func (c *config) pack(set *tensor.Set, o *quant.Options) (*tensor.Set, int64, error) {
	var raw bytes.Buffer
	if err := checkpoint.Convert(&raw, "safetensors", set, nil); err != nil {
		return nil, 0, err
	}
	u, err := checkpoint.OpenReader(c.ctx, "the network", &raw, nil)
	if err != nil {
		return nil, 0, err
	}
	defer u.Close()
	var l *layout.Layout
	if l = u.Layout; o != nil {
		q, err := lossy.New(c.ctx, u.Layout, &lossy.Options{Quant: *o})
		if err != nil {
			return nil, 0, err
		}
		lambda, err := q.Lambda()
		if err != nil {
			return nil, 0, err
		}
		r, err := q.Quantize(c.ctx, lambda)
		if err != nil {
			return nil, 0, err
		}
		l = r.Layout
	}
	var packed bytes.Buffer
	sum, err := rope.Encode(c.ctx, &packed, l, nil)
	if err != nil {
		return nil, 0, err
	}
	ck, err := checkpoint.OpenReader(c.ctx, "the packed network", io.Reader(&packed), nil) // open until the end
	if err != nil {
		return nil, 0, err
	}
	return ck.Tensors, sum.Packed, nil
}
