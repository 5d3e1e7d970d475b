package graph

import "ropewalk/tensor"

// shapeRules are the operators that change shapes and choose elements.
var shapeRules = map[string]rule{
	"Squeeze":         axesAsInput(13),
	"Unsqueeze":       axesAsInput(13),
	"ReduceSum":       axesAsInput(13),
	"ReduceMean":      axesAsInput(18),
	"ReduceMax":       axesAsInput(18),
	"ReduceMin":       axesAsInput(18),
	"ReduceProd":      axesAsInput(18),
	"ReduceL1":        axesAsInput(18),
	"ReduceL2":        axesAsInput(18),
	"ReduceLogSum":    axesAsInput(18),
	"ReduceLogSumExp": axesAsInput(18),
	"ReduceSumSquare": axesAsInput(18),
	"Slice":           oldSlice,
	"Pad":             oldPad,
	"Split":           oldSplit,
	"TopK":            oldTopK,
	"Upsample":        oldUpsample,
	"Resize":          oldResize,
	"Reshape":         oldReshape,
	"Concat":          oldConcat,
	"Scatter":         oldScatter,
	"Tile":            oldTile,
	"RoiAlign":        oldRoiAlign,
	"GridSample":      oldGridSample,
}

// axesAsInput moves axes, an attribute before the version, to the second input.
func axesAsInput(since int64) rule {
	return func(r *rewriter) {
		if r.version >= since {
			return
		}
		if axes, ok := take[[]int64](r, "axes"); ok {
			r.setInput(1, r.ints("axes", axes...))
		}
	}
}

// oldSlice: starts, ends and axes, attributes before version 10, are inputs.
func oldSlice(r *rewriter) {
	if r.version >= 10 {
		return
	}
	starts, ok := take[[]int64](r, "starts")
	ends, ok2 := take[[]int64](r, "ends")
	if !ok || !ok2 {
		r.problem("it has no starts or no ends")
		return
	}
	r.setInput(1, r.ints("starts", starts...))
	r.setInput(2, r.ints("ends", ends...))
	if axes, ok := take[[]int64](r, "axes"); ok {
		r.setInput(3, r.ints("axes", axes...))
	}
}

// oldPad: pads (paddings in version 1) and value, attributes before version 11, are
// inputs.
func oldPad(r *rewriter) {
	if r.version >= 11 {
		return
	}
	name := "pads"
	if r.version == 1 {
		name = "paddings"
	}
	pads, ok := take[[]int64](r, name)
	if !ok {
		r.problem("it has no %s", name)
		return
	}
	r.setInput(1, r.ints("pads", pads...))
	if v, ok := take[float64](r, "value"); ok && v != 0 {
		r.setInput(2, r.float("value", v, r.input(0)))
	}
}

// oldSplit: the lengths, an attribute before version 13, are the second input.
// Without them num_outputs, which version 18 brought, says how many parts there are.
func oldSplit(r *rewriter) {
	if lengths, ok := take[[]int64](r, "split"); ok {
		r.setInput(1, r.ints("split", lengths...))
	}
	if r.version < 18 && r.input(1) == "" {
		r.n.Attributes["num_outputs"] = int64(len(r.n.Outputs))
	}
}

// oldTopK: k, an attribute before version 10, is the second input.
func oldTopK(r *rewriter) {
	if r.version >= 10 {
		return
	}
	k, ok := take[int64](r, "k")
	if !ok {
		r.problem("it has no k")
	}
	r.setInput(1, r.ints("k", k))
}

// oldUpsample: Resize took its place in version 10.
func oldUpsample(r *rewriter) {
	if r.version >= 10 {
		r.problem("the operator ended with opset 9")
		return
	}
	scales := r.input(1)
	switch {
	case r.version >= 9:
	case r.version >= 7:
		v, ok := take[[]float64](r, "scales")
		if !ok {
			r.problem("it has no scales")
			return
		}
		scales = r.floats("scales", v...)
	default:
		h, ok := take[float64](r, "height_scale")
		w, ok2 := take[float64](r, "width_scale")
		if !ok || !ok2 {
			r.problem("it has no height_scale or no width_scale")
			return
		}
		scales = r.floats("scales", 1, 1, h, w)
	}
	r.n.Op = "Resize"
	r.n.Inputs = []string{r.input(0), "", scales}
	r.oldCoordinates()
}

