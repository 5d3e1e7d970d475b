package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"ropewalk/align"
	"ropewalk/internal/bench/processor"
	"ropewalk/mark"
	"ropewalk/tensor"
)

// null prints how z and the bound are distributed where no mark is.
func (c *config) null(all []*network) error {
	fmt.Fprintf(c.out, "## Chance\n\n%d wrong keys on each suspect; z has mean 0 and deviation 1 if signs are fair coins, and p <= α happens at most at the rate α.\n\n", c.nulls)
	fmt.Fprintln(c.out, "| network | suspect | mean z | deviation | largest z | p <= 0.1 | 0.01 | 0.001 | 0.0001 |\n|---|---|---:|---:|---:|---:|---:|---:|---:|")
	for _, n := range all {
		k := newKey(1)
		e, err := embed("keyed", n.set, k, nil)
		if err != nil {
			return err
		}
		noisy, err := c.do(n, e.Set, "noise=0.1", 1)
		if err != nil {
			return err
		}
		clean, err := c.do(n, n.set, "noise=0.1", 1)
		if err != nil {
			return err
		}
		moved, err := c.do(n, e.Set, "permute+scale", 1)
		if err != nil {
			return err
		}
		stranger, err := c.stranger(n)
		if err != nil {
			return err
		}
		for _, s := range []struct {
			name string
			set  *tensor.Set
		}{{"unrelated, put in the order that fits best", stranger}, {"marked by another", e.Set}, {"marked by another, noise 0.1", noisy.Set}, {"unmarked, noise 0.1", clean.Set}, {"marked by another, shuffled, not aligned", moved.Set}} {
			z, err := mark.Controls(s.set, n.set, e.Parameters, c.nulls, rand.NewChaCha8([32]byte{9}))
			if err != nil {
				return err
			}
			sum, squares := 0.0, 0.0
			counts := map[float64]int{}
			for _, v := range z {
				sum += v
				squares += v * v
				for _, a := range []float64{0.1, 0.01, 0.001, 0.0001} {
					if mark.Bound(v) <= math.Log10(a) {
						counts[a]++
					}
				}
			}
			t := float64(len(z))
			fmt.Fprintf(c.out, "| %s | %s | %.4f | %.4f | %.2f | %.5f | %.5f | %.5f | %.5f |\n", n.name, s.name, sum/t, math.Sqrt(squares/t), slices.Max(z),
				float64(counts[0.1])/t, float64(counts[0.01])/t, float64(counts[0.001])/t, float64(counts[0.0001])/t)
		}
	}
	return nil
}

// stranger returns a network that has the numbers of each tensor in random order, put in
// the order of neurons in which it is most like the unmarked network, whether or not that is
// a relation.
func (c *config) stranger(n *network) (*tensor.Set, error) {
	r := rand.New(rand.NewPCG(3, 5))
	var list []*tensor.Tensor
	for _, t := range n.set.All() {
		if t.DType != tensor.F32 {
			continue
		}
		b, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		x := t.DType.AppendFloat32s(nil, b)
		r.Shuffle(len(x), func(i, j int) { x[i], x[j] = x[j], x[i] })
		list = append(list, &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Data: tensor.Bytes(t.DType.AppendFloats(nil, x))})
	}
	set, err := tensor.Overlay(n.set, list...)
	if err != nil {
		return nil, err
	}
	spec, err := align.FromSymmetry(n.spec)
	if err != nil {
		return nil, err
	}
	found, err := align.MatchNetworks(align.Network{Set: n.set, Spec: spec}, align.Network{Set: set, Spec: spec}, &align.NetworkOptions{Context: c.ctx})
	if err != nil {
		return nil, err
	}
	return align.Restore(n.spec, set, found)
}

