// Package message parses mail once, with limits, for what IMAP shows of it: the
// tree of MIME parts, envelopes, and sections as byte ranges.
//
//	m := message.Parse(raw)
//	if p := m.Find([]int{1, 2}); p != nil {
//		body := m.Body(p) // raw, exactly as it stands in the message
//	}
//
// It never fails: every sequence of bytes is a message. What is malformed is
// taken as it stands, and the worst of messages is one text/plain part. Nothing is
// decoded, re-folded or re-coded: sections are cut out of the bytes by offsets, so
// what a client reads is what was accepted, however broken its MIME is. Values for
// ENVELOPE and BODYSTRUCTURE are unfolded, and encoded words (RFC 2047) in them stay
// as they are, as RFC 9051 7.5.2 wants it.
//
// # Search
//
// [Message.Texts] decodes what a person could read in a message, and [Fold] brings it and
// what is looked for into the form in which they are compared:
//
//	want := message.Fold(wanted)
//	for kind, text := range m.Texts() {
//		if strings.Contains(message.Fold(text), want) {
//			return true
//		}
//	}
//
// What does not decode is read as far as it does: a wrong or unknown charset as UTF-8
// where it reads like that, and else as Windows-1252.
//
// # Summaries
//
// [Message.Summarize] makes what a store keeps ready of a message at delivery: the bytes of
// ENVELOPE and BODYSTRUCTURE, where parts stand, and what SORT, THREAD and most searches look at.
// docs/FORMATS.md has its bytes.
//
//	kept := m.Summarize().AppendBinary(nil)       // at delivery
//	s, err := message.ParseSummary(kept)          // later; on an error make it anew from the message
//	if s.Envelope != "" {
//		answer = append(answer, s.Envelope...) // else m.AppendEnvelope(answer, m.Root)
//	}
//	if p, ok := s.Find([]int{1, 2}); ok {         // if s.Placed(), else m.Find
//		section = body[p.Body:p.End]
//	}
//
// # Cost
//
// Parse reads the bytes once, line by line where a line can be of a header or a
// boundary; time is linear in their number whatever they hold, and the tree takes
// at most MaxParts parts. Past a limit the
// parser stops to look for structure: the bytes stay reachable, as part of the
// part that the limit was met in.
//
// A line ends in LF, with or without CR before it. A boundary line is "--", the
// boundary, optional "--" and trailing white space: the whole line, not a prefix.
//
// All functions are pure. A Message is immutable and may be shared.
package message
