package main

import (
	"context"
	_ "embed"

	"ropewalk/internal/bench/rival"
)

//go:embed zipnn.py
var zipNNScript string

// zipNN is the Python package of that name. It measures in memory and by its own
// clock.
type zipNN struct {
	python string
	script *rival.Script
}

// zipNNTypes are the names that ZipNN has for the elements of a file.
var zipNNTypes = map[class]string{fp32: "float32", bf16: "bfloat16", fp16: "float16", quantized: "float32"}

func startZipNN(ctx context.Context, python string) (*zipNN, error) {
	script, err := rival.StartScript(ctx, python, "zipnn", zipNNScript)
	if err != nil {
		return nil, err
	}
	return &zipNN{python, script}, nil
}

func (z *zipNN) name() string { return "ZipNN" }

func (z *zipNN) pack(ctx context.Context, in input, packed, restored string) (encode, decode rival.Cost, err error) {
	question := map[string]string{"in": in.path, "packed": packed, "restored": restored, "dtype": zipNNTypes[in.class]}
	var spent struct{ Encode, Decode rival.Cost }
	if err := z.script.Ask(question, &spent); err != nil {
		// It crashes on some files (0.5.4: an assertion of malloc); the next one
		// gets a new process.
		z.script.Close()
		if again, startErr := startZipNN(ctx, z.python); startErr == nil {
			*z = *again
		}
		return rival.Cost{}, rival.Cost{}, err
	}
	return spent.Encode, spent.Decode, nil
}
