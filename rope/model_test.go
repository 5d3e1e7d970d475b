package rope

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"ropewalk/internal/codec/mix"
	"ropewalk/layout"
	"ropewalk/tensor"
)

// A proto is a message of protobuf, with arrays in it.
type proto struct {
	b      []byte
	arrays []layout.Array
}

func (p *proto) number(field, v uint64) *proto {
	p.b = binary.AppendUvarint(binary.AppendUvarint(p.b, field<<3), v)
	return p
}

func (p *proto) text(field uint64, s string) *proto {
	p.b = appendString(binary.AppendUvarint(p.b, field<<3|2), s)
	return p
}

func (p *proto) message(field uint64, in *proto) *proto {
	p.b = binary.AppendUvarint(binary.AppendUvarint(p.b, field<<3|2), uint64(len(in.b)))
	for _, a := range in.arrays {
		a.Offset += int64(len(p.b))
		p.arrays = append(p.arrays, a)
	}
	p.b = append(p.b, in.b...)
	return p
}

// values puts an array of F32 into the message: raw_data of a TensorProto.
func (p *proto) values(name string, shape tensor.Shape, b []byte) *proto {
	p.b = binary.AppendUvarint(binary.AppendUvarint(p.b, 9<<3|2), uint64(len(b)))
	p.arrays = append(p.arrays, layout.Array{Name: name, DType: tensor.F32, Shape: shape, Offset: int64(len(p.b)), Size: int64(len(b))})
	p.b = append(p.b, b...)
	return p
}

// layout returns the layout of a file that is this message.
func (p *proto) layout() *layout.Layout {
	l := &layout.Layout{Format: "onnx", Arrays: p.arrays, Files: []layout.File{{Name: "model.onnx", Data: tensor.Bytes(p.b)}}}
	for i, a := range p.arrays {
		l.Views = append(l.Views, layout.View{Name: a.Name, DType: a.DType, Shape: a.Shape, Array: i})
	}
	return l
}

func protoNode(op, name string, inputs []string, output string, attributes ...*proto) *proto {
	p := &proto{}
	for _, in := range inputs {
		p.text(1, in)
	}
	p.text(2, output).text(3, name).text(4, op)
	for _, a := range attributes {
		p.message(5, a)
	}
	return p
}

func protoTensor(name string, values []byte, shape ...int64) *proto {
	p := &proto{}
	for _, n := range shape {
		p.number(1, uint64(n))
	}
	return p.number(2, 1).text(8, name).values(name, shape, values)
}

func protoValue(name string, axes ...uint64) *proto {
	shape := &proto{}
	for _, n := range axes {
		shape.message(1, (&proto{}).number(1, n))
	}
	return (&proto{}).text(1, name).message(2, (&proto{}).message(1, (&proto{}).number(1, 1).message(2, shape)))
}

