package graph

import (
	"fmt"
	"slices"
	"strings"

	"ropewalk/tensor"
)

// textOps are the operators on strings.
var textOps = map[string]operator{
	"StringNormalizer": {infer: inferNormalizer, evaluate: evaluateNormalizer, min: 1, max: 1},
	"TfIdfVectorizer":  {infer: inferTfIdf, evaluate: evaluateTfIdf, min: 1, max: 1},
	"StringConcat": {
		min: 2, max: 2,
		infer: func(_ *context, _ *Node, in []*Operand) ([]Type, error) {
			if in[0].Type.DType != Text || in[1].Type.DType != Text {
				return nil, fmt.Errorf("its inputs are %v and %v, want text", in[0].Type, in[1].Type)
			}
			s, err := broadcast(in[0].Type.Shape, in[1].Type.Shape)
			return []Type{{Text, s}}, err
		},
		evaluate: func(c *context, _ *Node, in []*Value) ([]*Value, error) {
			out := newValue(c.types[0])
			var err error
			eachBroadcast(out.Shape, func(i, a, b int) {
				if err == nil {
					// A loop that doubles a string must end.
					err = c.spend(int64(len(in[0].Text[a]) + len(in[1].Text[b])))
				}
				if err == nil && len(in[0].Text[a])+len(in[1].Text[b]) > maxText {
					err = fmt.Errorf("text of more than %d bytes", maxText)
				}
				if err == nil {
					out.Text[i] = in[0].Text[a] + in[1].Text[b]
				}
			}, in[0].Shape, in[1].Shape)
			return []*Value{out}, err
		},
	},
}

// maxText bounds one string.
const maxText = 1 << 16

func inferNormalizer(_ *context, n *Node, in []*Operand) ([]Type, error) {
	s := in[0].Type.Shape
	if in[0].Type.DType != Text || !(len(s) == 1 || len(s) == 2 && s[0] == 1) {
		return nil, fmt.Errorf("its input is %v, want a list of text", in[0].Type)
	}
	v, err := need(in[0], "its input")
	if err != nil {
		return nil, err
	}
	kept, err := normalized(n, v)
	if err != nil {
		return nil, err
	}
	to := slices.Clone(s)
	to[len(to)-1] = int64(len(kept))
	return []Type{{Text, to}}, nil
}

// normalized takes stop words out and changes the case; if nothing is left, one empty
// string is.
func normalized(n *Node, v *Value) ([]string, error) {
	r := read(n)
	action, sensitive := r.string("case_change_action", "NONE"), r.flag("is_case_sensitive", false)
	stop := r.strings("stopwords")
	r.string("locale", "")
	if r.err == nil && !slices.Contains([]string{"NONE", "LOWER", "UPPER"}, action) {
		r.fail("attribute case_change_action is %q, want NONE, LOWER or UPPER", action)
	}
	if r.err != nil {
		return nil, r.err
	}
	var kept []string
	for _, s := range v.Text {
		if slices.ContainsFunc(stop, func(w string) bool { return w == s || !sensitive && strings.EqualFold(w, s) }) {
			continue
		}
		switch action {
		case "LOWER":
			s = strings.ToLower(s)
		case "UPPER":
			s = strings.ToUpper(s)
		}
		kept = append(kept, s)
	}
	if len(kept) == 0 {
		kept = []string{""}
	}
	return kept, nil
}

func evaluateNormalizer(c *context, n *Node, in []*Value) ([]*Value, error) {
	kept, err := normalized(n, in[0])
	return []*Value{{Type: Text, Shape: c.types[0].Shape, Text: kept}}, err
}

// A vocabulary is what TfIdfVectorizer counts: runs of words, each with its place in
// the result.
type vocabulary struct {
	mode               string
	least, most, skips int
	grams              map[string]int
	weights            []float64
	columns            int64
}

