package report

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// hostile is a name that would run if it were anything but text.
const hostile = `</script><script>window.owned=1</script><img src=x onerror="window.owned=1">'"&{{.}}\u202e`

// sample returns a page with a chart of each kind, of a network with that many tensors.
func sample(tensors int) *Page {
	r := rand.New(rand.NewPCG(1, 2))
	p := &Page{Verb: "verify", Title: "suspect.onnx against resnet20.onnx", Lead: "What was done to it, and how that is known.", Made: "ropewalk v0.9.0"}
	answer := p.Section("Answer")
	answer.Verdict(&Verdict{
		Word: "pruned", Tone: Warn, Text: "reordered, pruned 90 %, quantized to 4 bits",
		Ladder: []string{"identical", "same weights", "reordered", "rescaled", "re-encoded", "pruned", "modified", "partly derived", "unrelated"},
		Facts: []Fact{
			{Name: "neurons matched", Value: "400 of 400"},
			{Name: "evidence", Value: "e^36,521", Note: "if weights of strangers are independent"},
			{Name: "same function", Value: "no"},
			{Name: "tensors changed", Value: "20 of 65"},
		},
	})
	answer.Text("The suspect has the neurons of the reference in another order. Nine of ten weights are zero, and the rest has 16 values in each tensor.")
	bytes := p.Section("Where the bytes are")
	low := Value(0.7)
	m := &Treemap{Unit: "bytes", Color: "bits per value", Nodes: []Node{{Name: hostile, Value: 4000, Color: &low}}}
	for i := range 1 + tensors/20 {
		n := Node{Name: fmt.Sprintf("layer%d", i)}
		for k := range 20 {
			bits := Value(1 + 6*r.Float64())
			size := Value(100 + math.Round(9000*r.Float64()*r.Float64()))
			n.Children = append(n.Children, Node{Name: fmt.Sprintf("conv%d.weight", k), Value: size, Color: &bits, Note: "F32 16 × 16 × 3 × 3"})
			n.Value += size
		}
		m.Nodes = append(m.Nodes, n)
	}
	bytes.Chart(&Chart{Title: "Bytes of each tensor", Caption: "Areas are bytes in the file, colours bits for each value.", Wide: true, Data: m})
	curves := p.Section("Curves")
	loss := Curve{Name: "loss"}
	top := Curve{Name: "top-1", Right: true}
	for i := range 60 {
		loss.X, loss.Y = append(loss.X, float64(i+1)), append(loss.Y, 2.2*math.Exp(-float64(i)/14)+.2+.03*r.NormFloat64())
		top.X, top.Y = append(top.X, float64(i+1)), append(top.Y, .9-.7*math.Exp(-float64(i)/11))
	}
	curves.Chart(
		&Chart{Title: "Training", Caption: "The mean loss of each epoch, and the accuracy after it.", Data: &Lines{X: "epoch", Y: "loss", Right: "top-1", Curves: []Curve{loss, top}}},
		&Chart{Title: "Size against accuracy", Caption: "Each point is a file that decodes.", Data: &Lines{X: "bytes", Y: "top-1", LogX: true, Percent: true, Curves: []Curve{
			{Name: "ropewalk", X: Numbers{1300, 2100, 4200, 9000}, Y: Numbers{.971, .986, .991, .992}, Points: true},
			{Name: "NNCodec", X: Numbers{2100, 3300, 7000, 15000}, Y: Numbers{.962, .981, .990, .992}, Points: true, Dashed: true},
		}}},
	)
	weights := p.Section("Weights")
	h := &Histogram{X: "value", Edges: Bins(-.3, .3, 80), Ticks: Numbers{-.2, -.1, 0, .1, .2}, TickName: "levels"}
	before, after := make([]float64, 20000), make([]float64, 20000)
	for i := range before {
		before[i] = .08 * r.NormFloat64()
		after[i] = math.Round(before[i]*10) / 10
	}
	h.Tally("reference", before)
	h.Tally("suspect", after)
	s := &Scatter{X: "norm in the reference", Y: "norm in the suspect / norm in the reference", Groups: []Curve{{Name: "layer1"}, {Name: "layer2"}}, Bounds: []Bounds{{Name: "unchanged", At: 1}}}
	for i := range 300 {
		g := &s.Groups[i%2]
		g.X, g.Y = append(g.X, 1+r.Float64()), append(g.Y, 1+.1*r.NormFloat64())
		g.Labels = append(g.Labels, fmt.Sprintf("neuron %d of %s", i, hostile))
	}
	weights.Chart(
		&Chart{Title: "Values of layer1.conv1.weight", Caption: "Broken lines are the levels of the codebook.", Data: h},
		&Chart{Title: "Norms", Caption: "Neurons away from the line were rescaled or changed.", Data: s},
	)
	neurons := p.Section("Neurons")
	choice := &Choice{Label: "Group"}
	for k := range 3 {
		n := 64 * (k + 1)
		order := r.Perm(n)
		a, b := make([]float64, n*n), make([]float64, n*n)
		for i := range n {
			for j := range n {
				x := .3 * r.NormFloat64()
				if order[i] == j {
					a[i*n+j] = .9
				} else {
					a[i*n+j] = x
				}
				if i == j {
					b[i*n+j] = .9
				} else {
					b[i*n+j] = x
				}
			}
		}
		choice.Charts = append(choice.Charts, &Chart{Title: fmt.Sprintf("layer%d.0.conv1, %d neurons", k+1, n), Caption: "A bright diagonal is an order that was found.", Data: &Heatmap{
			X: "suspect", Y: "reference", Unit: "cosine", Low: -1, High: 1, Signs: true,
			Panes: []Pane{NewPane("as it came", n, n, a, -1, 1), NewPane("in the order of the reference", n, n, b, -1, 1)},
		}})
	}
	neurons.Choice(choice)
	certainty := make(Numbers, 400)
	for i := range certainty {
		certainty[i] = 1 - .02*r.Float64()*r.Float64()
	}
	certainty[77], certainty[301] = .62, .41
	neurons.Chart(&Chart{Title: "Reading of each tensor", Caption: "In standard deviations of chance.", Wide: true, Data: &Bars{X: "tensor", Y: "z", Names: []string{"conv1.weight", "layer1.0.conv1.weight", "layer1.0.conv2.weight", "fc.weight"}, Values: Numbers{12.5, 54, -1.25, 31}, Bounds: []Bounds{{Name: "3", At: 3}}}})
	text := make([]string, 12)
	shares := []float64{1, 1, .99, .7, 1, .98, .9, .4, 1, .93, .8, .2}
	for i, x := range shares {
		text[i] = fmt.Sprintf("%.0f %%", 100*x)
	}
	zero, all := Value(0), Value(1)
	neurons.Chart(
		&Chart{Title: "Certainty of each neuron", Caption: "The probability that its partner is the right one.", Data: &Bars{X: "neuron", Y: "certainty", Values: certainty, Low: &zero, High: &all, Bounds: []Bounds{{Name: "0.99", At: .99}}, Percent: true}},
		&Chart{Title: "Attacks", Caption: "How much of the verdicts is right.", Data: &Heatmap{Unit: "", Low: 0, High: 1, Panes: []Pane{NewPane("", 3, 4, shares, 0, 1)}, Cells: &Labels{
			Rows: []string{"LeNet-5", "ResNet-20", hostile}, Cols: []string{"permute", "prune 90 %", "4 bits", "noise 1 σ"}, Text: text,
		}}},
	)
	t := &Table{Title: "Tensors", Columns: []Column{{Name: "tensor", Text: true}, {Name: "values"}, {Name: "changed"}, {Name: "relative"}, {Name: "what", Text: true}}}
	for i := range tensors {
		name := fmt.Sprintf("layer%d.%d.conv%d.weight", i/20, i/2%10, i%2)
		if i == 3 {
			name = hostile
		}
		tone := Neutral
		if i%7 == 0 {
			tone = Warn
		}
		x := r.Float64()
		t.Row(Name(name), Number("36,864", 36864), Number(fmt.Sprintf("%.1f %%", 100*x), x), Number(fmt.Sprintf("%.3f", x/9), x/9), Cell{Text: "quantized", Tone: tone})
	}
	p.Section("Tensors").Table(t)
	p.Section("Claims").Claims(
		Claim{Text: "The suspect is the reference, reordered, pruned and quantized.", Value: "pruned", Command: "ropewalk verify suspect.onnx --against resnet20.onnx", Assumption: "weights of strangers are independent"},
		Claim{Text: "Its accuracy on the test set of CIFAR-10 is", Value: "88.4 %", Command: "ropewalk eval suspect.onnx --data cifar " + hostile},
	)
	return p
}
