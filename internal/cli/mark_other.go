//go:build !unix

package cli

import "io/fs"

// terminalPath is where the user is asked if standard input is something else.
const terminalPath = "CONIN$"

// exposed reports whether others can read a file of that mode, which here says nothing.
func exposed(fs.FileMode) bool { return false }