func vocabularyOf(n *Node, text bool) (*vocabulary, error) {
	r := read(n)
	v := &vocabulary{mode: r.string("mode", ""), grams: map[string]int{}, weights: r.floats("weights")}
	least, most, skips := r.int("min_gram_length", 1), r.int("max_gram_length", 1), r.int("max_skip_count", 0)
	starts, places := r.ints("ngram_counts"), r.ints("ngram_indexes")
	words, numbers := r.strings("pool_strings"), r.ints("pool_int64s")
	if r.err == nil && !slices.Contains([]string{"TF", "IDF", "TFIDF"}, v.mode) {
		r.fail("attribute mode is %q, want TF, IDF or TFIDF", v.mode)
	}
	if r.err == nil && (least < 1 || most < least || most > 64 || skips < 0 || skips > maxExtent || len(starts) < int(most)) {
		r.fail("runs of %d to %d words, %d skips and %d counts", least, most, skips, len(starts))
	}
	if r.err != nil {
		return nil, r.err
	}
	v.least, v.most, v.skips = int(least), int(most), int(skips)
	if !text {
		words = nil
		for _, x := range numbers {
			words = append(words, fmt.Sprint(x))
		}
	}
	gram := 0
	for i, start := range starts {
		end := int64(len(words))
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		size := int64(i + 1)
		if start < 0 || end < start || end > int64(len(words)) || (end-start)%size != 0 {
			return nil, fmt.Errorf("attribute ngram_counts is %v for a pool of %d", starts, len(words))
		}
		for at := start; at < end; at += size {
			if gram >= len(places) || v.weights != nil && gram >= len(v.weights) {
				return nil, fmt.Errorf("attributes ngram_indexes and weights are shorter than the pool")
			}
			if i+1 >= v.least && i+1 <= v.most {
				v.grams[gramKey(words[at:at+size])] = gram
			}
			gram++
		}
	}
	for _, p := range places {
		if p < 0 || p > 1<<40 {
			return nil, fmt.Errorf("attribute ngram_indexes has %d", p)
		}
		v.columns = max(v.columns, p+1)
	}
	return v, nil
}

// gramKey joins words so that no two lists look the same.
func gramKey(words []string) string {
	var b strings.Builder
	for _, w := range words {
		fmt.Fprintf(&b, "%d:%s", len(w), w)
	}
	return b.String()
}

func inferTfIdf(_ *context, n *Node, in []*Operand) ([]Type, error) {
	t := in[0].Type
	if len(t.Shape) < 1 || len(t.Shape) > 2 || t.DType != Text && kindOf(t.DType) != kindInt {
		return nil, fmt.Errorf("its input is %v, want a list of words or of numbers, or several", t)
	}
	v, err := vocabularyOf(n, t.DType == Text)
	if err != nil {
		return nil, err
	}
	to := slices.Clone(t.Shape)
	to[len(to)-1] = v.columns
	return []Type{{tensor.F32, to}}, nil
}

func evaluateTfIdf(c *context, n *Node, in []*Value) ([]*Value, error) {
	v, err := vocabularyOf(n, in[0].Type == Text)
	if err != nil {
		return nil, err
	}
	places := read(n).ints("ngram_indexes")
	out := newValue(c.types[0])
	length := int(in[0].Shape[len(in[0].Shape)-1])
	if out.elems() == 0 || length == 0 {
		return []*Value{out}, nil
	}
	if err := c.spendProduct(int64(in[0].elems()), int64(min(v.skips+1, length)), int64(v.most), 64); err != nil {
		return nil, err
	}
	for row := range in[0].elems() / length {
		words := make([]string, length)
		for i := range words {
			words[i] = in[0].print(row*length + i)
		}
		counts := out.Float[row*int(v.columns) : (row+1)*int(v.columns)]
		weights := make([]float64, len(counts))
		for size := v.least; size <= v.most; size++ {
			for skip := range v.skips + 1 {
				if size == 1 && skip > 0 || (size-1)*(skip+1) >= length {
					break
				}
				for at := 0; at+(size-1)*(skip+1) < length; at++ {
					gram := make([]string, size)
					for k := range gram {
						gram[k] = words[at+k*(skip+1)]
					}
					if g, ok := v.grams[gramKey(gram)]; ok {
						counts[places[g]]++
						weights[places[g]] = 1
						if v.weights != nil {
							weights[places[g]] = v.weights[g]
						}
					}
				}
			}
		}
		for i, k := range counts {
			switch {
			case v.mode == "IDF" && k > 0:
				counts[i] = weights[i]
			case v.mode == "TFIDF":
				counts[i] = k * weights[i]
			}
		}
	}
	return []*Value{out}, nil
}
