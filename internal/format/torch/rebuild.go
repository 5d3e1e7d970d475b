package torch

import (
	"strings"

	"ropewalk/internal/format/torch/pickle"
	"ropewalk/tensor"
)

// A host answers what the pickle of one file asks for; it implements
// [pickle.Host].
type host struct {
	archive *archive
	folder  string // of all members
	base    int64  // where the pickle begins in the file
}

// A storage is one mention of a member that holds values.
type storage struct {
	kind   *storageType
	member *member
}

func (s *storage) String() string { return s.kind.name }

// A ref is a tensor as the pickle describes it.
type ref struct {
	at      int64 // offset in the file of the call that makes it
	storage *storage
	dtype   *dtype
	offset  int64        // in elements, as are the strides
	shape   tensor.Shape // of PyTorch's elements
	strides []int64
	problem string // why it cannot be read: "is sparse"; or empty
}

func (r *ref) String() string { return "tensor" }

// Persistent reads the name of a storage:
//
//	("storage", torch.FloatStorage, key, device, number of elements)
func (h *host) Persistent(_ int64, id any) (any, error) {
	t, ok := id.(pickle.Tuple)
	if !ok || len(t) != 5 {
		return nil, pickle.Malformed("a storage is named by a %s, not by a tuple of 5", pickle.TypeName(id))
	}
	if t[0] != any("storage") && t[0] != any(pickle.Bytes("storage")) {
		return nil, pickle.Refuse("the pickle wants an object from outside that is not a storage")
	}
	kind, ok := t[1].(*storageType)
	if !ok {
		return nil, pickle.Malformed("the type of a storage is a %s", pickle.TypeName(t[1]))
	}
	key, ok := t[2].(string)
	if !ok {
		return nil, pickle.Malformed("the key of a storage is a %s, not a string", pickle.TypeName(t[2]))
	}
	// A key only ever is looked up in the archive; but one like this was
	// never written by torch.save.
	if key == "" || key == "." || key == ".." || strings.ContainsAny(key, "/\\") {
		return nil, pickle.Malformed("%.64q is not the key of a storage", key)
	}
	numel, ok := t[4].(int64)
	if !ok || numel < 0 {
		return nil, pickle.Malformed("storage %.64q has no valid number of elements", key)
	}
	m := h.archive.byName[h.folder+"/data/"+key]
	if m == nil {
		return nil, pickle.Malformed("storage %.64q is not in the archive", key)
	}
	width := int64(1) // an untyped storage counts bytes
	if kind.dtype != nil {
		width = kind.dtype.width()
	}
	if width != 0 && numel > m.size/width {
		return nil, pickle.Malformed("storage %q has %d elements of %s, but only %d bytes", key, numel, kind, m.size)
	}
	return &storage{kind, m}, nil
}

// rebuildTensor reads
//
//	_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, metadata)
//
// of which the last may be absent, and _rebuild_tensor, which has the first
// four only.
func rebuildTensor(h *host, at int64, args pickle.Tuple) (any, error) {
	r, err := h.newRef(at, args)
	if err != nil {
		return nil, err
	}
	if r.dtype = r.storage.kind.dtype; r.dtype == nil {
		r.dtype = dtypes["uint8"] // as torch.load has it
	}
	if len(args) == 7 {
		r.readMetadata(args[6])
	}
	return r, nil
}

// rebuildTensor3 reads a tensor of a type for which there is no storage class:
//
//	_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype, metadata)
func rebuildTensor3(h *host, at int64, args pickle.Tuple) (any, error) {
	r, err := h.newRef(at, args)
	if err != nil {
		return nil, err
	}
	var ok bool
	if r.dtype, ok = args[6].(*dtype); !ok {
		return nil, pickle.Malformed("the type of a tensor is a %s", pickle.TypeName(args[6]))
	}
	if len(args) == 8 {
		r.readMetadata(args[7])
	}
	return r, nil
}

