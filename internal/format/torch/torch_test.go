package torch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// mustParse parses and checks a file that is valid.
func mustParse(t testing.TB, file []byte) *layout.Layout {
	t.Helper()
	if !Is(tensor.Bytes(file)) {
		t.Fatal("Is says no")
	}
	l, err := Parse("m.pt", tensor.Bytes(file))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Validate(); err != nil {
		t.Fatal(err)
	}
	return l
}

// brief is the parts of a view that a test states.
type brief struct {
	Name    string
	DType   tensor.DType
	Shape   string
	Array   int
	Offset  int64
	Strides []int64
}

func briefs(l *layout.Layout) (arrays []string, views []brief) {
	for _, a := range l.Arrays {
		arrays = append(arrays, fmt.Sprintf("%s %s %s %d", a.Name, a.DType, a.Shape, a.Size))
	}
	for _, v := range l.Views {
		views = append(views, brief{v.Name, v.DType, v.Shape.String(), v.Array, v.Offset, v.Strides})
	}
	return arrays, views
}

func TestViews(t *testing.T) {
	const f32 = "torch.FloatStorage"
	for _, c := range []struct {
		name     string
		root     string
		storages []string
		arrays   []string
		views    []brief
	}{
		{
			"whole", dict(str("w"), tens(store(f32, "0", 6), 0, ax{2, 3}, ax{3, 1})),
			[]string{"0", seq(24)},
			[]string{"w F32 2x3 24"},
			[]brief{{"w", "F32", "2x3", 0, 0, nil}},
		}, {
			"transposed", dict(str("w"), tens(store(f32, "0", 6), 0, ax{3, 2}, ax{1, 3})),
			[]string{"0", seq(24)},
			[]string{"w F32 2x3 24"},
			[]brief{{"w", "F32", "3x2", 0, 0, []int64{1, 3}}},
		}, {
			"channels last", dict(str("w"), tens(store(f32, "0", 24), 0, ax{2, 3, 1, 4}, ax{12, 1, 99, 3})),
			[]string{"0", seq(96)},
			[]string{"w F32 2x4x3 96"},
			[]brief{{"w", "F32", "2x3x1x4", 0, 0, []int64{12, 1, 99, 3}}},
		}, {
			"slice", dict(str("w"), tens(store(f32, "0", 6), 1, ax{2, 2}, ax{3, 1})),
			[]string{"0", seq(24)},
			[]string{"w F32 6 24"},
			[]brief{{"w", "F32", "2x2", 0, 1, []int64{3, 1}}},
		}, {
			"expanded", dict(str("w"), tens(store(f32, "0", 2), 0, ax{3, 2}, ax{0, 1})),
			[]string{"0", seq(8)},
			[]string{"w F32 2 8"},
			[]brief{{"w", "F32", "3x2", 0, 0, []int64{0, 1}}},
		}, {
			"axis of length 1", dict(str("w"), tens(store(f32, "0", 2), 0, ax{1, 2}, ax{77, 1})),
			[]string{"0", seq(8)},
			[]string{"w F32 1x2 8"},
			[]brief{{"w", "F32", "1x2", 0, 0, nil}},
		}, {
			"scalar and empty", list(tens(store(f32, "0", 1), 0, ax{}, ax{}), tens(store(f32, "1", 0), 7, ax{0, 3}, ax{3, 1})),
			[]string{"0", seq(4), "1", ""},
			[]string{"0 F32 scalar 4", "1 F32 0 0"},
			[]brief{{"0", "F32", "scalar", 0, 0, nil}, {"1", "F32", "0x3", 1, 0, nil}},
		}, {
			"tied, head first", dict(str("head"), vec("0", 2), str("embed"), tens(store(f32, "0", 2), 0, ax{2, 1}, ax{1, 1})),
			[]string{"0", seq(8)},
			[]string{"head F32 2 8"},
			[]brief{{"head", "F32", "2", 0, 0, nil}, {"embed", "F32", "2x1", 0, 0, nil}},
		}, {
			"part first", dict(str("part"), tens(store(f32, "0", 6), 3, ax{3}, ax{1}), str("all"), tens(store(f32, "0", 6), 0, ax{2, 3}, ax{3, 1})),
			[]string{"0", seq(24)},
			[]string{"all F32 2x3 24"},
			[]brief{{"part", "F32", "3", 0, 3, nil}, {"all", "F32", "2x3", 0, 0, nil}},
		}, {
			"order of the file, not of the dictionary", dict(str("b"), vec("1", 1), str("a"), vec("0", 1)),
			[]string{"0", seq(4), "1", seq(4)},
			[]string{"a F32 1 4", "b F32 1 4"},
			[]brief{{"b", "F32", "1", 1, 0, nil}, {"a", "F32", "1", 0, 0, nil}},
		}, {
			"storage without tensor", dict(str("s"), store("torch.storage.UntypedStorage", "0", 4), str("t"), vec("1", 1)),
			[]string{"0", seq(4), "1", seq(4)},
			[]string{"t F32 1 4"},
			[]brief{{"t", "F32", "1", 0, 0, nil}},
		}, {
			"two types of one storage", dict(
				str("a"), tens3(store("torch.UntypedStorage", "0", 8), "torch.uint16", 0, ax{4}, ax{1}),
				str("b"), tens3(store("torch.storage._UntypedStorage", "0", 8), "torch.float32", 1, ax{1}, ax{1})),
			[]string{"0", seq(8)},
			[]string{"a U16 4 8"},
			[]brief{{"a", "U16", "4", 0, 0, nil}, {"b", "F32", "1", 0, 1, nil}},
		}, {
			"4-bit floats", dict(str("a"), tens3(store("torch.UntypedStorage", "0", 6), "torch.float4_e2m1fn_x2", 0, ax{2, 3}, ax{3, 1})),
			[]string{"0", seq(6)},
			[]string{"a F4 2x6 6"},
			[]brief{{"a", "F4", "2x6", 0, 0, nil}},
		}, {
			"storage of CUDA, untyped with v2", dict(
				str("a"), tens(store("torch.cuda.HalfStorage", "0", 4), 0, ax{4}, ax{1}),
				str("b"), tens(store("torch.UntypedStorage", "1", 4), 0, ax{4}, ax{1})),
			[]string{"0", seq(8), "1", seq(4)},
			[]string{"a F16 4 8", "b U8 4 4"},
			[]brief{{"a", "F16", "4", 0, 0, nil}, {"b", "U8", "4", 1, 0, nil}},
		}, {
			"rebuilders", list(
				call("torch._utils._rebuild_tensor", store(f32, "0", 2), num(0), nums(ax{2}), nums(ax{1})),
				call("torch._utils._rebuild_parameter", vec("0", 2), "\x88", noHooks),
				call("torch._utils._rebuild_parameter_with_state", vec("0", 2), "\x88", noHooks, dict(str("x"), num(1))),
				call("torch._utils._rebuild_device_tensor_from_cpu_tensor", vec("0", 2), glob("torch.float32"), str("xla:0"), "\x89"),
				call("torch._tensor._rebuild_from_type_v2", glob("torch._utils._rebuild_parameter"), glob("torch.nn.parameter.Parameter"), tup(vec("0", 2), "\x88", noHooks), dict(str("tag"), vec("0", 2))),
				tens(store(f32, "0", 2), 0, ax{2}, ax{1}, dict(str("conj"), "\x89")),
			),
			[]string{"0", seq(8)},
			[]string{"0 F32 2 8"},
			[]brief{{"0", "F32", "2", 0, 0, nil}, {"1", "F32", "2", 0, 0, nil}, {"2", "F32", "2", 0, 0, nil}, {"3", "F32", "2", 0, 0, nil}, {"4", "F32", "2", 0, 0, nil}, {"5", "F32", "2", 0, 0, nil}},
		}, {
			"alone", vec("0", 1),
			[]string{"0", seq(4)},
			[]string{"tensor F32 1 4"},
			[]brief{{"tensor", "F32", "1", 0, 0, nil}},
		}, {
			"nothing", dict(), nil, nil, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := mustParse(t, save(program(c.root), c.storages...))
			arrays, views := briefs(l)
			if d := cmp.Diff(c.arrays, arrays); d != "" {
				t.Errorf("arrays: %s", d)
			}
			if d := cmp.Diff(c.views, views); d != "" {
				t.Errorf("views: %s", d)
			}
			set, err := l.Set()
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range set.All() {
				if _, err := x.Bytes(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Each element type takes the name that the other formats use.
func TestDTypes(t *testing.T) {
	for name, d := range dtypes {
		if d.is == "" || d.perByte != 0 {
			continue
		}
		file := save(program(dict(str("x"), tens3(store("torch.UntypedStorage", "0", 3*d.width()), "torch."+name, 0, ax{3}, ax{1}))), "0", seq(int(3*d.width())))
		l := mustParse(t, file)
		if v := l.Views[0]; v.DType != d.is || !v.IsWhole(&l.Arrays[0]) {
			t.Errorf("%s: got %+v", name, v)
		}
	}
	for name, of := range storageNames {
		d := dtypes[of]
		if d.is == "" {
			continue
		}
		file := save(program(dict(str("x"), tens(store("torch."+name, "0", 3), 0, ax{3}, ax{1}))), "0", seq(int(3*d.width())))
		if v := mustParse(t, file).Views[0]; v.DType != d.is {
			t.Errorf("%s: got %s, want %s", name, v.DType, d.is)
		}
	}
}

func TestNames(t *testing.T) {
	root := dict(
		str("state_dict"), call("collections.OrderedDict", list(list(str("conv1.weight"), vec("0", 1))))+dict(str("_metadata"), dict())+"b",
		str("a"), dict(str("b"), vec("0", 1)),
		str("a.b"), vec("0", 1),
		str("a.b"), vec("0", 1), // the same key again
		str("a"), dict(str("b"), vec("0", 1), str("b#2"), vec("0", 1)),
		num(7), list(tup(vec("0", 1)), "\x8f("+vec("0", 1)+"\x90"),
		"\x88", vec("0", 1),
		"G\x3f\xf8\x00\x00\x00\x00\x00\x00", vec("0", 1),
		"N", vec("0", 1),
		"C\x02by", vec("0", 1),
		tup(num(1)), vec("0", 1),
		str("bad\xff"), vec("0", 1),
		str(""), vec("0", 1),
		str("default"), call("collections.defaultdict", glob("__builtin__.list"))+"("+str("x")+vec("0", 1)+"u",
		str("counter"), call("collections.Counter", dict(str("x"), num(3))),
		str("set"), call("__builtin__.set", list(vec("0", 1))),
		str("size"), call("torch.Size", tup(num(1))),
		str("epoch"), num(12), str("lr"), "G\x3f\xe0\x00\x00\x00\x00\x00\x00", str("arch"), str("resnet"),
		str("long"), str(strings.Repeat("x", 300)), str("none"), "N", str("best"), "\x88",
		// What training checkpoints hold beside tensors.
		str("dtype"), glob("torch.float16"), str("device"), call("torch.device", str("cuda"), num(0)),
		str("np"), call("numpy._core.multiarray.scalar", call("numpy.dtype", str("f8"), "\x89", "\x88")+tup(num(3), str("<"))+"b", call("_codecs.encode", str("12345678"), str("latin1"))),
		str("args"), glob("argparse.Namespace")+")\x81"+dict(str("lr"), num(1))+"b",
		str("path"), call("pathlib.PosixPath", str("runs")),
	)
	l := mustParse(t, save("\x80\x04"+root+".", "0", seq(4)))
	var names []string
	for _, v := range l.Views {
		names = append(names, v.Name)
	}
	want := []string{
		"state_dict.conv1.weight", "a.b", "a.b#2", "a.b#3", "7.0.0", "7.1.0", "True", "1.5", "None", "by", "tuple",
		"bad\uFFFD", "", "default.x", "set.0",
	}
	if d := cmp.Diff(want, names); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]layout.Pair{
		{Key: "pytorch.version", Value: "3"},
		{Key: "epoch", Value: "12"},
		{Key: "lr", Value: "0.5"},
		{Key: "arch", Value: "resnet"},
		{Key: "best", Value: "True"},
	}, l.Metadata); d != "" {
		t.Error(d)
	}
}

// A strided view has the values that its numbers say, whatever they are.
func TestStridedValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const numel = 40
		raw := make([]byte, 2*numel)
		for i := range numel {
			binary.LittleEndian.PutUint16(raw[2*i:], uint16(i))
		}
		rank := rapid.IntRange(0, 4).Draw(t, "rank")
		shape, strides := make(ax, rank), make(ax, rank)
		offset := rapid.Int64Range(0, numel-1).Draw(t, "offset")
		last := offset
		for i := range shape {
			shape[i] = rapid.Int64Range(1, 4).Draw(t, "axis")
			strides[i] = rapid.Int64Range(0, 12).Draw(t, "stride")
			if last+(shape[i]-1)*strides[i] >= numel {
				strides[i] = 0
			}
			last += (shape[i] - 1) * strides[i]
		}
		var want []uint16
		var gather func(axis int, at int64)
		gather = func(axis int, at int64) {
			if axis == rank {
				want = append(want, uint16(at))
				return
			}
			for i := range shape[axis] {
				gather(axis+1, at+i*strides[axis])
			}
		}
		gather(0, offset)
		l, err := Parse("m.pt", tensor.Bytes(save(program(tens(store("torch.ShortStorage", "0", numel), offset, shape, strides)), "0", string(raw))))
		if err != nil {
			t.Fatal(err)
		}
		set, err := l.Set()
		if err != nil {
			t.Fatal(err)
		}
		b, err := set.At(0).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]uint16, len(b)/2)
		for i := range got {
			got[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v strides %v from %d: got %v, want %v", shape, strides, offset, got, want)
		}
	})
}

