package attack

import (
	"ropewalk/tensor"
)

// castTypes are the types that tensors can be cast to, by their words.
var castTypes = map[string]tensor.DType{"f32": tensor.F32, "f16": tensor.F16, "bf16": tensor.BF16, "f64": tensor.F64}

var castWords = []string{"f32", "f16", "bf16", "f64"}

// cast gives all floats another type, or, with the option round, only the values
// that they would have in it. What is too large for the type is an error of reading.
func (r *run) cast(s *Step, rep *Report) error {
	var to tensor.DType
	for _, w := range castWords {
		if s.has(w) {
			to = castTypes[w]
		}
	}
	var changed, old []*tensor.Tensor
	for _, t := range r.Set.All() {
		if !t.DType.Numeric() || t.DType == to {
			continue
		}
		c := tensor.Cast(t, to)
		if s.has("round") {
			c = tensor.Cast(c, t.DType)
		}
		changed, old = append(changed, c), append(old, t)
	}
	rep.counted(old)
	return r.change(changed...)
}
