package kernel

// How Gemm goes about it. K is cut into blocks; for each, B is packed into
// panels as wide as a tile, in which the elements that a tile needs for a k lie
// side by side. Then each thread takes blocks of C: it packs the rows of A
// likewise, a block that stays in its own cache, and for each panel of B, which
// stays in the nearest one, goes down the block in tiles
// (Goto and van de Geijn 2008).
//
// Each element of C is a sum in the order of k, block by block, whatever the
// partition: it does not depend on the number of threads.

const (
	blockK    = 256      // largest block of K is half as much again
	blockA    = 96 << 10 // elements of A that a thread packs at a time
	packedMax = 1 << 19  // elements of B that are packed at a time
	// smallWork is how many multiplications are not worth a second thread.
	smallWork = 1 << 19
)

// A gemmJob is a product, or a part of it that can be done in parallel.
type gemmJob struct {
	GemmArgs
	in    *inner
	phase gemmPhase

	packed []float32 // panels of B
	j0, j1 int       // columns that are packed
	k0, k1 int       // block of K
	rows   int       // of C in a block
	cols   int       // likewise
	perCol int       // blocks in a column of blocks
}

type gemmPhase int

const (
	gemmPack  gemmPhase = iota // piece i packs panel i of B
	gemmTiles                  // piece i computes block i of C
	gemmItems                  // piece i computes product i of the batch
	gemmDots                   // piece i computes some columns of A·Bᵀ
)

// A gemmWorker is what a worker needs beside its scratch.
type gemmWorker struct {
	tile     tileArgs
	dot      dotArgs
	copy     copyArgs
	cols     columnArgs
	depth    depthArgs
	segments []segment
}

// steps returns how K is cut into blocks: their number, and the length of each
// but the last.
func steps(k int) (count, length int) {
	if k <= blockK*3/2 {
		return 1, k
	}
	count = ceilDiv(k, blockK)
	return count, ceilDiv(ceilDiv(k, count), 8) * 8
}

func (p *Pool) gemm(g *GemmArgs) {
	j := &p.jobs.gemm
	*j = gemmJob{GemmArgs: *g, in: current}
	defer func() { *j = gemmJob{} }()
	work := g.M * g.N * max(g.K, 1)
	if g.Batch > 1 && (g.Batch >= 2*p.threads || work <= smallWork) {
		j.phase = gemmItems
		if work*g.Batch <= smallWork {
			for i := range g.Batch {
				j.item(p, 0, i)
			}
			return
		}
		p.run(g.Batch, j)
		return
	}
	for i := range g.Batch {
		j.GemmArgs = *g
		j.at(g, i)
		if work <= smallWork {
			j.serial(p, 0)
		} else {
			j.parallel(p)
		}
	}
}

// at makes j product i of the batch.
func (j *gemmJob) at(g *GemmArgs, i int) {
	j.A, j.C = from(g.A, min(i*g.StrideA, len(g.A))), g.C[i*g.StrideC:]
	if g.Packed == nil {
		j.B = from(g.B, min(i*g.StrideB, len(g.B)))
	}
}

func (j *gemmJob) do(p *Pool, worker, i int) {
	switch j.phase {
	case gemmPack:
		w := j.in.width()
		j.packPanel(&p.jobs.workers[worker].copy, j.packed[i*w*(j.k1-j.k0):], j.j0+i*w)
	case gemmTiles:
		j.tiles(p, worker, i)
	case gemmItems:
		j.item(p, worker, i)
	case gemmDots:
		j.dots(&p.jobs.workers[worker].dot, i*j.cols, min(j.N, (i+1)*j.cols))
	}
}

// item computes product i of a batch alone.
func (j *gemmJob) item(p *Pool, worker, i int) {
	one := *j
	one.at(&j.GemmArgs, i)
	one.serial(p, worker)
}

// wantsDots: few rows of A·Bᵀ read B once, as it lies, when they are dot products.
func (j *gemmJob) wantsDots() bool {
	return j.M <= 8 && j.TransB && !j.TransA && j.Packed == nil && j.K >= j.in.lanes
}

