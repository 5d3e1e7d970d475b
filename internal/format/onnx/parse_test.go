package onnx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// The bytes of a model, by hand: what the package comment draws.
func TestGolden(t *testing.T) {
	b := []byte{
		0x08, 0x0a, // ir_version 10
		0x3a, 0x14, // graph, 20 bytes
		0x2a, 0x12, // initializer, 18 bytes
		0x08, 0x02, // dims 2
		0x10, 0x01, // data_type FLOAT
		0x42, 0x02, 'w', '1', // name
		0x4a, 0x08, // raw_data, 8 bytes
		0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, // 1, -2
		0x42, 0x02, 0x10, 0x15, // opset_import, version 21
	}
	m, set := mustOpen(t, b, nil)
	want := &layout.Layout{
		Format:   "onnx",
		Files:    []layout.File{{Name: "m.onnx", Data: tensor.Bytes(b)}},
		Arrays:   []layout.Array{{Name: "w1", DType: tensor.F32, Shape: tensor.Shape{2}, Offset: 16, Size: 8}},
		Views:    []layout.View{{Name: "w1", DType: tensor.F32, Shape: tensor.Shape{2}}},
		Metadata: []layout.Pair{{Key: "ir_version", Value: "10"}, {Key: "opset_import.ai.onnx", Value: "21"}},
	}
	got := *m.Layout
	got.Decoders = nil
	if d := cmp.Diff(want, &got); d != "" {
		t.Errorf("layout (-want +got):\n%s", d)
	}
	v, err := set.At(0).Bytes()
	if err != nil || !bytes.Equal(v, floats(1, -2)) {
		t.Errorf("values %x, %v", v, err)
	}
}

// A dump has one line per tensor: name, type, shape, array or encoding, values.
func dump(t *testing.T, m *Model, set *tensor.Set) string {
	t.Helper()
	var b strings.Builder
	for i, x := range set.All() {
		v := &m.Layout.Views[i]
		where := "encoded"
		if v.Encoded == nil {
			where = fmt.Sprintf("array %d", v.Array)
		}
		values, err := x.Bytes()
		if err != nil {
			t.Fatalf("%q: %v", x.Name, err)
		}
		fmt.Fprintf(&b, "%s %s %v %s %x\n", x.Name, x.DType, x.Shape, where, values)
	}
	return b.String()
}

func checkDump(t *testing.T, m *Model, set *tensor.Set, want string) {
	t.Helper()
	if d := cmp.Diff(strings.TrimLeft(want, "\n"), dump(t, m, set)); d != "" {
		t.Errorf("tensors (-want +got):\n%s", d)
	}
}

