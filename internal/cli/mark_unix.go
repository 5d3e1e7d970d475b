//go:build unix

package cli

import "io/fs"

// terminalPath is where the user is asked if standard input is something else.
const terminalPath = "/dev/tty"

// exposed reports whether others can read a file of that mode.
func exposed(m fs.FileMode) bool { return m.Perm()&0o077 != 0 }
