package lineage

import (
	"cmp"
	"slices"

	"ropewalk/align"
)

// NeuronClaims is how many matches can be claimed together, as against one at a time.
type NeuronClaims struct {
	Neurons    int           `json:"neurons" about:"of the reference"`
	Matched    int           `json:"matched" about:"that have a partner"`
	FamilyWise NeuronClaim   `json:"family_wise" about:"claims of which none is wrong, but for the probability level (Holm)"`
	Discovery  NeuronClaim   `json:"discovery" about:"claims of which at most the share level is wrong, on average (Benjamini and Hochberg)"`
	Groups     []GroupClaims `json:"groups,omitempty"`
	Why        string        `json:"why,omitempty" about:"why nothing is claimed"`
	Assumption string        `json:"assumption" about:"in words"`
}

// NeuronClaim is a set of matches that are claimed together.
type NeuronClaim struct {
	Level         float64 `json:"level"`
	Claimed       int     `json:"claimed" about:"neurons"`
	ExpectedWrong float64 `json:"expected_wrong" about:"sum of one minus certainty over those that are claimed"`
}

// GroupClaims are the claims in one group of neurons.
type GroupClaims struct {
	Name       string `json:"name"`
	Neurons    int    `json:"neurons"`
	FamilyWise int    `json:"family_wise"`
	Discovery  int    `json:"discovery"`
}

const neuronAssumption = "One minus the certainty of a match stands in the place of a p-value. A certainty is the posterior probability of the match under a model that is fitted to the two networks: " +
	"cosines of neurons that don't belong together are Gaussian with a variance that was measured, those of pairs are shifted, and what different tensors say is independent. " +
	"That is a model, so these numbers are no exact error rates."

const (
	familyLevel    = 1e-3
	discoveryLevel = 0.01
)

// claimNeurons corrects certainties for how many there are. why, if it is not empty, is why nothing can be claimed.
func claimNeurons(match *align.NetworkResult, why string) *NeuronClaims {
	out := &NeuronClaims{
		FamilyWise: NeuronClaim{Level: familyLevel}, Discovery: NeuronClaim{Level: discoveryLevel}, Why: why, Assumption: neuronAssumption,
	}
	type doubt struct {
		group int
		p     float64
	}
	var doubts []doubt
	classes := match.All()
	for k := range classes {
		c := &classes[k]
		out.Groups = append(out.Groups, GroupClaims{Name: c.Name, Neurons: len(c.Sus)})
		for i, j := range c.Sus {
			p := 1.0
			if j >= 0 {
				out.Matched++
				if i < len(c.Certainty) {
					p = min(max(0, 1-c.Certainty[i]), 1)
				}
			}
			doubts = append(doubts, doubt{k, p})
		}
	}
	out.Neurons = len(doubts)
	if why != "" {
		return out
	}
	slices.SortStableFunc(doubts, func(a, b doubt) int { return cmp.Compare(a.p, b.p) })
	p := make([]float64, len(doubts))
	for i, d := range doubts {
		p[i] = d.p
	}
	out.FamilyWise.Claimed, out.Discovery.Claimed = holm(p, familyLevel), benjaminiHochberg(p, discoveryLevel)
	for i, d := range doubts {
		if i < out.FamilyWise.Claimed {
			out.FamilyWise.ExpectedWrong += d.p
			out.Groups[d.group].FamilyWise++
		}
		if i < out.Discovery.Claimed {
			out.Discovery.ExpectedWrong += d.p
			out.Groups[d.group].Discovery++
		}
	}
	return out
}

// holm returns how many of the ascending p-values can be rejected so that any wrong
// rejection has at most the probability level, however they depend on each other
// (Holm 1979).
func holm(p []float64, level float64) int {
	for i, x := range p {
		if x > level/float64(len(p)-i) {
			return i
		}
	}
	return len(p)
}

// benjaminiHochberg returns how many of the ascending p-values can be rejected so that at
// most the share level of them is wrong on average, if they are independent or depend on each
// other positively (Benjamini and Hochberg 1995).
func benjaminiHochberg(p []float64, level float64) int {
	for i := len(p); i > 0; i-- {
		if p[i-1] <= level*float64(i)/float64(len(p)) {
			return i
		}
	}
	return 0
}