// everywhere has a tensor in each place where a model can have one.
func everywhere() []byte {
	one := func(name string, v byte) []byte { return rawTensor(name, 2, []byte{v}, 1) }
	sparse := func(name string, v byte) []byte {
		return msg(sub(sparseValues, one(name, v)), sub(sparseIndices, rawTensor("", 7, int64s(int64(v)), 1)), num(3, 9))
	}
	inner := msg(
		makeNode("Constant", "", "c", attr("value", sub(attributeTensor, one("", 20)))),
		makeNode("Loop", "loop", "o", attr("body", sub(attributeGraph, initializer(one("w", 21))))),
		initializer(one("w", 22)),
	)
	graph := msg(
		makeNode("Constant", "", "c", attr("value", sub(attributeTensor, one("unused", 1)))),
		makeNode("Constant", "named", "", attr("value", sub(attributeTensor, one("own", 2)))),
		makeNode("Constant", "named", "", attr("value", sub(attributeTensor, one("", 3)))),
		makeNode("Constant", "", "s", attr("sparse_value", sub(attributeSparseTensor, sparse("", 4)))),
		makeNode("Constant", "", "fs", attr("value_floats", f32(attributeFloats, 1), f32(attributeFloats, 2))),
		makeNode("Constant", "", "fp", attr("value_floats", sub(attributeFloats, floats(3, 4, 5)))),
		makeNode("Constant", "", "is", attr("value_ints", num(attributeInts, -1), num(attributeInts, 2))),
		makeNode("Constant", "", "ip", attr("value_ints", packed(attributeInts, 300, -3))),
		makeNode("Constant", "", "i", attr("value_int", num(3, 5))), // scalars are no tensors
		makeNode("Conv", "", "x", attr("pads", num(attributeInts, 1)), attr("kernel", f32(attributeFloats, 1))),
		makeNode("ConstantOfShape", "", "z", attr("value", sub(attributeTensor, one("value", 5)))),
		makeNode("Odd", "odd", "z", attr("list", sub(attributeTensors, one("", 6)), sub(attributeTensors, one("", 7)),
			sub(attributeSparseTensors, sparse("", 8)))),
		makeNode("If", "", "y", attr("then_branch", sub(attributeGraph, inner)), attr("else_branch", sub(attributeGraph, initializer(one("w", 23))))),
		makeNode("Many", "many", "y", attr("cases", sub(attributeGraphs, initializer(one("w", 24))), sub(attributeGraphs, initializer(one("w", 25))))),
		initializer(one("w", 9)),
		initializer(one("w", 10)),
		initializer(one("", 11)),
		sub(graphSparse, sparse("sw", 12)),
		initializer(msg(dims(1), num(tensorType, typeString), str(tensorName, "text"), str(tensorString, "hello"))),
	)
	return msg(
		model(graph),
		sub(modelMetadata, str(entryKey, "k"), str(entryValue, "v")),
		sub(modelTraining, sub(trainingInitialization, initializer(one("w", 30))), sub(trainingAlgorithm, initializer(one("w", 31)))),
		sub(modelFunctions, str(functionName, "F"), str(functionDomain, "org"),
			sub(functionNode, str(nodeOp, "Constant"), str(nodeOutput, "c"), sub(nodeAttribute, attr("value", sub(attributeTensor, one("", 40))))),
			sub(functionAttribute, attr("gain", sub(attributeTensor, one("", 41))))),
		sub(99, []byte("a field of the future")),
	)
}

func TestEverywhere(t *testing.T) {
	b := everywhere()
	m, set := mustOpen(t, b, nil)
	checkDump(t, m, set, `
c U8 1 array 0 01
own U8 1 array 1 02
named.value U8 1 array 2 03
s U8 1 array 3 04
s.indices I64 1 array 4 0400000000000000
fs F32 2 encoded 0000803f00000040
fp F32 3 array 5 00004040000080400000a040
is I64 2 encoded ffffffffffffffff0200000000000000
ip I64 2 encoded 2c01000000000000fdffffffffffffff
ConstantOfShape_10.value U8 1 array 6 05
odd.list[0] U8 1 array 7 06
odd.list[1] U8 1 array 8 07
odd.list[0]#2 U8 1 array 9 08
odd.list[0].indices I64 1 array 10 0800000000000000
If_12.then_branch/c U8 1 array 11 14
If_12.then_branch/loop.body/w U8 1 array 12 15
If_12.then_branch/w U8 1 array 13 16
If_12.else_branch/w U8 1 array 14 17
many.cases[0]/w U8 1 array 15 18
many.cases[1]/w U8 1 array 16 19
w U8 1 array 17 09
w#2 U8 1 array 18 0a
initializer U8 1 array 19 0b
sw U8 1 array 20 0c
sw.indices I64 1 array 21 0c00000000000000
training_0.initialization/w U8 1 array 22 1e
training_0.algorithm/w U8 1 array 23 1f
org.F/c U8 1 array 24 28
F.gain U8 1 array 25 29
`)
	want := []layout.Pair{
		{Key: "ir_version", Value: "10"},
		{Key: "producer_name", Value: "hand"},
		{Key: "opset_import.ai.onnx", Value: "21"},
		{Key: "metadata_props.k", Value: "v"},
	}
	if d := cmp.Diff(want, m.Layout.Metadata); d != "" {
		t.Errorf("metadata (-want +got):\n%s", d)
	}
}

