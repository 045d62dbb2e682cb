package message

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// What clients that know no UTF-8 are shown (RFC 6858 2).
func TestASCII(t *testing.T) {
	m := Parse([]byte("Date: Do, 26 Nov\r\nSubject: Grüße =?utf-8?q?und_=C3=9F?=\r\nFrom: \"Jörg\" <joerg@exämple.com>, jörg@example.com, Zoë <zoe@example.com>\r\nTo: Größen: ann@example.com;\r\n" +
		"Message-ID: <ü@x>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b; title=\"ü \\\"x\\\"\"\r\n\r\n" +
		"--b\r\nContent-Type: text/plain; charset=utf-8; name=\"a.txt\"\r\nContent-Disposition: attachment; filename=\"Übersicht.txt\"\r\nContent-Description: Übersicht\r\nContent-ID: <ü>\r\n\r\nb\r\n" +
		"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: Straße\r\nFrom: ann@example.com\r\n\r\nb\r\n--b--\r\n"))
	envelope := `("Do, 26 Nov" "=?utf-8?q?Gr=C3=BC=C3=9Fe_und_=C3=9F?=" (("=?utf-8?q?J=C3=B6rg?=" NIL "joerg" "xn--exmple-cua.com")` +
		`("=?utf-8?q?j=C3=B6rg@example.com?=" NIL "invalid" "internationalized-address.invalid")("=?utf-8?q?Zo=C3=AB?=" NIL "zoe" "example.com"))`
	senders := envelope[strings.Index(envelope, "(("):]
	envelope += " " + senders + " " + senders + ` ((NIL NIL "=?utf-8?q?Gr=C3=B6=C3=9Fen?=" NIL)(NIL NIL "ann" "example.com")(NIL NIL NIL NIL)) NIL NIL NIL NIL)`
	if got := ASCIIEnvelope(string(m.AppendEnvelope(nil, m.Root))); got != envelope {
		t.Errorf("ENVELOPE\n%s, want\n%s", got, envelope)
	}
	ann := `((NIL NIL "ann" "example.com"))`
	inner := `(NIL "=?utf-8?q?Stra=C3=9Fe?=" ` + ann + " " + ann + " " + ann + ` NIL NIL NIL NIL NIL)`
	structure := `(("text" "plain" ("charset" "utf-8" "name" "a.txt") NIL "=?utf-8?q?=C3=9Cbersicht?=" "7bit" 1 0 NIL ("attachment" ("filename*" "utf-8''%C3%9Cbersicht.txt")) NIL NIL)` +
		`("message" "rfc822" NIL NIL NIL "7bit" 44 ` + inner + ` ("text" "plain" NIL NIL NIL "7bit" 1 0 NIL NIL NIL NIL) 3 NIL NIL NIL NIL)` +
		` "mixed" ("boundary" "b" "title*" "utf-8''%C3%BC%20%22x%22") NIL NIL NIL)`
	if got := ASCIIStructure(string(m.AppendStructure(nil, m.Root, true))); !strings.EqualFold(got, structure) {
		t.Errorf("BODYSTRUCTURE\n%s, want\n%s", got, structure)
	}
	latin := Parse([]byte("Subject: Gr\xfc\xdfe\r\n\r\n"))
	if got := string(latin.AppendEnvelope(nil, latin.Root)); ASCIIEnvelope(got) != got {
		t.Errorf("what is not UTF-8 became %q", ASCIIEnvelope(got))
	}
}

// What is long is cut between characters, and within no encoded word; what is very long, or no domain, is left.
func TestASCIIBounds(t *testing.T) {
	m := Parse([]byte("Subject: " + strings.Repeat("ü", 3000) + "\r\nFrom: a@" + strings.Repeat("漢", 400) + "\r\n\r\n"))
	got := ASCIIEnvelope(string(m.AppendEnvelope(nil, m.Root)))
	if Is8Bit(got) || strings.Count(got, "internationalized-address.invalid") != 3 {
		t.Errorf("%.1000q", got)
	}
	if text := encodedWords(strings.Repeat("ü", 3000)); len(text) > MaxString || DecodeHeader(text) != strings.Repeat("ü", MaxString/8) {
		t.Errorf("%d bytes: %.1000q", len(text), text)
	}
	var all strings.Builder
	for all.Len() < 3*maxASCII {
		all.WriteString("From: " + strings.Repeat("ü@a,", 1000) + "\r\nTo: " + strings.Repeat("ü@a,", 1000) + "\r\n\r\n")
	}
	m = Parse([]byte(all.String()))
	if got := string(m.AppendEnvelope(nil, m.Root)); len(got) <= maxASCII || ASCIIEnvelope(got) != got {
		t.Errorf("%d bytes became %d", len(got), len(ASCIIEnvelope(got)))
	}
}

// Of any message: what is UTF-8 leaves nothing past ASCII, ASCII stays as it is, and what comes out is read as one value.
func FuzzASCII(f *testing.F) {
	for _, s := range []string{"", "Subject: ü\r\n\r\n", "From: ü@ü, ü:a@b;\r\nContent-Type: multipart/x; boundary=\"ü\"; ü*=ü\r\n\r\n--ü\r\n\r\n\r\n--ü--\r\n", "To: \"ü\\\"\" <@ü,@b:ü@c>\r\nDate: ü\r\nContent-Type: ü/ü\r\nContent-Language: ü\r\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := Parse(raw)
		for _, c := range []struct {
			answer string
			ascii  func(string) string
		}{
			{string(m.AppendEnvelope(nil, m.Root)), ASCIIEnvelope},
			{string(m.AppendStructure(nil, m.Root, true)), ASCIIStructure},
			{string(m.AppendStructure(nil, m.Root, false)), ASCIIStructure},
		} {
			got := c.ascii(c.answer)
			if rest, err := skipValue(got); err != nil || rest != "" {
				t.Fatalf("%q became %q: %v, then %q", c.answer, got, err, rest)
			}
			if !Is8Bit(c.answer) && got != c.answer {
				t.Fatalf("%q became %q", c.answer, got)
			}
			if utf8.Valid(raw) && Is8Bit(got) && len(c.answer) <= maxASCII {
				t.Fatalf("%q became %q", c.answer, got)
			}
		}
		ASCIIEnvelope(string(raw)) // whatever it is given
		ASCIIStructure(string(raw))
	})
}
