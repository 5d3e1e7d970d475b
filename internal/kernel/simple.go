package kernel

// The kernels as one would write them on paper.

// visit calls f with the indices into x, w and y of each product of image n.
func (d *convDims) visit(n int, f func(x, w, y int)) {
	for o := range d.OutC {
		group := o / d.oc
		for i := range d.OutH {
			for j := range d.OutW {
				y := ((n*d.OutC+o)*d.OutH+i)*d.OutW + j
				for c := range d.ic {
					for u := range d.KH {
						row := i*d.StrideH + u*d.DilationH - d.PadTop
						if row < 0 || row >= d.InH {
							continue
						}
						for v := range d.KW {
							col := j*d.StrideW + v*d.DilationW - d.PadLeft
							if col < 0 || col >= d.InW {
								continue
							}
							x := ((n*d.InC+group*d.ic+c)*d.InH+row)*d.InW + col
							f(x, ((o*d.ic+c)*d.KH+u)*d.KW+v, y)
						}
					}
				}
			}
		}
	}
}
