package cli

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// example joins examples, each a description and its commands.
func example(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, "  # %s\n", pairs[i])
		for line := range strings.SplitSeq(pairs[i+1], "\n") {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

// exitNote is the annotation that holds the statuses of a command.
const exitNote = "exit status"

// exits notes with which statuses a command may end, beside 0 and 1.
func exits(cmd *cobra.Command, statuses ...int) {
	var b strings.Builder
	for _, s := range append([]int{exitOK, exitFailure}, statuses...) {
		fmt.Fprintf(&b, "%d\t%s\n", s, meanings[s])
	}
	cmd.Annotations = map[string]string{exitNote: b.String()}
}

// exitLines returns the statuses of a command with their meanings.
func exitLines(cmd *cobra.Command) [][2]string {
	var lines [][2]string
	for line := range strings.Lines(cmd.Annotations[exitNote]) {
		status, meaning, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		lines = append(lines, [2]string{status, meaning})
	}
	return lines
}

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "print the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, rest, err := cmd.Root().Find(args)
			if err != nil {
				return usagef("%w", err)
			}
			if len(rest) > 0 {
				return unknownVerb(cmd.Root(), rest[0])
			}
			return writeHelp(cmd.OutOrStdout(), c)
		},
	}
}

// writeHelp prints the help of a command.
func writeHelp(out io.Writer, cmd *cobra.Command) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "%s: %s\n\n", cmd.CommandPath(), cmd.Short)
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(w, "USAGE\n  %s COMMAND [flags]\n", cmd.CommandPath())
	} else {
		fmt.Fprintf(w, "USAGE\n  %s\n", cmd.UseLine())
	}
	if cmd.Long != "" {
		fmt.Fprintf(w, "\n%s\n", cmd.Long)
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprint(w, "\nCOMMANDS\n")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				fmt.Fprintf(w, "  %-12s %s\n", c.Name(), c.Short)
			}
		}
	}
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nEXAMPLES\n%s\n", cmd.Example)
	}
	flags := func(title string, fs *pflag.FlagSet) {
		if fs.HasAvailableFlags() {
			fmt.Fprintf(w, "\n%s\n%s", title, fs.FlagUsages())
		}
	}
	if cmd.HasParent() {
		flags("FLAGS", cmd.LocalFlags())
		flags("FLAGS OF ALL COMMANDS", cmd.InheritedFlags())
	} else {
		flags("FLAGS OF ALL COMMANDS", cmd.PersistentFlags())
	}
	if lines := exitLines(cmd); lines != nil {
		fmt.Fprint(w, "\nEXIT STATUS\n")
		for _, l := range lines {
			fmt.Fprintf(w, "  %-4s %s\n", l[0], l[1])
		}
	}
	if !cmd.HasParent() {
		fmt.Fprint(w, "\n\"ropewalk COMMAND --help\" says more about a command.\n")
	}
	return w.Flush()
}
