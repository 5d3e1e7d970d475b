package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ropewalk/tensor"
)

// An opCase is an operator with operands, and what it gives for them by hand. The case
// stands under the name of the operator, which may have more words behind it.
type opCase struct {
	name string
	with Attributes
	in   []*Value
	want []*Value
}

// opCases are all cases, by family.
func opCases() []opCase {
	return slices.Concat(elementwiseCases(), logicCases(), activationCases(), shapeCases(), moveCases(), castCases(), reduceCases(),
		matmulCases(), convCases(), poolCases(), normCases(), gatherCases(), sortCases(), constantCases(), randomCases(), resizeCases(),
		recurrentCases(), controlCases(), quantizeCases(), lossCases(), detectCases(), signalCases(), textCases())
}

func (c opCase) node() *Node {
	op, _, _ := strings.Cut(c.name, " ")
	n := &Node{Name: "n", Op: op, Attributes: c.with}
	if n.Attributes == nil {
		n.Attributes = Attributes{}
	}
	for i, v := range c.in {
		name := fmt.Sprintf("in%d", i)
		if v == nil {
			name = ""
		}
		n.Inputs = append(n.Inputs, name)
	}
	for i := range c.want {
		n.Outputs = append(n.Outputs, fmt.Sprintf("out%d", i))
	}
	return n
}

func testContext() *context {
	return newContext(func(name string) (*Operand, error) { return nil, fmt.Errorf("no value %q", name) }, newBudget(&EvaluateOptions{}))
}

var nearly = cmp.Options{cmpopts.EquateApprox(1e-5, 1e-7), cmpopts.EquateNaNs(), cmpopts.EquateEmpty()}

