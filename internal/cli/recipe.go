package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/spf13/pflag"

	"ropewalk/internal/atomicfile"
	"ropewalk/internal/nearest"
	"ropewalk/internal/nesting"
)

// A recipe is the flags of a command in a file of YAML: a key for each flag, by its
// name. Flags of the command line win over it.

// maxRecipe is a generous size for a text of all flags.
const maxRecipe = 1 << 20

// unwritten are the flags that say what to do with a recipe, and those of all
// commands: they change how the work is done, and not what comes of it.
var unwritten = []string{"recipe", "resume", "force", "out", "also", "floats", "report", "help", "json", "quiet", "verbose", "threads", "memory"}

// recipeFlags calls f for each flag that a recipe may hold, in the order of help.
func recipeFlags(fs *pflag.FlagSet, f func(*pflag.Flag)) {
	fs.VisitAll(func(flag *pflag.Flag) {
		if !slices.Contains(unwritten, flag.Name) {
			f(flag)
		}
	})
}

// readRecipe sets the flags that path names and the command line does not.
func readRecipe(path string, fs *pflag.FlagSet) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRecipe+1))
	if err != nil {
		return err
	}
	if len(text) > maxRecipe {
		return usagef("%s has more than %v, which is no recipe", path, byteSize(maxRecipe))
	}
	return setFlags(path, text, fs)
}

// parseYAML parses the text of a recipe or a policy.
func parseYAML(path string, text []byte) (*ast.File, error) {
	if err := nesting.Check(text); err != nil {
		return nil, usagef("%s is not for this program: %w", path, err)
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, notYAML(path, firstLine(yaml.FormatError(err, false, false)))
	}
	return file, nil
}

func setFlags(path string, text []byte, fs *pflag.FlagSet) error {
	file, err := parseYAML(path, text)
	if err != nil {
		return err
	}
	given := map[string]bool{}
	fs.Visit(func(f *pflag.Flag) { given[f.Name] = true })
	seen := map[string]int{}
	for _, doc := range file.Docs {
		entries, err := mapping(path, doc.Body, `a recipe is lines such as "epochs: 10"`)
		if err != nil {
			return err
		}
		for _, e := range entries {
			key, line := e.Key.String(), e.Key.GetToken().Position.Line
			if before, ok := seen[key]; ok {
				return usagef("%s:%d: %q is there twice, first in line %d", path, line, key, before)
			}
			seen[key] = line
			flag, err := recipeFlag(path, line, key, fs)
			if err != nil {
				return err
			}
			values, err := scalars(e.Value)
			if err != nil {
				return usagef("%s:%d: %s: %w", path, line, key, err)
			}
			if given[key] {
				continue
			}
			if err := setFlag(fs, flag, values); err != nil {
				return usagef("%s:%d: %s: %w", path, line, key, err)
			}
		}
	}
	return nil
}

// placed is how errors of YAML begin.
var placed = regexp.MustCompile(`^\[(\d+):\d+\] (.*)`)

func notYAML(path, text string) error {
	if m := placed.FindStringSubmatch(text); m != nil {
		return usagef("%s:%s: not YAML: %s", path, m[1], m[2])
	}
	return usagef("%s is not YAML: %s", path, text)
}

// firstLine leaves out the picture that YAML's errors draw.
func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// mapping returns the entries of a document. want says what it should be made of.
func mapping(path string, n ast.Node, want string) ([]*ast.MappingValueNode, error) {
	switch n := n.(type) {
	case nil, *ast.NullNode, *ast.CommentGroupNode:
		return nil, nil
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	}
	return nil, usagef("%s:%d: %s", path, n.GetToken().Position.Line, want)
}

