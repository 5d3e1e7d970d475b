//go:build external

package onnx

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ropewalk/tensor"
)

// python runs a script of the onnx package.
func python(t *testing.T, script string, args ...string) []byte {
	t.Helper()
	exe := os.Getenv("ROPEWALK_PYTHON")
	if exe == "" {
		t.Skip("ROPEWALK_PYTHON does not name a Python with the package onnx")
	}
	cmd := exec.Command(exe, append([]string{"-c", script}, args...)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, errs.String())
	}
	return out
}

// makeModels writes models with each data type in each form, and what
// numpy_helper.to_array reads from them, as one JSON object per model: name to
// type, shape and little-endian bytes in hex.
const makeModels = `
import json, os, sys
import numpy as np, onnx
from onnx import TensorProto as T, helper as h, numpy_helper as nh
os.chdir(sys.argv[1])
rng = np.random.default_rng(1)
want = {}

def le(t):
    """The values as raw_data has them."""
    return nh.from_array(nh.to_array(t)).raw_data.hex()

def note(model, name, t):
    want.setdefault(model, {})[name] = dict(dtype=t.data_type, shape=list(t.dims), bytes=le(t))

def values(dt, n):
    np_t = h.tensor_dtype_to_np_dtype(dt)
    if dt == T.BOOL: return rng.integers(0, 2, n).astype(bool)
    if dt in (T.COMPLEX64, T.COMPLEX128): return (rng.normal(size=n) + 1j * rng.normal(size=n)).astype(np_t)
    if np.issubdtype(np_t, np.integer):
        i = np.iinfo(np_t)
        return rng.integers(i.min, i.max, n, dtype=np_t, endpoint=True)
    if dt in (T.INT4, T.INT2): return rng.integers(-2, 2, n).astype(np_t)
    if dt in (T.UINT4, T.UINT2): return rng.integers(0, 4, n).astype(np_t)
    return (rng.normal(size=n) * 2).astype(np.float32).astype(np_t)

def save(name, graph, **kw):
    m = h.make_model(graph, opset_imports=[h.make_opsetid('', 23)], ir_version=11, producer_name='test')
    onnx.save(m, name, **kw)

def graph(nodes=(), inits=(), name='g', outputs=None):
    return h.make_graph(list(nodes), name, [], outputs or [h.make_tensor_value_info('y', T.FLOAT, ['n'])], initializer=list(inits))

kinds = [t for n, t in T.DataType.items() if n not in ('UNDEFINED', 'STRING')]
opaque = (T.UINT2, T.INT2)
def identity(x='t1_raw', y='y'): return h.make_node('Identity', [x], [y])

inits = []
for dt in kinds:
    for shape in [(3, 5), (7,), (), (0, 2)]:
        tag = 'x'.join(map(str, shape)) or 'scalar'
        v = values(dt, int(np.prod(shape))).reshape(shape)
        raw = nh.from_array(v, f't{dt}_raw_{tag}')
        inits.append(raw); note('types.onnx', raw.name, raw)
        if dt in (T.FLOAT6E2M3, T.FLOAT6E3M2):
            vals = v.view(np.uint8).flatten().tolist()
            typed = T(dims=shape, data_type=dt, name=f't{dt}_typed_{tag}', int32_data=vals)
        else:
            typed = h.make_tensor(f't{dt}_typed_{tag}', dt, shape, v.flatten())
        inits.append(typed)
        if dt not in opaque or v.size == 0: note('types.onnx', typed.name, typed)
save('types.onnx', graph([identity('t1_raw_7')], inits))

def const(out, **kw): return h.make_node('Constant', [], [out], **kw)
def tensor(name, n=4): return nh.from_array(rng.normal(size=n).astype(np.float32), name)
f = [1.5, -2.0, 3.25]; i = [1, -5, 1 << 40]
then_t, else_t, c_t = tensor(''), tensor('inner'), tensor('ignored')
sp = h.make_sparse_tensor(tensor('sv', 3), nh.from_array(np.array([1, 4, 6]), 'si'), [9])
then_g = graph([const('a', value=then_t), identity('a', 'y1')], name='t', outputs=[h.make_tensor_value_info('y1', T.FLOAT, ['n'])])
else_g = graph([identity('inner', 'y2')], [else_t], name='e', outputs=[h.make_tensor_value_info('y2', T.FLOAT, ['n'])])
cond = nh.from_array(np.array(True), 'cond')
g = graph([const('c', value=c_t), const('fl', value_floats=f), const('il', value_ints=i), const('f', value_float=1.0), const('i', value_int=1),
           const('s', sparse_value=sp), const('txt', value_string='x'),
           h.make_node('If', ['cond'], ['y'], name='cond_if', then_branch=then_g, else_branch=else_g)], [cond, h.make_tensor('text', T.STRING, [2], [b'a', b'b'])])
g.sparse_initializer.append(h.make_sparse_tensor(tensor('sparse_w', 2), nh.from_array(np.array([0, 2]), ''), [5]))
save('nested.onnx', g)
for name, t in [('c', c_t), ('cond', cond), ('cond_if.then_branch/a', then_t), ('cond_if.else_branch/inner', else_t), ('s', sp.values), ('s.indices', sp.indices),
                ('sparse_w', g.sparse_initializer[0].values), ('sparse_w.indices', g.sparse_initializer[0].indices),
                ('fl', nh.from_array(np.array(f, np.float32))), ('il', nh.from_array(np.array(i)))]:
    note('nested.onnx', name, t)
want['nested.onnx']['si'] = want['nested.onnx'].pop('s.indices')

inits = [nh.from_array(values(dt, 40).reshape(8, 5), f'e{dt}') for dt in kinds]
for t in inits: note('external.onnx', t.name, t); note('many.onnx', t.name, t)
save('external.onnx', graph([identity('e1')], inits), save_as_external_data=True, all_tensors_to_one_file=True, location='weights.bin', size_threshold=0)
inits = [nh.from_array(nh.to_array(t), t.name) for t in inits]
save('many.onnx', graph([identity('e1')], inits), save_as_external_data=True, all_tensors_to_one_file=False, size_threshold=0)
print(json.dumps(want))
`

