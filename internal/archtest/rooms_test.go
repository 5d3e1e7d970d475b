package archtest

// module is the path in go.mod.
const module = "ropewalk"

// A room is a package and what it may import beside the standard library. A path
// that ends in "/..." takes all folders below, too.
type room struct {
	path    string   // folder below the root
	own     []string // folders below the root
	modules []string // import paths of other modules
	why     string
}

// rooms go from the left of the picture to the right: a row can name only itself
// and rows above it. What tests import is their own business (but see front).
var rooms = []room{
	{
		path: "tensor",
		why:  "everything speaks the vocabulary, so it speaks of nothing else",
	},
	{
		path: "layout",
		own:  []string{"tensor"},
		why:  "a layout is made by readers of formats; it knows none of them",
	},
	{
		path: "quant",
		own:  []string{"tensor"},
		why:  "levels and symbols are chosen before it is known which file and coder they go to; costs come as a function",
	},
	{
		path: "internal/codec/...",
		own:  []string{"internal/codec/..."},
		why:  "a coder sees integers only, so that it can be tested and reused alone",
	},
	{
		path:    "internal/format/onnx",
		own:     []string{"tensor", "layout"},
		modules: []string{"google.golang.org/protobuf/encoding/protowire"},
		why:     "two generated ONNX descriptors in one program panic when it starts, so only protowire",
	},
	{
		path: "internal/format/torch/pickle",
		why:  "it runs a language of its own, and is safe because it can call nothing of ours",
	},
	{
		path: "internal/format/torch",
		own:  []string{"tensor", "layout", "internal/format/torch/pickle"},
		why:  "a format turns bytes into a layout; what becomes of it, and the other formats, are not its business",
	},
	{
		path: "internal/format/...",
		own:  []string{"tensor", "layout"},
		why:  "a format turns bytes into a layout; what becomes of it, and the other formats, are not its business",
	},
	{
		path: "internal/interrupt",
		why:  "how long to wait for a computation has nothing to do with what it computes",
	},
	{
		path:    "rope",
		own:     []string{"tensor", "layout", "internal/codec/...", "internal/interrupt"},
		modules: []string{"github.com/klauspost/compress/zstd"},
		why:     "the container takes any layout; a format that it knew would be one that it favours",
	},
	{
		path: "lossy",
		own:  []string{"tensor", "layout", "internal/interrupt", "quant", "rope"},
		why:  "quantizing a checkpoint needs its weights, and the prices of the coder that will store them",
	},
	{
		path:    "internal/mapped",
		own:     []string{"tensor"},
		modules: []string{"golang.org/x/sys/..."},
		why:     "a file in memory is data for a tensor, whatever the file holds",
	},
	{
		path:    "internal/filelock",
		modules: []string{"golang.org/x/sys/windows"},
		why:     "who is at work on a file has nothing to do with what the work is",
	},
	{
		path: "internal/atomicfile",
		own:  []string{"internal/filelock"},
		why:  "writing a file whole or not at all has nothing to do with what is in it",
	},
	{
		path: "checkpoint",
		own:  []string{"tensor", "layout", "internal/format/...", "internal/mapped", "rope"},
		why:  "it finds the format of a file and opens it; what verbs do with it comes later",
	},
	{
		path:    "internal/onnxcases",
		own:     []string{"tensor"},
		modules: []string{"google.golang.org/protobuf/encoding/protowire"},
		why:     "the cases of ONNX test what reads and computes networks, so they are read by something else",
	},
	{
		path:    "graph",
		own:     []string{"tensor", "layout", "internal/format/onnx"},
		modules: []string{"google.golang.org/protobuf/encoding/protowire"},
		why:     "a network is operators over tensors; it knows the one format that holds operators, and nothing that computes",
	},
	{
		path: "internal/nesting",
		why:  "how deep a text may be nested has nothing to do with what it says",
	},
	{
		path: "internal/nearest",
		why:  "what somebody meant to type is a question about words; what they name, each caller knows",
	},
	{
		path: "graph/nets",
		own:  []string{"tensor", "graph", "internal/nearest"},
		why:  "the networks of the papers are graphs; who trains them is not their business",
	},
	{
		path: "symmetry",
		own:  []string{"tensor", "graph"},
		why:  "which axes move together follows from a graph, or from names and shapes; what is done with it, its callers know",
	},
	{
		path:    "internal/randomnet",
		own:     []string{"tensor", "graph"},
		modules: []string{"pgregory.net/rapid"},
		why:     "tests of several packages draw the same networks; what they look for in them is theirs",
	},
	{
		path:    "internal/kernel/...",
		own:     []string{"internal/kernel/..."},
		modules: []string{"golang.org/x/sys/cpu"},
		why:     "kernels see slices of numbers only, so that each can be held against its portable version",
	},
	{
		path: "entropy",
		own:  []string{"tensor", "quant", "internal/kernel"},
		why:  "a penalty is a function of weights, in loops over them; what computes networks, and who trains them, is not its business",
	},
	{
		path: "internal/assignment",
		why:  "who goes with whom at which cost is a question about numbers; what they are costs of, each caller knows",
	},
	{
		path: "align",
		own:  []string{"tensor", "symmetry", "internal/assignment", "internal/kernel"},
		why:  "matching needs weights and which axes move together; files, and what may have been done to them, are its callers' business",
	},
	{
		path: "engine",
		own:  []string{"tensor", "graph"},
		why:  "the seam has no word of a backend in it",
	},
	{
		path: "engine/native",
		own:  []string{"tensor", "graph", "engine", "internal/kernel"},
		why:  "a backend knows the seam and its kernels; optimizers, penalties and data are its callers' business",
	},
	{
		path: "dataset",
		own:  []string{"tensor", "layout", "internal/format/npz", "internal/format/safetensors", "internal/mapped"},
		why:  "examples are numbers and labels, out of files that may hold arrays; no network is in them",
	},
	{
		path: "train",
		own:  []string{"tensor", "layout", "internal/kernel", "engine", "dataset", "internal/atomicfile", "internal/format/safetensors"},
		why:  "training drives any backend through the seam, and knows penalties by a two-method interface only; its snapshots are safetensors",
	},
	{
		path: "attack",
		own:  []string{"tensor", "quant", "graph", "symmetry", "engine", "train"},
		why:  "an attack works on tensors and on what moves together, and trains through the seam; files, and whether it is found out, are others' business",
	},
	{
		path: "compact",
		own:  []string{"tensor", "quant", "entropy", "rope", "graph", "engine", "train", "internal/kernel"},
		why:  "it is a hook and a penalty of a training, takes levels of any quantizer, and asks the coder for prices; data, backends and files are its caller's",
	},
	{
		path: "align/gauge",
		own:  []string{"tensor", "symmetry", "align"},
		why:  "what neurons were multiplied by is asked when it is known which they are; what it means is said by others",
	},
	{
		path:    "mark",
		own:     []string{"tensor", "symmetry", "align", "align/gauge"},
		modules: []string{"golang.org/x/crypto/scrypt"},
		why:     "a mark is numbers under a key, read after an alignment that knows nothing of it; files, training and verdicts' exit codes are its callers' business",
	},
	{
		path: "lineage",
		own:  []string{"tensor", "quant", "graph", "symmetry", "internal/assignment", "internal/kernel", "align", "align/gauge"},
		why:  "what became of a network is said of tensors and of who is who; files, exit codes and words for terminals are others' business",
	},
	{
		path: "lineage/passport",
		own:  []string{"tensor", "symmetry", "internal/kernel", "align", "lineage"},
		why:  "a passport is a file that stands for a reference; which files it is made of is its caller's business",
	},
	{
		path: "internal/report",
		why:  "it draws pages from plain numbers; where these come from is the verbs' business",
	},
	{
		path: "internal/bench/processor",
		why:  "it asks the system, for all benchmarks alike",
	},
	{
		path:    "internal/suite",
		own:     []string{"tensor", "checkpoint", "graph", "graph/nets", "symmetry", "align", "align/gauge", "engine", "engine/native", "dataset", "train", "attack", "compact", "mark", "internal/nesting", "internal/bench/processor"},
		modules: []string{"github.com/goccy/go-yaml/..."},
		why:     "a table is commands of the program, which its caller runs; what no command measures, it measures through the public packages",
	},
	{
		path:    "internal/cli",
		own:     []string{"tensor", "layout", "internal/filelock", "internal/atomicfile", "internal/nearest", "internal/nesting", "quant", "entropy", "rope", "lossy", "checkpoint", "graph", "graph/nets", "symmetry", "align", "align/gauge", "engine", "engine/native", "dataset", "train", "attack", "compact", "mark", "lineage", "lineage/passport", "internal/report", "internal/suite"},
		modules: []string{"github.com/spf13/cobra/...", "github.com/spf13/pflag", "golang.org/x/term", "github.com/goccy/go-yaml/..."},
		why:     "verbs go through the public packages: what the tool can do, a library user can do",
	},
	{
		path: "cmd/ropewalk",
		own:  []string{"internal/cli"},
		why:  "the program is ten lines",
	},
	{
		path: "internal/bench/rival",
		why:  "it runs programs and prints tables; what they are about, each benchmark knows",
	},
	{
		path: "internal/bench/pack",
		own:  []string{"tensor", "checkpoint", "internal/bench/rival"},
		why:  "it makes inputs, and measures the binary from outside, as it does the others",
	},
	{
		path: "internal/bench/codec",
		own:  []string{"tensor", "quant", "rope", "lossy", "checkpoint", "internal/codec/...", "internal/bench/rival"},
		why:  "it measures the coders alone, beside those of others; quantizers, in the files that they are for",
	},
	{
		path: "internal/bench/hemp",
		own:  []string{"tensor", "checkpoint", "dataset", "graph", "graph/nets", "engine", "engine/native", "train", "compact", "internal/bench/rival", "internal/bench/processor"},
		why:  "it has the binary train, as a user would, and reads what came out; what a step costs is measured inside",
	},
	{
		path: "internal/bench/engine",
		own:  []string{"tensor", "checkpoint", "graph", "graph/nets", "internal/kernel", "engine", "engine/native", "train", "internal/bench/processor"},
		why:  "it measures what users of the library get, beside other engines",
	},
	{
		path: "internal/bench/large",
		own:  []string{"tensor", "checkpoint", "symmetry", "align", "lineage", "lineage/passport", "internal/bench/rival", "internal/bench/processor"},
		why:  "it measures what users of the library get, on files that it makes",
	},
	{
		path: "internal/bench/mark",
		own:  []string{"tensor", "layout", "quant", "rope", "lossy", "checkpoint", "graph", "graph/nets", "symmetry", "align", "engine", "engine/native", "dataset", "train", "attack", "mark", "internal/bench/processor"},
		why:  "it measures what marks survive of all that attacks do, through the public packages",
	},
	{
		path: "internal/bench/lineage",
		own:  []string{"tensor", "checkpoint", "graph", "graph/nets", "symmetry", "align", "attack", "engine", "engine/native", "dataset", "train", "lineage", "lineage/passport", "internal/bench/rival", "internal/bench/processor"},
		why:  "it measures what users of the library get: what was done to networks is known, and has to be named",
	},
	{
		path: "internal/bench/align",
		own:  []string{"tensor", "checkpoint", "graph", "graph/nets", "symmetry", "align", "attack", "engine", "engine/native", "dataset", "train", "internal/bench/rival"},
		why:  "it measures what users of the library get: networks are attacked, and their neurons looked for",
	},
	{
		path: "internal/archtest",
		why:  "the judge has no friends",
	},
}

// front are the rooms that nobody imports, in tests neither: only a user starts them.
var front = []string{"cmd/...", "internal/cli", "internal/bench/pack", "internal/bench/codec", "internal/bench/engine", "internal/bench/large", "internal/bench/mark", "internal/bench/align", "internal/bench/hemp"}

// usher may import from the front.
const usher = "cmd/ropewalk"

// vague are names for folders that say nothing about what is in them.
var vague = []string{"base", "common", "core", "helper", "helpers", "lib", "misc", "shared", "types", "util", "utils"}
