// Package onnxcases reads the test cases of operators that come with ONNX: folders
// with a model, and inputs with the outputs that it has for them.
//
//	node/test_relu/model.onnx
//	node/test_relu/test_data_set_0/input_0.pb    a TensorProto
//	node/test_relu/test_data_set_0/output_0.pb
//
// It is for tests: it believes what it reads.
package onnxcases

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"ropewalk/tensor"
)

// Root returns the folder that environment variable ROPEWALK_ONNX_CASES names, or the
// one of Debian's package libonnx-testdata.
func Root() string {
	if dir := os.Getenv("ROPEWALK_ONNX_CASES"); dir != "" {
		return dir
	}
	return "/usr/share/libonnx-testdata/data"
}

// A Case is a folder with a model.
type Case struct {
	Name string // "node/test_relu"
	Dir  string
}

// A Set is a test of a model.
type Set struct {
	Inputs, Outputs []Array
}

// An Array is an input or output: a tensor, or text.
type Array struct {
	Name   string
	Shape  tensor.Shape
	Tensor *tensor.Tensor // nil for text
	Text   []string
}

// All returns the cases below root, sorted by name.
func All(root string) ([]Case, error) {
	models, err := filepath.Glob(filepath.Join(root, "*", "*", "model.onnx"))
	if err != nil {
		return nil, err
	}
	cases := make([]Case, len(models))
	for i, m := range models {
		dir := filepath.Dir(m)
		cases[i] = Case{filepath.Base(filepath.Dir(dir)) + "/" + filepath.Base(dir), dir}
	}
	slices.SortFunc(cases, func(a, b Case) int { return strings.Compare(a.Name, b.Name) })
	return cases, nil
}

// Model returns the path of the model.
func (c Case) Model() string { return filepath.Join(c.Dir, "model.onnx") }

// Sets reads the inputs and outputs.
func (c Case) Sets() ([]Set, error) {
	dirs, err := filepath.Glob(filepath.Join(c.Dir, "test_data_set_*"))
	if err != nil {
		return nil, err
	}
	var sets []Set
	for _, dir := range dirs {
		var s Set
		if s.Inputs, err = arrays(dir, "input"); err != nil {
			return nil, err
		}
		if s.Outputs, err = arrays(dir, "output"); err != nil {
			return nil, err
		}
		sets = append(sets, s)
	}
	return sets, nil
}

func arrays(dir, kind string) ([]Array, error) {
	var list []Array
	for i := 0; ; i++ {
		path := filepath.Join(dir, fmt.Sprintf("%s_%d.pb", kind, i))
		raw, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		a, err := parse(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		list = append(list, a)
	}
}

// dataTypes are the numbers of TensorProto.DataType.
var dataTypes = map[uint64]tensor.DType{
	1: tensor.F32, 2: tensor.U8, 3: tensor.I8, 4: tensor.U16, 5: tensor.I16, 6: tensor.I32, 7: tensor.I64,
	9: tensor.Bool, 10: tensor.F16, 11: tensor.F64, 12: tensor.U32, 13: tensor.U64, 16: tensor.BF16, 21: tensor.U4, 22: tensor.I4,
}

// parse reads a TensorProto. A SequenceProto or OptionalProto is an error.
func parse(raw []byte) (Array, error) {
	a := Array{Shape: tensor.Shape{}}
	var number uint64
	var data []byte
	var numbers []uint64 // bits of elements that are stored one by one
	for len(raw) > 0 {
		field, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return a, protowire.ParseError(n)
		}
		raw = raw[n:]
		var value []byte
		var scalar uint64
		switch kind {
		case protowire.VarintType:
			scalar, n = protowire.ConsumeVarint(raw)
		case protowire.Fixed32Type:
			var x uint32
			x, n = protowire.ConsumeFixed32(raw)
			scalar = uint64(x)
		case protowire.Fixed64Type:
			scalar, n = protowire.ConsumeFixed64(raw)
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(raw)
		default:
			return a, fmt.Errorf("wire type %d of field %d", kind, field)
		}
		if n < 0 {
			return a, protowire.ParseError(n)
		}
		raw = raw[n:]
		list := []uint64{scalar}
		if kind == protowire.BytesType {
			list = nil
		}
		switch field {
		case 1: // dims
			for kind == protowire.BytesType && len(value) > 0 {
				x, n := protowire.ConsumeVarint(value)
				if n < 0 {
					return a, protowire.ParseError(n)
				}
				list, value = append(list, x), value[n:]
			}
			for _, x := range list {
				a.Shape = append(a.Shape, int64(x))
			}
		case 2:
			number = scalar
		case 4: // float_data
			for ; len(value) >= 4; value = value[4:] {
				list = append(list, uint64(binary.LittleEndian.Uint32(value)))
			}
			numbers = append(numbers, list...)
		case 5, 7, 11: // int32_data, int64_data, uint64_data
			for len(value) > 0 {
				x, n := protowire.ConsumeVarint(value)
				if n < 0 {
					return a, protowire.ParseError(n)
				}
				list, value = append(list, x), value[n:]
			}
			numbers = append(numbers, list...)
		case 6: // string_data
			a.Text = append(a.Text, string(value))
		case 8:
			a.Name = string(value)
		case 9:
			data = value
		case 10: // double_data
			for ; len(value) >= 8; value = value[8:] {
				list = append(list, binary.LittleEndian.Uint64(value))
			}
			numbers = append(numbers, list...)
		}
	}
	if number == 8 {
		if a.Text == nil {
			a.Text = []string{}
		}
		return a, nil
	}
	d, ok := dataTypes[number]
	if !ok {
		return a, fmt.Errorf("no tensor of a known type (type %d)", number)
	}
	for _, x := range numbers { // of four bits, there are two in one number
		switch d.Bits() {
		case 4, 8:
			data = append(data, byte(x))
		case 16:
			data = binary.LittleEndian.AppendUint16(data, uint16(x))
		case 32:
			data = binary.LittleEndian.AppendUint32(data, uint32(x))
		case 64:
			data = binary.LittleEndian.AppendUint64(data, x)
		}
	}
	size, err := a.Shape.Size(d)
	if err != nil || size != int64(len(data)) || size > math.MaxInt32 {
		return a, fmt.Errorf("%s %v has %d bytes", d, a.Shape, len(data))
	}
	a.Tensor = &tensor.Tensor{Name: a.Name, DType: d, Shape: a.Shape, Data: tensor.Bytes(data)}
	return a, nil
}
