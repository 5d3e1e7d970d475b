//go:build !unix

package main

import "errors"

func cpuTime() (float64, error) {
	return 0, errors.New("the time of processors is not known on this system")
}