// overwrite marks a network again with five other keys.
func (c *config) overwrite(all []*network) error {
	fmt.Fprintf(c.out, "## Overwriting\n\nMarked by one key, then by others of the same strength; the worst of %d first keys.\n\n", c.keys)
	fmt.Fprintln(c.out, "| network | scheme | others | z | log10 p | drop |\n|---|---|---:|---:|---:|---:|")
	for _, n := range all {
		for _, scheme := range []string{"keyed", "payload"} {
			for _, others := range []int{1, 5} {
				worst, z, drop := math.Inf(-1), 0.0, 0.0
				for i := range c.keys {
					k := newKey(i + 1)
					e, err := embed(scheme, n.set, k, nil)
					if err != nil {
						return err
					}
					set := e.Set
					for j := range others {
						s, err := mark.Find(scheme)
						if err != nil {
							return err
						}
						next, err := s.Embed(set, newKey(1000+10*i+j), e.Parameters)
						if err != nil {
							return err
						}
						set = next.Set
					}
					d, err := extract(set, n.set, k, e.Parameters)
					if err != nil {
						return err
					}
					a, err := c.accuracy(n, n.graph, set)
					if err != nil {
						return err
					}
					drop += 100 * (n.base - a) / float64(c.keys)
					if d.Log10P > worst {
						worst, z = d.Log10P, d.Z
					}
				}
				fmt.Fprintf(c.out, "| %s | %s | %d | %.1f | %.1f | %.2f |\n", n.name, scheme, others, z, worst, drop)
			}
		}
	}
	return nil
}

// collusion averages copies of two customers.
func (c *config) collusion(all []*network) error {
	fmt.Fprintf(c.out, "## Collusion\n\nThe mean of the copies of two customers of one owner, %d pairs, alone and after more damage.\n\n", 2*c.keys)
	fmt.Fprintln(c.out, "| network | then | collusion, both named | collusion | one of them named | nothing | an innocent |\n|---|---|---:|---:|---:|---:|---:|")
	for _, n := range all {
		for _, then := range []string{"", "noise=0.1", "noise=0.3", "quantize=4", "prune=0.5"} {
			var both, some, one, none, innocent int
			for i := range 2 * c.keys {
				k := newKey(1)
				pa, pb := newKey(2*i+100).Payload, newKey(2*i+101).Payload
				a, err := embed("payload", n.set, k, &mark.Options{Payload: pa})
				if err != nil {
					return err
				}
				b, err := embed("payload", n.set, k, &mark.Options{Payload: pb})
				if err != nil {
					return err
				}
				mix, err := mean(a.Set, b.Set)
				if err != nil {
					return err
				}
				if then != "" {
					r, err := c.do(n, mix, then, uint64(i))
					if err != nil {
						return err
					}
					mix = r.Set
				}
				p, err := mark.Assume("payload", n.set, k, &mark.Options{Bits: 64, Epsilon: a.Parameters.Epsilon})
				if err != nil {
					return err
				}
				d, err := extract(mix, n.set, k, p)
				if err != nil {
					return err
				}
				names := append(slices.Clone(d.Colluders), d.Payload)
				guilty := true
				for _, x := range names {
					guilty = guilty && (x == "" || x == fmt.Sprintf("%x", pa) || x == fmt.Sprintf("%x", pb))
				}
				switch {
				case !guilty:
					innocent++
				case len(d.Colluders) == 2:
					both++
				case d.Collusion:
					some++
				case d.Payload != "":
					one++
				default:
					none++
				}
			}
			if then == "" {
				then = "-"
			}
			fmt.Fprintf(c.out, "| %s | %s | %d | %d | %d | %d | %d |\n", n.name, then, both, some, one, none, innocent)
		}
	}
	return nil
}

// mean averages the floats of two networks.
func mean(a, b *tensor.Set) (*tensor.Set, error) {
	var list []*tensor.Tensor
	for _, t := range a.All() {
		if t.DType != tensor.F32 {
			continue
		}
		x, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		y, err := b.Lookup(t.Name).Bytes()
		if err != nil {
			return nil, err
		}
		u, v := t.DType.AppendFloat32s(nil, x), t.DType.AppendFloat32s(nil, y)
		for i := range u {
			u[i] = (u[i] + v[i]) / 2
		}
		list = append(list, &tensor.Tensor{Name: t.Name, DType: t.DType, Shape: t.Shape, Data: tensor.Bytes(t.DType.AppendFloats(nil, u))})
	}
	return tensor.Overlay(a, list...)
}

