package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"ropewalk/align"
	"ropewalk/checkpoint"
	"ropewalk/lineage/passport"
	"ropewalk/mark"
	"ropewalk/tensor"
)

// extractFromPassport is markExtract where the passport of the unmarked network stands for
// it: the suspect is aligned to its sketches, and what differs from these is read.
func (e *env) extractFromPassport(ctx context.Context, o *extractOptions, suspect string, sus *checkpoint.Checkpoint, secrets []mark.Secrets, mo *mark.Options, start time.Time) error {
	if o.asIs || o.net != "" || o.spec != "" {
		return usagef("%s is a passport, which says itself what can move: --as-is, --net and --spec are for networks", o.reference)
	}
	p, err := openPassport(o.reference, &trustFlags{})
	if err != nil {
		return err
	}
	cm, err := o.readCommitment(secrets, func(cm *mark.Commitment) error {
		return cm.CheckReferenceDigests(func(name string) (string, error) {
			t := p.Tensor(name)
			if t == nil {
				return "", nil
			}
			return hex.EncodeToString(t.SHA256[:]), nil
		})
	})
	if err != nil {
		return err
	}
	r := &markExtractResult{Schema: "ropewalk/mark-extract/1", Suspect: suspect, Reference: o.reference, Committed: cm != nil}
	set, found, err := e.restoreFrom(ctx, p, sus)
	if err != nil {
		return err
	}
	r.Alignment = &markAlignment{To: "passport", Related: found.Related, LogEvidence: found.LogEvidence}
	r.Alignment.Matched, r.Alignment.Neurons = found.Matched()
	for _, s := range secrets {
		params := (*mark.Parameters)(nil)
		if cm != nil {
			params = cm.Parameters
		} else if params, err = mark.Assume(o.scheme, set, s, mo); err != nil {
			return markError(err)
		}
		reading, err := readFrom(p, set, s, params)
		if err != nil {
			return markError(err)
		}
		o.judge(reading, s, params, r)
	}
	if r.Parameters.Scheme != markUchida {
		r.Alignment.Share = sketchedShare(p, r.Parameters)
	}
	if o.evidence != "" {
		text, err := os.ReadFile(o.reference)
		if err != nil {
			return err
		}
		digest := sha256.Sum256(text)
		refs := []mark.Subject{{Name: o.reference, Digest: map[string]string{"sha256": hex.EncodeToString(digest[:])}}}
		if err := e.writeEvidence(ctx, o, secrets[0], cm, sus, refs, r); err != nil {
			return err
		}
	}
	return e.extracted(o, r, start, sus)
}

// restoreFrom puts a suspect in the order of a passport.
func (e *env) restoreFrom(ctx context.Context, p *passport.Passport, sus *checkpoint.Checkpoint) (*tensor.Set, *align.NetworkResult, error) {
	bar := e.progress("align", 0)
	defer bar.stop()
	set, found, err := passport.Restore(ctx, p, sus.Tensors, &align.NetworkOptions{Options: align.Options{Threads: e.threads}, Memory: int64(e.memory)})
	if errors.Is(err, passport.ErrMisfit) {
		return nil, nil, markError(fmt.Errorf("%w: %w", mark.ErrNetwork, err))
	}
	return set, found, passportError(sus.Path, err)
}

// readFrom reads a mark against the sketches of a passport; scheme uchida needs none.
func readFrom(p *passport.Passport, set *tensor.Set, s mark.Secrets, params *mark.Parameters) (*mark.Reading, error) {
	if params.Scheme == markUchida {
		scheme, err := mark.Find(params.Scheme)
		if err != nil {
			return nil, err
		}
		return scheme.Extract(set, nil, s, params)
	}
	r, err := mark.ExtractFrom(set, func(t *tensor.Tensor) ([]float32, error) {
		a, err := mark.Amplitude(t, params)
		if err != nil {
			return nil, err
		}
		y, err := p.Residual(t, a)
		switch {
		case errors.Is(err, passport.ErrNothingKept):
			return nil, &mark.SkipError{Reason: err.Error()}
		case errors.Is(err, passport.ErrMisfit):
			return nil, fmt.Errorf("%w: %w", mark.ErrNetwork, err)
		}
		return y, err
	}, s, params)
	if errors.Is(err, mark.ErrNetwork) {
		err = fmt.Errorf("%w; the unmarked network itself may show more", err)
	}
	return r, err
}

// sketchedShare is how much of a difference in the marked tensors a passport tells.
func sketchedShare(p *passport.Passport, params *mark.Parameters) float64 {
	sum, all := 0.0, 0.0
	for _, name := range params.Tensors {
		if t := p.Tensor(name); t != nil {
			n, _ := t.Shape.Elems() // checked when the passport was read
			sum += float64(n) * p.Share(name)
			all += float64(n)
		}
	}
	return sum / max(1, all)
}
