package main

import (
	"fmt"
	"math"
	"slices"
)

// A coded matrix is what a coder gets: a symbol for each weight, and the sorted
// levels that the symbols stand for, all of which occur.
type coded struct {
	name   string
	shape  []int64
	levels []float32
	syms   []uint16
	signal float64 // sum of the squared weights
	noise  float64 // sum of the squared differences from them
}

// A stream is a network after a quantizer.
type stream struct {
	network   string
	quantizer string
	tensors   []coded
}

func (s *stream) name() string { return s.network + " " + s.quantizer }

// weights returns how many there are.
func (s *stream) weights() int {
	n := 0
	for _, t := range s.tensors {
		n += len(t.syms)
	}
	return n
}

// snr returns the signal-to-noise ratio in decibels.
func (s *stream) snr() float64 {
	signal, noise := 0.0, 0.0
	for _, t := range s.tensors {
		signal += t.signal
		noise += t.noise
	}
	return 10 * math.Log10(signal/noise)
}

// wide says whether an index of some matrix takes two bytes.
func (s *stream) wide() bool {
	return slices.ContainsFunc(s.tensors, func(t coded) bool { return len(t.levels) > 256 })
}

// bytes returns the indices of all matrices one after another, as programs that
// know nothing of tensors get them.
func (s *stream) bytes() []byte {
	wide := s.wide()
	var b []byte
	for _, t := range s.tensors {
		for _, sym := range t.syms {
			b = append(b, byte(sym))
			if wide {
				b = append(b, byte(sym>>8))
			}
		}
	}
	return b
}

// index returns m as indices into the levels that stand in for its values.
func index(m matrix, quantized []float32) coded {
	c := coded{name: m.name, shape: m.shape, syms: make([]uint16, len(quantized))}
	c.levels = slices.Clone(quantized)
	slices.Sort(c.levels)
	c.levels = slices.Compact(c.levels)
	for i, q := range quantized {
		at, _ := slices.BinarySearch(c.levels, q)
		c.syms[i] = uint16(at)
		x, d := float64(m.values[i]), float64(m.values[i])-float64(q)
		c.signal += x * x
		c.noise += d * d
	}
	return c
}

// gather builds all streams whose name matches, and says which networks are
// missing.
func gather(c *config) (streams []stream, missing []string, err error) {
	for _, n := range networks {
		var wanted []quantizer
		for _, q := range quantizers {
			if c.match.MatchString(n.name + " " + q.name) {
				wanted = append(wanted, q)
			}
		}
		if len(wanted) == 0 {
			continue
		}
		ms, err := n.load(c)
		if err != nil {
			return nil, nil, err
		}
		if ms == nil {
			missing = append(missing, n.name+" ("+n.file+")")
			continue
		}
		total := 0
		for _, m := range ms {
			total += len(m.values)
		}
		if total != n.weights {
			return nil, nil, fmt.Errorf("%s: %d weights in %d matrices, the suite has %d: is it another file?", n.file, total, len(ms), n.weights)
		}
		for _, q := range wanted {
			streams = append(streams, stream{n.name, q.name, q.apply(ms)})
		}
	}
	// Networks that were trained for low entropy belong here, too: their
	// indices are ready, and need no quantizer of the suite.
	return streams, missing, nil
}
