//go:build !unix

package processor

// Seconds is not known here.
func Seconds() (seconds float64, known bool) { return 0, false }
