package report

import (
	"encoding/json"
	"math"
	"strconv"
)

// A Chart is a picture of numbers.
type Chart struct {
	Title   string
	Caption string // what is seen, in a sentence
	Wide    bool   // takes the whole width, also where there is room for two
	Data    Data
}

// A Choice is charts of which one is shown, and a list to choose by.
type Choice struct {
	Label  string
	Charts []*Chart // their titles are the list
}

// Data are the numbers of a chart: a pointer to one of the kinds below.
type Data interface {
	kind() string
	// bounded returns a form that keeps to the limits of a page.
	bounded() Data
}

// Numbers are written with six digits, and as null where they are not finite.
type Numbers []float64

// MarshalJSON implements [json.Marshaler].
func (n Numbers) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, 8*len(n)+2)
	b = append(b, '[')
	for i, x := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendNumber(b, x)
	}
	return append(b, ']'), nil
}

func appendNumber(b []byte, x float64) []byte {
	if x-x != 0 {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, x, 'g', 6, 64)
}

// A Value is one number, written as in [Numbers].
type Value float64

// MarshalJSON implements [json.Marshaler].
func (v Value) MarshalJSON() ([]byte, error) { return appendNumber(nil, float64(v)), nil }

// A Treemap is areas within areas: what the bytes are spent on.
type Treemap struct {
	Unit  string `json:"unit"`  // of areas: bytes
	Color string `json:"color"` // what colours mean: bits per value; empty for nothing
	Nodes []Node `json:"nodes"`
}

// A Node is an area, and what it is made of.
type Node struct {
	Name     string `json:"name"`
	Value    Value  `json:"value"`
	Color    *Value `json:"color,omitempty"`
	Note     string `json:"note,omitempty"`
	Children []Node `json:"children,omitempty"`
}

func (*Treemap) kind() string { return "treemap" }

// Lines are curves over a common axis, or points that belong together.
type Lines struct {
	X       string   `json:"x"`
	Y       string   `json:"y"`
	Right   string   `json:"right,omitempty"` // the second axis, if a curve is on it
	LogX    bool     `json:"log_x,omitempty"`
	LogY    bool     `json:"log_y,omitempty"`
	Percent bool     `json:"percent,omitempty"` // the values of Y are shares
	Curves  []Curve  `json:"curves"`
	Bounds  []Bounds `json:"bounds,omitempty"`
}

// A Curve is a series of points.
type Curve struct {
	Name   string   `json:"name"`
	X      Numbers  `json:"x"`
	Y      Numbers  `json:"y"`
	Right  bool     `json:"right,omitempty"`  // on the second axis
	Dashed bool     `json:"dashed,omitempty"` // a rival, or a bound
	Points bool     `json:"points,omitempty"` // each point is a result of its own
	Labels []string `json:"labels,omitempty"` // of points
}

// Bounds are a line across a chart with a word.
type Bounds struct {
	Name string `json:"name"`
	At   Value  `json:"at"`
	// Vertical lines stand on the X axis.
	Vertical bool `json:"vertical,omitempty"`
}

func (*Lines) kind() string { return "lines" }

// A Histogram is how often values are where, of one or of two things in the same bins.
type Histogram struct {
	X      string  `json:"x"`
	Edges  Numbers `json:"edges"` // one more than bins
	Counts []Count `json:"counts"`
	// Ticks are values that stand out, such as the levels of a codebook.
	Ticks    Numbers `json:"ticks,omitempty"`
	TickName string  `json:"tick_name,omitempty"`
	LogY     bool    `json:"log_y,omitempty"`
}

// A Count is one of the things that a histogram counts.
type Count struct {
	Name string  `json:"name"`
	N    Numbers `json:"n"`
}

func (*Histogram) kind() string { return "histogram" }

// A Heatmap is panes of numbers as colours, all on one scale.
type Heatmap struct {
	X     string  `json:"x"`
	Y     string  `json:"y"`
	Unit  string  `json:"unit"`
	Low   Value   `json:"low"`  // of the scale
	High  Value   `json:"high"` // of the scale
	Panes []Pane  `json:"panes"`
	Signs bool    `json:"signs,omitempty"` // the scale has a middle: two colours
	Cells *Labels `json:"cells,omitempty"`
}

