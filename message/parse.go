package message

import (
	"bytes"
	"strings"
)

// Parse parses raw, which must not change afterwards.
func Parse(raw []byte) *Message {
	p := &parser{m: &Message{raw: raw, Root: &Part{}}, boundaries: map[string]int{}, parts: 1}
	p.open(p.m.Root, 0, "")
	for p.pos < len(raw) {
		if !p.looking() {
			p.lines += bytes.Count(raw[p.pos:], lineFeed)
			break
		}
		end := len(raw)
		if i := bytes.IndexByte(raw[p.pos:], '\n'); i >= 0 {
			end = p.pos + i + 1
		}
		p.line(raw[p.pos:end], end)
		if raw[end-1] == '\n' {
			p.lines++
		}
		p.pos = end
	}
	p.closeTo(0, len(raw), p.lines)
	return p.m
}

var lineFeed = []byte{'\n'}

// parser is Parse's state at the beginning of a line.
type parser struct {
	m          *Message
	stack      []frame
	boundaries map[string]int // boundary to the innermost open multipart that has it
	pos        int            // offset of the line
	lines      int            // line feeds before it
	parts      int
}

// frame is a part that is open.
type frame struct {
	part      *Part
	header    bool   // its header is being read
	parent    string // "digest" if it is a part of a multipart/digest
	field     int    // the remembered field that a continuation line belongs to, or -1
	boundary  string // of a multipart whose parts may still come; "" = none
	shadowed  int    // the frame that had the same boundary before, or -1
	bodyLines int    // line feeds before the body
}

// open begins a part at offset at.
func (p *parser) open(part *Part, at int, parent string) {
	part.Start, part.Body, part.End = at, at, at
	p.stack = append(p.stack, frame{part: part, header: true, parent: parent, field: -1})
}

// looking reports whether a line can still be more than text: of a header, or a boundary.
func (p *parser) looking() bool {
	return p.stack[len(p.stack)-1].header || len(p.boundaries) > 0
}

func (p *parser) line(line []byte, end int) {
	if len(line) > 2 && line[0] == '-' && line[1] == '-' && len(p.boundaries) > 0 && p.delimiter(line, end) {
		return
	}
	top := &p.stack[len(p.stack)-1]
	if !top.header {
		return
	}
	if isBlank(line) {
		p.endHeader(end, p.lines+1)
		return
	}
	if line[0] == ' ' || line[0] == '\t' {
		if top.field >= 0 {
			top.part.fields[top.field].to = end
		}
		return
	}
	top.field = -1
	if p.pos-top.part.Start > MaxHeader {
		return
	}
	if name, ok := fieldName(line); ok {
		if n, known := fieldNames[strings.ToLower(name)]; known && top.part.fields[n] == (span{}) {
			top.field = n
			top.part.fields[n] = span{p.pos + bytes.IndexByte(line, ':') + 1, end}
		}
	}
}

// delimiter handles a boundary line of an open multipart; false if the line is none.
func (p *parser) delimiter(line []byte, end int) bool {
	text := string(bytes.TrimRight(line[2:], " \t\r\n"))
	at, ok := p.boundaries[text]
	last := false
	if !ok {
		if text, last = strings.CutSuffix(text, "--"); last {
			at, ok = p.boundaries[text]
		}
	}
	if !ok || text == "" {
		return false
	}
	p.closeTo(at+1, p.pos, p.lines)
	f := &p.stack[at]
	if last || p.parts >= MaxParts {
		p.forget(f)
		return true
	}
	part := &Part{}
	p.parts++
	f.part.Parts = append(f.part.Parts, part)
	p.open(part, end, f.part.Subtype)
	return true
}

// closeTo ends all parts from depth on. at is where the next thing begins, lines the line feeds before it. The line end
// before a boundary belongs to the boundary (RFC 2046 5.1.1).
func (p *parser) closeTo(depth, at, lines int) {
	if depth > 0 && len(p.stack) > depth {
		if floor := p.stack[len(p.stack)-1].floor(); at > floor && p.m.raw[at-1] == '\n' {
			at, lines = at-1, lines-1
			if at > floor && p.m.raw[at-1] == '\r' {
				at--
			}
		}
	}
	for len(p.stack) > depth {
		if p.stack[len(p.stack)-1].header {
			p.endHeader(at, lines) // cut off within its header
			continue
		}
		f := &p.stack[len(p.stack)-1]
		p.forget(f)
		f.part.End = at
		f.part.Lines = lines - f.bodyLines
		if f.part.Type == "multipart" && len(f.part.Parts) == 0 {
			p.blob(f.part)
		}
		p.stack = p.stack[:len(p.stack)-1]
	}
}

// floor is where the part can end at the earliest.
func (f *frame) floor() int {
	if f.header {
		return f.part.Start
	}
	return f.part.Body
}

// forget stops to look for a frame's boundary.
func (p *parser) forget(f *frame) {
	if f.boundary == "" {
		return
	}
	if f.shadowed >= 0 {
		p.boundaries[f.boundary] = f.shadowed
	} else {
		delete(p.boundaries, f.boundary)
	}
	f.boundary = ""
}

// endHeader ends the header of the innermost part; its body begins at offset at, behind lines line feeds.
func (p *parser) endHeader(at, lines int) {
	depth := len(p.stack)
	f := &p.stack[depth-1]
	f.header = false
	f.part.Body, f.part.End, f.bodyLines = at, at, lines
	for i := range f.part.fields {
		if f.part.fields[i].to > at { // the line end was given to a boundary
			f.part.fields[i].to = max(at, f.part.fields[i].from)
		}
	}
	p.describe(f.part, f.parent)
	switch boundary := f.part.param("boundary"); {
	case f.part.Type == "multipart" && boundary != "" && len(boundary) <= MaxName && depth < MaxDepth:
		f.boundary, f.shadowed = boundary, -1
		if before, ok := p.boundaries[boundary]; ok {
			f.shadowed = before
		}
		p.boundaries[boundary] = depth - 1
	case f.part.Type == "multipart":
		p.blob(f.part)
	case f.part.Type == "message" && (f.part.Subtype == "rfc822" || f.part.Subtype == "global"):
		if depth >= MaxDepth || p.parts >= MaxParts {
			f.part.Type, f.part.Subtype = "application", "octet-stream"
			return
		}
		p.parts++
		f.part.Embedded = &Part{}
		p.open(f.part.Embedded, at, "")
	}
}

// blob makes a multipart that has no parts a text.
func (p *parser) blob(part *Part) {
	part.Type, part.Subtype, part.Params = "text", "plain", nil
}

func isBlank(line []byte) bool {
	return len(line) == 1 && line[0] == '\n' || len(line) == 2 && line[0] == '\r' && line[1] == '\n'
}

// fieldName returns the name of the field that begins in line. White space before the colon (RFC 5322 4.5) is no part
// of it.
func fieldName(line []byte) (string, bool) {
	i := bytes.IndexByte(line[:min(len(line), MaxName)], ':')
	if i <= 0 {
		return "", false
	}
	name := bytes.TrimRight(line[:i], " \t")
	return string(name), len(name) > 0 && !bytes.ContainsAny(name, " \t")
}
