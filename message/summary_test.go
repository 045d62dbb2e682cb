package message

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// letterOfAll has something of all that a summary keeps.
func letterOfAll() []byte {
	return crlf("Date: Thu, 26 Nov 2026 01:02:03 +0100\nFrom: \"=?utf-8?q?Ann=C3=A9?=\" <Ann@Example.com>, b@c\nTo: friends: d@e;\nCc: (nobody) f@g\nBcc: h@i\n" +
		"Subject: Re: [list] =?utf-8?q?GR=C3=9CN?=\nMessage-ID: <\"x\"@y>\nIn-Reply-To: your mail <1@a> <2@a>\nTo: second@field\n" +
		"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b\nContent-Type: application/pdf\nContent-Disposition: attachment; filename*=utf-8''%C3%A9.pdf\n\nx\n--b--\n")
}

// Summaries that stores have are read by every later release of the same version.
func TestSummaryVersion1(t *testing.T) {
	text, err := os.ReadFile("testdata/summary-1.hex")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSpace(string(text))
	if got := hex.EncodeToString(Parse(letterOfAll()).Summarize().AppendBinary(nil)); got != want {
		t.Errorf("the bytes of a summary are\n%s\nno longer\n%s", got, want)
	}
}

func TestSummary(t *testing.T) {
	raw := letterOfAll()
	s := Parse(raw).Summarize()
	got := fmt.Sprintf("%d %s %v %q %q %q %q %q %q %q %q %q %q %q %q", s.Size, s.Sent.Format(time.RFC3339), s.Reply, s.Subject.Text, s.BaseSubject(), s.From.Text, s.To.Text,
		s.Cc.Text, s.Bcc.Text, s.FromKey, s.ToKey, s.CcKey, s.MessageID, s.References, s.FileNames)
	want := `427 2026-11-26T01:02:03+01:00 true "re: [list] gru` + "\u0308" + `n" "gru` + "\u0308" + `n" "\"anne` + "\u0301" + `\" <ann@example.com>, b@c" "friends: d@e;\nsecond@field" "(nobody) f@g" "h@i" ` +
		`{"ann" "anne` + "\u0301" + `"} {"friends" "friends"} {"f" "nobody"} "x@y" ["1@a"] ["é.pdf"]`
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if p, ok := s.Find([]int{2}); !ok || string(raw[p.Body:p.End]) != "x" || p.Inner != -1 {
		t.Errorf("part 2 is %+v", p)
	}
	checkSummary(t, Parse(raw))
}