func recipeFlag(path string, line int, key string, fs *pflag.FlagSet) (*pflag.Flag, error) {
	var found *pflag.Flag
	var names []string
	recipeFlags(fs, func(f *pflag.Flag) {
		names = append(names, f.Name)
		if f.Name == key {
			found = f
		}
	})
	if found != nil {
		return found, nil
	}
	v := usagef("%s:%d: there is no option %q", path, line, key)
	if n := nearest.Name(key, names); n != "" {
		return nil, v.withHint("did you mean %s?", n)
	}
	return nil, v.withHint("keys are the flags of the command, without the dashes")
}

// scalars returns a value, or those of a list, as text.
func scalars(n ast.Node) ([]string, error) {
	if list, ok := n.(*ast.SequenceNode); ok {
		texts := []string{}
		for _, x := range list.Values {
			s, err := scalar(x)
			if err != nil {
				return nil, err
			}
			texts = append(texts, s)
		}
		return texts, nil
	}
	s, err := scalar(n)
	return []string{s}, err
}

func scalar(n ast.Node) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, nil
	case *ast.NullNode:
		return "", errors.New("there is no value")
	}
	return "", errors.New("want a number, a text, true or false, or a list of these")
}

func setFlag(fs *pflag.FlagSet, f *pflag.Flag, values []string) error {
	list, isList := f.Value.(pflag.SliceValue)
	if !isList {
		if len(values) != 1 {
			return errors.New("want one value, not a list")
		}
		if err := fs.Set(f.Name, values[0]); err != nil {
			return fmt.Errorf("%q will not do; want %s", values[0], wanted(f))
		}
		return nil
	}
	if err := list.Replace(values); err != nil {
		return fmt.Errorf("%q will not do; want %s", values, wanted(f))
	}
	f.Changed = true
	return nil
}

// wanted says what the values of a flag are.
func wanted(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "bool":
		return "true or false"
	case "int", "uint64":
		return "a whole number"
	case "float64":
		return "a number"
	case "intSlice":
		return "a list of whole numbers"
	case "duration":
		return "a time such as 30s or 5m"
	}
	return f.Value.Type()
}

// recipeOf returns the flags in effect as a recipe. What is empty or zero is left
// out, but for a zero that was set: the default may be another one.
func recipeOf(fs *pflag.FlagSet) ([]byte, error) {
	var items yaml.MapSlice
	recipeFlags(fs, func(f *pflag.Flag) {
		if v := yamlValue(f); v != nil {
			items = append(items, yaml.MapItem{Key: f.Name, Value: v})
		}
	})
	return yaml.Marshal(items)
}

// yamlValue returns the value of a flag, or nil if it says nothing. A zero that was set says
// something.
func yamlValue(f *pflag.Flag) any {
	text := f.Value.String()
	switch f.Value.Type() {
	case "bool":
		if text == "true" || f.Changed {
			return text == "true"
		}
		return nil
	case "uint64":
		if n, err := strconv.ParseUint(text, 10, 64); err == nil && (n != 0 || f.Changed) {
			return n
		}
		return nil
	case "int":
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && (n != 0 || f.Changed) {
			return n
		}
		return nil
	case "float64":
		if x, err := strconv.ParseFloat(text, 64); err == nil && (x != 0 || f.Changed) {
			return x
		}
		return nil
	}
	if list, ok := f.Value.(pflag.SliceValue); ok {
		if values := list.GetSlice(); len(values) > 0 {
			return values
		}
		return nil
	}
	if text == "" {
		return nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
		return n
	}
	if x, err := strconv.ParseFloat(text, 64); err == nil && strconv.FormatFloat(x, 'f', -1, 64) == text {
		return x // a text that is a number needs no quotes
	}
	return text
}

// writeRecipe writes the flags in effect beside a result.
func writeRecipe(path, command string, fs *pflag.FlagSet) error {
	body, err := recipeOf(fs)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The options in effect. To do it again: ropewalk %s --recipe THIS -o OUT\n", command)
	b.Write(body)
	f, err := atomicfile.Create(path, true)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(b.Bytes()); err != nil {
		return err
	}
	return f.Commit()
}
