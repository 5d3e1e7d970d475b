package graph

import (
	"fmt"
	"math"
	"slices"

	"ropewalk/tensor"
)

// detectOps are for boxes in images.
var detectOps = map[string]operator{
	"NonMaxSuppression": {infer: inferNonMax, evaluate: evaluateNonMax, min: 2, max: 5},
	"RoiAlign":          {infer: inferRoiAlign, evaluate: evaluateRoiAlign, min: 3, max: 3},
}

// NonMaxSuppression: boxes of batch × boxes × 4, scores of batch × classes × boxes, how
// many of each class to keep, the overlap that is too much, the least score. It gives
// batch, class and box of each that is kept.
func inferNonMax(c *context, n *Node, in []*Operand) ([]Type, error) {
	boxes, scores := in[0].Type, in[1].Type
	if r := read(n); r.flag("center_point_box", false) || r.err != nil {
		if r.err != nil {
			return nil, r.err
		}
	}
	if kindOf(boxes.DType) != kindFloat || kindOf(scores.DType) != kindFloat || len(boxes.Shape) != 3 || len(scores.Shape) != 3 ||
		boxes.Shape[2] != 4 || boxes.Shape[0] != scores.Shape[0] || boxes.Shape[1] != scores.Shape[2] {
		return nil, fmt.Errorf("boxes %v and scores %v do not fit", boxes, scores)
	}
	values := make([]*Value, len(in))
	for i, o := range in {
		if o == nil {
			continue
		}
		v, err := need(o, fmt.Sprintf("input %d", i))
		if err != nil {
			return nil, err
		}
		if i >= 2 && v.elems() != 1 || i == 2 && v.Int == nil || i > 2 && v.Float == nil {
			return nil, fmt.Errorf("input %d is %v, want a scalar", i, v.typ())
		}
		values[i] = v
	}
	kept, err := nonMax(c, n, values)
	if err != nil {
		return nil, err
	}
	return []Type{{tensor.I64, tensor.Shape{int64(len(kept) / 3), 3}}}, nil
}

func evaluateNonMax(c *context, n *Node, in []*Value) ([]*Value, error) {
	kept, err := nonMax(c, n, in)
	return []*Value{{Type: tensor.I64, Shape: tensor.Shape{int64(len(kept) / 3), 3}, Int: append([]int64{}, kept...)}}, err
}

func nonMax(c *context, n *Node, in []*Value) ([]int64, error) {
	center := read(n).flag("center_point_box", false)
	most, overlap, least := int64(0), 0.0, math.Inf(-1)
	if in[2] != nil {
		most = in[2].Int[0]
	}
	if in[3] != nil {
		overlap = in[3].Float[0]
	}
	if in[4] != nil {
		least = in[4].Float[0]
	}
	boxes, scores := in[0], in[1]
	count, classes := int(boxes.Shape[1]), int(scores.Shape[1])
	if product(scores.Shape) == 0 || most <= 0 {
		return nil, nil
	}
	var kept []int64
	for b := range int(boxes.Shape[0]) {
		for class := range classes {
			first := (b*classes + class) * count
			var by []int
			for i := range count {
				if scores.Float[first+i] > least {
					by = append(by, i)
				}
			}
			slices.SortStableFunc(by, func(i, j int) int { return -total(scores, first+i, first+j) })
			var mine []int
			for _, i := range by {
				if int64(len(mine)) >= most {
					break
				}
				if err := c.spend(int64(16 * (len(mine) + 1))); err != nil {
					return nil, err
				}
				if slices.ContainsFunc(mine, func(j int) bool {
					return shared(boxOf(boxes, b*count+i, center), boxOf(boxes, b*count+j, center)) > overlap
				}) {
					continue
				}
				mine = append(mine, i)
				kept = append(kept, int64(b), int64(class), int64(i))
			}
		}
	}
	return kept, nil
}

// boxOf returns a box as its least and greatest coordinates.
func boxOf(boxes *Value, i int, center bool) [4]float64 {
	v := boxes.Float[4*i:]
	if center {
		return [4]float64{v[1] - v[3]/2, v[0] - v[2]/2, v[1] + v[3]/2, v[0] + v[2]/2}
	}
	return [4]float64{math.Min(v[0], v[2]), math.Min(v[1], v[3]), math.Max(v[0], v[2]), math.Max(v[1], v[3])}
}

// shared returns the area of the intersection by that of the union.
func shared(a, b [4]float64) float64 {
	h := math.Min(a[2], b[2]) - math.Max(a[0], b[0])
	w := math.Min(a[3], b[3]) - math.Max(a[1], b[1])
	if h <= 0 || w <= 0 {
		return 0
	}
	area := func(x [4]float64) float64 { return (x[2] - x[0]) * (x[3] - x[1]) }
	union := area(a) + area(b) - h*w
	if union <= 0 {
		return 0
	}
	return h * w / union
}

