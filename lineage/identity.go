package lineage

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"ropewalk/align"
	"ropewalk/tensor"
)

// FixedPoints are the neurons that a blind search finds at their own places. If the suspect
// has nothing to do with the reference, its neurons are in one order as well as in any
// other, and a search finds as many at the reference's places as a random shuffle leaves
// there: about one in each group.
type FixedPoints struct {
	Applies    bool         `json:"applies" about:"false if no group could be tested; why says the reason"`
	Why        string       `json:"why,omitempty" about:"why groups were left out"`
	Exact      bool         `json:"exact" about:"the probability is that of the hypothesis in assumption, or an upper bound of it, and no estimate"`
	Bound      bool         `json:"bound,omitempty" about:"log10_p is an upper bound, as the exact number would take too long"`
	Neurons    int          `json:"neurons" about:"that were looked for"`
	Fixed      int          `json:"fixed" about:"that were found at their own place"`
	Expected   float64      `json:"expected" about:"how many a random shuffle leaves in place, on average"`
	Log10P     float64      `json:"log10_p" about:"decimal logarithm of the probability of so many or more; 0 is no evidence, and does not say that the networks are independent"`
	Groups     []FixedGroup `json:"groups,omitempty" about:"in the order in which they were looked at"`
	Assumption string       `json:"assumption" about:"in words"`
	// randomized is a p-value that is uniform under the hypothesis, not only small with
	// the right probability; see tail.randomized.
	randomized float64
}

// FixedGroup is what a search finds in one group of neurons.
type FixedGroup struct {
	Name    string  `json:"name"`
	Neurons int     `json:"neurons" about:"that were looked for: all, or 2048 drawn at random"`
	Numbers int     `json:"numbers" about:"that describe each of them"`
	Fixed   int     `json:"fixed" about:"that were found at their own place"`
	Log10P  float64 `json:"log10_p" about:"decimal logarithm of the probability of so many or more in this group"`
}

// What fixed points rest on, in words.
const fixedAssumption = "If the suspect was made independently of the reference, by an initialization and a training that treat the neurons of a group alike, " +
	"then its neurons are in any order with the same probability, and the numbers of neurons found in place are independent in the groups, each as in a random shuffle. " +
	"Nothing else is assumed: not of the data, nor of the distribution of weights. It does not hold for networks that were both put into an order by some rule, as by size. " +
	"The suspect's neurons were shuffled before the search."

const (
	// maxTested bounds the neurons of a group that are looked for. A random choice of them
	// is exchangeable if all are, and twenty of them in place are as good as any proof.
	maxTested = 2048
	// maxNumbers bounds the numbers of one place that describe a neuron.
	maxNumbers = 4096
)

// fixedPoints looks for the neurons of the reference in the suspect as it is.
//
// Groups are visited one after the other. A group is matched by what its neurons have in
// tensors, or parts of them, all of whose other axes never move or belong to groups visited
// before, which are left in the order that they have. So a match depends on the order
// of this group and of those before. Under the hypothesis the order of each group is
// uniform whatever those before are, hence the number of fixed points is that of a random
// shuffle whatever those before were: they are independent. Which group comes next
// follows from shapes alone.
//
// The suspect's neurons are put into a random order before they are matched. So the
// matching commutes with the order of neurons, in distribution, whatever it does with
// ties and rounding. A neuron that it leaves alone is not in place, which makes
// the result smaller than it might be, and the probability an upper bound.
func fixedPoints(ctx context.Context, ref, sus *tensor.Set, spec *align.Spec, others *align.Spec, seed uint64, threads int) (*FixedPoints, error) {
	w := &walk{ref: ref, sus: sus, spec: spec, visited: make([]bool, len(spec.Classes)), assumed: make([]bool, len(spec.Classes)), seed: seed, threads: threads}
	w.settle(others)
	out := &FixedPoints{Assumption: fixedAssumption, Exact: true}
	var sizes []int
	for {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		c := w.next()
		if c < 0 && w.assume() {
			continue
		}
		if c < 0 {
			break
		}
		g, err := w.visit(c)
		if err != nil {
			return nil, err
		}
		out.Groups = append(out.Groups, *g)
		out.Neurons += g.Neurons
		out.Fixed += g.Fixed
		sizes = append(sizes, g.Neurons)
	}
	out.Expected = float64(len(sizes))
	out.Applies = len(sizes) > 0
	out.Why = w.leftOut(others)
	if out.Applies {
		t := rencontresTail(sizes, out.Fixed)
		out.Log10P, out.Bound = t.atLeast/math.Ln10, t.bound
		out.randomized = t.randomized(rand.New(rand.NewPCG(seed, 1)).Float64())
	}
	return out, nil
}

// A walk goes through the groups of two networks in the order that they have.
type walk struct {
	ref, sus *tensor.Set
	spec     *align.Spec
	visited  []bool // by class
	assumed  []bool // those visited that were not looked for
	fits     []bool // by class: as many neurons on both sides
	places   map[string][]placed
	usable   map[string]bool // tensors that both have in one shape
	seed     uint64
	threads  int
}

