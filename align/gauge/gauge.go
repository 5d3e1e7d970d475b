// Package gauge finds what neurons of a network were multiplied by, once it is known
// which they are: better than the sums of squares that a match rests on can. Most damage
// leaves some numbers as they were, or nearly; the ratios of these tell the factor.
package gauge

import (
	"cmp"
	"math"
	"slices"

	"ropewalk/align"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// Settle decides what neurons were multiplied by, better than the sums of squares
// that a match rests on can: each number that is left of a neuron has a ratio to what
// it was, of which the median is taken. What was pruned, edited or rounded far off then says
// nothing. Factors that do not explain much more than none does become 1.
//
// The suspect's tensors are in the reference's order with no factor taken back. It
// changes the scales of found, and returns whether any is left, and which share of the
// factors is told by what is exact.
func Settle(spec *symmetry.Spec, ref, moved *tensor.Set, found *align.NetworkResult) (rescaled bool, told float64, err error) {
	f, err := newFactors(spec, ref, moved, found)
	if err != nil || len(f.tensors) == 0 {
		return false, 0, err
	}
	f.begin()
	for range 16 {
		if f.sweep() < align.Rounding {
			break
		}
	}
	f.turn()
	f.unflip()
	rescaled, told = f.decide()
	return rescaled, told, nil
}

// factors is a fit of all factors of a network.
type factors struct {
	classes []class
	tensors []*compared
}

// A class is a group, with its factors by reference neuron.
type class struct {
	*symmetry.Group
	result *align.ClassResult
	logs   [][]float64 // of the magnitude, by factor
	signs  [][]float64 // 1 or -1
	told   [][]bool    // by biases or norms that are as they were
	turned [][]bool    // of opposite sign, by these
	places []*seen
}

// A seen is a place of a class in a tensor that both have.
type seen struct {
	*symmetry.Place
	tensor *compared
	size   int // neurons
}

// compared is a tensor on both sides.
type compared struct {
	x, y []float32
	dims []int
	own  [][][]owner // of each axis and position
	// doubt marks positions of each axis whose neurons may be others than those of the
	// reference; nil is none.
	doubt [][]bool
	scale float64 // the mean square of y where it is not 0
}

// An owner is a neuron that has a position, by a place.
type owner struct {
	class, neuron int
	place         *symmetry.Place
}

func newFactors(spec *symmetry.Spec, ref, moved *tensor.Set, found *align.NetworkResult) (*factors, error) {
	f := &factors{}
	byName := map[string]*compared{}
	for g := range spec.Groups {
		group := &spec.Groups[g]
		i := slices.IndexFunc(found.Classes, func(c align.ClassResult) bool { return c.Name == group.Name })
		if i < 0 || len(group.Factors) == 0 || len(found.Classes[i].Scale) != len(group.Factors) {
			continue
		}
		c := class{Group: group, result: &found.Classes[i]}
		for k := range group.Factors {
			logs, signs := make([]float64, group.Size), make([]float64, group.Size)
			for n, x := range c.result.Scale[k] {
				logs[n], signs[n] = math.Log(math.Abs(x)), math.Copysign(1, x)
				if x == 0 || x-x != 0 {
					logs[n] = 0
				}
			}
			c.logs, c.signs, c.told = append(c.logs, logs), append(c.signs, signs), append(c.told, make([]bool, group.Size))
			c.turned = append(c.turned, make([]bool, group.Size))
		}
		for k := range group.Places {
			p := &group.Places[k]
			if p.Tensors != nil {
				continue
			}
			t, ok := byName[p.Tensor]
			if !ok {
				var err error
				if t, err = compare(ref.Lookup(p.Tensor), moved.Lookup(p.Tensor), p.Epsilon); err != nil {
					return nil, err
				}
				byName[p.Tensor] = t
				if t != nil {
					f.tensors = append(f.tensors, t)
				}
			}
			if t == nil {
				continue
			}
			c.places = append(c.places, &seen{p, t, group.Size})
			for n := range group.Size {
				for r := range p.Run {
					at := p.Position(n, r)
					t.own[p.Axis][at] = append(t.own[p.Axis][at], owner{len(f.classes), n, p})
				}
			}
		}
		f.classes = append(f.classes, c)
	}
	for _, t := range f.tensors {
		t.doubt = make([][]bool, len(t.dims))
		for a := range t.own {
			for at, owners := range t.own[a] {
				for _, o := range owners {
					if f.classes[o.class].result.Doubtful(o.neuron) {
						if t.doubt[a] == nil {
							t.doubt[a] = make([]bool, t.dims[a])
						}
						t.doubt[a][at] = true
					}
				}
			}
		}
	}
	return f, nil
}

// compare reads a tensor on both sides, with epsilon added to all numbers: it is what
// factors multiply, too; nil if they can't be compared number by number.
func compare(a, b *tensor.Tensor, epsilon float64) (*compared, error) {
	if a == nil || b == nil || !a.Shape.Equal(b.Shape) || !a.DType.Numeric() || !b.DType.Numeric() {
		return nil, nil
	}
	x, err := a.Float32s()
	if err != nil {
		return nil, err
	}
	y, err := b.Float32s()
	if err != nil {
		return nil, err
	}
	if epsilon != 0 {
		for i := range x {
			x[i] += float32(epsilon)
			y[i] += float32(epsilon)
		}
	}
	t := &compared{x: x, y: y}
	for _, n := range a.Shape {
		t.dims = append(t.dims, int(n))
		t.own = append(t.own, make([][]owner, n))
	}
	n := 0
	for _, v := range y {
		if v != 0 {
			n++
			t.scale += float64(v) * float64(v)
		}
	}
	t.scale /= float64(max(1, n))
	return t, nil
}

// gain returns the logarithm of what the owners of a position multiply it by, and its
// sign, but for what factor skip of class c does.
func (f *factors) gain(owners []owner, c, skip int) (log, sign float64) {
	sign = 1
	for _, o := range owners {
		for _, a := range o.place.Acts {
			if o.class == c && a.Factor == skip {
				continue
			}
			log += float64(a.Power) * f.classes[o.class].logs[a.Factor][o.neuron]
			if a.Odd {
				sign *= f.classes[o.class].signs[a.Factor][o.neuron]
			}
		}
	}
	return log, sign
}

// gains returns that for all positions of an axis.
func (f *factors) gains(t *compared, axis, c, skip int) (logs, signs []float64) {
	logs, signs = make([]float64, t.dims[axis]), make([]float64, t.dims[axis])
	for i, owners := range t.own[axis] {
		logs[i], signs[i] = f.gain(owners, c, skip)
	}
	return logs, signs
}

// A sample is a ratio, and how much it counts.
type sample struct{ log, weight float64 }

// maxSamples bounds the numbers of a neuron at one place that are looked at.
const maxSamples = 1024

// A factorOf is a factor of a class, by numbers.
type factorOf struct{ class, factor int }

// begin finds magnitudes one after the other, each from places where all other factors
// are known by then: from the network's input on, and from norms. Sweeps alone could stay where
// the factors of two layers are off by the same, which the weights between them don't show.
func (f *factors) begin() {
	known := map[factorOf]bool{}
	var open []factorOf
	for c := range f.classes {
		for k, gauge := range f.classes[c].Factors {
			if gauge == symmetry.Sign {
				known[factorOf{c, k}] = true
			} else {
				open = append(open, factorOf{c, k})
			}
		}
	}
	for len(open) > 0 {
		before := len(open)
		open = slices.DeleteFunc(open, func(x factorOf) bool {
			places := slices.DeleteFunc(slices.Clone(f.classes[x.class].places), func(p *seen) bool {
				return powerOf(p.Acts, x.factor) == 0 || slices.ContainsFunc(f.actsOn(p.tensor), func(y factorOf) bool { return y != x && !known[y] })
			})
			if len(places) == 0 {
				return false
			}
			f.find(x, places)
			known[x] = true
			return true
		})
		if len(open) == before { // nothing to begin with: it is as the match has it
			known[open[0]] = true
			open = open[1:]
		}
	}
}

// actsOn returns the factors that change magnitudes in a tensor.
func (f *factors) actsOn(t *compared) []factorOf {
	var out []factorOf
	for c := range f.classes {
		for _, p := range f.classes[c].places {
			if p.tensor != t {
				continue
			}
			for _, a := range p.Acts {
				if a.Power != 0 {
					out = append(out, factorOf{c, a.Factor})
				}
			}
		}
	}
	return out
}

// sweep finds all magnitudes anew, each with the others as they are. It returns the
// largest change.
func (f *factors) sweep() (change float64) {
	for c := range f.classes {
		for k, gauge := range f.classes[c].Factors {
			if gauge != symmetry.Sign {
				change = max(change, f.find(factorOf{c, k}, f.classes[c].places))
			}
		}
	}
	return change
}

// find finds the magnitudes of a factor from some places, and returns the largest change.
func (f *factors) find(x factorOf, places []*seen) (change float64) {
	class := &f.classes[x.class]
	weights, vectors := make([][]sample, class.Size), make([][]sample, class.Size)
	for _, p := range places {
		power := float64(powerOf(p.Acts, x.factor))
		if power == 0 {
			continue
		}
		into := weights
		if len(p.tensor.dims) == 1 {
			into = vectors
		}
		f.visit(p, x.class, x.factor, func(n int, a, b, log, _ float64) {
			if a == 0 || b == 0 {
				return
			}
			if r := (math.Log(math.Abs(b/a)) - log) / power; r-r == 0 {
				into[n] = append(into[n], sample{r, math.Abs(a)})
			}
		})
	}
	found := make([]estimate, class.Size)
	for n := range found {
		found[n] = estimated(weights[n], vectors[n])
	}
	usual := offset(found)
	logs := class.logs[x.factor]
	var said []float64 // what vectors say that weights bear out
	for n := range found {
		if class.result.Sus[n] < 0 {
			continue
		}
		m, vector := found[n].choose(usual)
		if class.told[x.factor][n] = vector; vector && found[n].spread <= wideRatios {
			said = append(said, m)
		}
		change = max(change, math.Abs(m-logs[n]))
		logs[n] = m
	}
	// Training does not multiply two numbers by the same. One alone may be anything, unless those of
	// other neurons say what training would not do.
	alone := usual.spread < closeVectors && spread(said) > minSpread
	for n := range found {
		class.told[x.factor][n] = class.told[x.factor][n] && (found[n].vectors > 1 || alone)
	}
	return change
}

// An estimate is what ratios say of one factor.
type estimate struct {
	log, err float64 // the median of weights, and its standard error
	spread   float64 // of weights
	vector   float64 // what biases and norms say
	vectors  int     // how many of them agree in that to rounding
	exact    bool    // many weights agree in log to rounding
}

// estimated looks at the ratios of weights, and at those of biases, norms and statistics,
// which most damage leaves alone.
func estimated(weights, vectors []sample) estimate {
	e := estimate{spread: math.Inf(1)}
	if len(weights) > 0 {
		e.log = median(weights)
		at, n := cluster(weights)
		if e.exact = n >= minCluster && 4*n >= len(weights) || n == len(weights) && n > 1; e.exact {
			e.log = at
		}
		e.spread = quartiles(weights)
		e.err = 1.25 * e.spread / math.Sqrt(float64(len(weights)))
	}
	if len(vectors) > 0 {
		median(vectors) // sorts
		e.vector, e.vectors = cluster(vectors)
	}
	return e
}

// minCluster is how many ratios of weights have to agree to rounding to be no chance.
const minCluster = 8

// cluster returns the middle of the most of sorted ratios that agree to rounding, and how
// many they are.
func cluster(s []sample) (middle float64, most int) {
	from := 0
	for to := range s {
		for s[to].log-s[from].log > 2*align.Rounding {
			from++
		}
		if n := to - from + 1; n > most {
			middle, most = s[(from+to)/2].log, n
		}
	}
	return middle, most
}

// quartiles returns the standard deviation of most of the sorted ratios.
func quartiles(s []sample) float64 { return (s[len(s)*3/4].log - s[len(s)/4].log) / 1.349 }

// A usualOffset is how far medians of weights are from what biases and norms say, in
// most neurons: quantizers make all weights of a kind larger or smaller.
type usualOffset struct{ log, spread float64 }

func offset(found []estimate) usualOffset {
	var d []float64
	for _, e := range found {
		if e.vectors > 0 && e.spread < wideRatios {
			d = append(d, e.log-e.vector)
		}
	}
	if len(d) == 0 {
		return usualOffset{spread: math.Inf(1)}
	}
	slices.Sort(d)
	return usualOffset{d[len(d)/2], spread(d)}
}

// How much the offset may spread for biases and norms to be what they were, and how
// much the ratios of a neuron for them to tell its factor.
const (
	closeVectors = 0.15
	wideRatios   = 0.7
)

// choose returns the logarithm of a factor: what many weights or several vectors
// agree in, else what one vector says if it is near to what weights say, or they say
// nothing; else the median of weights; 0 if there is nothing to tell. It returns whether it
// is what a vector says.
func (e *estimate) choose(usual usualOffset) (log float64, vector bool) {
	near := 4 * e.err
	if usual.spread < closeVectors {
		near = max(near, 4*usual.spread)
	} else {
		usual.log = 0
	}
	switch {
	case e.exact || e.vectors == 0:
		return e.log, false
	case e.vectors > 1 || e.spread > wideRatios || math.Abs(e.log-e.vector-usual.log) <= near:
		return e.vector, true
	}
	return e.log, false
}

func powerOf(acts []symmetry.Act, factor int) int {
	for _, a := range acts {
		if a.Factor == factor {
			return a.Power
		}
	}
	return 0
}

// median returns the weighted one.
func median(s []sample) float64 {
	slices.SortFunc(s, func(a, b sample) int { return cmp.Compare(a.log, b.log) })
	total := 0.0
	for _, x := range s {
		total += x.weight
	}
	sum := 0.0
	for i, x := range s {
		sum += x.weight
		if sum > total/2 {
			return x.log
		}
		if sum == total/2 && i+1 < len(s) {
			return (x.log + s[i+1].log) / 2
		}
	}
	return s[len(s)-1].log
}

// visit calls yield for the numbers of each neuron at a place: of the reference, of the suspect,
// and the logarithm and sign of what all factors but skip of class c have made of it.
func (f *factors) visit(p *seen, c, skip int, yield func(neuron int, x, y, log, sign float64)) {
	t := p.tensor
	outer, inner := 1, 1
	for a, n := range t.dims {
		if a < p.Axis {
			outer *= n
		} else if a > p.Axis {
			inner *= n
		}
	}
	logs, signs := make([][]float64, len(t.dims)), make([][]float64, len(t.dims))
	for a := range t.dims {
		logs[a], signs[a] = f.gains(t, a, c, skip)
	}
	// The gains of what is before and behind the axis, by position.
	before, sBefore := product(logs[:p.Axis], signs[:p.Axis], t.dims[:p.Axis])
	behind, sBehind := product(logs[p.Axis+1:], signs[p.Axis+1:], t.dims[p.Axis+1:])
	doubtBefore, doubtBehind := AnyOf(t.doubt[:p.Axis], t.dims[:p.Axis]), AnyOf(t.doubt[p.Axis+1:], t.dims[p.Axis+1:])
	all := outer * inner * p.Run
	step := (all + maxSamples - 1) / maxSamples
	for n := range p.size {
		for r := range p.Run {
			at := p.Position(n, r)
			own, sOwn := logs[p.Axis][at], signs[p.Axis][at]
			for z := (n + r) % step; z < outer*inner; z += step {
				o, i := z/inner, z%inner
				if doubtBefore[o] || doubtBehind[i] {
					continue
				}
				k := (o*t.dims[p.Axis]+at)*inner + i
				yield(n, float64(t.x[k]), float64(t.y[k]), own+before[o]+behind[i], sOwn*sBefore[o]*sBehind[i])
			}
		}
	}
}

// AnyOf says of each position of several axes whether any axis marks it.
func AnyOf(marks [][]bool, dims []int) []bool {
	out := []bool{false}
	for a, n := range dims {
		next := make([]bool, 0, len(out)*n)
		for _, x := range out {
			for k := range n {
				next = append(next, x || marks[a] != nil && marks[a][k])
			}
		}
		out = next
	}
	return out
}

// product adds up the logarithms of several axes, and multiplies the signs.
func product(logs, signs [][]float64, dims []int) (l, s []float64) {
	l, s = []float64{0}, []float64{1}
	for a, n := range dims {
		l2, s2 := make([]float64, 0, len(l)*n), make([]float64, 0, len(l)*n)
		for i := range l {
			for k := range n {
				l2, s2 = append(l2, l[i]+logs[a][k]), append(s2, s[i]*signs[a][k])
			}
		}
		l, s = l2, s2
	}
	return l, s
}

// minSign is how many standard deviations a sign has to be off from chance; of neurons
// of few numbers, how far the cosine.
const (
	minSign       = 4
	minSignCosine = 0.95
)

// minTurned is how many biases, norms and statistics have to say so for a sign to be theirs, whatever damaged
// weights say.
const minTurned = 2

// turn gives neurons the signs that their biases, norms and statistics say, of which nothing but the sign
// was changed, if all of them agree and no weights that are left as they were say otherwise.
func (f *factors) turn() {
	for c := range f.classes {
		class := &f.classes[c]
		for k, gauge := range class.Factors {
			if !gauge.Flips() {
				continue
			}
			// Vectors and weights that are just what they were, with this sign and with the other.
			var up, down [2][]int
			for v := range up {
				up[v], down[v] = make([]int, class.Size), make([]int, class.Size)
			}
			for _, p := range class.places {
				if !slices.ContainsFunc(p.Acts, func(a symmetry.Act) bool { return a.Factor == k && a.Odd }) {
					continue
				}
				power, v := float64(powerOf(p.Acts, k)), min(len(p.tensor.dims), 2)-1
				f.visit(p, c, k, func(n int, x, y, log, sign float64) {
					x *= sign * math.Exp(log+power*class.logs[k][n])
					switch off := 2 * align.Rounding * math.Abs(y); {
					case y == 0:
					case math.Abs(y-x) <= off:
						up[v][n]++
					case math.Abs(y+x) <= off:
						down[v][n]++
					}
				})
			}
			for n := range class.signs[k] {
				switch {
				case up[0][n] >= minTurned && down[0][n] == 0 && down[1][n] <= up[1][n]:
					class.signs[k][n] = 1
				case down[0][n] >= minTurned && up[0][n] == 0 && up[1][n] <= down[1][n]:
					class.signs[k][n], class.turned[k][n] = -1, true
				}
			}
		}
	}
}

// unflip takes back signs that what is left of a neuron does not bear out.
func (f *factors) unflip() {
	for c := range f.classes {
		class := &f.classes[c]
		for k := range class.Factors {
			xy, xx, yy, count := make([]float64, class.Size), make([]float64, class.Size), make([]float64, class.Size), make([]float64, class.Size)
			for _, p := range class.places {
				if !slices.ContainsFunc(p.Acts, func(a symmetry.Act) bool { return a.Factor == k && a.Odd }) || p.tensor.scale == 0 {
					continue
				}
				power := float64(powerOf(p.Acts, k))
				f.visit(p, c, k, func(n int, x, y, log, sign float64) {
					if y != 0 {
						x *= sign * math.Exp(log+power*class.logs[k][n])
						xy[n] += x * y / p.tensor.scale
						xx[n] += x * x / p.tensor.scale
						yy[n] += y * y / p.tensor.scale
						count[n]++
					}
				})
			}
			for n, s := range class.signs[k] {
				if s < 0 && !class.turned[k][n] && -xy[n]*math.Sqrt(count[n]) < min(minSign, minSignCosine*math.Sqrt(count[n]))*math.Sqrt(xx[n]*yy[n]) {
					class.signs[k][n] = 1
				}
			}
		}
	}
}

// How much a factor has to explain, to be more than an accident of damage: so many standard
// errors; and so much that little is left, or in a group whose factors spread so much.
// Factors nearer to 1 than tiny are nobody's doing, unless all agree: rounding to a narrow type looks so.
const (
	tiny      = 1.0 / (1 << 8)
	minErrors = 6
	minExact  = 0.02 // share of numbers that agree exactly
	minSpread = 0.25
	// minGain is for factors that are told by nothing exact, in a group whose factors do not spread: training
	// makes neurons larger or smaller, too, and often all that are in a layer.
	minGain = 4
)

// decide takes factors of 1 where others explain little, writes all into the result,
// and returns whether any is left, and which share of all is sure.
func (f *factors) decide() (left bool, told float64) {
	known, all := 0, 0
	for c := range f.classes {
		class := &f.classes[c]
		for k, gauge := range class.Factors {
			own, one, count := f.errors(c, k)
			sure := make([]bool, class.Size)
			for n := range one {
				// A bias or a norm that is just what it was says more than all that was damaged.
				// The median of ratios is one of them, so a fit has that one for nothing. A quantizer
				// leaves some weights as they were, by chance or for its ends: these say less.
				switch {
				case one[n].exact > 0 && one[n].exact+1 >= own[n].exact && one[n].vectors >= own[n].vectors:
					class.logs[k][n] = 0
					known++
				case own[n].stands(count[n]) || class.told[k][n]:
					sure[n] = true
					known++
				}
				all++
			}
			wide := spread(class.logs[k]) > minSpread
			agree := func(n int) bool { // nearly all numbers, those that make the neuron and those that read it
				return float64(own[n].exact) > 0.9*count[n] && own[n].made > 0 && own[n].read > 0
			}
			logs := make([]float64, class.Size)
			usual := usualMisfit(own, count)
			for n := range logs {
				if class.result.Sus[n] < 0 {
					continue
				}
				x := class.logs[k][n]
				if class.result.Doubtful(n) && !sure[n] {
					x = 0
				}
				switch {
				case gauge == symmetry.Sign || math.Abs(x) < align.Rounding:
					x = 0
				case math.Abs(x) <= tiny && !agree(n) && !(wide && sure[n]):
					x = 0
				case sure[n]:
				case own[n].weights == 0: // numbers that are no weights would have to tell it
					x = 0
				case one[n].square-own[n].square <= minErrors*minErrors*own[n].square/float64(max(1, own[n].numbers)):
					x = 0
				case one[n].square < minGain*max(own[n].square, usual*float64(own[n].numbers)) && !wide:
					x = 0
				}
				logs[n] = x
			}
			for n, s := range class.signs[k] {
				if class.result.Sus[n] < 0 {
					continue
				}
				x := logs[n]
				if e := math.Round(x / math.Ln2); math.Abs(x-e*math.Ln2) < align.Rounding {
					x = e * math.Ln2
					class.logs[k][n] = x
					class.result.Scale[k][n] = math.Copysign(math.Ldexp(1, int(e)), s)
				} else {
					class.logs[k][n] = x
					class.result.Scale[k][n] = math.Copysign(math.Exp(x), s)
				}
				left = left || class.result.Scale[k][n] != 1
			}
		}
	}
	return left, float64(known) / float64(max(1, all))
}

// A misfit says how far the numbers of a neuron are from those that a factor makes of the
// reference's: the sum of squares, each tensor counting by its own size; and how many
// are equal to rounding.
type misfit struct {
	square float64 // of weights, or of all numbers where weights are few
	others float64 // of biases, norms and statistics
	// numbers is how many square is the sum of, and weights how many of the neuron's are left.
	numbers, weights int
	exact            int
	// made are those of exact that the factor multiplies, and read those that it divides.
	made, read int
	vectors    int // those of exact that are of biases, norms and statistics
}

// stands reports whether so many of count numbers agree exactly that the factor is no estimate. Each
// fit has one of them for nothing, and the fits of neighbours some more, one each.
func (m *misfit) stands(count float64) bool {
	n := float64(m.exact)
	return n > 1 && 2*n > count || n >= minCluster && n > minExact*count
}

// usualMisfit returns how far a number of most neurons is off, squared: a fit to few numbers is
// nearer by chance.
func usualMisfit(own []misfit, count []float64) float64 {
	var x []float64
	for n, m := range own {
		if count[n] > 0 {
			x = append(x, m.square/float64(m.numbers))
		}
	}
	if len(x) == 0 {
		return 0
	}
	slices.Sort(x)
	return x[len(x)/2]
}

func (m *misfit) add(y, x, scale, power float64, vector bool) {
	d := y - x
	if vector {
		m.others += d * d / scale
	} else {
		m.square += d * d / scale
		m.weights++
	}
	m.numbers++
	if math.Abs(d) <= 2*align.Rounding*math.Abs(y) {
		m.exact++
		if power > 0 {
			m.made++
		} else {
			m.read++
		}
		if vector {
			m.vectors++
		}
	}
}

// errors returns, for each neuron, the misfit of what is left of it with its factor and
// with 1 in its place, and of how many numbers.
func (f *factors) errors(c, k int) (own, one []misfit, count []float64) {
	class := &f.classes[c]
	own, one, count = make([]misfit, class.Size), make([]misfit, class.Size), make([]float64, class.Size)
	for _, p := range class.places {
		power := float64(powerOf(p.Acts, k))
		if power == 0 || p.tensor.scale == 0 {
			continue
		}
		odd := slices.ContainsFunc(p.Acts, func(a symmetry.Act) bool { return a.Factor == k && a.Odd })
		vector := len(p.tensor.dims) == 1
		f.visit(p, c, k, func(n int, x, y, log, sign float64) {
			if y == 0 {
				return
			}
			if odd {
				sign *= class.signs[k][n]
			}
			x *= sign * math.Exp(log)
			own[n].add(y, x*math.Exp(power*class.logs[k][n]), p.tensor.scale, power, vector)
			one[n].add(y, x, p.tensor.scale, power, vector)
			count[n]++
		})
	}
	for n := range own {
		own[n].join()
		one[n].join()
	}
	return own, one, count
}

// join counts biases, norms and statistics in where few weights are left. Else weights have to bear a factor
// out: training a pruned network changes the statistics of its neurons by far more.
func (m *misfit) join() {
	if m.weights >= minCluster {
		m.numbers = m.weights
		return
	}
	m.square += m.others
}

// spread returns the standard deviation of most of x: by the quartiles, as of a normal distribution.
func spread(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	if len(s) == 0 {
		return 0
	}
	return (s[len(s)*3/4] - s[len(s)/4]) / 1.349
}