// What is wrong with a file, and where.
type verdict int

const (
	corrupt verdict = iota
	truncated
	unsupported
)

// wantError checks the class, place and reason of an error.
func wantError(t *testing.T, err error, want verdict, offset int64, reason string) {
	t.Helper()
	var c *layout.CorruptError
	var u *layout.UnsupportedError
	got, at := corrupt, int64(0)
	switch {
	case errors.As(err, &c):
		at = c.Offset
		if errors.Is(err, io.ErrUnexpectedEOF) {
			got = truncated
		}
	case errors.As(err, &u):
		got, at = unsupported, u.Offset
	default:
		t.Fatalf("got %v, want an error of package layout", err)
	}
	if got != want || at != offset || !strings.Contains(err.Error(), reason) {
		t.Errorf("got class %d at %d: %v\nwant class %d at %d with %q", got, at, err, want, offset, reason)
	}
}

// Places that a test finds out: the opcode before STOP, the last REDUCE, the
// last entry of the directory of an archive, and the bytes of its last member.
const (
	nowhere = -1
	lastOp  = -2 - iota
	lastCall
	lastEntry
	lastBytes
)

// pickleBegin is where the pickle of a file by save begins: a local header of
// 30 bytes, a name of 10, and padding up to 64.
const pickleBegin = 64

