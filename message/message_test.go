package message

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

// show writes a tree as one line a part: number, type, [start,body,end), lines.
func show(m *Message) string {
	var b strings.Builder
	var walk func(p *Part, at string)
	walk = func(p *Part, at string) {
		body := string(m.Body(p))
		if p.IsMultipart() || p.Embedded != nil {
			body = "..."
		}
		fmt.Fprintf(&b, "%s %s/%s %q %d\n", at, p.Type, p.Subtype, body, p.Lines)
		for i, c := range p.Parts {
			walk(c, fmt.Sprintf("%s.%d", at, i+1))
		}
		if p.Embedded != nil {
			walk(p.Embedded, at+".e")
		}
	}
	walk(m.Root, "0")
	return b.String()
}

func TestTrees(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"empty", "", "0 text/plain \"\" 0\n"},
		{"no header end", "Subject: x", "0 text/plain \"\" 0\n"},
		{"plain", "Subject: x\n\nhello\nworld", "0 text/plain \"hello\\r\\nworld\" 1\n"},
		{"two parts", "Content-Type: multipart/mixed; boundary=b\n\npre\n--b\n\none\n--b\nContent-Type: text/html\n\ntwo\n\n--b--\npost\n",
			"0 multipart/mixed \"...\" 11\n0.1 text/plain \"one\" 0\n0.2 text/html \"two\\r\\n\" 1\n"},
		{"no closing boundary", "Content-Type: multipart/mixed; boundary=\"b c\"\n\n--b c\n\none\n", "0 multipart/mixed \"...\" 3\n0.1 text/plain \"one\\r\\n\" 1\n"},
		{"multipart without a part", "Content-Type: multipart/mixed; boundary=b\n\nnothing\n", "0 text/plain \"nothing\\r\\n\" 1\n"},
		{"multipart without a boundary", "Content-Type: multipart/mixed\n\n--\n", "0 text/plain \"--\\r\\n\" 1\n"},
		{"only a closing boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b--\n", "0 text/plain \"--b--\\r\\n\" 1\n"},
		{"a longer line is no boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--bb\ny\n--b--\n", "0 multipart/mixed \"...\" 6\n0.1 text/plain \"x\\r\\n--bb\\r\\ny\" 2\n"},
		{"part cut in its header", "Content-Type: multipart/mixed; boundary=b\n\n--b\nSubject: x\n--b--\n", "0 multipart/mixed \"...\" 3\n0.1 text/plain \"\" 0\n"},
		{"embedded", "Content-Type: message/rfc822\n\nSubject: in\nContent-Type: text/html\n\nbody\n", "0 message/rfc822 \"...\" 4\n0.e text/html \"body\\r\\n\" 1\n"},
		{"digest", "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: in\n\nx\n--b--\n", "0 multipart/digest \"...\" 6\n0.1 message/rfc822 \"...\" 2\n0.1.e text/plain \"x\" 0\n"},
		{"same boundary inside", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n--b\n\ny\n--b--\n",
			"0 multipart/mixed \"...\" 11\n0.1 multipart/mixed \"...\" 3\n0.1.1 text/plain \"x\" 0\n0.2 text/plain \"y\" 0\n"},
		{"outer boundary ends an inner part", "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\nx\n--o--\n",
			"0 multipart/mixed \"...\" 7\n0.1 multipart/mixed \"...\" 2\n0.1.1 text/plain \"x\" 0\n"},
		{"malformed header lines", "From someone\nno colon here\nContent-Type: text/html\n\nx", "0 text/html \"x\" 0\n"},
	} {
		if got := show(Parse(crlf(c.raw))); got != c.want {
			t.Errorf("%s:\n%swant\n%s", c.name, got, c.want)
		}
	}
}

func TestSections(t *testing.T) {
	raw := crlf("Subject: a\nX-Long: one\n two\nto : b@c\nContent-Type: multipart/mixed; boundary=b\n\n" +
		"--b\nContent-Type: text/plain\n\nhello\n--b\nContent-Type: message/rfc822\n\nSubject: inner\nContent-Type: multipart/alternative; boundary=i\n\n--i\n\nalt\n--i--\n--b--\n")
	m := Parse(raw)
	for _, c := range []struct {
		path []int
		want string
	}{{[]int{1}, "hello"}, {[]int{2, 1}, "alt"}} {
		if p := m.Find(c.path); p == nil || string(m.Body(p)) != c.want {
			t.Errorf("%v: %+v", c.path, p)
		}
	}
	for _, path := range [][]int{{3}, {0}, {1, 1}, {2, 2}, {2, 1, 1}, {-1}} {
		if p := m.Find(path); p != nil {
			t.Errorf("%v exists: %q", path, m.Body(p))
		}
	}
	if p := Parse(crlf("A: b\n\nx")).Find([]int{1}); p == nil {
		t.Error("a message that is no multipart has no part 1")
	}
	header := m.Header(m.Root)
	if got := string(FieldsOf(header, []string{"X-LONG", "to"}, false)); got != "X-Long: one\r\n two\r\nto : b@c\r\n\r\n" {
		t.Errorf("FIELDS %q", got)
	}
	if got := string(FieldsOf(header, []string{"x-long", "content-type", "to"}, true)); got != "Subject: a\r\n\r\n" {
		t.Errorf("FIELDS.NOT %q", got)
	}
	if got := string(FieldsOf([]byte("A: b"), []string{"a"}, false)); got != "A: b\r\n\r\n" {
		t.Errorf("cut header %q", got)
	}
	if got := Fields(header, "X-Long"); len(got) != 1 || got[0] != "one two" {
		t.Errorf("Fields %q", got)
	}
}

