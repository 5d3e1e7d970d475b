package graph

// valueRules are the operators that work on elements.
var valueRules = map[string]rule{
	"Add":     oldBroadcasting,
	"Sub":     oldBroadcasting,
	"Mul":     oldBroadcasting,
	"Div":     oldBroadcasting,
	"Pow":     oldBroadcasting,
	"And":     oldBroadcasting,
	"Or":      oldBroadcasting,
	"Xor":     oldBroadcasting,
	"Equal":   oldBroadcasting,
	"Greater": oldBroadcasting,
	"Less":    oldBroadcasting,
	"Clip":    oldClip,
	"Cast":    oldCast,
}

// floats returns the name of a new constant with F32 numbers.
func (r *rewriter) floats(suffix string, v ...float64) string {
	if len(v) > maxList {
		r.problem("attribute %s has %d numbers, want at most %d", suffix, len(v), maxList)
		return ""
	}
	return r.add(suffix, floatArray(v))
}

// oldBroadcasting: before version 7 it had to be asked for, and could begin at an axis.
func oldBroadcasting(r *rewriter) {
	if r.version >= 7 {
		return
	}
	delete(r.n.Attributes, "broadcast")
	if axis, ok := take[int64](r, "axis"); ok {
		r.setInput(1, r.alongAxis(1, axis))
	}
}

// alongAxis returns input i with axes of length 1 added at its end, so that its
// first axis stands below that axis of input 0 when the two broadcast.
func (r *rewriter) alongAxis(i int, axis int64) string {
	rank := func(suffix, of string) string {
		return r.emit(suffix+".rank", "Shape", nil, r.emit(suffix+".shape", "Shape", nil, of))
	}
	own := r.emit("axes", "Shape", nil, r.input(i))
	missing := r.ints("missing", -axis)
	if axis >= 0 {
		missing = r.emit("below", "Sub", nil, rank("first", r.input(0)), r.ints("axis", axis))
	}
	missing = r.emit("ones.rank", "Sub", nil, missing, rank("second", r.input(i)))
	one := intArray([]int64{1})
	one.Name = r.n.Name + ".one"
	ones := r.emit("ones", "ConstantOfShape", Attributes{"value": one}, missing)
	return r.emit("aligned", "Reshape", nil, r.input(i), r.emit("aligned.shape", "Concat", Attributes{"axis": int64(0)}, own, ones))
}

// oldClip: min and max, attributes before version 11, are inputs.
func oldClip(r *rewriter) {
	if r.version >= 11 {
		return
	}
	for i, name := range []string{"min", "max"} {
		if v, ok := take[float64](r, name); ok {
			r.setInput(i+1, r.float(name, v, r.input(0)))
		}
	}
}

// typeNumbers are the names by which Cast called types before version 6.
var typeNumbers = map[string]int64{
	"FLOAT": 1, "UINT8": 2, "INT8": 3, "UINT16": 4, "INT16": 5, "INT32": 6, "INT64": 7,
	"STRING": 8, "BOOL": 9, "FLOAT16": 10, "DOUBLE": 11, "UINT32": 12, "UINT64": 13,
}

// oldCast: the type, a name before version 6, is a number.
func oldCast(r *rewriter) {
	name, ok := r.n.Attributes["to"].(string)
	if !ok {
		return
	}
	number := typeNumbers[name]
	if number == 0 {
		r.problem("it casts to %q, which is no type", name)
		return
	}
	r.n.Attributes["to"] = number
}
