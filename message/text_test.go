package message

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	const latin = "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n"
	for raw, want := range map[string]string{
		latin + "=E9t=E9":                                                                                                "été",
		latin + "a b =\nc=20 \nd=\n":                                                                                     "a b c \r\nd",
		latin + "50% = half =3d =x =\n":                                                                                  "50% = half = =x ",
		"Content-Transfer-Encoding: base64\n\naGVs\nbG8=":                                                                "hello",
		"Content-Transfer-Encoding: base64\n\naGVsbG8=\n\naGVsbG8\n-- \n":                                                "hellohello",
		"Content-Transfer-Encoding: base64\n\n!!!":                                                                       "",
		"Content-Transfer-Encoding: x-no-such\n\nx":                                                                      "x",
		"Content-Type: text/plain; charset=no-such\n\nx \xe9 é":                                                          "x é é",
		"Content-Type: text/plain; charset=utf-8\n\ncaf\xe9 é":                                                           "café é",
		"Content-Type: text/plain; charset=us-ascii\n\n\x93x\x94":                                                        "“x”",
		"Content-Type: text/plain; charset=shift_jis\n\n\x93\xfa\x96\x7b":                                                "日本",
		"Content-Type: text/plain; charset=\"ISO-2022-JP\"\n\n\x1b$BF|K\\\x1b(B":                                         "日本",
		"Content-Type: text/plain; charset=euc-kr\n\nalready UTF-8: 한글":                                                  "already UTF-8: 한글",
		"Content-Type: text/plain; charset=iso-2022-kr\n\nx":                                                             "x",
		"Content-Type: text/plain; charset=utf-16le\n\nh\x00i\x00":                                                       "hi",
		"Content-Type: text/plain; format=flowed; delsp=yes\n\n東 \n京\n":                                                  "東京\r\n",
		"Content-Type: text/html\n\n<p>a<b>b</b>&eacute;&#x4e2d;&amp;<br>c<!-- d --><script>e</script>f<style>g</style>": "\nabé中&\ncf",
		"Content-Type: text/html\n\n<meta charset=koi8-r>\xd0\xd2":                                                       "\nпр",
		"Content-Type: text/html\n\n<noscript>a<img>b</noscript>":                                                        "\na\nb\n",
		"Content-Type: text/html\n\na <b":                                                                                "a ",
		"Content-Type: text/html\n\n1 < 2 &unknown; <script>x":                                                           "1 < 2 &unknown; ",
	} {
		m := Parse(crlf(raw))
		if got := m.Text(m.Root); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

func TestDecodeHeader(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                             "plain",
		"=?iso-8859-1?q?=E9?= and =?broken": "é and =?broken",
		"=?utf-8?b?w6k=?= =?UTF-8?q?=C3?=\t=?utf-8?q?=A9_x?= y": "éé x y",
		"a =?utf-8?q?b?= c =?utf-8?q?d?= ":                      "a b c d ",
		"=?utf-8?q?What's up??= x":                              "What's up? x",
		"=?iso-8859-1*fr?q?=E9?=":                               "é",
		"=?utf-8?x?a?=":                                         "=?utf-8?x?a?=",
		"=?utf-8?b?4pyT?= =?gb2312?b?1tA=?=":                    "✓中",
		"=?no-such?q?=E9?=":                                     "é",
		"=? =?=?utf-8?q?a?=":                                    "=? =?a",
		"caf\xe9 é":                                             "café é",
		"=?utf-8?q?=00?=":                                       "\x00",
		"":                                                      "",
		"=?":                                                    "=?",
	} {
		if got := DecodeHeader(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestFileName(t *testing.T) {
	for in, want := range map[string]string{
		"attachment; filename=a.pdf":                                                   "a.pdf",
		"attachment; filename=\"=?utf-8?q?=C3=A9?=.pdf\"":                              "é.pdf",
		"attachment; filename*=utf-8'de'%C3%A9%20x.pdf; filename=other":                "é x.pdf",
		"attachment; filename*0*=iso-8859-1''%E9; filename*1=\"b c\"; filename*2*=%E9": "éb cé",
		"attachment; filename*1=b; filename*0=a; filename*3=d":                         "ab",
		"attachment; filename*=broken%zz":                                              "broken%zz",
		"attachment; filenames=a; filename*x=b; filename*99999999999999999999=c":       "by type",
		"attachment": "by type",
		"":           "by type",
	} {
		m := Parse([]byte("Content-Type: application/x; name=\"by type\"\r\nContent-Disposition: " + in + "\r\n\r\n"))
		if got := m.Root.FileName(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestTexts(t *testing.T) {
	m := Parse(crlf("Subject: =?utf-8?q?caf=C3=A9?=\n in two lines\nno field\nContent-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\nhello\n" +
		"--b\nContent-Type: application/pdf; name=file.pdf\nContent-Description: a paper\n\n%PDF\n" +
		"--b\nContent-Type: message/rfc822\n\nSubject: inner\nContent-Type: text/html\n\n<b>deep</b>\n" +
		"--b\nContent-Type: message/delivery-status\n\nStatus: 5.1.1\n--b--\n"))
	var got strings.Builder
	for kind, text := range m.Texts() {
		fmt.Fprintf(&got, "%d %q\n", kind, text)
	}
	want := "0 \"Subject: café in two lines\"\n0 \"no field\"\n0 \"Content-Type: multipart/mixed; boundary=b\"\n1 \"hello\"\n2 \"file.pdf\"\n2 \"a paper\"\n" +
		"1 \"Subject: inner\"\n1 \"Content-Type: text/html\"\n1 \"deep\"\n1 \"Status: 5.1.1\"\n"
	if got.String() != want {
		t.Errorf("%s\nwant\n%s", got.String(), want)
	}
	for range m.Texts() {
		break
	}
}

// checkTexts holds what Texts promises of every message. It returns the bytes of text.
func checkTexts(t *testing.T, m *Message) int {
	t.Helper()
	n := 0
	for kind, text := range m.Texts() {
		if n += len(text); text == "" || !utf8.ValidString(text) || kind > NameText {
			t.Fatalf("kind %d, text %+q", kind, text)
		}
	}
	if n > MaxText {
		t.Fatalf("%d bytes of text", n)
	}
	return n
}

func FuzzTexts(f *testing.F) {
	for _, head := range []string{"text/html", "text/plain; charset=iso-2022-jp", "text/plain; charset=gb18030", "text/plain; charset=utf-16", "text/plain; format=flowed; delsp=yes"} {
		for _, encoding := range []string{"base64", "quoted-printable", "8bit"} {
			f.Add([]byte("Content-Type: " + head + "; name*0*=koi8-r''%d0\nContent-Transfer-Encoding: " + encoding + "\nSubject: =?iso-8859-1?q?=e9?= =?utf-8?b?w6k?=\n\n<a b='&amp;'>=C3=\n=A9 aGVsbG8= \x1b$BF|K\\"))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := Parse(raw)
		checkTexts(t, m)
		if m.Root.Type == "text" && !utf8.ValidString(m.Text(m.Root)) {
			t.Fatalf("%+q", m.Text(m.Root))
		}
	})
}

// The corpus is read without a character that could not be decoded, but for one name that is not in the charset it names.
func TestTextsOfCorpus(t *testing.T) {
	for _, name := range corpus(t) {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range Parse(raw).Texts() {
			checkFold(t, text)
			if strings.Contains(text, "\ufffd") && !bytes.Contains(raw, []byte("\ufffd")) && !strings.HasPrefix(text, "01 Quien Te Dij") {
				t.Errorf("%s: %+q", name, clip(text, 500))
			}
		}
	}
}