func TestHostilePickles(t *testing.T) {
	const (
		f32 = "torch.FloatStorage"
		v2  = "torch._utils._rebuild_tensor_v2"
	)
	whole := store(f32, "0", 2)
	bad := func(offset int64, shape, strides ax) string {
		return dict(str("w"), tens(whole, offset, shape, strides))
	}
	for _, c := range []struct {
		name, root string
		want       verdict
		at         int64 // in the pickle, or a place as above
		reason     string
	}{
		{"os.system", glob("os.system") + tup(str("x")) + "R", unsupported, 2, "wants os.system"},
		{"posix.system", glob("posix.system") + tup(str("x")) + "R", unsupported, 2, "wants posix.system"},
		{"stack global", str("os") + str("system") + "\x93", unsupported, 20, "wants os.system"},
		{"dotted stack global", str("torch") + str("_utils.os.system") + "\x93", unsupported, 33, "wants torch._utils.os.system"},
		{"eval", glob("builtins.eval") + tup(str("1")) + "R", unsupported, 2, "wants builtins.eval"},
		{"eval of Python 2", glob("__builtin__.eval") + tup(str("1")) + "R", unsupported, 2, "wants builtins.eval"},
		{"getattr", glob("builtins.getattr"), unsupported, 2, "wants builtins.getattr"},
		{"nested pickle", call("torch.storage._load_from_bytes", str("")), unsupported, 2, "_load_from_bytes"},
		{"whole module", glob("torch.nn.modules.linear.Linear") + ")\x81", unsupported, 2, "whole module"},
		{"own class", glob("__main__.Net") + ")\x81", unsupported, 2, "wants __main__.Net"},
		{"TorchScript class", glob("__torch__.Net") + ")\x81", unsupported, 2, "torch.jit.load"},
		{"INST", "(ios\nsystem\n", unsupported, 3, "INST"},
		{"OBJ", "(" + noHooks + "o", unsupported, 3 + int64(len(noHooks)), "OBJ"},
		{"EXT1", "\x82\x01", unsupported, 2, "EXT1"},
		{"call of a type", glob("torch.float32") + ")R", unsupported, 18, "calls a value of type torch.float32"},
		{"call of a string", str("x") + ")R", unsupported, 9, "calls a value of type str"},
		{"call of int", glob("builtins.int") + ")R", unsupported, 17, "calls a value of type builtins.int"},
		{"state of a list", list() + dict(str("__class__"), num(1)) + "b", unsupported, lastOp, "state of a list"},
		{"state of a function", glob(v2) + dict() + "b", unsupported, lastOp, "state of a " + v2},
		{"state of a tensor", vec("0", 2) + tup() + "b", unsupported, lastOp, "state of a tensor"},
		{"wrong number of arguments", call(v2, num(1)), corrupt, lastOp, "1 arguments, wants 6 to 7"},
		{"rebuilder calls itself", call("torch._tensor._rebuild_from_type_v2", glob("torch._tensor._rebuild_from_type_v2"), glob("torch.Tensor"), tup(), "N"), corrupt, lastOp, "rebuilt by a"},
		{"rebuilder calls a class", call("torch._tensor._rebuild_from_type_v2", glob("torch.device"), glob("torch.Tensor"), tup(), "N"), corrupt, lastOp, "rebuilt by a"},
		{"rebuilder without arguments", call("torch._tensor._rebuild_from_type_v2", glob(v2), glob("torch.Tensor"), "N", "N"), corrupt, lastOp, "arguments of"},
		{"parameter of a number", call("torch._utils._rebuild_parameter", num(1), "\x88", "N"), corrupt, lastOp, "made of a int"},
		{"converted copy", call("torch._utils._rebuild_device_tensor_from_cpu_tensor", vec("0", 2), glob("torch.float16"), str("xla"), "\x89"), unsupported, lastOp, "torch.float32 is converted to torch.float16"},
		{"dictionary of a number", call("collections.OrderedDict", num(1)), corrupt, lastOp, "made of a int"},
		{"dictionary of no pairs", call("collections.OrderedDict", list(num(1))), corrupt, lastOp, "not of a pair"},
		{"set of a number", call("builtins.set", num(1)), corrupt, lastOp, "made of a int"},
		{"size of a number", call("torch.Size", num(1)), corrupt, lastOp, "made of a int"},
		{"huge LONG4", "\x8b\xff\xff\xff\x7f", truncated, 2, "2147483647"},
		{"huge BINUNICODE8", "\x8d\xff\xff\xff\xff\xff\xff\xff\xff", truncated, 2, "18446744073709551615"},
		{"memo bomb", "Nr\xff\xff\xff\xff", unsupported, 3, "memo index"},
		{"DUP chain", "]" + strings.Repeat("2", 1<<20), unsupported, 2 + 1<<20, "on the stack"},
		{"deep lists", strings.Repeat("]", 1000) + strings.Repeat("a", 999), unsupported, nowhere, "deep in each other"},
		{"billion laughs", laughs(30), unsupported, nowhere, "more than 16777216 values"},
		{"many names of one tensor", vec("0", 2) + "q\x00" + strings.Repeat("0]q\x01"+"("+strings.Repeat("h\x00", 200)+"e"+"q\x00", 3), unsupported, lastCall, "more than 1048576 tensors"},
		{"long name", dict(str(strings.Repeat("n", MaxName+1)), vec("0", 2)), unsupported, lastCall, "more than 4096 bytes"},

		{"storage named by a number", num(1) + "Q", corrupt, 7, "not by a tuple of 5"},
		{"storage named by four", tup("NNNN") + "Q", corrupt, 8, "not by a tuple of 5"},
		{"not a storage", tup(str("module"), "NNNN") + "Q", unsupported, 19, "not a storage"},
		{"type of a storage", tup(str("storage"), "NNNN") + "Q", corrupt, 20, "type of a storage is a None"},
		{"key of a storage", tup(str("storage"), glob(f32), num(0), str("cpu"), num(1)) + "Q", corrupt, lastOp, "key of a storage"},
		{"key that leaves the folder", store(f32, "../x", 1), corrupt, lastOp, `"../x" is not the key`},
		{"key of a path", store(f32, "/etc/passwd", 1), corrupt, lastOp, "is not the key"},
		{"empty key", store(f32, "", 1), corrupt, lastOp, "is not the key"},
		{"missing member", store(f32, "9", 1), corrupt, lastOp, "not in the archive"},
		{"negative numel", store(f32, "0", -1), corrupt, lastOp, "valid number"},
		{"numel above the member", store(f32, "0", 3), corrupt, lastOp, "3 elements of torch.FloatStorage, but only 8 bytes"},
		{"numel of 2^62", store(f32, "0", 1<<62), corrupt, lastOp, "only 8 bytes"},

		{"storage of a number", call(v2, num(1), num(0), tup(), tup(), "\x89", "N"), corrupt, lastOp, "storage of a tensor is a int"},
		{"offset of None", call(v2, whole, "N", tup(), tup(), "\x89", "N"), corrupt, lastOp, "offset of a tensor is a None"},
		{"shape of a list", call(v2, whole, num(0), list(), tup(), "\x89", "N"), corrupt, lastOp, "shape of a tensor is a list"},
		{"shape of None", call(v2, whole, num(0), tup("N"), tup("N"), "\x89", "N"), corrupt, lastOp, "None for axis 0"},
		{"huge axis", call(v2, whole, num(0), tup("\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00"), nums(ax{1}), "\x89", "N"), corrupt, lastOp, "int for axis 0"},
		{"65 axes", call(v2, whole, num(0), nums(make(ax, 65)), nums(make(ax, 65)), "\x89", "N"), corrupt, lastOp, "65 axes"},
		{"strides of another rank", call(v2, whole, num(0), nums(ax{2}), tup(), "\x89", "N"), corrupt, lastOp, "1 axes and 0 strides"},
		{"type of a tensor", call("torch._utils._rebuild_tensor_v3", whole, num(0), tup(), tup(), "\x89", "N", num(1)), corrupt, lastOp, "type of a tensor is a int"},

		{"negative offset", bad(-1, ax{1}, ax{1}), corrupt, lastCall, `tensor "w" begins at element -1`},
		{"negative stride", bad(1, ax{2}, ax{-1}), corrupt, lastCall, `tensor "w" has stride -1`},
		{"negative axis", bad(0, ax{-1}, ax{1}), corrupt, lastCall, "axis 0 is -1"},
		{"offset outside", bad(2, ax{1}, ax{1}), corrupt, lastCall, "after the 2 elements"},
		{"offset of 2^63-1", bad(math.MaxInt64, ax{}, ax{}), corrupt, lastCall, "after the 2 elements"},
		{"axis outside", bad(0, ax{3}, ax{1}), corrupt, lastCall, "after the 2 elements"},
		{"stride outside", bad(0, ax{2}, ax{2}), corrupt, lastCall, "after the 2 elements"},
		{"strides that overflow", bad(0, ax{3, 3}, ax{1 << 62, 1 << 62}), corrupt, lastCall, "after the 2 elements"},
		{"shape that overflows", bad(0, ax{1 << 40, 1 << 40}, ax{0, 0}), corrupt, lastCall, "more than 2^62"},
		{"expanded to petabytes", bad(0, ax{1 << 50}, ax{0}), unsupported, lastCall, "repeats its values"},
		{"conjugate", dict(str("w"), tens(whole, 0, ax{2}, ax{1}, dict(str("conj"), "\x88"))), unsupported, lastCall, `tensor "w" is stored as its conjugate`},
		{"negative", dict(str("w"), tens(whole, 0, ax{2}, ax{1}, dict(str("neg"), "\x88"))), unsupported, lastCall, `tensor "w" is stored as its negative`},
		{"quantized", dict(str("w"), call("torch._utils._rebuild_qtensor", "N")), unsupported, lastCall, `tensor "w" is quantized`},
		{"sparse", dict(str("w"), call("torch._utils._rebuild_sparse_tensor", "N")), unsupported, lastCall, `tensor "w" is sparse`},
		{"meta", dict(str("w"), call("torch._utils._rebuild_meta_tensor_no_storage", "N")), unsupported, lastCall, `tensor "w" is on the meta device`},
		{"quantized storage", dict(str("w"), tens(store("torch.QInt8Storage", "0", 2), 0, ax{2}, ax{1})), unsupported, lastCall, `type torch.qint8`},
		{"type without counterpart", dict(str("w"), tens3(store("torch.UntypedStorage", "0", 8), "torch.complex32", 0, ax{2}, ax{1})), unsupported, lastCall, `type torch.complex32`},
		{"part of 4-bit floats", dict(str("w"), tens3(store("torch.UntypedStorage", "0", 8), "torch.float4_e2m1fn_x2", 1, ax{2}, ax{1})), unsupported, lastCall, `part of its storage`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := program(c.root)
			at := c.at
			switch at {
			case nowhere:
				at -= pickleBegin
			case lastOp:
				at = int64(len(p)) - 2
			case lastCall:
				at = int64(strings.LastIndexByte(p, 'R'))
			}
			_, err := Parse("m.pt", tensor.Bytes(save(p, "0", seq(8))))
			wantError(t, err, c.want, at+pickleBegin, c.reason)
		})
	}
}

