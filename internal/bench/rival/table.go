package rival

import (
	"fmt"
	"math"
	"strings"
)

// Programs lists what was measured, and what was looked for in vain.
func Programs(b *strings.Builder, versions, missing []string) {
	for _, v := range versions {
		fmt.Fprintf(b, "- %s\n", v)
	}
	for _, m := range missing {
		fmt.Fprintf(b, "- missing, so not measured: %s\n", m)
	}
}

// Table writes a Markdown table whose first column is text.
func Table(b *strings.Builder, head []string, rows [][]string) {
	fmt.Fprintf(b, "| %s |\n|---%s|\n", strings.Join(head, " | "), strings.Repeat("|---:", len(head)-1))
	for _, row := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
}

// Number prints x, or a dash where there is none.
func Number(x float64, digits int) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return "-"
	}
	return fmt.Sprintf("%.*f", digits, x)
}

// Verdict is how the page says whether a target is met.
func Verdict(ok bool) string {
	if ok {
		return "met"
	}
	return "missed"
}
