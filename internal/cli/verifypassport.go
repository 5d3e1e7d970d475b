package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"ropewalk/align"
	"ropewalk/lineage"
	"ropewalk/lineage/passport"
)

// verifyPassport is what is known of the passport that stands for the reference.
type verifyPassport struct {
	Signed bool   `json:"signed" about:"by a key, and the signature fits"`
	Key    string `json:"key,omitempty" about:"SHA-256 of the public key that signed, as PKIX DER"`
	Owner  bool   `json:"owner" about:"that key is the one of --signer"`
	Name   string `json:"name,omitempty" about:"of the network, as its maker says"`
}

// openReference opens what --against names: a network, or its passport.
func (v *verification) openReference(ctx context.Context) error {
	o := v.o
	if o.against == dash || !isPassport(o.against) {
		if o.trust != (trustFlags{}) {
			return usagef("%s is no passport, so nobody has signed it", o.against).withHint("ropewalk passport make makes one")
		}
		var err error
		v.ref.c, err = v.e.open(ctx, o.against, nil)
		return err
	}
	if o.net != "" || o.spec != "" || o.heads != 0 {
		return usagef("%s is a passport, and says what can move: --net, --spec and --heads are for networks", o.against)
	}
	for _, out := range []string{o.sarif, o.repair} {
		a, err := os.Stat(o.against)
		b, other := os.Stat(out)
		if err == nil && other == nil && os.SameFile(a, b) {
			return usagef("%s is an input and the output at once", out).withHint("inputs are never changed")
		}
	}
	var err error
	if v.pass, err = openPassport(o.against, &o.trust); err != nil {
		return passportError(o.against, err)
	}
	v.r.Passport = &verifyPassport{Name: v.pass.Name}
	if s := v.pass.Signature; s != nil {
		v.r.Passport.Signed, v.r.Passport.Key, v.r.Passport.Owner = true, s.KeyID(), o.trust.signer != ""
	}
	return nil
}

// againstPassport finds out what a passport can tell.
func (v *verification) againstPassport(ctx context.Context) error {
	r := v.r
	p := v.e.progress("verify", 0)
	defer p.stop()
	p.say("SHA-256 of " + v.sus.path)
	if err := v.sus.sum(ctx); err != nil {
		return err
	}
	v.sus.set = v.sus.c.Tensors
	if err := v.sus.refuseEmpty(); err != nil {
		return err
	}
	r.ReferenceFiles, r.SuspectFiles = v.pass.Files, v.sus.files
	lo := &lineage.Options{Threads: v.e.threads, Memory: int64(v.e.memory), Progress: p.say}
	if lo.Memory == 0 {
		lo.Memory = int64(heldMemory)
	}
	type result struct {
		c   *lineage.Comparison
		err error
	}
	done := make(chan result, 1)
	go func() {
		c, err := passport.Compare(ctx, v.pass, v.sus.network(), lo)
		done <- result{c, err}
	}()
	got := <-done
	switch {
	case errors.Is(got.err, align.ErrMemory):
		return budgetf("%w", got.err).withHint("--memory SIZE allows more")
	case errors.Is(got.err, passport.ErrNumbers):
		return &verdict{status: exitRefused, err: fmt.Errorf("%s: %w", v.sus.path, got.err)}
	case got.err != nil:
		return passportError(v.o.against, got.err)
	}
	if own := (&side{files: v.pass.Files}); len(own.files) > 0 && own.sameFiles(v.sus) && got.c.Verdict == lineage.SameWeights {
		got.c.Verdict, got.c.Changes = lineage.Identical, nil
		got.c.Function.How = "the files are the same bytes, by SHA-256"
	}
	r.Comparison, r.Summary, r.Neurons = got.c, got.c.Summary(), neuronsOf(got.c)
	if v.o.data.data != "" {
		r.skip(checkAccuracy, "a passport has no weights to run")
	}
	if v.o.evidence {
		r.skip(checkEvidence, "probabilities and controls need the weights of the reference")
	}
	if r.Verdict == lineage.Identical {
		return nil
	}
	r.skip(checkOutputs, "a passport does not say how the network is computed, and has no weights to run")
	r.skip(checkMetadata, "a passport does not keep what files say beside tensors")
	if v.sus.c.Layout.Format == "onnx" {
		r.skip(checkGraph, "a passport has none to hold that of %s against", v.sus.path)
	}
	return nil
}

// String says who signed the passport.
func (p *verifyPassport) String() string {
	switch {
	case !p.Signed:
		return "not signed: anybody can have made it"
	case p.Owner:
		return "signed by the key of --signer, " + p.Key
	}
	return "signed by " + p.Key + ", which may be anybody's: --signer FILE says whose it has to be"
}
