package lineage

import "ropewalk/align"

// unmoved relates a suspect whose neurons have not moved, but are damaged so much that no
// search for their order ends in certainty. Then neurons are taken to be where they are.
func (c *comparer) unmoved() error {
	found := c.out.Match
	for _, x := range found.Classes {
		if len(x.Sus) != len(x.Ref) {
			return nil
		}
	}
	own, err := align.FromSymmetry(c.spec)
	if err != nil {
		return err
	}
	c.progress("neurons in place")
	points, err := fixedPoints(c.ctx, c.ref.Set, c.stock.sus, own, own, c.o.Seed, c.o.Threads)
	if err != nil || points.Log10P > exactLevel {
		return err
	}
	c.out.InPlace = points
	found.Related = true
	classes := found.Classes
	for k := range classes {
		x := &classes[k]
		for i := range x.Sus {
			x.Sus[i], x.Ref[i] = i, i
		}
		for f := range x.Scale {
			for i := range x.Scale[f] {
				x.Scale[f][i] = 1
			}
		}
		x.Added, x.Merged, x.Ambiguous = nil, nil, nil
	}
	return nil
}
