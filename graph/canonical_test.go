package graph

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/internal/format/onnx"
	"ropewalk/tensor"
)

// Old forms become the canonical ones.
func TestCanonical(t *testing.T) {
	two := f32("s", tensor.Shape{4}, 1, 1, 2, 2)
	half := f32("s", tensor.Shape{4}, 1, 1, .5, .5)
	mixed := f32("s", tensor.Shape{4}, 1, 1, 2, .5)
	tests := []struct {
		opset  int64
		node   *onnx.Node
		weight *tensor.Tensor
		want   string
	}{
		{11, nd("y = Squeeze(x)", "axes", []int64{0, 2}), nil, `y = Squeeze(x, [0 2])`},
		{11, nd("y = Squeeze(x)"), nil, `y = Squeeze(x)`},
		{13, nd("y = Squeeze(x, s)"), i64("s", tensor.Shape{1}, 1), `y = Squeeze(x, [1])`},
		{11, nd("y = Unsqueeze(x)", "axes", []int64{-1}), nil, `y = Unsqueeze(x, [-1])`},
		{12, nd("y = ReduceSum(x)", "axes", []int64{1}, "keepdims", 0), nil, `y = ReduceSum(x, [1]) keepdims=0`},
		{17, nd("y = ReduceMean(x)", "axes", []int64{1}), nil, `y = ReduceMean(x, [1])`},
		{17, nd("y = ReduceLogSumExp(x)"), nil, `y = ReduceLogSumExp(x)`},
		{9, nd("y = Slice(x)", "starts", []int64{1}, "ends", []int64{9}, "axes", []int64{2}), nil, `y = Slice(x, [1], [9], [2])`},
		{9, nd("y = Slice(x)", "starts", []int64{1}), nil, `y = Slice(x) !it has no starts or no ends`},
		{10, nd("y = Pad(x)", "pads", []int64{0, 1}, "value", 2.0, "mode", "constant"), nil, `y = Pad(x, [0 1], [2]) mode=constant`},
		{1, nd("y = Pad(x)", "paddings", []int64{0, 1}), nil, `y = Pad(x, [0 1])`},
		{11, nd("y, z = Split(x)", "split", []int64{1, 2}), nil, `y, z = Split(x, [1 2])`},
		{11, nd("y, z = Split(x)", "axis", 1), nil, `y, z = Split(x) axis=1 num_outputs=2`},
		{18, nd("y, z = Split(x)", "num_outputs", 2), nil, `y, z = Split(x) num_outputs=2`},
		{9, nd("y, z = TopK(x)", "k", 3), nil, `y, z = TopK(x, [3])`},
		{9, nd("y = Upsample(x, s)", "mode", "linear"), two, `y = Resize(x, , [1 1 2 2]) coordinate_transformation_mode=asymmetric mode=linear`},
		{9, nd("y = Upsample(x, s)"), two, `y = Resize(x, , [1 1 2 2]) coordinate_transformation_mode=asymmetric nearest_mode=floor`},
		{7, nd("y = Upsample(x)", "scales", []float64{1, 1, 2, 2}, "mode", "nearest"), nil, `y = Resize(x, , [1 1 2 2]) coordinate_transformation_mode=asymmetric mode=nearest nearest_mode=floor`},
		{1, nd("y = Upsample(x)", "height_scale", 2.0, "width_scale", 3.0, "mode", "bilinear"), nil, `y = Resize(x, , [1 1 2 3]) coordinate_transformation_mode=asymmetric mode=linear`},
		{10, nd("y = Upsample(x, s)"), two, `y = Upsample(x, [1 1 2 2]) !the operator ended with opset 9`},
		{10, nd("y = Resize(x, s)"), half, `y = Resize(x, , [1 1 0.5 0.5]) coordinate_transformation_mode=asymmetric nearest_mode=ceil`},
		{10, nd("y = Resize(x, s)"), mixed, `y = Resize(x, , [1 1 2 0.5]) coordinate_transformation_mode=asymmetric nearest_mode=ceil !before opset 11, an image that grows along one axis and shrinks along another has no form that newer opsets have`},
		{11, nd("y = Resize(x, s, s, x)", "mode", "linear"), f32("s", tensor.Shape{0}), `y = Resize(x, , , x) mode=linear`},
		{11, nd("y = Resize(x, , , s)", "coordinate_transformation_mode", "tf_half_pixel_for_nn", "nearest_mode", "floor"), i64("s", tensor.Shape{1}, 4), `y = Resize(x, , , [4]) coordinate_transformation_mode=half_pixel nearest_mode=round_prefer_ceil`},
		{11, nd("y = Resize(x, , , s)", "coordinate_transformation_mode", "tf_half_pixel_for_nn"), i64("s", tensor.Shape{1}, 4), `y = Resize(x, , , [4]) coordinate_transformation_mode=tf_half_pixel_for_nn !coordinate_transformation_mode tf_half_pixel_for_nn has no equal in newer opsets, but for nearest_mode floor`},
		{4, nd("y = Reshape(x)", "shape", []int64{0, -1}), nil, `y = Reshape(x, [0 -1])`},
		{3, nd("y = Concat(x, x)"), nil, `y = Concat(x, x) axis=1`},
		{9, nd("y = Scatter(x, x, x)", "axis", 1), nil, `y = ScatterElements(x, x, x) axis=1`},
		{16, nd("y = GridSample(x, x)", "mode", "bilinear"), nil, `y = GridSample(x, x) mode=linear`},
		{10, nd("y = RoiAlign(x, x, x)"), nil, `y = RoiAlign(x, x, x) coordinate_transformation_mode=output_half_pixel`},
		{9, nd("y = BatchNormalization(x, x, x, x, x)", "spatial", 1), nil, `y = BatchNormalization(x, x, x, x, x)`},
		{7, nd("y = BatchNormalization(x, x, x, x, x)", "spatial", 0), nil, `y = BatchNormalization(x, x, x, x, x) !statistics for each place (spatial = 0) have no equal in newer opsets`},
		{6, nd("y = BatchNormalization(x, x, x, x, x)", "is_test", 1, "epsilon", .5), nil, `y = BatchNormalization(x, x, x, x, x) epsilon=0.5`},
		{9, nd("y, m, v, sm, sv = BatchNormalization(x, x, x, x, x)"), nil, `y, m, v = BatchNormalization(x, x, x, x, x) training_mode=1`},
		{1, nd("y = BatchNormalization(x, x, x, x, x)", "consumed_inputs", []int64{0, 0}), nil, `y = BatchNormalization(x, x, x, x, x)`},
		{11, nd("y = Dropout(x)", "ratio", .25), nil, `y = Dropout(x, [0.25])`},
		{6, nd("y = Dropout(x)", "is_test", 1), nil, `y = Dropout(x)`},
		{6, nd("y = Gemm(x, x, x)", "broadcast", 1, "transB", 1), nil, `y = Gemm(x, x, x) transB=1`},
		{6, nd("y = PRelu(x, s)"), f32("s", tensor.Shape{1}, .5), `y = PRelu(x, [0.5])`},
		{12, nd("y = Softmax(x)", "axis", -1), nil, `y = Softmax(x) axis=-1`},
		{13, nd("y = Softmax(x)", "axis", 1), nil, `y = Softmax(x) axis=1`},
		{12, nd("y = LogSoftmax(x)"), nil, `
			LogSoftmax_0.shape = Shape(x)
			LogSoftmax_0.rows = Flatten(x) axis=1
			y.rows = LogSoftmax(LogSoftmax_0.rows) axis=-1
			y = Reshape(y.rows, LogSoftmax_0.shape)`},
		{1, nd("y = GlobalLpPool(x)", "p", 2.0), nil, `y = GlobalLpPool(x) p=2`},
		{1, nd("y = GlobalLpPool(x)", "p", 1.5), nil, `y = GlobalLpPool(x) p=1.5 !p is 1.5, want a whole number`},
		{6, nd("y = Add(x, x)", "broadcast", 1), nil, `y = Add(x, x)`},
		{6, nd("y = Add(x, s)", "broadcast", 1, "axis", -3), two, `
			Add_0.axes = Shape([1 1 2 2])
			Add_0.second.shape = Shape([1 1 2 2])
			Add_0.second.rank = Shape(Add_0.second.shape)
			Add_0.ones.rank = Sub([3], Add_0.second.rank)
			Add_0.ones = ConstantOfShape(Add_0.ones.rank) value=[][1]
			Add_0.aligned.shape = Concat(Add_0.axes, Add_0.ones) axis=0
			Add_0.aligned = Reshape([1 1 2 2], Add_0.aligned.shape)
			y = Add(x, Add_0.aligned)`},
		{10, nd("y = Clip(x)", "min", 0.0, "max", 6.0), nil, `y = Clip(x, [0], [6])`},
		{10, nd("y = Clip(x)", "max", 6.0), nil, `y = Clip(x, , [6])`},
		{1, nd("y = Cast(x)", "to", "FLOAT"), nil, `y = Cast(x) to=1`},
		{1, nd("y = Cast(x)", "to", "QUAD"), nil, `y = Cast(x) to=QUAD !it casts to "QUAD", which is no type`},
		{26, nd("y = Relu(x)"), nil, `y = Relu(x) !opset 26 is newer than this program, which knows those up to 25`},
		{20, nd("y = GroupNormalization(x, x, x)", "num_groups", 2), nil, `
			GroupNormalization_0.shape = Shape(x) end=2 start=1
			GroupNormalization_0.each = Div(GroupNormalization_0.shape, [2])
			GroupNormalization_0.size = Concat([2], GroupNormalization_0.each) axis=0
			GroupNormalization_0.scale.column = Reshape(x, [-1 1])
			GroupNormalization_0.scale.each = Expand(GroupNormalization_0.scale.column, GroupNormalization_0.size)
			GroupNormalization_0.scale = Reshape(GroupNormalization_0.scale.each, [-1])
			GroupNormalization_0.bias.column = Reshape(x, [-1 1])
			GroupNormalization_0.bias.each = Expand(GroupNormalization_0.bias.column, GroupNormalization_0.size)
			GroupNormalization_0.bias = Reshape(GroupNormalization_0.bias.each, [-1])
			y = GroupNormalization(x, GroupNormalization_0.scale, GroupNormalization_0.bias) num_groups=2`},
	}
	for _, tt := range tests {
		m := model{opset: tt.opset, inputs: []onnx.Value{in("x", -1, 3, 4, 4)}, outputs: []string{"y"}, nodes: []*onnx.Node{tt.node}}
		if tt.weight != nil {
			m.weights = append(m.weights, tt.weight)
		}
		if d := cmp.Diff(trim(tt.want), show(m.load(t), nil)); d != "" {
			t.Errorf("%s, opset %d:\n%s", tt.node.Op, tt.opset, d)
		}
	}
}

// A constant that was an attribute takes the type of the operand beside it.
func TestCanonicalOtherFloats(t *testing.T) {
	x := in("x", 2)
	x.Type = tensor.F16
	g := model{opset: 10, inputs: []onnx.Value{x}, outputs: []string{"y"}, nodes: []*onnx.Node{nd("y = Clip(x)", "max", 6.0)}}.load(t)
	want := `
		Clip_0.max.like = CastLike([6], x)
		y = Clip(x, , Clip_0.max.like)`
	if d := cmp.Diff(trim(want), show(g, nil)); d != "" {
		t.Error(d)
	}
}
