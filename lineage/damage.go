package lineage

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"ropewalk/tensor"
)

// An examined tensor: what is said of it, and what it tells about damage.
type examined struct {
	*TensorDifference
	*residual
}

const (
	// castValues is how many distinct values have to fit a narrower type before that is no
	// chance: each fits with a probability of 2^-13 at most.
	castValues = 8
	// leastDrift is the strength below which a drift may be rounding, of whatever was done.
	leastDrift = 1e-6
	// telling is how many weights a tensor needs to have a say on what was done to all.
	telling = 64
	// leastUnderGrid is the least noise that few weights tell under a quantizer's levels,
	// which are never known exactly.
	leastUnderGrid = 0.06
	// tellingMore is how many it takes to tell one damage under another, or a mixture.
	tellingMore = 1024
)

// damages names what was done to the weights of a network, from all its tensors, in the
// order in which it was probably done. What is not proved by the numbers is not named.
func damages(all []examined) []Change {
	var n network
	for _, e := range all {
		switch {
		case e.residual == nil || !e.floats || e.Elements == 0:
		case e.axes >= 2:
			n.weights = append(n.weights, e)
		default:
			n.vectors = append(n.vectors, e)
		}
	}
	n.choose()
	n.unhide()
	var out []Change
	p, q, d := n.pruned(), n.quantized(), n.drifted()
	votes := n.votes()
	for _, c := range []*Change{d, p, q} { // the usual order, if nothing speaks against it
		if c == nil {
			continue
		}
		at := len(out)
		for at > 0 && votes[[2]Kind{damageOf(out[at-1].Kind), damageOf(c.Kind)}] < 0 {
			at--
		}
		out = slices.Insert(out, at, *c)
	}
	return append(out, n.cast()...)
}

// damageOf is the kind of a change, all drifts being noise.
func damageOf(k Kind) Kind {
	switch k {
	case Prune, Quantize:
		return k
	}
	return Noise
}

// A network is the tensors of floats of a network: those with two axes or more, and the
// rest. Biases and norms are rarely pruned or quantized, but always trained.
type network struct {
	weights, vectors []examined
	// filed says that damage came after factors, and so after neurons that were added with these:
	// then what is in the suspect's file was damaged, and not only what the reference has.
	filed bool
}

// elements is the number of weights of some tensors.
func elements(list []examined) (n int64) {
	for _, e := range list {
		n += e.Elements
	}
	return n
}

