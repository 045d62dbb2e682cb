package tests

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strings"
	"testing"

	"domicile/tests/harness"
)

// hostile is a client that is logged in and up to no good.
func hostile(t *testing.T, addr, login string) *reader {
	t.Helper()
	k := dialIMAP(t, addr)
	k.want(login, "OK")
	return k
}

// pour sends bytes while it reads and forgets all answers, until the node has answered the last command or has closed. It returns the last bytes.
func (k *reader) pour(raw string) string {
	go func() {
		io.WriteString(k, raw)
		io.WriteString(k, "\r\nlast LOGOUT\r\n")
	}()
	var tail []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := k.r.Read(buf)
		if tail = append(tail, buf[:n]...); len(tail) > 500 {
			tail = tail[len(tail)-500:]
		}
		if err != nil {
			return string(tail)
		}
	}
}

// deflatedBytes are what a client sends once COMPRESS is on.
func deflatedBytes(raw []byte) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	w.Write(raw)
	w.Flush()
	return b.Bytes()
}

// evil is a command that must not be run, as the bytes of a literal.
const evil = "z CREATE hacked\r\n"

// attacks are what hostile clients send behind their login.
func attacks() map[string]string {
	all := map[string]string{}
	nonSync := fmt.Sprintf("{%d+}\r\n%s", len(evil), evil)
	for i, before := range []string{"LOGIN ", "LOGIN x ", "SELECT ", "SELECT INBOX ", "CREATE INBOX", "SEARCH ", "SEARCH SUBJECT ", "SEARCH CHARSET ", "SEARCH HEADER x ", "LIST ", `LIST "" `,
		"LIST (", `LIST "" * RETURN (`, "APPEND ", "APPEND INBOX (", "APPEND INBOX \"", "APPEND INBOX UTF8 (~", "APPEND none ", "APPEND INBOX {1+}\r\nx ", "FETCH 1 ", "FETCH 1 BODY[HEADER.FIELDS (", "STORE 1 FLAGS ",
		"STORE 1 ", "COPY 1 ", "COPY ", "UID ", "", "IDLE ", "ID (", "ID (x ", "ENABLE ", "STATUS ", "STATUS INBOX ", "AUTHENTICATE ", "AUTHENTICATE PLAIN ", "THREAD REFERENCES ", "SORT (SUBJECT) ", "COMPRESS ", "NOOP ", "LOGOUT x ", "NONE ", "GETQUOTA ", "RENAME x ", "~", "x~"} {
		all[fmt.Sprintf("literal %d %q", i, before)] = "s SELECT INBOX\r\na " + before + nonSync + "\r\nb " + before + "~" + nonSync + "\r\nc " + before + nonSync + nonSync
	}
	for _, size := range []string{"9223372036854775807", "9223372036854775808", "18446744073709551616", "99999999999999999999999999", "1048577", "1-", "-1", "+1", "0x10", "017", "4294967296"} {
		all["size "+size] = "a SELECT {" + size + "+}\r\n" + evil
		if size == "1048577" {
			size = "67108865" // one more than a message may have
		}
		all["size of a message "+size] = "a APPEND INBOX {" + size + "+}\r\n" + evil
	}
	all["no literal within quotes"] = "a SELECT \"{" + fmt.Sprint(len(evil)) + "+}\r\n" + evil
	all["ranges"] = "a SELECT INBOX\r\nb UID FETCH " + strings.Repeat("1:4294967295,*:1,", 60_000) + "1 FLAGS\r\nc UID SEARCH UID " + strings.Repeat("4294967295:1,7,", 60_000) + "1"
	all["a thousand bodies"] = "a SELECT INBOX\r\nb FETCH 1:* (" + strings.Repeat("BODY[] ", 999) + "BODY[])"
	all["nested searches"] = "a SELECT INBOX\r\nb SEARCH " + strings.Repeat("(", 400_000) + "\r\nc SEARCH " + strings.Repeat("NOT ", 200_000) + "ALL\r\nd SEARCH " + strings.Repeat("OR ALL ", 100_000) + "ALL ALL"
	all["many searches"] = "a SELECT INBOX\r\nb SEARCH " + strings.Repeat("TEXT a ", 60) + "TEXT b\r\nc SEARCH RETURN (SAVE) ALL\r\nd SEARCH " + strings.Repeat("$ ", 999) + "$"
	all["stars"] = "a LIST \"\" " + strings.Repeat("*a%", 1300) + "\r\nb LIST \"\" (" + strings.Repeat("*% ", 99) + "%*)\r\nc LIST " + strings.Repeat("x/", 300_000) + " *"
	all["pipeline"] = strings.Repeat("a NOOP\r\nb CAPABILITY\r\nc LIST \"\" *\r\n", 3500)
	all["several messages"] = "a APPEND INBOX" + strings.Repeat(" {3+}\r\nabc", 990) + "\r\nb APPEND INBOX" + strings.Repeat(" {3+}\r\nabc", 3000)
	all["keywords"] = "a SELECT INBOX\r\n"
	for i := range 400 {
		var flags []string
		for j := range 64 {
			flags = append(flags, fmt.Sprintf("k%d-%d-%s", i, j, strings.Repeat("k", 100)))
		}
		all["keywords"] += fmt.Sprintf("b STORE %d FLAGS (%s)\r\n", i%3+1, strings.Join(flags, " "))
	}
	all["names"] = ""
	for _, name := range []string{`""`, `"/"`, `"//"`, `"a//b"`, `"/a"`, `"a/"`, "&", "&-", "&AAA-", "&AGE-", "&2D0-", "&3gA-", "&ABC", "&AC8-", "&AAo-", "inbox/&-", `"..\\.."`, "../x", strings.Repeat("n", 1025), strings.Repeat("n/", 500) + "n", "&//8-", "\"\xff\"", "\"\u202e\"", "\"\u2028\"", "INBOX", "&AEkATgBCAE8AWA-"} {
		all["names"] += "a CREATE " + name + "\r\nb SELECT " + name + "\r\nc RENAME " + name + " " + name + "\r\nd DELETE " + name + "\r\ne STATUS " + name + " (MESSAGES)\r\nf NOOP\r\n"
	}
	all["known sequences"] = "a ENABLE QRESYNC\r\nb SELECT INBOX (QRESYNC (1 1 " + strings.Repeat("1:9,", 60_000) + "1 (" + strings.Repeat("1,", 60_000) + "1 " + strings.Repeat("1,", 60_000) + "1)))"
	all["IDLE"] = "a SELECT INBOX\r\n" + strings.Repeat("a IDLE\r\nDONE\r\nb NOOP\r\n", 300) + "c IDLE\r\nz CREATE hacked"
	return all
}