// Each type in each form that it can have.
func TestStorage(t *testing.T) {
	typed := func(dtype int64, n int64, fields ...[]byte) []byte {
		return initializer(dims(n), num(tensorType, dtype), str(tensorName, fmt.Sprint("t", dtype)), msg(fields...))
	}
	b := model(
		typed(1, 2, sub(tensorFloat, floats(1, 2))),
		typed(1, 3, f32(tensorFloat, 1), sub(tensorFloat, floats(2)), f32(tensorFloat, 3)),
		typed(2, 2, packed(tensorInt32, 0, 255)),
		typed(3, 3, packed(tensorInt32, -128, 127, 255)),
		typed(4, 1, packed(tensorInt32, 65535)),
		typed(5, 2, packed(tensorInt32, -2), num(tensorInt32, 65535)),
		typed(6, 3, packed(tensorInt32, -1, 0xffffffff, math.MaxInt32)),
		typed(7, 2, packed(tensorInt64, -1), packed(tensorInt64, math.MinInt64)),
		typed(9, 2, packed(tensorInt32, 1, 0)),
		typed(10, 1, packed(tensorInt32, 0x3c00)),
		typed(11, 1, sub(tensorDouble, doubles(1))),
		typed(12, 1, packed(tensorUint64, math.MaxUint32)),
		typed(13, 1, packed(tensorUint64, -1)),
		typed(14, 1, sub(tensorFloat, floats(1, 2))),
		typed(14, 1, f32(tensorFloat, 1), f32(tensorFloat, 2)),
		typed(15, 1, sub(tensorDouble, doubles(1, 2))),
		typed(16, 1, packed(tensorInt32, 0x3f80)),
		typed(17, 1, packed(tensorInt32, 0xfe)),
		typed(21, 3, packed(tensorInt32, 0x21, 0x03)),
		typed(22, 2, packed(tensorInt32, 0xf8)),
		typed(22, 3, sub(tensorRaw, []byte{0x21, 0x03})),
		typed(23, 1, packed(tensorInt32, 0x07)),
		typed(24, 1, packed(tensorInt32, 0x7f)),
		typed(27, 5, packed(tensorInt32, 1, 2, 3, 4, 63)),
		typed(28, 4, sub(tensorRaw, []byte{1, 2, 3})),
		typed(25, 5, sub(tensorRaw, []byte{0xe4, 1})),
		typed(25, 4, packed(tensorInt32, 0xe4)), // no view: its size is not known
		typed(99, 5, sub(tensorRaw, []byte{1, 2, 3})),
		typed(1, 0),
		typed(1, 0, sub(tensorRaw)),
		typed(6, 0, sub(tensorInt32)),
		initializer(num(tensorType, 6), str(tensorName, "scalar"), num(tensorInt32, 7)),
		initializer(packed(tensorDims, 2, 1), num(tensorType, 1), sub(tensorRaw, floats(1, 2)), sub(tensorFloat)),
		initializer(), // UNDEFINED, without values
	)
	m, set := mustOpen(t, b, nil)
	checkDump(t, m, set, `
t1 F32 2 array 0 0000803f00000040
t1#2 F32 3 encoded 0000803f0000004000004040
t2 U8 2 encoded 00ff
t3 I8 3 encoded 807fff
t4 U16 1 encoded ffff
t5 I16 2 encoded feffffff
t6 I32 3 encoded ffffffffffffffffffffff7f
t7 I64 2 encoded ffffffffffffffff0000000000000080
t9 BOOL 2 encoded 0100
t10 F16 1 encoded 003c
t11 F64 1 array 1 000000000000f03f
t12 U32 1 encoded ffffffff
t13 U64 1 encoded ffffffffffffffff
t14 C64 1 array 2 0000803f00000040
t14#2 C64 1 encoded 0000803f00000040
t15 C128 1 array 3 000000000000f03f0000000000000040
t16 BF16 1 encoded 803f
t17 F8_E4M3 1 encoded fe
t21 U4 3 encoded 2103
t22 I4 2 encoded f8
t22#2 I4 3 array 4 2103
t23 F4 1 encoded 07
t24 F8_E8M0 1 encoded 7f
t27 F6_E2M3 5 encoded 8130103f
t28 F6_E3M2 4 array 5 010203
t25 UINT2 5 array 6 e401
t99 ONNX_99 5 array 7 010203
t1#3 F32 0 array 8 
t1#4 F32 0 array 9 
t6#2 I32 0 array 10 
scalar I32 scalar encoded 07000000
initializer F32 2x1 array 11 0000803f00000040
`)
}

