// Package report draws what the verbs found as one HTML page that needs nothing else:
// no network, no other files.
//
//	p := &report.Page{Verb: "inspect", Title: "model.onnx"}
//	s := p.Section("Where the bytes are")
//	s.Chart(&report.Chart{Title: "Tensors", Data: &report.Treemap{…}})
//	err := report.Write(w, p, nil)
//
// A page is made of plain numbers and text. Everything that comes from a file, as the
// names of tensors do, is text and nothing else: html/template escapes it, charts get it as
// JSON, and a content security policy lets no script run but the two that are part of
// the page, and no byte leave.
//
// Pages are bounded, whatever they are made of: tables, treemaps, curves, clouds of
// points and heat maps have limits (see reduce.go), and what is left out is said. The
// same page gives the same bytes.
//
// Charts are drawn by Apache ECharts, which is embedded: see the folder echarts.
package report
