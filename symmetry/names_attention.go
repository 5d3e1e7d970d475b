package symmetry

import (
	"fmt"

	"ropewalk/tensor"
)

// heads say what attention does with queries and keys; q, k are norms of heads, or "".
type heads struct {
	rotary bool
	q, k   string
}

// headSize returns the width of a head, of queries of a width and keys and values of
// another, 0 if nothing tells it. norm is that of a norm of queries, or 0.
func (n *named) headSize(wide, narrow, norm int64) int64 {
	o := n.options
	no := func(format string, args ...any) {
		if n.err == nil {
			n.err = fmt.Errorf("%w: "+format, append([]any{ErrHeads}, args...)...)
		}
	}
	size := int64(o.HeadSize)
	if count := int64(o.Heads); count != 0 {
		switch {
		case count < 0 || wide%count != 0:
			no("queries are of %d numbers, which are no %d heads", wide, count)
			return 0
		case size != 0 && size != wide/count:
			no("queries are of %d numbers, which are no %d heads of %d", wide, count, size)
			return 0
		}
		size = wide / count
	}
	if size == 0 && norm < wide {
		size = norm
	}
	switch {
	case size == 0:
		return 0
	case size < 0 || wide%size != 0 || narrow%size != 0 || wide%narrow != 0:
		no("queries are of %d numbers, and keys of %d, which are no heads of %d", wide, narrow, size)
		return 0
	case o.KeyValueHeads != 0 && int64(o.KeyValueHeads) != narrow/size:
		no("keys are of %d numbers, which are no %d heads of %d", narrow, o.KeyValueHeads, size)
		return 0
	}
	return size
}

// attention has rotary embeddings, and heads that share keys and values.
func (n *named) attention(x *value, at string) *value {
	h := heads{rotary: true, q: at + "q_norm.weight", k: at + "k_norm.weight"}
	if n.has(at + "q_proj.weight") {
		q, k, v := n.linear(x, at+"q_proj"), n.linear(x, at+"k_proj"), n.linear(x, at+"v_proj")
		return n.linear(n.attend(q, k, v, h), at+"o_proj")
	}
	all := n.linear(x, at+"qkv_proj")
	wide := n.tensor(at+"o_proj.weight", x.shape[1], 0).shape[1]
	narrow := (all.shape[1] - wide) / 2
	if n.err != nil || narrow < 1 || wide+2*narrow != all.shape[1] {
		n.fail("%s makes %d numbers, which are no queries of %d and two of something", n.prefix+at+"qkv_proj", all.shape[1], wide)
		return x
	}
	return n.linear(n.attend(n.part(all, 0, wide), n.part(all, wide, narrow), n.part(all, wide+narrow, narrow), h), at+"o_proj")
}

// attend returns what attention with heads makes of queries, keys and values, (tokens,
// heads·size): a list like the queries.
func (n *named) attend(q, k, v *value, h heads) *value {
	wide, narrow := q.shape[1], k.shape[1]
	norm := func(name string) *value {
		if name == "" {
			return nil
		}
		return n.optional(name, 1)
	}
	qNorm, kNorm := norm(h.q), norm(h.k)
	width := int64(0)
	if qNorm != nil {
		width = qNorm.shape[0]
	}
	size := n.headSize(wide, narrow, width)
	if size == 0 || v.shape[1] != narrow {
		why := n.reason(UnknownHeads)
		if size != 0 {
			why = n.reason("values of another width than keys")
		}
		for _, y := range []*value{q, k, v, qNorm, kNorm} {
			if y != nil {
				n.fixAll(y, why)
			}
		}
		return still(tensor.Shape{tokens, wide}, why)
	}
	count, kv := wide/size, narrow/size
	turned := func(y *value, h64 int64, norm *value) *value { // (heads, tokens, size)
		if norm != nil && norm.shape[0] == y.shape[1] && h64 > 1 { // of all heads together
			y, norm = n.affine(n.normalised(y), norm, nil, 1), nil
		}
		y = n.reshape(y, tensor.Shape{tokens, h64, size})
		switch {
		case norm == nil:
		case norm.shape[0] == size:
			y = n.affine(n.normalised(y), norm, nil, 2)
		default:
			n.fail("a norm of %d numbers follows on heads of %d", norm.shape[0], size)
		}
		if h.rotary {
			n.fixAxis(&y.axes[2], n.reason("rotary embeddings"))
		}
		return n.transpose(y, []int{1, 0, 2})
	}
	repeated := func(y *value) *value {
		if count == kv {
			return y
		}
		y = n.expand(n.reshape(y, tensor.Shape{kv, 1, tokens, size}), tensor.Shape{kv, count / kv, tokens, size})
		return n.reshape(y, tensor.Shape{count, tokens, size})
	}
	q, k = turned(q, count, qNorm), repeated(turned(k, kv, kNorm))
	v = repeated(n.transpose(n.reshape(v, tensor.Shape{tokens, kv, size}), []int{1, 0, 2}))
	s := n.matMul(q, n.transpose(k, []int{0, 2, 1}))
	n.freeze(s) // softmax
	y := n.transpose(n.matMul(n.unscaled(s), v), []int{1, 0, 2})
	return n.reshape(y, tensor.Shape{tokens, wide})
}
