// Command gen writes the assembly of package kernel. Run it with
//
//	go generate ./internal/kernel
//
// A test holds what it writes against what lies there.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := "."
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	for name, text := range files() {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "gen:", err)
			os.Exit(1)
		}
	}
}

// files returns the text of each file.
func files() map[string]string {
	out := map[string]string{}
	for _, m := range []machine{avx512, avx2} {
		f := &file{machine: m}
		tiles(f)
		f.tables("tileArgs", tileTables(m))
		out["tile_"+m.name+"_amd64.s"] = f.text()
		out["tile_"+m.name+"_amd64.go"] = f.declarations()

		f = &file{machine: m}
		dots(f)
		f.dotTables()
		out["dot_"+m.name+"_amd64.s"] = f.text()
		out["dot_"+m.name+"_amd64.go"] = f.declarations()

		f = &file{machine: m}
		copies(f)
		out["copy_"+m.name+"_amd64.s"] = f.text()
		out["copy_"+m.name+"_amd64.go"] = f.declarations()

		f = &file{machine: m}
		vectors(f)
		out["vector_"+m.name+"_amd64.s"] = f.text()
		out["vector_"+m.name+"_amd64.go"] = f.declarations()

		f = &file{machine: m}
		hats(f)
		out["hats_"+m.name+"_amd64.s"] = f.text()
		out["hats_"+m.name+"_amd64.go"] = f.declarations()
	}
	for name, write := range map[string]func(*file){
		"tile": func(f *file) { armTiles(f); f.tables("tileArgs", tileTables(neon)) },
		"dot":  func(f *file) { armDots(f); f.dotTables() },
		"copy": armCopies, "vector": vectors,
	} {
		f := &file{machine: neon}
		write(f)
		out[name+"_neon_arm64.s"] = f.text()
		out[name+"_neon_arm64.go"] = f.declarations()
	}
	f := &file{machine: avx512}
	columnKernels(f)
	depthwise(f)
	out["columns_avx512_amd64.s"] = f.text()
	out["columns_avx512_amd64.go"] = f.declarations()
	return out
}