// RoiAlign (He et al., 2017): X of batch × channels × height × width, regions as x1,
// y1, x2, y2, and the image of each.
func inferRoiAlign(_ *context, n *Node, in []*Operand) ([]Type, error) {
	r := read(n)
	h, w := r.int("output_height", 1), r.int("output_width", 1)
	if m := r.string("mode", "avg"); r.err == nil && m != "avg" && m != "max" {
		r.fail("attribute mode is %q, want avg or max", m)
	}
	if m := r.string("coordinate_transformation_mode", "half_pixel"); r.err == nil && m != "half_pixel" && m != "output_half_pixel" {
		r.fail("attribute coordinate_transformation_mode is %q, want half_pixel or output_half_pixel", m)
	}
	r.float("spatial_scale", 1)
	if s := r.int("sampling_ratio", 0); r.err == nil && (s < 0 || s > 1<<10 || h < 1 || w < 1 || max(h, w) > maxExtent) {
		r.fail("%d samples for each of %d×%d places", s, h, w)
	}
	if r.err != nil {
		return nil, r.err
	}
	x, rois, batch := in[0].Type, in[1].Type, in[2].Type
	if kindOf(x.DType) != kindFloat || kindOf(rois.DType) != kindFloat || kindOf(batch.DType) != kindInt || len(x.Shape) != 4 || product(x.Shape[2:]) == 0 ||
		len(rois.Shape) != 2 || rois.Shape[1] != 4 || !batch.Shape.Equal(rois.Shape[:1]) {
		return nil, fmt.Errorf("images %v, regions %v and numbers %v do not fit", x, rois, batch)
	}
	return []Type{{x.DType, tensor.Shape{rois.Shape[0], x.Shape[1], h, w}}}, nil
}

func evaluateRoiAlign(c *context, n *Node, in []*Value) ([]*Value, error) {
	r := read(n)
	x, rois := in[0], in[1]
	out := newValue(c.types[0])
	scale, ratio := r.float("spatial_scale", 1), int(r.int("sampling_ratio", 0))
	half := 0.5
	if r.string("coordinate_transformation_mode", "half_pixel") == "output_half_pixel" {
		half = 0
	}
	greatest := r.string("mode", "avg") == "max"
	height, width, channels := int(x.Shape[2]), int(x.Shape[3]), int(x.Shape[1])
	rows, columns := int(out.Shape[2]), int(out.Shape[3])
	for k, image := range in[2].Int {
		if image < 0 || image >= x.Shape[0] {
			return nil, fmt.Errorf("region %d is in image %d of %d", k, image, x.Shape[0])
		}
		v := rois.Float[4*k : 4*k+4]
		x1, y1 := v[0]*scale-half, v[1]*scale-half
		w, h := v[2]*scale-half-x1, v[3]*scale-half-y1
		if half == 0 {
			w, h = math.Max(w, 1), math.Max(h, 1)
		}
		binH, binW := h/float64(rows), w/float64(columns)
		samplesY, samplesX := ratio, ratio
		if ratio == 0 {
			samplesY, samplesX = int(clip(math.Ceil(binH), 0, 1<<20)), int(clip(math.Ceil(binW), 0, 1<<20))
		}
		if err := c.spendProduct(int64(channels*rows), int64(columns), int64(samplesY), int64(samplesX), 8); err != nil {
			return nil, err
		}
		for ch := range channels {
			plane := x.Float[(int(image)*channels+ch)*height*width:][:height*width]
			for i := range rows {
				for j := range columns {
					sum, top := 0.0, math.Inf(-1)
					for sy := range samplesY {
						for sx := range samplesX {
							y := y1 + float64(i)*binH + (float64(sy)+0.5)*binH/float64(samplesY)
							x := x1 + float64(j)*binW + (float64(sx)+0.5)*binW/float64(samplesX)
							s, most := bilinear(plane, height, width, y, x)
							sum += s
							top = math.Max(top, most)
						}
					}
					count := samplesY * samplesX
					o := ((k*channels+ch)*rows+i)*columns + j
					switch {
					case count == 0:
					case greatest:
						out.Float[o] = top
					default:
						out.Float[o] = sum / float64(count)
					}
				}
			}
		}
	}
	return []*Value{out}, nil
}

// bilinear samples a plane, zero outside; most is the greatest of the four weighted
// neighbours, which is what RoiAlign of mode max takes.
func bilinear(plane []float64, height, width int, y, x float64) (sum, most float64) {
	if !(y >= -1 && y <= float64(height) && x >= -1 && x <= float64(width)) {
		return 0, 0
	}
	y, x = math.Max(y, 0), math.Max(x, 0)
	top, left := min(int(y), height-1), min(int(x), width-1)
	bottom, right := min(top+1, height-1), min(left+1, width-1)
	if top == height-1 {
		y = float64(top)
	}
	if left == width-1 {
		x = float64(left)
	}
	ly, lx := y-float64(top), x-float64(left)
	most = math.Inf(-1)
	for _, p := range [...]struct {
		at     int
		weight float64
	}{
		{top*width + left, (1 - ly) * (1 - lx)},
		{top*width + right, (1 - ly) * lx},
		{bottom*width + left, ly * (1 - lx)},
		{bottom*width + right, ly * lx},
	} {
		v := p.weight * plane[p.at]
		sum += v
		most = math.Max(most, v)
	}
	return sum, most
}
