// Package nesting refuses YAML that is nested deeper than anybody writes. The parser
// goes into each level with memory of its own, so that some ten thousand brackets,
// a file of 60 KB, are gigabytes and no error.
package nesting

import "fmt"

const (
	// most is how deep brackets may be in each other.
	most = 100
	// indent is how many columns may stand before what a line says: spaces, and the
	// dashes of lists in lists.
	indent = 400
)

// Check returns an error, with the line, if a text is nested too deep. Brackets count
// wherever they are, in quotes, too: whoever has a hundred of them open is no loss.
func Check(text []byte) error {
	line, depth, begun, column := 1, 0, false, 0
	for _, c := range text {
		switch c {
		case '\n', '\r':
			if c == '\n' {
				line++
			}
			begun, column = false, 0
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		}
		if depth > most {
			return fmt.Errorf("line %d: more than %d brackets are open", line, most)
		}
		if begun = begun || c != ' ' && c != '-' && c != '?' && c != '\t'; !begun {
			if column++; column > indent {
				return fmt.Errorf("line %d: it begins after column %d", line, indent)
			}
		}
	}
	return nil
}