func TestExternal(t *testing.T) {
	ext := func(name string, shape []int64, pairs ...string) []byte {
		return initializer(dims(shape...), num(tensorType, 1), str(tensorName, name), externalData(pairs...))
	}
	b := model(
		ext("late", []int64{1}, "location", "w.bin", "offset", "8", "length", "4", "checksum", "00"),
		ext("early", []int64{2}, "location", "./w.bin"),
		ext("tied", []int64{1, 1}, "location", "w.bin", "offset", "8"),
		ext("other", []int64{1}, "location", "sub/v.bin", "offset", "0", "length", "0", "prepacked_0", "x"),
		ext("empty", []int64{0}, "location", "w.bin", "offset", "2"),
		initializer(rawTensor("inside", 1, floats(9), 1)),
		initializer(dims(3), num(tensorType, 99), str(tensorName, "rest"), externalData("location", "r.bin", "offset", "1")),
		initializer(dims(8), num(tensorType, 2), str(tensorName, "bytes"), externalData("location", "w.bin", "length", "8")),
	)
	fs := map[string][]byte{"w.bin": floats(1, 2, 3), "sub/v.bin": floats(4), "r.bin": {1, 2, 3}}
	m, set := mustOpen(t, b, files(fs))
	checkDump(t, m, set, `
late F32 1 array 3 00004040
early F32 2 array 2 0000803f00000040
tied F32 1x1 array 3 00004040
other F32 1 array 4 00008040
empty F32 0 array 0 
inside F32 1 array 1 00001041
rest ONNX_99 3 array 5 0203
bytes U8 8 array 2 0000803f00000040
`)
	var names []string
	for _, f := range m.Layout.Files {
		names = append(names, f.Name)
	}
	if d := cmp.Diff([]string{"m.onnx", "w.bin", "sub/v.bin", "r.bin"}, names); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
}

// nested returns a graph in n If nodes.
func nested(n int) []byte {
	g := initializer(rawTensor("w", 2, []byte{1}, 1))
	for range n {
		g = makeNode("If", "i", "o", attr("then_branch", sub(attributeGraph, g)))
	}
	return model(g)
}

func TestDepth(t *testing.T) {
	_, set := mustOpen(t, nested(maxDepth-1), nil)
	if want := strings.Repeat("i.then_branch/", maxDepth-1) + "w"; set.At(0).Name != want {
		t.Errorf("name %q, want %q", set.At(0).Name, want)
	}
	_, err := Parse("m", tensor.Bytes(nested(maxDepth)), nil)
	if _, ok := errors.AsType[*layout.UnsupportedError](err); !ok {
		t.Errorf("graphs %d deep: %v", maxDepth, err)
	}
}

