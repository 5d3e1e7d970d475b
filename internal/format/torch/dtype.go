package torch

import "ropewalk/tensor"

// A dtype is an element type of PyTorch.
type dtype struct {
	name string
	// is says what it is here; empty if tensors of it are not read.
	is tensor.DType
	// perByte is 2 where what PyTorch counts as one element is a byte with
	// two values; else it is 0.
	perByte int64
}

func (d *dtype) String() string { return d.name }

// width returns the bytes of what PyTorch counts as an element of a type that
// is read.
func (d *dtype) width() int64 {
	if d.perByte != 0 {
		return 1
	}
	return int64(d.is.Bits() / 8)
}

// dtypes are all names below torch that stand for an element type.
var dtypes = makeDTypes()

func makeDTypes() map[string]*dtype {
	m := make(map[string]*dtype, len(dtypeNames)+1)
	for name, is := range dtypeNames {
		m[name] = &dtype{name: "torch." + name, is: is}
	}
	m["float4_e2m1fn_x2"] = &dtype{name: "torch.float4_e2m1fn_x2", is: tensor.F4, perByte: 2}
	return m
}

// dtypeNames pairs the names with ours. Those with an empty one have no
// counterpart, or mean nothing without the parameters of a quantizer.
var dtypeNames = map[string]tensor.DType{
	"float64": tensor.F64, "float32": tensor.F32, "float16": tensor.F16, "bfloat16": tensor.BF16,
	"float8_e4m3fn": tensor.F8E4M3, "float8_e5m2": tensor.F8E5M2,
	"float8_e4m3fnuz": tensor.F8E4M3Z, "float8_e5m2fnuz": tensor.F8E5M2Z,
	"float8_e8m0fnu": tensor.F8E8M0,
	"int64":          tensor.I64, "int32": tensor.I32, "int16": tensor.I16, "int8": tensor.I8,
	"uint64": tensor.U64, "uint32": tensor.U32, "uint16": tensor.U16, "uint8": tensor.U8,
	"bool": tensor.Bool, "complex64": tensor.C64, "complex128": tensor.C128,

	"complex32": "", "bcomplex32": "",
	"qint8": "", "quint8": "", "qint32": "", "quint4x2": "", "quint2x4": "",
	"bits8": "", "bits16": "", "bits1x8": "", "bits2x4": "", "bits4x2": "",
	"int1": "", "int2": "", "int3": "", "int4": "", "int5": "", "int6": "", "int7": "",
	"uint1": "", "uint2": "", "uint3": "", "uint4": "", "uint5": "", "uint6": "", "uint7": "",
}

// A storageType is the type of a storage, which is that of its tensors; an
// untyped one leaves the type to each tensor.
type storageType struct {
	name  string
	dtype *dtype // nil if untyped
}

func (s *storageType) String() string { return s.name }

// storageNames are the storages below torch, by the type of their elements.
var storageNames = map[string]string{
	"DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
	"BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
	"ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
	"BoolStorage": "bool", "ComplexDoubleStorage": "complex128", "ComplexFloatStorage": "complex64",
	"QInt8Storage": "qint8", "QUInt8Storage": "quint8", "QInt32Storage": "qint32",
	"QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4",
}
