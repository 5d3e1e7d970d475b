//go:build unix

package main

import (
	"syscall"
	"time"
)

// processorSeconds is the time that all processors have spent on this process.
func processorSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("hemp: internal error: " + err.Error())
	}
	return (time.Duration(u.Utime.Nano()) + time.Duration(u.Stime.Nano())).Seconds()
}
