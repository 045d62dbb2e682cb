package inflate

// What cursor.symbol returns instead of a symbol.
const (
	more = -1 // the bits end within one
	none = -2 // no symbol has these bits
)

const maxBits = 15 // of a symbol

// code is a Huffman code (RFC 1951 3.2.2).
type code struct {
	count   [maxBits + 1]int // symbols of each length
	symbols [288]uint16      // by length, and within one by value
}

// set makes the code whose symbols have these lengths. false if more symbols have a length than can have it, or if some bits would be no
// symbol, unless one symbol is all there is.
func (c *code) set(lengths []byte) bool {
	*c = code{}
	for _, l := range lengths {
		c.count[l]++
	}
	c.count[0] = 0
	left, used := 1, 0
	for l := 1; l <= maxBits; l++ {
		if left = left<<1 - c.count[l]; left < 0 {
			return false
		}
		used += c.count[l]
	}
	if left > 0 && used > 1 {
		return false
	}
	var at [maxBits + 2]int
	for l := 1; l <= maxBits; l++ {
		at[l+1] = at[l] + c.count[l]
	}
	for sym, l := range lengths {
		if l > 0 {
			c.symbols[at[l]] = uint16(sym)
			at[l]++
		}
	}
	return true
}

// cursor looks at bits without taking them.
type cursor struct {
	bits uint64
	n    uint
}

func (c *cursor) take(n uint) (v int, ok bool) {
	if c.n < n {
		return 0, false
	}
	v = int(c.bits & (1<<n - 1))
	c.bits >>= n
	c.n -= n
	return v, true
}

// symbol decodes one. The bits of a code come with the highest first.
func (c *cursor) symbol(h *code) int {
	value, first, index := 0, 0, 0
	for l := 1; l <= maxBits; l++ {
		bit, ok := c.take(1)
		if !ok {
			return more
		}
		value |= bit
		if value-h.count[l] < first {
			return int(h.symbols[index+value-first])
		}
		index += h.count[l]
		first = (first + h.count[l]) << 1
		value <<= 1
	}
	return none
}

// The codes of blocks without a table (RFC 1951 3.2.6).
var fixedLit, fixedDist = fixed()

func fixed() (lit, dist *code) {
	lit, dist = &code{}, &code{}
	var lengths [288]byte
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	lit.set(lengths[:])
	var five [32]byte
	for i := range five {
		five[i] = 5
	}
	dist.set(five[:])
	return lit, dist
}
