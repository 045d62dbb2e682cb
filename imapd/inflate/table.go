package inflate

// table is the codes of a block, while they are read (RFC 1951 3.2.7).
type table struct {
	lits, dists, sizes int // how many lengths there are of each
	read               int
	lengths            [288 + 32]byte
	small              code // of the lengths
	lit, dist          code
}

// sizeOrder is in which order the lengths of the small code come.
var sizeOrder = [19]byte{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func (z *Reader) tableSizes() bool {
	v, ok := z.take(14)
	if !ok {
		return false
	}
	t := &z.table
	t.lits, t.dists, t.sizes, t.read = v&31+257, v>>5&31+1, v>>10+4, 0
	if t.lits > 286 || t.dists > 30 {
		return z.fail()
	}
	clear(t.lengths[:])
	z.next = (*Reader).tableSize
	return true
}

// tableSize reads a length of the small code.
func (z *Reader) tableSize() bool {
	t := &z.table
	v, ok := z.take(3)
	if !ok {
		return false
	}
	t.lengths[sizeOrder[t.read]] = byte(v)
	if t.read++; t.read < t.sizes {
		return true
	}
	if !t.small.set(t.lengths[:19]) {
		return z.fail()
	}
	t.read = 0
	clear(t.lengths[:])
	z.next = (*Reader).tableLength
	return true
}

// tableLength reads a length of the codes, or a run of them.
func (z *Reader) tableLength() bool {
	t := &z.table
	z.fill()
	peek := cursor{z.bits, z.n}
	sym := peek.symbol(&t.small)
	value, from, bits := byte(0), 1, uint(0)
	switch {
	case sym == more:
		return false
	case sym == none || sym == 16 && t.read == 0:
		return z.fail()
	case sym == 16:
		value, from, bits = t.lengths[t.read-1], 3, 2
	case sym == 17:
		from, bits = 3, 3
	case sym == 18:
		from, bits = 11, 7
	default:
		value = byte(sym)
	}
	run, ok := peek.take(bits)
	if !ok {
		return false
	}
	z.drop(z.n - peek.n)
	if run += from; run > t.lits+t.dists-t.read {
		return z.fail()
	}
	for ; run > 0; run-- {
		t.lengths[t.read] = value
		t.read++
	}
	if t.read < t.lits+t.dists {
		return true
	}
	if !t.lit.set(t.lengths[:t.lits]) || !t.dist.set(t.lengths[t.lits:t.read]) {
		return z.fail()
	}
	z.lit, z.dist, z.next = &t.lit, &t.dist, (*Reader).symbol
	return true
}
