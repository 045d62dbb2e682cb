package imapd

import (
	"bytes"
	"io"
	"strings"
	"unicode"

	"github.com/emersion/go-imap/v2"

	"domicile/message"
	"domicile/store"
	"domicile/turns"
)

// message sends all that is asked for of one message. Nothing is sent of one that could not be read. body is nil if nothing of it is needed.
func (f *fetcher) message(m *row, p *plan, body io.Reader) (err error) {
	if p.streamed {
		return f.streamed(m, &p.cuts[0], body)
	}
	var raw []byte
	if body != nil {
		if raw, err = f.fill(body, m.Size, p.need); err != nil {
			return err
		}
	}
	parsed, preview, err := f.apart(m, p, raw)
	if err != nil {
		return err
	}
	f.index(m)
	f.summary(m, parsed)
	f.preview(m, preview)
	for i := range p.cuts {
		f.section(&p.cuts[i], raw)
	}
	f.s.conn.Raw(")").Line()
	return nil
}

// apart takes a message apart, if that is needed: heavy work.
func (f *fetcher) apart(m *row, p *plan, raw []byte) (parsed *message.Message, preview string, err error) {
	if !p.parse && !f.wantsPreview(m) {
		return nil, "", nil
	}
	err = f.s.inTurn(func(*turns.Turn) (err error) {
		if parsed, err = f.parsed(m, p, raw); err == nil && f.wantsPreview(m) {
			begin := message.Parse(raw[:min(len(raw), previewFrom)])
			preview = previewOf(begin, begin.Root)
		}
		return err
	})
	return parsed, preview, err
}

// summary sends what is kept ready, or else is made of the message.
func (f *fetcher) summary(m *row, parsed *message.Message) {
	sum := m.Summary
	if f.item(f.q.envelope, "ENVELOPE ") {
		if sum != nil && sum.Envelope != "" {
			f.described(m, sum.Envelope, message.ASCIIEnvelope)
		} else {
			f.described(m, string(parsed.AppendEnvelope(nil, parsed.Root)), message.ASCIIEnvelope)
		}
	}
	kept := sum != nil && sum.Structure != ""
	if f.item(f.q.body, "BODY ") {
		if kept && !message.Is8Bit(sum.Structure) {
			f.s.conn.Append(sum.AppendBody)
		} else if kept {
			f.described(m, string(sum.AppendBody(nil)), message.ASCIIStructure)
		} else {
			f.described(m, string(parsed.AppendStructure(nil, parsed.Root, false)), message.ASCIIStructure)
		}
	}
	if f.item(f.q.structure, "BODYSTRUCTURE ") {
		if kept {
			f.described(m, sum.Structure, message.ASCIIStructure)
		} else {
			f.described(m, string(parsed.AppendStructure(nil, parsed.Root, true)), message.ASCIIStructure)
		}
	}
}

// described sends an ENVELOPE or a BODYSTRUCTURE, in ASCII to a client that did not say that it knows UTF-8 (RFC 6855 3, RFC 6858).
func (f *fetcher) described(m *row, answer string, ascii func(string) string) {
	if !f.s.conn.UTF8 && message.Is8Bit(answer) {
		if shown := ascii(answer); shown != answer {
			answer = shown
			if i := uint32(m.index); len(f.downgraded) < maxDowngraded && !f.downgraded.has(i) {
				f.downgraded = f.downgraded.add(i)
			}
		}
	}
	f.s.conn.Raw(answer)
}

// maxDowngraded bounds how many runs of messages are told to be downgraded: that there are some is what matters.
const maxDowngraded = 100

// done is what stands in the OK of a FETCH (RFC 6858 3).
func (f *fetcher) done(uid bool) string {
	if len(f.downgraded) == 0 {
		return ""
	}
	var set imap.NumSet
	if v := f.s.view; uid {
		var uids []store.UID
		for _, r := range f.downgraded {
			uids = append(uids, v.uids[r.from:r.to+1]...)
		}
		runs := uidSpans(uids)
		set = runs[:min(len(runs), maxDowngraded)].uidSet()
	} else {
		var numbers imap.SeqSet
		for _, r := range f.downgraded {
			numbers.AddRange(r.from+1, r.to+1)
		}
		set = numbers
	}
	return "[DOWNGRADED " + set.String() + "] FETCH completed, in ASCII"
}

// section sends one section.
func (f *fetcher) section(p *cut, raw []byte) {
	f.item(true, p.name)
	c := f.s.conn.Raw(" ")
	if p.absent && !p.sized {
		c.Raw("NIL")
		return
	}
	if p.sized {
		c.Num(p.size())
		return
	}
	b := p.bytes(raw)
	f.literal(int64(len(b)), p.binary && bytes.IndexByte(b, 0) >= 0)
	c.Write(b)
}

// literal announces a section's bytes. One of BINARY with NUL is a literal8 (RFC 3516 4.3). A plain literal may hold none (RFC 9051 4.3.1), but a
// message that was given to us with NUL is given back with it: other bytes would not be the message.
func (f *fetcher) literal(n int64, eight bool) {
	if eight {
		f.s.conn.Raw("~")
	}
	f.s.conn.Literal(n)
}

// streamed sends a message of whose bytes one large section is wanted.
func (f *fetcher) streamed(m *row, p *cut, body io.Reader) error {
	from, to := p.bounds()
	err := f.s.stream(&m.Message, body, from, to-from, func() {
		f.index(m)
		f.summary(m, nil)
		f.item(true, p.name)
		f.s.conn.Raw(" ")
		f.literal(to-from, p.binary) // whether there is NUL in it nobody knows yet
	})
	if err == nil {
		f.s.conn.Raw(")").Line()
	}
	return err
}

// wantsPreview: a lazy client gets the preview of what costs little (RFC 8970 3.1).
func (f *fetcher) wantsPreview(m *row) bool {
	return f.q.preview == fullPreview || f.q.preview == lazyPreview && m.Size <= previewFrom
}

// maxPreview bounds a preview (RFC 8970 3.2), in characters.
const maxPreview = 200

// preview sends the preview of a message.
func (f *fetcher) preview(m *row, text string) {
	if !f.item(f.q.preview != noPreview, "PREVIEW ") {
		return
	}
	if f.wantsPreview(m) {
		f.s.conn.Str(text)
	} else {
		f.s.conn.Raw("NIL")
	}
}

// previewOf is the beginning of the text that a person would read first: "" if there is none.
func previewOf(m *message.Message, p *message.Part) string {
	if p.Type == "text" && p.Disposition != "attachment" {
		return shorten(m.Text(p))
	}
	for _, child := range p.Parts {
		if text := previewOf(m, child); text != "" {
			return text
		}
	}
	if p.Embedded != nil {
		return previewOf(m, p.Embedded)
	}
	return ""
}

// shorten makes one line of a text.
func shorten(text string) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range text {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			space = n > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			n++
		}
		if space = false; n >= maxPreview {
			break
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}
