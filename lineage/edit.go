package lineage

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"ropewalk/align"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// Kinds of edits.
const (
	EditWeight    = "weight"    // a single number of a matrix or kernel
	EditNorm      = "norm"      // a neuron's weights multiplied, with their direction kept
	EditSign      = "sign"      // the same by -1, or a number with the other sign
	EditBias      = "bias"      // a number of a bias, or of the shift of a norm
	EditScale     = "scale"     // a number of the scale of a norm
	EditStatistic = "statistic" // a running mean or variance
	EditColumn    = "column"    // weights that read a neuron multiplied
	EditSwapped   = "swapped"   // numbers of two neurons exchanged in one tensor, and not in others
	EditCopied    = "copied"    // numbers of another neuron in the place of those of this one
	EditRow       = "row"       // other numbers of a neuron, or zeros
	EditTensor    = "tensor"    // a whole tensor: other, multiplied, shifted or zero
)

// Nearly is that an edit leaves the function as it is but for the epsilon of a batch norm.
const Nearly = "nearly"

// maxEdits is how many edits are listed.
const maxEdits = 1000

// editOptions say how to look for edits.
type editOptions struct {
	Threads int // 0: all
	Most    int // edits that are listed; 0: 1000
}

// editReport is what was found.
type editReport struct {
	Edits []Edit // the largest first
	Total int    // listed or not
	// Damaged says that most weights differ: then edits are only what stands out.
	Damaged bool
	// Unsettled are groups of which it is not known who is who: what differs in their
	// tensors is not listed.
	Unsettled []string
	// Match is the match with factors and orders that explain the most places exactly, and
	// Back what [align.Restore] makes of the suspect by it: edits apart, it is the reference.
	// They are those that were given if no better were found.
	Match *align.NetworkResult
	Back  *tensor.Set
}

// findEdits looks for places where the suspect differs though most of what is around them does
// not. spec is of the reference, match and back are what align found and restored; back may be
// nil. Tensors are read a few times, as many as there are threads at once, and those with
// factors are held in memory if something differs.
//
// Where only orders changed, or factors are powers of two, numbers are compared bit for bit;
// where other factors were taken back, to rounding: what differs by less than 2^-18 of itself
// (of float32; 2^-9 and 2^-6 of float16 and bfloat16) is not seen.
func findEdits(ctx context.Context, spec *symmetry.Spec, ref, back, sus *tensor.Set, match *align.NetworkResult, o *editOptions) (*editReport, error) {
	if o == nil {
		o = &editOptions{}
	}
	out := &editReport{Match: match, Back: back}
	p, err := newPairing(ctx, spec, ref, sus, match)
	if err != nil {
		return nil, err
	}
	differing, err := p.differing(back, o)
	if err != nil {
		return nil, err
	}
	exact := true
	for range 3 { // orders are told by factors, and factors by orders
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if len(differing) == 0 || !exact {
			break
		}
		better, changed := match, false
		if active := p.active(differing); slices.Contains(active, true) {
			if better, exact, err = p.regauged(active); err != nil {
				return nil, err
			}
			if p, err = newPairing(ctx, spec, ref, sus, better); err != nil {
				return nil, err
			}
		}
		if exact {
			if better, changed, err = p.reordered(differing); err != nil {
				return nil, err
			}
			match = better
		}
		if changed {
			if p, err = newPairing(ctx, spec, ref, sus, better); err != nil {
				return nil, err
			}
		}
		if differing, err = p.differing(nil, o); err != nil {
			return nil, err
		}
		if !changed {
			break
		}
	}
	if match != out.Match {
		out.Match = match
		if out.Back, err = align.Restore(spec, sus, match); err != nil {
			return nil, err
		}
	}
	if err := p.judge(differing, out); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(out.Edits, bySize)
	out.Total = len(out.Edits)
	most := maxEdits
	if o.Most > 0 {
		most = o.Most
	}
	out.Edits = out.Edits[:min(len(out.Edits), most)]
	return out, nil
}

