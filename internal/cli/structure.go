package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"ropewalk/checkpoint"
	"ropewalk/graph/nets"
	"ropewalk/symmetry"
)

// structureOptions say where the structure of a network comes from.
type structureOptions struct {
	file  string    // the network
	net   string    // --net, or ""
	spec  string    // --spec, or ""
	heads headsFlag // --heads, or 0
	role  string    // what the help calls the file
	run   bool      // the graph is wanted even if --spec says what can move
}

// A structure is what is known of a network beside its tensors.
type structure struct {
	spec    *symmetry.Spec // what can move
	network *network       // how it is computed; nil if that is not known
}

func (s *structure) close() {
	if s != nil && s.network != nil {
		s.network.close()
	}
}

// structureOf finds out what can move in a network, whose file c is: from --spec, else
// from its graph, if it is an ONNX file, or of the network that --net or the file itself
// names, else from the names of its tensors. With an error there may be a structure, of a network in which
// nothing is known to move; that one has to be closed, too.
func (e *env) structureOf(ctx context.Context, o *structureOptions, c *checkpoint.Checkpoint) (s *structure, err error) {
	s = &structure{}
	if byGraph := o.net != "" || c.Layout.Format == "onnx" || settingsOf(c.Layout.Metadata)[settingNet] != ""; o.heads != 0 && (o.spec != "" || byGraph) {
		return nil, o.heads.notNeeded()
	}
	if o.spec != "" {
		text, err := os.ReadFile(o.spec)
		if err != nil {
			return nil, err
		}
		s.spec, err = symmetry.Parse(string(text))
		if err == nil {
			err = s.spec.Fits(c.Tensors)
		}
		if err != nil {
			return nil, usagef("--spec %s: %w", o.spec, err)
		}
	}
	if s.spec != nil && !o.run {
		return s, nil
	}
	if o.net == "" && c.Layout.Format != "onnx" && settingsOf(c.Layout.Metadata)[settingNet] == "" {
		if s.spec != nil {
			return s, nil
		}
		s.spec, _, err = o.heads.byNames(c, o.file)
		if errors.Is(err, symmetry.ErrFamily) {
			return nil, usagef("%s: %w", o.file, err).withHint("--net NET says which network it is, --spec FILE what can move in it")
		}
		if err == nil {
			e.noteHeads(s.spec)
		}
		return s, err
	}
	no := netOptions{net: o.net, weights: o.file}
	if o.net == "" {
		no = netOptions{net: o.file}
	}
	if o.file == dash {
		if s.spec != nil {
			return s, nil
		}
		return nil, usagef("%s is standard input, so the network has to be in a file, or --spec says what can move", o.role).withHint("--spec FILE")
	}
	if s.network, err = e.openNetwork(ctx, &no, &nets.Options{}); err != nil {
		return nil, err
	}
	if s.spec != nil {
		return s, nil
	}
	if s.spec, err = symmetry.Derive(s.network.Graph, nil); err != nil {
		return s, fmt.Errorf("%s: %w", s.network.spec, err)
	}
	return s, nil
}