// placed is a place of a class.
type placed struct {
	class int
	place *align.Place
}

func (w *walk) settle(others *align.Spec) {
	w.places, w.usable = map[string][]placed{}, map[string]bool{}
	for c := range w.spec.Classes {
		class := &w.spec.Classes[c]
		w.fits = append(w.fits, class.Size == others.Classes[c].Size)
		for k := range class.Places {
			p := &class.Places[k]
			w.places[p.Tensor] = append(w.places[p.Tensor], placed{c, p})
			a, b := w.ref.Lookup(p.Tensor), w.sus.Lookup(p.Tensor)
			w.usable[p.Tensor] = a != nil && b != nil && slices.Equal(a.Shape, b.Shape) && a.DType.Numeric() && b.DType.Numeric()
		}
	}
}

// leftOut says in words which groups were not visited.
func (w *walk) leftOut(others *align.Spec) string {
	var sizes, blank []string
	for c, seen := range w.visited {
		class := &w.spec.Classes[c]
		switch {
		case w.assumed[c]:
			blank = append(blank, class.Name)
		case seen:
		case !w.fits[c]:
			sizes = append(sizes, fmt.Sprintf("%s (%d and %d)", class.Name, class.Size, others.Classes[c].Size))
		}
	}
	text := ""
	if len(sizes) > 0 {
		text = "groups with other numbers of neurons on the two sides have no own places: " + few(sizes)
	}
	if len(blank) > 0 {
		if text != "" {
			text += "; "
		}
		text += "groups that nothing describes but what depends on the order of others were not looked for: " + few(blank)
	}
	return text
}

// next returns the class of which most is known, or -1.
func (w *walk) next() int {
	best, most := -1, 0
	for c := range w.spec.Classes {
		if w.visited[c] || !w.fits[c] {
			continue
		}
		numbers := 0
		for k := range w.spec.Classes[c].Places {
			if v := w.open(c, &w.spec.Classes[c].Places[k]); v != nil {
				numbers += min(v.numbers(), maxElements)
			}
		}
		if numbers > most {
			best, most = c, numbers
		}
	}
	return best
}

// assume takes the smallest class that is left to be in its own order, which describes
// others, and is not looked for itself: nothing is counted that could depend on it. It
// reports whether there was one.
func (w *walk) assume() bool {
	least := -1
	for c := range w.spec.Classes {
		if !w.visited[c] && w.fits[c] && (least < 0 || w.spec.Classes[c].Size < w.spec.Classes[least].Size) {
			least = c
		}
	}
	if least < 0 {
		return false
	}
	w.visited[least], w.assumed[least] = true, true
	return true
}

// maxElements bounds what sums of numbers are made of.
const maxElements = 1 << 40

// A window is the part of a tensor at a place of a class that depends on no class that was not
// visited, but this one.
type window struct {
	place       *align.Place
	n           int   // positions on the axis of the place
	inner       int   // numbers behind a position
	before, run []int // what may be looked at: in front of the axis, of the run of a neuron,
	behind      []int // and behind it
}