// differing returns the names of the tensors in which anything differs, in the order of the
// reference. back, if it is not nil, is a short cut: what is equal there is equal.
func (p *pairing) differing(back *tensor.Set, o *editOptions) ([]string, error) {
	n := p.ref.Len()
	found := make([]bool, n)
	errs := make([]error, n)
	var next atomic.Int64
	var wait sync.WaitGroup
	threads := o.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	for range min(threads, n) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				found[i], errs[i] = p.differs(p.ref.At(i), back)
			}
		})
	}
	wait.Wait()
	var out []string
	for i, t := range p.ref.All() {
		if errs[i] != nil {
			return nil, errs[i]
		}
		if found[i] {
			out = append(out, t.Name)
		}
	}
	return out, nil
}

// differs reports whether anything differs in a tensor of the reference that both have in the same shape.
func (p *pairing) differs(t *tensor.Tensor, back *tensor.Set) (bool, error) {
	s := p.suspect(t.Name)
	if s == nil || !s.Shape.Equal(t.Shape) {
		return false, nil // missing, or of another shape: said elsewhere
	}
	if b := back.Lookup(t.Name); b != nil && b.DType == t.DType && b.Shape.Equal(t.Shape) {
		same, err := sameBytes(t, b)
		if same && err == nil {
			return false, nil
		}
		// What cannot be restored, as a variance that would be negative, is looked at below.
	}
	n, err := p.read(t.Name)
	if err != nil {
		return false, err
	}
	if n == nil { // no floats
		if s.DType != t.DType || p.axes[t.Name] != nil {
			return false, nil
		}
		same, err := sameBytes(t, s)
		return !same, err
	}
	some := false
	n.each(func(k int, index []int) { some = some || n.differs(k, index) })
	return some, nil
}

// maxActive is how many numbers are looked at around those that differ.
const maxActive = 1 << 26

// active returns which classes have factors, and a tensor that differs, or one that is tied
// to such by others: factors of neighbours can be wrong together, with no difference between
// them. Where that is too much to hold, only the first are looked at.
func (p *pairing) active(differing []string) []bool {
	set := map[string]bool{}
	size := int64(0)
	for _, name := range differing {
		set[name] = true
		size += p.ref.Lookup(name).Elems()
	}
	out := make([]bool, len(p.classes))
	for again := true; again; {
		again = false
		first := slices.Clone(out)
		for c := range p.classes {
			x := &p.classes[c]
			if len(x.Factors) > 0 && !out[c] && slices.ContainsFunc(x.Places, func(q symmetry.Place) bool { return set[q.Tensor] }) {
				out[c], again = true, true
			}
		}
		if slices.Contains(first, true) && size > maxActive {
			return first
		}
		for c := range p.classes {
			for k := range p.classes[c].Places {
				if name := p.classes[c].Places[k].Tensor; out[c] && !set[name] && name != "" {
					set[name] = true
					size += p.ref.Lookup(name).Elems()
				}
			}
		}
	}
	return out
}

// unsettled returns groups of which a good part of the neurons, and two at least, is not
// certain and agrees with nothing: their order may be wrong, and then all numbers are.
func (p *pairing) unsettled(differing []string) (map[int]bool, error) {
	out := map[int]bool{}
	set := map[string]bool{}
	for _, name := range differing {
		set[name] = true
	}
	for c := range p.classes {
		x := &p.classes[c]
		if len(x.result.Certainty) != x.Size || !slices.ContainsFunc(x.Places, func(q symmetry.Place) bool { return set[q.Tensor] }) {
			continue
		}
		places := make([]*pairedTensor, len(x.Places))
		for k := range x.Places {
			var err error
			if places[k], err = p.read(x.Places[k].Tensor); err != nil {
				return nil, err
			}
		}
		count := 0
		for i, certainty := range x.result.Certainty {
			if certainty < unsure && !x.agrees(places, i) {
				count++
			}
		}
		if count >= 2 && 4*count >= x.Size {
			out[c] = true
		}
	}
	return out, nil
}

// spoiled adds the classes with factors that share a tensor with those that are unsettled: what
// was found of them rests on it.
func (p *pairing) spoiled(unsettled map[int]bool) {
	near := map[string]bool{}
	for c := range p.classes {
		for k := range p.classes[c].Places {
			if unsettled[c] {
				near[p.classes[c].Places[k].Tensor] = true
			}
		}
	}
	for c := range p.classes {
		x := &p.classes[c]
		if len(x.Factors) > 0 && slices.ContainsFunc(x.Places, func(q symmetry.Place) bool { return near[q.Tensor] }) {
			unsettled[c] = true
		}
	}
}

