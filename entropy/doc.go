// Package entropy measures the n-th order entropy of quantized weights.
package entropy