func TestMalformed(t *testing.T) {
	init := func(fields ...[]byte) []byte { return msg(num(1, 10), sub(modelGraph, initializer(fields...))) }
	// Offsets: ir_version 0-1, graph 2-3, initializer 4-5, its fields from 6.
	const at = 6
	const corrupt, unsupported, truncated = 1, 2, 3
	ext := func(pairs ...string) []byte { return init(dims(1), num(tensorType, 1), externalData(pairs...)) }
	tests := []struct {
		name   string
		model  []byte
		class  int
		offset int64
		reason string
	}{
		{"empty", nil, truncated, 0, "without a graph"},
		{"only a version", num(1, 10), truncated, 2, "without a graph"},
		{"field zero", []byte{0, 0}, corrupt, 0, "invalid tag"},
		{"tag without end", bytes.Repeat([]byte{0xff}, 12), corrupt, 0, "invalid tag"},
		{"tag cut off", []byte{8, 10, 0x80}, truncated, 2, "inside of a tag"},
		{"number cut off", []byte{8, 0x80}, truncated, 1, "inside of a number"},
		{"number too long", append([]byte{8}, bytes.Repeat([]byte{0xff}, 11)...), corrupt, 1, "invalid number"},
		{"length cut off", []byte{8, 10, 0x3a}, truncated, 3, "inside of a length"},
		{"length of 2^63", append([]byte{0x3a}, protowire.AppendVarint(nil, 1<<63)...), truncated, 1, "has 9223372036854775808 bytes"},
		{"length of 2^64-1", append([]byte{0x3a}, protowire.AppendVarint(nil, math.MaxUint64)...), truncated, 1, "bytes"},
		{"graph longer than the file", []byte{0x3a, 5, 0}, truncated, 1, "has 5 bytes, of which 1 are there"},
		{"initializer longer than the graph", []byte{0x3a, 2, 0x2a, 9, 8, 1}, truncated, 3, "has 9 bytes"},
		{"fixed32 cut off", []byte{0x3a, 0, 0x65, 1}, truncated, 3, "has 4 bytes, of which 1 are there"},
		{"group", []byte{0x0b, 0x0c}, unsupported, 0, "group"},
		{"end of a group", []byte{0x0c}, unsupported, 0, "group"},
		{"wire type 6", []byte{0x0e}, corrupt, 0, "wire type 6"},
		{"wire type 7", []byte{0x0f}, corrupt, 0, "wire type 7"},
		{"graph is a number", num(modelGraph, 1), corrupt, 0, "graph has wire type 0"},
		{"graph twice", msg(sub(modelGraph), sub(modelGraph)), unsupported, 2, "graph occurs twice"},
		{"dims is a float", init(f32(tensorDims, 1)), corrupt, at, "dims has wire type 5"},
		{"negative dimension", init(dims(-1)), corrupt, at + 1, "dimension 0 is -1"},
		{"many dimensions", init(bytes.Repeat(dims(1), tensor.MaxRank+1)), unsupported, 2 + 3 + 3 + 129, "more than 64 dimensions"},
		{"overflow", init(dims(1<<40, 1<<40), num(tensorType, 1)), corrupt, at, "2^62"},
		{"overflow in bytes", init(dims(1<<60), num(tensorType, 1), sub(tensorRaw, []byte{1})), corrupt, at, "2^59"},
		{"data_type twice", init(num(tensorType, 1), num(tensorType, 1)), unsupported, at + 2, "data_type occurs twice"},
		{"data_type negative", init(num(tensorType, -1)), corrupt, at, "data_type is -1"},
		{"data_type large", init(num(tensorType, 1<<40)), corrupt, at, "data_type is 1099511627776"},
		{"raw_data twice", init(sub(tensorRaw), sub(tensorRaw)), unsupported, at + 2, "raw_data occurs twice"},
		{"segment", init(sub(tensorSegment)), unsupported, at, "segments"},
		{"raw_data short", init(dims(2), num(tensorType, 1), sub(tensorRaw, floats(1))), corrupt, at + 6, "has 4 bytes, want 8"},
		{"raw_data long", init(dims(1), num(tensorType, 1), sub(tensorRaw, floats(1, 2))), corrupt, at + 6, "has 8 bytes, want 4"},
		{"no values", init(dims(2), num(tensorType, 1)), corrupt, at, "has no values"},
		{"values twice", init(dims(1), num(tensorType, 1), sub(tensorRaw, floats(1)), sub(tensorFloat, floats(1))), corrupt, at + 10, "both raw_data and float_data"},
		{"wrong field", init(dims(1), num(tensorType, 1), packed(tensorInt32, 1)), corrupt, at, "type F32 has values in int32_data"},
		{"undefined with values", init(sub(tensorRaw, []byte{1})), corrupt, at, "data_type 0 has values"},
		{"string in raw_data", init(num(tensorType, 8), sub(tensorRaw, []byte{1})), corrupt, at, "data_type 8 has values"},
		{"float_data uneven", init(sub(tensorFloat, []byte{1, 2, 3})), corrupt, at, "multiple of 4"},
		{"float_data short", init(dims(2), num(tensorType, 1), sub(tensorFloat, floats(1))), corrupt, at, "has 1 to 1 entries, want 2"},
		{"int32_data short", init(dims(3), num(tensorType, 6), packed(tensorInt32, 1, 2)), corrupt, at, "has 1 to 2 entries, want 3"},
		{"int32_data long", init(dims(1), num(tensorType, 6), packed(tensorInt32, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)), corrupt, at, "has 2 to 11 entries, want 1"},
		{"huge typed tensor", init(dims(1<<50), num(tensorType, 6), packed(tensorInt32, 1)), corrupt, at, "want 1125899906842624"},
		{"no location", ext("offset", "0"), corrupt, at, "no location"},
		{"location twice", ext("location", "a", "location", "b"), unsupported, at + 21, "two entries"},
		{"location outside", ext("location", "../w.bin"), corrupt, at + 20, "not allowed"},
		{"location absolute", ext("location", "/etc/passwd"), corrupt, at + 20, "not allowed"},
		{"location of Windows", ext("location", `..\w.bin`), corrupt, at + 20, "not allowed"},
		{"location hidden", ext("location", "a/../../w.bin"), corrupt, at + 20, "not allowed"},
		{"location is the model", ext("location", "m.onnx"), unsupported, at + 20, "the model itself"},
		{"offset is no number", ext("location", "w.bin", "offset", "-1"), corrupt, at + 37, `offset of external data is "-1"`},
		{"offset too large", ext("location", "w.bin", "offset", "9223372036854775808"), corrupt, at + 37, "offset"},
		{"offset outside", ext("location", "w.bin", "offset", "9"), truncated, at + 20, "4 bytes at 9 of w.bin, which has 12"},
		{"offset at the limit", ext("location", "w.bin", "offset", "9223372036854775807"), truncated, at + 20, "which has 12"},
		{"length wrong", ext("location", "w.bin", "length", "8"), corrupt, at + 37, "has 8 bytes, want 4"},
		{"data_location unknown", init(num(tensorLocation, 2)), unsupported, at, "data_location is 2"},
		{"external and inside", init(dims(1), num(tensorType, 1), sub(tensorRaw, floats(1)), externalData("location", "w.bin")), corrupt, at, "both raw_data and external_data"},
		{"external string", init(num(tensorType, 8), externalData("location", "w.bin")), unsupported, at, "data_type 8"},
		{"attribute tensor twice", model(makeNode("C", "", "", attr("v", sub(attributeTensor), sub(attributeTensor)))), unsupported, -2, "attribute t occurs twice"},
		{"long name", init(dims(1), num(tensorType, 2), str(tensorName, strings.Repeat("x", maxName+1)), sub(tensorRaw, []byte{1})), unsupported, -2, "4097 bytes"},
	}
	for _, tt := range tests {
		_, err := Parse("dir/m.onnx", tensor.Bytes(tt.model), files(map[string][]byte{"w.bin": floats(1, 2, 3)}))
		var c *layout.CorruptError
		var u *layout.UnsupportedError
		var offset int64
		var reason string
		switch {
		case errors.As(err, &c) && tt.class != unsupported:
			offset, reason = c.Offset, c.Reason
			if errors.Is(err, io.ErrUnexpectedEOF) != (tt.class == truncated) {
				t.Errorf("%s: cause is %v", tt.name, c.Err)
			}
		case errors.As(err, &u) && tt.class == unsupported:
			offset, reason = u.Offset, u.Reason
		default:
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if offset != tt.offset && tt.offset != -2 || !strings.Contains(reason, tt.reason) {
			t.Errorf("%s: at %d: %s; want at %d: %s", tt.name, offset, reason, tt.offset, tt.reason)
		}
	}
}

// What only a decoder can see: the values of varints.
func TestMalformedValues(t *testing.T) {
	tests := []struct {
		name   string
		dtype  int64
		n      int64
		data   []byte
		reason string
	}{
		{"int8", 3, 1, packed(tensorInt32, 256), "256 is out of the range of I8"},
		{"int8 below", 3, 1, packed(tensorInt32, -129), "-129 is out of the range of I8"},
		{"uint8", 2, 1, packed(tensorInt32, -1), "-1 is out of the range of U8"},
		{"bool", 9, 1, packed(tensorInt32, 2), "range of BOOL"},
		{"int32", 6, 1, packed(tensorInt32, 1<<32), "range of int32_data"},
		{"float16", 10, 1, packed(tensorInt32, 65536), "range of F16"},
		{"float6", 27, 1, packed(tensorInt32, 64), "range of F6_E2M3"},
		{"uint4", 21, 2, packed(tensorInt32, 256), "range of U4"},
		{"uint32", 12, 1, packed(tensorUint64, 1<<32), "range of U32"},
		{"too few", 6, 3, packed(tensorInt32, 300, 300), "lacks 1 entries"},
		{"too many", 6, 3, packed(tensorInt32, 1, 2, 3, 4), "more entries"},
		{"cut off", 7, 1, sub(tensorInt64, []byte{0x80}), "inside of a number"},
	}
	for _, tt := range tests {
		b := model(initializer(dims(tt.n), num(tensorType, tt.dtype), str(tensorName, "w"), tt.data))
		_, set := mustOpen(t, b, nil)
		_, err := set.At(0).Bytes()
		var c *layout.CorruptError
		if !errors.As(err, &c) || !strings.Contains(c.Reason, tt.reason) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.reason)
			continue
		}
		if end := int64(bytes.Index(b, tt.data) + len(tt.data)); c.Offset <= end-int64(len(tt.data)) || c.Offset > end {
			t.Errorf("%s: error is at %d, the data ends at %d", tt.name, c.Offset, end)
		}
	}
}

