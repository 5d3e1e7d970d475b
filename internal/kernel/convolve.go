package kernel

import "unsafe"

func intAt(s []int) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(s)) }

// newConv returns the pool's convJob, empty but for its tables' memory.
func (p *Pool) newConv() *convJob {
	j := &p.jobs.conv
	*j = convJob{in: current, off: j.off[:0], rowTap: j.rowTap[:0], colTap: j.colTap[:0], weights: weights{
		rowSel: j.weights.rowSel[:0], colSel: j.weights.colSel[:0],
	}}
	return j
}

// release lets go of the caller's memory.
func (j *convJob) release() {
	j.x, j.y, j.epilogue, j.weights.w, j.packed = nil, nil, ConvEpilogue{}, nil, nil
}

// convForward takes the weights as they are, or packed.
func (p *Pool) convForward(d *convDims, x, w, packed, y []float32, e ConvEpilogue) {
	if d.Batch == 0 {
		return
	}
	j := p.newConv()
	defer j.release()
	j.packed = packed
	j.groups, j.batch, j.ic, j.oc = d.Groups, d.Batch, d.ic, d.oc
	j.x, j.y, j.epilogue = x, y, e
	j.inH, j.inW, j.outH, j.outW = d.InH, d.InW, d.OutH, d.OutW
	j.strideH, j.strideW = d.StrideH, d.StrideW
	for u := range d.KH {
		j.rowTap = append(j.rowTap, u*d.DilationH-d.PadTop)
	}
	for v := range d.KW {
		j.colTap = append(j.colTap, v*d.DilationW-d.PadLeft)
	}
	j.weights.w, j.weights.kh, j.weights.kw = w, d.KH, d.KW
	p.conv(j)
}

// packConv is the first half of convForward.
func (p *Pool) packConv(d *convDims, w, packed []float32) {
	j := p.newConv()
	defer j.release()
	j.groups, j.ic, j.oc, j.k = d.Groups, d.ic, d.oc, d.ic*d.KH*d.KW
	j.strips = ceilDiv(j.oc, j.in.rows)
	j.weights.w, j.weights.kh, j.weights.kw = w, d.KH, d.KW
	j.packed, j.phase = packed, convPack
	p.run(j.groups*j.strips, j)
}

// phaseTaps appends the taps through which pixels h, h + stride, … of dx reach dy,
// and where in dy: pixel i·stride + h lies under tap u of output
// i + (h + pad − u·dilation)/stride, if that is whole.
func phaseTaps(sel, taps []int, h, stride, pad, dilation, k int) (selected, offsets []int) {
	for u := range k {
		if at := h + pad - u*dilation; at%stride == 0 {
			sel, taps = append(sel, u), append(taps, at/stride)
		}
	}
	return sel, taps
}

func (p *Pool) convBackwardData(d *convDims, dy, w, dx []float32, accumulate bool) {
	if d.Batch == 0 {
		return
	}
	plain := d.StrideH == 1 && d.StrideW == 1
	for h := range min(d.StrideH, d.InH) {
		for v := range min(d.StrideW, d.InW) {
			j := p.newConv()
			j.rowTap, j.colTap = j.rowTap[:0], j.colTap[:0]
			j.weights.rowSel, j.rowTap = phaseTaps(j.weights.rowSel, j.rowTap, h, d.StrideH, d.PadTop, d.DilationH, d.KH)
			j.weights.colSel, j.colTap = phaseTaps(j.weights.colSel, j.colTap, v, d.StrideW, d.PadLeft, d.DilationW, d.KW)
			if len(j.rowTap) == 0 || len(j.colTap) == 0 {
				if !accumulate {
					zeroPhase(dx, d, h, v)
				}
				continue
			}
			j.groups, j.batch, j.ic, j.oc = d.Groups, d.Batch, d.oc, d.ic
			j.x, j.y, j.accumulate = dy, dx, accumulate
			j.inH, j.inW = d.OutH, d.OutW
			j.outH, j.outW = ceilDiv(d.InH-h, d.StrideH), ceilDiv(d.InW-v, d.StrideW)
			j.strideH, j.strideW = 1, 1
			j.weights.w, j.weights.kh, j.weights.kw, j.weights.exchanged = w, d.KH, d.KW, true
			if !plain {
				j.phased = phased{on: true, stepH: d.StrideH, stepW: d.StrideW, h: h, w: v, height: d.InH, width: d.InW}
			}
			p.conv(j)
			j.release()
		}
	}
}

// zeroPhase clears the pixels of dx that no output sees.
func zeroPhase(dx []float32, d *convDims, h, v int) {
	for c := range d.Batch * d.InC {
		for i := h; i < d.InH; i += d.StrideH {
			row := dx[(c*d.InH+i)*d.InW:][:d.InW]
			for k := v; k < d.InW; k += d.StrideW {
				row[k] = 0
			}
		}
	}
}
