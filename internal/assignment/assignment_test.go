package assignment

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// brute tries all matchings. Rows without one of their own price must be matched;
// without prices the shorter side must be complete.
func brute(rows, cols int, cost []float64, alone []float64) float64 {
	used := make([]bool, cols)
	best := math.Inf(1)
	var try func(i, left int, sum float64)
	try = func(i, left int, sum float64) {
		if i == rows {
			if left == 0 || alone != nil {
				best = min(best, sum)
			}
			return
		}
		for j := range cols {
			if !used[j] && !math.IsInf(cost[i*cols+j], 1) {
				used[j] = true
				try(i+1, max(0, left-1), sum+cost[i*cols+j])
				used[j] = false
			}
		}
		switch {
		case alone != nil:
			try(i+1, left, sum+alone[i])
		case rows-i > left: // enough rows remain for the columns
			try(i+1, left, sum)
		}
	}
	try(0, min(rows, cols), 0)
	return best
}

// verify checks that s is a matching, that it costs what it says, and that its
// prices prove that nothing is cheaper.
func verify(t interface {
	Helper()
	Fatalf(string, ...any)
}, s *Solution, cols int, cost, alone []float64,
) {
	t.Helper()
	if len(s.Col) != len(s.U) || len(s.Row) != len(s.V) || len(s.Row) != cols {
		t.Fatalf("solution of %d rows, %d columns with %d and %d prices", len(s.Col), len(s.Row), len(s.U), len(s.V))
	}
	rows := len(s.Col)
	const tol = 1e-9
	sum, dual := 0.0, 0.0
	matched := 0
	for i, j := range s.Col {
		dual += s.U[i]
		if j < 0 {
			if alone != nil {
				sum += alone[i]
				if s.U[i] != alone[i] {
					t.Fatalf("row %d stays alone at price %v, want %v", i, s.U[i], alone[i])
				}
			} else if s.U[i] != 0 {
				t.Fatalf("row %d is free at price %v", i, s.U[i])
			}
			continue
		}
		matched++
		if s.Row[j] != i {
			t.Fatalf("row %d has column %d, which has row %d", i, j, s.Row[j])
		}
		c := cost[i*cols+j]
		sum += c
		if math.Abs(c-s.U[i]-s.V[j]) > tol*(1+math.Abs(c)) {
			t.Fatalf("pair %d, %d: cost %v, prices %v + %v", i, j, c, s.U[i], s.V[j])
		}
		if alone != nil && s.U[i] > alone[i]+tol {
			t.Fatalf("row %d pays %v, alone %v", i, s.U[i], alone[i])
		}
	}
	if alone == nil && matched != min(rows, cols) {
		t.Fatalf("%d of %d matched", matched, min(rows, cols))
	}
	for j, i := range s.Row {
		dual += s.V[j]
		if (alone != nil || rows < cols) && s.V[j] > 0 {
			t.Fatalf("column %d has price %v > 0", j, s.V[j])
		}
		if i < 0 && s.V[j] != 0 {
			t.Fatalf("free column %d has price %v", j, s.V[j])
		}
		if i >= 0 && s.Col[i] != j {
			t.Fatalf("column %d has row %d, which has column %d", j, i, s.Col[i])
		}
	}
	for i := range rows {
		for j := range cols {
			if c := cost[i*cols+j]; c-s.U[i]-s.V[j] < -tol*(1+math.Abs(s.U[i])+math.Abs(s.V[j])) {
				t.Fatalf("pair %d, %d costs %v, prices %v + %v", i, j, c, s.U[i], s.V[j])
			}
		}
	}
	if math.Abs(sum-s.Cost) > tol*(1+math.Abs(sum)) || math.Abs(sum-dual) > tol*(1+math.Abs(sum)+float64(rows)) {
		t.Fatalf("costs add up to %v, prices to %v, solution says %v", sum, dual, s.Cost)
	}
	var o *Options
	if alone != nil {
		o = &Options{Alone: alone}
	}
	gap := Gap(s, o, func(i int) []float64 { return cost[i*cols:][:cols] })
	if gap > tol*(1+math.Abs(sum))*float64(rows+1) || gap < -tol*(1+math.Abs(sum)) {
		t.Fatalf("gap %v", gap)
	}
}

type problem struct {
	rows, cols int
	cost       []float64
	alone      []float64
}

