package kernel

import (
	"runtime"
	"sync/atomic"
)

// A Pool runs kernels on a number of goroutines, and owns the memory that they
// need in between. It serves one call at a time and must not be used by two
// goroutines at once, nor from inside a function that it runs.
//
// A network that sees one image is a row of jobs of a few microseconds each, and to
// wake a goroutine takes as long. So nobody waits for a worker that has not begun:
// the caller takes pieces like everybody else, and closes the job when none is left.
// And a worker that has run out of pieces looks out for the next job for a while
// before it sleeps.
type Pool struct {
	threads int
	workers []worker // worker 0 is the caller, who needs no entry
	busy    atomic.Bool

	// The job at hand. Each goroutine takes the next index until there is none.
	job    task
	count  atomic.Int64
	next   atomic.Int64
	failed atomic.Pointer[any]

	// members is how many workers are at the job, or closed plus that number.
	members atomic.Int64
	// waits is set while the caller sleeps until the last member leaves.
	waits atomic.Bool
	left  chan struct{}

	shared  []float32   // see buffer
	scratch [][]float32 // see local
	jobs    jobs
}

// closed marks a job that nobody may join.
const closed = 1 << 32

// A worker is a goroutine other than the caller's.
type worker struct {
	asleep atomic.Bool
	wake   chan struct{}
}

const (
	// lookouts is how often a worker looks for a job before it sleeps, and a caller
	// for the others to be done: some 30 microseconds.
	lookouts = 800
	// relaxed is how long it waits in between, in turns of [relax].
	relaxed = 2
)

// A task is a job cut into pieces. Piece i writes what no other piece touches, so
// it does not matter who does it, nor when.
type task interface {
	do(p *Pool, worker, i int)
}

// NewPool returns a pool that computes on the given number of threads, the
// caller's included; 0 or less stands for all that the program may use. Close gives
// the goroutines back.
func NewPool(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{
		threads: threads, workers: make([]worker, threads), left: make(chan struct{}, 1),
		scratch: make([][]float32, threads), jobs: jobs{args: make([]vecArgs, threads), workers: make([]gemmWorker, threads)},
	}
	p.members.Store(closed)
	for w := 1; w < threads; w++ {
		p.workers[w].wake = make(chan struct{}, 1)
		p.workers[w].asleep.Store(true)
		go p.serve(w, &p.workers[w])
	}
	return p
}

// Threads returns how many goroutines compute at a time.
func (p *Pool) Threads() int { return p.threads }

// Close ends the goroutines. The pool must not be used afterwards.
func (p *Pool) Close() {
	for w := range p.workers {
		if wake := p.workers[w].wake; wake != nil {
			close(wake)
		}
	}
	p.workers = nil
}

// Run calls f(worker, i) for each i in [0, n), and returns when all calls have.
// Calls with the same worker, a number in [0, Threads), do not overlap. Which
// worker gets which i is open: let results depend on i alone. A panic in f is
// passed on, when the other calls have come to an end.
func (p *Pool) Run(n int, f func(worker, i int)) { p.run(n, funcTask(f)) }

// Ranges cuts [0, n) into pieces of grain, the last one shorter, and runs f on
// each as Run does.
func (p *Pool) Ranges(n, grain int, f func(worker, lo, hi int)) {
	grain = max(grain, 1)
	p.Run(ceilDiv(n, grain), func(w, i int) { f(w, i*grain, min(n, (i+1)*grain)) })
}

type funcTask func(worker, i int)

func (f funcTask) do(_ *Pool, worker, i int) { f(worker, i) }

func (p *Pool) run(n int, job task) {
	if n <= 0 {
		return
	}
	if !p.busy.CompareAndSwap(false, true) {
		panic("kernel: a pool is used by two callers at once, or from inside its own job")
	}
	defer p.busy.Store(false)
	helpers := min(n, p.threads) - 1
	if helpers == 0 {
		for i := range n {
			job.do(p, 0, i)
		}
		return
	}
	p.job = job
	p.count.Store(int64(n))
	p.next.Store(0)
	p.members.Store(0) // open
	for w := 1; w <= helpers; w++ {
		if h := &p.workers[w]; h.asleep.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
	p.work(0)
	p.await()
	p.job = nil
	if r := p.failed.Swap(nil); r != nil {
		panic(*r)
	}
}

// await closes the job, and returns when all who joined it have left.
func (p *Pool) await() {
	if p.members.Add(closed) == closed {
		return
	}
	for range lookouts {
		if p.members.Load() == closed {
			return
		}
		relax(relaxed)
	}
	p.waits.Store(true)
	if p.members.Load() == closed && p.waits.CompareAndSwap(true, false) {
		return
	}
	<-p.left
}

// join makes the caller a member of the job, unless that is closed.
func (p *Pool) join() bool {
	for {
		m := p.members.Load()
		if m >= closed {
			return false
		}
		if p.members.CompareAndSwap(m, m+1) {
			return true
		}
	}
}

func (p *Pool) leave() {
	if p.members.Add(-1) == closed && p.waits.CompareAndSwap(true, false) {
		p.left <- struct{}{}
	}
}

func (p *Pool) serve(w int, me *worker) {
	for range me.wake {
		for {
			for look := 0; look < lookouts; look++ {
				if p.help(w) {
					look = 0
				}
				relax(relaxed)
			}
			me.asleep.Store(true)
			// Whoever opened a job just before that took the worker to be awake.
			if !p.help(w) || !me.asleep.CompareAndSwap(true, false) {
				break
			}
		}
	}
}

// help does pieces of the job at hand, if there are any that nobody has begun.
func (p *Pool) help(w int) bool {
	if p.next.Load() >= p.count.Load() || !p.join() {
		return false
	}
	defer p.leave()
	p.work(w)
	return true
}

// work does pieces of the job until none is left.
func (p *Pool) work(worker int) {
	defer func() {
		if r := recover(); r != nil {
			failure := r // r itself would be allocated for each call
			p.failed.CompareAndSwap(nil, &failure)
			p.next.Store(p.count.Load()) // the others stop after their piece
		}
	}()
	for {
		i := p.next.Add(1) - 1
		if i >= p.count.Load() {
			return
		}
		p.job.do(p, worker, int(i))
	}
}

// buffer returns n floats of any value that all workers share, until the next
// call of buffer.
func (p *Pool) buffer(n int) []float32 {
	if cap(p.shared) < n {
		p.shared = make([]float32, n)
	}
	return p.shared[:n]
}

// local returns n floats of any value that belong to worker, until its next call
// of local.
func (p *Pool) local(worker, n int) []float32 {
	if cap(p.scratch[worker]) < n {
		p.scratch[worker] = make([]float32, n)
	}
	return p.scratch[worker][:n]
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// need panics unless s has n elements.
func need(what string, s []float32, n int) {
	if len(s) < n {
		panicShort(what, len(s), n)
	}
}