// laughs is a list of two references to a list of two references to ...
func laughs(depth int) string {
	return "]q\x000" + strings.Repeat("](h\x00h\x00eq\x000", depth) + "h\x00"
}

// An object that holds itself ends the walk, not the reading.
func TestCycle(t *testing.T) {
	root := "}q\x00" + str("self") + "h\x00s" + str("w") + vec("0", 1) + "s" + str("l") + "]q\x01h\x01ah\x00as"
	l := mustParse(t, save(program(root), "0", seq(4)))
	if len(l.Views) != 1 || l.Views[0].Name != "w" {
		t.Errorf("got %+v", l.Views)
	}
}

func TestBadArchives(t *testing.T) {
	pkl := entry{name: "m/data.pkl", data: program(dict(str("w"), vec("0", 2)))}
	val := entry{name: "m/data/0", data: seq(8)}
	with := func(e entry, change func(*entry)) entry { change(&e); return e }
	whole := zipFile(pkl, val)
	dir := int64(bytes.Index(whole, []byte("PK\x01\x02")))
	second := int64(bytes.LastIndex(whole, []byte("PK\x03\x04")))
	end := int64(len(whole) - lenEnd)
	end64 := end - lenLocator64 - lenEnd64
	patched := func(off int64, b string) []byte {
		file := slices.Clone(whole)
		copy(file[off:], b)
		return file
	}
	if _, err := Parse("m.pt", tensor.Bytes(whole)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		file   []byte
		want   verdict
		at     int64
		reason string
	}{
		{"empty", nil, truncated, 0, "directory of a zip"},
		{"no zip", []byte(seq(100)), truncated, 100, "directory of a zip"},
		{"byte appended", append(slices.Clone(whole), 0), truncated, int64(len(whole)) + 1, "something was appended"},
		{"no pickle", zipFile(val), unsupported, nowhere, "without data.pkl"},
		{"pickle too deep", zipFile(with(pkl, func(e *entry) { e.name = "a/b/data.pkl" })), unsupported, nowhere, "without data.pkl"},
		{"two objects", zipFile(pkl, val, with(pkl, func(e *entry) { e.name = "n/data.pkl" })), corrupt, dir, "two objects"},
		{"two members of a name", zipFile(pkl, val, val), corrupt, lastEntry, `two members are named "m/data/0"`},
		{"encrypted", zipFile(pkl, with(val, func(e *entry) { e.flags = 1 })), unsupported, dir + 56, "encrypted"},
		{"compressed values", zipFile(pkl, with(val, func(e *entry) { e.method = 8 })), unsupported, second, "compressed (method 8)"},
		{"compressed pickle", zipFile(with(pkl, func(e *entry) { e.method = 8 }), val), unsupported, 0, "compressed (method 8)"},
		{"checksum of the pickle", zipFile(with(pkl, func(e *entry) { e.crc = 1 }), val), corrupt, 64, "checksum"},
		{"name of the header", zipFile(pkl, with(val, func(e *entry) { e.localName = "m/data/1" })), corrupt, second, "its header does not"},
		{"method of the header", patched(second+8, "\x08"), corrupt, second, "method 8 here"},
		{"size of the header", patched(second+18, "\x07"), corrupt, second, "7 bytes for 8 here"},
		{"no header", patched(second, "PX"), corrupt, second, "signature"},
		{"extra field runs on", patched(second+28, "\xff\xff"), corrupt, second, "runs into"},
		{"member in another", zipFile(pkl, with(val, func(e *entry) { e.header = 10 })), corrupt, 0, "10 remain"},
		{"member that ends late", zipFile(pkl, with(val, func(e *entry) { e.sizeDelta = 1 })), corrupt, second, "runs into"},
		{"member after the directory", zipFile(pkl, with(val, func(e *entry) { e.header = 1 << 30 })), corrupt, dir + 56, "before the directory"},
		{"sizes that differ", patched(dir+56+20, "\x07"), corrupt, dir + 56, "7 bytes for 8"},
		{"64-bit sizes missing", patched(dir+56+24, "\xff\xff\xff\xff"), corrupt, dir + 56, "64-bit sizes"},
		{"no entry", patched(dir+56, "PX"), corrupt, dir + 56, "directory entry"},
		{"entry that runs on", patched(dir+56+28, "\xff\xff"), corrupt, dir + 56, "remain"},
		{"entry without name", patched(dir+56+28, "\x00"), corrupt, dir + 56, "no name"},
		{"bytes after the entries", patched(end64+24, "\x01\x00\x00\x00\x00\x00\x00\x00\x01"), corrupt, dir + 56, "54 bytes follow the 1 entries"},
		{"too many entries", patched(end64+24, "\xff\x00\x00\x00\x00\x00\x00\x00\xff"), corrupt, end64, "255 entries do not fit"},
		{"directory elsewhere", patched(end64+48, "\xff"), corrupt, end64, "does not end here"},
		{"directory of 2^63 bytes", patched(end64+40, "\x00\x00\x00\x00\x00\x00\x00\x80"), corrupt, end64, "9223372036854775808 bytes"},
		{"split", patched(end64+16, "\x01"), unsupported, end64, "split"},
		{"64-bit end record elsewhere", patched(end-lenLocator64+8, "\xff\xff\xff\xff\xff\xff\xff\xff"), corrupt, end - lenLocator64, "64-bit end record"},
		{"no 64-bit end record", patched(end64, "PX"), corrupt, end64, "64-bit end record"},
		{"length of the 64-bit end record", patched(end64+4, "\x00"), corrupt, end64 + 4, "64-bit end record"},
		{"big-endian", zipFile(pkl, val, entry{name: "m/byteorder", data: "big"}), unsupported, lastBytes, "big-endian"},
		{"no endian", zipFile(pkl, val, entry{name: "m/byteorder", data: "vax"}), corrupt, lastBytes, `"vax"`},
		{"long byte order", zipFile(pkl, val, entry{name: "m/byteorder", data: strings.Repeat("x", 65)}), corrupt, dir, "65 bytes"},
		{"version", zipFile(pkl, val, entry{name: "m/version", data: "x"}), corrupt, lastBytes, `version is "x"`},
		{"new version", zipFile(pkl, val, entry{name: "m/version", data: "11"}), unsupported, lastBytes, "version 11"},
		{"TorchScript", zipFile(pkl, val, entry{name: "m/constants.pkl"}), unsupported, dir, "TorchScript"},
		{"legacy", []byte("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."), unsupported, 0, "legacy PyTorch file"},
		{"storage of half an element", zipFile(pkl, with(val, func(e *entry) { e.data = seq(9) })), corrupt, lastBytes, "not a multiple of the 4 of torch.float32"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := c.at
			switch at {
			case lastEntry:
				at = int64(bytes.LastIndex(c.file, []byte("PK\x01\x02")))
			case lastBytes: // aligned after the header
				at = int64(bytes.LastIndex(c.file, []byte("PK\x03\x04")))/64*64 + 64
			}
			_, err := Parse("m.pt", tensor.Bytes(c.file))
			wantError(t, err, c.want, at, c.reason)
		})
	}
}

