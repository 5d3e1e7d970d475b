package train_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ropewalk/tensor"
	"ropewalk/train"
)

// pictures are images whose pixels count up.
type pictures struct{ n, channels, height, width int64 }

func (p pictures) Len() int            { return int(p.n) }
func (p pictures) Shape() tensor.Shape { return tensor.Shape{p.channels, p.height, p.width} }
func (p pictures) Label(i int) int     { return i }

func (p pictures) Example(i int, dst []float32) error {
	for k := range dst {
		dst[k] = float32(100*i + k)
	}
	return nil
}

// Images are shown to a network in the order of axes that it wants.
func TestExamplesShapes(t *testing.T) {
	data := pictures{n: 3, channels: 2, height: 2, width: 3}
	batch := func(x *train.Examples) *train.Batch {
		for b, err := range x.Batches(t.Context(), train.Pass{Size: 2, First: 1}) {
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		t.Fatal("no batch")
		return nil
	}
	plain := batch(&train.Examples{Data: data})
	if in := plain.Inputs[0]; !in.Shape.Equal(tensor.Shape{1, 2, 2, 3}) || in.Float[0] != 200 || in.Float[11] != 211 || plain.Targets.Labels[0] != 2 {
		t.Errorf("%+v", plain)
	}
	last := batch(&train.Examples{Data: data, ChannelsLast: true}).Inputs[0]
	if !last.Shape.Equal(tensor.Shape{1, 2, 3, 2}) {
		t.Errorf("shape %v", last.Shape)
	}
	if d := cmp.Diff([]float32{200, 206, 201, 207, 202, 208, 203, 209, 204, 210, 205, 211}, last.Float); d != "" {
		t.Error(d)
	}
	flat := batch(&train.Examples{Data: data, Reshape: tensor.Shape{12}}).Inputs[0]
	if !flat.Shape.Equal(tensor.Shape{1, 12}) {
		t.Errorf("shape %v", flat.Shape)
	}
}