func draw(t *rapid.T) problem {
	p := problem{rows: rapid.IntRange(0, 6).Draw(t, "rows"), cols: rapid.IntRange(0, 6).Draw(t, "cols")}
	// Small integers make ties; real numbers don't.
	one := rapid.Map(rapid.IntRange(-3, 5), func(i int) float64 { return float64(i) })
	if rapid.Bool().Draw(t, "real") {
		one = rapid.Float64Range(-10, 10)
	}
	forbid := rapid.IntRange(0, 3).Draw(t, "forbid")
	for range p.rows * p.cols {
		c := one.Draw(t, "cost")
		if rapid.IntRange(1, 9).Draw(t, "allowed") <= forbid {
			c = math.Inf(1)
		}
		p.cost = append(p.cost, c)
	}
	if rapid.Bool().Draw(t, "prices") {
		p.alone = []float64{}
		for range p.rows {
			c := one.Draw(t, "alone")
			if rapid.IntRange(0, 5).Draw(t, "must") == 0 {
				c = math.Inf(1)
			}
			p.alone = append(p.alone, c)
		}
	}
	return p
}

func (p problem) options() *Options {
	if p.alone == nil {
		return nil
	}
	return &Options{Alone: p.alone}
}

// candidates returns all allowed pairs, and a few forbidden ones.
func (p problem) candidates() *Candidates {
	c := &Candidates{Cols: p.cols, Start: []int{0}}
	for i := range p.rows {
		for j := range p.cols {
			if x := p.cost[i*p.cols+j]; x <= MaxCost || (i+j)%3 == 0 {
				c.Col = append(c.Col, int32(j))
				c.Cost = append(c.Cost, x)
			}
		}
		c.Start = append(c.Start, len(c.Col))
	}
	return c
}

// All three solvers find what trying everything finds, and prove it.
func TestBrute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := draw(t)
		want := brute(p.rows, p.cols, p.cost, p.alone)
		check := func(name string, s *Solution, err error) {
			if math.IsInf(want, 1) {
				if !errors.Is(err, ErrInfeasible) {
					t.Fatalf("%s: nothing is possible, got %v, %v", name, s, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v, want cost %v", name, err, want)
			}
			if math.Abs(s.Cost-want) > 1e-9 {
				t.Fatalf("%s: cost %v, want %v", name, s.Cost, want)
			}
			verify(t, s, p.cols, p.cost, p.alone)
		}
		s, err := Minimize(p.rows, p.cols, p.cost, p.options())
		check("dense", s, err)
		s, err = p.candidates().Minimize(p.options())
		check("sparse", s, err)
		if p.alone != nil || p.rows <= p.cols {
			s, _, err = MinimizeRows(p.rows, p.cols, rapid.IntRange(1, 3).Draw(t, "k"), func(i int, buf []float64) []float64 {
				copy(buf, p.cost[i*p.cols:][:p.cols])
				return buf
			}, p.options())
			check("rows", s, err)
		}
		neg := make([]float64, len(p.cost))
		for i, c := range p.cost {
			neg[i] = -c
		}
		var o *Options
		if p.alone != nil {
			o = &Options{Alone: make([]float64, p.rows)}
			for i, c := range p.alone {
				o.Alone[i] = -c
			}
		}
		s, err = Maximize(p.rows, p.cols, neg, o)
		if err == nil {
			s.Cost = -s.Cost
			for i := range s.U {
				s.U[i] = -s.U[i]
			}
			for i := range s.V {
				s.V[i] = -s.V[i]
			}
		}
		check("maximize", s, err)
	})
}

