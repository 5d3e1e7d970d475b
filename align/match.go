package align

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/internal/assignment"
	"ropewalk/internal/kernel"
)

// A Method is a way to match neurons.
type Method uint8

// The methods.
const (
	Joint   Method = iota // all evidence, one to one, with certainty; the default
	Paper                 // Find the Lady: cosine of incoming weights, most similar wins
	Ranking               // its rival: order by the sum of incoming weights
)

// String returns the name of the method.
func (m Method) String() string {
	names := [...]string{"joint", "paper", "ranking"}
	if int(m) < len(names) {
		return names[m]
	}
	return fmt.Sprintf("Method(%d)", uint8(m))
}

// Options of [Match]. The nil Options are the defaults.
type Options struct {
	Method  Method
	Threads int  // goroutines; 0: as many as processors. Results do not depend on it
	Partial bool // let neurons stay without a partner though both sides have as many
}

// An Ambiguity is a match that could as well be another.
type Ambiguity struct {
	Ref    int    `json:"ref"` // neuron of the reference
	Sus    int    `json:"sus"` // its match
	Other  int    `json:"other"`
	Reason string `json:"reason"`
}

// A Result is a matching, and how far to believe it.
type Result struct {
	Matching
	// Certainty is the posterior probability of each reference neuron's match, 0
	// where it has none; see the package comment. nil for methods other than Joint.
	Certainty []float64
	// Margin is by how much the match beats the best other candidate: in units of
	// natural log likelihood, for Paper of the cosine. Negative if another
	// candidate is better alone, but goes better with another neuron.
	Margin []float64
	// Scale holds for each factor of the group what the suspect's match was
	// multiplied by, sign included; 1 where there is no match. nil for methods
	// other than Joint.
	Scale     [][]float64
	Views     []ViewEvidence
	Ambiguous []Ambiguity
}

// prior is the probability, before any evidence, that a neuron has a partner.
const prior = 0.9

// absent returns the log-likelihood ratio that a pair must beat to be likelier
// than a neuron without a partner, of which the other side has n.
func absent(n int) float64 { return math.Log(float64(n)) + math.Log((1-prior)/prior) }

// Match finds the partners of the reference's neurons in the suspect. It takes
// O(n·m·d) for n and m neurons of d numbers, and memory for a few n × m matrices of
// float32. Errors are [ErrInput], wrapped with what is wrong.
//
// Where the sides differ in number, or Partial is set, neurons that resemble
// nobody stay alone.
func Match(g *Group, o *Options) (*Result, error) {
	if o == nil {
		o = &Options{}
	}
	if err := g.check(); err != nil {
		return nil, err
	}
	switch o.Method {
	case Joint:
	case Paper:
		pool := kernel.NewPool(o.Threads)
		defer pool.Close()
		return paper(g, pool)
	case Ranking:
		return ranking(g)
	default:
		return nil, fmt.Errorf("%w: there is no method %v", ErrInput, o.Method)
	}
	for k := range g.Views {
		if v := &g.Views[k]; v.Dim > 1 && v.imitated == nil {
			w := *v
			w.imitated = imitate(v.Ref, v.Sus)
			if w.imitated != nil { // the caller's group stays as it is
				views := append([]View(nil), g.Views...)
				views[k] = w
				h := *g
				h.Views = views
				g = &h
			}
		}
	}
	pool := kernel.NewPool(o.Threads)
	defer pool.Close()
	return gather(g, pool).result(g, o)
}