// Each operator gives what it does by hand, leaves its operands alone, and its types
// are those that are inferred, also where the values of its operands are not known.
func TestOperators(t *testing.T) {
	for _, tt := range opCases() {
		t.Run(tt.name, func(t *testing.T) {
			n := tt.node()
			before := make([]*Value, len(tt.in))
			for i, v := range tt.in {
				if v != nil {
					if err := v.check(); err != nil {
						t.Fatalf("input %d: %v", i, err)
					}
					before[i] = v.clone()
				}
			}
			got, err := testContext().apply(n, tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got, nearly); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(before, tt.in, nearly); d != "" {
				t.Errorf("the operands have changed: %s", d)
			}
			known := operandsOf(tt.in)
			blind := make([]*Operand, len(known))
			for i, o := range known {
				if o != nil {
					blind[i] = &Operand{Type: o.Type}
				}
			}
			for _, in := range [][]*Operand{known, blind} {
				out, err := testContext().know(n, in, 1<<20)
				if _, needed := errors.AsType[*neededError](err); needed {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				for i, o := range out {
					if !o.Type.equal(tt.want[i].typ()) {
						t.Errorf("output %d is inferred to be %v, want %v", i, o.Type, tt.want[i].typ())
					}
				}
			}
		})
	}
}

// There is a case for every operator.
func TestOperatorsAreTested(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range opCases() {
		tested[operatorName(c.node())] = true
	}
	for _, name := range Operators() {
		if !tested[name] {
			t.Errorf("%s has no case", name)
		}
	}
}

// Each of these operands or attributes is refused, with a reason.
func TestOperatorErrors(t *testing.T) {
	x22 := floats(tensor.Shape{2, 2}, 1, 2, 3, 4)
	image := floats(tensor.Shape{1, 1, 2, 2}, 1, 2, 3, 4)
	for _, tt := range []struct {
		c    opCase
		want string
	}{
		{opCase{"Add", nil, []*Value{x22}, nil}, "input 1 is missing"},
		{opCase{"Add", nil, []*Value{x22, x22, x22}, nil}, "it has 3 inputs, want at most 2"},
		{opCase{"Add", nil, []*Value{x22, floats(tensor.Shape{3}, 1, 2, 3)}, nil}, "do not broadcast"},
		{opCase{"Add", nil, []*Value{x22, ints(tensor.Shape{2}, 1, 2)}, nil}, "input 0 is F32 and input 1 is I64"},
		{opCase{"Add", nil, []*Value{truths(tensor.Shape{}, 1), truths(tensor.Shape{}, 1)}, nil}, "not defined for BOOL"},
		{opCase{"Mod", nil, []*Value{x22, x22}, nil}, "fmod = 1"},
		{opCase{"And", nil, []*Value{x22, x22}, nil}, "not defined for F32"},
		{opCase{"LeakyRelu", Attributes{"alpha": "x"}, []*Value{x22}, nil}, "attribute alpha is of type string, want float64"},
		{opCase{"Gelu", Attributes{"approximate": "erf"}, []*Value{x22}, nil}, "want none or tanh"},
		{opCase{"Softmax", Attributes{"axis": int64(2)}, []*Value{x22}, nil}, "axis 2 is outside of the 2 axes"},
		{opCase{"Reshape", nil, []*Value{x22, ints(tensor.Shape{1}, 3)}, nil}, "cannot be reshaped"},
		{opCase{"Reshape", nil, []*Value{x22, ints(tensor.Shape{2}, -1, -1)}, nil}, "-1 twice"},
		{opCase{"Reshape", nil, []*Value{x22, ints(tensor.Shape{3}, 1<<40, 1<<40, 1)}, nil}, "more than 2^62"},
		{opCase{"Squeeze", nil, []*Value{x22, ints(tensor.Shape{1}, 0)}, nil}, "it is not 1"},
		{opCase{"Unsqueeze", nil, []*Value{x22, ints(tensor.Shape{2}, 0, 0)}, nil}, "named twice"},
		{opCase{"Transpose", Attributes{"perm": []int64{0, 0}}, []*Value{x22}, nil}, "named twice"},
		{opCase{"Concat", Attributes{"axis": int64(0)}, []*Value{x22, image}, nil}, "cannot be joined"},
		{opCase{"Split", Attributes{"axis": int64(0)}, []*Value{x22, ints(tensor.Shape{2}, 1, 2)}, nil}, "cannot be cut"},
		{opCase{"Slice", nil, []*Value{x22, ints(tensor.Shape{1}, 0), ints(tensor.Shape{1}, 1), nil, ints(tensor.Shape{1}, 0)}, nil}, "step 0"},
		{opCase{"Expand", nil, []*Value{x22, ints(tensor.Shape{2}, 1<<31, 1<<31)}, nil}, "do not broadcast"},
		{opCase{"Tile", nil, []*Value{x22, ints(tensor.Shape{2}, 1<<30, 1<<30)}, []*Value{x22}}, "more memory"},
		{opCase{"ConstantOfShape", nil, []*Value{ints(tensor.Shape{1}, 1<<40)}, []*Value{x22}}, "more memory"},
		{opCase{"Cast", Attributes{"to": int64(14)}, []*Value{x22}, nil}, "data type 14"},
		{opCase{"MatMul", nil, []*Value{x22, floats(tensor.Shape{3}, 1, 2, 3)}, nil}, "2 columns and 3 rows"},
		{opCase{"Gemm", nil, []*Value{x22, x22, image}, nil}, "does not broadcast"},
		{opCase{"Einsum", Attributes{"equation": "ij,jk->ix"}, []*Value{x22, x22}, nil}, "axis x of the result"},
		{opCase{"Conv", Attributes{"group": int64(2)}, []*Value{image, image}, nil}, "do not fit 1 channels"},
		{opCase{"Conv", nil, []*Value{image, floats(tensor.Shape{1, 1, 3, 3}, 1, 2, 3, 4, 5, 6, 7, 8, 9)}, nil}, "a kernel of 3 does not fit"},
		{opCase{"Conv", Attributes{"pads": []int64{1}}, []*Value{image, image}, nil}, "attribute pads has 1 numbers"},
		{opCase{"MaxPool", nil, []*Value{image}, nil}, "attribute kernel_shape is missing"},
		{opCase{"AveragePool", Attributes{"kernel_shape": []int64{1 << 24, 1 << 24}, "pads": []int64{1 << 23, 1 << 23, 1 << 23, 1 << 23}}, []*Value{image}, []*Value{image}}, "more work"},
		{opCase{"BatchNormalization", nil, []*Value{image, floats(tensor.Shape{2}, 1, 2), image, image, image}, nil}, "the scale is 2"},
		{opCase{"GroupNormalization", Attributes{"num_groups": int64(3)}, []*Value{image, floats(tensor.Shape{1}, 1), floats(tensor.Shape{1}, 1)}, nil}, "1 channels do not divide into 3 groups"},
		{opCase{"Gather", nil, []*Value{x22, ints(tensor.Shape{1}, 2)}, []*Value{x22}}, "index 2 is outside of an axis of 2"},
		{opCase{"TopK", nil, []*Value{x22, ints(tensor.Shape{1}, 3)}, nil}, "3 elements are wanted of an axis of 2"},
		{opCase{"Range", nil, []*Value{ints(tensor.Shape{}, 0), ints(tensor.Shape{}, 1), ints(tensor.Shape{}, 0)}, nil}, "step is zero"},
		{opCase{"Resize", nil, []*Value{image, nil, nil, nil}, nil}, "either scales or sizes"},
		{opCase{"LSTM", nil, []*Value{image, image, image}, nil}, "want three axes"},
		{opCase{"QuantizeLinear", nil, []*Value{x22, floats(tensor.Shape{3}, 1, 2, 3)}, nil}, "want one for each of 2 places"},
		{opCase{"SoftmaxCrossEntropyLoss", nil, []*Value{x22, ints(tensor.Shape{2}, 0, 5)}, []*Value{x22}}, "label 5 at 1 is outside of 2 classes"},
		{opCase{"Dropout", nil, []*Value{x22, floats(tensor.Shape{}, 1)}, nil}, "a share of 1 cannot be dropped"},
		{opCase{"If", nil, []*Value{truths(tensor.Shape{}, 1)}, nil}, "attribute else_branch is missing"},
		{opCase{"Loop", Attributes{"body": endless()}, []*Value{nil, truths(tensor.Shape{}, 1)}, nil}, "more work"},
		{opCase{"Nonsense", nil, nil, nil}, "operator Nonsense is not known"},
	} {
		c := testContext()
		if tt.c.name == "Loop" {
			c.budget.steps = 1 << 20
		}
		_, err := c.apply(tt.c.node(), tt.c.in)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.c.name, err, tt.want)
		}
	}
}

// endless is the body of a loop that goes on as long as it may.
func endless() *Graph {
	return &Graph{
		Inputs:  []Input{{Name: "turn"}, {Name: "on"}},
		Outputs: []string{"on2"},
		Nodes:   []*Node{{Name: "again", Op: "Identity", Inputs: []string{"on"}, Outputs: []string{"on2"}}},
	}
}
