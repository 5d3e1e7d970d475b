package rope

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"ropewalk/layout"
	"ropewalk/tensor"
)

// The networks that the short form knows by number (docs/FORMAT.md, section 12):
// what a file of one of them would say is an example for the model that codes what
// this file says.

// knownNets are their names; 0 is none. New ones come last.
var knownNets = [...]string{1: "lenet-300-100", "lenet5", "resnet20", "resnet32", "resnet44", "resnet56", "lenet5-relu", knownModel: "an ONNX model"}

// knownModel is the number of models of ONNX: their example has no tensors of its
// own, but what such models say.
const knownModel = 8

// mayBe reports whether a file of this header may be known network k of these widths.
func (h *header) mayBe(k int, widths []int64) bool {
	switch k {
	case 0:
		return true
	case knownModel:
		return h.layout.Format == formatONNX
	}
	return len(knownArrays(k, widths)) == len(h.arrays)
}

// A knownArray is a tensor of a known network.
type knownArray struct {
	name  string
	shape tensor.Shape
}

// knownWidths names the layers of known networks whose numbers of units are stored:
// what trains networks to be small takes units out.
var knownWidths = [len(knownNets)][]string{1: {"fc1", "fc2"}, 2: {"conv1", "conv2", "fc1"}, 7: {"conv1", "conv2", "fc1"}}

// maxWidth bounds those numbers.
const maxWidth = 1 << 16

// widthsOf returns the numbers of units of a network that may be known network k.
func widthsOf(k int, l *layout.Layout) ([]int64, bool) {
	var widths []int64
	for _, name := range knownWidths[k] {
		i := slices.IndexFunc(l.Arrays, func(a layout.Array) bool { return a.Name == name+".bias" && len(a.Shape) == 1 })
		if i < 0 || l.Arrays[i].Shape[0] < 1 || l.Arrays[i].Shape[0] > maxWidth {
			return nil, false
		}
		widths = append(widths, l.Arrays[i].Shape[0])
	}
	return widths, true
}

// knownArrays returns the tensors of known network k, sorted by name. Widths are those
// of knownWidths.
func knownArrays(k int, widths []int64) []knownArray {
	var all []knownArray
	add := func(name string, shape ...int64) { all = append(all, knownArray{name, shape}) }
	layer := func(name string, shape ...int64) {
		add(name+".weight", shape...)
		add(name+".bias", shape[0])
	}
	norm := func(name string, n int64) {
		for _, part := range []string{".weight", ".bias", ".running_mean", ".running_var"} {
			add(name+part, n)
		}
	}
	switch knownNets[k] {
	case "lenet-300-100":
		layer("fc1", widths[0], 784)
		layer("fc2", widths[1], widths[0])
		layer("fc3", 10, widths[1])
	case "lenet5", "lenet5-relu":
		layer("conv1", widths[0], 1, 5, 5)
		layer("conv2", widths[1], widths[0], 5, 5)
		layer("fc1", widths[2], 16*widths[1])
		layer("fc2", 10, widths[2])
	default: // resnet6n+2
		depth := map[string]int{"resnet20": 20, "resnet32": 32, "resnet44": 44, "resnet56": 56}[knownNets[k]]
		add("conv1.weight", 16, 3, 3, 3)
		norm("bn1", 16)
		in := int64(16)
		for stage := range 3 {
			out := int64(16) << stage
			for block := range (depth - 2) / 6 {
				name := fmt.Sprintf("layer%d.%d.", stage+1, block)
				add(name+"conv1.weight", out, in, 3, 3)
				norm(name+"bn1", out)
				add(name+"conv2.weight", out, out, 3, 3)
				norm(name+"bn2", out)
				in = out
			}
		}
		layer("linear", 10, 64)
	}
	slices.SortFunc(all, func(a, b knownArray) int { return strings.Compare(a.name, b.name) })
	return all
}

// knownText is the example for known network k; empty for 0.
func knownText(k int, widths []int64) []byte {
	switch k {
	case 0:
		return nil
	case knownModel:
		return modelExample()
	}
	h, books := knownHeader(k, widths)
	content := h.append()
	t := append(binary.AppendUvarint(nil, uint64(len(content))), content...)
	t = append(binary.AppendUvarint(t, uint64(len(books))), books...)
	return append(t, 1, byte(coderLevels))
}

// knownHeader returns the header of a file of known network k that is in one group,
// and the codebooks of one that has three levels in each array.
func knownHeader(k int, widths []int64) (h *header, books []byte) {
	l := &layout.Layout{
		Format: formatSafetensors, Metadata: []layout.Pair{{Key: "ropewalk.net", Value: knownNets[k]}},
		Files: []layout.File{{Name: "model.safetensors"}},
	}
	h = &header{blockValues: DefaultBlockValues, layout: l, groups: []group{{}}}
	at, values := int64(0), int64(0)
	for i, a := range knownArrays(k, widths) {
		size, err := a.shape.Size(tensor.F32)
		if err != nil {
			panic(err) // they are known
		}
		l.Arrays = append(l.Arrays, layout.Array{Name: a.name, DType: tensor.F32, Shape: a.shape, Offset: at, Size: size})
		l.Views = append(l.Views, layout.View{Name: a.name, DType: tensor.F32, Shape: a.shape, Array: i})
		h.groups[0].members = append(h.groups[0].members, i)
		at, values = at+size, values+size/4
		books = append(books, 4, formHalf|formSymmetric, 0, 0x2c) // -1/16, 0, 1/16
	}
	if values > DefaultBlockValues {
		h.blockValues = smallNet
	}
	h.arrays = make([]array, len(l.Arrays))
	text, err := h.skeletonText(maxDescribed)
	if err != nil {
		panic(err)
	}
	h.skelSize = int64(8 + (len(text)+7)/8*8)
	for i := range l.Arrays {
		l.Arrays[i].Offset += h.skelSize
	}
	h.fileSizes = []int64{h.skelSize + at}
	h.skeleton = binary.LittleEndian.AppendUint64(nil, uint64(h.skelSize-8))
	h.skeleton = append(append(h.skeleton, text...), strings.Repeat(" ", int(h.skelSize)-8-len(text))...)
	return h, books
}