func TestOverlap(t *testing.T) {
	ext := func(name, offset string, dtype int64) []byte {
		return initializer(dims(2), num(tensorType, dtype), str(tensorName, name), externalData("location", "w.bin", "offset", offset))
	}
	_, err := Parse("m.onnx", tensor.Bytes(model(ext("a", "0", 1), ext("b", "4", 1))), files(map[string][]byte{"w.bin": floats(1, 2, 3)}))
	var c *layout.CorruptError
	if !errors.As(err, &c) || c.File != "w.bin" || c.Offset != 4 {
		t.Errorf("overlap: %v", err)
	}
	// Four-bit values and bytes: one array cannot be both.
	u4 := initializer(dims(4), num(tensorType, 21), str(tensorName, "b"), externalData("location", "w.bin"))
	_, err = Parse("m.onnx", tensor.Bytes(model(ext("a", "0", 2), u4)), files(map[string][]byte{"w.bin": floats(1, 2, 3)}))
	var u *layout.UnsupportedError
	if !errors.As(err, &u) {
		t.Errorf("shared as U8 and U4: %v", err)
	}
	_, err = Parse("m.onnx", tensor.Bytes(model(ext("a", "0", 1))), nil)
	if !errors.As(err, &u) {
		t.Errorf("no opener: %v", err)
	}
	_, err = Parse("m.onnx", tensor.Bytes(model(ext("a", "0", 1))), files(nil))
	if !errors.Is(err, errNoFile) {
		t.Errorf("missing file: %v", err)
	}
}