// cost prints what marks cost in accuracy.
func (c *config) cost(all []*network) error {
	keys := max(c.keys, 10)
	if c.quick {
		keys = c.keys
	}
	fmt.Fprintf(c.out, "## Accuracy\n\nTop-1 in %%, of %d images, without and with the mark of each of %d keys; t is the mean difference in its standard errors.\n\n", c.images, keys)
	fmt.Fprintln(c.out, "| network | scheme | strength | without | with, mean | least | deviation | t | predicted change of outputs |\n|---|---|---|---:|---:|---:|---:|---:|---:|")
	for _, n := range all {
		for _, scheme := range []string{"keyed", "payload", "uchida"} {
			var sum, squares float64
			least := 1.0
			var e *mark.Embedded
			for i := range keys {
				var err error
				if e, err = embed(scheme, n.set, newKey(i+1), nil); err != nil {
					return err
				}
				a, err := c.accuracy(n, n.graph, e.Set)
				if err != nil {
					return err
				}
				d := 100 * (a - n.base)
				sum += d
				squares += d * d
				least = min(least, a)
			}
			m := sum / float64(keys)
			sd := math.Sqrt(math.Max(0, squares-sum*m) / float64(keys-1))
			strength := fmt.Sprintf("ε %.3g", e.Parameters.Epsilon)
			if scheme == "uchida" {
				strength = fmt.Sprintf("margin %.3g", e.Parameters.Margin)
			}
			fmt.Fprintf(c.out, "| %s | %s | %s | %.2f | %.2f | %.2f | %.2f | %.1f | %.3f |\n", n.name, scheme, strength, 100*n.base, 100*n.base+m, 100*least, sd,
				m/math.Max(sd/math.Sqrt(float64(keys)), 1e-9), e.Cost.Output)
		}
	}
	return nil
}

// speed prints how many bytes of weights a core marks and reads in a second.
func (c *config) speed([]*network) error {
	r := rand.New(rand.NewPCG(1, 1))
	n := 1 << 24
	if c.quick {
		n = 1 << 22
	}
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(r.NormFloat64())
	}
	set, err := tensor.NewSet(&tensor.Tensor{Name: "w", DType: tensor.F32, Shape: tensor.Shape{int64(n / 1024), 1024}, Data: tensor.Bytes(tensor.F32.AppendFloats(nil, w))})
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "## Speed\n\nOne tensor of %d MiB, MB of weights in a second of processor time, the best of 3.\n\n| scheme | plan MB/s | embed and compute MB/s | extract MB/s |\n|---|---:|---:|---:|\n", 4*n>>20)
	for _, scheme := range []string{"keyed", "payload"} {
		k := newKey(1)
		s, err := mark.Find(scheme)
		if err != nil {
			return err
		}
		var best [3]float64
		for range 3 {
			start, known := processor.Seconds()
			if !known {
				return processor.ErrUnknown
			}
			mb := func() float64 { // since the last call
				now, _ := processor.Seconds()
				spent := now - start
				start = now
				return 4 * float64(n) / 1e6 / math.Max(spent, 1e-6)
			}
			p, err := s.Plan(set, k, nil)
			if err != nil {
				return err
			}
			best[0] = max(best[0], mb())
			e, err := s.Embed(set, k, p)
			if err != nil {
				return err
			}
			b, err := e.Set.At(0).Bytes()
			if err != nil {
				return err
			}
			best[1] = max(best[1], mb())
			marked, err := tensor.NewSet(&tensor.Tensor{Name: "w", DType: tensor.F32, Shape: set.At(0).Shape, Data: tensor.Bytes(b)})
			if err != nil {
				return err
			}
			_ = mb() // what is between is not counted
			if _, err := s.Extract(marked, set, k, p); err != nil {
				return err
			}
			best[2] = max(best[2], mb())
		}
		fmt.Fprintf(c.out, "| %s | %.0f | %.0f | %.0f |\n", scheme, best[0], best[1], best[2])
	}
	return nil
}
