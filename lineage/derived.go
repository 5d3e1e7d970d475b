package lineage

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"ropewalk/align"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// Resemblance says of what kind the similarity of two matched networks is. Networks that were
// trained on the same data from different beginnings learn similar features: matched, their
// weights correlate far more than chance allows, up to 0.7. But they correlate in the few
// directions in which all the weights of a layer vary most, which the data chose, and
// hardly in the others. What is left of a derived network keeps the others, too, or
// differs from the reference as noise does: by the same amount in all directions.
type Resemblance struct {
	Correlation float64             `json:"correlation" about:"of the rows of weights of matched neurons, with what all neurons have in common taken away"`
	Spectrum    float64             `json:"spectrum" about:"mean of the correlations in four bands of directions, from those in which weights vary most to those in which they vary least"`
	Weakest     float64             `json:"weakest" about:"correlation in the last of these bands, which has a twentieth of the variance"`
	Chance      float64             `json:"chance" about:"what correlation the best of so many neurons have that resemble each other as the reference's own do"`
	Noise       float64             `json:"noise" about:"what spectrum would be if the suspect were the reference and noise that is the same in all directions"`
	Copies      int                 `json:"copies" about:"neurons of those looked at whose weights in some tensor are the reference's, with a cosine of 0.99 or more over two dozen of equal importance"`
	Tensors     []TensorResemblance `json:"tensors,omitempty"`
}

// TensorResemblance is that of one tensor.
type TensorResemblance struct {
	Name        string    `json:"name"`
	Rows        int       `json:"rows" about:"neurons that were looked at"`
	Numbers     int       `json:"numbers" about:"that describe each"`
	Weight      int64     `json:"weight" about:"elements of the tensor, by which it counts"`
	Copies      int       `json:"copies"`
	Imitated    bool      `json:"imitated,omitempty" about:"compared with the reference pruned or quantized like the suspect"`
	Correlation float64   `json:"correlation"`
	Chance      float64   `json:"chance"`
	Bands       []float64 `json:"bands"`
	Noise       float64   `json:"noise"`
}

const (
	maxRows    = 128 // of a tensor that are looked at: the eigenvectors of a matrix of their square are wanted
	maxColumns = 4096
	leastRows  = 8
	maxTensors = 32
	// maxResembled bounds the elements of a tensor, which is read whole on both sides.
	maxResembled = 1 << 27
)

// bands are the shares of variance at which they end.
var bands = [...]float64{0.5, 0.8, 0.95, 1}

// resembleMatched restores a suspect, and looks at what is similar.
func resembleMatched(ctx context.Context, ref, sus *tensor.Set, spec *symmetry.Spec, match *align.NetworkResult, seed uint64) (*Resemblance, error) {
	restored, err := align.Restore(spec, sus, match)
	if err != nil {
		return nil, err
	}
	return resemble(ctx, ref, restored, spec, match, seed)
}

// resemble looks at two networks of which restored is the suspect in the order of the reference.
func resemble(ctx context.Context, ref, restored *tensor.Set, spec *symmetry.Spec, match *align.NetworkResult, seed uint64) (*Resemblance, error) {
	own, err := align.FromSymmetry(spec)
	if err != nil {
		return nil, err
	}
	out := &Resemblance{}
	var sum, weights [4]float64
	total := 0.0
	for _, name := range some(tensorsOf(own, ref)) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		t, err := resembleTensor(ref, restored, own, match, name, seed)
		if err != nil {
			return nil, err
		}
		if t == nil {
			continue
		}
		out.Tensors = append(out.Tensors, *t)
		out.Copies += t.Copies
		w := float64(t.Weight)
		total += w
		out.Correlation += w * t.Correlation
		out.Noise += w * t.Noise
		out.Chance += w * t.Chance
		mean := 0.0
		for k, b := range t.Bands {
			mean += b / float64(len(t.Bands))
			sum[k] += w * b
			weights[k] += w
		}
		out.Spectrum += w * mean
		out.Weakest += w * t.Bands[len(t.Bands)-1]
	}
	if total > 0 {
		out.Correlation /= total
		out.Noise /= total
		out.Chance /= total
		out.Spectrum /= total
		out.Weakest /= total
	}
	return out, nil
}

// some chooses tensors if there are many, evenly.
func some(names []string) []string {
	if len(names) <= maxTensors {
		return names
	}
	out := make([]string, maxTensors)
	for k := range out {
		out[k] = names[k*len(names)/maxTensors]
	}
	return out
}

// tensorsOf lists the tensors of a specification that have rows, in its order.
func tensorsOf(s *align.Spec, set *tensor.Set) []string {
	var out []string
	in := map[string]bool{}
	for c := range s.Classes {
		for k := range s.Classes[c].Places {
			name := s.Classes[c].Places[k].Tensor
			if t := set.Lookup(name); t != nil && len(t.Shape) > 1 && t.Elems() <= maxResembled && !in[name] {
				in[name] = true
				out = append(out, name)
			}
		}
	}
	return out
}

