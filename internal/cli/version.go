package cli

import (
	"bufio"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionResult is what the build says of itself.
type versionResult struct {
	Schema   string `json:"schema"`
	Version  string `json:"version" about:"of the module, or (devel)"`
	Revision string `json:"revision,omitempty" about:"of the source"`
	Time     string `json:"time,omitempty" about:"of the revision"`
	Modified bool   `json:"modified" about:"the source was changed after the revision"`
	Format   int    `json:"rope_format" about:"version of the .rope format that is written"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "print the version of the program",
		Long:  "Print the version, the revision of the source, and the version of the .rope\nformat that is written.",
		Example: example(
			"for people", "ropewalk version",
			"for scripts", "ropewalk version --json | jq -r .version",
		),
		Args:              arguments(0, 0, "no argument"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(*cobra.Command, []string) error { return e.answer(buildVersion()) },
	}
	exits(cmd, exitUsage)
	return cmd
}

func buildVersion() *versionResult {
	r := &versionResult{
		Schema: "ropewalk/version/1", Version: "(devel)", Format: 1,
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return r
	}
	if info.Main.Version != "" {
		r.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			r.Revision = s.Value
		case "vcs.time":
			r.Time = s.Value
		case "vcs.modified":
			r.Modified = s.Value == "true"
		}
	}
	return r
}

func programVersion() string { return buildVersion().Version }

func (r *versionResult) text(w *bufio.Writer) {
	fmt.Fprintf(w, "ropewalk %s", r.Version)
	if r.Revision != "" {
		fmt.Fprintf(w, " (%.12s, %s", r.Revision, r.Time)
		if r.Modified {
			w.WriteString(", modified")
		}
		w.WriteString(")")
	}
	fmt.Fprintf(w, "\nformat %d, %s, %s\n", r.Format, r.Go, r.Platform)
}