// wantsDirect: B is read once, as it lies, if C has a single row of tiles.
func (j *gemmJob) wantsDirect() bool {
	return j.in.masks && j.M <= j.in.rows && !j.TransB && j.Packed == nil
}

func (j *gemmJob) serial(p *Pool, worker int) {
	if j.wantsDots() {
		j.dots(&p.jobs.workers[worker].dot, 0, j.N)
		return
	}
	w := j.in.width()
	_, length := steps(j.K)
	panels := j.N
	if !j.wantsDirect() && j.Packed == nil {
		// B may be large only if there is no other product to compute at the time.
		panels = min(ceilDiv(j.N, w)*w, max(packedMax/max(length, 1)/w, 1)*w)
	}
	for j.j0 = 0; j.j0 < j.N; j.j0 += panels {
		j.j1 = min(j.N, j.j0+panels)
		j.blocks(func() {
			j.rows, j.cols, j.perCol = j.M, j.N, 1
			sizeA := j.sizeA()
			sizeB := 0
			if !j.wantsDirect() && j.Packed == nil {
				sizeB = ceilDiv(j.j1-j.j0, w) * w * (j.k1 - j.k0)
			}
			buf := p.local(worker, sizeA+sizeB+tileScratch)
			if sizeB > 0 {
				j.packed = buf[sizeA+tileScratch:]
				c := &p.jobs.workers[worker].copy
				for i := range ceilDiv(j.j1-j.j0, w) {
					j.packPanel(c, j.packed[i*w*(j.k1-j.k0):], j.j0+i*w)
				}
			}
			j.block(&p.jobs.workers[worker], buf, 0, j.M, j.j0, j.j1)
		})
	}
}

// blocks calls f for each block of K.
func (j *gemmJob) blocks(f func()) {
	count, length := steps(j.K)
	for i := range count {
		j.k0, j.k1 = i*length, min(j.K, (i+1)*length)
		f()
	}
}

func (j *gemmJob) parallel(p *Pool) {
	w := j.in.width()
	if j.wantsDots() {
		j.phase, j.cols = gemmDots, max(24, ceilDiv(smallWork/4, j.M*j.K))
		p.run(ceilDiv(j.N, j.cols), j)
		return
	}
	_, length := steps(j.K)
	panels := j.N
	pack := !j.wantsDirect() && j.Packed == nil
	if pack {
		panels = max(packedMax/max(length, 1)/w, 1) * w
	}
	// Blocks of C: some for each thread, but not so small that packing A anew for
	// each column of blocks takes long.
	want := 4 * p.threads
	j.rows = min(ceilDiv(j.M, j.in.rows)*j.in.rows, max(blockA/max(length, 1)/j.in.rows, 1)*j.in.rows)
	for j.rows > 8*j.in.rows && ceilDiv(j.M, j.rows) < want {
		j.rows = ceilDiv(j.rows/2, j.in.rows) * j.in.rows
	}
	j.perCol = ceilDiv(j.M, j.rows)
	j.cols = ceilDiv(min(panels, j.N), w) * w
	for j.cols > 8*w && j.perCol*ceilDiv(min(panels, j.N), j.cols) < want {
		j.cols = ceilDiv(j.cols/2, w) * w
	}
	for j.j0 = 0; j.j0 < j.N; j.j0 += panels {
		j.j1 = min(j.N, j.j0+panels)
		j.blocks(func() {
			if pack {
				n := ceilDiv(j.j1-j.j0, w)
				j.packed = p.buffer(n * w * (j.k1 - j.k0))
				j.phase = gemmPack
				p.run(n, j)
			}
			j.phase = gemmTiles
			p.run(j.perCol*ceilDiv(j.j1-j.j0, j.cols), j)
		})
	}
}

// tileScratch is room for the largest tile.
const tileScratch = 14 * 32

func (j *gemmJob) sizeA() int {
	if j.TransA && j.M <= j.in.rows {
		return 0
	}
	return min(j.rows, j.M) * (j.k1 - j.k0)
}

func (j *gemmJob) tiles(p *Pool, worker, i int) {
	i0, c0 := i%j.perCol*j.rows, j.j0+i/j.perCol*j.cols
	buf := p.local(worker, j.sizeA()+tileScratch)
	j.block(&p.jobs.workers[worker], buf, i0, min(j.M, i0+j.rows), c0, min(j.j1, c0+j.cols))
}

