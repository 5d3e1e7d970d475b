package main

import "slices"

// The data that a user has folders of; other names are ropewalk's own.
const (
	mnist   = "mnist"
	fashion = "fashion"
	cifar   = "cifar"
)

// A row is one setting, which is run with several seeds.
type row struct {
	name  string // also of files
	table string
	what  string // for the page
	net   string
	data  string
	start string // of starts; "" is new weights
	args  string // of ropewalk train, beside net, data, seed and penalty
	pack  string // of ropewalk pack, which then takes the floats in the place of training
	// bytes and error are the target, 0 if there is none.
	bytes int64
	error float64
}

// Augmentation. A network of 2 KB has no room for pictures that nobody will show it:
// more of it costs more bytes than it saves.
const (
	mild   = " --shift 0.0357 --scale 0.05 --rotate 4.3"
	strong = " --shift 0.0714 --scale 0.1 --rotate 8.6"
	flips  = " --shift 0.0357 --flip"
)

// split keeps the validation data apart: 5,001 of the 60,000 images.
const split = " --validation 0.08333"

// starts are the options with which floats are trained that rows begin with.
var starts = map[string]string{
	"float300":       split + " --optimizer adam --rate 0.001 --batch 128 --schedule cosine --hold 0.3 --epochs 50" + strong,
	"float300-plain": split + " --optimizer adam --rate 0.001 --batch 128 --schedule cosine --hold 0.3 --epochs 20",
	"float300-sgd":   split + " --optimizer sgd --momentum 0.9 --decay 1e-4 --rate 0.1 --batch 128 --schedule cosine --hold 0.3 --epochs 30",
	"float5":         split + " --optimizer adam --rate 0.001 --batch 128 --schedule cosine --hold 0.3 --epochs 8" + mild,
	"float5-plain":   split + " --optimizer adam --rate 0.001 --batch 128 --schedule cosine --hold 0.3 --epochs 6",
	"fashion300":     split + " --optimizer adam --rate 0.001 --batch 128 --schedule cosine --hold 0.3 --epochs 25" + flips,
	"fashion5":       split + " --optimizer adam --rate 0.001 --batch 128 --schedule cosine --hold 0.3 --epochs 12" + flips,
	"builtin5":       " --optimizer adam --rate 0.002 --batch 64 --epochs 2",
	"tuned20":        " --weights $given/resnet20_cifar10.safetensors" + tuned,
	"tuned32":        " --weights $given/resnet32_cifar10.safetensors" + tuned,
}

// once are starts that take so long that runs of all seeds begin with those of seed 0.
var once = []string{"tuned20", "tuned32"}

// given stands in options for the folder of networks that were trained before.
const given = "$given"

// crops are the data of the ResNets.
const crops = " --normalise imagenet --validation 0.1 --crop 4 --flip"

// published is, beside the levels, HEMP as published for them. Far larger lambdas take the accuracy (81 % of the
// validation data at 4, chance at 20) and hardly any bytes.
const published = " --order 2 --lambda 0.5 --pull 0.01 --optimizer sgd --rate 0.05 --schedule cosine --batch 128 --epochs 10"

// tuned trains those on the images as they are here, JPEG.
const tuned = crops + " --epochs 8 --batch 128 --rate 0.02 --momentum 0.9 --nesterov --decay 1e-4 --schedule cosine"

const (
	lenet300 = "lenet-300-100"
	lenet5   = "lenet5-relu"
	caffe5   = "lenet5"
)

// The tables of the page, in their order.
const (
	targets   = "Targets"
	onFashion = "Fashion-MNIST"
	paperMode = "HEMP as published"
	ablation  = "What does it: LeNet-300-100 at about 3,000 bytes"
	synergy   = "Together with pruning and packing"
	residual  = "ResNets on CIFAR-10"
	works     = "It works"
)

var tables = []string{targets, onFashion, residual, paperMode, ablation, synergy, works}

// notes stand below the heads of tables.
var notes = map[string]string{
	targets:   "LeNet-5 has 20 and 50 channels, 500 units, and a ReLU after each layer but the last, as most papers have it; Caffe's own has one.",
	onFashion: "The target is an error at most one point above that of the floats.",
	residual:  "The weights that were given, fine-tuned in floats (once: all seeds begin with these), then trained with levels; as published; or packed with loss (`pack`). The floats' validation data was in the training data of those weights.",
	paperMode: "`--method paper`, 4 levels, no augmentation, equal epochs. The first target is for 45 KB by xz.",
	ablation: "Each row changes what the one above it has, but for those that say what they are beside. All but those of `--method paper` are steered to 3,000 bytes by `--target-size`, " +
		"so that errors are at matched bytes. No augmentation; 40 epochs, those as published 15 from floats that suit them.",
	synergy: "`--prune` takes the smallest weights of each tensor out; by sensitivity, after a part of training in floats in which weights that the loss does not depend on shrink (`--shrink`), as in LOBSTER. `ropewalk pack` with its own rate-distortion optimisation comes last: see the row.",
}

