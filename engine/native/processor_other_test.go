//go:build !unix

package native

import "time"

var began = time.Now()

// processorTime returns the time on the clock, in seconds, where that of the processor
// is not told.
func processorTime() float64 { return time.Since(began).Seconds() }
