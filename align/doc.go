// Package align finds which neuron of one network is which neuron of another.
package align
