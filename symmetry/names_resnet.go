package symmetry

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// resnet follows the blocks layerL.B.
func (n *named) resnet() {
	x := n.image(n.tensor("conv1.weight", 0, 0, 0, 0).shape[1])
	x = n.relu(n.norm(n.conv(x, "conv1"), "bn1"))
	for l := 1; n.err == nil && n.has(fmt.Sprintf("layer%d.0.conv1.weight", l)); l++ {
		for b := 0; n.err == nil && n.has(fmt.Sprintf("layer%d.%d.conv1.weight", l, b)); b++ {
			x = n.residual(x, fmt.Sprintf("layer%d.%d.", l, b))
		}
	}
	head := "fc"
	if !n.has("fc.weight") {
		head = "linear"
	}
	n.finish(n.linear(n.flat(x, x.shape[1]), head))
}

func (n *named) residual(x *value, at string) *value {
	y := n.norm(n.conv(x, at+"conv1"), at+"bn1")
	for k := 2; n.has(fmt.Sprintf("%sconv%d.weight", at, k)); k++ {
		y = n.norm(n.conv(n.relu(y), fmt.Sprintf("%sconv%d", at, k)), fmt.Sprintf("%sbn%d", at, k))
	}
	short := x
	switch grown := y.shape[1] - x.shape[1]; {
	case n.has(at + "downsample.0.weight"):
		short = n.norm(n.conv(x, at+"downsample.0"), at+"downsample.1")
	case n.has(at + "shortcut.0.weight"):
		short = n.norm(n.conv(x, at+"shortcut.0"), at+"shortcut.1")
	case grown > 0 && grown%2 == 0:
		short = n.pad(x, 1, int(grown/2), int(grown/2), true)
	}
	if !short.shape.Equal(y.shape) {
		n.fail("block %s adds %d channels to %d", n.prefix+at, y.shape[1], short.shape[1])
		return y
	}
	return n.relu(n.mix(y, short, sums))
}

var numbered = regexp.MustCompile(`^(features|classifier)\.(\d{1,4})\.weight$`)

// sequential follows features.N, and classifier.N or classifier.
func (n *named) sequential() {
	layers := map[string][]int{}
	for _, t := range n.set.All() {
		name, _ := strings.CutPrefix(t.Name, n.prefix)
		if m := numbered.FindStringSubmatch(name); m != nil {
			k, _ := strconv.Atoi(m[2]) // digits, and few
			layers[m[1]] = append(layers[m[1]], k)
		}
	}
	slices.Sort(layers["features"])
	slices.Sort(layers["classifier"])
	x := n.image(n.tensor("features.0.weight", 0, 0, 0, 0).shape[1])
	for _, k := range layers["features"] {
		name := fmt.Sprintf("features.%d", k)
		if n.has(name + ".running_var") {
			x = n.relu(n.norm(x, name))
			continue
		}
		x = n.conv(x, name)
		if !n.has(fmt.Sprintf("features.%d.running_var", k+1)) {
			x = n.relu(x)
		}
	}
	var full []string
	for _, k := range layers["classifier"] {
		full = append(full, fmt.Sprintf("classifier.%d", k))
	}
	if len(full) == 0 {
		full = []string{"classifier"}
	}
	x = n.flat(x, n.tensor(full[0]+".weight", 0, 0).shape[1])
	for i, name := range full {
		x = n.linear(x, name)
		if i < len(full)-1 {
			x = n.relu(x)
		}
	}
	n.finish(x)
}
