package cli

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/schema, and what scripts compare with")

// results are all that the program prints as JSON.
var results = map[string]any{
	"pack":         packResult{},
	"unpack":       unpackResult{},
	"inspect":      inspectResult{},
	"diff":         diffResult{},
	"test":         testResult{},
	"align":        alignResult{},
	"attack":       attackResult{},
	"train":        trainResult{},
	"eval":         evalResult{},
	"train-epoch":  epochLine{},
	"version":      versionResult{},
	"error":        errorResult{},
	"mark-keygen":  markKeygenResult{},
	"mark-embed":   markEmbedResult{},
	"mark-extract": markExtractResult{},
	"mark-list":    markListResult{},

	"passport-make":       passportMakeResult{},
	"passport-show":       passportShowResult{},
	"passport-match":      passportMatchResult{},
	"passport-commitment": passportCommitment{},
	"demo":                demoResult{},
	"bench":               benchResult{},
	"bench-list":          benchListResult{},
	"report":              reportResult{},
	"serve":               serveResult{},
	"verify":              verifyResult{},
}

// docs/schema says what the results are. Whoever changes one changes the
// other: run this with -update, and look at what it did.
func TestSchema(t *testing.T) {
	for name, result := range results {
		s := object(reflect.TypeOf(result))
		s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
		s["title"] = "ropewalk " + name + " --json"
		if name == "error" {
			s["title"] = "an error of ropewalk --json, on standard error"
		}
		properties := s["properties"].(map[string]any)
		properties["schema"] = map[string]any{"const": "ropewalk/" + name + "/1"}
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(s); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("..", "..", "docs", "schema", name+".json")
		if *update {
			if err := os.WriteFile(path, want.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		got = bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n"))
		if d := cmp.Diff(want.String(), string(got)); d != "" {
			t.Errorf("%s is not what the program prints (-want +got):\n%s", path, d)
		}
	}
}

// object returns the JSON Schema of a struct. Fields are only ever added, so
// unknown ones are allowed, and those that are always there are required.
func object(t reflect.Type) map[string]any {
	properties := make(map[string]any)
	var required []string
	for _, f := range reflect.VisibleFields(t) {
		tag, ok := f.Tag.Lookup("json")
		if !ok {
			continue // embedded, or not for others
		}
		name, options, _ := strings.Cut(tag, ",")
		s := schemaOf(f.Type)
		if about := f.Tag.Get("about"); about != "" {
			s["description"] = about
		}
		properties[name] = s
		if options != "omitempty" {
			required = append(required, name)
		}
	}
	return map[string]any{"type": "object", "properties": properties, "required": required}
}

func schemaOf(t reflect.Type) map[string]any {
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Struct:
		return object(t)
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return map[string]any{"type": "integer"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	}
	panic("no schema for " + t.String())
}