const (
	a60 = split + " --epochs 60"
	a40 = split + " --epochs 40"
	a20 = split + " --epochs 20"
	p15 = split + " --method paper --optimizer sgd --rate 0.2 --schedule cosine --batch 100 --epochs 15"
)

// residuals are the rows of a ResNet for CIFAR-10 of so many layers.
func residuals(layers string) []row {
	of := func(name, what, args, pack string) row {
		return row{name: "r" + layers + name, table: residual, what: "ResNet-" + layers + what, net: "resnet" + layers, data: cifar, start: "tuned" + layers, args: args, pack: pack}
	}
	const levels = crops + " --epochs 10 --batch 128 --rate 0.001 --lambda "
	return []row{
		of("", "", levels+"5e-6", ""),
		of("-goal", ", thirty times smaller", levels+"7.2e-6", ""),
		of("-small", ", smaller", levels+"15e-6", ""),
		of("-paper", ", as published, 8 levels, n = 2", crops+" --method paper --levels 8"+published, ""),
		of("-paper-16", ", as published, 16 levels, n = 2", crops+" --method paper --levels 16"+published, ""),
		of("-pack-4", ", packed", "", "--bits 4"),
		of("-pack-35", ", packed", "", "--bits 3.5"),
		of("-pack-3", ", packed", "", "--bits 3"),
	}
}

var allRows = slices.Concat(lenets, residuals("20"), residuals("32"))