// result matches, weighs the evidence of single numbers by that matching, and
// matches again.
func (e *evidence) result(g *Group, o *Options) (*Result, error) {
	base := e.best()
	of, err := e.assign(base, base, o)
	if err != nil {
		return nil, err
	}
	total := base
	r := &Result{Views: e.views}
	for round := range 3 {
		if len(e.scalars) == 0 {
			break
		}
		sure := e.certainty(total, of)
		if round == 0 {
			if of, sure, err = e.begin(base, of, sure, o); err != nil {
				return nil, err
			}
		}
		total = append([]float32(nil), base...)
		r.Views = append(slices.Clip(e.views), e.addScalars(total, of, sure)...)
		again, err := e.assign(total, base, o)
		if err != nil {
			return nil, err
		}
		same := true
		for i := range of {
			same = same && of[i] == again[i]
		}
		of = again
		if same {
			break
		}
	}
	m, err := NewMatching(of, e.m)
	if err != nil {
		return nil, err
	}
	r.Matching = *m
	r.Certainty = e.certainty(total, of)
	r.judge(e, total, g)
	r.Scale = e.scales(g, of)
	return r, nil
}

// assign returns the best one-to-one matching. base is the evidence without that of single
// numbers.
func (e *evidence) assign(total, base []float32, o *Options) ([]int, error) {
	if e.n == e.m && !o.Partial {
		return e.minimize(total, nil) // everybody gets a partner, so a guess is better than none
	}
	price := absent(max(e.n, e.m))
	of, err := e.minimize(total, &assignment.Options{Alone: slices.Repeat([]float64{-price}, e.n)})
	if err != nil || o.Partial {
		return of, err
	}
	if e.accounted(base, of) {
		return e.minimize(total, nil)
	}
	return of, nil
}

// minimize solves the assignment of log-likelihood ratios.
func (e *evidence) minimize(total []float32, o *assignment.Options) ([]int, error) {
	cost := make([]float32, len(total))
	for k, x := range total {
		cost[k] = -x
	}
	if o == nil {
		for k, x := range e.hint {
			cost[k] -= x
		}
	}
	s, err := assignment.Minimize(e.n, e.m, cost, o)
	if err != nil {
		return nil, err
	}
	return s.Col, nil
}

// accounted reports whether all neurons of the smaller side have a partner, as numbers
// suggest: the other side has neurons that were added, or was the whole. The matching some
// leaves those alone that damage has left with little evidence. What speaks against is that
// these resemble what nobody has taken no more than others do that have their partners, as
// neurons would of which the partner is gone. base is the evidence of weights: single numbers,
// such as lengths, show that what was removed for its size is like dummies.
func (e *evidence) accounted(base []float32, some []int) bool {
	taken := make([]bool, e.m)
	for _, j := range some {
		if j >= 0 {
			taken[j] = true
		}
	}
	wide := e.m >= e.n // the smaller side is that of rows
	size, others := e.n, e.m
	if !wide {
		size, others = e.m, e.n
	}
	at := func(a, b int) float64 { // of the smaller side and of the other
		if wide {
			return float64(base[a*e.m+b])
		}
		return float64(base[b*e.m+a])
	}
	matched := func(a int) bool {
		if wide {
			return some[a] >= 0
		}
		return taken[a]
	}
	free, silent := make([]int, 0, others), 0
	for b := range others {
		if wide && !taken[b] && e.empty != nil && e.empty[b] {
			silent++
			continue
		}
		if wide && !taken[b] || !wide && some[b] < 0 {
			free = append(free, b)
		}
	}
	var chance, left []float64 // the best of what is free
	for a := range size {
		best := math.Inf(-1)
		for _, b := range free {
			best = max(best, at(a, b))
		}
		if matched(a) {
			chance = append(chance, best)
		} else {
			left = append(left, best)
		}
	}
	if !wide {
		for a := range size {
			if !matched(a) && e.empty != nil && e.empty[a] {
				silent++
			}
		}
	}
	if len(left) <= silent || len(chance) < 4 {
		return true // those of which nothing is left are among them by number
	}
	slices.Sort(chance)
	slices.Sort(left)
	left = left[silent:]
	middle := chance[len(chance)/2]
	above := chance[len(chance)*21/25] - middle // a deviation of what is above
	sum := 0.0
	for _, x := range left {
		sum += min(4, max(-4, (x-middle)/max(above, 0.1)))
	}
	least := 2.5
	switch {
	case e.lenient:
		least = 0
	case wide && len(left)*16 < size:
		least = 1 // hardly anybody removes so few, and adds others
	}
	return sum/math.Sqrt(float64(len(left))) > least
}

