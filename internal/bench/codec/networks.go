package main

import (
	"errors"
	"io/fs"
	"path/filepath"

	"ropewalk/checkpoint"
	"ropewalk/tensor"
)

// A network is a trained network whose weights the suite quantizes.
type network struct {
	name   string
	folder string // "data" or "models": which of the two folders holds the file
	file   string
	// weights is how many the recipe takes from it. Another number is another
	// suite, whose results compare with nobody's.
	weights int
}

var networks = []network{
	{"ResNet-20", "data", "resnet20_cifar10.safetensors", 268_336},
	{"ResNet-32", "data", "resnet32_cifar10.safetensors", 461_872},
	{"Silero", "models", "silero_vad_v5.onnx", 542_464},
	{"OCR-det", "models", "ch_PP-OCRv4_det_infer.onnx", 1_164_320},
	{"OCR-rec", "models", "ch_PP-OCRv4_rec_infer.onnx", 2_669_672},
}

// A matrix is a tensor of weights.
type matrix struct {
	name   string
	shape  []int64
	values []float32
}

// minElems is the least that counts as a matrix of weights; what is smaller
// would be stored as it is.
const minElems = 64

// open opens the file of the network; it is nil if that is not there.
func (n *network) open(c *config) (*checkpoint.Checkpoint, error) {
	folder := map[string]string{"data": c.data, "models": c.models}[n.folder]
	file, err := checkpoint.Open(filepath.Join(folder, n.file), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return file, err
}

// load returns the matrices of the network, or nil if its file is not there.
func (n *network) load(c *config) ([]matrix, error) {
	file, err := n.open(c)
	if file == nil || err != nil {
		return nil, err
	}
	defer file.Close()
	return matrices(file.Tensors)
}

// matrices returns the float32 tensors of two axes or more and at least
// [minElems] elements, in the order of the file.
func matrices(set *tensor.Set) ([]matrix, error) {
	var list []matrix
	for _, t := range set.All() {
		if t.DType != tensor.F32 || len(t.Shape) < 2 || t.Elems() < minElems {
			continue
		}
		raw, err := t.Bytes()
		if err != nil {
			return nil, err
		}
		list = append(list, matrix{t.Name, t.Shape, t.DType.AppendFloat32s(nil, raw)})
	}
	return list, nil
}
