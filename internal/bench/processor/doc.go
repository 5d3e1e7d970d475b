// Package processor tells the benchmarks how long processors were at work, which other
// load on the machine changes less than the time on the clock.
package processor

import "errors"

// ErrUnknown is for those who cannot do without.
var ErrUnknown = errors.New("the time of processors is not known on this system")
