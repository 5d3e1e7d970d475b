package native

// A copying copies a value, which an output needs that would else lie in memory that
// is not its own.
type copying struct {
	x *operand
	y *site
}

func makeCopy(n *node) (operator, error) {
	n.writes()
	return &copying{n.in[0], n.out[0]}, nil
}

func (o *copying) forward() {
	copy(o.y.float, o.x.float)
	copy(o.y.int, o.x.int)
}

func (o *copying) backward() { copy(o.x.into, o.y.grad) }
