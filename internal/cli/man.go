package cli

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newMan() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "man",
		Short: "print the manual page",
		Long:  "Print the manual page, made from the same texts as --help, in the form that man\nreads.",
		Example: example(
			"read it", "ropewalk man | man -l -",
			"install it", "ropewalk man > /usr/local/share/man/man1/ropewalk.1",
		),
		Args:              arguments(0, 0, "no argument"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return writeMan(cmd.OutOrStdout(), cmd.Root())
		},
	}
	exits(cmd, exitUsage)
	return cmd
}

// writeMan prints the whole tree of commands as one page of roff.
func writeMan(out io.Writer, root *cobra.Command) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, ".TH ROPEWALK 1 \"\" %q \"User Commands\"\n", "ropewalk "+programVersion())
	fmt.Fprintf(w, ".SH NAME\nropewalk \\- %s\n", roff(root.Short))
	fmt.Fprint(w, ".SH SYNOPSIS\n.B ropewalk\n.I command\n[\\fIflags\\fR]\n")
	fmt.Fprintf(w, ".SH DESCRIPTION\n%s", roffText(root.Long))
	fmt.Fprint(w, ".SH COMMANDS\n")
	var all []*cobra.Command
	for _, c := range root.Commands() {
		all = append(append(all, c), c.Commands()...)
	}
	for _, c := range all {
		if !c.IsAvailableCommand() || c.Name() == "help" {
			continue
		}
		fmt.Fprintf(w, ".SS %s\n", roff(c.Parent().CommandPath()+" "+c.Use))
		w.WriteString(roffText(c.Long))
		c.NonInheritedFlags().VisitAll(roffFlag(w))
		fmt.Fprintf(w, ".PP\nExamples:\n.PP\n.nf\n%s\n.fi\n", roff(c.Example))
	}
	fmt.Fprint(w, ".SH OPTIONS OF ALL COMMANDS\n")
	root.PersistentFlags().VisitAll(roffFlag(w))
	fmt.Fprint(w, ".SH EXIT STATUS\n")
	for _, s := range []int{exitOK, exitFailure, exitUsage, exitNegative, exitRefused, exitBudget, exitInterrupted} {
		fmt.Fprintf(w, ".TP\n.B %d\n%s\n", s, roff(meanings[s]))
	}
	fmt.Fprint(w, ".SH ENVIRONMENT\n.TP\n.B ROPEWALK_THREADS\nas \\-\\-threads, which wins\n"+
		".TP\n.B ROPEWALK_MEMORY\nas \\-\\-memory, which wins\n")
	return w.Flush()
}

// roffFlag returns a function that prints one flag.
func roffFlag(w *bufio.Writer) func(*pflag.Flag) {
	return func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		w.WriteString(".TP\n.B ")
		if f.Shorthand != "" {
			fmt.Fprintf(w, "\\-%s, ", f.Shorthand)
		}
		w.WriteString(roff("--" + f.Name))
		if value != "" {
			fmt.Fprintf(w, " \\fI%s\\fR", roff(value))
		}
		fmt.Fprintf(w, "\n%s\n", roff(usage))
	}
}

// roffText turns paragraphs with empty lines between them into roff.
func roffText(s string) string {
	var b strings.Builder
	for p := range strings.SplitSeq(s, "\n\n") {
		fmt.Fprintf(&b, ".PP\n%s\n", roff(p))
	}
	return b.String()
}

// roff escapes what roff would take for commands.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
