package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A Pool runs kernels on a number of goroutines, and owns the memory that they
// need in between. It serves one call at a time and must not be used by two
// goroutines at once, nor from inside a function that it runs.
type Pool struct {
	threads int
	wake    []chan struct{} // one for each goroutine but the caller's
	group   sync.WaitGroup
	busy    atomic.Bool

	// The job at hand. Each goroutine takes the next index until there is none.
	job    task
	count  int64
	next   atomic.Int64
	failed atomic.Pointer[any]

	shared  []float32   // see buffer
	scratch [][]float32 // see local
	jobs    jobs
}

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
	p := &Pool{threads: threads, scratch: make([][]float32, threads), jobs: jobs{args: make([]vecArgs, threads), workers: make([]gemmWorker, threads)}}
	for w := 1; w < threads; w++ {
		wake := make(chan struct{}, 1)
		p.wake = append(p.wake, wake)
		go p.serve(w, wake)
	}
	return p
}

// Threads returns how many goroutines compute at a time.
func (p *Pool) Threads() int { return p.threads }

// Close ends the goroutines. The pool must not be used afterwards.
func (p *Pool) Close() {
	for _, wake := range p.wake {
		close(wake)
	}
	p.wake = nil
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
	p.job, p.count = job, int64(n)
	p.next.Store(0)
	p.group.Add(helpers)
	for _, wake := range p.wake[:helpers] {
		wake <- struct{}{}
	}
	p.work(0)
	p.group.Wait()
	p.job = nil
	if r := p.failed.Swap(nil); r != nil {
		panic(*r)
	}
}

func (p *Pool) serve(worker int, wake chan struct{}) {
	for range wake {
		p.work(worker)
		p.group.Done()
	}
}

// work does pieces of the job until none is left.
func (p *Pool) work(worker int) {
	defer func() {
		if r := recover(); r != nil {
			failure := r // r itself would be allocated for each call
			p.failed.CompareAndSwap(nil, &failure)
			p.next.Store(p.count) // the others stop after their piece
		}
	}()
	for {
		i := p.next.Add(1) - 1
		if i >= p.count {
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
