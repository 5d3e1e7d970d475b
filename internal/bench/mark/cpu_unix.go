//go:build unix

package main

import (
	"syscall"
	"time"
)

// cpuTime returns the seconds that processors have spent on this process.
func cpuTime() (float64, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return (time.Duration(u.Utime.Nano()) + time.Duration(u.Stime.Nano())).Seconds(), nil
}