// rowsOf returns the place that cuts a tensor into rows: that which makes neurons, if there is one.
func rowsOf(s *align.Spec, name string) (class int, place *align.Place) {
	for c := range s.Classes {
		for k := range s.Classes[c].Places {
			p := &s.Classes[c].Places[k]
			if p.Tensor == name && (place == nil || place.Role != align.Incoming && p.Role == align.Incoming) {
				class, place = c, p
			}
		}
	}
	return class, place
}

func resembleTensor(ref, restored *tensor.Set, spec *align.Spec, match *align.NetworkResult, name string, seed uint64) (*TensorResemblance, error) {
	t, s := ref.Lookup(name), restored.Lookup(name)
	if t == nil || s == nil || !slices.Equal(t.Shape, s.Shape) || len(t.Shape) < 2 || !t.DType.Numeric() || !s.DType.Numeric() {
		return nil, nil
	}
	c, p := rowsOf(spec, name)
	var rows []int
	if c < len(match.Classes) {
		for i, j := range match.Classes[c].Sus {
			if j >= 0 {
				rows = append(rows, i)
			}
		}
	}
	r := rand.New(rand.NewPCG(seed, uint64(len(name))+3))
	if len(rows) > maxRows {
		r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		rows = rows[:maxRows]
		slices.Sort(rows)
	}
	cut := newWindow(t.Shape, p)
	at := cut.choose(r, maxColumns)
	if len(rows) < leastRows || len(at) < leastRows {
		return nil, nil
	}
	x, err := t.Float32s()
	if err != nil {
		return nil, err
	}
	y, err := s.Float32s()
	if err != nil {
		return nil, err
	}
	out := &TensorResemblance{Name: name, Numbers: len(at), Weight: t.Elems()}
	b := cut.pick(y, rows, at)
	out.Copies = copies(cut.pick(x, rows, at), b)
	if !out.compare(cut.pick(x, rows, at), b) {
		return nil, nil
	}
	if like := align.Imitate(x, y); like != nil {
		other := *out
		if other.compare(cut.pick(like, rows, at), b) && other.Correlation > out.Correlation {
			other.Imitated = true
			out = &other
		}
	}
	return out, nil
}

// compare fills in how rows resemble each other; false if too few have any numbers.
func (t *TensorResemblance) compare(a, b [][]float64) bool {
	centreColumns(a)
	centreColumns(b)
	var u, v [][]float64
	for i := range a {
		if x, y := normalise(a[i]), normalise(b[i]); x && y {
			u, v = append(u, a[i]), append(v, b[i])
		}
	}
	n := len(u)
	if n < leastRows {
		return false
	}
	d := float64(len(u[0]))
	own, other := make([]float64, n*n), make([]float64, n*n) // own = u·uᵀ, other = v·uᵀ
	c := 0.0
	for i := range n {
		for j := range n {
			own[i*n+j], other[i*n+j] = dot(u[i], u[j]), dot(v[i], u[j])
		}
		c += other[i*n+i] / float64(n)
	}
	values, vectors := symmetricEigen(own, n)
	all := 0.0
	for _, x := range values {
		all += max(0, x)
	}
	// Direction k of the rows' space is uᵀe/√λ for the eigenvector e: in it the reference's
	// neurons are at √λ·e, and the suspect's at v·uᵀe/√λ.
	type sums struct{ aa, bb, ab, count float64 }
	var band [len(bands)]sums
	before := 0.0
	for k, l := range values {
		if l <= 1e-9*values[0] {
			break
		}
		at := 0
		for at < len(bands)-1 && before >= bands[at]*all {
			at++
		}
		before += l
		s := &band[at]
		e := vectors[k]
		for i := range n {
			x := dot(other[i*n:][:n], e)
			s.ab += x * e[i]
			s.bb += x * x / l
		}
		s.aa += l
		s.count++
	}
	squares := 0.0
	for _, x := range values {
		squares += x * x
	}
	t.Rows, t.Correlation = n, c
	t.Chance = min(1, math.Sqrt(2*math.Log(float64(n))*max(0, squares-float64(n))/float64(n*(n-1))))
	t.Bands, t.Noise = nil, 0
	for _, s := range band {
		if s.count == 0 {
			continue
		}
		r, q := 0.0, 0.0
		if s.bb > 0 {
			r = s.ab / math.Sqrt(s.aa*s.bb)
		}
		// A suspect c·u + noise has n(1-c²)/d of it in each direction.
		if e := c*c*s.aa + s.count*float64(n)*(1-c*c)/d; e > 0 {
			q = c * s.aa / math.Sqrt(s.aa*e)
		}
		t.Bands = append(t.Bands, r)
		t.Noise += q
	}
	t.Noise /= float64(len(t.Bands))
	return true
}