// split returns where part i of n begins, of count that differ by at most one.
func split(n, count, i int) int { return n/count*i + min(i, n%count) }

// block computes rows [i0, i1) and columns [c0, c1) of C, for the block of K at
// hand. buf has room for those rows of A, and for a tile.
func (j *gemmJob) block(w *gemmWorker, buf []float32, i0, i1, c0, c1 int) {
	in := j.in
	k := j.k1 - j.k0
	tmp, packed := buf[:tileScratch], buf[tileScratch:]
	strips := ceilDiv(i1-i0, in.rows)
	direct := j.sizeA() == 0 // the rows of Aᵀ lie as a tile wants them
	if !direct {
		for s := range strips {
			r0, r1 := split(i1-i0, strips, s), split(i1-i0, strips, s+1)
			j.packA(&w.copy, packed[r0*k:r1*k], i0+r0, i0+r1)
		}
	}
	t := &w.tile
	*t = tileArgs{k: k, ldc: 4 * j.LDC}
	if j.k0 > 0 || j.Accumulate {
		t.flags = flagAccumulate
	}
	if j.k1 == j.K {
		if j.RowBias != nil {
			t.flags |= flagRowBias
		}
		if j.ColBias != nil {
			t.flags |= flagColBias
		}
		if j.Clamp.On {
			t.flags |= flagClamp
			t.lo, t.hi = j.Clamp.Lo, j.Clamp.Hi
		}
	}
	width := in.width()
	for c := c0; c < c1; c += width {
		cols := min(width, c1-c)
		f, slots := in.linear, 2
		if cols <= in.lanes {
			f, slots = in.narrow, 1
		}
		t.mask[0], t.mask[1] = laneMask(min(cols, in.lanes)), laneMask(max(cols-in.lanes, 0))
		switch {
		case j.Packed != nil:
			t.b[0], t.bStep = at(j.Packed.data, c/width*width*j.K+j.k0*width), 4*width
		case j.wantsDirect():
			t.b[0], t.bStep = at(j.B, j.k0*j.LDB+c), 4*j.LDB
		default:
			t.b[0], t.bStep = at(j.packed, (c-j.j0)*k), 4*width
		}
		if j.ColBias != nil {
			t.colBias = at(j.ColBias, c)
		}
		for s := range strips {
			r0, r1 := split(i1-i0, strips, s), split(i1-i0, strips, s+1)
			rows := r1 - r0
			if direct {
				t.a, t.aStep = at(j.A, j.k0*j.LDA+i0+r0), 4*j.LDA
			} else {
				t.a, t.aStep = at(packed, r0*k), 4*rows
			}
			t.c[0] = at(j.C, (i0+r0)*j.LDC+c)
			t.c[1] = at(j.C, (i0+r0)*j.LDC+c+in.lanes)
			if j.RowBias != nil {
				t.rowBias = at(j.RowBias, i0+r0)
			}
			in.compute(f[rows], t, tmp, rows, slots, in.lanes)
		}
	}
	*t = tileArgs{}
}

// packA packs rows [i0, i1) of A for the block of K at hand.
func (j *gemmJob) packA(c *copyArgs, dst []float32, i0, i1 int) {
	if j.TransA {
		for k := j.k0; k < j.k1; k++ {
			copy(dst[(k-j.k0)*(i1-i0):][:i1-i0], j.A[k*j.LDA+i0:])
		}
		return
	}
	j.in.pack(c, dst, i1-i0, j.A[i0*j.LDA+j.k0:], j.LDA, i1-i0, j.k1-j.k0)
}

