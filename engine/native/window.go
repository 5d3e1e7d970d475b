package native

import "ropewalk/tensor"

// A window is what convolutions and pools have along one axis of an image.
type window struct {
	size, stride, dilation int
	before, after          int // padding
}

// windows reads the attributes of a node with windows over images of shape x, of
// one axis or two, which come out as y. Of one axis it makes two, the first of
// which is 1 long.
func (n *node) windows(x, y tensor.Shape, kernel []int64) (h, w window, err error) {
	axes := len(x) - 2
	if axes != 1 && axes != 2 {
		return h, w, n.lacks("images of %d axes; 1 and 2 can be done", axes)
	}
	at := func(list []int64, i, standard int) int {
		if i < len(list) {
			return int(list[i])
		}
		return standard
	}
	strides, dilations, pads := n.integers("strides"), n.integers("dilations"), n.integers("pads")
	auto := n.text("auto_pad", "NOTSET")
	both := [2]window{{size: 1, stride: 1, dilation: 1}, {}}
	for i := range axes {
		v := window{size: at(kernel, i, 1), stride: at(strides, i, 1), dilation: at(dilations, i, 1)}
		switch auto {
		case "SAME_UPPER", "SAME_LOWER":
			total := max(0, (int(y[2+i])-1)*v.stride+v.dilation*(v.size-1)+1-int(x[2+i]))
			v.before = total / 2
			if auto == "SAME_LOWER" {
				v.before = total - total/2
			}
			v.after = total - v.before
		case "VALID":
		default:
			v.before, v.after = at(pads, i, 0), at(pads, axes+i, 0)
		}
		if v.before < 0 || v.after < 0 {
			return h, w, n.lacks("negative pads")
		}
		both[2-axes+i] = v
	}
	return both[0], both[1], nil
}

// image returns the batch, channels, height and width of a shape of 3 or 4 axes.
func image(s tensor.Shape) (n, c, h, w int) {
	if len(s) == 3 {
		return int(s[0]), int(s[1]), 1, int(s[2])
	}
	return int(s[0]), int(s[1]), int(s[2]), int(s[3])
}
