package torch

import (
	"strings"

	"ropewalk/internal/format/torch/pickle"
)

// A function is a Python function or class whose call is understood.
type function struct {
	name     string
	min, max int // number of arguments
	// rebuilds is set for those that return a tensor. Only they may be called
	// through _rebuild_from_type_v2, so that calls do not nest.
	rebuilds bool
	call     func(h *host, at int64, args pickle.Tuple) (any, error)
}

func (f *function) String() string { return f.name }

// A class is a Python class whose objects are data that we do not look into.
type class struct{ name string }

func (c *class) String() string { return c.name }

// A constant is a global that pickles name, but never call.
type constant struct{ name string }

func (c *constant) String() string { return c.name }

// An opaque is an object of a class. What it holds is not looked at.
type opaque struct{ class string }

func (o *opaque) String() string { return o.class }

// globals is the allow-list: all that a pickle may name.
var globals = makeGlobals()

func makeGlobals() map[string]any {
	g := map[string]any{}
	for _, f := range []*function{
		{name: "torch._utils._rebuild_tensor", min: 4, max: 4, rebuilds: true, call: rebuildTensor},
		{name: "torch._utils._rebuild_tensor_v2", min: 6, max: 7, rebuilds: true, call: rebuildTensor},
		{name: "torch._utils._rebuild_tensor_v3", min: 7, max: 8, rebuilds: true, call: rebuildTensor3},
		{name: "torch._utils._rebuild_parameter", min: 3, max: 3, rebuilds: true, call: rebuildParameter},
		{name: "torch._utils._rebuild_parameter_with_state", min: 4, max: 4, rebuilds: true, call: rebuildParameter},
		{name: "torch._utils._rebuild_device_tensor_from_cpu_tensor", min: 4, max: 4, rebuilds: true, call: rebuildFromCPU},
		{name: "torch._tensor._rebuild_from_type_v2", min: 4, max: 4, call: rebuildFromType},
		{name: "torch._tensor._rebuild_from_type", min: 4, max: 4, call: rebuildFromType},
		{name: "torch.tensor._rebuild_from_type", min: 4, max: 4, call: rebuildFromType}, // 1.7
		// Tensors of which the values are not all in one storage.
		notRead("torch._utils._rebuild_qtensor", "is quantized (save the result of its dequantize(), or int_repr() and the scales)"),
		notRead("torch._utils._rebuild_sparse_tensor", "is sparse (save the result of its to_dense(), or its indices and values)"),
		notRead("torch._utils._rebuild_sparse_csr_tensor", "is sparse (save the result of its to_dense(), or its indices and values)"),
		notRead("torch._utils._rebuild_nested_tensor", "is nested (save its parts)"),
		notRead("torch._utils._rebuild_meta_tensor_no_storage", "is on the meta device: the file does not hold its values"),
		notRead("torch._utils._rebuild_wrapper_subclass", "is of a subclass whose values are elsewhere"),
		notRead("torch._utils._rebuild_device_tensor_from_numpy", "was saved through numpy by an accelerator (save it again after .cpu())"),
		notRead("torch._utils._rebuild_xla_tensor", "was saved through numpy by an accelerator (save it again after .cpu())"),

		{name: "collections.OrderedDict", max: 1, call: makeDict},
		{name: "collections.Counter", max: 1, call: makeDict},
		{name: "collections.defaultdict", max: 2, call: makeDefaultDict},
		{name: "builtins.set", max: 1, call: makeSet},
		{name: "builtins.frozenset", max: 1, call: makeSet},
		{name: "torch.Size", max: 1, call: makeSize},
	} {
		g[f.name] = f
	}
	// Values that training checkpoints hold beside tensors.
	for _, name := range []string{
		"builtins.complex", "builtins.slice", "builtins.range", "builtins.bytearray",
		"_codecs.encode", // bytes, by protocol 2
		"torch.device", "torch.serialization._get_layout",
		"numpy.dtype", "numpy.ndarray",
		"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar",
		"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct",
		"numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer", // arrays, by protocol 5
		"argparse.Namespace", "datetime.datetime", "datetime.timedelta",
		"pathlib.Path", "pathlib.PosixPath", "pathlib.PurePosixPath",
		"pathlib.WindowsPath", "pathlib.PureWindowsPath",
	} {
		g[name] = &class{name}
	}
	for _, name := range []string{
		"builtins.int", "builtins.float", "builtins.bool", "builtins.str",
		"builtins.list", "builtins.dict", "builtins.tuple", // factories of a defaultdict
		"torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer",
		"torch.storage.TypedStorage", "torch.storage._TypedStorage",
		"torch.per_tensor_affine", "torch.per_tensor_symmetric", "torch.per_channel_affine",
		"torch.per_channel_symmetric", "torch.per_channel_affine_float_qparams",
	} {
		g[name] = &constant{name}
	}
	for name, d := range dtypes {
		g["torch."+name] = d
	}
	for name, of := range storageNames {
		g["torch."+name] = &storageType{"torch." + name, dtypes[of]}
		g["torch.cuda."+name] = &storageType{"torch.cuda." + name, dtypes[of]}
	}
	for _, name := range []string{
		"torch.UntypedStorage", "torch.storage.UntypedStorage", "torch.storage._UntypedStorage",
	} {
		g[name] = &storageType{name, nil}
	}
	return g
}