// oldCoordinates says which sample opset 10 and before take: that at the place
// divided by the scale, rounded down; where the result is smaller, up.
func (r *rewriter) oldCoordinates() {
	mode, _ := r.n.Attributes["mode"].(string)
	if mode == "bilinear" || mode == "trilinear" {
		mode = "linear"
		r.n.Attributes["mode"] = mode
	}
	r.n.Attributes["coordinate_transformation_mode"] = "asymmetric"
	if mode == "linear" {
		return
	}
	round := "floor"
	if t := r.weight(2); t != nil && t.DType == tensor.F32 && t.Elems() <= tensor.MaxRank {
		v, err := ValueOf(t)
		if err != nil {
			r.fail(err)
			return
		}
		up, down := false, false
		for _, x := range v.Float {
			up, down = up || x > 1, down || x < 1
		}
		if up && down {
			r.problem("before opset 11, an image that grows along one axis and shrinks along another has no form that newer opsets have")
		}
		if down {
			round = "ceil"
		}
	}
	r.n.Attributes["nearest_mode"] = round
}

// oldResize: version 10 had other coordinates, and version 11 has inputs that are there
// to be empty.
func oldResize(r *rewriter) {
	if r.version < 11 {
		r.n.Inputs = []string{r.input(0), "", r.input(1)}
		r.oldCoordinates()
		return
	}
	for i := 1; i < len(r.n.Inputs); i++ {
		if t := r.weight(i); t != nil && t.Elems() == 0 {
			r.n.Inputs[i] = ""
		}
	}
	r.n.Inputs = trimmed(r.n.Inputs)
	if r.n.Attributes["coordinate_transformation_mode"] == "tf_half_pixel_for_nn" {
		// It samples at (i + 1/2) / scale, half_pixel at 1/2 less. So rounding its
		// place down is rounding that of half_pixel to the nearest, ties up.
		mode, set := r.n.Attributes["mode"]
		if set && mode != "nearest" || r.n.Attributes["nearest_mode"] != "floor" {
			r.problem("coordinate_transformation_mode tf_half_pixel_for_nn has no equal in newer opsets, but for nearest_mode floor")
			return
		}
		r.n.Attributes["coordinate_transformation_mode"] = "half_pixel"
		r.n.Attributes["nearest_mode"] = "round_prefer_ceil"
	}
}

// oldReshape: shape, an attribute before version 5, is the second input.
func oldReshape(r *rewriter) {
	if r.version >= 5 {
		return
	}
	if shape, ok := take[[]int64](r, "shape"); ok {
		r.setInput(1, r.ints("shape", shape...))
	}
}

// oldConcat: before version 4 the axis had a default.
func oldConcat(r *rewriter) {
	if r.version < 4 {
		r.setDefault("axis", int64(1))
	}
}

// oldScatter: the operator has another name since version 11.
func oldScatter(r *rewriter) { r.n.Op = "ScatterElements" }

// oldTile: before version 6 there were one axis and one number.
func oldTile(r *rewriter) {
	if r.version < 6 {
		r.problem("the form of before opset 6 has no equal in newer opsets")
	}
}

// oldRoiAlign: only since version 16 coordinates are shifted by half a pixel.
func oldRoiAlign(r *rewriter) {
	if r.version < 16 {
		r.n.Attributes["coordinate_transformation_mode"] = "output_half_pixel"
	}
}

// oldGridSample: before version 20 the modes had other names.
func oldGridSample(r *rewriter) {
	if r.version >= 20 {
		return
	}
	switch r.n.Attributes["mode"] {
	case "bilinear":
		r.n.Attributes["mode"] = "linear"
	case "bicubic":
		r.n.Attributes["mode"] = "cubic"
	}
}
