package message

import (
	"encoding/binary"
	"errors"
	"time"
)

// The first byte of a summary's binary form. docs/FORMATS.md has the rest.
const summaryVersion = 1

// Flags of a summary's binary form.
const (
	flagSent = 1 << iota
	flagReply
	flagSubjectCut
	flagFromCut
	flagToCut
	flagCcCut
	flagBccCut
	flagsEnd
)

// AppendBinary appends the summary as ParseSummary reads it, at most MaxSummary bytes.
func (s *Summary) AppendBinary(b []byte) []byte {
	b = append(b, summaryVersion)
	b = binary.AppendUvarint(b, s.flags())
	b = binary.AppendUvarint(b, uint64(s.Size))
	if !s.Sent.IsZero() {
		_, zone := s.Sent.Zone()
		b = binary.AppendVarint(b, s.Sent.Unix())
		b = binary.AppendVarint(b, int64(zone/60))
	}
	b = binary.AppendUvarint(b, uint64(s.base.from))
	b = binary.AppendUvarint(b, uint64(s.base.to))
	for _, text := range s.strings() {
		b = appendString(b, *text)
	}
	for _, list := range [][]string{s.References, s.FileNames} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, text := range list {
			b = appendString(b, text)
		}
	}
	return b
}

func (s *Summary) flags() (f uint64) {
	for i, on := range []bool{!s.Sent.IsZero(), s.Reply, s.Subject.Cut, s.From.Cut, s.To.Cut, s.Cc.Cut, s.Bcc.Cut} {
		if on {
			f |= 1 << i
		}
	}
	return f
}

// strings are the strings of a summary in the order of its binary form.
func (s *Summary) strings() [16]*string {
	return [...]*string{&s.Envelope, &s.Structure, &s.extensions, &s.places,
		&s.Subject.Text, &s.From.Text, &s.To.Text, &s.Cc.Text, &s.Bcc.Text,
		&s.FromKey.Mailbox, &s.FromKey.Display, &s.ToKey.Mailbox, &s.ToKey.Display, &s.CcKey.Mailbox, &s.CcKey.Display,
		&s.MessageID}
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// ParseSummary reads a summary. It keeps nothing of b. What is damaged, or of a version that this program does not know, is an
// error: make the summary anew from the message.
func ParseSummary(b []byte) (*Summary, error) {
	if len(b) > MaxSummary || len(b) == 0 {
		return nil, errSummary
	}
	if b[0] != summaryVersion {
		return nil, errors.New("message: a summary of an unknown version")
	}
	r := summaryReader{s: string(b[1:])}
	s := &Summary{}
	flags := r.number(flagsEnd - 1)
	s.Size = r.number(maxOffset)
	if flags&flagSent != 0 {
		seconds, minutes := unzigzag(r.number(1<<40)), unzigzag(r.number(2*24*60))
		s.Sent = time.Unix(int64(seconds), 0).In(zone(minutes * 60))
	}
	s.Reply = flags&flagReply != 0
	s.Subject.Cut, s.From.Cut, s.To.Cut = flags&flagSubjectCut != 0, flags&flagFromCut != 0, flags&flagToCut != 0
	s.Cc.Cut, s.Bcc.Cut = flags&flagCcCut != 0, flags&flagBccCut != 0
	s.base.from, s.base.to = r.number(maxSearched), r.number(maxSearched)
	for _, text := range s.strings() {
		*text = r.text()
	}
	s.References = r.list()
	s.FileNames = r.list()
	if r.bad || r.s != "" || s.base.from > s.base.to || s.base.to > len(s.Subject.Text) ||
		flags&flagSent != 0 && s.Sent.IsZero() || !checkPlaces(s.places, s.Size) || !checkSpans(s.extensions, len(s.Structure)) {
		return nil, errSummary
	}
	return s, nil
}

var errSummary = errors.New("message: a summary that cannot be read")

// summaryReader reads the pieces of a summary. After a bad one it returns nothing but zeros.
type summaryReader struct {
	s   string
	bad bool
}

func (r *summaryReader) number(limit uint64) int {
	n, rest, ok := cutNumber(r.s)
	if !ok || n > limit || r.bad {
		r.bad = true
		return 0
	}
	r.s = rest
	return int(n)
}

func (r *summaryReader) text() string {
	n := r.number(uint64(len(r.s)))
	if n > len(r.s) {
		r.bad = true
		return ""
	}
	text := r.s[:n]
	r.s = r.s[n:]
	return text
}

func (r *summaryReader) list() []string {
	n := r.number(uint64(len(r.s)))
	if n == 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, r.text())
	}
	return list
}

// cutNumber parts off a uvarint. Longer forms than needed are refused, so that a summary has one form.
func cutNumber(s string) (n uint64, rest string, ok bool) {
	for i := 0; i < len(s) && i < 9; i++ {
		n |= uint64(s[i]&0x7f) << (7 * i)
		if s[i] < 0x80 {
			return n, s[i+1:], i == 0 || s[i] != 0
		}
	}
	return 0, "", false
}

func unzigzag(n int) int { return n>>1 ^ -(n & 1) }
