package cli

import (
	"bufio"
	"fmt"

	"github.com/spf13/cobra"
)

type passportShowOptions struct {
	trustFlags
	report reportFlag
}

func newPassportShow(e *env) *cobra.Command {
	var o passportShowOptions
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "say what a passport is of, and who signed it",
		Long: `Say what the passport in FILE is of, and check it: checksums, digest, and the
signature, if there is one.

A signature says that who has the key vouches for the passport. Whose key that
is, --signer tells: without it, anybody can have signed.`,
		Example: example(
			"what does it say?", "ropewalk passport show owner.passport",
			"is it signed by the owner?", "ropewalk passport show owner.passport --signer owner-public.pem",
		),
		Args: arguments(1, 1, "FILE"),
		RunE: func(_ *cobra.Command, args []string) error { return e.passportShow(&o, args[0]) },
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	o.addFlags(fs)
	o.report.addFlag(cmd, nil)
	exits(cmd, exitUsage, exitNegative, exitRefused)
	return cmd
}

// passportShowResult is what passport show says.
type passportShowResult struct {
	Schema   string       `json:"schema"`
	Passport passportInfo `json:"passport"`
	Spec     string       `json:"spec" about:"what can move"`
	verbose  bool
}

func (r *passportShowResult) text(w *bufio.Writer) {
	r.Passport.text(w)
	if r.verbose {
		fmt.Fprint(w, r.Spec)
	}
}

func (e *env) passportShow(o *passportShowOptions, path string) error {
	if err := o.report.check(path, o.signer); err != nil {
		return err
	}
	p, err := openPassport(path, &o.trustFlags)
	if err != nil {
		return err
	}
	r := &passportShowResult{Schema: "ropewalk/passport-show/1", Passport: newPassportInfo(path, p), Spec: p.Spec.String(), verbose: e.verbose}
	if err := e.answer(r); err != nil || !o.report.wanted() {
		return err
	}
	return e.writeReport(&o.report, e.passportPage("passport show", &r.Passport, p, ""))
}
