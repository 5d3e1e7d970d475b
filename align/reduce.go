package align

// A table holds sums over the numbers of a tensor, one for each combination of
// positions on the axes that neurons are on. What factors do to squares and
// products can be worked out on it, and it is much smaller where kernels are large.
type table struct {
	dims   []int // of the tensor, but 1 for axes that no neuron is on
	data   []float64
	weight int // numbers of the tensor for each of the table
}

// tables are those of a network, by tensor.
type tables map[string]*table

// reduced makes the tables: of each tensor, f returns what sums up its numbers
// from..to.
func (s *side) reduced(f func(name string) func(from, to int) float64) tables {
	out := tables{}
	for name, a := range s.arrays {
		t := &table{dims: make([]int, len(a.dims)), weight: 1}
		size, lead := 1, 0 // axes from lead on have no neurons
		for axis, d := range a.dims {
			t.dims[axis] = d
			if s.owners[name][axis].free() {
				t.dims[axis] = 1
				t.weight *= d
			} else {
				lead = axis + 1
			}
			size *= t.dims[axis]
		}
		t.data = make([]float64, size)
		run := 1
		for _, d := range a.dims[lead:] {
			run *= d
		}
		index := make([]int, lead)
		sum := f(name)
		for k := 0; k < len(a.data); k += run {
			at := 0
			for axis, i := range index {
				at *= t.dims[axis]
				if t.dims[axis] > 1 {
					at += i
				}
			}
			t.data[at] += sum(k, k+run)
			for axis := lead - 1; axis >= 0; axis-- {
				if index[axis]++; index[axis] < a.dims[axis] {
					break
				}
				index[axis] = 0
			}
		}
		out[name] = t
	}
	return out
}

// sums adds up each neuron's entries at a place, and returns how many numbers of
// the tensor they stand for.
func (ts tables) sums(class *Class, place *Place) (sums []float64, dim int) {
	t := ts[place.Tensor]
	n := t.dims[place.Axis]
	outer, inner := (&array{dims: t.dims}).split(place.Axis)
	all := make([]float64, n)
	for o := range outer {
		rows := t.data[o*n*inner:][:n*inner]
		if inner == 1 {
			for at, x := range rows {
				all[at] += x
			}
			continue
		}
		for at := range all {
			for _, x := range rows[at*inner:][:inner] {
				all[at] += x
			}
		}
	}
	sums = make([]float64, class.Size)
	for i := range sums {
		for k := range max(1, place.Run) {
			sums[i] += all[place.position(i, k)]
		}
	}
	return sums, outer * inner * max(1, place.Run) * t.weight
}

// rescale does to the tables what the factors do to numbers to the given power: 2
// for squares.
func (ts tables) rescale(class *Class, scale [][]float64, power int) {
	for p := range class.Places {
		place := &class.Places[p]
		t := ts[place.Tensor]
		multiply(t.data, t.dims, class, place, scale, power)
	}
}