// python2 are the modules that protocol 2 names as Python 2 did.
var python2 = map[string]string{"__builtin__": "builtins", "copy_reg": "copyreg"}

// Global looks a name up in the allow-list.
func (h *host) Global(_ int64, module, name string) (any, error) {
	if m, ok := python2[module]; ok {
		module = m
	}
	full := module + "." + name
	if v, ok := globals[full]; ok {
		return v, nil
	}
	if full == "torch.jit._pickle.restore_type_tag" || module == "__torch__" || strings.HasPrefix(module, "__torch__.") {
		return nil, pickle.Refuse("the pickle wants %s, which is of TorchScript; %s", full, scriptHint)
	}
	if strings.HasPrefix(module, "torch.nn.modules.") {
		return nil, pickle.Refuse("the file holds a whole module (it wants %s); only tensors and plain containers are read: save model.state_dict() instead", full)
	}
	return nil, pickle.Refuse("the pickle wants %s; only tensors and plain containers are read: save model.state_dict() alone", full)
}

// Call applies a function of the allow-list.
func (h *host) Call(at int64, fn any, args pickle.Tuple) (any, error) {
	switch f := fn.(type) {
	case *function:
		if len(args) < f.min || len(args) > f.max {
			return nil, pickle.Malformed("%s is called with %d arguments, wants %d to %d", f.name, len(args), f.min, f.max)
		}
		return f.call(h, at, args)
	case *class:
		return &opaque{f.name}, nil
	}
	return nil, pickle.Refuse("the pickle calls a value of type %s", pickle.TypeName(fn))
}

// Build accepts attributes of dictionaries (state_dict puts the versions of
// the modules into one) and the state of opaque objects. Neither is kept.
func (h *host) Build(_ int64, obj, _ any) error {
	switch obj.(type) {
	case *pickle.Dict, *opaque:
		return nil
	}
	return pickle.Refuse("the pickle sets the state of a %s", pickle.TypeName(obj))
}

// makeDict is OrderedDict() or Counter(): empty, or of a dict or of pairs.
func makeDict(_ *host, _ int64, args pickle.Tuple) (any, error) {
	d := &pickle.Dict{}
	if len(args) == 0 {
		return d, nil
	}
	switch from := args[0].(type) {
	case *pickle.Dict:
		return from, nil // the argument is not used again
	case *pickle.List:
		for _, item := range from.Items {
			k, v, ok := pair(item)
			if !ok {
				return nil, pickle.Malformed("a dictionary is made of a %s, not of a pair", pickle.TypeName(item))
			}
			d.Set(k, v)
		}
		return d, nil
	}
	return nil, pickle.Malformed("a dictionary is made of a %s", pickle.TypeName(args[0]))
}

func pair(v any) (key, value any, ok bool) {
	var items []any
	switch v := v.(type) {
	case *pickle.List:
		items = v.Items
	case pickle.Tuple:
		items = v
	}
	if len(items) != 2 {
		return nil, nil, false
	}
	return items[0], items[1], true
}

// makeDefaultDict drops the factory: nothing is ever missing here.
func makeDefaultDict(h *host, at int64, args pickle.Tuple) (any, error) {
	return makeDict(h, at, args[min(1, len(args)):])
}

func makeSet(_ *host, _ int64, args pickle.Tuple) (any, error) {
	if len(args) == 0 {
		return &pickle.Set{}, nil
	}
	switch from := args[0].(type) {
	case *pickle.List:
		return &pickle.Set{Items: from.Items}, nil
	case pickle.Tuple:
		return &pickle.Set{Items: from}, nil
	}
	return nil, pickle.Malformed("a set is made of a %s", pickle.TypeName(args[0]))
}

// makeSize is torch.Size, a tuple of the lengths of the axes.
func makeSize(_ *host, _ int64, args pickle.Tuple) (any, error) {
	if len(args) == 0 {
		return pickle.Tuple(nil), nil
	}
	switch from := args[0].(type) {
	case pickle.Tuple:
		return from, nil
	case *pickle.List:
		return pickle.Tuple(from.Items), nil
	}
	return nil, pickle.Malformed("a torch.Size is made of a %s", pickle.TypeName(args[0]))
}