// modelProto is a model with what a description leaves out, and with tensors that it
// cannot foresee: in an attribute, with the name first, empty, of typed numbers.
func modelProto() *proto {
	w, v := lloyd(gauss(1, 30, 40), 3), lloyd(gauss(2, 10, 30), 3)
	graph := &proto{}
	graph.message(1, protoNode("Constant", "/shape", nil, "/shape_output_0", (&proto{}).text(1, "value").message(5, protoTensor("", lloyd(gauss(3, 1, 40), 3), 40)).number(20, 4)))
	graph.message(1, protoNode("Add", "/Add", []string{"pixels", "/shape_output_0"}, "/Add_output_0"))
	alpha := (&proto{}).text(1, "alpha")
	alpha.b = append(alpha.b, 2<<3|5, 0, 0, 0x80, 0x3f)
	transB := (&proto{}).text(1, "transB").number(3, 1).number(20, 2)
	graph.message(1, protoNode("Gemm", "/stem/Gemm", []string{"/Add_output_0", "stem.weight", "stem.bias"}, "/stem/Gemm_output_0", alpha.number(20, 1), transB))
	graph.message(1, protoNode("Relu", "relu", []string{"/stem/Gemm_output_0"}, "relu_out"))
	graph.message(1, protoNode("Gemm", "last", []string{"relu_out", "last.weight", "none", "last.bias"}, "scores", transB))
	graph.text(2, "graph")
	graph.message(5, protoTensor("stem.weight", w, 30, 40))
	graph.message(5, protoTensor("stem.bias", lloyd(gauss(4, 1, 30), 3), 30))
	graph.message(5, (&proto{}).text(8, "last.weight").number(1, 10).number(1, 30).number(2, 1).values("last.weight", tensor.Shape{10, 30}, v))
	graph.message(5, protoTensor("none", nil, 0))
	graph.message(5, (&proto{}).number(1, 2).number(2, 7).text(7, "\x01\x28").text(8, "sizes"))
	graph.message(5, protoTensor("last.bias", lloyd(gauss(5, 1, 10), 2), 10))
	graph.message(11, protoValue("pixels", 1, 40)).message(12, protoValue("scores", 1, 10))
	return (&proto{}).number(1, 8).text(2, "stranger").message(7, graph).
		message(8, (&proto{}).text(1, "").number(2, 17)).message(14, (&proto{}).text(1, "classes").text(2, "ten"))
}

func model() *layout.Layout { return modelProto().layout() }

func TestModel(t *testing.T) {
	l := model()
	for _, long := range []bool{false, true} {
		f, packed := pack(t, l, &Options{Effort: Max, long: long})
		checkRestored(t, f, l)
		if !bytes.HasPrefix(f.header.append(), []byte{featureModel}) {
			t.Errorf("long form %t: the skeleton is not that of a model", long)
		}
		if !long && packed[len(MagicShort)] != knownModel {
			t.Errorf("network %d", packed[len(MagicShort)])
		}
	}
}

// What a description cannot say is stored as it is.
func TestModelInline(t *testing.T) {
	for name, change := range map[string]func(p *proto){
		"length longer than needed": func(p *proto) { p.b = append(p.b, 8<<3|2, 0x80, 0) },
		"length beyond the end":     func(p *proto) { p.b = append(p.b, 8<<3|2, 5) },
		"group":                     func(p *proto) { p.b = append(p.b, 9<<3|3) },
		"field 0":                   func(p *proto) { p.b = append(p.b, 2, 0) },
		"cut":                       func(p *proto) { p.b = p.b[:len(p.b)-1] },
		"array in a string":         func(p *proto) { p.message(20, protoTensor("inside", gauss(1, 1, 3), 3)) },
		"long":                      func(p *proto) { p.text(6, strings.Repeat("a description ", 5000)) },
	} {
		t.Run(name, func(t *testing.T) {
			p := modelProto()
			change(p)
			l := p.layout()
			f, _ := pack(t, l, &Options{Effort: Max})
			checkRestored(t, f, l)
			if f.header.describeModel() != nil {
				t.Error("it was described")
			}
		})
	}
}

