package suite

import (
	"errors"
	"fmt"
)

// The kinds of charts.
const (
	// Curves are two columns against each other, such as size and error.
	Curves = "curves"
	// Matrix is columns as colours, with a row for each value of one of each.
	Matrix = "matrix"
)

// A Chart is how a table is drawn on a page.
type Chart struct {
	Kind  string `yaml:"kind" json:"kind" about:"curves or matrix"`
	Title string `yaml:"title" json:"title,omitempty"`
	// Curves.
	X    string `yaml:"x" json:"x,omitempty" about:"column of the horizontal axis"`
	Y    string `yaml:"y" json:"y,omitempty" about:"column of the vertical axis"`
	LogX bool   `yaml:"log_x" json:"log_x,omitempty" about:"the horizontal axis is logarithmic"`
	LogY bool   `yaml:"log_y" json:"log_y,omitempty" about:"the vertical axis is logarithmic"`
	// Over names one of each: its values are the points of a curve. Else a curve is the
	// points of all rows.
	Over string `yaml:"over" json:"over,omitempty" about:"what a curve goes through"`
	// Matrix.
	Down   string   `yaml:"down" json:"down,omitempty" about:"what stands at the left: one of each; empty for the rows of the table"`
	Values []string `yaml:"values" json:"values,omitempty" about:"columns that are colours"`
	Low    float64  `yaml:"low" json:"low" about:"end of the scale"`
	High   float64  `yaml:"high" json:"high" about:"end of the scale"`
}

// check checks a chart against the columns and each of its table.
func (c *Chart) check(columns map[string]bool, each map[string]bool) error {
	axes := map[string]string{"x": c.X, "y": c.Y}
	switch {
	case c.Kind == Curves && (c.Down != "" || len(c.Values) > 0 || c.Low != 0 || c.High != 0):
		return errors.New("chart of curves: down, values, low and high are for a matrix")
	case c.Kind == Matrix && (c.X != "" || c.Y != "" || c.LogX || c.LogY || c.Over != ""):
		return errors.New("chart of a matrix: x, y, log_x, log_y and over are for curves")
	case c.Kind == Matrix && (len(c.Values) == 0 || c.Low == c.High):
		return errors.New("chart of a matrix: want values, and low and high that differ")
	case c.Kind == Matrix:
		axes = map[string]string{}
		for _, v := range c.Values {
			axes["values "+v] = v
		}
	case c.Kind != Curves:
		return fmt.Errorf("chart: kind is %q, want %s or %s", c.Kind, Curves, Matrix)
	}
	for _, k := range keysOf(axes) {
		if !columns[axes[k]] {
			return fmt.Errorf("chart: %s is %q, which is no column", k, axes[k])
		}
	}
	for _, k := range []string{c.Over, c.Down} {
		if k != "" && !each[k] {
			return fmt.Errorf("chart: %q is none of each", k)
		}
	}
	return nil
}
