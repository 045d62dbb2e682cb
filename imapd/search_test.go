package imapd

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"domicile/imapd/wire"
	"domicile/store"
)

// searched logs in, selects INBOX and returns what each search program found.
func (w *world) searched() func(program string) string {
	w.t.Helper()
	c := w.login()
	c.SetDeadline(time.Now().Add(5 * time.Minute))
	c.do("b SELECT INBOX (CONDSTORE)", "b OK")
	return func(program string) string {
		w.t.Helper()
		got := c.do("c SEARCH "+program, "c OK")
		return strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(got), "* SEARCH"))
	}
}

func (w *world) putThree() (second store.Message) {
	w.put("INBOX", "From: Ann <ann@x.test>\r\nSubject: =?iso-8859-1?q?caf=E9?=\r\nDate: Mon, 02 Feb 2026 23:00:00 -0500\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nna=EFve\r\n", store.Seen)
	second = w.put("INBOX", "From: bob@x.test\r\nCc: c@x.test\r\nSubject: two\r\nDate: broken\r\nX-Empty:\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\nc2Vj\r\ncmV0\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ndeep\r\n--b--\r\n", store.Flagged, "$Work")
	w.put("INBOX", "Subject: three\r\n\r\n"+strings.Repeat("long ", 100))
	return second
}

func TestSearch(t *testing.T) {
	w := newWorld(t)
	second := w.putThree()
	search := w.searched()
	for key, want := range map[string]string{
		"ALL": "1 2 3", "SEEN": "1", "UNSEEN": "2 3", "OLD": "", "NEW": "2 3", "RECENT": "1 2 3", "KEYWORD $WORK": "2", "UNKEYWORD $work": "1 3", "NOT FLAGGED": "1 3",
		"UNANSWERED UNDELETED UNDRAFT UNFLAGGED": "1 3", "FROM ann": "1", "SUBJECT \"CAFÉ\"": "1", "CC c@x": "2", "HEADER X-Empty \"\"": "2", "HEADER Subject \"\"": "1 2 3",
		"HEADER \"no such\" \"\"": "", "TEXT \"naïve\"": "1", "BODY secret": "2", "BODY \"\"": "1 2 3", "TEXT \"\"": "1 2 3",
		"BODY inner": "2", "BODY deep": "2", "TEXT two": "2", "BODY two": "", "LARGER 400": "3", "SMALLER 100": "", "2:3": "2 3", "*": "3", "3:2,1": "1 2 3", "UID 1,3": "1 3", "UID 7:*": "3",
		"SENTON 2-Feb-2026": "1", "SENTSINCE 3-Feb-2026": "", "SENTBEFORE 3-Feb-2026": "1", "SINCE 4-Mar-2026": "1 2 3", "ON 4-Mar-2026": "1 2 3", "BEFORE \"4-Mar-2026\"": "",
		"OR FROM ann (SUBJECT three UNSEEN)": "1 3", "NOT OR SEEN FLAGGED": "3", "NOT (FLAGGED KEYWORD $Work)": "1 3", "OR FROM ann OR FROM bob SUBJECT three": "1 2 3",
		"OR OR FROM ann FROM bob NOT ALL": "1 2", "NOT NOT SEEN": "1",
		"SAVEDATESUPPORTED": "1 2 3", "SAVEDSINCE 1-Jan-2026": "1 2 3", "SAVEDBEFORE 1-Jan-2026": "", "SAVEDON 1-Jan-2026": "",
		"YOUNGER 4294967295": "1 2 3", "YOUNGER 1": "", "OLDER 1": "1 2 3", "OLDER 4294967295": "",
		"EMAILID " + string(second.ID): "2", "EMAILID x": "", "THREADID x": "", "$": "",
		"MODSEQ 1": "1 2 3 (MODSEQ 4)", "MODSEQ 4": "3 (MODSEQ 4)", "MODSEQ \"/flags/\\\\seen\" all 4": "3 (MODSEQ 4)", "MODSEQ 99": "",
	} {
		if got := search("CHARSET UTF-8 " + key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

// The zone of an internal date counts neither for its day nor against it; seconds count for OLDER and YOUNGER, both including the second.
func TestSearchWithin(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 12*3600))
	now := at.Add(100 * time.Second)
	for key, want := range map[string]bool{"OLDER 99": true, "OLDER 100": true, "OLDER 101": false, "YOUNGER 99": false, "YOUNGER 100": true, "YOUNGER 101": true,
		"ON 4-Mar-2026": true, "SINCE 5-Mar-2026": false, "SINCE 4-Mar-2026": true, "BEFORE 4-Mar-2026": false, "BEFORE 5-Mar-2026": true} {
		s, cmd := parsing(t, "a SEARCH "+key+"\r\n")
		r := s.keyReader(cmd)
		r.now = now
		cmd.SP()
		q, err := r.query(returning{})
		if err != nil {
			t.Fatal(key, err)
		}
		if got := q.fits(&candidate{view: s.view, m: &store.Message{Internal: at}}); got != want {
			t.Errorf("%s: %v", key, got)
		}
	}
}

// parsing returns a session without a store, with three messages, and a command as it came.
func parsing(t testing.TB, raw string) (*session, *wire.Command) {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		io.WriteString(theirs, raw)
		theirs.Close()
	}()
	go io.Copy(io.Discard, theirs)
	t.Cleanup(func() { ours.Close() })
	c := wire.NewConn(ours, wire.After)
	s := &session{conn: c, view: &view{uids: []store.UID{1, 2, 9}}}
	cmd, err := c.Next()
	if err != nil {
		t.Skip(err) // of a fuzzer
	}
	return s, cmd
}

