package layout

import (
	"fmt"
	"path"
	"strings"

	"ropewalk/tensor"
)

// An Opener opens a file beside the main one: a shard, or external data. The
// name is slash-separated and relative to the folder of the main file; the
// opener has to refuse names for which [LocalName] fails. Whoever made the
// opener closes what it opened.
type Opener func(name string) (tensor.Data, error)

// LocalName checks that a file name found inside of a file stays in the folder
// of that file, on every operating system, and returns it cleaned.
func LocalName(name string) (string, error) {
	clean := path.Clean(name)
	switch {
	case name == "" || clean == ".":
		return "", fmt.Errorf("%w: empty file name", ErrLayout)
	case strings.ContainsAny(name, "\\:\x00"):
		return "", fmt.Errorf("%w: file name %q has a backslash, colon or NUL", ErrLayout, name)
	case path.IsAbs(clean), clean == "..", strings.HasPrefix(clean, "../"):
		return "", fmt.Errorf("%w: file name %q leaves the folder of the checkpoint", ErrLayout, name)
	}
	return clean, nil
}
