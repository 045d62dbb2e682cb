package wire

import (
	"math"
	"strconv"

	"github.com/emersion/go-imap/v2"
)

// Num takes a number below 2^32.
func (c *Command) Num() uint32 { return uint32(c.number(math.MaxUint32)) }

// Num64 takes a number below 2^63 (RFC 9051 9, number64).
func (c *Command) Num64() uint64 { return c.number(math.MaxInt64) }

// Positive takes a number from 1 on, below 2^32.
func (c *Command) Positive() uint32 {
	n := c.Num()
	if n == 0 {
		c.Fail("A number from 1 on is missing")
	}
	return n
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// IsNumber reports whether a digit comes next.
func (c *Command) IsNumber() bool { return isDigit(c.Peek()) }

func (c *Command) number(most uint64) uint64 {
	s := c.some(isDigit, "A number")
	if c.err != nil {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n > most {
		c.Fail("A number is too large")
		return 0
	}
	return n
}

// MaxRanges bounds a set.
const MaxRanges = 1 << 17

// Set takes a set of message numbers, or of UIDs. "$" is imap.SearchRes().
func (c *Command) Set(uid bool) imap.NumSet {
	if uid {
		return c.UIDSet()
	}
	if c.Take("$") {
		return imap.SearchRes() // which is a UIDSet: numbers of messages are found by their UIDs
	}
	var s imap.SeqSet
	c.ranges(func(from, to uint32) { s = append(s, imap.SeqRange{Start: from, Stop: to}) })
	return s
}

// UIDSet takes a set of UIDs.
func (c *Command) UIDSet() imap.UIDSet {
	if c.Take("$") {
		return imap.SearchRes()
	}
	var s imap.UIDSet
	c.ranges(func(from, to uint32) { s = append(s, imap.UIDRange{Start: imap.UID(from), Stop: imap.UID(to)}) })
	return s
}

// One takes one message's number, or its UID, as a set; "*" is the last message (seq-number).
func (c *Command) One(uid bool) imap.NumSet {
	n := c.bound()
	if uid {
		return imap.UIDSet{{Start: imap.UID(n), Stop: imap.UID(n)}}
	}
	return imap.SeqSet{{Start: n, Stop: n}}
}

// ranges takes the ranges of a set, each with its lower end first. "*" is 0, and higher than any number.
func (c *Command) ranges(add func(from, to uint32)) {
	for n := 0; c.err == nil; n++ {
		if n == MaxRanges {
			c.Fail("A set has too many parts")
			return
		}
		from := c.bound()
		to := from
		if c.Take(":") {
			to = c.bound()
		}
		if from == 0 || to != 0 && to < from {
			from, to = to, from
		}
		if c.err == nil {
			add(from, to)
		}
		if !c.Take(",") {
			return
		}
	}
}

func (c *Command) bound() uint32 {
	if c.Take("*") {
		return 0
	}
	return c.Positive()
}