// Archives that torch.save does not write, but other tools do.
func TestOtherArchives(t *testing.T) {
	pkl := entry{name: "x y/data.pkl", data: program(dict(str("w"), vec("0", 2)))}
	for name, file := range map[string][]byte{
		"64-bit sizes":    zipFile(pkl, entry{name: "x y/data/0", data: seq(8), zip64: true}),
		"no checksum":     zipFile(entry{name: "x y/.version", data: "1"}, pkl, entry{name: "x y/data/0", data: seq(8)}),
		"other members":   zipFile(entry{name: "README", data: "hello", method: 8}, pkl, entry{name: "x y/data/"}, entry{name: "x y/data/0", data: seq(8)}),
		"storage is long": zipFile(pkl, entry{name: "x y/data/0", data: seq(12)}),
	} {
		t.Run(name, func(t *testing.T) {
			if l := mustParse(t, file); len(l.Views) != 1 {
				t.Errorf("got %+v", l.Views)
			}
		})
	}
}

// small is a file with most features, for tests that damage it.
func small() []byte {
	w := store("torch.FloatStorage", "0", 6)
	return save(program(dict(
		str("epoch"), num(3),
		str("model"), dict(
			str("w"), tens(w, 0, ax{2, 3}, ax{3, 1}),
			str("t"), tens(w, 1, ax{2, 2}, ax{1, 3}),
			str("b"), tens3(store("torch.UntypedStorage", "1", 4), "torch.bfloat16", 0, ax{2}, ax{1})),
	)), "0", seq(24), "1", seq(4))
}

