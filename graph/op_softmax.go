package graph

import (
	"fmt"
	"math"

	"ropewalk/tensor"
)

// softmaxOps are the operators that make shares of the numbers along one axis, the
// last unless attribute axis says otherwise.
var softmaxOps = map[string]operator{
	"Softmax":    alongAxis(softmax),
	"LogSoftmax": alongAxis(logSoftmax),
	"Hardmax":    alongAxis(hardmax),
}

// alongAxis is an operator that replaces each line of floats along an axis.
func alongAxis(f func(line []float64)) operator {
	return operator{
		min: 1, max: 1,
		infer: func(_ *context, n *Node, in []*Operand) ([]Type, error) {
			r := read(n)
			axis := r.int("axis", -1)
			if r.err != nil {
				return nil, r.err
			}
			if d := in[0].Type.DType; kindOf(d) != kindFloat {
				return nil, fmt.Errorf("it is not defined for %s", d)
			}
			_, err := axisOf(axis, len(in[0].Type.Shape))
			return []Type{in[0].Type}, err
		},
		evaluate: func(c *context, n *Node, in []*Value) ([]*Value, error) {
			axis, err := axisOf(read(n).int("axis", -1), len(in[0].Shape))
			if err != nil {
				return nil, err
			}
			out := newValue(c.types[0])
			line := make([]float64, out.Shape[axis])
			eachLine(out.Shape, axis, func(at, stride int) {
				for i := range line {
					line[i] = in[0].Float[at+i*stride]
				}
				f(line)
				for i, x := range line {
					out.Float[at+i*stride] = x
				}
			})
			return []*Value{out}, nil
		},
	}
}

// eachLine calls f for each line along an axis, with the number of its first
// element and how far apart its elements are.
func eachLine(shape tensor.Shape, axis int, f func(at, stride int)) {
	if product(shape) == 0 {
		return // there may be a great many lines without elements
	}
	stride := product(shape[axis+1:])
	length := int(shape[axis])
	for outer := range product(shape[:axis]) {
		for inner := range stride {
			f(outer*length*stride+inner, stride)
		}
	}
}

func softmax(line []float64) {
	top := greatest(line)
	sum := 0.0
	for i, x := range line {
		line[i] = math.Exp(x - top)
		sum += line[i]
	}
	for i := range line {
		line[i] /= sum
	}
}

func logSoftmax(line []float64) {
	top := greatest(line)
	sum := 0.0
	for _, x := range line {
		sum += math.Exp(x - top)
	}
	log := math.Log(sum)
	for i, x := range line {
		line[i] = x - top - log
	}
}

// hardmax is one at the first of the greatest, zero elsewhere.
func hardmax(line []float64) {
	top := 0
	for i, x := range line {
		if x > line[top] {
			top = i
		}
	}
	for i := range line {
		line[i] = float64(truth(i == top))
	}
}

// greatest returns the greatest element, or minus infinity if there is none.
func greatest(line []float64) float64 {
	top := math.Inf(-1)
	for _, x := range line {
		top = math.Max(top, x)
	}
	return top
}