func TestReferences(t *testing.T) {
	var long strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&long, "<%d@x>\r\n ", i)
	}
	for header, want := range map[string]string{
		"References: <a@x> junk <b@x>\r\nIn-Reply-To: <c@x>": "[a@x b@x]",
		"In-Reply-To: Your mail of Monday <c@x>":             "[c@x]",
		"In-Reply-To: Your mail of Monday":                   "[]",
		"References: <>\r\nIn-Reply-To: <c@x>":               "[c@x]",
		"":                                                   "[]",
	} {
		if got := fmt.Sprint(Parse([]byte(header + "\r\n\r\n")).Summarize().References); got != want {
			t.Errorf("%q: %s", header, got)
		}
	}
	refs := Parse([]byte("References: " + long.String() + "\r\n\r\n")).Summarize().References
	if len(refs) < 100 || refs[0] != "0@x" || refs[len(refs)-1] != "999@x" || refs[1] != fmt.Sprintf("%d@x", 1001-len(refs)) {
		t.Errorf("%d references: %q", len(refs), refs)
	}
	for in, want := range map[string]string{"<a@b>": "a@b", "a@b": "a@b", "<\"a b\\\"\"@c>": "ab\"@c", "": ""} {
		if got := messageID(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

// checkSummary holds what every summary promises.
func checkSummary(t *testing.T, m *Message) {
	t.Helper()
	s := m.Summarize()
	code := s.AppendBinary(nil)
	if len(code) > MaxSummary {
		t.Fatalf("%d bytes", len(code))
	}
	back, err := ParseSummary(code)
	if err != nil {
		t.Fatalf("%v: %+v", err, s)
	}
	if again := back.AppendBinary(nil); !bytes.Equal(again, code) || back.BaseSubject() != s.BaseSubject() || !back.Sent.Equal(s.Sent) {
		t.Fatalf("%+v came back as %+v", s, back)
	}
	for _, wire := range []string{string(m.AppendEnvelope(nil, m.Root)), string(m.AppendStructure(nil, m.Root, true))} {
		if rest, err := skipValue(wire); err != nil || rest != "" {
			t.Fatalf("%q: %v, then %q", wire, err, rest)
		}
	}
	if back.Envelope != "" && back.Envelope != string(m.AppendEnvelope(nil, m.Root)) {
		t.Fatalf("ENVELOPE %q", back.Envelope)
	}
	if back.Structure != "" {
		if body := back.AppendBody(nil); back.Structure != string(m.AppendStructure(nil, m.Root, true)) || !bytes.Equal(body, m.AppendStructure(nil, m.Root, false)) {
			t.Fatalf("BODYSTRUCTURE %q, BODY %q", back.Structure, body)
		}
	}
	if back.Placed() {
		checkPaths(t, m, back)
	}
}

// checkPaths looks for parts by their numbers, those that do not exist too.
func checkPaths(t *testing.T, m *Message, s *Summary) {
	t.Helper()
	tried := 0
	var walk func(path []int)
	walk = func(path []int) {
		p := m.Find(path)
		place, ok := s.Find(path)
		tried++
		if ok != (p != nil) {
			t.Fatalf("%v: %v, in the message %v", path, place, p)
		}
		if p == nil {
			return
		}
		want := Place{p.Start, p.Body, p.End, -1}
		if p.Embedded != nil {
			want.Inner = p.Embedded.Body
		}
		if place != want {
			t.Fatalf("%v: %v, want %v", path, place, want)
		}
		for n := 0; n < 12 && tried < 1000 && len(path) < 20; n++ {
			walk(append(slices.Clip(path), n))
		}
	}
	walk(nil)
}

// skipValue reads one value of IMAP's grammar: a list, a string, a number, NIL.
func skipValue(s string) (rest string, err error) {
	bad := fmt.Errorf("not a value: %.40q", s)
	switch {
	case strings.HasPrefix(s, "NIL"):
		return s[3:], nil
	case strings.HasPrefix(s, "("):
		for s = s[1:]; !strings.HasPrefix(s, ")"); s = strings.TrimPrefix(s, " ") {
			if s, err = skipValue(s); err != nil {
				return "", err
			}
		}
		return s[1:], nil
	case strings.HasPrefix(s, `"`):
		for i := 1; i < len(s); i++ {
			switch c := s[i]; {
			case c == '"':
				return s[i+1:], nil
			case c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
				i++
			case c == '\\' || c >= 0x7f || c < ' ' && c != '\t':
				return "", bad
			}
		}
		return "", bad
	case strings.HasPrefix(s, "{"):
		digits, after, _ := strings.Cut(s[1:], "}\r\n")
		n, err := strconv.Atoi(digits)
		if err != nil || n > len(after) || n > MaxString || strings.Contains(after[:n], "\x00") {
			return "", bad
		}
		return after[n:], nil
	}
	rest = strings.TrimLeft(s, "0123456789")
	if len(rest) == len(s) {
		return "", bad
	}
	return rest, nil
}

func TestSummariesOfCorpus(t *testing.T) {
	total, most, left := 0, 0, 0
	names := corpus(t)
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m := Parse(raw)
		checkSummary(t, m)
		s := m.Summarize()
		n := len(s.AppendBinary(nil))
		total, most = total+n, max(most, n)
		if s.Envelope == "" || s.Structure == "" || !s.Placed() || s.Subject.Cut || s.From.Cut || s.To.Cut || s.Cc.Cut {
			left++
		}
	}
	t.Logf("%d bytes on average, %d at most, %d of %d left something out", total/len(names), most, left, len(names))
	if total/len(names) > 1200 || left > len(names)/20 {
		t.Error("that is too much")
	}
}

func TestBadSummaries(t *testing.T) {
	good := Parse(crlf("Date: 1 Jan 2026 01:02:03 +0100\nSubject: re: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\n--b--\n")).Summarize().AppendBinary(nil)
	if _, err := ParseSummary(good); err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := ParseSummary(good[:n]); err == nil {
			t.Errorf("%d of %d bytes are a summary", n, len(good))
		}
	}
	for name, b := range map[string][]byte{
		"longer":      append(bytes.Clone(good), 0),
		"too large":   append(bytes.Clone(good), make([]byte, MaxSummary)...),
		"new version": append([]byte{2}, good[1:]...),
		"new flag":    append([]byte{1, 0x80, 1}, good[2:]...),
	} {
		if _, err := ParseSummary(b); err == nil {
			t.Errorf("%s is a summary", name)
		}
	}
}