// A reference is a tensor as the onnx package reads it.
type reference struct {
	DType int32
	Shape tensor.Shape
	Bytes string
}

func dirOpener(dir string) func(name string) (tensor.Data, error) {
	return func(name string) (tensor.Data, error) {
		b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		return tensor.Bytes(b), err
	}
}

// The values of every type in every form are those of numpy_helper.to_array.
func TestAgainstPython(t *testing.T) {
	dir := t.TempDir()
	var want map[string]map[string]reference
	if err := json.Unmarshal(python(t, makeModels, dir), &want); err != nil {
		t.Fatal(err)
	}
	for name, tensors := range want {
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m, set := mustOpen(t, b, dirOpener(dir))
		if set.Len() != len(tensors) {
			t.Errorf("%s: %d tensors, want %d", name, set.Len(), len(tensors))
		}
		checkPython(t, name, set, tensors)
		if got := write(t, m, set, set, 0); !bytes.Equal(got, b) {
			t.Errorf("%s: written back without changes, it differs", name)
		}
		t.Logf("%s: %d tensors in %d files", name, set.Len(), len(m.Layout.Files))
	}
}

func checkPython(t *testing.T, model string, set *tensor.Set, want map[string]reference) {
	t.Helper()
	for _, x := range set.All() {
		w, ok := want[x.Name]
		if !ok {
			t.Errorf("%s: unexpected tensor %q", model, x.Name)
			continue
		}
		b, err := x.Bytes()
		if err != nil {
			t.Errorf("%s: %v", model, err)
			continue
		}
		if got := hex.EncodeToString(b); x.DType != dtypeOf(w.DType) || !x.Shape.Equal(w.Shape) || got != w.Bytes {
			t.Errorf("%s: %q is %s %v %s, want %s %v %s", model, x.Name, x.DType, x.Shape, got, dtypeOf(w.DType), w.Shape, w.Bytes)
		}
	}
}

