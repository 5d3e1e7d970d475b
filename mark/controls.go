package mark

import (
	"fmt"
	"io"
	"math"

	"ropewalk/tensor"
)

// Controls returns z of n keys that are drawn from random, on the same suspect,
// reference and parameters (of scheme keyed, or grid without a payload): what chance
// does. The residual is made once; each key costs about a nanosecond for each weight.
// That they look like the standard normal distribution is a check of the program, and
// no part of the proof in [Bound].
func Controls(suspect, reference *tensor.Set, p *Parameters, n int, random io.Reader) ([]float64, error) {
	f := score(additive)
	switch {
	case p.Bits > 0 || p.Scheme != keyed{}.Name() && p.Scheme != grid{}.Name():
		return nil, fmt.Errorf("%w: controls are of schemes keyed and grid without a payload", ErrOptions)
	case p.Scheme == grid{}.Name():
		f = steps
	}
	list, err := lookup(suspect, p)
	if err != nil {
		return nil, err
	}
	y := make([][]float32, len(list))
	energy := 0.0
	for i, t := range list {
		if y[i], err = scoreOf(t, reference, p, f); err != nil {
			return nil, err
		}
		for _, v := range y[i] {
			energy += float64(v) * float64(v)
		}
	}
	secrets := make([]byte, n*secretSize)
	if _, err := io.ReadFull(random, secrets); err != nil {
		return nil, fmt.Errorf("drawing secrets: %w", err)
	}
	z := make([]float64, n)
	if !(energy > 0) {
		return z, nil
	}
	err = inParallel(n, func(i int) error {
		k := Key{secret: [secretSize]byte(secrets[i*secretSize:])}
		for j, t := range list {
			l, err := k.Layer(p.Scheme, t.Name)
			if err != nil {
				return err
			}
			z[i] += newCarrier(&l, 0).read(y[j]).dot
		}
		z[i] /= math.Sqrt(energy)
		return nil
	})
	return z, err
}

// scoreOf returns what a score makes of a tensor of the suspect.
func scoreOf(t *tensor.Tensor, reference *tensor.Set, p *Parameters, f score) ([]float32, error) {
	var ref []float32
	if reference != nil {
		u := reference.Lookup(t.Name)
		if u == nil || !u.DType.Numeric() || !u.Shape.Equal(t.Shape) {
			return nil, fmt.Errorf("%w: %s is %s in the suspect, and not in the reference", ErrNetwork, t.Name, t.Shape)
		}
		var err error
		if ref, err = floats(u); err != nil {
			return nil, err
		}
	}
	x, err := floats(t)
	if err != nil {
		return nil, err
	}
	return f(x, ref, t.Shape, p), nil
}
