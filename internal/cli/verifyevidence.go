package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ropewalk/align"
	"ropewalk/lineage"
)

// weigh says how probable it is that strangers look as these two do. Of equal weights it
// is not asked.
func (v *verification) weigh(ctx context.Context) error {
	if !v.o.evidence {
		return nil
	}
	if slices.Contains(always, v.r.Verdict) {
		v.r.skip(checkEvidence, "the weights are equal, which is more than evidence")
		return nil
	}
	p := v.e.progress("verify", 0)
	defer p.stop()
	lo := &lineage.EvidenceOptions{Threads: v.e.threads, Memory: int64(v.e.memory), Seed: v.o.seed, Progress: p.say}
	if lo.Memory == 0 {
		lo.Memory = int64(heldMemory)
	}
	for _, path := range v.o.controls {
		c, err := v.e.open(ctx, path, nil)
		if err != nil {
			return err
		}
		defer c.Close() // not before the work is done
		lo.Controls, lo.Names = append(lo.Controls, c.Tensors), append(lo.Names, path)
	}
	ref, match := v.ref.network(), v.r.Match
	if v.known != nil {
		ref.Spec = v.known.spec
	}
	if v.r.Canonical != "" {
		match = nil // a proof has no score
	}
	type result struct {
		e   *lineage.Evidence
		err error
	}
	done := make(chan result, 1)
	go func() {
		own, err := lineage.Weigh(ctx, ref, v.sus.network(), match, lo)
		done <- result{own, err}
	}()
	got := <-done
	switch {
	case errors.Is(got.err, align.ErrMemory):
		return budgetf("%w", got.err).withHint("--memory SIZE allows more")
	case errors.Is(got.err, lineage.ErrInput):
		v.r.skip(checkEvidence, "%v", got.err)
		return nil
	case got.err != nil:
		return got.err
	}
	v.r.Evidence = got.e
	return nil
}

// evidence says what there is, and what it assumes.
func (r *verifyText) evidence(c *card) {
	e := r.Evidence
	if e == nil {
		return
	}
	word := "does not show that it is derived"
	if e.Derived {
		word = "shows that it is derived"
	}
	lines := []string{word + ": " + e.Reason}
	if f := e.FixedPoints; f != nil && f.Applies {
		how := "estimated"
		if f.Exact {
			how = "exact"
		}
		lines = append(lines, fmt.Sprintf("%s of %s neurons at their own place, by chance %.1f: p = %s, %s; if %s", commas(int64(f.Fixed)), commas(int64(f.Neurons)), f.Expected, power(f.Log10P), how, f.Assumption))
	}
	if x := e.Verbatim; x != nil && x.Neurons > 0 {
		lines = append(lines, fmt.Sprintf("%s of %s neurons read with weights of the reference's, all of them: at most %s; %s", commas(int64(x.Neurons)), commas(int64(x.Tested)), power(x.Log10P), x.Assumption))
	}
	if s := e.Score; s != nil {
		lines = append(lines, fmt.Sprintf("score %.0f, which is no p-value: %s", s.Value, s.Assumption))
		for _, k := range []struct {
			name string
			c    *lineage.Conformal
		}{{"random controls", s.Random}, {"given controls", s.Given}} {
			if k.c != nil {
				lines = append(lines, fmt.Sprintf("%s of %s %s as high: p = %.3g; %s", commas(int64(k.c.Above)), commas(int64(k.c.Counted)), k.name, k.c.P, k.c.Assumption))
			}
		}
	}
	if n := e.Neurons; n != nil && n.FamilyWise.Claimed > 0 {
		lines = append(lines, fmt.Sprintf("%s of %s neurons claimed together, at a level of %g: %s", commas(int64(n.FamilyWise.Claimed)), commas(int64(n.Neurons)), n.FamilyWise.Level, n.Assumption))
	}
	lines = append(lines, e.Caution)
	for i, l := range lines {
		c.line([]string{"evidence", ""}[min(i, 1)], "%s", l)
	}
}
