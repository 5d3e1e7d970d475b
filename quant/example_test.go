package quant_test

import (
	"fmt"

	"ropewalk/quant"
)

func ExampleQuantize() {
	w := []float32{-0.9, -0.06, 0.04, 0.46, 1.02, 0.01, -0.52, 0.03}
	q, err := quant.Quantize("fc.weight", []int64{2, 4}, w, nil, &quant.Options{Method: quant.Codebook, Codebook: []float32{-1, -0.5, 0, 0.5, 1}})
	if err != nil {
		panic(err)
	}
	fmt.Println(q.Symbols)
	fmt.Println(q.Values(nil))
	fmt.Printf("NMSE %.4f, max error %.2f\n", q.NMSE, q.MaxError)
	// Output:
	// [0 2 2 3 4 2 1 2]
	// [-1 0 0 0.5 1 0 -0.5 0]
	// NMSE 0.0080, max error 0.10
}