// judge surveys the tensors that differ, and says what is an edit.
func (p *pairing) judge(differing []string, out *editReport) error {
	var surveys []*survey
	var others []Edit
	matrices, spread, unseen := 0, 0, 0
	for _, t := range p.ref.All() {
		if s := p.suspect(t.Name); s != nil && len(t.Shape) > 1 && t.DType.Numeric() && s.DType.Numeric() && s.Shape.Equal(t.Shape) {
			matrices++
		}
	}
	unsettled, err := p.unsettled(differing)
	if err != nil {
		return err
	}
	for c := range p.classes {
		if unsettled[c] {
			out.Unsettled = append(out.Unsettled, p.classes[c].Name)
		}
	}
	p.spoiled(unsettled)
	for _, name := range differing {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		n, err := p.read(name)
		if err != nil {
			return err
		}
		if n != nil && n.of(unsettled) {
			if len(n.dims) > 1 {
				unseen++
			}
			continue
		}
		if n == nil {
			e, err := p.opaque(name)
			if err != nil {
				return err
			}
			others = append(others, e)
			continue
		}
		s := p.survey(n)
		surveys = append(surveys, s)
		if s.spread() && len(n.dims) > 1 {
			spread++
		}
	}
	out.Damaged = spread > 0 && 2*spread > matrices || spread > 1 && 2*spread > matrices-unseen
	for _, s := range surveys {
		if out.Damaged && s.spread() {
			again, err := p.read(s.n.name)
			if err != nil {
				return err
			}
			out.Edits = append(out.Edits, p.outliers(again, matrices)...)
			continue
		}
		if !out.Damaged {
			s.together()
		}
		s.singles()
		out.Edits = append(out.Edits, s.edits...)
	}
	out.Edits = append(out.Edits, others...)
	return p.consequences(out.Edits)
}

// spread reports whether numbers differ all over the tensor, as after pruning, noise or
// training.
func (s *survey) spread() bool {
	if s.left+s.rows > max(8, len(s.n.x)/50) {
		return true
	}
	zeros := 0
	for k, d := range s.diff {
		if d && s.n.y[k] == 0 {
			zeros++
		}
	}
	return zeros >= 8 && 5*zeros >= 4*s.left
}

// opaque is the edit of a tensor that holds no floats.
func (p *pairing) opaque(name string) (Edit, error) {
	t, s := p.ref.Lookup(name), p.suspect(name)
	e := Edit{What: EditTensor, Tensor: name, Neuron: -1, Same: Unknown}
	a, err := t.Bytes()
	if err != nil {
		return e, err
	}
	b, err := s.Bytes()
	if err != nil {
		return e, err
	}
	width, count, first := max(1, t.DType.Bits()/8), 0, -1
	for k := 0; k+width <= min(len(a), len(b)); k += width {
		if !bytes.Equal(a[k:k+width], b[k:k+width]) {
			if first < 0 {
				first = k / width
			}
			count++
		}
	}
	e.Size = float64(count)
	e.Text = fmt.Sprintf("tensor %s of %s differs in %s, the first of them number %d", name, t.DType, plural(int64(count), "number"), first)
	return e, nil
}

// short prints a number as short as it can be told by.
func short(x float64) string { return strconv.FormatFloat(x, 'g', 7, 64) }

// plural prints how many there are of something.
func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.FormatInt(n, 10) + " " + what + "s"
}

// bracketed prints an index.
func bracketed(index []int) string {
	if len(index) == 0 {
		return ""
	}
	return strings.ReplaceAll(fmt.Sprint(index), " ", ",")
}

// vectorKind says what the numbers of a vector are, by its name.
func vectorKind(name string) string {
	last := strings.ToLower(name[strings.LastIndexAny(name, "./")+1:])
	switch {
	case strings.Contains(last, "running") || strings.Contains(last, "mean") || strings.Contains(last, "var"):
		return EditStatistic
	case strings.Contains(last, "bias") || strings.Contains(last, "beta") || strings.Contains(last, "shift"):
		return EditBias
	case strings.Contains(last, "weight") || strings.Contains(last, "gamma") || strings.Contains(last, "scale"):
		return EditScale
	}
	return EditWeight
}

// bounded returns x, or the largest number in its place: JSON knows no others.
func bounded(x float64) float64 {
	if x-x != 0 {
		return math.MaxFloat64
	}
	return x
}
