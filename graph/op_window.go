package graph

import (
	"fmt"

	"ropewalk/tensor"
)

// A window is where kernels lie over an array, for convolutions and pools:
//
//	before   in: what there is                behind
//	┌──────┬────────────────────────────────┬──────┐
//	│ k . k│. k        k . k . k            │      │   dilation 2
//	└──────┴────────────────────────────────┴──────┘
//	 └──────── stride ───┘                      all for each axis
type window struct {
	in, kernel, stride, dilation, before, behind, out []int64
}

// windowOf returns the window of a node with attributes strides, dilations, pads and
// auto_pad over an array with axes in. ceil counts a last place that is not full.
func windowOf(r *attributesReader, in, kernel []int64, ceil bool) (*window, error) {
	rank := len(in)
	w := &window{
		in: in, kernel: kernel, stride: r.perAxis("strides", rank), dilation: r.perAxis("dilations", rank),
		before: make([]int64, rank), behind: make([]int64, rank), out: make([]int64, rank),
	}
	auto := r.autoPad()
	r.pads(w, auto)
	if r.err != nil {
		return nil, r.err
	}
	for i, d := range in {
		if kernel[i] < 1 || kernel[i] > maxExtent || d > 1<<40 {
			return nil, fmt.Errorf("a kernel of %v does not fit over %v", kernel, in)
		}
		width := (kernel[i]-1)*w.dilation[i] + 1
		if auto == "SAME_UPPER" || auto == "SAME_LOWER" {
			w.out[i] = (d + w.stride[i] - 1) / w.stride[i]
			total := max((w.out[i]-1)*w.stride[i]+width-d, 0)
			w.before[i], w.behind[i] = sharePads(total, auto == "SAME_UPPER")
			continue
		}
		room := d + w.before[i] + w.behind[i] - width
		if room < 0 {
			return nil, fmt.Errorf("a kernel of %d does not fit along axis %d of %v with pads %d and %d", width, i, in, w.before[i], w.behind[i])
		}
		w.out[i] = room/w.stride[i] + 1
		if ceil && auto == "NOTSET" && room%w.stride[i] != 0 && w.out[i]*w.stride[i] < d+w.before[i] {
			w.out[i]++ // a place that would begin behind the array does not count
		}
	}
	return w, nil
}

func (r *attributesReader) autoPad() string {
	auto := r.string("auto_pad", "NOTSET")
	switch auto {
	case "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER":
	case "":
		auto = "NOTSET"
	default:
		r.fail("attribute auto_pad is %q, want NOTSET, VALID, SAME_UPPER or SAME_LOWER", auto)
	}
	return auto
}

// pads reads attribute pads, which counts only if auto_pad is not set.
func (r *attributesReader) pads(w *window, auto string) {
	pads := r.ints("pads")
	if pads == nil || auto != "NOTSET" {
		return
	}
	rank := len(w.in)
	if len(pads) != 2*rank {
		r.fail("attribute pads has %d numbers, want two for each of %d axes", len(pads), rank)
		return
	}
	for i, p := range pads {
		if p < 0 || p > maxExtent {
			r.fail("attribute pads has %d, want 0 to %d", p, int64(maxExtent))
			return
		}
		if i < rank {
			w.before[i] = p
		} else {
			w.behind[i-rank] = p
		}
	}
}

// sharePads splits a pad; the odd one goes behind if upper.
func sharePads(total int64, upper bool) (before, behind int64) {
	if upper {
		return total / 2, total - total/2
	}
	return total - total/2, total / 2
}

// table returns, for each place and each element of the kernel, the number of the
// element of the array that lies there, or -1 outside of the array.
func (w *window) table(c *context) (places, taps int, table []int, err error) {
	if err := c.spendProduct(append(append([]int64{int64(len(w.in) + 1)}, w.out...), w.kernel...)...); err != nil {
		return 0, 0, nil, err
	}
	places, taps = product(w.out), product(w.kernel)
	if err := c.hold(int64(places) * int64(taps)); err != nil {
		return 0, 0, nil, err
	}
	c.release(int64(places) * int64(taps)) // for this operator alone
	table = make([]int, 0, places*taps)
	strides := stridesOf(w.in)
	place, tap := newWalker(w.out), newWalker(w.kernel)
	for range places {
		for range taps {
			at := 0
			for i := range w.in {
				p := place.at[i]*w.stride[i] - w.before[i] + tap.at[i]*w.dilation[i]
				if p < 0 || p >= w.in[i] {
					at = -1
					break
				}
				at += int(p) * strides[i]
			}
			table = append(table, at)
			tap.next()
		}
		place.next()
	}
	return places, taps, table, nil
}

// images returns batch, channels and spatial axes of an array of images.
func images(s tensor.Shape) (batch, channels int64, space []int64, err error) {
	if len(s) < 3 {
		return 0, 0, nil, fmt.Errorf("its input is %v, want batch, channels and one axis of space at least", s)
	}
	return s[0], s[1], s[2:], nil
}
