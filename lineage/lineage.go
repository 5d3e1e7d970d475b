package lineage

import (
	"ropewalk/align"
	"ropewalk/graph"
	"ropewalk/symmetry"
	"ropewalk/tensor"
)

// A Network is one side of a comparison.
type Network struct {
	Set *tensor.Set
	// Spec says what can move in it; only that of the reference is looked at. Nil is nothing.
	Spec *symmetry.Spec
	// Graph computes it, with the tensors of Set for weights; nil if that is not known.
	Graph *graph.Graph
	// Files are the SHA-256 digests of its files, in hex, by base name; nil is not known.
	Files map[string]string
	// Metadata is what its container says beside tensors.
	Metadata map[string]string
}

// Options say how to compare. Nil and the zero value are the default.
type Options struct {
	Threads int
	// Memory is as in [align.NetworkOptions].
	Memory int64
	// Run computes networks; nil is [symmetry.Evaluate].
	Run symmetry.Runner
	// Inputs are values to run on, by name; those that are missing are drawn.
	Inputs map[string]*graph.Value
	// Seed is that of inputs that are drawn, and of the order in which the suspect is
	// looked at.
	Seed uint64
	// Progress is called when a part of the work begins, with its name; nil is not.
	Progress func(part string)
}

// A Verdict is a rung of the ladder: see the package comment.
type Verdict string

// The rungs, from strongest to weakest.
const (
	Identical     Verdict = "identical"
	SameWeights   Verdict = "same weights"
	Reordered     Verdict = "reordered"
	Rescaled      Verdict = "rescaled"
	Reencoded     Verdict = "re-encoded"
	Pruned        Verdict = "pruned"
	Modified      Verdict = "modified"
	PartlyDerived Verdict = "partly derived"
	Unrelated     Verdict = "unrelated"
)

// Verdicts lists the rungs, from strongest to weakest.
func Verdicts() []Verdict {
	return []Verdict{Identical, SameWeights, Reordered, Rescaled, Reencoded, Pruned, Modified, PartlyDerived, Unrelated}
}

// A Kind is a way to change a network.
type Kind string

// The kinds of changes. The comment says which fields of [Change] they use.
const (
	Container     Kind = "container"       // other files or format, the same tensors
	Metadata      Kind = "metadata"        // what the container says beside tensors: Names
	Renamed       Kind = "renamed"         // tensors have other names: Names
	AddedTensors  Kind = "tensors added"   // Names
	MissingTensor Kind = "tensors missing" // Names
	OtherShapes   Kind = "other shapes"    // that added and removed neurons don't explain: Names
	Reorder       Kind = "reordered"       // Neurons, Names are groups
	Rescale       Kind = "rescaled"        // neurons multiplied, undone elsewhere: Neurons, Names are groups
	SignFlip      Kind = "sign-flipped"    // the same by -1
	Padding       Kind = "padded"          // dummy neurons: Neurons, Names are groups
	Removal       Kind = "neurons removed" // Neurons, Share, Names are groups
	Cast          Kind = "cast"            // DType
	Quantize      Kind = "quantized"       // Levels, Bits, Scope, Grid
	Prune         Kind = "pruned"          // Share, Scope
	Noise         Kind = "noise"           // Strength
	Training      Kind = "trained further" // Strength
	Shifted       Kind = "weights changed" // in a way that has no name: Strength, Names are tensors
	Merge         Kind = "merged"          // Share of the reference's weights in the sum
	Edited        Kind = "edited"          // places that were changed by hand: Comparison.Edits
	Partial       Kind = "partly derived"  // Share of neurons, Names are groups
)

// A Change is something that was done to the reference, as far as it can be seen.
type Change struct {
	Kind Kind   `json:"kind"`
	Text string `json:"text"` // in words: "pruned 90 %"
	// Preserves says that it leaves the function as it was, by what it is.
	Preserves bool     `json:"preserves_function"`
	Names     []string `json:"names,omitempty"`    // of tensors or groups
	Neurons   int      `json:"neurons,omitempty"`  // how many
	Share     float64  `json:"share,omitempty"`    // 0 to 1
	Levels    int      `json:"levels,omitempty"`   // most of any tensor or channel
	Bits      float64  `json:"bits,omitempty"`     // log2 of Levels, rounded up
	Scope     string   `json:"scope,omitempty"`    // tensor, channel, network, weights, neurons …
	Grid      string   `json:"grid,omitempty"`     // uniform or not uniform
	DType     string   `json:"dtype,omitempty"`    // of the values
	Strength  float64  `json:"strength,omitempty"` // standard deviation of the difference, as a share of that of the weights
}