func FuzzParseSummary(f *testing.F) {
	for _, raw := range []string{"", "Subject: x\n\n", "Date: 1 Jan 2026\nReferences: <a> <b>\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822; name=n\n\n\n--b--\n"} {
		f.Add(Parse(crlf(raw)).Summarize().AppendBinary(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSummary(b)
		if err != nil {
			return
		}
		if again := s.AppendBinary(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x is written as %x", b, again)
		}
		s.BaseSubject()
		s.AppendBody(nil)
		for _, path := range [][]int{nil, {1}, {2, 1}, {1, 1, 1}, {1 << 40}, {-1}} {
			if p, ok := s.Find(path); ok && (p.Start < 0 || p.Body < p.Start || p.End < p.Body || p.End > s.Size || p.Inner > p.End || p.Inner >= 0 && p.Inner < p.Body) {
				t.Fatalf("%v is %+v of %d bytes", path, p, s.Size)
			}
		}
	})
}

func BenchmarkSummarize(b *testing.B) {
	raw := plain10K()
	m := Parse(raw)
	code := m.Summarize().AppendBinary(nil)
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Parse(raw)
		}
	})
	b.Run("parse and summarize", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Parse(raw).Summarize().AppendBinary(nil)
		}
		b.ReportMetric(float64(len(code)), "bytes/summary")
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ParseSummary(code); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("texts folded", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, text := range m.Texts() {
				Fold(text)
			}
		}
	})
}

// BenchmarkCorpus does with every message of the corpus what a delivery does; one operation is one message.
func BenchmarkCorpus(b *testing.B) {
	var raws [][]byte
	var size int64
	for _, name := range corpus(b) {
		raw, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		raws = append(raws, raw)
		size += int64(len(raw))
	}
	b.ReportAllocs()
	b.SetBytes(size / int64(len(raws)))
	for i := 0; b.Loop(); i++ {
		m := Parse(raws[i%len(raws)])
		m.Summarize().AppendBinary(nil)
		for _, text := range m.Texts() {
			Fold(text)
		}
	}
}

// plain10K is a message of 10 KB of plain text, as people send them.
func plain10K() []byte {
	return crlf("Received: from mx1.relay.example (mx1.relay.example [192.0.2.1])\n\tby in.store.example with ESMTPS id 1234;\n\tThu, 26 Nov 2026 01:02:03 +0000\n" +
		"From: Ann Example <ann@example.com>\nTo: Bob Example <bob@example.org>, carol@example.net\nSubject: Re: [list] the state of things\nDate: Thu, 26 Nov 2026 01:02:03 +0000\n" +
		"Message-ID: <123.456@example.com>\nIn-Reply-To: <122.456@example.com>\nReferences: <121.456@example.com> <122.456@example.com>\nUser-Agent: program\nMIME-Version: 1.0\n" +
		"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 7bit\n\n" + strings.Repeat("Some words of a plain text that people could send each day,\nin lines.\n", 10000/71))
}