// TestHostileClients logs many hostile clients in at a node. Nothing of what they send in literals is run, the memory of the node stays about
// what it was, and another customer is served all the time.
func TestHostileClients(t *testing.T) {
	t.Parallel()
	c := harness.New(t, "--region", "eu-ireland=IE,DE,FR")
	c.StartAll(t)
	addr := c.Node(ieNode).IMAP
	bad := "LOGIN mallory@example.com " + c.Account(t, ireland, "mallory@example.com", "IE")
	good := "LOGIN aoife@example.com " + c.Account(t, ireland, "aoife@example.com", "IE")
	hostileMail(t, hostile(t, addr, bad))
	hostile(t, addr, good).want("APPEND INBOX {5+}\r\nhello", "OK")
	before, _ := c.Memory(t, ieNode)
	flat := func(what string) {
		t.Helper()
		_, most := c.Memory(t, ieNode)
		if t.Logf("%s: %d MiB at most, %d before", what, most>>20, before>>20); most-before > 384<<20 && !harness.Race {
			t.Errorf("%s: %d MiB more than before", what, (most-before)>>20)
		}
	}
	served := func() {
		t.Helper()
		g := hostile(t, addr, good)
		g.want("SELECT INBOX", "OK")
		if got := g.want("FETCH 1 BODY[]", "OK"); !strings.Contains(got, "hello") {
			t.Errorf("%q", got)
		}
		g.want("LOGOUT", "OK")
		g.Close()
	}
	during := func(what string, attack func()) {
		t.Helper()
		done := make(chan struct{})
		go func() {
			defer close(done)
			attack()
		}()
		for under := true; under; {
			served()
			select {
			case <-done:
				under = false
			default:
			}
		}
		flat(what)
	}
	for name, raw := range attacks() {
		k := hostile(t, addr, bad)
		during(name, func() { k.pour(raw) })
	}
	k := hostile(t, addr, bad)
	k.want("COMPRESS DEFLATE", "OK")
	during("what is deflated", func() { bomb(k) })
	stuck := stuckClients(t, addr, bad)
	served()
	flat("clients that stop")
	for range 20 { // those that idle are pushed what this changes, and others go away meanwhile
		k := hostile(t, addr, bad)
		k.want("APPEND INBOX {1+}\r\nx", "OK")
		k.want("LOGOUT", "OK")
		stuck[0].Close()
		stuck = stuck[1:]
	}
	served()
	flat("clients that go away")
	for _, k := range stuck {
		k.Close()
	}
	k = hostile(t, addr, bad)
	if list := k.want(`LIST "" *`, "OK"); strings.Contains(list, "hacked") {
		t.Errorf("bytes of a literal were run: %q", list)
	}
	k.want("STATUS INBOX (MESSAGES UNSEEN SIZE)", "OK")
}

