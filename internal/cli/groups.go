package cli

import (
	"bufio"
	"errors"
	"fmt"

	"ropewalk/checkpoint"
	"ropewalk/graph"
	"ropewalk/graph/nets"
	"ropewalk/symmetry"
)

// groupsInfo is what inspect says of the symmetries of a network.
type groupsInfo struct {
	Source string      `json:"source" about:"what they were derived from: graph, or names of tensors"`
	Heads  string      `json:"heads,omitempty" about:"what told how many heads of attention there are: config.json, or --heads"`
	Stay   bool        `json:"heads_unknown,omitempty" about:"heads of attention are taken to stay, because nothing tells their number"`
	Groups []groupInfo `json:"groups" about:"of neurons that can be in any order"`
	Fixed  []fixedInfo `json:"fixed" about:"what does not move"`
	Text   string      `json:"text" about:"all of it, in a form that can be read back"`
	// Checked is nil where there is no graph, or it could not be run.
	Checked   *float64 `json:"checked,omitempty" about:"how far outputs were apart, relative to the largest, when the network was run on random inputs before and after a random choice of all of this"`
	Unchecked string   `json:"unchecked,omitempty" about:"why the network was not run"`
}

type groupInfo struct {
	Name    string   `json:"name"`
	Size    int      `json:"size" about:"neurons"`
	Factors []string `json:"factors" about:"of each neuron: scale (positive), nonzero or sign"`
	Places  []string `json:"places" about:"tensors and axes"`
}

type fixedInfo struct {
	Reason string   `json:"reason"`
	Places []string `json:"places"`
}

// groupsOf derives the symmetries of what a checkpoint holds: of its graph, of the
// network that its metadata names, or of the names of its tensors.
func (e *env) groupsOf(c *checkpoint.Checkpoint, file string, heads headsFlag) (*groupsInfo, error) {
	spec, g, told, err := specOf(c, file, heads)
	if err != nil {
		if v, ok := errors.AsType[*verdict](err); ok {
			return nil, v
		}
		v := &verdict{status: exitRefused, err: fmt.Errorf("%s: %w", c.Path, err)}
		if errors.Is(err, symmetry.ErrFamily) {
			v.hint = "an ONNX file holds the graph, from which they follow"
		}
		return nil, v
	}
	source := "graph"
	if g == nil {
		source = "names of tensors"
	}
	r := &groupsInfo{Source: source, Heads: told, Stay: headsUnknown(spec), Text: spec.String(), Groups: []groupInfo{}, Fixed: []fixedInfo{}}
	for i := range spec.Groups {
		g := &spec.Groups[i]
		info := groupInfo{Name: g.Name, Size: g.Size, Factors: []string{}}
		for _, f := range g.Factors {
			info.Factors = append(info.Factors, f.String())
		}
		for k := range g.Places {
			info.Places = append(info.Places, g.Places[k].String())
		}
		r.Groups = append(r.Groups, info)
	}
	for _, f := range spec.Fixed {
		info := fixedInfo{Reason: f.Reason}
		for _, a := range f.Axes {
			info.Places = append(info.Places, a.String())
		}
		r.Fixed = append(r.Fixed, info)
	}
	if g == nil {
		r.Unchecked = "how the network is computed is not known"
		return r, nil
	}
	return r, e.checkGroups(r, spec, g)
}

// checkGroups runs the network before and after a random element of the groups.
func (e *env) checkGroups(r *groupsInfo, spec *symmetry.Spec, g *graph.Graph) error {
	run, tolerance := e.runner(g)
	telling := false
	o := &symmetry.VerifyOptions{Tolerance: tolerance, Run: func(g *graph.Graph, in map[string]*graph.Value) (map[string]*graph.Value, error) {
		out, err := run(g, in)
		telling = telling || symmetry.Tells(out)
		return out, err
	}}
	diffs, err := symmetry.Verify(spec, g, o)
	if errors.Is(err, symmetry.ErrChanged) && tolerance > 0 { // perhaps by what the engine rounds
		o.Run, o.Tolerance = symmetry.Evaluate, 0
		diffs, err = symmetry.Verify(spec, g, o)
	}
	switch unable, ok := errors.AsType[*graph.UnsupportedError](err); {
	case ok:
		r.Unchecked = fmt.Sprintf("the network cannot be computed: %s", missingText(unable.Missing))
		return nil
	case err != nil:
		return fmt.Errorf("internal error: what was derived is no symmetry: %w", err)
	case !telling:
		r.Unchecked = "all outputs on random inputs are 0 or no numbers, and show nothing"
		return nil
	}
	r.Checked = new(float64)
	for _, d := range diffs {
		*r.Checked = max(*r.Checked, d.Largest)
	}
	return nil
}

// specOf says what can move, the graph from which that follows, or nil if names tell, and
// what told the number of heads.
func specOf(c *checkpoint.Checkpoint, file string, heads headsFlag) (spec *symmetry.Spec, g *graph.Graph, told string, err error) {
	if name := settingsOf(c.Layout.Metadata)[settingNet]; heads != 0 && (c.Layout.Format == "onnx" || isNet(name)) {
		return nil, nil, "", heads.notNeeded()
	}
	if c.Layout.Format == "onnx" {
		g, err := graph.FromLayout(c.Layout)
		if err == nil {
			spec, err = symmetry.Derive(g, nil)
		}
		return spec, g, "", err
	}
	if name := settingsOf(c.Layout.Metadata)[settingNet]; isNet(name) {
		if g, err := nets.Build(name, nil); err == nil {
			if g, err = nets.Load(g, c.Tensors); err == nil {
				spec, err = symmetry.Derive(g, nil)
				return spec, g, "", err
			}
		}
	}
	spec, told, err = heads.byNames(c, file)
	return spec, nil, told, err
}

// groups prints the symmetries as they can be read back.
func (r *inspectText) groups(w *bufio.Writer) {
	if r.Groups == nil {
		return
	}
	fmt.Fprintf(w, "\n# %s of neurons that can be in any order, from the %s", count(len(r.Groups.Groups), "group"), r.Groups.Source)
	if r.Groups.Heads != "" {
		fmt.Fprintf(w, ", heads from %s", r.Groups.Heads)
	}
	w.WriteString("\n")
	switch {
	case r.Groups.Checked != nil:
		fmt.Fprintf(w, "# outputs after a random choice of all of this differ by %.2g\n", *r.Groups.Checked)
	case r.Groups.Source == "graph":
		fmt.Fprintf(w, "# not checked by running it: %s\n", r.Groups.Unchecked)
	}
	if r.Groups.Stay {
		fmt.Fprintf(w, "# heads of attention are taken to stay: %s\n", headsHint)
	}
	w.WriteString(r.Groups.Text) // names from files are quoted there
}
