package imapd

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// written writes a URL in the way that parseURL reads.
func (u *messageURL) written() string {
	var b strings.Builder
	if u.host != "" {
		b.WriteString("imap://" + percentEncoded(u.user, isAchar) + "@" + percentEncoded(u.host, isAchar))
	}
	if u.mailbox != "" {
		b.WriteString("/" + percentEncoded(u.mailbox, isAchar))
		if u.validity != 0 {
			b.WriteString(";UIDVALIDITY=" + strconv.FormatUint(uint64(u.validity), 10))
		}
		b.WriteString("/")
	}
	b.WriteString(";UID=" + strconv.FormatUint(uint64(u.uid), 10))
	if spec, _, _ := strings.Cut(strings.TrimPrefix(u.section.name, "BODY["), "]"); spec != "" {
		b.WriteString("/;SECTION=" + percentEncoded(spec, isAchar))
	}
	if u.section.partial {
		b.WriteString("/;PARTIAL=" + strconv.FormatUint(u.section.offset, 10) + "." + strconv.FormatUint(u.section.count, 10))
	}
	return b.String()
}

func TestURLs(t *testing.T) {
	for text, want := range map[string]string{ // "" = none
		"/INBOX/;UID=1": "/INBOX/;UID=1", "/INBOX;uidvalidity=385759045/;uid=20/;section=1.2": "/INBOX;UIDVALIDITY=385759045/;UID=20/;SECTION=1.2",
		";UID=20": ";UID=20", ";UID=20/;SECTION=1.MIME/;PARTIAL=0.1024": ";UID=20/;SECTION=1.MIME/;PARTIAL=0.1024", "/a/b;UIDVALIDITY=1/;UID=4294967295": "/a%2Fb;UIDVALIDITY=1/;UID=4294967295",
		"/x/;UID=1/;PARTIAL=5":                                       "/x/;UID=1/;PARTIAL=5.9223372036854775807",
		"/%E5%8F%B0%e5%8c%97/;UID=1":                                 "/%E5%8F%B0%E5%8C%97/;UID=1",
		"/a%3Bb%2fc%25/;UID=1":                                       "/a%3Bb%2Fc%25/;UID=1",
		"/&ZeVnLIqe-/;UID=1":                                         "/&ZeVnLIqe-/;UID=1", // not UTF-7 (RFC 5092 8)
		"imap://u@h/x/;UID=1":                                        "imap://u@h/x/;UID=1",
		"IMAP://u%40d;AUTH=*@H:143/x/;UID=1":                         "imap://u%40d@H/x/;UID=1",
		"//u;auth=PLAIN@h:/x/;UID=1":                                 "imap://u@h/x/;UID=1",
		"/x/;UID=1/;SECTION=HEADER.FIELDS%20(A)":                     "/x/;UID=1/;SECTION=HEADER.FIELDS%20(A)",
		"/x/;UID=1/;SECTION=HEADER.FIELDS.NOT%20(%22A%20b%22%20C/d)": "/x/;UID=1/;SECTION=HEADER.FIELDS.NOT%20(%22A%20b%22%20C%2Fd)",
		"/x/./y/../;UID=1":                                           "/x/;UID=1", "/../x/;UID=1/;SECTION=1/../;SECTION=2": "/x/;UID=1/;SECTION=2", "/x/%2E%2E/;UID=1": "/x%2F../;UID=1",
		"/x/;UID=20/..": "", "/x/;UID=20/.": "", // RFC 5092 9.1
		"": "", "/": "", "//": "", "imap:": "", "imap:/x/;UID=1": "", "/x": "", "/x;UIDVALIDITY=1": "", "/x?SUBJECT%20y": "", "/x/;UID=1?y": "", "/x/;UID=1#y": "",
		"x/;UID=1": "", "/;UID=1": "", "../x/;UID=1": "", "..;UIDVALIDITY=3/;UID=1": "", ";UIDVALIDITY=3/;UID=1": "", ";SECTION=1": "", ";UID=1/../x/;UID=2": "",
		"/x/;UID=0": "", "/x/;UID=": "", "/x/;UID=-1": "", "/x/;UID=4294967296": "", "/x/;UID=1/": "", "/x/;UID=1;SECTION=1": "", "/x/;UID=1/;UID=2": "", "/x/;UID=1/y": "",
		"/x;UIDVALIDITY=0/;UID=1": "", "/x;UIDVALIDITY=/;UID=1": "", "/x;UIDVALIDITY=1/y/;UID=1": "", "/x;y/;UID=1": "",
		"/x/;UID=1/;SECTION=": "", "/x/;UID=1/;SECTION=0": "", "/x/;UID=1/;SECTION=FLAGS": "", "/x/;UID=1/;SECTION=1%5D": "", "/x/;UID=1/;SECTION=HEADER.FIELDS%20(%7B1%2B%7D%0D%0AA)": "",
		"/x/;UID=1/;PARTIAL=1.0": "", "/x/;UID=1/;PARTIAL=": "", "/x/;UID=1/;PARTIAL=1.": "", "/x/;UID=1/;PARTIAL=9223372036854775808": "", "/x/;UID=1/;PARTIAL=1/;SECTION=1": "",
		"/x/;UID=1;URLAUTH=anonymous:INTERNAL:0": "", "/x/;UID=1/;SECTION=1;EXPIRE=2030-01-01T00:00:00Z": "",
		"imap://h/x/;UID=1": "", "imap://@h/x/;UID=1": "", "imap://;AUTH=*@h/x/;UID=1": "", "imap://u@/x/;UID=1": "", "imap://u;AUTH=@h/x/;UID=1": "", "imap://u;x@h/x/;UID=1": "", "imap://u@h:993/x/;UID=1": "",
		"imap://u@h": "", "imap://u@h/;UID=1": "", "imap://u@h//;UID=1": "", "imap://u@[::1]/x/;UID=1": "", "imap://u:p@h/x/;UID=1": "", "imaps://u@h/x/;UID=1": "", "http://u@h/x/;UID=1": "",
		"/x%/;UID=1": "", "/x%2/;UID=1": "", "/x%zz/;UID=1": "", "/x%+1/;UID=1": "", "/x y/;UID=1": "", "/\u00fc/;UID=1": "", "/x\x00/;UID=1": "", "/x\r\n/;UID=1": "", "/x\"/;UID=1": "", "/{/;UID=1": "",
		"/" + strings.Repeat("x", maxURL) + "/;UID=1": "",
	} {
		u, ok := parseURL(text)
		if got := u.written(); ok != (want != "") || ok && got != want {
			t.Errorf("%.200q: %v, %.200q, want %q", text, ok, got, want)
		}
	}
}