// A Pane is a matrix. Cells may stand for several numbers: then for the largest.
type Pane struct {
	Name string `json:"name"`
	Rows int    `json:"rows"`
	Cols int    `json:"cols"`
	// Total rows and columns that the cells stand for; 0 is as many as there are.
	TotalRows int   `json:"total_rows,omitempty"`
	TotalCols int   `json:"total_cols,omitempty"`
	Cells     Bytes `json:"cells"` // row by row: 0 is Low, 254 is High, 255 is no number
}

// Labels name the rows of a heat map; of a small one also columns, and what stands in
// the cells.
type Labels struct {
	Rows []string `json:"rows"`
	Cols []string `json:"cols,omitempty"`
	Text []string `json:"text,omitempty"` // row by row
}

// Bytes are written as base64.
type Bytes []byte

func (*Heatmap) kind() string { return "heatmap" }

// NewPane makes a pane of a matrix, row by row, on the scale from low to high, with at
// most [MaxCells] rows and columns.
func NewPane(name string, rows, cols int, values []float64, low, high float64) Pane {
	p := Pane{Name: name, Rows: min(rows, MaxCells), Cols: min(cols, MaxCells)}
	if p.Rows != rows || p.Cols != cols {
		p.TotalRows, p.TotalCols = rows, cols
	}
	p.Cells = make(Bytes, p.Rows*p.Cols)
	for i, x := range pooled(rows, cols, values, p.Rows, p.Cols) {
		p.Cells[i] = shade(x, low, high)
	}
	return p
}

// shade puts a number on the scale of a pane.
func shade(x, low, high float64) byte {
	if x != x || high <= low {
		return 255
	}
	return byte(math.Round(254 * min(1, max(0, (x-low)/(high-low)))))
}

// A Scatter is a cloud of points.
type Scatter struct {
	X      string   `json:"x"`
	Y      string   `json:"y"`
	LogX   bool     `json:"log_x,omitempty"`
	LogY   bool     `json:"log_y,omitempty"`
	Groups []Curve  `json:"groups"` // Labels are those of points
	Bounds []Bounds `json:"bounds,omitempty"`
}

func (*Scatter) kind() string { return "scatter" }

// Bars are numbers in an order, such as the certainty of each neuron.
type Bars struct {
	X       string   `json:"x"`
	Y       string   `json:"y"`
	Names   []string `json:"names,omitempty"` // of bars; else they are counted from 0
	Values  Numbers  `json:"values"`
	Low     *Value   `json:"low,omitempty"`
	High    *Value   `json:"high,omitempty"`
	Bounds  []Bounds `json:"bounds,omitempty"`
	Total   int      `json:"total,omitempty"` // bars that these stand for: each for the lowest of some
	Percent bool     `json:"percent,omitempty"`
}

func (*Bars) kind() string { return "bars" }

// spec is how a chart is given to the script of the page.
type spec struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	Title string `json:"title"`
	About string `json:"about"`
	Data  Data   `json:"data"`
}

// Specs returns the charts of a page as JSON, as its script reads them: what a page that
// is live is given again.
func (p *Page) Specs() ([]byte, error) {
	list := []spec{}
	for _, c := range p.charts() {
		list = append(list, spec{ID: "c" + strconv.Itoa(len(list)), Kind: c.Data.kind(), Title: label(c.Title), About: text(c.Caption), Data: c.Data.bounded()})
	}
	return json.Marshal(list) // which escapes <, > and &
}

// charts lists the charts in the order of the page.
func (p *Page) charts() []*Chart {
	var list []*Chart
	for _, s := range p.Content {
		for _, b := range s.Blocks {
			list = append(list, b.Charts...)
			if b.Choice != nil {
				list = append(list, b.Choice.Charts...)
			}
		}
	}
	return list
}