// Square problems up to 8 rows, where there are 40,320 matchings.
func TestBruteEight(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for trial := range 20 {
		n := 7 + trial%2
		cost := make([]float64, n*n)
		for i := range cost {
			cost[i] = r.NormFloat64()
		}
		s, err := Minimize(n, n, cost, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := brute(n, n, cost, nil); math.Abs(s.Cost-want) > 1e-9 {
			t.Errorf("trial %d: cost %v, want %v", trial, s.Cost, want)
		}
	}
}

// families of larger problems: what matching networks looks like, and worse.
var families = []struct {
	name string
	cost func(r *rand.Rand, i, j int) float64
}{
	{"related", func(r *rand.Rand, i, j int) float64 {
		c := r.NormFloat64() * 0.1
		if (i*7+3)%101 == j {
			c--
		}
		return c
	}},
	{"hard", func(r *rand.Rand, i, j int) float64 {
		c := r.NormFloat64()
		if (i*7+3)%101 == j {
			c -= 2
		}
		return c
	}},
	{"unrelated", func(r *rand.Rand, _, _ int) float64 { return r.NormFloat64() }},
	{"ties", func(r *rand.Rand, _, _ int) float64 { return float64(r.IntN(3)) }},
	{"equal", func(*rand.Rand, int, int) float64 { return 1 }},
	{"product", func(_ *rand.Rand, i, j int) float64 { return float64((i + 1) * (j + 1)) }}, // slow for auctions
	{"wide", func(r *rand.Rand, _, _ int) float64 { return math.Exp(30 * r.NormFloat64()) }},
}

// Larger problems are proved by their prices, and the solvers agree.
func TestProof(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			for _, size := range [][2]int{{101, 101}, {60, 101}, {101, 60}} {
				rows, cols := size[0], size[1]
				r := rand.New(rand.NewPCG(3, uint64(rows)))
				p := problem{rows: rows, cols: cols}
				p32 := make([]float32, rows*cols)
				for i := range rows {
					for j := range cols {
						p32[i*cols+j] = float32(f.cost(r, i, j))
						p.cost = append(p.cost, float64(p32[i*cols+j]))
					}
				}
				dense, err := Minimize(rows, cols, p.cost, nil)
				if err != nil {
					t.Fatal(err)
				}
				tol := 1e-9 * (1 + math.Abs(dense.Cost))
				if f.name != "wide" { // rounding there is relative to the largest cost
					verify(t, dense, cols, p.cost, nil)
				}
				single, err := Minimize(rows, cols, p32, nil)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(dense, single); diff != "" {
					t.Errorf("%dx%d: float64 and float32 differ for the same numbers:\n%s", rows, cols, diff)
				}
				sparse, err := p.candidates().Minimize(nil)
				if err != nil {
					t.Fatal(err)
				}
				if math.Abs(dense.Cost-sparse.Cost) > tol {
					t.Errorf("%dx%d: dense %v, sparse %v", rows, cols, dense.Cost, sparse.Cost)
				}
				if rows > cols {
					continue
				}
				lazy, rounds, err := MinimizeRows(rows, cols, 8, func(i int, _ []float32) []float32 { return p32[i*cols:][:cols] }, nil)
				if err != nil {
					t.Fatal(err)
				}
				if math.Abs(dense.Cost-lazy.Cost) > tol {
					t.Errorf("%dx%d: dense %v, by rows %v in %d rounds", rows, cols, dense.Cost, lazy.Cost, rounds)
				}
				if f.name == "related" && rounds != 2 {
					t.Errorf("%d rounds for a problem with clear favourites", rounds)
				}
			}
		})
	}
}

// Gap believes the matching only: wrong prices widen it, a worse matching too.
func TestGap(t *testing.T) {
	cost := []float64{1, 2, 3, 1}
	row := func(i int) []float64 { return cost[2*i:][:2] }
	s, err := Minimize(2, 2, cost, nil)
	if err != nil {
		t.Fatal(err)
	}
	if g := Gap(s, nil, row); g > 1e-12 {
		t.Errorf("optimum: gap %v", g)
	}
	worse := &Solution{Col: []int{1, 0}, Row: []int{1, 0}, U: s.U, V: s.V}
	if g := Gap(worse, nil, row); g < 3-1e-12 {
		t.Errorf("a matching that costs 3 more: gap %v", g)
	}
	lies := &Solution{Col: s.Col, Row: s.Row, U: []float64{100, 100}, V: []float64{100, -100}}
	if g := Gap(lies, nil, row); g < 1 {
		t.Errorf("wrong prices: gap %v", g)
	}
	for name, bad := range map[string][]int{"twice": {0, 0}, "incomplete": {0, -1}, "out of range": {0, 2}} {
		if g := Gap(&Solution{Col: bad, Row: s.Row, U: s.U, V: s.V}, nil, row); !math.IsInf(g, 1) {
			t.Errorf("%s: gap %v", name, g)
		}
	}
}

// The gap of lists is none for an optimum, whatever is asked of it, and what is lost if two
// rows exchange their columns.
func TestListGap(t *testing.T) {
	c := &Candidates{Cols: 3, Start: []int{0, 2, 4}, Col: []int32{0, 1, 0, 1}, Cost: []float64{1, 5, 4, 2}}
	o := &Options{Alone: []float64{100, 100}}
	s, err := c.Minimize(o)
	if err != nil {
		t.Fatal(err)
	}
	if gap := c.Gap(s, o); gap > 1e-9 || gap < -1e-9 {
		t.Errorf("gap of the optimum is %g", gap)
	}
	s.Col[0], s.Col[1] = 1, 0
	if gap := c.Gap(s, o); math.Abs(gap-6) > 1e-9 {
		t.Errorf("gap of a matching that costs 9 instead of 3 is %g", gap)
	}
	for _, col := range [][]int{{2, 1}, {1, 1}, {7, 1}} {
		s.Col = col
		if gap := c.Gap(s, o); !math.IsInf(gap, 1) {
			t.Errorf("gap of the columns %v is %g", col, gap)
		}
	}
}

