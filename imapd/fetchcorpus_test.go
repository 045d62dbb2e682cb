package imapd

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"domicile/message"
)

var literalEnd = regexp.MustCompile(`\{(\d+)\}\r\n$`)

// exact runs a command and returns the bytes of all that is answered before the tagged line, which has to be OK.
func (c *client) exact(command string) string {
	c.t.Helper()
	tag, _, _ := strings.Cut(command, " ")
	c.send(command + "\r\n")
	var all []byte
	for begins := true; ; {
		line, err := c.r.ReadBytes('\n')
		if err != nil {
			c.t.Fatalf("%s: %v behind %.200q", command, err, all)
		}
		if begins && bytes.HasPrefix(line, []byte(tag+" ")) {
			if !bytes.HasPrefix(line, []byte(tag+" OK ")) {
				c.t.Fatalf("%s: %q", command, line)
			}
			return string(all)
		}
		all = append(all, line...)
		literal := literalEnd.FindSubmatch(line)
		if begins = literal == nil; begins {
			continue
		}
		n, _ := strconv.Atoi(string(literal[1]))
		at := len(all)
		all = append(all, make([]byte, n)...)
		if _, err := io.ReadFull(c.r, all[at:]); err != nil {
			c.t.Fatal(err)
		}
	}
}

// numbered is a part of a message and its number.
type numbered struct {
	path string
	part *message.Part
}

// allParts are the parts of a message as IMAP numbers them (RFC 9051 6.4.5.1).
func allParts(p *message.Part, path string, whole bool) (all []numbered) {
	if !whole && p.Embedded != nil {
		return allParts(p.Embedded, path, true)
	}
	for i, child := range p.Parts {
		n := strings.TrimPrefix(path+"."+strconv.Itoa(i+1), ".")
		all = append(append(all, numbered{n, child}), allParts(child, n, false)...)
	}
	if whole && len(p.Parts) == 0 {
		n := strings.TrimPrefix(path+".1", ".")
		all = append(all, numbered{n, p})
	}
	return all
}

// Whatever a message is, each of its items and sections is what a parse of its bytes says, to the byte.
func TestFetchOfCorpus(t *testing.T) {
	w := newWorld(t)
	raws := [][]byte{[]byte("x"), []byte("\n"), []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--b--"), []byte("a\x00b: \x00\r\n\r\n\x00\r"),
		[]byte(strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 120)), []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 1200)),
		[]byte("Subject: " + strings.Repeat("long ", 2000) + "\r\n\r\n" + strings.Repeat("body\n", 10)), []byte("Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ntext")}
	for name, raw := range corpus(t) {
		if len(raw) == 0 {
			t.Logf("%s is empty", name)
			continue
		}
		raws = append(raws, raw)
	}
	for _, raw := range raws {
		w.put("INBOX", string(raw))
	}
	c := w.login()
	c.do("b EXAMINE INBOX", "b OK")
	var whole strings.Builder
	for i, raw := range raws {
		fmt.Fprintf(&whole, "* %d FETCH (RFC822.SIZE %d BODY[] {%d}\r\n%s)\r\n", i+1, len(raw), len(raw), raw)
	}
	if got := c.exact("c FETCH 1:* (RFC822.SIZE BODY.PEEK[])"); got != whole.String() {
		t.Error("all at once, they came back otherwise")
	}
	for i, raw := range raws {
		m := message.Parse(raw)
		want := fmt.Sprintf("* %d FETCH (ENVELOPE %s BODY %s BODYSTRUCTURE %s)\r\n", i+1, message.ASCIIEnvelope(string(m.AppendEnvelope(nil, m.Root))),
			message.ASCIIStructure(string(m.AppendStructure(nil, m.Root, false))), message.ASCIIStructure(string(m.AppendStructure(nil, m.Root, true))))
		if got := c.exact(fmt.Sprintf("d FETCH %d (ENVELOPE BODY BODYSTRUCTURE)", i+1)); got != want {
			t.Errorf("message %d is described otherwise:\n got %.1000q\nwant %.1000q", i+1, got, want)
		}
		parts := allParts(m.Root, "", true)
		parts = append(parts[:min(len(parts), 60)], numbered{"", m.Root})
		ask, answer := []string{}, []string{}
		add := func(name string, b []byte) {
			ask, answer = append(ask, "BODY.PEEK["+name+"]"), append(answer, fmt.Sprintf("BODY[%s] {%d}\r\n%s", name, len(b), b))
		}
		absent := func(name string) {
			ask, answer = append(ask, "BODY.PEEK["+name+"]"), append(answer, "BODY["+name+"] NIL")
		}
		for _, p := range parts {
			dot := p.path + "."
			if p.path == "" {
				dot = ""
				add("", raw)
				add("HEADER", m.Header(m.Root))
				add("TEXT", m.Body(m.Root))
			} else {
				add(p.path, m.Body(p.part))
				add(dot+"MIME", m.Header(p.part))
				if e := p.part.Embedded; e != nil {
					add(dot+"HEADER", m.Header(e))
					add(dot+"TEXT", m.Body(e))
					add(dot+"HEADER.FIELDS (SUBJECT)", message.FieldsOf(m.Header(e), []string{"SUBJECT"}, false))
				} else {
					absent(dot + "HEADER")
					absent(dot + "TEXT")
				}
			}
			absent(dot + "1001")
		}
		got := c.exact(fmt.Sprintf("e FETCH %d (%s)", i+1, strings.Join(ask, " ")))
		if want := fmt.Sprintf("* %d FETCH (%s)\r\n", i+1, strings.Join(answer, " ")); got != want {
			t.Errorf("message %d: sections differ (%d bytes, %d wanted), of %s", i+1, len(got), len(want), strings.Join(ask, " "))
		}
		binary(t, c, i+1, m, parts)
	}
	if !w.home.memory.TryAcquire(readMemory) {
		t.Error("memory was not given back")
	}
}