// newRef reads the four arguments that all rebuilders share.
func (h *host) newRef(at int64, args pickle.Tuple) (*ref, error) {
	r := &ref{at: h.base + at}
	var ok bool
	if r.storage, ok = args[0].(*storage); !ok {
		return nil, pickle.Malformed("the storage of a tensor is a %s", pickle.TypeName(args[0]))
	}
	if r.offset, ok = args[1].(int64); !ok {
		return nil, pickle.Malformed("the offset of a tensor is a %s", pickle.TypeName(args[1]))
	}
	shape, err := ints("shape", args[2])
	if err != nil {
		return nil, err
	}
	r.shape = shape
	if r.strides, err = ints("strides", args[3]); err != nil {
		return nil, err
	}
	if len(r.strides) != len(r.shape) {
		return nil, pickle.Malformed("a tensor has %d axes and %d strides", len(r.shape), len(r.strides))
	}
	return r, nil
}

// ints reads a tuple of numbers, one per axis.
func ints(what string, v any) ([]int64, error) {
	t, ok := v.(pickle.Tuple)
	if !ok {
		return nil, pickle.Malformed("the %s of a tensor is a %s, not a tuple", what, pickle.TypeName(v))
	}
	if len(t) > tensor.MaxRank {
		return nil, pickle.Malformed("the %s of a tensor has %d axes, more than %d", what, len(t), tensor.MaxRank)
	}
	list := make([]int64, len(t))
	for i, x := range t {
		if list[i], ok = x.(int64); !ok {
			return nil, pickle.Malformed("the %s of a tensor has a %s for axis %d", what, pickle.TypeName(x), i)
		}
	}
	return list, nil
}

// readMetadata looks for the marks of a lazy operation: the storage then does
// not hold the values, but their conjugates or negatives.
func (r *ref) readMetadata(v any) {
	d, ok := v.(*pickle.Dict)
	if !ok {
		return
	}
	for _, mark := range []struct{ key, problem string }{
		{"conj", "is stored as its conjugate (save the result of its resolve_conj())"},
		{"neg", "is stored as its negative (save the result of its resolve_neg())"},
	} {
		if set, ok := d.Lookup(mark.key); ok && set != any(false) {
			r.problem = mark.problem
		}
	}
}

// rebuildParameter unwraps _rebuild_parameter(tensor, requires_grad, hooks).
func rebuildParameter(_ *host, _ int64, args pickle.Tuple) (any, error) {
	if r, ok := args[0].(*ref); ok {
		return r, nil
	}
	return nil, pickle.Malformed("a parameter is made of a %s, not of a tensor", pickle.TypeName(args[0]))
}

// rebuildFromCPU unwraps what accelerators without storages write:
// _rebuild_device_tensor_from_cpu_tensor(tensor, dtype, device, requires_grad).
func rebuildFromCPU(_ *host, _ int64, args pickle.Tuple) (any, error) {
	r, ok := args[0].(*ref)
	if !ok {
		return nil, pickle.Malformed("a tensor is copied from a %s", pickle.TypeName(args[0]))
	}
	if r.problem != "" {
		return r, nil
	}
	if d, ok := args[1].(*dtype); !ok || d != r.dtype {
		return nil, pickle.Refuse("a tensor of %s is converted to %s", r.dtype, pickle.TypeName(args[1]))
	}
	return r, nil
}

// rebuildFromType unwraps _rebuild_from_type_v2(function, class, args, state),
// by which tensors with attributes are saved.
func rebuildFromType(h *host, at int64, args pickle.Tuple) (any, error) {
	f, ok := args[0].(*function)
	if !ok || !f.rebuilds {
		return nil, pickle.Malformed("a tensor is rebuilt by a %s", pickle.TypeName(args[0]))
	}
	inner, ok := args[2].(pickle.Tuple)
	if !ok {
		return nil, pickle.Malformed("the arguments of %s are a %s", f, pickle.TypeName(args[2]))
	}
	return h.Call(at, f, inner)
}

// notRead is a function that returns a tensor with a problem. The error waits
// until the name of the tensor is known.
func notRead(name, problem string) *function {
	return &function{name: name, max: 1 << 10, rebuilds: true, call: func(h *host, at int64, _ pickle.Tuple) (any, error) {
		return &ref{at: h.base + at, problem: problem}, nil
	}}
}
