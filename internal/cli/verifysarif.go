package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"ropewalk/internal/atomicfile"
	"ropewalk/lineage"
)

// A log of SARIF 2.1.0, the Static Analysis Results Interchange Format of OASIS: those
// of its properties that are used here.
type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool        sarifTool         `json:"tool"`
	Invocations []sarifInvocation `json:"invocations"`
	Artifacts   []sarifArtifact   `json:"artifacts"`
	Results     []sarifResult     `json:"results"`
	Properties  map[string]any    `json:"properties,omitempty"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version"`
	Rules   []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string       `json:"id"`
	Name             string       `json:"name"`
	ShortDescription sarifMessage `json:"shortDescription"`
}

type sarifMessage struct {
	Text string `json:"text"`
}

type sarifInvocation struct {
	Successful    bool                `json:"executionSuccessful"`
	ExitCode      int                 `json:"exitCode"`
	Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotification struct {
	Level   string       `json:"level"`
	Message sarifMessage `json:"message"`
}

type sarifArtifact struct {
	Location sarifArtifactLocation `json:"location"`
	Roles    []string              `json:"roles"`
	Hashes   map[string]string     `json:"hashes,omitempty"`
}

type sarifArtifactLocation struct {
	URI   string `json:"uri,omitempty"`
	Index int    `json:"index"`
}

type sarifResult struct {
	RuleID       string            `json:"ruleId"`
	RuleIndex    int               `json:"ruleIndex"`
	Kind         string            `json:"kind"`
	Level        string            `json:"level"`
	Message      sarifMessage      `json:"message"`
	Locations    []sarifLocation   `json:"locations"`
	Fingerprints map[string]string `json:"partialFingerprints,omitempty"`
	Properties   map[string]any    `json:"properties,omitempty"`
}

type sarifLocation struct {
	Physical struct {
		Artifact sarifArtifactLocation `json:"artifactLocation"`
	} `json:"physicalLocation"`
	Logical []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifLogical struct {
	Name      string `json:"name"`
	Qualified string `json:"fullyQualifiedName"`
	Kind      string `json:"kind"`
}

const (
	sarifVersion = "2.1.0"
	sarifSchema  = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	// maxSARIF bounds the places of a result, and the edits: scanners refuse logs
	// of many thousand results, and nobody reads them.
	maxSARIF = 1000
)

// writeSARIF writes the result as a log.
func (v *verification) writeSARIF() error {
	if err := refuseInput(v.o.sarif, v.inputs()); err != nil {
		return err
	}
	n, err := writeFile(v.o.sarif, v.o.force, func(f *atomicfile.File) error {
		enc := json.NewEncoder(f)
		enc.SetEscapeHTML(false)
		return enc.Encode(v.r.sarif())
	})
	if err != nil {
		return err
	}
	v.r.Files = append(v.r.Files, fileSize{v.o.sarif, n})
	return nil
}

// A sarifWriter collects the results of a run, and the rules that they are of.
type sarifWriter struct {
	run     *sarifRun
	suspect sarifArtifactLocation
}

// sarif returns the result as a log: a result for the verdict, for each change, edit
// and rule that is not kept.
func (r *verifyResult) sarif() *sarifLog {
	run := &sarifRun{Tool: sarifTool{sarifDriver{Name: "ropewalk", Version: programVersion(), Rules: []sarifRule{}}}, Results: []sarifResult{}}
	w := &sarifWriter{run: run}
	w.artifacts(r)
	w.invocation(r)
	broken := map[string]bool{} // kinds of changes that are not allowed
	for _, b := range r.Breaches {
		if b.Rule == "allow" || b.Rule == "forbid" {
			broken[b.Kind] = true
		}
	}
	for i := range r.Changes { // that the verdict stands for
		if k := r.Changes[i].Kind; broken[string(r.Verdict)] && implies(r.Verdict, k) {
			broken[string(k)] = true
		}
	}
	w.add("verdict", "what the suspect is to the reference", broken[string(r.Verdict)], (&verifyText{verifyResult: r}).words(), nil,
		map[string]any{"verdict": r.Verdict, "summary": r.Summary, "function": r.Function.Same})
	for i := range r.Changes {
		c := &r.Changes[i]
		var places []sarifLogical
		for _, name := range c.Names[:min(len(c.Names), maxSARIF)] {
			places = append(places, sarifLogical{name, name, placeKind(c.Kind)})
		}
		w.add("change/"+slug(string(c.Kind)), "the suspect is a changed copy: "+string(c.Kind), broken[string(c.Kind)], c.Text, places,
			map[string]any{"preservesFunction": c.Preserves})
	}
	for i := range r.Edits[:min(len(r.Edits), maxSARIF)] {
		w.edit(&r.Edits[i], broken[string(lineage.Edited)])
	}
	for _, g := range r.GraphEdits {
		var places []sarifLogical
		if g.Node != "" {
			places = []sarifLogical{{g.Node, g.Node, "node"}}
		}
		w.add("graph", "the graph is not that of the reference", broken[wordGraph], g.Text, places, nil)
	}
	if more := len(r.Edits) - maxSARIF; more > 0 {
		run.Invocations[0].Notifications = append(run.Invocations[0].Notifications, sarifNotification{"warning", sarifMessage{fmt.Sprintf("%s more edits are not listed", commas(int64(more)))}})
	}
	for _, b := range r.Breaches {
		if b.Rule != "allow" && b.Rule != "forbid" {
			w.add("policy/"+b.Rule, "a rule of the policy is not kept: "+b.Rule, true, b.Text, nil, nil)
		}
	}
	return &sarifLog{Schema: sarifSchema, Version: sarifVersion, Runs: []sarifRun{*run}}
}

// placeKind says what the names of a change are those of.
func placeKind(k lineage.Kind) string {
	switch k {
	case lineage.Reorder, lineage.Rescale, lineage.SignFlip, lineage.Padding, lineage.Removal, lineage.Partial:
		return "group"
	case lineage.Metadata:
		return "key"
	}
	return "tensor"
}

// edit adds an edit, with the place of it in the suspect's file.
func (w *sarifWriter) edit(d *lineage.Edit, broken bool) {
	places := []sarifLogical{{d.Tensor, d.Tensor, "tensor"}}
	if len(d.Own) > 0 {
		var at []string
		for _, i := range d.Own {
			at = append(at, fmt.Sprint(i))
		}
		place := fmt.Sprintf("[%s]", strings.Join(at, ","))
		places = append(places, sarifLogical{place, d.Tensor + place, "weight"})
	}
	if d.Group != "" && d.Neuron >= 0 {
		name := fmt.Sprintf("%s[%d]", d.Group, d.Neuron)
		places = append(places, sarifLogical{name, name, "neuron"})
	}
	w.add("edit/"+slug(d.What), "a place was edited: "+d.What, broken, d.Text, places, map[string]any{"size": d.Size})
}

// artifacts lists all files with their digests.
func (w *sarifWriter) artifacts(r *verifyResult) {
	w.run.Artifacts = []sarifArtifact{}
	add := func(path string, files map[string]string, role string) sarifArtifactLocation {
		first := sarifArtifactLocation{uriOf(path), len(w.run.Artifacts)}
		names := slices.Sorted(maps.Keys(files))
		own := slices.Index(names, filepath.Base(path))
		if path == dash && len(names) == 1 {
			own = 0
		}
		if own > 0 {
			names = slices.Insert(slices.Delete(names, own, own+1), 0, filepath.Base(path))
		}
		for i, name := range names {
			uri := first.URI
			if i > 0 || own < 0 {
				uri = uriOf(filepath.Join(filepath.Dir(path), filepath.FromSlash(name)))
			}
			w.run.Artifacts = append(w.run.Artifacts, sarifArtifact{
				Location: sarifArtifactLocation{uri, len(w.run.Artifacts)}, Roles: []string{role}, Hashes: map[string]string{"sha-256": files[name]},
			})
		}
		if len(names) == 0 {
			w.run.Artifacts = append(w.run.Artifacts, sarifArtifact{Location: first, Roles: []string{role}})
		}
		return first
	}
	w.suspect = add(r.Suspect, r.SuspectFiles, "analysisTarget")
	add(r.Reference, r.ReferenceFiles, "referencedOnCommandLine")
	if r.Policy != "" {
		add(r.Policy, nil, "policy")
	}
}

// uriOf returns a path as a reference of a URI.
func uriOf(path string) string {
	if path == dash {
		return "stdin"
	}
	path = filepath.ToSlash(path)
	u := url.URL{Path: path}
	if filepath.IsAbs(filepath.FromSlash(path)) {
		u = url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(path, "/")}
	}
	return u.String()
}

// invocation says that all went well, and what could not be checked.
func (w *sarifWriter) invocation(r *verifyResult) {
	v := sarifInvocation{Successful: true, ExitCode: exitOK}
	if !r.Passed {
		v.ExitCode = exitNegative
	}
	for _, u := range r.Unchecked {
		v.Notifications = append(v.Notifications, sarifNotification{"warning", sarifMessage{"not checked: " + u.Check + ": " + u.Why}})
	}
	w.run.Invocations = []sarifInvocation{v}
}

// add adds a result. What is not allowed fails; the rest informs.
func (w *sarifWriter) add(rule, about string, broken bool, text string, places []sarifLogical, properties map[string]any) {
	rules := &w.run.Tool.Driver.Rules
	i := slices.IndexFunc(*rules, func(r sarifRule) bool { return r.ID == rule })
	if i < 0 {
		i = len(*rules)
		*rules = append(*rules, sarifRule{ID: rule, Name: pascal(rule), ShortDescription: sarifMessage{about}})
	}
	res := sarifResult{RuleID: rule, RuleIndex: i, Kind: "informational", Level: "none", Message: sarifMessage{text}, Properties: properties}
	if broken {
		res.Kind, res.Level = "fail", "error"
	}
	at := sarifLocation{Logical: places}
	at.Physical.Artifact = w.suspect
	res.Locations = []sarifLocation{at}
	if len(places) > 0 { // what tells a result of one run from others of it, and is the same in the next
		res.Fingerprints = map[string]string{"place/v1": rule + " " + places[len(places)-1].Qualified}
	}
	w.run.Results = append(w.run.Results, res)
}

// pascal writes change/tensors-added as ChangeTensorsAdded, as names of rules are.
func pascal(s string) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == '/' || r == '-' || r == ' ' }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}