// tilde is what stands before a literal of these bytes (RFC 3516 4.3).
func tilde(body []byte) string {
	if bytes.IndexByte(body, 0) >= 0 {
		return "~"
	}
	return ""
}

// binary compares the decoded parts of a message.
func binary(t *testing.T, c *client, n int, m *message.Message, parts []numbered) {
	var ask, answer []string
	for _, p := range parts {
		body, ok := m.Decoded(p.part)
		if p.path == "" || p.part.Embedded != nil || p.part.IsMultipart() {
			body, ok = m.Body(p.part), true
		}
		if p.path == "" {
			body = m.Bytes()
		}
		if !ok {
			c.do(fmt.Sprintf("f FETCH %d BINARY.PEEK[%s]", n, p.path), "f NO [UNKNOWN-CTE]")
			continue
		}
		ask = append(ask, "BINARY.PEEK["+p.path+"]", "BINARY.SIZE["+p.path+"]")
		answer = append(answer, fmt.Sprintf("BINARY[%s] %s{%d}\r\n%s", p.path, tilde(body), len(body), body), fmt.Sprintf("BINARY.SIZE[%s] %d", p.path, len(body)))
	}
	got := c.exact(fmt.Sprintf("g FETCH %d (%s)", n, strings.Join(ask, " ")))
	if want := fmt.Sprintf("* %d FETCH (%s)\r\n", n, strings.Join(answer, " ")); got != want {
		t.Errorf("message %d: binary sections differ, of %s", n, strings.Join(ask, " "))
	}
}

// Pieces of a large message are the pieces of its bytes, however they are asked for.
func TestFetchLarge(t *testing.T) {
	w := newWorld(t)
	var raw []byte
	for i := 0; len(raw) < 5<<20; i++ {
		raw = fmt.Appendf(raw, "line %d\r\n", i)
	}
	raw = slices.Concat([]byte("Subject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"), raw, []byte("\r\n--b--\r\n"))
	w.put("INBOX", string(raw))
	w.put("INBOX", "Subject: small\r\n\r\n")
	m := message.Parse(raw)
	first := m.Root.Parts[0]
	c := w.login()
	c.do("b EXAMINE INBOX", "b OK")
	for ask, want := range map[string][]byte{
		"BODY[]": raw, "BODY[TEXT]": m.Body(m.Root), "BODY[1]": m.Body(first), "BODY[HEADER]": m.Header(m.Root), "BODY[1.MIME]": m.Header(first),
		"BODY[]<4000000.70000>": raw[4000000:4070000], "BODY[1]<0.4000000>": m.Body(first)[:4000000], "BODY[1]<4000000.2000000>": m.Body(first)[4000000:], "BODY[]<99999999.1>": nil,
		"BODY[HEADER.FIELDS (SUBJECT)]": []byte("Subject: large\r\n\r\n"),
	} {
		name, _, _ := strings.Cut(ask, "<")
		if _, partial, found := strings.Cut(ask, "<"); found {
			offset, _, _ := strings.Cut(partial, ".")
			name += "<" + offset + ">"
		}
		if got := c.exact("c FETCH 1:2 (UID " + ask + ")"); !strings.HasPrefix(got, fmt.Sprintf("* 1 FETCH (UID 1 %s {%d}\r\n%s)\r\n* 2 FETCH (UID 2 %s ", name, len(want), want, name)) {
			t.Errorf("%s: %d bytes, want %d", ask, len(got), len(want))
		}
	}
	got := c.exact("d FETCH 1 (BODY[] BODY[1] BINARY[1])")
	if want := fmt.Sprintf("* 1 FETCH (BODY[] {%d}\r\n%s BODY[1] {%d}\r\n%s BINARY[1] {%d}\r\n%s)\r\n", len(raw), raw, len(m.Body(first)), m.Body(first), len(m.Body(first)), m.Body(first)); got != want {
		t.Error("several sections differ")
	}
	if !w.home.memory.TryAcquire(readMemory) {
		t.Error("memory was not given back")
	}
}
