package kernel

import (
	"fmt"
	"math"
	"testing"
)

// pixels calls f with the indices, in a plane, of the pixels that output (i, k) sees,
// and returns how many places of the window lie in the image or its padding.
func (s PoolShape) pixels(i, k int, f func(at int)) (places int) {
	for u := range s.KH {
		for v := range s.KW {
			r, c := i*s.StrideH+u*s.DilationH-s.PadTop, k*s.StrideW+v*s.DilationW-s.PadLeft
			if r >= 0 && r < s.InH && c >= 0 && c < s.InW {
				f(r*s.InW + c)
			}
			if r < s.InH+s.PadBottom && c < s.InW+s.PadRight {
				places++
			}
		}
	}
	return places
}

func TestPooling(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		pools := []*Pool{newPool(t, 1), newPool(t, 3)}
		r := generator(11)
		for n := range 300 {
			s := PoolShape{
				Batch: 1 + r.IntN(3), Channels: 1 + r.IntN(5), InH: 1 + r.IntN(20), InW: 1 + r.IntN(80), KH: 1 + r.IntN(4), KW: 1 + r.IntN(4),
				StrideH: 1 + r.IntN(3), StrideW: 1 + r.IntN(3), DilationH: 1 + r.IntN(2), DilationW: 1 + r.IntN(2),
				Ceil: r.IntN(2) == 0, CountPadding: r.IntN(2) == 0,
			}
			s.PadTop, s.PadLeft, s.PadBottom, s.PadRight = r.IntN(s.KH), r.IntN(s.KW), r.IntN(s.KH), r.IntN(s.KW)
			if r.IntN(3) == 0 { // what networks have
				s.KH, s.KW, s.StrideH, s.StrideW, s.DilationH, s.DilationW = 2, 2, 2, 2, 1, 1
				s.PadTop, s.PadLeft, s.PadBottom, s.PadRight, s.Ceil = 0, 0, 0, 0, false
			}
			if s.InH+s.PadTop+s.PadBottom <= s.DilationH*(s.KH-1) || s.InW+s.PadLeft+s.PadRight <= s.DilationW*(s.KW-1) {
				continue
			}
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				h, w := s.OutSize()
				planes := s.Batch * s.Channels
				in, out := s.InH*s.InW, h*w
				x, _ := guarded(random(r, planes*in))
				for i := range x {
					if x[i] > 1 {
						x[i] = 1 // equals, so that the first of them has to be found
					}
				}
				if r.IntN(4) == 0 {
					x[r.IntN(len(x))] = float32(math.NaN())
				}
				dy := random(r, planes*out)
				start := random(r, len(x))
				for _, p := range pools {
					y, checkY := guarded(make([]float32, planes*out))
					mean, checkMean := guarded(make([]float32, planes*out))
					arg := make([]int32, planes*out+9)
					for i := range arg {
						arg[i] = -7
					}
					dx, checkDX := guarded(start)
					dxMean, checkDXMean := guarded(start)
					MaxPool(p, &s, y, arg[:planes*out], x)
					MaxPoolBackward(p, &s, dx, dy, arg[:planes*out], true)
					AveragePool(p, &s, mean, x)
					AveragePoolBackward(p, &s, dxMean, dy, false)
					checkY(t, "y")
					checkMean(t, "mean")
					checkDX(t, "dx")
					checkDXMean(t, "dxMean")
					for _, a := range arg[planes*out:] {
						if a != -7 {
							t.Fatal("arg was written behind its end")
						}
					}
					wantDX := make([]float64, len(x))
					wantMean := make([]float64, len(x))
					for i, v := range start {
						wantDX[i] = float64(v)
					}
					for q := range planes {
						for i := range h {
							for k := range w {
								best, at, sum, count := math.Inf(-1), -1, 0.0, 0
								places := s.pixels(i, k, func(a int) {
									v := float64(x[q*in+a])
									if at < 0 || v > best || v != v && best == best {
										best, at = v, a
									}
									sum += v
									count++
								})
								o := q*out + i*w + k
								if int(arg[o]) != at {
									t.Fatalf("%+v: the maximum of window (%d, %d) is at %d, want %d", s, i, k, arg[o], at)
								}
								if math.Float32bits(y[o]) != math.Float32bits(float32(best)) && !(best != best && y[o] != y[o]) {
									t.Fatalf("the maximum is %v, want %v", y[o], best)
								}
								if at >= 0 {
									wantDX[q*in+at] += float64(dy[o])
								}
								weight := 0.0
								if count > 0 {
									weight = 1 / float64(count)
								}
								if s.CountPadding {
									weight = 1 / float64(places)
								}
								if got := float64(mean[o]); sum == sum && relative(got, sum*weight) > 1e-5 || sum != sum && got == got {
									t.Fatalf("%+v: the mean of (%d, %d) is %v, want %v", s, i, k, got, sum*weight)
								}
								s.pixels(i, k, func(a int) { wantMean[q*in+a] += float64(dy[o]) * weight })
							}
						}
					}
					for i := range x {
						if relative(float64(dx[i]), wantDX[i]) > 1e-5 {
							t.Fatalf("dx[%d] is %v, want %v", i, dx[i], wantDX[i])
						}
						if relative(float64(dxMean[i]), wantMean[i]) > 1e-5 {
							t.Fatalf("%+v: dx[%d] of the mean is %v, want %v", s, i, dxMean[i], wantMean[i])
						}
					}
				}
			})
		}
	})
}
