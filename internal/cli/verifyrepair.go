package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ropewalk/lineage"
	"ropewalk/tensor"
)

// verifyRepair is what was undone in the network that --repair wrote.
type verifyRepair struct {
	Moved     int              `json:"moved" about:"neurons that came to another place"`
	Rescaled  int              `json:"rescaled" about:"neurons of which a factor was taken back"`
	Removed   int              `json:"removed" about:"neurons that were left out"`
	Missing   int              `json:"missing" about:"neurons that are zeros, because the suspect lacks them"`
	Uncertain map[string][]int `json:"uncertain,omitempty" about:"neurons of which it is not known which they are, by group"`
	Unscaled  map[string][]int `json:"unscaled,omitempty" about:"neurons whose factors could not be taken back, by group"`
}

// repair writes the suspect with what preserves the function undone, in its own format.
// Of strangers nothing is written.
func (v *verification) repair(ctx context.Context) error {
	if v.o.repair == "" || v.r.Verdict == lineage.Unrelated {
		return nil
	}
	set := v.sus.c.Tensors
	if spec := v.spec(); v.r.Match != nil && spec != nil {
		own, err := lineage.Repair(spec, set, v.r.Match)
		if err != nil {
			return fmt.Errorf("%s cannot be put in order: %w", v.sus.path, err)
		}
		v.r.Repair = &verifyRepair{own.Moved, own.Rescaled, own.Removed, own.Missing, own.Uncertain, own.Unscaled}
		set = own.Set
	} else if v.r.why(checkNeurons, "") != "" {
		return usagef("--repair: it is not known what can move in %s", v.ref.path).withHint("--net NET says which network it is, --spec FILE what can move in it")
	} else {
		v.r.Repair = &verifyRepair{}
	}
	files, err := v.e.rewrite(ctx, "repair", v.sus.path, v.sus.c, set, v.o.repair, v.o.force, v.inputs()...)
	if errors.As(err, new(*tensor.RangeError)) {
		return fmt.Errorf("%s cannot be written with factors taken back: %w", v.sus.path, err)
	}
	v.r.Files = append(v.r.Files, files...)
	return err
}

// String says what was undone.
func (p *verifyRepair) String() string {
	parts := []string{fmt.Sprintf("%s moved back", count(p.Moved, "neuron"))}
	for _, k := range []struct {
		n    int
		what string
	}{{p.Rescaled, "rescaled back"}, {p.Removed, "left out"}, {p.Missing, "missing, and zero"}, {entries(p.Uncertain), "not known, and not moved where that could be"}, {entries(p.Unscaled), "not scaled back"}} {
		if k.n > 0 {
			parts = append(parts, commas(int64(k.n))+" "+k.what)
		}
	}
	return strings.Join(parts, ", ")
}

func entries(m map[string][]int) (n int) {
	for _, list := range m {
		n += len(list)
	}
	return n
}
