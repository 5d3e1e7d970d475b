package lineage

import (
	"fmt"
	"slices"
	"strings"
)

// rungs says how far down the ladder a change leads.
var rungs = map[Kind]Verdict{
	Container:     SameWeights,
	Metadata:      SameWeights,
	Renamed:       SameWeights,
	Reorder:       Reordered,
	Rescale:       Rescaled,
	SignFlip:      Rescaled,
	Padding:       Rescaled,
	Cast:          Reencoded,
	Quantize:      Reencoded,
	Prune:         Pruned,
	Removal:       Pruned,
	AddedTensors:  Modified,
	MissingTensor: Modified,
	OtherShapes:   Modified,
	Noise:         Modified,
	Training:      Modified,
	Shifted:       Modified,
	Edited:        Modified,
	Merge:         PartlyDerived,
	Partial:       PartlyDerived,
}

// rung returns the first verdict of the ladder that all changes allow.
func rung(changes []Change) Verdict {
	all := Verdicts()
	worst := slices.Index(all, SameWeights)
	for _, c := range changes {
		v, ok := rungs[c.Kind]
		if !ok {
			panic("internal error: no rung for changes of kind " + string(c.Kind))
		}
		worst = max(worst, slices.Index(all, v))
	}
	return all[worst]
}

// Rung returns the verdict that a change of that kind leads to when it is alone, and
// whether the kind is known.
func (k Kind) Rung() (Verdict, bool) {
	v, ok := rungs[k]
	return v, ok
}

// Summary names the changes in their order, as "reordered, pruned 90 %, quantized to
// 4 bits", or the verdict if there are none.
func (c *Comparison) Summary() string {
	var text []string
	for _, x := range c.Changes {
		if v, _ := x.Kind.Rung(); v != SameWeights {
			text = append(text, x.Text)
		}
	}
	if len(text) == 0 || c.Verdict == Unrelated {
		return string(c.Verdict)
	}
	return strings.Join(text, ", ")
}

// count returns "1 tensor", "2 tensors".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// few returns the first names, and how many more there are.
func few(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
