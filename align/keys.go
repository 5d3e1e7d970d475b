package align

import (
	"cmp"
	"math"
	"slices"

	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// Keys are numbers of a neuron that tell which it is by themselves: those of biases, norms
// and statistics, of which it has one each. Damage of weights leaves them as they are, to all
// digits, and what factors do to them cancels in products of several. So where most neurons of
// a group have a partner of the same keys, and no other, nothing has to be guessed of these: that
// is no chance, whatever became of the weights.

const (
	// keyTolerance is how far the logarithm of a key may be off: a few roundings to float32.
	keyTolerance = 2e-6
	// minKeyed is how many neurons of a group have to be told by their keys, and minKeyedShare
	// which share of those that both have.
	minKeyed      = 4
	minKeyedShare = 0.8
	// minAlone is which share of them has to be told from all others by that.
	minAlone = 0.4
)

// ByKeys puts the neurons that their keys tell where they belong, with certainty, and returns the
// number of neurons in groups that are told so, and that of all. Keys are the numbers that a neuron
// has one of each of: biases, norms and statistics, or products of them that factors do not
// change. Of other neurons in these groups, those keep their partners who still may have
// them. spec is of the reference; the result is one of [MatchNetworks] for it, in memory.
func (r *NetworkResult) ByKeys(spec *symmetry.Spec, ref, sus *tensor.Set) (told, all int, err error) {
	for g := range spec.Groups {
		group := &spec.Groups[g]
		i := slices.IndexFunc(r.Classes, func(c ClassResult) bool { return c.Name == group.Name })
		if i < 0 {
			continue
		}
		c := &r.Classes[i]
		all += len(c.Sus)
		a, b, err := keysOf(group, ref, sus, len(c.Sus), len(c.Ref))
		if err != nil {
			return 0, 0, err
		}
		for _, k := range [][2][][]float64{{a.plain, b.plain}, {a.free, b.free}} {
			list, tells := keyedPairs(k[0], k[1])
			if !tells {
				continue
			}
			partners, _ := mutual(list, len(c.Ref))
			for i, j := range partners { // what was added may have the norms of a neuron that is gone
				if j >= 0 && r.Whole && len(c.Sus) != len(c.Ref) && c.Sus[i] < 0 {
					partners[i] = -1
				}
				if j >= 0 && slices.ContainsFunc(c.Added, func(d Dummy) bool { return d.Sus == j && d.Kind != Stranger }) {
					partners[i] = -1
				}
			}
			c.place(partners)
			told += len(c.Sus)
			break
		}
	}
	return told, all, nil
}

// keys are those of all neurons of a group on one side. A neuron of which some number is zero
// has none.
type keys struct {
	plain [][]float64 // logarithms of the numbers as they are, and their signs
	free  [][]float64 // of products that no factor of the group changes
}

// keysOf returns the keys of both sides.
func keysOf(g *symmetry.Group, ref, sus *tensor.Set, n, m int) (a, b keys, err error) {
	var powers [][]float64 // of each place, by factor
	for k := range g.Places {
		p := &g.Places[k]
		x, y := ref.Lookup(p.Tensor), sus.Lookup(p.Tensor)
		if p.Tensors != nil || p.Run != 1 || x == nil || y == nil || len(x.Shape) != 1 || len(y.Shape) != 1 || !x.DType.Numeric() || !y.DType.Numeric() {
			continue
		}
		v, err := x.Float32s()
		if err != nil {
			return a, b, err
		}
		w, err := y.Float32s()
		if err != nil {
			return a, b, err
		}
		if !a.add(p, v, n) || !b.add(p, w, m) {
			a.drop(len(powers))
			continue
		}
		row := make([]float64, len(g.Factors))
		for _, act := range p.Acts {
			row[act.Factor] += float64(act.Power)
		}
		powers = append(powers, row)
	}
	release(&a, &b, powers)
	return a, b, nil
}

// release finds the free keys of both sides, where powers are those of each factor in each number.
func release(a, b *keys, powers [][]float64) {
	for _, c := range cancelling(powers) {
		a.combine(c)
		b.combine(c)
	}
}

// add adds the numbers of a place; it returns false if there are not as many as neurons.
func (k *keys) add(p *symmetry.Place, values []float32, neurons int) bool {
	k.room(neurons)
	for i := range neurons {
		if p.Position(i, 0) >= len(values) {
			return false
		}
	}
	for i := range neurons {
		k.append(i, float64(values[p.Position(i, 0)])+p.Epsilon)
	}
	return true
}

// room makes some for the keys of neurons, if there is none.
func (k *keys) room(neurons int) {
	if k.plain == nil {
		k.plain, k.free = make([][]float64, neurons), make([][]float64, neurons)
	}
}

// append adds a number of neuron i.
func (k *keys) append(i int, v float64) {
	k.plain[i] = append(k.plain[i], math.Log(math.Abs(v)))
}

// drop leaves only the first n numbers.
func (k *keys) drop(n int) {
	for i := range k.plain {
		k.plain[i] = k.plain[i][:min(n, len(k.plain[i]))]
	}
}

// combine adds a product of numbers to the free keys.
func (k *keys) combine(powers []float64) {
	for i, x := range k.plain {
		sum := 0.0
		for p, v := range x {
			if powers[p] != 0 {
				sum += powers[p] * v
			}
		}
		k.free[i] = append(k.free[i], sum)
	}
}

// cancelling returns a basis of the combinations of rows that are zero.
func cancelling(rows [][]float64) [][]float64 {
	type pair struct{ row, of []float64 }
	list := make([]pair, len(rows))
	for i, r := range rows {
		list[i] = pair{slices.Clone(r), make([]float64, len(rows))}
		list[i].of[i] = 1
	}
	if len(rows) == 0 {
		return nil
	}
	for column := range rows[0] {
		at := slices.IndexFunc(list, func(p pair) bool { return p.row[column] != 0 })
		if at < 0 {
			continue
		}
		pivot := list[at]
		list = slices.Delete(list, at, at+1)
		for i := range list {
			f := list[i].row[column] / pivot.row[column]
			if f == 0 {
				continue
			}
			for k := range list[i].row {
				list[i].row[k] -= f * pivot.row[k]
			}
			for k := range list[i].of {
				list[i].of[k] -= f * pivot.of[k]
			}
		}
	}
	var out [][]float64
	for _, p := range list {
		out = append(out, p.of)
	}
	return out
}

// alikeKeys returns for each of a those of b whose keys are the same.
func alikeKeys(a, b [][]float64) [][]int {
	usable := func(k []float64) bool {
		return len(k) > 0 && !slices.ContainsFunc(k, func(v float64) bool { return v-v != 0 })
	}
	var order []int
	for j := range b {
		if usable(b[j]) {
			order = append(order, j)
		}
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(b[i][0], b[j][0]) })
	like := func(i int) (list []int) {
		if !usable(a[i]) {
			return nil
		}
		from, _ := slices.BinarySearchFunc(order, a[i][0]-keyTolerance, func(j int, v float64) int { return cmp.Compare(b[j][0], v) })
		for _, j := range order[from:] {
			if b[j][0] > a[i][0]+keyTolerance {
				break
			}
			if sameKeys(a[i], b[j]) {
				list = append(list, j)
			}
		}
		return list
	}
	out := make([][]int, len(a))
	for i := range a {
		out[i] = like(i)
	}
	return out
}

