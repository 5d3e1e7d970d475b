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
	Groups []groupInfo `json:"groups" about:"of neurons that can be in any order"`
	Fixed  []fixedInfo `json:"fixed" about:"what does not move"`
	Text   string      `json:"text" about:"all of it, in a form that can be read back"`
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
func groupsOf(c *checkpoint.Checkpoint) (*groupsInfo, error) {
	spec, source, err := specOf(c)
	if err != nil {
		v := &verdict{status: exitRefused, err: fmt.Errorf("%s: %w", c.Path, err)}
		if errors.Is(err, symmetry.ErrFamily) {
			v.hint = "an ONNX file holds the graph, from which they follow"
		}
		return nil, v
	}
	r := &groupsInfo{Source: source, Text: spec.String(), Groups: []groupInfo{}, Fixed: []fixedInfo{}}
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
	return r, nil
}

func specOf(c *checkpoint.Checkpoint) (*symmetry.Spec, string, error) {
	if c.Layout.Format == "onnx" {
		g, err := graph.FromLayout(c.Layout)
		if err != nil {
			return nil, "", err
		}
		s, err := symmetry.Derive(g, nil)
		return s, "graph", err
	}
	if name := settingsOf(c.Layout.Metadata)[settingNet]; isNet(name) {
		if g, err := nets.Build(name, nil); err == nil {
			if g, err = nets.Load(g, c.Tensors); err == nil {
				s, err := symmetry.Derive(g, nil)
				return s, "graph", err
			}
		}
	}
	s, err := symmetry.DeriveNames(c.Tensors, nil)
	return s, "names of tensors", err
}

// groups prints the symmetries as they can be read back.
func (r *inspectText) groups(w *bufio.Writer) {
	if r.Groups == nil {
		return
	}
	fmt.Fprintf(w, "\n# %s of neurons that can be in any order, from the %s\n", count(len(r.Groups.Groups), "group"), r.Groups.Source)
	w.WriteString(r.Groups.Text) // names from files are quoted there
}