// A TensorDifference is what became of one tensor, in the order of the reference and
// with factors taken back.
type TensorDifference struct {
	Name string `json:"name"`
	// Equal says that all bits are, and Rounding that what differs is explained by rounding of factors.
	Equal    bool  `json:"equal"`
	Rounding bool  `json:"rounding,omitempty"`
	Elements int64 `json:"elements"`
	Changed  int64 `json:"changed"` // elements, by more than rounding
	// Largest is the largest difference, and At its index in the reference's order,
	// row-major; OwnAt is where it is in the suspect's file.
	Largest float64 `json:"largest,omitempty"`
	At      []int   `json:"at,omitempty"`
	OwnAt   []int   `json:"own_at,omitempty"`
	// Relative is the standard deviation of the difference over that of the reference's
	// values, and Slope what the reference is multiplied by in the best fit of the suspect by it.
	Relative float64 `json:"relative,omitempty"`
	Slope    float64 `json:"slope,omitempty"`
	// Zeros is the share of zeros among what is not zero in the reference.
	Zeros float64 `json:"zeros,omitempty"`
	// Levels is how many values the suspect's tensor has, 0 if more than 65536; RowLevels the most of
	// any output channel; ReferenceLevels those of the reference's tensor.
	Levels          int    `json:"levels,omitempty"`
	RowLevels       int    `json:"row_levels,omitempty"`
	ReferenceLevels int    `json:"reference_levels,omitempty"`
	DType           string `json:"dtype"`           // of the suspect's
	ReferenceDType  string `json:"reference_dtype"` // of the reference's
}

// A GroupDifference is what became of the neurons of a group.
type GroupDifference struct {
	Name     string `json:"name"`
	Neurons  int    `json:"neurons"` // of the reference
	Suspect  int    `json:"suspect"` // of the suspect
	Moved    int    `json:"moved"`
	Rescaled int    `json:"rescaled"`          // in magnitude
	Flipped  int    `json:"flipped"`           // in sign
	Certain  int    `json:"certain"`           // whose partner is known with a certainty of 0.99
	Removed  []int  `json:"removed,omitempty"` // of the reference, that the suspect has not
	Added    int    `json:"added,omitempty"`   // of the suspect, that the reference has not
	// Lost are neurons of the reference that the suspect has, but it is not known where: as
	// many of the suspect's are none of the reference's that is known, nor a known kind of dummy.
	Lost []int `json:"lost,omitempty"`
	// Cosines are those of all weights of each neuron of the reference with those of its
	// partner, with the order of all others taken back, 0 for none.
	Cosines []float64 `json:"cosines,omitempty"`
	// Strangers are neurons that resemble their partner no more than chance, where others
	// of the group do.
	Strangers []int `json:"strangers,omitempty"`
	// unlike are those that may just as well have another partner, among neurons that were added.
	unlike []int
}

// An Edit is a place that differs where most of its surroundings do not.
type Edit struct {
	// What is the kind: weight, norm (of a neuron's weights, with the direction kept), sign, bias,
	// scale (of a norm), statistic, column (of the next layer), swapped, copied, row (other), tensor.
	What   string `json:"what"`
	Text   string `json:"text"` // in words
	Tensor string `json:"tensor"`
	// OwnTensor is the suspect's name of the tensor, if it is another: experts change places.
	OwnTensor string `json:"own_tensor,omitempty"`
	Group     string `json:"group,omitempty"`
	Neuron    int    `json:"neuron"`          // of the reference; -1 if it is none's
	Other     int    `json:"other,omitempty"` // neuron that it was swapped with, or whose copy it is
	// Index is where it is in the order of the reference, and Own where in the suspect's
	// file; -1 on axes along which all numbers are meant.
	Index []int `json:"index,omitempty"`
	Own   []int `json:"own,omitempty"`
	// Factor is what numbers were multiplied by, if they were.
	Factor float64 `json:"factor,omitempty"`
	// Size is the largest difference, ULPs in units of the last place for a single float
	// that is compared bit for bit.
	Size float64 `json:"size"`
	ULPs int64   `json:"ulps,omitempty"`
	// Same says whether the function stays the same, as far as weights tell: yes, nearly (but for
	// an epsilon), no or unknown.
	Same string `json:"same_function"`
}

// A Function is what is known of whether the two compute the same.
type Function struct {
	// Same is yes, no or unknown.
	Same string `json:"same"`
	// How says in words how that is known: by the weights, or by running both.
	How string `json:"how"`
	// Differences are those of outputs, if both were run.
	Differences []symmetry.Difference `json:"differences,omitempty"`
}

// A Comparison is what two networks are to each other.
type Comparison struct {
	Verdict  Verdict  `json:"verdict"`
	Changes  []Change `json:"changes,omitempty"` // in the order in which they are named
	Function Function `json:"function"`
	// InPlace is why neurons are taken to be in their own places, if no search for their order
	// ended in certainty.
	InPlace *FixedPoints `json:"in_place,omitempty"`
	// Canonical is the SHA-256 of both in canonical order, in hex, if these are equal: see [Canonical].
	Canonical string             `json:"canonical,omitempty"`
	Groups    []GroupDifference  `json:"groups,omitempty"`
	Tensors   []TensorDifference `json:"tensors,omitempty"`
	Edits     []Edit             `json:"edits,omitempty"`       // the largest 1000
	Edited    int                `json:"edits_total,omitempty"` // how many there are
	Evidence  *Evidence          `json:"evidence,omitempty"`    // nil if it was not asked for
	// Match is which neuron is which; nil if it was not looked for.
	Match *align.NetworkResult `json:"-"`
	// Restored is the suspect in the order of the reference, with factors taken back:
	// what Tensors is about; nil if there is no match.
	Restored *tensor.Set `json:"-"`
}
