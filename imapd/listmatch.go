package imapd

import word "math/bits"

// matches reports whether a mailbox name fits a LIST pattern: "*" stands for anything, "%" for anything without "/"
// (RFC 9051 6.3.9). Time is at most len(name)/64 times len(pattern): an account may have many long names.
func matches(name, pattern string) bool {
	m := matcher{name: name, ends: make(places, len(name)/64+1), behind: map[byte]places{}}
	m.ends[0] = 1
	for i := 0; i < len(pattern) && m.some(); i++ {
		switch c := pattern[i]; c {
		case '*':
			m.anything()
		case '%':
			m.oneLevel()
		default:
			m.literal(c)
		}
	}
	return m.ends[len(name)/64]>>(len(name)%64) != 0
}

// matcher holds a name against a pattern, character by character of the pattern.
type matcher struct {
	name   string
	ends   places          // j: what is read of the pattern fits name[:j]
	behind map[byte]places // j: name[j-1] is the byte
}

// places are a set of indexes of a name, its length included.
type places []uint64

func (m *matcher) some() bool {
	for _, w := range m.ends {
		if w != 0 {
			return true
		}
	}
	return false
}

// literal goes on by one where the name has c.
func (m *matcher) literal(c byte) {
	at, carry := m.all(c), uint64(0)
	for i, w := range m.ends {
		m.ends[i], carry = (w<<1|carry)&at[i], w>>63
	}
}

func (m *matcher) all(c byte) places {
	at := m.behind[c]
	if at == nil {
		at = make(places, len(m.ends))
		for i := range len(m.name) {
			if m.name[i] == c {
				at[(i+1)/64] |= 1 << ((i + 1) % 64)
			}
		}
		m.behind[c] = at
	}
	return at
}

// anything goes on from the first place to all behind it.
func (m *matcher) anything() {
	var before uint64
	for i, w := range m.ends {
		if before |= -(w & -w); w != 0 || before != 0 {
			m.ends[i], before = before, ^uint64(0)
		}
	}
	m.clip()
}

// oneLevel goes on from each place up to the next "/". Added to a run of ones, a one within it flips all from there to the run's end.
func (m *matcher) oneLevel() {
	slashes, shifted, carry := m.all('/'), uint64(0), uint64(0)
	for i, w := range m.ends {
		free := ^slashes[i]
		begin := (w<<1 | shifted) & free
		var sum uint64
		sum, carry = word.Add64(free, begin, carry)
		m.ends[i], shifted = w|((sum^free)|begin)&free, w>>63
	}
	m.clip()
}

// clip drops places behind the name's end.
func (m *matcher) clip() { m.ends[len(m.name)/64] &= 1<<(len(m.name)%64+1) - 1 }