var lenets = []row{
	{name: "l300-19", table: targets, what: "LeNet-300-100", net: lenet300, data: mnist, start: "float300", args: a60 + mild + " --lambda 15e-6", bytes: 2900, error: 1.9},
	{name: "l300-goal", table: targets, what: "LeNet-300-100, longer", net: lenet300, data: mnist, start: "float300", args: split + " --epochs 100" + mild + " --lambda 16e-6", bytes: 2048, error: 1.9},
	{name: "l300-16", table: targets, what: "LeNet-300-100", net: lenet300, data: mnist, start: "float300", args: a60 + mild + " --lambda 9e-6", bytes: 3200, error: 1.6},
	{name: "l300-16-goal", table: targets, what: "LeNet-300-100, longer", net: lenet300, data: mnist, start: "float300", args: split + " --epochs 120" + mild + " --lambda 11e-6", bytes: 2500, error: 1.6},
	{name: "l300-plain", table: targets, what: "LeNet-300-100, no augmentation", net: lenet300, data: mnist, start: "float300-plain", args: a60 + " --lambda 6e-6", bytes: 3500, error: 1.9},
	{name: "l300-plain-goal", table: targets, what: "LeNet-300-100, no augmentation, longer", net: lenet300, data: mnist, start: "float300-sgd", args: split + " --epochs 120 --smoothing 0.05 --lambda 7.5e-6", bytes: 2800, error: 1.9},
	{name: "l5-10", table: targets, what: "LeNet-5", net: lenet5, data: mnist, start: "float5", args: a20 + mild + " --lambda 14e-6", bytes: 1700, error: 1.0},
	{name: "l5-09", table: targets, what: "LeNet-5", net: lenet5, data: mnist, start: "float5", args: a20 + mild + " --lambda 9e-6", bytes: 2100, error: 0.9},
	{name: "l5-goal", table: targets, what: "LeNet-5", net: lenet5, data: mnist, start: "float5", args: split + " --epochs 30" + mild + " --lambda 17.5e-6", bytes: 1273, error: 1.0},
	{name: "l5-caffe", table: targets, what: "LeNet-5 with one ReLU, as Caffe's", net: caffe5, data: mnist, start: "float5", args: a20 + mild + " --lambda 10e-6", bytes: 1700, error: 1.0},

	{name: "f300", table: onFashion, what: "LeNet-300-100", net: lenet300, data: fashion, start: "fashion300", args: split + " --epochs 40" + flips + " --lambda 4e-6"},
	{name: "f5", table: onFashion, what: "LeNet-5", net: lenet5, data: fashion, start: "fashion5", args: split + " --epochs 16" + flips + " --lambda 2.5e-6"},

	{name: "paper-1", table: paperMode, what: "n = 1", net: lenet300, data: mnist, start: "float300-sgd", args: p15 + " --order 1 --lambda 0.5 --pull 0.01"},
	{name: "paper-2", table: paperMode, what: "n = 2", net: lenet300, data: mnist, start: "float300-sgd", args: p15 + " --order 2 --lambda 0.35 --pull 0.01", bytes: 45000, error: 2.3},
	{name: "paper-3", table: paperMode, what: "n = 3", net: lenet300, data: mnist, start: "float300-sgd", args: p15 + " --order 3 --lambda 0.25 --pull 0.01"},

	{name: "abl-paper", table: ablation, what: "as published: 4 levels, n = 2", net: lenet300, data: mnist, start: "float300-sgd", args: p15 + " --order 2 --lambda 0.35 --pull 0.01"},
	{name: "abl-zero", table: ablation, what: "3 levels, the middle one near zero", net: lenet300, data: mnist, start: "float300-sgd", args: p15 + " --order 2 --lambda 0.35 --pull 0.01 --levels 3"},
	{name: "abl-straight", table: ablation, what: "exact zero, straight-through, levels fixed, one pmf for the network by blocks of 2", net: lenet300, data: mnist, start: "float300-plain", args: a40 + " --model blocks --order 2 --fixed-levels --target-size 3000"},
	{name: "abl-blocks-1", table: ablation, what: "levels learned; blocks of 1", net: lenet300, data: mnist, start: "float300-plain", args: a40 + " --model blocks --order 1 --target-size 3000"},
	{name: "abl-blocks-2", table: ablation, what: "beside: blocks of 2", net: lenet300, data: mnist, start: "float300-plain", args: a40 + " --model blocks --order 2 --target-size 3000"},
	{name: "abl-blocks-4", table: ablation, what: "beside: blocks of 4", net: lenet300, data: mnist, start: "float300-plain", args: a40 + " --model blocks --order 4 --target-size 3000"},
	{name: "abl-tensor", table: ablation, what: "a pmf for each tensor", net: lenet300, data: mnist, start: "float300-plain", args: a40 + " --model tensor --target-size 3000"},
	{name: "abl-rowcol", table: ablation, what: "row by column", net: lenet300, data: mnist, start: "float300-plain", args: a40 + " --model row-column --target-size 3000"},
	{name: "abl-default", table: ablation, what: "columns learn from neighbours: the default", net: lenet300, data: mnist, start: "float300-plain", args: a40 + " --target-size 3000"},
	{name: "abl-restless", table: ablation, what: "beside: weights do not come to rest", net: lenet300, data: mnist, start: "float300-plain", args: a40 + " --restless --target-size 3000"},
	{name: "abl-fixed", table: ablation, what: "beside: the default with fixed levels", net: lenet300, data: mnist, start: "float300-plain", args: a40 + " --fixed-levels --target-size 3000"},

	{name: "syn-prune", table: synergy, what: "half of the weights pruned by magnitude, then HEMP", net: lenet300, data: mnist, start: "float300", args: a60 + mild + " --lambda 16e-6 --prune 0.5"},
	{name: "syn-prune-90", table: synergy, what: "nine tenths pruned by magnitude, then HEMP", net: lenet300, data: mnist, start: "float300", args: a60 + mild + " --lambda 16e-6 --prune 0.9"},
	{name: "syn-lobster", table: synergy, what: "a tenth of the time LOBSTER, half pruned, then HEMP", net: lenet300, data: mnist, start: "float300", args: a60 + mild + " --lambda 16e-6 --float-part 0.1 --shrink 1e-4 --prune 0.5"},
	{name: "syn-lobster-90", table: synergy, what: "a tenth of the time LOBSTER, nine tenths pruned, then HEMP", net: lenet300, data: mnist, start: "float300", args: a60 + mild + " --lambda 16e-6 --float-part 0.1 --shrink 1e-4 --prune 0.9"},
}

// quickRows show that all works, on the images that the program carries.
var quickRows = []row{
	{name: "quick-default", table: works, what: "LeNet-5, the default", net: lenet5, data: builtin, start: "builtin5", args: "--epochs 4 --batch 64 --validation 0.2 --lambda 2e-5"},
	{name: "quick-paper", table: works, what: "LeNet-5, as published", net: lenet5, data: builtin, start: "builtin5", args: "--epochs 2 --batch 64 --validation 0.2 --method paper --optimizer sgd --rate 0.05 --lambda 0.1 --pull 0.01 --order 2"},
}

const builtin = "builtin:fashion-mnist"
