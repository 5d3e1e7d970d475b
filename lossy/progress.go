package lossy

import "sync"

// What steps take, relative to each other, for one weight: measured on
// ResNet-32, in the coder that goes with them.
const (
	costPlain  = 1  // to quantize
	costFast   = 1  // to code with effort fast
	costRDO    = 25 // to quantize with RDO
	costMax    = 16 // to code with effort max
	triesPlain = 8  // of a search, more or less
	triesRDO   = 4
)

// readShare is the part of all work that New does, without and with a search.
const (
	readShare       = 0.3
	readShareBudget = 0.02
)

// A meter makes one progress of steps whose number is not known beforehand.
type meter struct {
	report func(done, total int64)
	left   float64 // cost of what is expected to come

	mu   sync.Mutex
	at   float64 // where the step begins, 0 to 1
	end  float64 // and ends
	most float64 // that was reported
}

// newMeter returns a meter of steps that are expected to cost that much; the
// part before from is done.
func newMeter(report func(done, total int64), from, cost float64) *meter {
	return &meter{report: report, left: cost, end: from, most: from}
}

// step begins a step. If more come than were expected, each takes half of what
// is left.
func (m *meter) step(cost float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = m.end
	m.end += (1 - m.end) * cost / max(m.left, 2*cost)
	m.left -= cost
}

// part returns a callback for the part of the present step from one fraction
// of it to another.
func (m *meter) part(from, to float64) func(done, total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.at + (m.end-m.at)*from
	span := (m.end - m.at) * (to - from)
	return func(done, total int64) {
		if total > 0 {
			m.show(at + span*float64(done)/float64(total))
		}
	}
}

// units is the total of what is reported.
const units = 1 << 20

// show reports that much, unless more was.
func (m *meter) show(share float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if share > m.most {
		m.most = share
		m.report(int64(share*units), units)
	}
}
