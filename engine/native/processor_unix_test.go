//go:build unix

package native

import "syscall"

// processorTime returns what the process has used, in seconds; unlike the time on the
// clock, it is about the same on a busy machine.
func processorTime() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