func TestRefused(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, tt := range []struct {
		name  string
		p     problem
		class error
	}{
		{"NaN", problem{2, 2, []float64{0, nan, 0, 0}, nil}, ErrCost},
		{"-Inf", problem{1, 1, []float64{-inf}, nil}, ErrCost},
		{"huge", problem{1, 1, []float64{1e200}, nil}, ErrCost},
		{"too few", problem{2, 2, []float64{1}, nil}, ErrCost},
		{"negative size", problem{-1, -1, []float64{1}, nil}, ErrCost},
		{"overflow", problem{1 << 32, 1 << 32, nil, nil}, ErrCost},
		{"NaN alone", problem{1, 1, []float64{1}, []float64{nan}}, ErrCost},
		{"prices missing", problem{2, 1, []float64{1, 1}, []float64{1}}, ErrCost},
		{"all forbidden", problem{1, 1, []float64{inf}, nil}, ErrInfeasible},
		{"same favourite", problem{2, 2, []float64{1, inf, 1, inf}, nil}, ErrInfeasible},
		{"more rows", problem{2, 1, []float64{inf, inf}, nil}, ErrInfeasible},
	} {
		if s, err := Minimize(tt.p.rows, tt.p.cols, tt.p.cost, tt.p.options()); !errors.Is(err, tt.class) {
			t.Errorf("%s: %v, %v; want %v", tt.name, s, err, tt.class)
		}
	}
	for name, c := range map[string]*Candidates{
		"NaN":          {Cols: 1, Start: []int{0, 1}, Col: []int32{0}, Cost: []float64{nan}},
		"column":       {Cols: 1, Start: []int{0, 1}, Col: []int32{1}, Cost: []float64{0}},
		"negative":     {Cols: 1, Start: []int{0, 1}, Col: []int32{-1}, Cost: []float64{0}},
		"twice":        {Cols: 1, Start: []int{0, 2}, Col: []int32{0, 0}, Cost: []float64{0, 0}},
		"start":        {Cols: 1, Start: []int{0, 2}, Col: []int32{0}, Cost: []float64{0}},
		"backwards":    {Cols: 1, Start: []int{0, 1, 0}, Col: []int32{0}, Cost: []float64{0}},
		"left over":    {Cols: 1, Start: []int{0, 0}, Col: []int32{0}, Cost: []float64{0}},
		"no cost":      {Cols: 1, Start: []int{0, 1}, Col: []int32{0}},
		"negative col": {Cols: -1},
	} {
		if s, err := c.Minimize(nil); !errors.Is(err, ErrCost) {
			t.Errorf("candidates %s: %v, %v", name, s, err)
		}
	}
	if _, err := new(Candidates).Minimize(nil); err != nil {
		t.Errorf("no rows: %v", err)
	}
	if _, _, err := MinimizeRows(2, 2, 2, func(int, []float64) []float64 { return []float64{1} }, nil); !errors.Is(err, ErrCost) {
		t.Errorf("short row: %v", err)
	}
	if _, _, err := MinimizeRows(1, 2, 2, func(int, []float64) []float64 { return []float64{1, nan} }, nil); !errors.Is(err, ErrCost) {
		t.Errorf("NaN in a row: %v", err)
	}
}

// FuzzMinimize feeds arbitrary numbers: each solver must give a proven optimum or
// an error, and they must agree on which.
func FuzzMinimize(f *testing.F) {
	f.Add(uint8(3), uint8(3), []byte{1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add(uint8(2), uint8(4), []byte{255, 255, 254, 0})
	f.Add(uint8(5), uint8(2), []byte{0})
	f.Fuzz(func(t *testing.T, rows, cols uint8, raw []byte) {
		p := problem{rows: int(rows % 24), cols: int(cols % 24)}
		for k := range p.rows * p.cols {
			c := math.Inf(1)
			if len(raw) > 0 {
				if b := raw[k%len(raw)]; b != 255 {
					c = float64(int8(b)) + float64(k%7)/8
				}
			}
			p.cost = append(p.cost, c)
		}
		dense, err := Minimize(p.rows, p.cols, p.cost, nil)
		sparse, err2 := p.candidates().Minimize(nil)
		if err != nil || err2 != nil {
			if !errors.Is(err, ErrInfeasible) || !errors.Is(err2, ErrInfeasible) {
				t.Fatalf("dense %v, sparse %v", err, err2)
			}
			return
		}
		verify(t, dense, p.cols, p.cost, nil)
		verify(t, sparse, p.cols, p.cost, nil)
	})
}
