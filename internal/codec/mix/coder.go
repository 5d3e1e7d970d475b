package mix

import "ropewalk/internal/codec/rangecoder"

// A coder is the range coder that all models of this package store their
// decisions with.
type coder struct{ rangecoder.Coder }

func newEncoder(dst []byte) coder { return coder{rangecoder.NewEncoder(dst)} }
func newDecoder(src []byte) coder { return coder{rangecoder.NewDecoder(src)} }
