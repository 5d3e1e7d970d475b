package graph

import (
	"fmt"
	"math"

	"ropewalk/tensor"
)

// blockOf returns attribute blocksize for an array of images.
func blockOf(n *Node, s tensor.Shape) (int64, error) {
	r := read(n)
	b := r.int("blocksize", 0)
	if mode := r.string("mode", "DCR"); mode != "DCR" && mode != "CRD" {
		r.fail("attribute mode is %q, want DCR or CRD", mode)
	}
	if b < 1 || b > 1<<20 {
		r.fail("attribute blocksize is %d", b)
	}
	if len(s) != 4 {
		r.fail("its input is %v, want four axes", s)
	}
	return b, r.err
}

func inferDepthToSpace(_ *context, n *Node, in []*Operand) ([]Type, error) {
	s := in[0].Type.Shape
	b, err := blockOf(n, s)
	if err != nil {
		return nil, err
	}
	if s[1]%(b*b) != 0 {
		return nil, fmt.Errorf("%d channels are no multiple of the %d of a block", s[1], b*b)
	}
	if max(s[2], s[3]) > math.MaxInt64/b {
		return nil, fmt.Errorf("%v is too large", s)
	}
	return []Type{{in[0].Type.DType, tensor.Shape{s[0], s[1] / (b * b), s[2] * b, s[3] * b}}}, nil
}

func evaluateDepthToSpace(c *context, n *Node, in []*Value) ([]*Value, error) {
	s := in[0].Shape
	b, err := blockOf(n, s)
	if err != nil {
		return nil, err
	}
	deep := tensor.Shape{s[0], b, b, s[1] / (b * b), s[2], s[3]}
	perm := []int{0, 3, 4, 1, 5, 2}
	if read(n).string("mode", "DCR") == "CRD" {
		deep = tensor.Shape{s[0], s[1] / (b * b), b, b, s[2], s[3]}
		perm = []int{0, 1, 4, 2, 5, 3}
	}
	return []*Value{transpose(in[0].reshaped(deep), perm).reshaped(c.types[0].Shape)}, nil
}

func inferSpaceToDepth(_ *context, n *Node, in []*Operand) ([]Type, error) {
	s := in[0].Type.Shape
	b, err := blockOf(n, s)
	if err != nil {
		return nil, err
	}
	if s[2]%b != 0 || s[3]%b != 0 {
		return nil, fmt.Errorf("%v does not divide into blocks of %d", s, b)
	}
	if s[1] > math.MaxInt64/(b*b) {
		return nil, fmt.Errorf("%v is too large", s)
	}
	return []Type{{in[0].Type.DType, tensor.Shape{s[0], s[1] * b * b, s[2] / b, s[3] / b}}}, nil
}

func evaluateSpaceToDepth(c *context, n *Node, in []*Value) ([]*Value, error) {
	s := in[0].Shape
	b, err := blockOf(n, s)
	if err != nil {
		return nil, err
	}
	flat := tensor.Shape{s[0], s[1], s[2] / b, b, s[3] / b, b}
	return []*Value{transpose(in[0].reshaped(flat), []int{0, 3, 5, 1, 2, 4}).reshaped(c.types[0].Shape)}, nil
}
