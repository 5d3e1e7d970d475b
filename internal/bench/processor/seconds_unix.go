//go:build unix

package processor

import (
	"syscall"
	"time"
)

// Seconds returns the time that all processors have spent on this process.
func Seconds() (seconds float64, known bool) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, false
	}
	return (time.Duration(u.Utime.Nano()) + time.Duration(u.Stime.Nano())).Seconds(), true
}