// Names of nested tensors repeat the path: a small file must not ask for
// gigabytes of them.
func TestNamesAreBounded(t *testing.T) {
	many := bytes.Repeat(initializer(num(tensorType, 2), sub(tensorRaw, []byte{1})), 30000)
	node := makeNode("If", strings.Repeat("n", maxName), "o", attr("g", sub(attributeGraph, many)))
	_, err := Parse("m", tensor.Bytes(model(node)), nil)
	var u *layout.UnsupportedError
	if !errors.As(err, &u) || !strings.Contains(u.Reason, "names") {
		t.Errorf("%v", err)
	}
}

// Graphs without tensors cost no names, however long the path to them is.
func TestManyEmptyGraphs(t *testing.T) {
	g := makeNode("If", strings.Repeat("n", maxName), "o", attr(strings.Repeat("a", maxName), bytes.Repeat(sub(attributeGraphs), 200000)))
	for range maxDepth - 3 {
		g = makeNode("If", strings.Repeat("n", maxName), "o", attr(strings.Repeat("a", maxName), sub(attributeGraph, g)))
	}
	start := time.Now()
	mustOpen(t, model(g), nil)
	if d := time.Since(start); d > 5*time.Second { // 100 GB of names would take more
		t.Errorf("took %v", d)
	}
}