func TestSearchRefusals(t *testing.T) {
	w := newWorld(t)
	w.putThree()
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	nested := func(n int) string { return strings.Repeat("(", n) + "ALL" + strings.Repeat(")", n) }
	texts := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, " SUBJECT s%d", i)
		}
		return b.String()[1:]
	}
	for _, x := range []struct{ program, want string }{
		{"4", "c BAD"}, {"0", "c BAD"}, {"1,,2", "c BAD"}, {"-1", "c BAD"}, {"", "c BAD"}, {"()", "c BAD"}, {"(ALL", "c BAD"}, {"ALL)", "c BAD"}, {"ALL ", "c BAD"}, {"ALL  ALL", "c BAD"},
		{"FOO", "c BAD"}, {"UNRECENT", "c BAD"}, {"NOT", "c BAD"}, {"OR ALL", "c BAD"}, {"OR ALL ", "c BAD"}, {"KEYWORD \\Seen", "c BAD"}, {"LARGER x", "c BAD"}, {"LARGER 99999999999999999999", "c BAD"},
		{"ON 31-Feb-2026", "c BAD"}, {"ON 1-1-2026", "c BAD"}, {"OLDER 0", "c BAD"}, {"OLDER -1", "c BAD"}, {"SUBJECT", "c BAD"}, {"HEADER x", "c BAD"}, {"HEADER x y z", "c BAD"}, {"UID x", "c BAD"},
		{"MODSEQ \"seen\" all 1", "c BAD"}, {"MODSEQ \"/flags/x\" none 1", "c BAD"}, {"FUZZY SUBJECT x", "c BAD"}, {"X-GM-RAW x", "c BAD"},
		{"RETURN", "c BAD"}, {"RETURN (ALL)", "c BAD"}, {"RETURN (ALL", "c BAD"}, {"RETURN (FOO) ALL", "c BAD"}, {"RETURN ALL ALL", "c BAD"}, {"RETURN (ALL PARTIAL 1:2) ALL", "c BAD"},
		{"RETURN (PARTIAL 1:2 PARTIAL 3:4) ALL", "c BAD"}, {"RETURN (PARTIAL 0:2) ALL", "c BAD"}, {"RETURN (PARTIAL -1:2) ALL", "c BAD"}, {"RETURN (PARTIAL 1:*) ALL", "c BAD"}, {"RETURN (PARTIAL) ALL", "c BAD"},
		{"CHARSET x-none ALL", "c NO [BADCHARSET (US-ASCII UTF-8 "}, {"CHARSET UTF-7 ALL", "c NO [BADCHARSET ("}, {"CHARSET UTF-8", "c BAD"},
		{nested(maxKeyDepth), "c OK"}, {nested(maxKeyDepth + 1), "c NO [LIMIT]"}, {nested(100_000), "c NO [LIMIT]"},
		{strings.Repeat("NOT ", maxKeyDepth) + "ALL", "c OK"}, {strings.Repeat("NOT ", 100_000) + "ALL", "c NO [LIMIT]"}, {strings.Repeat("OR ALL ", maxKeys-1) + "ALL", "c NO [LIMIT]"},
		{strings.Repeat("OR ", 100_000) + "ALL", "c NO [LIMIT]"}, {strings.Repeat("OR ALL ", 300) + "ALL", "c OK"}, {strings.Repeat("ALL ", maxKeys-1) + "ALL", "c OK"}, {strings.Repeat("ALL ", maxKeys) + "ALL", "c NO [LIMIT]"},
		{texts(maxTextKeys), "c OK"}, {texts(maxTextKeys + 1), "c NO [LIMIT]"}, {strings.Repeat("SUBJECT x ", 300) + "ALL", "c OK"},
	} {
		c.do("c SEARCH "+x.program, x.want)
		c.do("n NOOP", "n OK") // many in a row would end the connection
	}
	if n := w.faults.Load(); n > 0 {
		t.Errorf("%d faults", n)
	}
}