func TestDescription(t *testing.T) {
	m := Parse(crlf("Content-Type: TEXT/Html; charset=\"utf-8\"; name=\"a \\\"b\\\"\" (a comment; x=y);\n\tcharset=again; broken\nContent-Transfer-Encoding: BASE64\n" +
		"Content-ID: <1@x>\nContent-Description: =?utf-8?q?raw?=\nContent-Disposition: ATTACHMENT; filename*0=a; filename*1=b\nContent-Language: en, de\nContent-Location: http://x/\nContent-MD5: abc\n\n"))
	p := m.Root
	got := fmt.Sprint(p.Type, p.Subtype, p.Params, p.Encoding, p.ID, p.Description, p.Disposition, p.DispositionParams, p.Language, p.Location, p.MD5)
	want := `texthtml[{charset utf-8} {name a "b"}]base64<1@x>=?utf-8?q?raw?=attachment[{filename*0 a} {filename*1 b}] [en de]http://x/abc`
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for _, broken := range []string{"text", "/", "text/", "a b/c", "\"", "(", ";;;=;"} {
		if p := Parse(crlf("Content-Type: " + broken + "\n\n")).Root; p.Type != "text" || p.Subtype != "plain" {
			t.Errorf("%q is %s/%s", broken, p.Type, p.Subtype)
		}
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"":                          "",
		"a@b":                       "(||a|b)",
		"A B <a@b>, \"C, D\" <c@d>": "(A B||a|b)(C, D||c|d)",
		"a@b (A Comment)":           "(A Comment||a|b)",
		"=?utf-8?q?A?= <a@b>":       "(=?utf-8?q?A?=||a|b)",
		"<@x,@y:a@b>":               "(|@x,@y|a|b)",
		"friends: a@b, C <c@d>;":    "[friends](||a|b)(C||c|d)[]",
		"undisclosed-recipients:;":  "[undisclosed-recipients][]",
		"open: a@b":                 "[open](||a|b)[]",
		"\"quoted local\"@b":        "(||quoted local|b)",
		"\"a@b\"@c":                 "(||a@b|c)",
		"a @ b . c":                 "(||a|b.c)",
		"nobody":                    "(||nobody|)",
		"<>":                        "",
		"Name <>":                   "(Name|||)",
		",,,":                       "",
		"<a@b":                      "(||a|b)",
		"\"unended":                 "(||unended|)",
		"(((((":                     "",
		"a@b, ;:<>@, c@d":           "(||a|b)(||c|d)",
	} {
		var got string
		for _, a := range parseAddresses(in) {
			switch a.Kind {
			case GroupStart:
				got += "[" + a.Mailbox + "]"
			case GroupEnd:
				got += "[]"
			default:
				got += "(" + a.Name + "|" + a.Route + "|" + a.Mailbox + "|" + a.Host + ")"
			}
		}
		if got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestEnvelopeIsRaw(t *testing.T) {
	m := Parse([]byte("Date: not a\r\n date\r\nSubject: =?x?q?y?= \xe9t\xe9\r\nFrom: a@b\r\nSubject: second\r\nMessage-ID: <1>\r\nIn-Reply-To: <2> <3>\r\n\r\n"))
	e := m.Envelope(m.Root)
	if e.Date != "not a date" || e.Subject != "=?x?q?y?= \xe9t\xe9" || e.MessageID != "<1>" || e.InReplyTo != "<2> <3>" || len(e.Sender) != 1 || len(e.ReplyTo) != 1 || e.To != nil {
		t.Errorf("%+v", e)
	}
}

func TestLargeHeader(t *testing.T) {
	long := strings.Repeat("X-Filler: x\r\n", MaxHeader/13)
	m := Parse([]byte("Subject: seen\r\n" + long + "From: a@b\r\n" + "To: c@d\r\n\r\nbody"))
	if e := m.Envelope(m.Root); e.Subject != "seen" || len(e.To) != 0 || string(m.Body(m.Root)) != "body" {
		t.Errorf("%+v, body %q", e, m.Body(m.Root))
	}
	if got := Fields(m.Header(m.Root), "To"); got != nil {
		t.Errorf("To is %q", got)
	}
	check(t, m.Bytes())
}

func count(p *Part, level int) (parts, depth int) {
	parts, depth = 1, level
	children := p.Parts
	if p.Embedded != nil {
		children = append(children[:len(children):len(children)], p.Embedded)
	}
	for _, c := range children {
		n, d := count(c, level+1)
		parts += n
		depth = max(depth, d)
	}
	return parts, depth
}

// check holds the promises that every message keeps.
func check(t *testing.T, raw []byte) {
	t.Helper()
	m := Parse(raw)
	if m.Root.Start != 0 || m.Root.End != len(raw) {
		t.Fatalf("the root is [%d,%d) of %d bytes", m.Root.Start, m.Root.End, len(raw))
	}
	if string(m.Header(m.Root))+string(m.Body(m.Root)) != string(raw) {
		t.Fatal("header and body are not the message")
	}
	var walk func(p *Part, from, to int)
	walk = func(p *Part, from, to int) {
		if p.Start < from || p.Body < p.Start || p.End < p.Body || p.End > to || p.Type == "" || p.Subtype == "" || p.Encoding == "" {
			t.Fatalf("part [%d,%d,%d) within [%d,%d): %+v", p.Start, p.Body, p.End, from, to, p)
		}
		if got := bytes.Count(m.Body(p), []byte("\n")); got != p.Lines {
			t.Fatalf("part [%d,%d,%d) has %d lines, says %d", p.Start, p.Body, p.End, got, p.Lines)
		}
		if (p.Type == "multipart") != p.IsMultipart() {
			t.Fatalf("%s/%s with %d parts", p.Type, p.Subtype, len(p.Parts))
		}
		at := p.Body
		for _, c := range p.Parts {
			walk(c, at, p.End)
			at = c.End
		}
		if p.Embedded != nil {
			walk(p.Embedded, p.Body, p.End)
			m.Envelope(p.Embedded)
		}
	}
	walk(m.Root, 0, len(raw))
	checkTexts(t, m)
	checkSummary(t, m)
	m.Envelope(m.Root)
	h := m.Header(m.Root)
	if n := FieldsOf(h, nil, true); len(h) > 0 && !bytes.HasPrefix(n, h) {
		t.Fatalf("all fields but none: %q of %q", n, h)
	}
	if parts, depth := count(m.Root, 1); parts > MaxParts || depth > MaxDepth {
		t.Fatalf("%d parts, %d levels", parts, depth)
	}
}

func TestCorpus(t *testing.T) {
	n := 0
	for _, name := range corpus(t) {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		check(t, raw)
		check(t, bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n")))
		n++
	}
	if n < 300 {
		t.Errorf("only %d messages in the corpus", n)
	}
}

// corpus lists the messages of the shared corpus.
func corpus(t testing.TB) []string {
	dir := os.Getenv("DOMICILE_SHARED")
	if dir == "" {
		dir = "../../shared"
	}
	names, _ := filepath.Glob(filepath.Join(dir, "corpus", "*", "*.eml"))
	if len(names) == 0 {
		if _, err := os.Stat(dir); err == nil {
			t.Fatalf("%s is there, but has no corpus", dir)
		}
		t.Skip("the corpus of real messages is absent: set DOMICILE_SHARED to the folder that has corpus/")
	}
	return names
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nTo: a: b@c;\r\n\r\n--b--"))
	f.Add([]byte("Content-Type: multipart/digest;boundary=\"\"\n\n--\n----\n"))
	f.Add([]byte("Content-Type: multipart/a;boundary=b\n\n--b\n--b--\n--b\n"))
	f.Add([]byte("Content-Type: multipart/a;boundary=b\n\n--b\n\ntext\n--b--\nmore\n--b\n\nand more"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		check(t, raw)
		if got, want := Parse(raw), plainParse(raw); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, line by line %+v", got.Root, want.Root)
		}
	})
}

// plainParse is Parse that looks at every line.
func plainParse(raw []byte) *Message {
	p := &parser{m: &Message{raw: raw, Root: &Part{}}, boundaries: map[string]int{}, parts: 1}
	p.open(p.m.Root, 0, "")
	for line := range bytes.Lines(raw) {
		end := p.pos + len(line)
		p.line(line, end)
		p.lines += bytes.Count(line, []byte("\n"))
		p.pos = end
	}
	p.closeTo(0, len(raw), p.lines)
	return p.m
}
