package entropy

import (
	"math"

	"ropewalk/internal/kernel"
)

// A fused finds the gradient of the paper's entropy and the pull towards levels in one
// go, for the sizes that the paper works at: blocks of up to four weights as they lie
// in memory, and so few levels that what belongs to a bin fits a register. Products
// are in float32 and sums over all of them in float64. It keeps nothing for a weight:
// shares are found anew for the gradient, which is faster than to read them. [Proxy]
// is what it is held against.
//
// A table has the 2^n cells of each tuple of bins side by side: then a block is one
// addition of a register, and one look-up.
type fused struct {
	n      int // weights of a block
	wide   int // of a block of the tables: blocks of one are counted two by two
	blocks float64

	lanes  []fusedLane
	logs   []float32 // log2 p of the cells of each tuple
	places []int32   // of each number of a table among the cells
	mass   []float64 // of cells
	info   []float64 // log2 p of cells
	strip  kernel.Strip

	workers []fusedWorker
	ones    []float32

	// Arguments of the call in work.
	p *Paper
	w [][]float32
}

// A fusedLane is a run of pieces whose masses are summed up on their own: so many that
// sums of float32 are good enough, whatever the threads.
type fusedLane struct {
	from, to int
	table    []float32
	odd      []float64 // by bin and center: weights of no pair
}

// A fusedWorker is what a goroutine works with.
type fusedWorker struct {
	hats           kernel.Hats
	bins           []int32
	shares, slopes []float32
	factors        [kernel.MaxCenters]float32
}

const (
	// fusedChunk is how many weights are worked on at a time: whole blocks of any
	// size, in the nearest cache.
	fusedChunk = 168 * 12
	// fusedTable bounds a table.
	fusedTable = 1 << 16
	// lanesMost is how many lanes there are, if sums may be of laneMost weights.
	lanesMost = 8
	laneMost  = 1 << 18
)

// newFused returns nil if these tensors are not its case.
func newFused(p *Paper) *fused {
	f := &fused{n: p.o.Order, wide: max(p.o.Order, 2), p: p}
	if f.n > kernel.MaxBlock || p.o.ClosedForm || p.o.Relative || len(p.active) == 0 {
		return nil
	}
	bins, weights := 0, 0
	for _, t := range p.active {
		if t.Scan != RowMajor {
			return nil
		}
		bins = max(bins, len(p.state.Tensors[t.index].Levels)+1)
		f.blocks += float64(len(t.pull) / f.n)
		weights += len(t.pull)
	}
	size := 1
	for range f.wide {
		size *= 2 * bins
	}
	code, ok := newCellCode(f.n, bins+1, fusedTable)
	if bins >= kernel.MaxCenters || size > fusedTable || !ok || !code.dense {
		return nil
	}
	f.logs, f.mass, f.info = make([]float32, size), make([]float64, code.cells), make([]float64, code.cells)
	f.place(bins)
	lanes := max(min(lanesMost, weights/laneWeights), (weights+laneMost-1)/laneMost, 1)
	for i := range lanes {
		f.lanes = append(f.lanes, fusedLane{
			from: len(p.pieces) * i / lanes, to: len(p.pieces) * (i + 1) / lanes,
			table: make([]float32, size), odd: make([]float64, 2*bins),
		})
	}
	f.workers = make([]fusedWorker, p.crew.workers)
	for i := range f.workers {
		room := fusedChunk + kernel.HatsRoom
		f.workers[i] = fusedWorker{bins: make([]int32, room), shares: make([]float32, room), slopes: make([]float32, room)}
	}
	f.ones = make([]float32, fusedChunk)
	for i := range f.ones {
		f.ones[i] = 1
	}
	return f
}

// place finds the cells of a table. Those of blocks of one weight are of the first of
// two; that of the second is found by turning digits round.
func (f *fused) place(bins int) {
	f.places = make([]int32, len(f.logs))
	for i := range f.places {
		tuple, cell, digit := i>>f.wide, 0, 1
		for m := f.wide - 1; m >= 0; m-- {
			center := tuple%bins + i>>(f.wide-1-m)&1
			tuple /= bins
			if m >= f.n {
				continue
			}
			cell += digit * center
			digit *= bins + 1
		}
		f.places[i] = int32(cell)
	}
}

// reset sets the bins, from the outer centers.
func (t *paperTensor) reset(levels []float64) {
	at := t.outer.at
	t.bins = t.bins[:0]
	for b := range len(at) - 1 {
		bin := kernel.Bin{From: notBelow(at[b]), Inverse: float32(t.outer.inverse[b])}
		switch {
		case b == 0: // below all levels
			bin.Low = float32(levels[0])
			bin.High, bin.Split = bin.Low, float32(math.Inf(1))
		case b == len(levels):
			bin.Low = float32(levels[b-1])
			bin.High, bin.Split = bin.Low, float32(math.Inf(1))
		default:
			bin.Low, bin.High, bin.Split = float32(levels[b-1]), float32(levels[b]), notAbove(t.cells.at[b-1])
		}
		t.bins = append(t.bins, bin)
	}
}

// notBelow returns the least number of 32 bits that is not below x.
func notBelow(x float64) float32 { return -notAbove(-x) }

