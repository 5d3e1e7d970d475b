package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"ropewalk/attack"
	"ropewalk/engine/native"
	"ropewalk/mark"
	"ropewalk/tensor"
)

// singles and pairs are the attacks, each followed by a shuffle and a rescaling of all
// neurons, which cost nothing. (Before, they would make the others cost more.)
var (
	singles = []string{
		"permute+scale", "noise=0.1+permute+scale", "noise=0.3+permute+scale", "prune=0.5+permute+scale", "prune=0.8+permute+scale", "quantize=6+permute+scale",
		"quantize=4+permute+scale", "quantize=3+permute+scale", "finetune=1:rate=0.01+permute+scale", "dummy=0.25+permute+scale", "remove=0.05+permute+scale", "overwrite=64+permute+scale", "cast=f16+permute+scale",
	}
	pairs = []string{
		"noise=0.1+prune=0.5+permute+scale", "noise=0.1+quantize=5+permute+scale", "prune=0.5+quantize=5+permute+scale", "finetune=1:rate=0.01+quantize=5+permute+scale",
		"finetune=1:rate=0.01+prune=0.5+permute+scale", "dummy=0.25+noise=0.1+permute+scale", "overwrite=64+quantize=5+permute+scale", "prune=0.5+finetune=1:rate=0.01+permute+scale",
	}
)

func (c *config) list() []string {
	switch {
	case c.attack != "":
		return strings.Split(c.attack, ",")
	case c.quick:
		return append(append([]string(nil), singles[:5]...), pairs[0])
	}
	return append(append([]string(nil), singles...), pairs...)
}

// newKey is a key by number; the payload is drawn like it.
func newKey(seed int) *mark.Key {
	var s [32]byte
	s[0], s[1], s[2] = byte(seed), byte(seed>>8), byte(seed>>16)
	r := rand.NewChaCha8(s)
	p := make([]byte, 8)
	for i := range p {
		p[i] = byte(r.Uint64())
	}
	k, err := mark.NewKey(r, mark.Identity{Owner: fmt.Sprint("bench ", seed), Payload: p})
	if err != nil {
		panic("internal error: " + err.Error()) // a source of random numbers does not end
	}
	return k
}

func embed(scheme string, set *tensor.Set, k *mark.Key, o *mark.Options) (*mark.Embedded, error) {
	s, err := mark.Find(scheme)
	if err != nil {
		return nil, err
	}
	p, err := s.Plan(set, k, o)
	if err != nil {
		return nil, err
	}
	return s.Embed(set, k, p)
}

func extract(suspect, ref *tensor.Set, k mark.Secrets, p *mark.Parameters) (*mark.Reading, error) {
	s, err := mark.Find(p.Scheme)
	if err != nil {
		return nil, err
	}
	return s.Extract(suspect, ref, k, p)
}

// do attacks a marked network.
func (c *config) do(n *network, set *tensor.Set, text string, seed uint64) (*attack.Result, error) {
	chain, err := attack.Parse(text)
	if err != nil {
		return nil, err
	}
	o := &attack.Options{Seed: seed, Unproved: true}
	if n.train != nil {
		o.Trainer = &attack.Trainer{Backend: native.Backend{}, Data: n.train}
	}
	g, err := with(n.graph, set)
	if err != nil {
		return nil, err
	}
	return chain.Apply(c.ctx, attack.Network{Set: set, Spec: n.spec, Graph: g}, o)
}

