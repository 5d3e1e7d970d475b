package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// How often the progress is shown: on a terminal one line that changes, else
// a line now and then, for logs. Short jobs show none.
const (
	liveEvery  = 200 * time.Millisecond
	plainEvery = 10 * time.Second
)

// A progress shows how far a whole job is, all its inputs together.
type progress struct {
	w     io.Writer
	live  bool
	verb  string
	start time.Time
	total atomic.Int64
	done  atomic.Int64
	mixed atomic.Bool            // work of several kinds: a part of it, but no bytes
	line  atomic.Pointer[string] // what the job says itself, or nil
	quit  chan struct{}
	wg    sync.WaitGroup

	mu    sync.Mutex
	shown bool // there is a line to be cleared
}

// progress starts to show the progress of a job of total bytes. stop ends it.
func (e *env) progress(verb string, total int64) *progress {
	p := &progress{w: e.stderr, live: isTerminal(e.stderr), verb: verb, start: time.Now(), quit: make(chan struct{})}
	p.total.Store(total)
	e.bar = p
	if e.quiet {
		return p
	}
	every := plainEvery
	if p.live {
		every = liveEvery
	}
	p.wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				p.show(now.Sub(p.start))
			case <-p.quit:
				return
			}
		}
	})
	return p
}

func (p *progress) show(elapsed time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := amount{p.done.Load(), p.total.Load(), p.mixed.Load()}.line(p.verb, elapsed)
	if own := p.line.Load(); own != nil {
		line = *own
	}
	if p.live {
		p.sayf("\r%s\x1b[K", line)
		p.shown = true
		return
	}
	p.sayf("ropewalk: %s\n", line)
}

func (p *progress) sayf(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format, args...) }

// part returns a callback for a step that makes up n bytes of the job. It may
// be called from several goroutines, and out of order.
func (p *progress) part(n int64) func(done, total int64) {
	var mu sync.Mutex
	shown := int64(0)
	return func(done, total int64) {
		if total <= 0 {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if now := int64(float64(n) * float64(done) / float64(total)); now > shown {
			p.done.Add(now - shown)
			shown = now
		}
	}
}

// say replaces the line that is shown.
func (p *progress) say(line string) { p.line.Store(&line) }

// clear makes room for something else to be printed. p may be nil.
func (p *progress) clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		p.sayf("\r\x1b[K")
		p.shown = false
	}
}

// stop ends the progress.
func (p *progress) stop() {
	close(p.quit)
	p.wg.Wait()
	p.clear()
}

// An amount is how much of a job is done.
type amount struct {
	done, total int64
	mixed       bool // not bytes, but work of several kinds
}

// line returns "pack  42 %  1.2 GiB of 2.9 GiB  310 MiB/s  0:06 left", without
// sizes if they are mixed.
func (a amount) line(verb string, elapsed time.Duration) string {
	var b strings.Builder
	b.WriteString(verb)
	if a.total <= 0 {
		fmt.Fprintf(&b, "  %v", elapsed.Round(time.Second))
		return b.String()
	}
	done := min(a.done, a.total)
	share := float64(done) / float64(a.total)
	fmt.Fprintf(&b, " %3.0f %%", 100*share)
	if !a.mixed {
		fmt.Fprintf(&b, "  %v of %v", byteSize(done), byteSize(a.total))
	}
	if s := elapsed.Seconds(); done > 0 && s > 0 {
		left := time.Duration(s * (1 - share) / share * float64(time.Second)).Round(time.Second)
		if !a.mixed {
			fmt.Fprintf(&b, "  %v/s", byteSize(float64(done)/s))
		}
		fmt.Fprintf(&b, "  %s left", clock(left))
	}
	return b.String()
}

// clock returns 3:07 or 2:03:07.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}