// certainty returns the posterior of each match: the smaller of that among the
// suspect's neurons and that among the reference's, each with the possibility that
// there is no partner.
func (e *evidence) certainty(total []float32, of []int) []float64 {
	rows, cols := e.logSums(total)
	out := make([]float64, e.n)
	for i, j := range of {
		if j >= 0 {
			l := float64(total[i*e.m+j])
			out[i] = math.Exp(min(l-rows[i], l-cols[j], 0))
		}
	}
	return out
}

// logSums returns the log of the summed likelihood ratios of each row and column,
// that of having no partner included.
func (e *evidence) logSums(total []float32) (rows, cols []float64) {
	rows, cols = make([]float64, e.n), make([]float64, e.m)
	top := make([]float64, e.m)
	noRow, noCol := absent(e.m), absent(e.n)
	for j := range top {
		top[j] = noCol
	}
	for i := range e.n {
		row := total[i*e.m:][:e.m]
		hi := noRow
		for j, x := range row {
			hi = max(hi, float64(x))
			top[j] = max(top[j], float64(x))
		}
		sum := math.Exp(noRow - hi)
		for _, x := range row {
			if y := float64(x) - hi; y > -40 {
				sum += math.Exp(y)
			}
		}
		rows[i] = hi + math.Log(sum)
	}
	for j := range cols {
		cols[j] = math.Exp(noCol - top[j])
	}
	for i := range e.n {
		for j, x := range total[i*e.m:][:e.m] {
			if y := float64(x) - top[j]; y > -40 {
				cols[j] += math.Exp(y)
			}
		}
	}
	for j := range cols {
		cols[j] = top[j] + math.Log(cols[j])
	}
	return rows, cols
}

// judge fills in margins, and names the matches that could as well be others.
func (r *Result) judge(e *evidence, total []float32, g *Group) {
	r.Margin = make([]float64, e.n)
	deadRef, deadSus := g.dead()
	for i, j := range r.Sus {
		if j < 0 {
			continue
		}
		row := total[i*e.m:][:e.m]
		other := -1
		for k, x := range row {
			if k != j && (other < 0 || x > row[other]) {
				other = k
			}
		}
		if other >= 0 {
			r.Margin[i] = float64(row[j] - row[other])
		} else {
			r.Margin[i] = float64(row[j]) - absent(1)
		}
		reason := ""
		switch {
		case deadRef[i]:
			reason = "the reference neuron has no weights: nothing describes it"
		case deadSus[j]:
			reason = "the matched neuron has no weights left: it is what remained"
		case r.Certainty[i] < 0.5:
			reason = "the evidence does not tell it from others"
		case other >= 0 && r.Margin[i] < 3:
			reason = "another neuron is nearly as similar"
		default:
			continue
		}
		r.Ambiguous = append(r.Ambiguous, Ambiguity{Ref: i, Sus: j, Other: other, Reason: reason})
	}
}

// dead reports the neurons all of whose weights are zero.
func (g *Group) dead() (ref, sus []bool) {
	side := func(n int, of func(*View) []float32) []bool {
		out := make([]bool, n)
		for i := range out {
			out[i] = true
		}
		for k := range g.Views {
			v := &g.Views[k]
			if v.Dim == 1 {
				continue
			}
			for i, l := range lengths(of(v), v.Dim) {
				out[i] = out[i] && l == 0
			}
		}
		return out
	}
	ref = side(g.Ref, func(v *View) []float32 { return v.Ref })
	sus = side(g.Sus, func(v *View) []float32 { return v.Sus })
	return ref, sus
}
