package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"ropewalk/internal/nearest"
)

var shells = []string{"bash", "zsh", "fish", "powershell"}

func newCompletion() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "completion SHELL",
		Short: "print a script that completes commands in a shell",
		Long: `Print a script for bash, zsh, fish or powershell that completes commands, flags
and, after --tensor, the names of the tensors in the file.`,
		Example: example(
			"bash, for this session", "source <(ropewalk completion bash)",
			"fish, for good", "ropewalk completion fish > ~/.config/fish/completions/ropewalk.fish",
		),
		Args:      arguments(1, 1, "SHELL, one of "+strings.Join(shells, ", ")),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root, w := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(w, true)
			case "zsh":
				return root.GenZshCompletion(w)
			case "fish":
				return root.GenFishCompletion(w, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(w)
			}
			v := usagef("there is no completion for %q, only for %s", args[0], strings.Join(shells, ", "))
			if n := nearest.Name(args[0], shells); n != "" {
				return v.withHint("did you mean %s?", n)
			}
			return v
		},
	}
	exits(cmd, exitUsage)
	return cmd
}

// complete registers the completion of a flag's value.
func complete(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic("cli: internal error: " + err.Error())
	}
}

// completeRope completes the name of a packed file.
func completeRope(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{ext[1:]}, cobra.ShellCompDirectiveFilterFileExt
}

// completeTensor completes the name of a tensor in the file that was named.
func (e *env) completeTensor(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 || args[0] == dash {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := e.open(cmd.Context(), args[0], nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer c.Close()
	var names []string
	for _, t := range c.Tensors.All() {
		if strings.HasPrefix(t.Name, prefix) && printable(t.Name) == t.Name {
			names = append(names, t.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