// readModel checks a model and prints the tensors of its graph as makeModels
// does.
const readModel = `
import json, sys
import onnx
from onnx import numpy_helper as nh
onnx.checker.check_model(sys.argv[1])
want = {}
def note(t, name):
    want[name] = dict(dtype=t.data_type, shape=list(t.dims), bytes=nh.from_array(nh.to_array(t)).raw_data.hex())
def walk(g, prefix):
    for t in g.initializer:
        if t.data_type != onnx.TensorProto.STRING: note(t, prefix + t.name)
    for n in g.node:
        for a in n.attribute:
            if n.op_type == 'Constant' and a.name == 'value': note(a.t, prefix + n.output[0])
            if a.HasField('g'): walk(a.g, prefix + n.name + '.' + a.name + '/')
walk(onnx.load(sys.argv[1]).graph, '')
print(json.dumps(want))
`

// Models with changed tensors pass onnx.checker and have the values.
func TestEditAgainstPython(t *testing.T) {
	dir := t.TempDir()
	python(t, makeModels, dir)
	for _, name := range []string{"types.onnx", "nested.onnx", "external.onnx", "many.onnx"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		m, base := mustOpen(t, b, dirOpener(dir))
		var changed []*tensor.Tensor
		for i, x := range base.All() {
			if strings.Contains(x.Name, "sparse") || x.Name == "s" || x.Name == "si" || x.Name == "fl" || x.Name == "il" || x.Name == "cond" || !x.DType.Known() {
				continue
			}
			c := &tensor.Tensor{Name: x.Name, DType: x.DType, Shape: x.Shape}
			if i%3 == 0 {
				c.DType = tensor.F16
			}
			if i%2 == 0 {
				c.Shape = tensor.Shape{3, 70}
			}
			size, err := c.Shape.Size(c.DType)
			if err != nil {
				t.Fatal(err)
			}
			v := make([]byte, size)
			for k := range v {
				v[k] = byte(k+i) & 1 // true or false, and small numbers
			}
			c.Data = tensor.Bytes(v)
			if i%5 != 4 {
				changed = append(changed, c)
			}
		}
		edited := overlay(t, base, changed...)
		out := t.TempDir()
		for i, f := range m.Layout.Files {
			file := f.Name
			if i == 0 {
				file = name
			}
			if err := os.WriteFile(filepath.Join(out, file), write(t, m, base, edited, i), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var got map[string]reference
		if err := json.Unmarshal(python(t, readModel, filepath.Join(out, name)), &got); err != nil {
			t.Fatal(err)
		}
		compared := 0
		for _, x := range edited.All() {
			g, ok := got[x.Name]
			if !ok {
				continue // sparse tensors and lists
			}
			b, err := x.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			want := hex.EncodeToString(b)
			if bits := x.DType.Bits(); bits == 4 || bits == 6 {
				raw, err := hex.DecodeString(g.Bytes)
				if err != nil {
					t.Fatal(err)
				}
				// The package pads with zeros; padding is not a value.
				want, g.Bytes = trimPadding(x, b), trimPadding(x, raw)
			}
			if dtypeOf(g.DType) != x.DType || !g.Shape.Equal(x.Shape) || g.Bytes != want {
				t.Errorf("%s: %q is %s %v %s, want %s %v %s", name, x.Name, dtypeOf(g.DType), g.Shape, g.Bytes, x.DType, x.Shape, want)
			}
			compared++
		}
		t.Logf("%s: %d of %d tensors changed, %d compared", name, len(changed), edited.Len(), compared)
	}
}

func trimPadding(x *tensor.Tensor, b []byte) string {
	b = bytes.Clone(b)
	if over := len(b)*8 - int(x.Elems())*x.DType.Bits(); over > 0 && len(b) > 0 {
		b[len(b)-1] &= 0xff >> over
	}
	return hex.EncodeToString(b)
}