// certainOf counts the neurons whose partners are certain, and all.
func certainOf(match *align.NetworkResult) (certain, all int) {
	classes := match.All()
	for i := range classes {
		for _, p := range classes[i].Certainty {
			if p >= align.Certain {
				certain++
			}
			all++
		}
	}
	return certain, all
}

// copies counts rows that point in the same direction, and not by a few large numbers alone.
func copies(a, b [][]float64) int {
	const least, important = 0.99, 24
	n := 0
	for i, x := range a {
		var xx, yy, xy, quad float64
		for c, u := range x {
			v := b[i][c]
			xx += u * u
			yy += v * v
			xy += u * v
			quad += u * u * v * v
		}
		if xx > 0 && yy > 0 && xy*xy >= least*least*xx*yy && xx*yy >= important*quad {
			n++
		}
	}
	return n
}

func dot(a, b []float64) float64 {
	s := 0.0
	for i, x := range a {
		s += x * b[i]
	}
	return s
}

// centreColumns takes away what all rows have in common.
func centreColumns(rows [][]float64) {
	for c := range rows[0] {
		m := 0.0
		for _, r := range rows {
			m += r[c]
		}
		m /= float64(len(rows))
		for _, r := range rows {
			r[c] -= m
		}
	}
}

// normalise gives a row the length 1; false if it has none.
func normalise(x []float64) bool {
	s := math.Sqrt(dot(x, x))
	if s == 0 {
		return false
	}
	for i := range x {
		x[i] /= s
	}
	return true
}

// What tells a derived network from one that learned the same. Measured on pairs of
// networks that were trained on the same data from different beginnings (MNIST, layers of 24 to
// 512 neurons, five to thirty passes, with weight decay from none to one that forgets the
// beginning): the spectrum is at most 0.81 of what noise would leave of it, and at most 0.73; of
// copies with noise of one or two standard deviations, a tenth of their weights or eight levels
// it is 0.91 of that and more. See docs/RATIONALE.md.
const (
	leastCorrelation = 0.2  // below it, nothing is told apart
	likeNoise        = 0.88 // spectrum, as a share of what noise would leave of it
	leastContrast    = 0.06 // by how much noise would leave more of the spectrum than of the correlation
	beyondChance     = 0.15 // correlation above that of chance and likeness
	sameSpectrum     = 0.8
	leastCopies      = 3
	// Of the neurons of networks that learned the same, hardly any has one partner that no other comes near: none of
	// the pairs above, 7 of 400 where both were quantized to two bits. Copies from which factors, nine tenths
	// of the weights and all but four bits were taken have 28 % of such neurons.
	leastCertain      = 32
	leastCertainShare = 0.125
)

// derived reports whether the suspect comes from the reference, as far as weights can show,
// or is only as similar to it as networks are that learned the same, and why. match is
// that of the two. Networks that began with the same random numbers count as derived, one of the other.
func derived(match *align.NetworkResult, r *Resemblance) (bool, string) {
	if match.LogEvidence <= 10 { // as in align: there, a neuron has to be certain, too
		return false, "the weights of matched neurons correlate no more than in the best of all matchings of strangers"
	}
	if len(r.Tensors) == 0 {
		return true, fmt.Sprintf("weights correlate more than in any matching of random networks; no layer has %d neurons with %d weights, by which networks that learned the same could be told apart", leastRows, leastRows)
	}
	like := r.Spectrum / max(r.Noise, 1e-9)
	certain, neurons := certainOf(match)
	switch {
	case certain >= leastCertain && float64(certain) >= leastCertainShare*float64(neurons):
		return true, fmt.Sprintf("%d of %d neurons have a partner that no other comes near", certain, neurons)
	case r.Copies >= leastCopies:
		return true, fmt.Sprintf("%d of the neurons that were looked at have the same weights, but for a factor", r.Copies)
	case r.Correlation < leastCorrelation:
		return false, fmt.Sprintf("matched neurons correlate by %.2f only, as those of networks do that learned the same", r.Correlation)
	case r.Spectrum >= sameSpectrum:
		return true, fmt.Sprintf("matched neurons agree in all directions, by %.2f on average, and not only in those that data choose", r.Spectrum)
	case r.Noise-r.Correlation >= leastContrast:
		if like >= likeNoise {
			return true, fmt.Sprintf("what differs is the same in all directions, as noise is (%.0f %% of the agreement that noise leaves)", 100*like)
		}
	case r.Correlation >= r.Chance+beyondChance:
		return true, fmt.Sprintf("matched neurons correlate by %.2f, where the likeness of the reference's own neurons to each other explains %.2f", r.Correlation, r.Chance)
	}
	return false, fmt.Sprintf("matched neurons correlate by %.2f, but in the directions that data choose and hardly in others (%.0f %% of the agreement that noise would leave), as those of networks do that learned the same", r.Correlation, 100*like)
}