// attacks prints for each attack the accuracy that it costs, and the worst reading of all
// keys.
func (c *config) attacks(all []*network) error {
	fmt.Fprintf(c.out, "## Attacks\n\n%d keys for each network; the worst of them. drop: points of accuracy, the mean. Readings after alignment to the unmarked network.\n\n", c.keys)
	fmt.Fprintln(c.out, "| network | attack | drop | keyed z | log10 p | payload z | log10 p | BER % | named |\n|---|---|---:|---:|---:|---:|---:|---:|---:|")
	for _, n := range all {
		for _, text := range c.list() {
			if err := c.attackRow(n, text); err != nil {
				return fmt.Errorf("%s, %s: %w", n.name, text, err)
			}
			if err := c.out.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *config) attackRow(n *network, text string) error {
	var drop, ber float64
	z, p := map[string]float64{}, map[string]float64{}
	named, misread := 0, 0
	for i := range c.keys {
		k := newKey(i + 1)
		for _, scheme := range []string{"keyed", "payload"} {
			e, err := embed(scheme, n.set, k, nil)
			if err != nil {
				return err
			}
			r, err := c.do(n, e.Set, text, uint64(i))
			if errors.Is(err, attack.ErrNetwork) {
				fmt.Fprintf(c.out, "| %s | %s | not possible: %v |\n", n.name, text, err)
				return nil
			}
			if err != nil {
				return err
			}
			if scheme == "keyed" {
				a, err := c.accuracy(n, r.Graph, r.Set)
				if err != nil {
					return err
				}
				drop += 100 * (n.base - a) / float64(c.keys)
			}
			a, err := mark.Align(n.set, n.spec, r.Set, nil)
			if err != nil {
				return err
			}
			d, err := extract(a.Set, n.set, k, e.Parameters)
			if err != nil {
				return err
			}
			if i == 0 || d.Log10P > p[scheme] {
				z[scheme], p[scheme] = d.Z, d.Log10P
			}
			if scheme == "payload" {
				ber = max(ber, *d.BER)
				switch d.Payload {
				case fmt.Sprintf("%x", k.Payload):
					named++
				case "":
				default:
					misread++
				}
			}
		}
	}
	_, err := fmt.Fprintf(c.out, "| %s | %s | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f | %d of %d |\n",
		n.name, text, drop, z["keyed"], p["keyed"], z["payload"], p["payload"], 100*ber, named, c.keys)
	if misread > 0 {
		return fmt.Errorf("%d payloads were read as another", misread)
	}
	return err
}

// uchida prints the bit error rates of the published mark before and after alignment, on
// the tensors of the marked copy that carry no mark.
func (c *config) uchida(all []*network) error {
	list := []string{"permute", "permute+noise=0.5", "permute+noise=1", "permute+prune=0.9", "permute+prune=0.95", "permute+quantize=4", "permute+finetune=1:rate=0.01"}
	fmt.Fprintf(c.out, "## Uchida's mark after a shuffle\n\n64 bits, %d keys, mean BER in %%: of the attack without the shuffle, with it, and after alignment to unmarked tensors of the copy.\n\n", c.keys)
	fmt.Fprintln(c.out, "| network | layer | attack | no shuffle | shuffled | aligned | matched % |\n|---|---|---|---:|---:|---:|---:|")
	for _, n := range all {
		tensorName, err := c.uchidaLayer(n)
		if err != nil {
			return err
		}
		for _, text := range list {
			var ber [3]float64
			psi := 0.0
			for i := range c.keys {
				k := newKey(i + 1)
				e, err := embed("uchida", n.set, k, &mark.Options{Only: []string{tensorName}, MaxChange: 0.3})
				if err != nil {
					return err
				}
				r, err := c.do(n, e.Set, text, uint64(i))
				if err != nil {
					return err
				}
				a, err := mark.Align(e.Set, n.spec, r.Set, &mark.AlignOptions{Marked: e.Parameters.Tensors})
				if err != nil {
					return err
				}
				sets := []*tensor.Set{nil, r.Set, a.Set}
				plain := strings.TrimPrefix(strings.TrimPrefix(text, "permute"), "+")
				if sets[0] = e.Set; plain != "" {
					u, err := c.do(n, e.Set, plain, uint64(i))
					if err != nil {
						return err
					}
					sets[0] = u.Set
				}
				for j, s := range sets {
					d, err := extract(s, nil, k, e.Parameters)
					if err != nil {
						return err
					}
					ber[j] += 100 * *d.BER / float64(c.keys)
				}
				psi += 100 * float64(a.Matched) / float64(a.Neurons) / float64(c.keys)
			}
			fmt.Fprintf(c.out, "| %s | %s | %s | %.1f | %.1f | %.1f | %.1f |\n", n.name, tensorName, text, ber[0], ber[1], ber[2], psi)
		}
	}
	return nil
}

// uchidaLayer is the tensor with room for 64 bits whose inputs can be shuffled, and the
// most of them.
func (c *config) uchidaLayer(n *network) (string, error) {
	s, err := mark.Find("uchida")
	if err != nil {
		return "", err
	}
	best, most := "", 0
	for i := range n.spec.Groups {
		for _, p := range n.spec.Groups[i].Places {
			t := n.set.Lookup(p.Tensor)
			if t == nil || p.Axis != 1 || len(t.Shape) < 2 {
				continue
			}
			bits, err := s.Capacity(n.set, &mark.Options{Only: []string{p.Tensor}})
			if err != nil {
				continue // too small
			}
			if _, err := mark.Align(n.set, n.spec, n.set, &mark.AlignOptions{Marked: []string{p.Tensor}, Context: c.ctx}); errors.Is(err, mark.ErrMarked) {
				continue
			}
			if size := int(t.Elems()); bits >= 64 && size > most && size < 1<<17 {
				best, most = p.Tensor, size
			}
		}
	}
	if best == "" {
		return "", fmt.Errorf("%s has no layer for 64 bits", n.name)
	}
	return best, nil
}