// A file is checked with the header that it has, also if that says of a skeleton what
// could be left out: so do those that were written before models were described.
func TestShortHeaderAsItIs(t *testing.T) {
	l := model()
	l.Format = "other"
	f, packed := pack(t, l, &Options{Effort: Max})
	r := &wireReader{b: packed[len(MagicShort)+1 : len(packed)-checkSize]}
	text := make([]byte, r.uint("length", mix.MaxText))
	if err := mix.DecodeText(text, r.bytes("text", r.uint("length", 1<<20)), nil); err != nil {
		t.Fatal(err)
	}
	rest := &wireReader{b: text}
	content := rest.bytes("header", rest.uint("length", mix.MaxText))
	content = bytes.Replace(content, []byte("\x05other"), []byte("\x04onnx"), 1)
	text = append(appendString(nil, string(content)), rest.b...)
	coded := mix.AppendText(nil, text, nil)
	b := binary.AppendUvarint(append([]byte(MagicShort), 0), uint64(len(text)))
	b = append(appendString(b, string(coded)), r.b...)
	b = append(b, shortCheck(f.longRoot(appendFrame(nil, coderRaw, content)), b)...)
	back, err := Open("m.rope", tensor.Bytes(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	checkRestored(t, back, l)
	if back.header.describeModel() == nil {
		t.Error("the skeleton could not be described, so nothing was tested")
	}
}

func TestHostileModel(t *testing.T) {
	h := &header{layout: &layout.Layout{Format: "onnx", Files: []layout.File{{Name: "m"}}}, fileSizes: []int64{0}}
	h.layout.Arrays = []layout.Array{{Name: strings.Repeat("n", 1000), DType: "opaque", Size: 1 << 60}, {Name: "b", DType: "opaque", Size: 1<<63 - 1}}
	graph := "\x3a" // of a model
	node := graph + "\x0a"
	for name, s := range map[string]string{
		"empty":               "",
		"no end":              "\x08\x08",
		"arrays left over":    "\x00",
		"1 in a graph":        graph + "\x01\x00\x00",
		"2 in a model":        "\x02\x01\x00",
		"an array too many":   graph + "\x02\x01\x02\x01\x02\x01\x00\x00",
		"an array too large":  graph + "\x2a\x01\x00\x2a\x01\x00\x00\x00",
		"names of no array":   node + "\x03\x03\x03\x00\x00\x00",
		"name longer":         node + "\x12\x02ab\x05\x03\x00\x00\x00",
		"6":                   "\x06\x00",
		"wire type 3":         "\x0b\x00",
		"string beyond":       "\x12\x7fab",
		"number beyond":       "\x0d\x00",
		"large key":           "\x88\x80\x80\x80\x80\x01\x00\x00",
		"outputs without end": node + "\x12\x80\x40" + strings.Repeat("x", 1<<13) + strings.Repeat("\x04", 1<<15) + "\x00\x00\x00",
		"deep":                strings.Repeat(graph, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			r := &wireReader{b: []byte(s)}
			if h.parseModel(r); r.err == nil {
				t.Error("no error")
			}
		})
	}
	h.layout.Format = "npz"
	r := &wireReader{b: []byte{0}}
	if h.parseModel(r); !errors.Is(r.err, errDescribe) {
		t.Errorf("another format: %v", r.err)
	}
}

// FuzzModel gives arbitrary descriptions to their reader, and what it makes of them
// to their writer.
func FuzzModel(f *testing.F) {
	file, _ := pack(f, model(), &Options{Effort: Max})
	f.Add(file.header.describeModel())
	arrays, files := file.header.layout.Arrays, file.header.layout.Files
	f.Fuzz(func(t *testing.T, b []byte) {
		l := &layout.Layout{Format: formatONNX, Arrays: slices.Clone(arrays), Files: files}
		h := &header{layout: l, fileSizes: []int64{0}}
		r := &wireReader{b: b}
		if h.parseModel(r); r.err != nil {
			return
		}
		if h.measure(); h.skelSize != int64(len(h.skeleton)) || h.skelSize > maxInline {
			t.Fatalf("a skeleton of %d bytes, want %d", len(h.skeleton), h.skelSize)
		}
		end := int64(0)
		for _, a := range l.Arrays {
			if a.Offset < end {
				t.Fatalf("array %q is at %d, and the one before ends at %d", a.Name, a.Offset, end)
			}
			end = a.Offset + a.Size
		}
		if end > h.fileSizes[0] {
			t.Fatalf("arrays end at %d, the file at %d", end, h.fileSizes[0])
		}
		if len(r.b) == 0 && h.describeModel() == nil {
			t.Error("what was read is not written")
		}
	})
}
