package native

import (
	"testing"

	"pgregory.net/rapid"

	"ropewalk/graph"
	"ropewalk/tensor"
)

// drawBroadcast returns two shapes that broadcast.
func drawBroadcast(t *rapid.T) (a, b tensor.Shape) {
	rank := rapid.IntRange(0, 4).Draw(t, "rank")
	for range rank {
		n := rapid.Int64Range(1, 4).Draw(t, "axis")
		x, y := n, n
		switch rapid.IntRange(0, 3).Draw(t, "which") {
		case 0:
			x = 1
		case 1:
			y = 1
		}
		a, b = append(a, x), append(b, y)
	}
	drop := rapid.IntRange(0, rank).Draw(t, "drop")
	if rapid.Bool().Draw(t, "drop of a") {
		return a[drop:], b
	}
	return a, b[drop:]
}

func TestArithmetic(t *testing.T) {
	for op, rule := range pairRules {
		if rule.f == nil {
			continue // of integers alone: see TestIntegers
		}
		t.Run(op, func(t *testing.T) {
			needsOracle(t, op)
			rapid.Check(t, func(t *rapid.T) {
				a, b := drawBroadcast(t)
				if op == "PRelu" {
					a = joined(a, b) // only the slope is broadcast
				}
				x, y := drawFloats(t, "a", a...), drawFloats(t, "b", b...)
				if op == "Pow" || op == "Div" || op == "Mod" {
					for i := range x.Float {
						x.Float[i] = 0.5 + x.Float[i]*x.Float[i]
					}
					for i := range y.Float {
						y.Float[i] = float64(float32(1.5 + y.Float[i]))
					}
				}
				for i := range x.Float {
					x.Float[i] = float64(float32(x.Float[i]))
				}
				attributes := graph.Attributes{}
				if op == "Mod" {
					attributes["fmod"] = int64(1)
				}
				s := one(op, attributes, 1, x, y)
				s.drawPlaces(t)
				s.check(t, trial{trainable: s.trainable()})
			})
		})
	}
}

// joined returns the shape to which both broadcast.
func joined(a, b tensor.Shape) tensor.Shape {
	if len(a) < len(b) {
		a, b = b, a
	}
	c := append(tensor.Shape(nil), a...)
	for i, n := range b {
		k := len(a) - len(b) + i
		c[k] = max(c[k], n)
	}
	return c
}
