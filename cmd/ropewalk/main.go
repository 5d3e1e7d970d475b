// Command ropewalk packs neural-network checkpoints without loss.
package main

import (
	"os"

	"ropewalk/internal/cli"
)

func main() { os.Exit(cli.Main()) }
