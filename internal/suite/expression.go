package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// An expression is how a value follows from the results of steps: sums of products of
// numbers and fields, such as "100 - 100 * 2.result.top1". With a ? at its end there may
// be no such value. A field with a text behind it, such as 2.verdict=same_weights, is 1 if
// that is what it says, and else 0: _ stands for blanks, | stands between texts of which
// any will do, and * in a path for all elements of a list, one of which has to say it.
type expression struct {
	terms    []term
	optional bool
}

// A term is a product with a sign.
type term struct {
	sign    float64
	factors []factor
}

// A factor is a number, or the field of a result, and may divide.
type factor struct {
	divides bool
	number  float64
	step    int // from 1; 0 for a number
	path    []string
	texts   []string // any of which the field has to be, for 1; nil for a number
}

// field is a step and the path of a field in its result.
var field = regexp.MustCompile(`^([1-9][0-9]?)\.([A-Za-z_].*)$`)

// parseExpression reads words with blanks between them.
func parseExpression(text string) (*expression, error) {
	e := &expression{}
	body, optional := strings.CutSuffix(strings.TrimSpace(text), "?")
	e.optional = optional
	words := strings.Fields(body)
	if len(words)%2 == 0 {
		return nil, fmt.Errorf("%q: want numbers and fields with + - * / between them, and blanks", text)
	}
	e.terms = []term{{sign: 1}}
	divides := false
	for i, w := range words {
		t := &e.terms[len(e.terms)-1]
		if i%2 == 0 {
			f, err := parseFactor(w)
			if err != nil {
				return nil, err
			}
			f.divides = divides
			t.factors = append(t.factors, f)
			continue
		}
		divides = false
		switch w {
		case "+":
			e.terms = append(e.terms, term{sign: 1})
		case "-":
			e.terms = append(e.terms, term{sign: -1})
		case "/":
			divides = true
		case "*":
		default:
			return nil, fmt.Errorf("%q is none of + - * /", w)
		}
	}
	return e, nil
}

func parseFactor(w string) (factor, error) {
	if m := field.FindStringSubmatch(w); m != nil {
		step, err := strconv.Atoi(m[1])
		path, text, asks := strings.Cut(m[2], "=")
		f := factor{step: step, path: strings.Split(path, ".")}
		if asks {
			f.texts = strings.Split(strings.ReplaceAll(text, "_", " "), "|")
		}
		switch {
		case asks && slices.Contains(f.texts, ""):
			return factor{}, fmt.Errorf("%q asks for an empty text", w)
		case !asks && slices.Contains(f.path, anyElement):
			return factor{}, fmt.Errorf("%q is many numbers; * goes with a text, such as 1.changes.*.kind=pruned", w)
		}
		return f, err
	}
	x, err := strconv.ParseFloat(w, 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
		return factor{}, fmt.Errorf("%q is no number, and no field such as 1.result.top1", w)
	}
	return factor{number: x}, nil
}

// lastStep returns the largest number of a step that it needs.
func (e *expression) lastStep() int {
	last := 0
	for _, t := range e.terms {
		for _, f := range t.factors {
			last = max(last, f.step)
		}
	}
	return last
}

// errNoField says that a result has no such field.
var errNoField = errors.New("there is no such field")

// value computes it from the results of steps, as JSON. It is false if it may be missing
// and is.
func (e *expression) value(results []any) (float64, bool, error) {
	sum := 0.0
	for _, t := range e.terms {
		product := t.sign
		for _, f := range t.factors {
			x := f.number
			switch {
			case f.texts != nil && says(results[f.step-1], f.path, f.texts):
				x = 1
			case f.texts != nil:
			case f.step > 0:
				var err error
				if x, err = fieldOf(results[f.step-1], f.path); err != nil {
					if e.optional && errors.Is(err, errNoField) {
						return 0, false, nil
					}
					return 0, false, fmt.Errorf("step %d: %w", f.step, err)
				}
			}
			if f.divides {
				x = 1 / x
			}
			product *= x
		}
		sum += product
	}
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return 0, false, errors.New("it is not a finite number")
	}
	return sum, true, nil
}

// anyElement stands in a path for all elements of a list.
const anyElement = "*"

// says reports whether a field of a result is one of the texts.
func says(v any, path, texts []string) bool {
	if len(path) == 0 {
		text, ok := v.(string)
		return ok && slices.Contains(texts, text)
	}
	switch w := v.(type) {
	case map[string]any:
		return says(w[path[0]], path[1:], texts)
	case []any:
		if path[0] == anyElement {
			return slices.ContainsFunc(w, func(e any) bool { return says(e, path[1:], texts) })
		}
		i, err := strconv.Atoi(path[0])
		return err == nil && i >= 0 && i < len(w) && says(w[i], path[1:], texts)
	}
	return false
}

// fieldOf returns a number of a result; true is 1 and false is 0.
func fieldOf(v any, path []string) (float64, error) {
	for _, key := range path {
		switch w := v.(type) {
		case map[string]any:
			v = w[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(w) {
				return 0, fmt.Errorf("%s: %w", strings.Join(path, "."), errNoField)
			}
			v = w[i]
		default:
			return 0, fmt.Errorf("%s: %w", strings.Join(path, "."), errNoField)
		}
	}
	switch x := v.(type) {
	case json.Number:
		return x.Float64()
	case bool:
		if x {
			return 1, nil
		}
		return 0, nil
	case nil:
		return 0, fmt.Errorf("%s: %w", strings.Join(path, "."), errNoField)
	}
	return 0, fmt.Errorf("%s is no number", strings.Join(path, "."))
}