// Programs that are nested as deep as a command is long cost no more than others.
func TestSearchDepthIsFlat(t *testing.T) {
	for _, unit := range []string{"(", "NOT ", "OR ", "OR (", "OR ALL ", "NOT (ALL "} {
		s, cmd := parsing(t, "a SEARCH "+strings.Repeat(unit, (1<<20-100)/len(unit))+"\r\n")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		cmd.SP()
		if _, err := s.keyReader(cmd).query(returning{}); err == nil {
			t.Fatal(unit)
		}
		if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 1<<20 {
			t.Errorf("%q took %d bytes", unit, after.TotalAlloc-before.TotalAlloc)
		}
	}
}

// Strings are read in the charset that was named, from literals too.
func TestSearchCharset(t *testing.T) {
	w := newWorld(t)
	w.put("INBOX", "Subject: =?utf-8?q?caf=C3=A9?=\r\n\r\n")
	w.put("INBOX", "Subject: =?utf-8?b?5pel5pys?=\r\n\r\n")
	w.put("INBOX", "Subject: =?koi8-r?b?0NLJ18XU?=\r\n\r\n")
	search := w.searched()
	for _, x := range []struct{ charset, raw, want string }{
		{"iso-8859-1", "caf\xe9", "1"}, {"WINDOWS-1252", "CAF\xc9", "1"}, {"utf-8", "café", "1"}, {"\"UTF-8\"", "日本", "2"}, {"shift_jis", "\x93\xfa\x96\x7b", "2"},
		{"iso-2022-jp", "\x1b$BF|K\\\x1b(B", "2"}, {"koi8-r", "\xf0\xf2\xe9\xf7\xe5\xf4", "3"}, {"us-ascii", "caf", "1"}, {"us-ascii", "café", "1"},
	} {
		if got := search(fmt.Sprintf("CHARSET %s SUBJECT {%d+}\r\n%s", x.charset, len(x.raw), x.raw)); got != x.want {
			t.Errorf("%s %q: %q, want %s", x.charset, x.raw, got, x.want)
		}
	}
	for _, name := range strings.Fields(charsets) {
		search("CHARSET " + name + " SUBJECT x")
	}
	c := w.login()
	c.do("b SELECT INBOX", "b OK")
	c.do("c SEARCH SUBJECT {2+}\r\n\xff\xfe", "c BAD")
	c.do("d SEARCH CHARSET iso-8859-1 SUBJECT {2+}\r\n\xff\xfe UNSEEN", "d OK")
}

// FuzzSearch reads programs and holds messages against what was well-formed.
func FuzzSearch(f *testing.F) {
	for _, seed := range []string{"ALL", "OR (1:* NOT SEEN) UID 2,$ SENTON 1-Jan-2026", "RETURN (MIN PARTIAL -1:-2) CHARSET utf-8 MODSEQ \"/flags/x\" all 3",
		"HEADER a {1+}\r\nb TEXT \"q\\\"\" LARGER 3 OLDER 4 KEYWORD x EMAILID y"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		s, cmd := parsing(t, "a SEARCH "+string(program)+"\r\n")
		want := readReturn(cmd)
		r := s.keyReader(cmd)
		cmd.SP()
		if cmd.Take("CHARSET ") {
			r.charset(cmd.Astring())
			cmd.SP()
		}
		q, err := r.query(returning{})
		if err != nil {
			return
		}
		h := &hits{view: s.view}
		for i, uid := range s.view.uids {
			if c := blank(s.view, i, uid); q.fits(c) {
				h.add(c)
			}
		}
		if n := len(h.saved(want)); n > 3 {
			t.Errorf("%d ranges of 3 messages", n)
		}
	})
}

// Another program's client understands the answers.
func TestSearchByClient(t *testing.T) {
	w := newWorld(t)
	w.putThree()
	c, err := imapclient.DialInsecure(w.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login("ann@example.com", "pw").Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	found, err := c.UIDSearch(&imap.SearchCriteria{NotFlag: []imap.Flag{imap.FlagSeen}}, &imap.SearchOptions{ReturnMin: true, ReturnMax: true, ReturnCount: true, ReturnAll: true}).Wait()
	if err != nil || found.Min != 2 || found.Max != 3 || found.Count != 2 || found.All.String() != "2:3" {
		t.Errorf("%+v, %v", found, err)
	}
	plain, err := c.Search(&imap.SearchCriteria{Or: [][2]imap.SearchCriteria{{{Text: []string{"naïve"}}, {Header: []imap.SearchCriteriaHeaderField{{Key: "From", Value: "bob"}}}}}}, nil).Wait()
	if err != nil || fmt.Sprint(plain.AllSeqNums()) != "[1 2]" {
		t.Errorf("%+v, %v", plain, err)
	}
	sorted, err := c.Sort(&imapclient.SortOptions{SearchCriteria: &imap.SearchCriteria{}, SortCriteria: []imapclient.SortCriterion{{Key: imapclient.SortKeySubject, Reverse: true}}}).Wait()
	if err != nil || fmt.Sprint(sorted) != "[2 3 1]" {
		t.Errorf("%v, %v", sorted, err)
	}
}