// pack makes dst[k·step + r] = src[r·ld + k] for rows r and k below n. Nothing
// behind the last element of dst is written.
func (in *inner) pack(c *copyArgs, dst []float32, step int, src []float32, ld, rows, n int) {
	// The last block of rows comes first: a register of it may reach into the first
	// rows of the next k.
	for r0 := (rows - 1) / in.lanes * in.lanes; r0 >= 0; r0 -= in.lanes {
		count := min(rows-r0, in.lanes)
		// A register is stored for each k: the last ones are for Go, if they would
		// reach too far.
		vectors := n / in.lanes
		for vectors > 0 && (vectors*in.lanes-1)*step+r0+in.lanes > len(dst) {
			vectors--
		}
		if vectors > 0 {
			*c = copyArgs{
				dst: at(dst, r0), src: at(src, r0*ld), rows: count,
				dstStep: 4 * step, srcStep: 4 * ld, vectors: vectors,
			}
			in.transpose(c)
			*c = copyArgs{}
		}
		for r := r0; r < r0+count; r++ {
			for k := vectors * in.lanes; k < n; k++ {
				dst[k*step+r] = src[r*ld+k]
			}
		}
	}
}

// packPanel packs the columns of B from c on, one panel of them, for the block of
// K at hand.
func (j *gemmJob) packPanel(c *copyArgs, dst []float32, col int) {
	j.in.packPanel(c, dst[:j.in.width()*(j.k1-j.k0)], j.B, j.LDB, j.TransB, j.k0, j.k1, col, min(j.N, col+j.in.width()))
}

func (in *inner) packPanel(c *copyArgs, dst, b []float32, ld int, trans bool, k0, k1, c0, c1 int) {
	cols, width := c1-c0, in.width()
	if trans {
		if cols < width {
			clear(dst)
		}
		in.pack(c, dst, width, b[c0*ld+k0:], ld, cols, k1-k0)
		return
	}
	*c = copyArgs{
		dst: at(dst, 0), src: at(b, k0*ld+c0), rows: k1 - k0, srcStep: 4 * ld, cols: cols,
		mask:  [2]uint64{laneMask(min(cols, in.lanes)), laneMask(max(cols-in.lanes, 0))},
		lanes: [2][8]int32{laneWords(cols), laneWords(cols - 8)},
	}
	in.packRows(c)
	*c = copyArgs{}
}

func (b *PackedB) pack(s []float32, ld int, trans bool) {
	w := current.width()
	size := ceilDiv(b.n, w) * w * b.k
	if cap(b.data) < size {
		b.data = make([]float32, size)
	}
	b.data = b.data[:size]
	var c copyArgs
	for col := 0; col < b.n; col += w {
		current.packPanel(&c, b.data[col*b.k:][:w*b.k], s, ld, trans, 0, b.k, col, min(b.n, col+w))
	}
}

// dots computes columns [c0, c1) of A·Bᵀ as dot products.
func (j *gemmJob) dots(t *dotArgs, c0, c1 int) {
	in := j.in
	maxRows, maxCols := len(in.dots)-1, len(in.dots[1])-1
	lo, hi := j.Clamp.bounds()
	if !j.Accumulate {
		for i := range j.M {
			clear(j.C[i*j.LDC+c0 : i*j.LDC+c1])
		}
	}
	rest := j.K % in.lanes
	*t = dotArgs{
		groups: 1, lines: 1, vectors: j.K / in.lanes, rest: rest, mask: laneMask(rest),
		lanes: laneWords(rest), yStep: 4 * j.LDA, ldo: 4 * j.LDC,
	}
	for c := c0; c < c1; c += maxCols {
		cols := min(maxCols, c1-c)
		t.x = at(j.B, c*j.LDB)
		for i := range cols {
			t.off[i] = 4 * i * j.LDB
		}
		for i := 0; i < j.M; i += maxRows {
			rows := min(maxRows, j.M-i)
			t.y, t.out = at(j.A, i*j.LDA), at(j.C, i*j.LDC+c)
			in.dots[rows][cols](t)
		}
	}
	*t = dotArgs{}
	if j.RowBias == nil && j.ColBias == nil && !j.Clamp.On {
		return
	}
	for i := range j.M {
		row := j.C[i*j.LDC+c0 : i*j.LDC+c1]
		for k := range row {
			if j.RowBias != nil {
				row[k] += j.RowBias[i]
			}
			if j.ColBias != nil {
				row[k] += j.ColBias[c0+k]
			}
			row[k] = clamp(row[k], lo, hi)
		}
	}
}
