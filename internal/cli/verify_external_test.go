//go:build external

package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ropewalk/lineage"
)

const validateScript = `
import json, sys, jsonschema
schema, log = (json.load(open(p)) for p in sys.argv[1:3])
jsonschema.Draft4Validator.check_schema(schema)
jsonschema.Draft4Validator(schema, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER).validate(log)
print('valid')
`

// Logs are what the schema of OASIS says.
func TestSARIFSchema(t *testing.T) {
	python, schema := os.Getenv("ROPEWALK_PYTHON"), os.Getenv("ROPEWALK_SARIF_SCHEMA")
	if python == "" || schema == "" {
		t.Skip("ROPEWALK_PYTHON does not name a Python with jsonschema, or ROPEWALK_SARIF_SCHEMA the file sarif-schema-2.1.0.json of github.com/oasis-tcs/sarif-spec")
	}
	full := worn()
	full.Policy = "my policy.yaml"
	full.Breaches = append(full.Breaches, breach{Rule: maxPruned, Text: "too much"})
	same := madeUp(lineage.Identical, "yes")
	same.Passed = true
	piped := madeUp(lineage.Unrelated, "unknown")
	piped.Suspect, piped.SuspectFiles = dash, map[string]string{"stdin": "00"}
	for _, r := range []*verifyResult{full, same, piped} {
		b, err := json.Marshal(r.sarif())
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "log.sarif")
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(python, "-c", validateScript, schema, path).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", r.Verdict, err, out)
		}
	}
}