// mutual returns the partner of each neuron, -1 for none: the only one of its list, if that is on no
// other of the lists, which are of size neurons. It returns how many have one.
func mutual(list [][]int, size int) (partners []int, n int) {
	back := make([]int, size) // on how many lists each is
	for _, l := range list {
		for _, j := range l {
			back[j]++
		}
	}
	partners = slices.Repeat([]int{-1}, len(list))
	for i, l := range list {
		if len(l) == 1 && back[l[0]] == 1 {
			partners[i] = l[0]
			n++
		}
	}
	return partners, n
}

const (
	// keyed is how much likelier, as a natural logarithm, a pair is that has the same keys: less than
	// what weights say that nobody damaged.
	keyed = 25
	// maxCopies is how many neurons may have the keys of one, on average: those that were added have
	// them of others.
	maxCopies = 3
)

// addKeys adds the evidence of keys, where those of most neurons are in both. Several of the suspect's
// neurons may have the same, as dummies that were made of a neuron do, and weights tell these.
func (e *evidence) addKeys(g *Group) {
	var a, b keys
	var powers [][]float64
	for k := range g.Views {
		v := &g.Views[k]
		if v.Dim != 1 {
			continue
		}
		a.each(v.Ref)
		b.each(v.Sus)
		row := make([]float64, len(g.Factors))
		for _, act := range v.Acts {
			row[act.Factor] += float64(act.Power)
		}
		powers = append(powers, row)
	}
	release(&a, &b, powers)
	list, told := keyedPairs(a.free, b.free)
	if !told {
		return
	}
	// What was added may have the norms of a neuron that is gone. Its weights are none of that
	// neuron's, which shows if they are those of other pairs.
	weights := func(i, j int) float64 {
		k := i*e.m + j
		x := e.plain[k]
		if len(e.signed) > 0 {
			y, _ := e.signPlan().best(e.signed, k)
			x += y
		}
		return float64(x)
	}
	var usual []float64
	for i, l := range list {
		best := math.Inf(-1)
		for _, j := range l {
			best = max(best, weights(i, j))
		}
		if len(l) > 0 {
			usual = append(usual, best)
		}
	}
	least := median(usual) / 4
	for i, l := range list {
		for _, j := range l {
			if least <= 0 || weights(i, j) >= least {
				e.plain[i*e.m+j] += keyed
			}
		}
	}
}

