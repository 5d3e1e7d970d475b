package cli

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"ropewalk/attack"
	"ropewalk/internal/report"
)

// mostOrders is how many groups of an attack have a chart of who went where.
const mostOrders = 24

// truth shows where neurons went in an attack, and what they were multiplied by.
func (p *pager) truth(t *attack.Truth) {
	if t == nil || len(t.Element) == 0 {
		return
	}
	names := slices.Sorted(maps.Keys(t.Element))
	s := p.section("Which neuron is where")
	tab := &report.Table{Columns: []report.Column{{Name: "group", Text: true}, {Name: "neurons", Note: "after the attack"}, {Name: "moved"}, {Name: "multiplied"}, {Name: "least factor"}, {Name: "largest factor"}, {Name: "added"}, {Name: "removed"}}}
	orders := &report.Choice{Label: "Group"}
	factors := report.Curve{Name: "neurons"}
	positive := true
	for _, name := range names {
		m := t.Element[name]
		if m == nil {
			continue // a file of somebody else
		}
		low, high, multiplied := math.Inf(1), math.Inf(-1), 0
		size := len(m.Order)
		for _, list := range m.Factors {
			if m.Order == nil {
				size = len(list)
			}
			for j, x := range list {
				if x == 1 {
					continue
				}
				multiplied++
				low, high, positive = min(low, x), max(high, x), positive && x > 0
				factors.X, factors.Y = append(factors.X, float64(j)), append(factors.Y, x)
				factors.Labels = append(factors.Labels, fmt.Sprintf("%s, neuron %d", name, j))
			}
		}
		moved := 0
		for i, j := range m.Order {
			if j >= 0 && j != i {
				moved++
			}
		}
		row := []report.Cell{report.Name(name), numberCell(int64(size)), numberCell(int64(moved)), numberCell(int64(multiplied)), noCell, noCell, numberCell(int64(len(t.Added[name]))), numberCell(int64(len(t.Removed[name])))}
		if multiplied > 0 {
			row[4], row[5] = realCell("%.4g", low), realCell("%.4g", high)
		}
		tab.Row(row...)
		if m.Order != nil && len(orders.Charts) < mostOrders {
			orders.Charts = append(orders.Charts, orderChart(name, m.Order, t.Removed[name]))
		}
	}
	if n := len(names); len(orders.Charts) == mostOrders && n > mostOrders {
		s.Text(fmt.Sprintf("Of %d groups, the first %d are drawn; --map has all.", n, mostOrders))
	}
	s.Choice(orders)
	if len(factors.X) > 0 {
		s.Chart(&report.Chart{
			Title: "What neurons were multiplied by", Caption: "Neurons of all groups by their place before the attack; what reads them takes the factors back.", Wide: true,
			Data: &report.Scatter{X: "neuron", Y: "factor", LogY: positive, Groups: []report.Curve{factors}, Bounds: []report.Bounds{{Name: "unchanged", At: 1}}},
		})
	}
	s.Table(tab)
}

// orderChart draws where the neurons of a group came from.
func orderChart(name string, order, removed []int) *report.Chart {
	most := len(order)
	for _, j := range slices.Concat(order, removed) {
		most = max(most, j+1)
	}
	outside := -float64(most) / 16
	kept, added, gone := report.Curve{Name: "neurons"}, report.Curve{Name: "added"}, report.Curve{Name: "removed"}
	for i, j := range order {
		c, y := &kept, float64(j)
		if j < 0 {
			c, y = &added, outside
		}
		c.X, c.Y = append(c.X, float64(i)), append(c.Y, y)
	}
	for _, j := range removed {
		gone.X, gone.Y = append(gone.X, outside), append(gone.Y, float64(j))
	}
	caption := "Each point is a neuron: where it is now, and where it was. On the diagonal are those that stayed."
	groups := []report.Curve{kept}
	if len(added.X) > 0 {
		groups, caption = append(groups, added), caption+" Those that were added were nowhere, which is drawn below 0."
	}
	if len(gone.X) > 0 {
		groups, caption = append(groups, gone), caption+" Those that were removed are nowhere now, which is drawn left of 0."
	}
	return &report.Chart{Title: fmt.Sprintf("%s, %s", name, count(len(order), "neuron")), Caption: caption, Data: &report.Scatter{X: "place after the attack", Y: "place before", Groups: groups}}
}
