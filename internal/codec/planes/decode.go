package planes

import "bytes"

// A Decoder decodes blocks. Its zero value is ready; what it needs it allocates
// once, up to 256 KiB for each plane that is not stored, so that further blocks
// need nothing. It must not be used by two goroutines at once.
type Decoder struct {
	planes   [8]*buffer
	gathered *buffer
	mask     *buffer
	tables   builder
}

// Decode is like the function Decode.
func (d *Decoder) Decode(dst, coded []byte, width int, t Transform) error {
	check(len(dst), width, t)
	for len(dst) > 0 {
		n := min(len(dst), chunk*width)
		rest, err := d.decodeChunk(dst[:n], coded, width, t)
		if err != nil {
			return err
		}
		dst, coded = dst[n:], rest
	}
	if len(coded) > 0 {
		return corrupt("bytes behind the last chunk")
	}
	return nil
}

func (d *Decoder) decodeChunk(dst, coded []byte, width int, t Transform) (rest []byte, err error) {
	if len(coded) > 0 && coded[0] == chunkSparse {
		return d.decodeSparse(dst, coded[1:], width, t)
	}
	return d.decodeDense(dst, coded, width, t)
}

func (d *Decoder) decodeDense(dst, coded []byte, width int, t Transform) (rest []byte, err error) {
	if len(coded) == 0 {
		return nil, corrupt("no chunk")
	}
	kind, coded := coded[0], coded[1:]
	switch kind {
	case chunkRaw:
		if len(coded) < len(dst) {
			return nil, corrupt("cut in a raw chunk")
		}
		return coded[copy(dst, coded):], nil
	case chunkPlanes:
	default:
		return nil, corrupt("unknown kind of chunk")
	}
	n := len(dst) / width
	if len(coded) < width {
		return nil, corrupt("cut in the kinds of planes")
	}
	kinds, coded := coded[:width], coded[width:]
	s := bytes.Count(kinds, []byte{planeStored})
	if s == width || len(coded) < s*n {
		return nil, corrupt("cut in the stored planes")
	}
	m := merger{n: n, width: width, low: coded[:s*n], t: t}
	coded = coded[s*n:]
	for p, kind := range kinds {
		if kind == planeStored {
			m.stored[m.s] = p
			m.s++
			continue
		}
		if d.planes[p] == nil {
			d.planes[p] = new(buffer)
		}
		if coded, err = d.decodePlane(kind, d.planes[p], n, coded); err != nil {
			return nil, err
		}
		m.planes[p] = d.planes[p][:n]
	}
	m.merge(dst)
	return coded, nil
}

// decodePlane decodes a plane of n symbols that is not stored.
func (d *Decoder) decodePlane(kind byte, out *buffer, n int, coded []byte) (rest []byte, err error) {
	switch kind {
	case planeFill:
		if len(coded) == 0 {
			return nil, corrupt("no byte to fill with")
		}
		fill(out[:n], coded[0])
		return coded[1:], nil
	case planeHuffman:
		return d.decodeHuffman(out, n, coded)
	case planeClasses:
		return d.decodeClasses(out, n, coded)
	}
	return nil, corrupt("unknown kind of plane")
}

// decodeBytes decodes a plane that stands alone.
func (d *Decoder) decodeBytes(out *buffer, n int, coded []byte) (rest []byte, err error) {
	if len(coded) == 0 {
		return nil, corrupt("no plane")
	}
	switch kind := coded[0]; kind {
	case planeStored:
		if len(coded)-1 < n {
			return nil, corrupt("cut in a stored plane")
		}
		copy(out[:n], coded[1:])
		return coded[1+n:], nil
	case planeClasses:
		return nil, corrupt("classes in a plane that has none")
	default:
		return d.decodePlane(kind, out, n, coded[1:])
	}
}

func (d *Decoder) decodeClasses(out *buffer, n int, coded []byte) (rest []byte, err error) {
	count := (n + segment - 1) / segment
	ids := (count + 3) / 4
	if len(coded) < 1+ids {
		return nil, corrupt("cut in the classes")
	}
	classes := int(coded[0])
	if classes < 2 || classes > maxClasses {
		return nil, corrupt("bad number of classes")
	}
	of, coded := coded[1:1+ids], coded[1+ids:]
	var sizes [maxClasses]int
	for i := range count {
		sizes[of[i/4]>>(i%4*2)&3] += segment
	}
	if over := count*segment - n; over > 0 {
		sizes[of[(count-1)/4]>>((count-1)%4*2)&3] -= over
	}
	for k := classes; k < maxClasses; k++ {
		if sizes[k] > 0 {
			return nil, corrupt("segment of a class that is not there")
		}
	}
	if count%4 != 0 && of[ids-1]>>(count%4*2) != 0 {
		return nil, corrupt("classes behind the last segment")
	}
	if d.gathered == nil {
		d.gathered = new(buffer)
	}
	for k := range classes {
		if coded, err = d.decodeBytes(d.gathered, sizes[k], coded); err != nil {
			return nil, err
		}
		at := 0
		for i := range count {
			if int(of[i/4]>>(i%4*2)&3) == k {
				at += copy(out[i*segment:min((i+1)*segment, n)], d.gathered[at:])
			}
		}
	}
	return coded, nil
}

func fill(b []byte, v byte) {
	if v == 0 {
		clear(b)
		return
	}
	for i := range b {
		b[i] = v
	}
}