// keyedPairs returns for each of a those of b with the same keys, and whether that tells who is who:
// most have some, enough have one of their own, and the others few.
func keyedPairs(a, b [][]float64) (list [][]int, told bool) {
	list = alikeKeys(a, b)
	_, n := mutual(list, len(b))
	some, all := 0, 0
	for _, l := range list {
		if all += len(l); len(l) > 0 {
			some++
		}
	}
	least := float64(min(len(a), len(b)))
	told = n >= minKeyed && float64(n) >= minAlone*least && float64(some) >= minKeyedShare*least && all <= maxCopies*some
	return list, told
}

// each adds a number of each neuron.
func (k *keys) each(values []float32) {
	k.room(len(values))
	for i, v := range values {
		k.append(i, float64(v))
	}
}

func sameKeys(a, b []float64) bool {
	for k := range a {
		if math.Abs(a[k]-b[k]) > keyTolerance {
			return false
		}
	}
	return true
}

// place gives neurons the partners that are known, and leaves the others theirs as far as
// these are not taken; where both sides have as many neurons, the rest get what is left.
func (r *ClassResult) place(known []int) {
	taken := make([]bool, len(r.Ref))
	for _, j := range known {
		if j >= 0 {
			taken[j] = true
		}
	}
	var open []int
	for i, j := range r.Sus {
		switch {
		case known[i] >= 0:
			if j != known[i] {
				for f := range r.Scale {
					r.Scale[f][i] = 1
				}
			}
			r.Sus[i] = known[i]
			if r.Certainty != nil {
				r.Certainty[i] = 1
			}
		case j >= 0 && taken[j]:
			r.Sus[i] = -1
			open = append(open, i)
		case j >= 0:
			taken[j] = true
		default:
			open = append(open, i)
		}
	}
	if len(r.Sus) == len(r.Ref) {
		for _, i := range open {
			j := slices.Index(taken, false)
			r.Sus[i], taken[j] = j, true
			if r.Certainty != nil {
				r.Certainty[i] = 0
			}
		}
	}
	for j := range r.Ref {
		r.Ref[j] = -1
	}
	for i, j := range r.Sus {
		if j >= 0 {
			r.Ref[j] = i
		}
	}
	r.Added = slices.DeleteFunc(slices.Clone(r.Added), func(d Dummy) bool { return r.Ref[d.Sus] >= 0 })
	r.Merged = slices.DeleteFunc(slices.Clone(r.Merged), func(m Merge) bool { return r.Ref[m.Neuron] >= 0 || r.Ref[m.Into] < 0 })
	for j, i := range r.Ref {
		if i < 0 && len(r.Ref) > len(r.Sus) && !slices.ContainsFunc(r.Added, func(d Dummy) bool { return d.Sus == j }) {
			r.Added = append(r.Added, Dummy{Sus: j, Kind: Stranger, Of: -1})
		}
	}
	r.Ambiguous = slices.DeleteFunc(slices.Clone(r.Ambiguous), func(a Ambiguity) bool { return known[a.Ref] >= 0 })
}