// names lists tensors, if they are not all that have a say: at least so many weights
// that are not zero.
func (n *network) names(list []examined, least float64) []string {
	has := map[string]bool{}
	for _, e := range list {
		has[e.Name] = true
	}
	left := slices.ContainsFunc(n.weights, func(e examined) bool {
		say := float64(e.Elements)
		if e.cut != nil {
			say *= 1 - e.cut.share
		}
		return !has[e.Name] && say >= least
	})
	if !left {
		return nil
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	return names
}

// with returns the weights of which f is true.
func (n *network) with(f func(e examined) bool) []examined {
	var list []examined
	for _, e := range n.weights {
		if f(e) {
			list = append(list, e)
		}
	}
	return list
}

// choose decides whether damage was done before factors, or after: values are on fewer
// levels, zeros are the smallest, and noise is more even where it was done.
func (n *network) choose() {
	if !slices.ContainsFunc(n.weights, func(e examined) bool { return e.own != nil }) {
		return
	}
	own := network{}
	for _, e := range n.weights {
		if e.own != nil {
			r := *e.residual
			r.trace = *e.own
			e.residual = &r
		}
		own.weights = append(own.weights, e)
	}
	a, b := n.order(), own.order()
	for i := range a {
		if math.Abs(a[i]-b[i]) > 0.1*max(a[i], b[i]) {
			if b[i] < a[i] {
				n.weights, n.filed = own.weights, true
			}
			return
		}
	}
}

// order returns how much disorder there is: weights that are not on even levels, bits of
// levels, zeros that are not the smallest weights, and how uneven noise is.
func (n *network) order() (d [4]float64) {
	all := float64(elements(n.weights))
	d[0] = 1
	var drifts []examined
	for _, e := range n.weights {
		share := float64(e.Elements) / all
		if e.grid != nil {
			d[1] += share * float64(e.grid.bits)
			if e.grid.uniform != "not uniform" {
				d[0] -= share
			}
		} else {
			d[1] += share * 24
		}
		if e.cut != nil && e.cut.fuzzy {
			d[2] += share
		}
		if e.drift != nil {
			drifts = append(drifts, e)
		}
	}
	if len(drifts) > 0 {
		k := pool(drifts)
		d[3] = k.unrest
	}
	return d
}

// unhide decides whether drifts came after pruning, or after rounding to a grid, by all
// tensors together.
func (n *network) unhide() {
	list := n.with(func(e examined) bool { return e.drift != nil && e.cut == nil && e.grid == nil })
	if len(list) == 0 {
		return
	}
	prune, voters := 0.0, int64(0)
	for _, e := range list {
		if e.hidden != nil && e.hiddenGain > modelGain {
			prune += e.hiddenGain
			voters += e.Elements
		}
	}
	if 2*voters < elements(list) {
		prune = 0
	}
	if prune > 0 && !n.plausible(list) {
		prune = 0
	}
	best, scope, bits := 0.0, 0, 0
	for s := range gridKinds {
		for b := 1; b <= maxHiddenBits; b++ {
			sum := 0.0
			for _, e := range list {
				g := e.gridGains[s][b]
				if s == channelGrid && e.gridDrifts[s][b] == nil {
					g = e.gridGains[tensorGrid][b] // it has one channel
				}
				sum += g
			}
			if sum > best {
				best, scope, bits = sum, s, b
			}
		}
	}
	switch {
	case prune > modelGain && prune >= best:
		for _, e := range list {
			if e.hidden != nil && e.hiddenGain > modelGain {
				e.cut, e.drift, e.noisePrune = e.hidden, e.hiddenDrift, after
			}
		}
	case best > 2*modelGain:
		for _, e := range list {
			s := scope
			if s == channelGrid && e.gridDrifts[s][bits] == nil {
				s = tensorGrid
			}
			if e.gridDrifts[s][bits] == nil {
				continue
			}
			e.grid = &grid{scope: "tensor", levels: 1 << bits, bits: bits, uniform: "uniform"}
			switch {
			case scope == channelGrid:
				e.grid.scope = "channel"
			case scope != tensorGrid:
				e.grid.uniform = "not uniform"
			}
			e.drift, e.noiseQuantize = e.gridDrifts[s][bits], after
		}
	}
}

// plausible reports whether what seems to be pruning under noise is one: it took the same
// share of all tensors, or what was below one threshold. The middle of a coarse grid is
// neither.
func (n *network) plausible(list []examined) bool {
	var cuts []examined
	sum := 0.0
	for _, e := range list {
		if e.hidden == nil || e.hiddenGain <= modelGain {
			continue
		}
		r := *e.residual
		r.cut = e.hidden
		cuts = append(cuts, examined{e.TensorDifference, &r})
		sum += e.hidden.share * float64(e.Elements)
	}
	alone := &network{weights: cuts}
	return len(cuts) < 2 || alone.eachAlike(cuts, sum/float64(elements(cuts))) || oneThreshold(cuts)
}

// votes says which damage came before which: above 0 if the first of the pair did.
func (n *network) votes() map[[2]Kind]int64 {
	v := map[[2]Kind]int64{}
	vote := func(a, b Kind, o order, weight int64) {
		switch o {
		case before:
			v[[2]Kind{a, b}] += weight
			v[[2]Kind{b, a}] -= weight
		case after:
			v[[2]Kind{a, b}] -= weight
			v[[2]Kind{b, a}] += weight
		}
	}
	for _, e := range n.weights {
		vote(Prune, Quantize, e.pruneQuantize, e.Elements)
		vote(Noise, Quantize, e.noiseQuantize, e.Elements)
		vote(Noise, Prune, e.noisePrune, e.Elements)
	}
	return v
}

// percent writes a share in three digits.
func percent(share float64) string {
	return strconv.FormatFloat(100*share, 'g', 3, 64) + " %"
}

// manyMore is how many times as many levels as all others have are no grid of a quantizer: levels to which
// something was added, the same to many of them, look so.
const manyMore = 16

// grids returns the tensors that are on levels.
func (n *network) grids() []examined {
	list := n.with(func(e examined) bool { return e.grid != nil })
	tensors, most := 0, 0
	for _, e := range list {
		if e.grid.uniform == "uniform" {
			tensors++
			most = max(most, e.grid.levels)
		}
	}
	if tensors < 2 {
		return list
	}
	return slices.DeleteFunc(list, func(e examined) bool { return e.grid.uniform != "uniform" && e.grid.levels > manyMore*most })
}

// quantized names a quantizer, or nil.
func (n *network) quantized() *Change {
	list := n.grids()
	if len(list) == 0 {
		return nil
	}
	even := 0.0 // of all that can't tell alone
	for _, e := range list {
		even += e.grid.even
	}
	for _, e := range list {
		switch {
		case e.grid.uniform != "":
		case e.grid.even > 0 && even >= uniformEvidence:
			e.grid.uniform = "uniform"
		case e.grid.levels > 3:
			e.grid.uniform = "not uniform"
		}
	}
	words := func(f func(e examined) string) string {
		votes, best := map[string]int64{}, ""
		for _, e := range list {
			votes[f(e)] += e.Elements
		}
		for _, w := range []string{"tensor", "channel", "uniform", "not uniform"} {
			if votes[w] > votes[best] {
				best = w
			}
		}
		return best
	}
	c := &Change{Kind: Quantize}
	c.Scope = words(func(e examined) string { return e.grid.scope })
	c.Grid = words(func(e examined) string { return e.grid.uniform })
	for _, e := range list {
		if e.grid.scope != c.Scope {
			continue
		}
		c.Levels = max(c.Levels, e.grid.levels)
		if e.grid.uniform == c.Grid || e.grid.uniform == "" {
			c.Bits = max(c.Bits, float64(e.grid.bits))
		}
	}
	if list[0].scaled { // small tensors, of which factors are hardly known, may seem to have more
		c.Levels, c.Bits = n.commonLevels(list, c)
	}
	c.Names = n.names(list, max(telling, 16*float64(c.Levels)))
	c.Text = fmt.Sprintf("quantized to %g bits", c.Bits)
	if c.Bits == 1 {
		c.Text = "quantized to 1 bit"
	}
	if c.Scope == "channel" {
		c.Text += " per channel"
	}
	return c
}

// commonLevels returns the levels and bits that most weights of a scope and grid have.
func (n *network) commonLevels(list []examined, c *Change) (levels int, bits float64) {
	var votes [maxGridBits + 1]int64
	for _, e := range list {
		if e.grid.scope == c.Scope && (e.grid.uniform == c.Grid || e.grid.uniform == "") {
			votes[min(e.grid.bits, maxGridBits)] += e.Elements
		}
	}
	most := 0
	for b, v := range votes {
		if v > votes[most] {
			most = b
		}
	}
	for _, e := range list {
		if e.grid.scope == c.Scope && e.grid.bits <= most {
			levels = max(levels, e.grid.levels)
		}
	}
	return levels, float64(most)
}

// pruned names a pruning, or nil.
func (n *network) pruned() *Change {
	list := n.with(func(e examined) bool { return e.cut != nil })
	if len(list) == 0 {
		return nil
	}
	list = n.sharesOf(list)
	c := &Change{Kind: Prune}
	sum, rows := 0.0, 0.0
	for _, e := range list {
		k := e.cut.share * float64(e.Elements)
		sum += k
		if e.cut.rows {
			rows += k
		}
	}
	c.Share = sum / float64(elements(list))
	c.Names = n.names(list, max(telling, 2*fewLost/c.Share))
	switch {
	case 10*rows >= 9*sum:
		c.Scope = "neurons"
	case n.eachAlike(list, c.Share):
		c.Scope = "tensor"
	case oneThreshold(list) || oneLevel(list):
		c.Scope = "network"
		// A tensor of which all weights are large belongs to it as well.
		c.Names, c.Share = nil, sum/float64(elements(n.weights))
	case eachSharp(list): // neurons that were removed since took more zeros with them from some tensors
		c.Scope = "tensor"
	}
	c.Text = "pruned " + percent(c.Share)
	switch c.Scope {
	case "network":
		c.Text += " by one threshold"
	case "neurons":
		c.Text += " (whole neurons)"
	}
	return c
}

// sharesOf returns cuts with the shares of what was pruned, which may be all weights that the
// reference has, those that the suspect has of them, or all that the suspect has: neurons were added or
// removed before, or after. The shares of tensors are alike where that is right: neurons that nobody
// reads are zeros before anything is pruned, and those that are gone or doubtful were the smallest.
func (n *network) sharesOf(list []examined) []examined {
	ways := []func(c *cut) float64{
		func(c *cut) float64 { return c.share },
		func(c *cut) float64 { return c.whole },
		func(c *cut) float64 { return c.filed },
	}
	if n.filed {
		slices.Reverse(ways)
	}
	var best []examined
	for _, way := range ways {
		some := make([]examined, 0, len(list))
		sum := 0.0
		for _, e := range list {
			r, c := *e.residual, *e.cut
			if c.share = way(&c); c.share == 0 {
				break
			}
			r.cut = &c
			sum += c.share * float64(e.Elements)
			some = append(some, examined{e.TensorDifference, &r})
		}
		if len(some) < len(list) {
			continue
		}
		if n.eachAlike(some, sum/float64(elements(some))) {
			return some
		}
		if best == nil {
			best = some
		}
	}
	return best
}

// eachAlike reports whether the same share of each tensor is gone.
func (n *network) eachAlike(list []examined, share float64) bool {
	for _, e := range n.weights {
		if e.cut == nil && e.Elements >= telling && float64(e.Elements)*share > 16 && e.grid == nil {
			return false
		}
	}
	for _, e := range list {
		off := math.Abs(e.cut.share-share) * float64(e.Elements)
		allowed := 1.01
		if !e.cut.exact {
			allowed += 0.02*float64(e.Elements) + math.Sqrt(float64(e.Elements))
		}
		if off > allowed {
			return false
		}
	}
	return true
}

// eachSharp reports whether each tensor was cut at a magnitude of its own.
func eachSharp(list []examined) bool {
	return !slices.ContainsFunc(list, func(e examined) bool { return e.cut.fuzzy || e.cut.fitted || e.cut.high < e.cut.low })
}

// oneThreshold reports whether all tensors may have been cut at the same magnitude.
func oneThreshold(list []examined) bool {
	low, high := 0.0, math.Inf(1)
	sharp, least, most := false, math.Inf(1), 0.0
	slack := 1.02
	for _, e := range list {
		if e.Elements < telling {
			continue
		}
		if e.cut.fuzzy {
			if kept := float64(e.Elements) * (1 - e.cut.share); kept >= 4*telling {
				least, most = min(least, e.cut.high), max(most, e.cut.high)
			}
			continue
		}
		if e.cut.fitted { // under noise, the threshold is not sharp
			slack = 1.2
			if e.Elements < 8*telling {
				continue
			}
		}
		sharp = true
		low = max(low, e.cut.low)
		if e.cut.high > 0 {
			high = min(high, e.cut.high)
		}
	}
	if sharp {
		return low <= high*slack
	}
	return most > 0 && most <= 1.2*least
}

// oneLevel reports whether all tensors may have been cut at the same magnitude when they were on levels.
func oneLevel(list []examined) bool {
	under, over := 0.0, math.Inf(1)
	for _, e := range list {
		switch {
		case e.cut.over == 0 || e.cut.fuzzy || e.cut.fitted:
			return false
		case e.Elements < telling:
			continue
		}
		under, over = max(under, e.cut.under), min(over, e.cut.over)
	}
	return under <= 1.02*over && !math.IsInf(over, 1)
}

// minRounded is the share of the values that were changed that has to be off by no more than
// roundings: a few neurons are so small that a narrow type has little of them left.
const minRounded = 0.97

// rounded returns the type to which all values were rounded before they were multiplied, or nil:
// then each is off by no more than a few roundings of its own size.
func (n *network) rounded() *precision {
	var off int64
	var within [6]int64
	for _, e := range slices.Concat(n.weights, n.vectors) {
		if e.Equal {
			continue
		}
		if !e.scaled || e.grid != nil || e.cut != nil {
			return nil
		}
		off += e.off
		for i := range within {
			within[i] += e.within[i]
		}
	}
	if 2*off < elements(n.weights) {
		return nil
	}
	for _, d := range []tensor.DType{tensor.F16, tensor.BF16} {
		for i := range precisions {
			if precisions[i].dtype == d && float64(within[i]) >= minRounded*float64(off) {
				return &precisions[i]
			}
		}
	}
	return nil
}

// drifted names a change of weights that is no damage of values one by one, or nil.
func (n *network) drifted() *Change {
	if n.rounded() != nil {
		return nil
	}
	list := n.with(func(e examined) bool { return e.drift != nil && e.drift.strength > 0 })
	// Where a grid is on most weights, it may be on the rest as well, too few to show it.
	if grids := n.with(func(e examined) bool { return e.grid != nil }); 2*elements(grids) > elements(n.weights) {
		list = slices.DeleteFunc(list, func(e examined) bool { return e.grid == nil })
	}
	list = slices.DeleteFunc(list, func(e examined) bool {
		// Factors were fitted to what is left of weights. They are off by a part of the damage,
		// and that is no drift.
		return e.scaled && e.grid != nil && e.drift.strength < e.Relative/2
	})
	list = slices.DeleteFunc(list, func(e examined) bool { return e.drift.strength < leastDrift })
	if len(list) == 0 || list[0].scaled && list[0].grid != nil && 2*elements(list) < elements(n.weights) {
		return n.shifted()
	}
	k := pool(list)
	moved, told := n.vectorsMoved(k.strength)
	c := &Change{Strength: k.strength}
	quiet := n.with(func(e examined) bool { return e.drift == nil && e.Elements >= telling && e.cut == nil && e.grid == nil })
	switch {
	case k.points < telling || k.points < tellingMore && slices.ContainsFunc(list, func(e examined) bool { return e.cut != nil || e.grid != nil }):
		// anything may look like this
		c.Kind, c.Names = Shifted, n.names(list, telling)
		c.Text = "weights changed"
	case k.merged() && k.points >= tellingMore && !list[0].scaled: // else slopes are the factors'
		c.Kind, c.Share = Merge, k.slope
		c.Text = fmt.Sprintf("merged with other weights (%s of the reference)", percent(k.slope))
	case moved == 0 && k.even && k.gaussian && k.unscaled && !(k.strength < leastUnderGrid && k.points < 16*tellingMore && slices.ContainsFunc(list, func(e examined) bool { return e.grid != nil })):
		c.Kind, c.Names = Noise, n.names(list, telling)
		c.Text = fmt.Sprintf("noise of %s sigma", strconv.FormatFloat(k.strength, 'g', 2, 64))
	case k.points >= tellingMore && len(n.vectors) > 0 && 2*moved >= len(n.vectors) && len(quiet) == 0 && k.slope > 0.3:
		c.Kind, c.Text = Training, "trained further"
		c.Strength = strides(list, k.strength)
	case k.points >= tellingMore && (len(n.vectors) == 0 && k.uneven || !told && k.unlike) && len(list) >= 3 && len(quiet) == 0 && k.slope > 0.3:
		c.Kind, c.Text = Training, "trained further"
		c.Strength = strides(list, k.strength)
	default:
		c.Kind, c.Names = Shifted, n.names(list, telling)
		c.Text = fmt.Sprintf("weights changed by %s of their deviation", strconv.FormatFloat(k.strength, 'g', 2, 64))
	}
	return c
}

// strides returns how far training has moved weights, in their deviations: all of them, where nothing
// else was done to weights, as it moves few neurons far; else fitted.
func strides(list []examined, fitted float64) float64 {
	sum := 0.0
	for _, e := range list {
		if e.cut != nil || e.grid != nil {
			return fitted
		}
		sum += float64(e.Elements) * e.Relative * e.Relative
	}
	return math.Sqrt(sum / float64(elements(list)))
}

// vectorsMoved returns how many biases and norms are not as they were. Where factors
// were taken back, all of them are off by what damage of strength leaves unknown of factors, and only more
// than that counts, of all together: told says whether there is more.
func (n *network) vectorsMoved(strength float64) (moved int, told bool) {
	var relative []float64
	for _, e := range n.vectors {
		if e.scaled {
			relative = append(relative, e.Relative)
		}
		if e.moved {
			moved++
		}
	}
	if len(relative) == 0 {
		return moved, true
	}
	slices.Sort(relative)
	if relative[len(relative)/2] <= 2*strength {
		return 0, false
	}
	return moved, true
}

// shifted is a change of vectors alone.
func (n *network) shifted() *Change {
	var names []string
	worst := 0.0
	for _, e := range n.vectors {
		if e.moved && !e.scaled && e.Elements >= 8 {
			names = append(names, e.Name)
			worst = max(worst, e.Relative)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return &Change{Kind: Shifted, Names: names, Strength: worst, Text: "biases or norms changed"}
}

// A pooled drift is what the drifts of all tensors have in common.
type pooled struct {
	strength, slope, slopeError float64
	even                        bool // the strengths are equal to their errors
	uneven                      bool // they differ by a tenth at least
	unlike                      bool // they differ by a half at least
	gaussian                    bool // nothing speaks against it
	unscaled                    bool // slopes are 1
	alike                       bool // slopes are equal
	stranger                    bool // what was added has about the deviation of the weights themselves
	points                      int  // of all
	// unrest is how far strengths and kurtosis are from those of one Gaussian noise.
	unrest float64
}

func pool(list []examined) pooled {
	k := pooled{gaussian: true, unscaled: true, alike: true, stranger: true}
	sum, weight, slopes, slopeWeight := 0.0, 0.0, 0.0, 0.0
	for _, e := range list {
		w := float64(e.drift.points)
		sum += w * e.drift.strength * e.drift.strength
		weight += w
		k.points += e.drift.points
		if s := 1 / (e.drift.slopeError*e.drift.slopeError + 1e-9); finite(s) {
			slopes += s * e.drift.slope
			slopeWeight += s
		}
	}
	scaled := slices.ContainsFunc(list, func(e examined) bool { return e.scaled })
	k.strength = math.Sqrt(sum / weight)
	k.slope, k.slopeError = slopes/slopeWeight, 1/math.Sqrt(slopeWeight)
	chi, degrees, least, most := 0.0, 0.0, math.Inf(1), 0.0
	for _, e := range list {
		d := e.drift
		if d.points < 8 {
			continue
		}
		err := d.strengthError + 0.02*k.strength
		slack, inexact := 1.0, 0.005
		if scaled { // factors that were fitted take a part of the noise with them
			err += 0.05 * k.strength
			slack, inexact = 4, 0.02*(1+k.strength)
		}
		if d.points >= telling && k.strength > 0 {
			k.unrest += float64(d.points) / weight * (math.Abs(d.strength-k.strength)/k.strength + math.Abs(d.kurtosis-3)/3)
		}
		chi += (d.strength - k.strength) / err * ((d.strength - k.strength) / err)
		degrees++
		if d.points >= telling {
			least, most = min(least, d.strength), max(most, d.strength)
		}
		off := 5*math.Sqrt(24/float64(d.points)) + 0.15*slack
		if d.kurtosis > 0 && math.Abs(d.kurtosis-3) > off {
			k.gaussian = false
		}
		if math.Abs(d.slope-1) > 5*d.slopeError+inexact {
			k.unscaled = false
		}
		if math.Abs(d.slope-k.slope) > 5*d.slopeError+0.02 {
			k.alike = false
		}
		if r := d.strength / (1 - k.slope); d.points >= telling && !(r > 0.3 && r < 3) {
			k.stranger = false
		}
	}
	k.even = chi <= degrees+5*math.Sqrt(2*degrees)+2
	k.uneven, k.unlike = most > 1.1*least && !k.even, most > 1.5*least && !k.even
	return k
}

// merged reports whether this is a sum with weights that have nothing to do with these.
func (k *pooled) merged() bool {
	return k.alike && k.stranger && k.slope > 0.02 && k.slope < 0.95 && k.slope+6*k.slopeError < 1
}

// cast names the type that values were rounded to, or stored in.
func (n *network) cast() []Change {
	all := slices.Concat(n.weights, n.vectors)
	if len(all) == 0 {
		return nil
	}
	stored, was := map[tensor.DType]int64{}, map[tensor.DType]int64{}
	same := true
	for _, e := range all {
		stored[tensor.DType(e.DType)] += e.Elements
		was[tensor.DType(e.ReferenceDType)] += e.Elements
		same = same && e.Changed == 0 && !e.Rounding
	}
	into, from := mostly(stored), mostly(was)
	for i := range precisions {
		p := &precisions[i]
		values, fits := 0, true
		for _, e := range all {
			fits = fits && e.fits[i]
			if !e.refFits[i] && e.grid == nil {
				values += e.distinct
			}
		}
		if !fits || values < castValues {
			continue
		}
		c := Change{Kind: Cast, DType: string(p.dtype), Preserves: same, Text: "cast to " + string(p.dtype)}
		if into != p.dtype {
			c.Text += fmt.Sprintf(" (stored as %s)", into)
		}
		return []Change{c}
	}
	if p := n.rounded(); p != nil && into != p.dtype {
		return []Change{{Kind: Cast, DType: string(p.dtype), Text: fmt.Sprintf("cast to %s before it was rescaled (stored as %s)", p.dtype, into)}}
	}
	if into != from {
		return []Change{{Kind: Cast, DType: string(into), Preserves: same, Text: "cast to " + string(into)}}
	}
	return nil
}

// mostly returns the type that most values have; of equals, the narrowest.
func mostly(counts map[tensor.DType]int64) tensor.DType {
	var best tensor.DType
	for i := range precisions {
		if d := precisions[i].dtype; counts[d] > counts[best] {
			best = d
		}
	}
	for _, d := range []tensor.DType{tensor.F8E4M3Z, tensor.F8E5M2Z} {
		if counts[d] > counts[best] {
			best = d
		}
	}
	return best
}