// refresh sets the pull of all tensors, and the squares of pieces, and returns the
// entropy. The bins of tensors have been set.
func (f *fused) refresh(weights [][]float32) float64 {
	f.w = weights
	f.p.crew.run(len(f.lanes), f.p.countJob)
	sum := f.lanes[0].table
	for i := 1; i < len(f.lanes); i++ {
		f.strip.Add(sum, sum, f.lanes[i].table)
	}
	f.pool(sum)
	h := max(information(f.info, f.mass, max(f.blocks, 1)), 0)
	for i, cell := range f.places {
		f.logs[i] = float32(f.info[cell])
	}
	f.p.crew.run(len(f.p.pieces), f.p.fusedJob)
	f.w = nil
	return h
}

// pool adds up the masses of cells.
func (f *fused) pool(table []float32) {
	clear(f.mass)
	for i, x := range table {
		f.mass[f.places[i]] += float64(x)
	}
	if f.n > 1 {
		return
	}
	bins := len(f.mass) - 1
	for i, x := range table {
		f.mass[i>>2%bins+i&1] += float64(x)
	}
	for _, l := range f.lanes {
		for i, x := range l.odd {
			f.mass[i/2+i%2] += x
		}
	}
}

// count adds up the masses of a lane.
func (f *fused) count(worker, job int) {
	l, k := &f.lanes[job], &f.workers[worker]
	clear(l.table)
	clear(l.odd)
	for i := l.from; i < l.to; i++ {
		pc := &f.p.pieces[i]
		k.hats.Reset(pc.t.bins, f.radix())
		for from := pc.from; from < pc.to; from += fusedChunk {
			w := f.w[pc.t.index][from:min(from+fusedChunk, pc.to)]
			k.hats.Locate(k.bins, k.shares, w)
			k.hats.Scatter(l.table, f.wide, len(w)/f.wide, k.bins, k.shares)
			if f.n == 1 && len(w)%2 == 1 {
				b, u := int(k.bins[len(w)-1]), float64(k.shares[len(w)-1])
				l.odd[2*b] += 1 - u
				l.odd[2*b+1] += u
			}
		}
	}
}

func (f *fused) radix() int { return len(f.lanes[0].odd) / 2 }

// gather finds the pull of a piece.
func (f *fused) gather(worker, job int) {
	pc, k := &f.p.pieces[job], &f.workers[worker]
	t := pc.t
	k.hats.Reset(t.bins, f.radix())
	f.factors(k, t)
	pc.squares = 0
	for from := pc.from; from < pc.to; from += fusedChunk {
		to := min(from+fusedChunk, pc.to)
		w := f.w[t.index][from:to]
		onCenter := k.hats.Locate(k.bins, k.shares, w)
		slopes := f.ones
		if f.n > 1 {
			slopes = k.slopes
			blocks := len(w) / f.n
			k.hats.Slopes(slopes, f.logs, f.n, blocks, k.bins, k.shares)
			clear(slopes[blocks*f.n : len(w)]) // what fills no block
			if onCenter {
				f.kinks(k, blocks)
			}
		}
		pc.squares += float64(k.hats.Pull(t.pull[from:to], w, slopes, k.bins, k.factors[:], float32(f.p.o.LambdaE)))
	}
}

// factors sets what slopes by shares are multiplied by. Those of blocks of one weight
// are all known: beside an empty cell they are 0 (the paper's 0/0).
func (f *fused) factors(k *fusedWorker, t *paperTensor) {
	scale := -f.p.o.LambdaH / max(f.blocks, 1)
	for b, inv := range t.outer.inverse[:len(t.bins)] {
		x := scale * inv
		if f.n == 1 {
			if f.mass[b] > 0 && f.mass[b+1] > 0 {
				x *= f.info[b+1] - f.info[b]
			} else {
				x = 0
			}
		}
		k.factors[b] = float32(x)
	}
}

// kinks sets the slopes of weights on centers, as [Proxy] has them: pairs with an empty
// cell do not count. Weights are hardly ever there.
func (f *fused) kinks(k *fusedWorker, blocks int) {
	n := f.n
	for block := range blocks {
		bins, shares, slopes := k.bins[block*n:][:n], k.shares[block*n:][:n], k.slopes[block*n:][:n]
		for m, u := range shares {
			if u == 0 {
				slopes[m] = f.kink(bins, shares, m)
			}
		}
	}
}

func (f *fused) kink(bins []int32, shares []float32, m int) float32 {
	n, first := f.n, 0
	for _, b := range bins {
		first = first*f.radix() + int(b)
	}
	slope, up := 0.0, 1<<(n-1-m)
	for s := range 1 << n {
		if s&up != 0 {
			continue
		}
		at := first<<n + s
		if f.mass[f.places[at]] == 0 || f.mass[f.places[at+up]] == 0 {
			continue
		}
		rest := 1.0
		for l, u := range shares {
			switch {
			case l == m:
			case s>>(n-1-l)&1 == 1:
				rest *= float64(u)
			default:
				rest *= 1 - float64(u)
			}
		}
		slope += rest * float64(f.logs[at+up]-f.logs[at])
	}
	return float32(slope)
}