// survive checks what must hold for any input.
func survive(t *testing.T, file []byte) error {
	t.Helper()
	d := tensor.Bytes(file)
	Is(d)
	l, err := Parse("m.pt", d)
	if err != nil {
		var c *layout.CorruptError
		var u *layout.UnsupportedError
		switch {
		case errors.As(err, &c):
			if c.Offset < -1 || c.Offset > d.Size() {
				t.Fatalf("offset %d of %d: %v", c.Offset, d.Size(), err)
			}
		case errors.As(err, &u):
			if u.Offset < -1 || u.Offset > d.Size() {
				t.Fatalf("offset %d of %d: %v", u.Offset, d.Size(), err)
			}
		default:
			t.Fatalf("got %T: %v", err, err)
		}
		return err
	}
	set, err := l.Set()
	if err != nil {
		t.Fatalf("a layout that is not valid: %v", err)
	}
	for _, x := range set.All() {
		if x.Size() > 1<<20 {
			continue
		}
		if _, err := x.Bytes(); err != nil {
			t.Fatal(err)
		}
	}
	return nil
}

func TestTruncation(t *testing.T) {
	file := small()
	for n := range file {
		err := survive(t, file[:n])
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d of %d bytes: got %v, want io.ErrUnexpectedEOF", n, len(file), err)
		}
		if n > 64 && !Is(tensor.Bytes(file[:n])) {
			t.Fatalf("%d of %d bytes are not taken for PyTorch", n, len(file))
		}
	}
}

