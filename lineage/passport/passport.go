package passport

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"ropewalk/align"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// Version is that of the format that is written, and the newest that is read.
const Version = 1

// A Passport is what is kept of a network.
type Passport struct {
	Name     string            // of the network, or ""
	Metadata map[string]string // whatever its maker wants to say
	Files    map[string]string // SHA-256 of the network's files, in hex, by base name; may be empty
	Numbers  int               // sums of a neuron's sketch in large groups
	Seed     uint64            // of the signs, see align.SketchSigns
	Spec     *symmetry.Spec
	Tensors  []Tensor
	Groups   []Group // as those of Spec

	Signature *Signature // nil: nobody signed it
	body      []byte     // as it was read or made, without its signature
}

// A Tensor is what is kept of a tensor.
type Tensor struct {
	Name   string
	DType  tensor.DType
	Shape  tensor.Shape
	SHA256 [32]byte // of its bytes
	// Unordered are two sums over the bits of all elements, which do not depend on their
	// order: equal for tensors that have the same elements. Nothing is proven by them.
	Unordered [2]uint64
	Moments
}

// Moments are what the numbers of a tensor are like; all zero for types that are not
// [tensor.DType.Numeric].
type Moments struct {
	Sum, Squares   float64
	Least, Largest float64
	Zeros          uint64
	Levels         int // how many values it has, 0 if more than 65536; counted for all types
}

// A Group is what is kept of a group of neurons, at each of its places.
type Group struct{ Places []Place }

// A Place is what is kept of the neurons of a group at one place.
type Place struct {
	// Numbers is how many sums a neuron has, at most as many as numbers there; 0 if nothing
	// is kept.
	Numbers int
	// Values are the numbers themselves, where each neuron has one.
	Values []float32
	// Else: Sums (neurons, Numbers) are in units of the neuron's step, which is its length
	// times 2^(exponent/8 - 20). Whole (Numbers) is the sum of the sketches of all neurons,
	// with a sign each.
	Lengths   []float32
	Exponents []uint8
	Sums      []int8
	Whole     []float32
}

// Digest returns the SHA-256 of all that the passport says: what its signature is of, and
// what to have time-stamped. It is the same with and without a signature.
func (p *Passport) Digest() [32]byte { return sha256.Sum256(p.body) }

// Bytes returns the passport as a file.
func (p *Passport) Bytes() []byte { return p.appendSignature(slices.Clone(p.body)) }

// Tensor returns what is kept of the tensor of that name, or nil.
func (p *Passport) Tensor(name string) *Tensor {
	for i := range p.Tensors {
		if p.Tensors[i].Name == name {
			return &p.Tensors[i]
		}
	}
	return nil
}

// Neurons returns how many neurons all groups have.
func (p *Passport) Neurons() int {
	n := 0
	for i := range p.Spec.Groups {
		n += p.Spec.Groups[i].Size
	}
	return n
}

// Elements returns how many numbers all tensors have.
func (p *Passport) Elements() int64 {
	var n int64
	for i := range p.Tensors {
		k, _ := p.Tensors[i].Shape.Elems() // checked when it was made or read
		n += k
	}
	return n
}

// Sketches returns what align compares a suspect with. Whole tensors that can be exchanged,
// as experts, are taken to be in their places.
func (p *Passport) Sketches() (*align.Sketches, error) {
	spec, err := align.FromSymmetry(p.Spec)
	if err != nil {
		return nil, err
	}
	k := &align.Sketches{Spec: &align.Spec{Classes: spec.Classes}, Shapes: map[string][]int{}, Seed: p.Seed}
	for i := range p.Tensors {
		dims := []int{}
		for _, d := range p.Tensors[i].Shape {
			dims = append(dims, int(d))
		}
		k.Shapes[p.Tensors[i].Name] = dims
	}
	for i := range p.Spec.Groups {
		g := &p.Spec.Groups[i]
		if slices.ContainsFunc(g.Places, func(q symmetry.Place) bool { return q.Tensors != nil }) {
			continue
		}
		var places []align.PlaceSketch
		for j := range g.Places {
			own := &p.Groups[i].Places[j]
			dim, err := p.dim(&g.Places[j])
			if err != nil {
				return nil, err
			}
			places = append(places, align.PlaceSketch{Dim: dim, Numbers: own.Numbers, Values: own.Values, Sums: own.Sums, Steps: own.steps(), Lengths: own.Lengths})
		}
		k.Places = append(k.Places, places)
	}
	return k, nil
}

// dim returns how many numbers a neuron has at a place.
func (p *Passport) dim(place *symmetry.Place) (int, error) {
	t := p.Tensor(place.Tensor)
	if t == nil || place.Axis >= len(t.Shape) {
		return 0, fmt.Errorf("passport: there is no axis %d of a tensor %s", place.Axis, place.Tensor)
	}
	return dimOf(t.Shape, place), nil
}

func dimOf(shape tensor.Shape, place *symmetry.Place) int {
	dim := place.Run
	for k, d := range shape {
		if k != place.Axis {
			dim *= int(d)
		}
	}
	return dim
}

// steps returns the units of sums.
func (p *Place) steps() []float32 {
	out := make([]float32, len(p.Exponents))
	for i, e := range p.Exponents {
		out[i] = float32(stepOf(p.Lengths[i], e))
	}
	return out
}
