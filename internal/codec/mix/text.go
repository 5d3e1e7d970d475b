package mix

import (
	"math/bits"
	"sync"
)

// MaxText bounds the length of a text: its model keeps all of it.
const MaxText = 1 << 15

// AppendText appends the coded form of a header: names, numbers and what else
// describes tensors. It is made for hundreds of bytes, where a model must know
// its subject before it begins: it has learnt a dictionary, and then an example,
// which may be empty.
func AppendText(dst, text, example []byte) []byte {
	c := newEncoder(dst)
	m := newTextModel(&c, len(text), example)
	for _, b := range text {
		m.byte(int(b))
	}
	return c.Finish()
}

// DecodeText fills text, whose length the caller knows, as well as the example.
func DecodeText(text, coded, example []byte) error {
	c := newDecoder(coded)
	m := newTextModel(&c, len(text), example)
	for i := range text {
		text[i] = byte(m.byte(0))
	}
	if c.Overrun() {
		return ErrCorrupt
	}
	return nil
}

// textOrders are how many bytes before the current one the contexts know.
var textOrders = [...]int{0, 1, 2, 3, 4, 6}

const (
	textInputs = len(textOrders)
	textWeight = weightOne * 3 / 10
	textShift  = 14 // learns twice as fast as others: there is little to learn from
)

// A textModel predicts the bits of a byte, highest first, from the bytes before.
type textModel struct {
	*coder  // nil while learning the dictionary
	history uint64
	learnt  *textModel // from the dictionary; nil while learning it
	keys    []uint64   // of counters: context, order and the bits before; exact
	slots   []uint32
	// Weights are chosen by how many contexts have been seen before: the
	// longest of them knows best.
	weights [textInputs + 1][textInputs + 1]int32
}

// newTextModel returns a model for n bytes, which knows the dictionary and an
// example.
func newTextModel(c *coder, n int, example []byte) *textModel {
	m := emptyTextModel(n + len(example))
	m.learnt = learntText()
	m.weights = m.learnt.weights
	for range lessons {
		for _, b := range example {
			m.byte(int(b))
		}
		m.history = 0
	}
	m.coder = c
	return m
}

// lessons is how often an example is learnt: what follows it is believed to be much
// the same.
const lessons = 2

func emptyTextModel(n int) *textModel {
	size := 2 << bits.Len(uint(8*textInputs*n)) // a bit adds a counter to each order, at most
	return &textModel{keys: make([]uint64, size), slots: make([]uint32, size)}
}

var learntText = sync.OnceValue(func() *textModel {
	m := emptyTextModel(len(textDictionary))
	for i := range m.weights {
		for k := range m.weights[i] {
			m.weights[i][k] = textWeight
		}
	}
	for _, b := range []byte(textDictionary) {
		m.byte(int(b))
	}
	return m
})

// byte codes one byte.
func (m *textModel) byte(b int) int {
	var contexts [textInputs]uint64
	for i, order := range textOrders {
		contexts[i] = m.history&(1<<(8*order)-1)<<11 | uint64(i)<<8
	}
	node := 1
	for i := 7; i >= 0; i-- {
		node = node<<1 | m.decide(b>>i&1, &contexts, uint64(node))
	}
	m.history = m.history<<8 | uint64(node&255)
	return node & 255
}

func (m *textModel) decide(bit int, contexts *[textInputs]uint64, node uint64) int {
	var logits [textInputs + 1]int32
	var slots [textInputs]*uint32
	seen := 0
	for i, c := range contexts {
		s := m.slot(c | node)
		slots[i] = s
		logits[i] = stretchTable[*s>>20]
		seen += b2i(*s&1023 > 0)
	}
	logits[textInputs] = 256
	w := &m.weights[seen]
	var dot int64
	for i, x := range logits {
		dot += int64(x) * int64(w[i])
	}
	prob := squashTable[min(max(dot>>16, logitMin), logitMax)+2048]
	if m.coder != nil {
		bit = m.coder.Bit(bit, prob)
	}
	err := int32(bit<<16) - int32(prob)
	for i, x := range logits {
		w[i] += (x*err + 1<<(textShift-1)) >> textShift
	}
	for _, s := range slots {
		*s = learn(*s, bit)
	}
	return bit
}

// slot returns the counter of a context. One that is new here begins as it was
// left by the dictionary.
func (m *textModel) slot(key uint64) *uint32 {
	at := m.find(key)
	if m.keys[at] == 0 {
		m.keys[at], m.slots[at] = key, counterHalf
		if m.learnt != nil {
			if l := m.learnt.find(key); m.learnt.keys[l] != 0 {
				m.slots[at] = m.learnt.slots[l]
			}
		}
	}
	return &m.slots[at]
}

// find returns the place of a key, or the empty one where it belongs. Keys are
// never 0, as node is not.
func (m *textModel) find(key uint64) int {
	mask := uint64(len(m.keys) - 1)
	at := key * 0x9e3779b97f4a7c15 >> 20 & mask
	for m.keys[at] != key && m.keys[at] != 0 {
		at = (at + 1) & mask
	}
	return int(at)
}
