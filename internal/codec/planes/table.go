package planes

// A table maps the next maxBits bits of a stream to what they stand for.
type table [1 << maxBits]entry

// An entry is up to maxSymbols symbols, the first lowest; from bit 48, the bits
// they take; from bit 54, how many they are. What is above bit 48 can be added
// up: so one number holds how many bits were taken and how many symbols given.
type entry uint64

const (
	maxSymbols = 6
	oneBit     = 1 << 48
	oneSymbol  = 1 << 54
)

func (e entry) bits() uint { return uint(e/oneBit) & 63 }

// fewSymbols are soon decoded one by one, before a table of several is made.
const fewSymbols = 6000

// A builder makes tables.
type builder struct {
	first table               // of one symbol each
	sizes [2 << maxBits]entry // tables of all sizes; that of windows of v bits begins at 1<<v
}

// build returns a table of a complete code, for n symbols; it is valid until the
// next call. What a window stands for is its first symbol, and what the rest of
// the window stands for, which a smaller table knows.
func (b *builder) build(c *code, n int) *table {
	least := uint(maxBits)
	c.words(func(sym int, word uint16, length uint8) {
		e := entry(sym) | entry(length)*oneBit | oneSymbol
		for w := int(word); w < len(b.first); w += 1 << length {
			b.first[w] = e
		}
		least = min(least, uint(length))
	})
	if n < fewSymbols {
		return &b.first
	}
	for v := range maxBits - least + 1 {
		b.fill(c, v)
	}
	b.fill(c, maxBits)
	return (*table)(b.sizes[1<<maxBits:])
}

// fill makes the table of windows of v bits.
func (b *builder) fill(c *code, v uint) {
	const all = 1<<(8*maxSymbols) - 1
	for w := range 1 << v {
		e := b.first[w&(len(b.first)-1)]
		length := e.bits()
		if length > v {
			b.sizes[1<<v|w] = 0 // no whole word
			continue
		}
		more := b.sizes[(1<<(v-length)|w>>length)&(len(b.sizes)-1)]
		if more >= maxSymbols*oneSymbol {
			// One too many: the last one is shifted out below.
			more -= entry(c[more>>(8*(maxSymbols-1))&255])*oneBit + oneSymbol
		}
		b.sizes[1<<v|w] = e + more&^all + more<<8&all
	}
}
