// Package nearest finds what somebody may have meant to type.
package nearest

import "slices"

// Name returns the candidate that is most like name, the first one of equals, or ""
// if none is like it: at most one letter in three differs.
func Name(name string, candidates []string) string {
	best, least := "", len(name)/3+1
	for _, c := range candidates {
		if n := len(c) - len(name); n > least || -n > least {
			continue
		}
		if d := Distance(name, c); d < least || d == least && best == "" {
			best, least = c, d
		}
	}
	return best
}

// Sort puts the names that are most like name first; key, if not nil, says what of
// each counts.
func Sort(names []string, name string, key func(string) string) {
	if key == nil {
		key = func(s string) string { return s }
	}
	to := key(name)
	slices.SortStableFunc(names, func(a, b string) int { return Distance(key(a), to) - Distance(key(b), to) })
}

// Distance returns the number of bytes to insert, delete or replace that turn a into
// b (Levenshtein 1966; the rows of Wagner and Fischer 1974).
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
