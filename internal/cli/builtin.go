package cli

import (
	"bytes"
	"context"
	"embed"
	"path"
	"strings"

	"ropewalk/checkpoint"
	"ropewalk/internal/nearest"
)

// builtinPrefix begins the names of networks, as of data, that the program carries.
const builtinPrefix = "builtin:"

// builtinFiles are these networks; builtin/README.md says where they come from.
//
//go:embed builtin/*.rope
var builtinFiles embed.FS

// isBuiltin reports whether a name is that of something that the program carries.
func isBuiltin(name string) bool { return strings.HasPrefix(name, builtinPrefix) }

// openBuiltin opens a network that the program carries.
func openBuiltin(ctx context.Context, name string, opt *checkpoint.Options) (*checkpoint.Checkpoint, error) {
	bare := strings.TrimPrefix(name, builtinPrefix)
	packed, err := builtinFiles.ReadFile("builtin/" + bare + ext)
	if err != nil {
		v := usagef("no network %.100q is built in; want %s", bare, strings.Join(builtinNames(), " or "))
		if n := nearest.Name(name, builtinNames()); n != "" {
			return nil, v.withHint("did you mean %s?", n)
		}
		return nil, v
	}
	return checkpoint.OpenReader(ctx, name, bytes.NewReader(packed), opt)
}

// builtinNames lists the networks that the program carries.
func builtinNames() []string {
	var names []string
	entries, err := builtinFiles.ReadDir("builtin")
	if err != nil {
		panic("internal error: " + err.Error()) // it is embedded
	}
	for _, e := range entries {
		names = append(names, builtinPrefix+strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
	}
	return names
}