// FuzzURL: a URL that is read says the same when it is written anew, and none says more than one that could be written.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{"/INBOX;UIDVALIDITY=785799047/;UID=113330/;section=1.5.9", "imap://ann%40example.com;AUTH=*@imap.test:143/a%2Fb/../c/;UID=1/;SECTION=HEADER.FIELDS%20(DATE%20%22x%20y%22)/;PARTIAL=3.4",
		";UID=7/;PARTIAL=0", "//u@h/x/;UID=1", "/%E5%8F%B0/./;UID=2/..", "/x?y#z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, ok := parseURL(text)
		if !ok {
			return
		}
		if u.uid == 0 || len(text) > maxURL || (u.user == "") != (u.host == "") || u.host != "" && u.mailbox == "" || u.mailbox == "" && u.validity != 0 || u.section.partial && u.section.count == 0 {
			t.Fatalf("%q: %+v", text, u)
		}
		if strings.Contains(u.section.name, "{") || strings.Count(u.section.name, "]") > 1 { // the name of a field that is none
			return
		}
		if again, ok := parseURL(u.written()); len(u.written()) <= maxURL && (!ok || !reflect.DeepEqual(again, u)) {
			t.Fatalf("%q is %+v, and written as %q %+v", text, u, u.written(), again)
		}
	})
}
