package onnx

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/tensor"
)

// Values of TensorProto.DataType that need a name.
const (
	typeUndefined = 0
	typeString    = 8
)

// dataTypes are the values of TensorProto.DataType, each with the typed field
// that holds it where raw_data does not. Types without a typed field are opaque:
// package tensor does not know how many bits they have.
var dataTypes = [...]struct {
	dtype tensor.DType
	store protowire.Number
}{
	1:  {tensor.F32, tensorFloat},
	2:  {tensor.U8, tensorInt32},
	3:  {tensor.I8, tensorInt32},
	4:  {tensor.U16, tensorInt32},
	5:  {tensor.I16, tensorInt32},
	6:  {tensor.I32, tensorInt32},
	7:  {tensor.I64, tensorInt64},
	9:  {tensor.Bool, tensorInt32},
	10: {tensor.F16, tensorInt32},
	11: {tensor.F64, tensorDouble},
	12: {tensor.U32, tensorUint64},
	13: {tensor.U64, tensorUint64},
	14: {tensor.C64, tensorFloat},
	15: {tensor.C128, tensorDouble},
	16: {tensor.BF16, tensorInt32},
	17: {tensor.F8E4M3, tensorInt32},
	18: {tensor.F8E4M3Z, tensorInt32},
	19: {tensor.F8E5M2, tensorInt32},
	20: {tensor.F8E5M2Z, tensorInt32},
	21: {tensor.U4, tensorInt32},
	22: {tensor.I4, tensorInt32},
	23: {tensor.F4, tensorInt32},
	24: {tensor.F8E8M0, tensorInt32},
	25: {"UINT2", 0},
	26: {"INT2", 0},
	27: {tensor.F6E2M3, tensorInt32},
	28: {tensor.F6E3M2, tensorInt32},
}

// opaquePrefix begins the names of types that are newer than the table.
const opaquePrefix = "ONNX_"

// dtypeOf returns the element type of a TensorProto.DataType.
func dtypeOf(t int32) tensor.DType {
	if t >= 0 && int(t) < len(dataTypes) && dataTypes[t].dtype != "" {
		return dataTypes[t].dtype
	}
	return tensor.DType(opaquePrefix + strconv.Itoa(int(t)))
}

// numberOf is the inverse of dtypeOf.
func numberOf(d tensor.DType) (int32, error) {
	for i, t := range dataTypes {
		if t.dtype == d && d != "" {
			return int32(i), nil
		}
	}
	if s, ok := strings.CutPrefix(string(d), opaquePrefix); ok {
		if n, err := strconv.ParseInt(s, 10, 32); err == nil && n > 0 && dtypeOf(int32(n)) == d {
			return int32(n), nil
		}
	}
	return 0, fmt.Errorf("onnx: no data type for %q", d)
}

// storeOf returns the typed field for a type, or 0.
func storeOf(t int32) protowire.Number {
	if t < 0 || int(t) >= len(dataTypes) {
		return 0
	}
	return dataTypes[t].store
}

// entries returns how many numbers a typed field has for n elements: complex
// numbers take two, and two elements of four bits share one.
func entries(d tensor.DType, n int64) int64 {
	switch d {
	case tensor.C64, tensor.C128:
		return 2 * n // n is at most 2^62 / 64 where this is called
	case tensor.U4, tensor.I4, tensor.F4:
		return (n + 1) / 2
	}
	return n
}

// limits returns the least and greatest entry of int32_data for a type, as
// sign-extended numbers. Floats and four-bit pairs are bit patterns, without
// sign. int8 and int16 may be either: the reference reader looks at the low bits
// only, so writers that store the bit pattern of -1 go unnoticed.
func limits(d tensor.DType) (lo, hi int64) {
	switch d {
	case tensor.Bool:
		return 0, 1
	case tensor.F6E2M3, tensor.F6E3M2:
		return 0, 1<<6 - 1
	case tensor.I8:
		return math.MinInt8, math.MaxUint8
	case tensor.I16:
		return math.MinInt16, math.MaxUint16
	case tensor.I32:
		return math.MinInt32, math.MaxInt32
	case tensor.U16, tensor.F16, tensor.BF16:
		return 0, math.MaxUint16
	}
	return 0, math.MaxUint8
}
