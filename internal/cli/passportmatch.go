package cli

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"github.com/spf13/cobra"

	"ropewalk/lineage/passport"
)

type passportMatchOptions struct {
	trustFlags
	most   int
	report reportFlag
}

func newPassportMatch(e *env) *cobra.Command {
	var o passportMatchOptions
	cmd := &cobra.Command{
		Use:   "match SUSPECT DIR|FILE...",
		Short: "say which of many passports a network belongs to",
		Long: `Hold the network SUSPECT against all passports in the folders and files named,
and list them, the closest first. SUSPECT is read once. Folders are searched for
passports, known by their first bytes; those inside of folders are not.

A network has the same weights if all tensors have the passport's SHA-256, and
the same numbers if each has the same numbers in any order; it is related if
neurons were found again, and unrelated if no match is better than one of
strangers. align --to PASSPORT and verify --against PASSPORT look closer.

The status is 0 if a relation was found, and 3 if none was.`,
		Example: example(
			"which of my models is this?", "ropewalk passport match suspect.safetensors passports/",
			"only the best of them", "ropewalk passport match --json suspect.safetensors passports/ | jq '.ranked[0]'",
		),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("SUSPECT and passports are needed").withHint("ropewalk passport match SUSPECT DIR|FILE...")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.passportRank(cmd.Context(), &o, args[0], args[1:])
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.IntVar(&o.most, "most", 10, "show at most `N`; 0 is all")
	o.addFlags(fs)
	o.report.addFlag(cmd, nil)
	exits(cmd, exitUsage, exitNegative, exitRefused, exitBudget, exitInterrupted)
	return cmd
}

// passportMatchResult is what passport match says.
type passportMatchResult struct {
	Schema  string          `json:"schema"`
	Suspect string          `json:"suspect"`
	Tried   int             `json:"tried" about:"passports"`
	Ranked  []passportRank  `json:"ranked" about:"the closest first"`
	Skipped []passportSkip  `json:"skipped,omitempty" about:"files that are no passports that are believed"`
	Seconds passportSeconds `json:"seconds"`
	most    int
}

type passportRank struct {
	File string `json:"file"`
	Name string `json:"name,omitempty"`
	passport.Kinship
	Seconds float64 `json:"seconds"`
}

type passportSkip struct {
	File   string `json:"file"`
	Reason string `json:"reason"`
}

type passportSeconds struct {
	Read float64 `json:"read" about:"the suspect"`
	All  float64 `json:"all"`
}

func (r *passportMatchResult) text(w *bufio.Writer) {
	t := &table{left: map[int]bool{0: true, 1: true, 2: true}}
	t.row("passport", "of", "relation", "equal %", "certain %", "evidence")
	shown := len(r.Ranked)
	if r.most > 0 {
		shown = min(shown, r.most)
	}
	for _, x := range r.Ranked[:shown] {
		evidence := ""
		if x.LogEvidence != 0 {
			evidence = fmt.Sprintf("e^%.0f", x.LogEvidence)
		}
		t.row(printable(x.File), printable(x.Name), string(x.Relation), fmt.Sprintf("%.1f", 100*x.Equal), fmt.Sprintf("%.1f", 100*x.Certain), evidence)
	}
	t.write(w, "")
	if rest := len(r.Ranked) - shown; rest > 0 {
		fmt.Fprintf(w, "and %d more; --most 0 shows all\n", rest)
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(w, "skipped %s: %s\n", printable(s.File), printable(s.Reason))
	}
}

func (e *env) passportRank(ctx context.Context, o *passportMatchOptions, suspect string, paths []string) error {
	start := time.Now()
	if o.most < 0 {
		return usagef("--most is %d, want 0 or more", o.most)
	}
	files, err := passportFiles(paths)
	if err != nil {
		return err
	}
	if err := o.report.check(append(slices.Clip(files), suspect, o.signer)...); err != nil {
		return err
	}
	c, err := e.open(ctx, suspect, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	limit := e.memory
	if limit == 0 {
		limit = heldMemory
	}
	sus, err := passport.NewSuspect(ctx, c.Tensors, e.threads, int64(limit))
	if err != nil {
		return passportError(suspect, err)
	}
	r := &passportMatchResult{Schema: "ropewalk/passport-match/1", Suspect: suspect, most: o.most, Ranked: []passportRank{}}
	r.Seconds.Read = time.Since(start).Seconds()
	for _, path := range files {
		began := time.Now()
		p, err := openPassport(path, &o.trustFlags)
		if err != nil {
			if slices.Contains(paths, path) {
				return err // somebody named it
			}
			r.Skipped = append(r.Skipped, passportSkip{path, err.Error()})
			continue
		}
		k, err := sus.Hold(ctx, p)
		if err != nil {
			return passportError(path, err)
		}
		r.Ranked = append(r.Ranked, passportRank{path, p.Name, *k, time.Since(began).Seconds()})
	}
	sort.SliceStable(r.Ranked, func(a, b int) bool { return r.Ranked[a].Before(&r.Ranked[b].Kinship) })
	r.Tried = len(r.Ranked)
	r.Seconds.All = time.Since(start).Seconds()
	if err := e.answer(r); err != nil {
		return err
	}
	if o.report.wanted() {
		p := newPage("passport match", filepath.Base(suspect))
		p.matched(r)
		p.claims(matchClaims(r, e.command())...)
		if err := e.writeReport(&o.report, p.Page, c); err != nil {
			return err
		}
	}
	if len(r.Ranked) == 0 || !slices.Contains([]passport.Relation{passport.SameWeights, passport.SameNumbers, passport.Related}, r.Ranked[0].Relation) {
		return &verdict{status: exitNegative}
	}
	return nil
}

// passportFiles lists the passports in folders, and the files named.
func passportFiles(paths []string) ([]string, error) {
	var out []string
	for _, path := range paths {
		st, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !st.IsDir() {
			out = append(out, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		found := 0
		for _, d := range entries {
			name := filepath.Join(path, d.Name())
			if !d.Type().IsRegular() && d.Type()&fs.ModeSymlink == 0 || !isPassport(name) {
				continue
			}
			out = append(out, name)
			found++
		}
		if found == 0 {
			return nil, usagef("there is no passport in %s", path).withHint("ropewalk passport make MODEL -o %s makes one", filepath.Join(path, "OWNER.passport"))
		}
	}
	return out, nil
}
