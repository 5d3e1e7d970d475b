package kernel

import (
	"fmt"
	"math"
)

// A Clamp is an activation that cuts values off: max(Lo, min(Hi, x)). The zero
// value does nothing.
type Clamp struct {
	On     bool
	Lo, Hi float32
}

// ReLU is max(0, x).
func ReLU() Clamp { return Clamp{true, 0, float32(math.Inf(1))} }

// ReLU6 is max(0, min(6, x)).
func ReLU6() Clamp { return Clamp{true, 0, 6} }

// bounds returns limits that do nothing if the clamp is off.
func (c Clamp) bounds() (lo, hi float32) {
	if !c.On {
		return float32(math.Inf(-1)), float32(math.Inf(1))
	}
	return c.Lo, c.Hi
}

// clamp lets NaN through.
func clamp(x, lo, hi float32) float32 {
	if x < lo {
		return lo
	}
	if x > hi {
		return hi
	}
	return x
}

func panicShort(what string, have, want int) {
	panic(fmt.Sprintf("kernel: %s has %d elements, and %d are needed", what, have, want))
}

func panicRange(what string, have, least, most int) {
	panic(fmt.Sprintf("kernel: %d %s, want %d to %d", have, what, least, most))
}
