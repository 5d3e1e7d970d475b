package passport

// The parts of a passport.
const (
	PartHeader    = "header" // with name, metadata and digests of files
	PartSpec      = "spec"   // what can move
	PartTensors   = "tensors"
	PartGroup     = "group"
	PartSignature = "signature" // with the digest
)

// An Entry of the ledger is a part of a passport and its size.
type Entry struct {
	Part  string `json:"part" about:"header, spec, tensors, group or signature"`
	Group string `json:"group,omitempty" about:"of neurons"`
	Place string `json:"place,omitempty" about:"of the group, whose sketches these are; without one, the rest of the group"`
	Bytes int64  `json:"bytes"`
}

// Ledger returns what the bytes of a passport are spent on. The entries add up to the
// length of [Passport.Bytes].
func (p *Passport) Ledger() []Entry {
	sections := p.sections()
	if len(sections) != 3+len(p.Groups) {
		return nil // it was neither made nor read
	}
	list := []Entry{
		{Part: PartHeader, Bytes: headerSize + sections[0]}, {Part: PartSpec, Bytes: sections[1]}, {Part: PartTensors, Bytes: sections[2]},
	}
	for g := range p.Groups {
		group := &p.Spec.Groups[g]
		rest := Entry{Part: PartGroup, Group: group.Name, Bytes: sections[3+g]}
		for k := range p.Groups[g].Places {
			q := &p.Groups[g].Places[k]
			n := int64(4*(len(q.Values)+len(q.Lengths)+len(q.Whole)) + len(q.Exponents) + len(q.Sums))
			if n == 0 {
				continue
			}
			rest.Bytes -= n
			list = append(list, Entry{Part: PartGroup, Group: group.Name, Place: group.Places[k].String(), Bytes: n})
		}
		list = append(list, rest)
	}
	return append(list, Entry{Part: PartSignature, Bytes: int64(len(p.Bytes()) - len(p.body))})
}

// sections returns the bytes of each section, its tag and checksum counted. The body was
// made or checked by this package.
func (p *Passport) sections() []int64 {
	var list []int64
	r := &reader{b: p.body, at: headerSize, end: len(p.body)}
	for r.at < len(p.body) && r.err == nil {
		from := r.at
		r.bytes(4)
		r.bytes(int(r.u64()) + 4)
		list = append(list, int64(r.at-from))
	}
	return list
}