// newWindow is all of a tensor at a place.
func newWindow(shape tensor.Shape, p *align.Place) *window {
	v := &window{place: p, n: int(shape[p.Axis]), inner: 1}
	outer := 1
	for axis, d := range shape {
		switch {
		case axis < p.Axis:
			outer *= int(d)
		case axis > p.Axis:
			v.inner *= int(d)
		}
	}
	v.before, v.run, v.behind = upTo(outer), upTo(max(1, p.Run)), upTo(v.inner)
	return v
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func (v *window) numbers() int { return len(v.before) * len(v.run) * len(v.behind) }

// open returns the window at a place, nil if there is nothing to see.
func (w *walk) open(c int, p *align.Place) *window {
	if !w.usable[p.Tensor] {
		return nil
	}
	shape := w.ref.Lookup(p.Tensor).Shape
	hidden := make([][]bool, len(shape)) // by axis and position
	for axis, d := range shape {
		if axis != p.Axis || len(w.places[p.Tensor]) > 1 {
			hidden[axis] = make([]bool, d)
		}
	}
	size := w.spec.Classes[c].Size
	for _, q := range w.places[p.Tensor] {
		if w.visited[q.class] || q.class == c && q.place.Axis == p.Axis {
			continue
		}
		for i := range w.spec.Classes[q.class].Size {
			for k := range max(1, q.place.Run) {
				hidden[q.place.Axis][position(q.place, i, k)] = true
			}
		}
	}
	v := &window{place: p, n: int(shape[p.Axis]), inner: 1}
	for _, d := range shape[p.Axis+1:] {
		v.inner *= int(d)
	}
	v.before, v.behind = visible(hidden[:p.Axis]), visible(hidden[p.Axis+1:])
	for k := range max(1, p.Run) {
		ok := true
		for i := 0; i < size && ok; i++ {
			ok = hidden[p.Axis] == nil || !hidden[p.Axis][position(p, i, k)]
		}
		if ok {
			v.run = append(v.run, k)
		}
	}
	if v.numbers() == 0 {
		return nil
	}
	return v
}

// visible lists the row-major indices of what no axis hides.
func visible(hidden [][]bool) []int {
	out := []int{0}
	for _, axis := range hidden {
		var open []int
		for at, h := range axis {
			if !h {
				open = append(open, at)
			}
		}
		next := make([]int, 0, len(out)*len(open))
		for _, x := range out {
			for _, at := range open {
				next = append(next, x*len(axis)+at)
			}
		}
		out = next
	}
	return out
}

// position returns where number k of neuron i is on the axis of a place.
func position(p *align.Place, i, k int) int {
	if p.At == nil {
		return i*max(1, p.Run) + k*max(1, p.Stride)
	}
	return p.At[i] + k*max(1, p.Stride)
}

// visit matches a class, and counts who is at its own place.
func (w *walk) visit(c int) (*FixedGroup, error) {
	class := &w.spec.Classes[c]
	r := rand.New(rand.NewPCG(w.seed, uint64(c)+2))
	own := r.Perm(class.Size)[:min(class.Size, maxTested)]
	slices.Sort(own)
	shuffled := slices.Clone(own)
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	g := &align.Group{Name: class.Name, Ref: len(own), Sus: len(own), Factors: class.Factors}
	out := &FixedGroup{Name: class.Name, Neurons: len(own)}
	for k := range class.Places {
		p := &class.Places[k]
		v := w.open(c, p)
		if v == nil {
			continue
		}
		at := v.choose(r, maxNumbers)
		out.Numbers += len(at)
		view := align.View{Name: fmt.Sprintf("%s[%d]", p.Tensor, p.Axis), Role: p.Role, Dim: len(at), Acts: p.Acts}
		var err error
		if view.Ref, err = v.rows(w.ref, own, at); err != nil {
			return nil, fmt.Errorf("reference: %w", err)
		}
		if view.Sus, err = v.rows(w.sus, shuffled, at); err != nil {
			return nil, fmt.Errorf("suspect: %w", err)
		}
		g.Views = append(g.Views, view)
	}
	found, err := align.Match(g, &align.Options{Threads: w.threads})
	if err != nil {
		return nil, err
	}
	for i, j := range found.Sus {
		if j >= 0 && shuffled[j] == own[i] {
			out.Fixed++
		}
	}
	out.Log10P = rencontresTail([]int{len(own)}, out.Fixed).atLeast / math.Ln10
	w.visited[c] = true
	return out, nil
}

// An entry says where one of the numbers of a neuron is: before, in the run, behind.
type entry struct{ before, k, behind int }

// choose lists the numbers that are looked at: all, or so many of them drawn by r.
func (v *window) choose(r *rand.Rand, most int) []entry {
	from := func(x int) entry {
		b := x % len(v.behind)
		x /= len(v.behind)
		return entry{v.before[x/len(v.run)], v.run[x%len(v.run)], v.behind[b]}
	}
	all := v.numbers()
	var chosen []int
	if all <= most {
		for x := range all {
			chosen = append(chosen, x)
		}
	} else { // Floyd's sampling without replacement
		in := make(map[int]bool, most)
		for x := all - most; x < all; x++ {
			y := r.IntN(x + 1)
			if in[y] {
				y = x
			}
			in[y] = true
			chosen = append(chosen, y)
		}
		slices.Sort(chosen)
	}
	out := make([]entry, len(chosen))
	for k, x := range chosen {
		out[k] = from(x)
	}
	return out
}

// rows reads the chosen numbers of some neurons.
func (v *window) rows(set *tensor.Set, neurons []int, at []entry) ([]float32, error) {
	t := set.Lookup(v.place.Tensor)
	raw, err := t.Bytes()
	if err != nil {
		return nil, fmt.Errorf("tensor %s: %w", t.Name, err)
	}
	size := t.DType.Bits() / 8
	out := make([]float32, 0, len(neurons)*len(at))
	for _, i := range neurons {
		for _, x := range at {
			k := (x.before*v.n+position(v.place, i, x.k))*v.inner + x.behind
			out = t.DType.AppendFloat32s(out, raw[k*size:][:size])
		}
	}
	return out, nil
}

// pick returns the chosen numbers of some neurons of a tensor that was read, a row for each.
func (v *window) pick(x []float32, neurons []int, at []entry) [][]float64 {
	out := make([][]float64, len(neurons))
	for k, i := range neurons {
		row := make([]float64, len(at))
		for c, a := range at {
			row[c] = float64(x[(a.before*v.n+position(v.place, i, a.k))*v.inner+a.behind])
		}
		out[k] = row
	}
	return out
}
