package lineage

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"ropewalk/graph"
	"ropewalk/graph/nets"
)

// Each change of a graph is named, and no other names of values and nodes are.
func TestGraphDifferences(t *testing.T) {
	own, err := nets.Build("lenet5", nil)
	if err != nil {
		t.Fatal(err)
	}
	ref := Network{Set: own.Weights, Graph: own}
	at := func(g *graph.Graph, op string) *graph.Node {
		i := slices.IndexFunc(g.Nodes, func(n *graph.Node) bool { return n.Op == op })
		if i < 0 {
			t.Fatalf("there is no %s", op)
		}
		return g.Nodes[i]
	}
	for _, tt := range []struct {
		what   string
		change func(g *graph.Graph)
		want   string
	}{
		{"nothing", func(*graph.Graph) {}, ""},
		{"names", func(g *graph.Graph) {
			for _, n := range g.Nodes {
				n.Name += "x"
				for i, v := range n.Inputs {
					if g.Weights.Lookup(v) == nil && v != "" {
						n.Inputs[i] = v + "x"
					}
				}
				for i := range n.Outputs {
					n.Outputs[i] += "x"
				}
			}
			g.Inputs[0].Name += "x"
			g.Outputs[0] += "x"
		}, ""},
		{"operator", func(g *graph.Graph) { at(g, "MaxPool").Op = "AveragePool" }, "is AveragePool in the place of MaxPool"},
		{"attribute", func(g *graph.Graph) { at(g, "MaxPool").Attributes["strides"] = []int64{1, 1} }, "has strides 1 1 in the place of 2 2"},
		{"new attribute", func(g *graph.Graph) { at(g, "MaxPool").Attributes["ceil_mode"] = int64(1) }, "has ceil_mode 1 in the place of none"},
		{"weights", func(g *graph.Graph) { n := at(g, "Conv"); n.Inputs[1] = g.Nodes[len(g.Nodes)-1].Inputs[1] }, "reads another value as operand 1"},
		{"missing bias", func(g *graph.Graph) { n := at(g, "Conv"); n.Inputs = n.Inputs[:2] }, "reads 2 values in the place of 3"},
		{"missing node", func(g *graph.Graph) { g.Nodes = g.Nodes[:len(g.Nodes)-1] }, "is missing"},
		{"added node", func(g *graph.Graph) {
			g.Nodes = append(g.Nodes, &graph.Node{Name: "trigger", Op: "Mul", Inputs: []string{"a", "b"}, Outputs: []string{"c"}})
		}, "(trigger) was added: Mul"},
		{"output", func(g *graph.Graph) { g.Outputs[0] = g.Nodes[0].Outputs[0] }, "output 0 is another value"},
		{"two outputs", func(g *graph.Graph) { g.Outputs = append(g.Outputs, g.Nodes[0].Outputs[0]) }, "2 outputs in the place of 1"},
		{"input", func(g *graph.Graph) { g.Inputs[0].Shape = []graph.Dim{{Size: 1}, {Size: 7}} }, "[1 7] in the place of"},
	} {
		g := *own
		g.Inputs, g.Outputs, g.Nodes = slices.Clone(own.Inputs), slices.Clone(own.Outputs), nil
		for _, n := range own.Nodes {
			c := *n
			c.Inputs, c.Outputs, c.Attributes = slices.Clone(n.Inputs), slices.Clone(n.Outputs), maps.Clone(n.Attributes)
			if c.Attributes == nil {
				c.Attributes = graph.Attributes{}
			}
			g.Nodes = append(g.Nodes, &c)
		}
		tt.change(&g)
		got := ""
		for _, d := range GraphDifferences(ref, Network{Set: own.Weights, Graph: &g}) {
			got += d.Text + "\n"
		}
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.what, got, tt.want)
		}
	}
}
