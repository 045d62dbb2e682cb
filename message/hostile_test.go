package message

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// hostile makes messages of about n bytes that try to cost more than their size.
func hostile(n int) map[string][]byte {
	fill := func(head, s string) []byte { return []byte(head + strings.Repeat(s, n/len(s))) }
	numbered := func(head, format string) []byte {
		b := bytes.NewBufferString(head)
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(b, format, i)
		}
		return b.Bytes()
	}
	const mixed, html = "Content-Type: multipart/mixed; boundary=b\r\n\r\n", "Content-Type: text/html\r\n\r\n"
	return map[string][]byte{
		"nested":               numbered("", "Content-Type: multipart/mixed; boundary=b%[1]d\r\n\r\n--b%[1]d\r\n"),
		"embedded":             fill("", "Content-Type: message/rfc822\r\n\r\n"),
		"embedded, addressed":  fill("", "From: a <a@b>, c@d\r\nSubject: =?utf-8?q?x?=\r\nContent-Type: message/rfc822\r\n\r\n"),
		"parts":                fill(mixed, "--b\r\n\r\n"),
		"parts with names":     fill(mixed, "--b\r\nContent-Type: a/b; name*0=c; name*1=d\r\nContent-Description: =?utf-8?q?e?=\r\n\r\n"),
		"digest":               fill("Content-Type: multipart/digest; boundary=b\r\n\r\n", "--b\r\n\r\nSubject: x\r\n\r\n"),
		"headers":              fill("", "a:b\n"),
		"the same header":      fill("", "Subject: =?utf-8?b?w6k=?=\r\n"),
		"no headers":           fill("", "no field\n"),
		"names of headers":     fill("", "n"),
		"dashes":               fill(mixed, "--x\n"),
		"parameters":           fill("Content-Type: text/plain", ";a=b"),
		"numbered parameters":  numbered("Content-Disposition: attachment", ";filename*%d*=%%41"),
		"languages":            fill("Content-Language: ", "en,"),
		"addresses":            fill("To: ", "a@b,"),
		"groups":               fill("To: ", "a:b;"),
		"comments":             fill("To: ", "("),
		"closed comments":      fill("To: ", "(a)"),
		"quotes":               fill("To: ", "\"\\"),
		"angles":               fill("To: ", "<"),
		"continued":            fill("To: a\r\n", " ,b@c\r\n"),
		"dates":                fill("Date: ", ":1 "),
		"ids":                  fill("References: ", "<a>"),
		"open ids":             fill("References: ", "<"),
		"blobs":                fill("Subject: ", "[a]"),
		"open blobs":           fill("Subject: ", "["),
		"replies":              fill("Subject: ", "re: "),
		"forwards":             fill("Subject: ", "[fwd: "),
		"encoded words":        fill("Subject: ", "=?utf-8?q?a?= "),
		"changing words":       fill("Subject: ", "=?utf-8?q?a?= =?koi8-r?q?a?= "),
		"unended words":        fill("Subject: ", "=?utf-8?b?"),
		"half words":           fill("Subject: ", "=?a"),
		"words ended once":     append(fill("Subject: ", "=?utf-8?b?"), "?="...),
		"words in many fields": numbered("", "X-%d: "+strings.Repeat("=?utf-8?b?", 1000)+"?=\r\n"),
		"line feeds":           fill("\n", "\n"),
		"long line":            fill("\n", "x"),
		"invalid":              fill("\n", "\xff"),
		"accents":              fill("\n", "\u0301"),
		"accents and letters":  fill("\n", "e\u0301\u0323"),
		"unseen":               fill("\n", "\u200d\u0301"),
		"wide":                 fill("\n", "\ufdfa"),
		"tags":                 fill(html, "<a>"),
		"attributes":           fill(html+"<a", " b=c"),
		"unended tags":         fill(html, "<a "),
		"angles in HTML":       fill(html, "<"),
		"end tags":             fill(html, "</"),
		"HTML comments":        fill(html, "<!--"),
		"declarations":         fill(html, "<!"),
		"scripts":              fill(html, "<script>"),
		"scripts in comments":  fill(html+"<script>", "<!--<script "),
		"ampersands":           fill(html, "&"),
		"entities":             fill(html, "&CounterClockwiseContourIntegral;"),
		"unknown entities":     fill(html, "&CounterClockwiseContourIntegra"),
		"quoted-printable":     fill("Content-Transfer-Encoding: quoted-printable\r\n\r\n", "="),
		"soft breaks":          fill("Content-Transfer-Encoding: quoted-printable\r\n\r\n", " =\n"),
		"spaces at ends":       fill("Content-Transfer-Encoding: quoted-printable\r\n\r\n", " "),
		"padding":              fill("Content-Transfer-Encoding: base64\r\n\r\n", "QQ=="),
		"escapes":              fill("Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n", "\x1b$B\x1b(B"),
		"flowed":               fill("Content-Type: text/plain; format=flowed; delsp=yes\r\n\r\n", " \r\n"),
	}
}

// work does all that is done with a message, and returns the bytes and pieces of memory that it took, and the bytes of text.
func work(raw []byte) (memory, pieces, text int) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m := Parse(raw)
	m.Summarize().AppendBinary(nil)
	m.AppendStructure(nil, m.Root, false)
	for _, t := range m.Texts() {
		text += len(Fold(t))
	}
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc), int(after.Mallocs - before.Mallocs), text
}

// Whatever 1 MiB holds, its cost is bounded, and twice the bytes cost no more than twice as much. What costs no memory is seen by
// the long wait: 1 MiB takes milliseconds, and its square more than a minute.
func TestHostileIsLinear(t *testing.T) {
	const size = 1 << 20
	large := hostile(size)
	for name, small := range hostile(size / 2) {
		t.Run(name, func(t *testing.T) {
			work(small) // what is made once
			m1, p1, _ := work(small)
			start := time.Now()
			m2, p2, text := work(large[name])
			if d := time.Since(start); d > time.Minute {
				t.Errorf("%v", d)
			} else if d > time.Second {
				t.Logf("%v", d)
			}
			if m2 > m1*5/2+1<<20 || m2 > 256*size {
				t.Errorf("%d bytes of memory, %d for half of it", m2, m1)
			}
			if p2 > p1*5/2+10000 || p2 > 4*size {
				t.Errorf("%d pieces of memory, %d for half of it", p2, p1)
			}
			if text > 12*size {
				t.Errorf("%d bytes of text", text)
			}
			check(t, large[name])
		})
	}
}