func TestBitFlips(t *testing.T) {
	file := small()
	for i := range 8 * len(file) {
		bad := slices.Clone(file)
		bad[i/8] ^= 1 << (i % 8)
		_ = survive(t, bad)
	}
	// Once more with the pickle, whose checksum hides what lies behind it.
	p := program(dict(str("w"), tens(store("torch.FloatStorage", "0", 6), 0, ax{2, 3}, ax{3, 1}, dict())))
	for i := range 8 * len(p) {
		bad := []byte(p)
		bad[i/8] ^= 1 << (i % 8)
		_ = survive(t, save(string(bad), "0", seq(24)))
	}
	for n := range p {
		if survive(t, save(p[:n], "0", seq(24))) == nil {
			t.Errorf("%d of %d bytes of a pickle were read", n, len(p))
		}
	}
}

func TestIs(t *testing.T) {
	for _, c := range []struct {
		name string
		file []byte
		want bool
	}{
		{"empty", nil, false},
		{"text", []byte("hello"), false},
		{"saved", small(), true},
		{"cut", small()[:100], true},
		{"cut in the first name", small()[:35], false},
		{"another zip", zipFile(entry{name: "arr_0.npy"}), false},
		{"pickle without folder", zipFile(entry{name: "data.pkl"}), false},
		{"pickle too deep", zipFile(entry{name: "a/b/data.pkl"}), false},
		{"pickle of a longer name", zipFile(entry{name: "a/xdata.pkl"}), false},
	} {
		if got := Is(tensor.Bytes(c.file)); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSniffLegacy(t *testing.T) {
	const magic = "\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
	tar := func(name, mark string) string {
		b := make([]byte, 512)
		copy(b, name)
		copy(b[257:], mark)
		return string(b)
	}
	for _, c := range []struct {
		head string
		want bool
	}{
		{"", false},
		{"\x80", false},
		{"\x80\x02", false},
		{"\x80\x02" + magic, true},
		{"\x80\x05\x95\x0d\x00\x00\x00\x00\x00\x00\x00" + magic, true},
		{"\x80\x05\x95\x0d\x00", false},
		{"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x18.", false},
		{"\x80\x02}q\x00.", false},
		{tar("sys_info", "ustar"), true},
		{tar("storages", "ustar"), true},
		{tar("storages", "vstar"), false},
		{tar("readme", "ustar"), false},
		{string(small()), false},
	} {
		if got := SniffLegacy([]byte(c.head)); got != c.want {
			t.Errorf("%.20q: got %v, want %v", c.head, got, c.want)
		}
	}
}

func TestPrefix(t *testing.T) {
	for _, c := range []struct {
		names, want string
	}{
		{"", ""},
		{"conv.weight conv.bias", ""},
		{"module.conv.weight module.conv.bias", "module."},
		{"state_dict.module.a state_dict.module.b", "state_dict.module."},
		{"model.a model.b optimizer.state.0.exp_avg rng_state", "model."},
		{"model_state_dict._orig_mod.a optimizer_state_dict.state.0.m", "model_state_dict._orig_mod."},
		{"model.a lm_head.weight", ""}, // part of the names, not a wrapper
		{"state_dict.model.a state_dict.head", "state_dict."},
		{"optimizer.state.0.m", ""},
		{"module.", ""},
	} {
		names := strings.Fields(c.names)
		before := slices.Clone(names)
		if got := Prefix(names); got != c.want || !slices.Equal(names, before) {
			t.Errorf("%v: got %q, want %q", before, got, c.want)
		}
	}
}

// The file was written by PyTorch itself; see testdata/README.md.
func TestRealFile(t *testing.T) {
	file, err := os.ReadFile("testdata/tiny.pt")
	if err != nil {
		t.Fatal(err)
	}
	l := mustParse(t, file)
	arrays, views := briefs(l)
	if d := cmp.Diff([]string{
		"model.fc.weight F32 2x3 24", "model.fc.bias F32 2 8", "model.half BF16 4 8", "model.f8 F8_E4M3 2 2",
		"optimizer.state.0.momentum_buffer F32 2x3 24", "optimizer.state.1.momentum_buffer F32 2 8",
	}, arrays); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]brief{
		{"model.fc.weight", "F32", "2x3", 0, 0, nil},
		{"model.fc.bias", "F32", "2", 1, 0, nil},
		{"model.tied", "F32", "2x3", 0, 0, nil},
		{"model.turned", "F32", "3x2", 0, 0, []int64{1, 3}},
		{"model.row", "F32", "3", 0, 3, nil},
		{"model.half", "BF16", "4", 2, 0, nil},
		{"model.f8", "F8_E4M3", "2", 3, 0, nil},
		{"optimizer.state.0.momentum_buffer", "F32", "2x3", 4, 0, nil},
		{"optimizer.state.1.momentum_buffer", "F32", "2", 5, 0, nil},
	}, views); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]layout.Pair{{Key: "pytorch.version", Value: "3"}, {Key: "epoch", Value: "3"}}, l.Metadata); d != "" {
		t.Error(d)
	}
	set, err := l.Set()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]float32{
		"model.fc.weight": {0, 1, 2, 3, 4, 5},
		"model.turned":    {0, 3, 1, 4, 2, 5},
		"model.row":       {3, 4, 5},
	} {
		b, err := set.Lookup(name).Bytes()
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(b)/4)
		for i := range got {
			got[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// Values are not read: a file whose values cannot be read opens.
func TestLazy(t *testing.T) {
	file := small()
	l := mustParse(t, file)
	d := &guarded{Bytes: file, arrays: l.Arrays}
	if _, err := Parse("m.pt", d); err != nil {
		t.Fatal(err)
	}
}

// guarded refuses reads that touch an array.
type guarded struct {
	tensor.Bytes
	arrays []layout.Array
}

func (g *guarded) Slice(off, n int64) ([]byte, bool) { return nil, false }

func (g *guarded) ReadAt(p []byte, off int64) (int, error) {
	// The search for the end of the directory may run over small arrays.
	if off+int64(len(p)) < g.Size() && off > 0 {
		for _, a := range g.arrays {
			if off < a.Offset+a.Size && a.Offset < off+int64(len(p)) {
				return 0, fmt.Errorf("values of %s were read", a.Name)
			}
		}
	}
	return g.Bytes.ReadAt(p, off)
}

func FuzzParse(f *testing.F) {
	f.Add(small())
	f.Add(save(program(list(vec("0", 1))), "0", seq(4)))
	f.Add(zipFile(entry{name: "x/data.pkl", data: program("N"), zip64: true}))
	f.Fuzz(func(t *testing.T, file []byte) { _ = survive(t, file) })
}

// FuzzPickle gets behind the checksums that stop most changes to a whole file.
func FuzzPickle(f *testing.F) {
	f.Add(program(dict(str("w"), tens(store("torch.FloatStorage", "0", 6), 0, ax{2, 3}, ax{3, 1}))))
	f.Add(program(tens3(store("torch.UntypedStorage", "0", 24), "torch.float4_e2m1fn_x2", 0, ax{24}, ax{1})))
	f.Add(program(laughs(3)))
	f.Fuzz(func(t *testing.T, p string) { _ = survive(t, save(p, "0", seq(24))) })
}
