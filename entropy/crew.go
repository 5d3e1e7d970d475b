package entropy

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A crew runs numbered jobs on several goroutines. Which worker gets which job
// is chance, so a job writes only what is its own. It allocates nothing.
type crew struct {
	workers int
	jobs    int
	do      func(worker, job int)
	next    atomic.Int64
	ids     atomic.Int64
	wg      sync.WaitGroup
	body    func() // work and done; kept, so that a go statement needs no closure
}

// newCrew returns a crew of so many workers, 0 for all processors.
func newCrew(threads int) *crew {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	c := &crew{workers: threads}
	c.body = func() {
		defer c.wg.Done()
		c.work()
	}
	return c
}

// run calls do for 0 <= job < jobs; worker is below c.workers, and no two calls
// with the same one are made at a time.
func (c *crew) run(jobs int, do func(worker, job int)) {
	c.jobs, c.do = jobs, do
	c.next.Store(0)
	c.ids.Store(0)
	others := min(c.workers, jobs) - 1
	for range others {
		c.wg.Add(1)
		go c.body()
	}
	c.work()
	c.wg.Wait()
	c.do = nil
}

func (c *crew) work() {
	worker := int(c.ids.Add(1)) - 1
	for {
		job := int(c.next.Add(1)) - 1
		if job >= c.jobs {
			return
		}
		c.do(worker, job)
	}
}