// hostileMail puts messages into INBOX that are not as others are, and asks for what is hard to tell of them.
func hostileMail(t *testing.T, k *reader) {
	for _, raw := range []string{
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n", 3000),
		strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 3000),
		"Subject: " + strings.Repeat("Re: [x] ", 5000) + "\r\nReferences: " + strings.Repeat("<a@b> <c@d>\r\n ", 3000) + "\r\n\r\nx",
		"To: " + strings.Repeat("a:b@c;,", 20_000) + "\r\n\r\nx",
		"Subject: " + strings.Repeat("=?utf-8?b?4oKs?= ", 20_000) + "\r\n\r\nx",
		"Subject: big\r\n\r\n" + strings.Repeat("0123456789abcdef", 64<<10),
	} {
		k.want(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(raw), raw), "OK")
	}
	k.want("SELECT INBOX", "OK")
	k.want("FETCH 1:* (ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[1.1.1] BODY.PEEK[HEADER.FIELDS (To Subject)] PREVIEW)", "OK")
	k.want("THREAD REFERENCES UTF-8 ALL", "OK")
	k.want("SORT (SUBJECT FROM DISPLAYTO REVERSE DATE) UTF-8 ALL", "OK")
	k.want("SEARCH TEXT nothing OR SUBJECT x HEADER References c@d", "OK")
}

// stuckClients log in and then stop: in the middle of a command, of a literal, of a message, of a search that they do not read, and in IDLE.
func stuckClients(t *testing.T, addr, login string) (all []*reader) {
	for range 16 {
		for _, raw := range []string{
			"a SELECT", "a SELECT {5+}\r\nIN", "a APPEND INBOX {33554432+}\r\n" + strings.Repeat("x", 8<<20), "a SELECT INBOX\r\nb IDLE\r\n",
			"a SELECT INBOX\r\nb FETCH 1:* (" + strings.Repeat("BODY.PEEK[TEXT]<0.1000000> ", 200) + "BODY.PEEK[1])\r\n",
			"a SELECT INBOX\r\nb SEARCH " + strings.Repeat("UID 1:*,2:*,3:* ", 60_000),
		} {
			k := hostile(t, addr, login)
			io.WriteString(k, raw)
			all = append(all, k)
		}
	}
	return all
}

// bomb sends eighty MiB as some eighty KiB, in a message and in a line, once COMPRESS is on.
func bomb(k *reader) {
	k.Write(deflatedBytes(append([]byte("a APPEND INBOX {16777216+}\r\n"), make([]byte, 16<<20)...)))
	k.Write(deflatedBytes(append([]byte("\r\nb NOOP "), bytes.Repeat([]byte("a"), 64<<20)...)))
	io.Copy(io.Discard, k.Conn)
}