func TestUniqueNames(t *testing.T) {
	n := namer{next: make(map[string]int)}
	var got []string
	for _, s := range []string{"a", "a#2", "a", "a", "a#2", ""} {
		u, _ := n.unique(s)
		got = append(got, u)
	}
	if d := cmp.Diff([]string{"a", "a#2", "a#3", "a#4", "a#2#2", ""}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// sparseFile is a file of which most is zero, and that counts what is read.
type sparseFile struct {
	head, tail []byte
	size       int64
	read       int64
}

func (f *sparseFile) Size() int64 { return f.size }

func (f *sparseFile) ReadAt(p []byte, off int64) (int, error) {
	f.read += int64(len(p))
	clear(p)
	if off < int64(len(f.head)) {
		copy(p, f.head[off:])
	}
	if start := f.size - int64(len(f.tail)); off+int64(len(p)) > start {
		if off >= start {
			copy(p, f.tail[off-start:])
		} else {
			copy(p[start-off:], f.tail)
		}
	}
	return len(p), nil
}

// A model of 40 GB opens by reading a few kilobytes.
func TestLazy(t *testing.T) {
	const payload = 40 << 30
	field := func(num protowire.Number, n int64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(n))
	}
	header := msg(dims(payload/4), num(tensorType, 1), str(tensorName, "w"), field(tensorRaw, payload))
	head := msg(field(graphTensor, int64(len(header))+payload), header)
	tail := initializer(rawTensor("v", 2, []byte{7}, 1))
	graph := int64(len(head)+len(tail)) + payload
	head = msg(num(modelIRVersion, 10), field(modelGraph, graph), head)
	f := &sparseFile{head: head, tail: tail, size: int64(len(head)+len(tail)) + payload}
	l, err := Parse("big.onnx", f, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Views) != 2 || l.Arrays[0].Size != payload {
		t.Errorf("found %+v", l.Arrays)
	}
	if f.read > 4*window {
		t.Errorf("read %d bytes", f.read)
	}
}

func TestSniff(t *testing.T) {
	yes := map[string][]byte{
		"hand":       everywhere(),
		"no strings": msg(num(1, 3), sub(modelGraph, str(2, "g"))),
		"long graph": msg(num(1, 3), str(2, "pytorch"), str(3, "2.1"), sub(modelGraph, makeNode("A", strings.Repeat("x", 300), ""))),
		"producer":   msg(num(1, 8), str(2, strings.Repeat("é", 100)), sub(modelGraph)),
	}
	for name, b := range yes {
		for _, n := range []int{16, 63, 64, len(b)} {
			if !Sniff(b[:min(n, len(b))], int64(len(b))) {
				t.Errorf("%s: %d bytes are not recognized", name, n)
			}
		}
	}
	no := map[string][]byte{
		"empty":        nil,
		"version only": num(1, 3),
		"text":         []byte("The quick brown fox jumps over the lazy dog, again and again and again."),
		"lines":        []byte("\n\n\n:a\n*x\nB\n"),
		"json":         []byte(`{"a": [1, 2, 3]}`),
		"zip":          []byte("PK\x03\x04\x14\x00\x00\x00\x08\x00"),
		"png":          []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"),
		"gguf":         []byte("GGUF\x03\x00\x00\x00"),
		"npy":          []byte("\x93NUMPY\x01\x00"),
		"gzip":         []byte("\x1f\x8b\x08\x00\x00\x00"),
		"pickle":       []byte("\x80\x02}q\x00(X"),
		"zeros":        make([]byte, 64),
		"safetensors":  []byte("\x08\x12\x00\x00\x00\x00\x00\x00{\"a\":{\"dtype\":\"F32\""),
		"safetensors2": append([]byte("\x08\x05\x12\x00\x00\x00\x00\x00{"), bytes.Repeat([]byte(" "), 0x200)...),
		"graph first":  sub(modelGraph, str(2, "g")),
		// Other protobufs that begin with a version: a TensorFlow SavedModel.
		"saved model": msg(num(1, 1), sub(2, sub(1, str(1, "x"), num(2, 3)))),
		"huge length": append(num(1, 3), 0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
	}
	for n := range 256 {
		// Lengths of safetensors headers that could be taken for fields.
		for _, first := range []byte{0x08, 0x12, 0x1a, 0x22, 0x2a, 0x32, 0x3a, 0x42, 0x72} {
			b := append([]byte{first, byte(n), 1, 0, 0, 0, 0, 0}, strings.Repeat(`{"__metadata__":{}} `, 20)...)
			no[fmt.Sprintf("safetensors %x %x", first, n)] = b
		}
	}
	for name, b := range no {
		if Sniff(b[:min(64, len(b))], max(int64(len(b)), 4096)) {
			t.Errorf("%s is taken for ONNX", name)
		}
	}
}
