package tests

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/lab"
	"domicile/tests/harness"
)

// The tests of clients_*_test.go drive ordinary mail programs, each with its own settings and folder, against a lab with TLS,
// in which they know the region's CA certificate and nothing else. Mail goes in at us-east and is read in Ireland, or abroad.

// person is an account in Ireland and the folder of one mail program.
type person struct {
	*harness.Cluster
	t                 *testing.T
	address, password string
	dir               string    // the program's HOME
	ca                string    // the CA certificate of Ireland, or of where it connects to
	at                *lab.Node // where it connects to: Ireland's node
}

func newPerson(t *testing.T, name string) *person {
	t.Helper()
	t.Parallel()
	c := harness.Shared(t)
	p := &person{Cluster: c, t: t, address: name + "@example.com", dir: t.TempDir(), ca: c.Path(c.CA[string(ireland)]), at: c.Home(ireland)}
	p.password = c.Account(t, ireland, p.address, "IE")
	return p
}

// abroad has the program connect to us-east from now on, which it knows by that region's CA certificate.
func (p *person) abroad() *person {
	p.at, p.ca = p.Node(usNode), p.Path(p.CA[string(usEast)])
	return p
}

// port returns the port of one of Ireland's fronts; mail programs know the host as localhost, a name in its certificate.
func (p *person) port(addr string) string {
	p.t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		p.t.Fatal(err)
	}
	return port
}

// file writes a file of the program's folder, in which words are replaced by what they stand for, and returns its path.
func (p *person) file(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(p.fill(text)), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// fill replaces $ADDRESS, $PASSWORD, $DIR, $CA, $IMAP, $IMAPS, $SMTP, $LMTP, $SUBMISSION and $SUBMISSIONS (ports of the node that it connects to).
func (p *person) fill(text string) string {
	return os.Expand(text, func(word string) string {
		switch word {
		case "ADDRESS":
			return p.address
		case "PASSWORD":
			return p.password
		case "DIR":
			return p.dir
		case "CA":
			return p.ca
		case "IMAP":
			return p.port(p.at.IMAP)
		case "IMAPS":
			return p.port(p.at.IMAPS)
		case "SMTP":
			return p.port(p.at.SMTP)
		case "SUBMISSION":
			return p.port(p.at.Submission)
		case "SUBMISSIONS":
			return p.port(p.at.Submissions)
		case "LMTP":
			return p.port(p.at.LMTP)
		}
		return "$" + word
	})
}

// run runs a program with filled-in arguments and returns what it printed; it must exit with 0 within ten minutes.
func (p *person) run(in []byte, program string, args ...string) string {
	p.t.Helper()
	out, err := p.try(in, program, args...)
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", filepath.Base(program), err, out)
	}
	return out
}

// try is run for a program that may fail.
func (p *person) try(in []byte, program string, args ...string) (string, error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Minute)
	defer cancel()
	for i := range args {
		args[i] = p.fill(args[i])
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Stdin, cmd.WaitDelay = p.dir, bytes.NewReader(in), time.Second
	cmd.Env = append(os.Environ(), "HOME="+p.dir, "TERM=xterm", "LC_ALL=C.UTF-8", "PYENV_ROOT="+pyenv())
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// pyenv keeps a python3 that is pyenv's shim working under another HOME.
func pyenv() string {
	if root := os.Getenv("PYENV_ROOT"); root != "" {
		return root
	}
	return filepath.Join(os.Getenv("HOME"), ".pyenv")
}

// mailbox reads a mailbox with the reference client.
func (p *person) mailbox(name string) [][]byte {
	p.t.Helper()
	got, err := lab.ReadMail(p.t.Context(), p.Home(ireland).IMAP, p.address, p.password, name)
	if err != nil {
		p.t.Fatalf("%s: %v", name, err)
	}
	return got
}

// imap runs commands in a mailbox and returns their untagged answers.
func (p *person) imap(mailbox string, commands ...string) (answers []string) {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.Home(ireland).IMAP)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	r := bufio.NewReader(conn)
	for _, command := range append([]string{"NOOP", "LOGIN " + p.address + " " + p.password, "SELECT " + mailbox}, commands...) {
		fmt.Fprintf(conn, "tag %s\r\n", command)
		answers = nil
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				p.t.Fatalf("%s: %v", command, err)
			}
			if status, tagged := strings.CutPrefix(line, "tag "); tagged {
				if !strings.HasPrefix(status, "OK") {
					p.t.Fatalf("%s: %s", command, status)
				}
				break
			}
			answers = append(answers, strings.TrimSpace(line))
		}
	}
	return answers
}

// flags returns the answers to FETCH FLAGS, without \Recent.
func (p *person) flags(mailbox string) []string {
	p.t.Helper()
	all := p.imap(mailbox, "FETCH 1:* (UID FLAGS)")
	for i := range all {
		all[i] = strings.ReplaceAll(strings.ReplaceAll(all[i], ` \\Recent`, ""), `\\Recent`, "")
	}
	return all
}

// find returns the file of a Maildir that holds a word.
func (p *person) find(path, word string) string {
	p.t.Helper()
	files, _ := filepath.Glob(filepath.Join(p.dir, path, "[cn]*", "*"))
	for _, f := range files {
		if bytes.Contains(readCRLF(p.t, f), []byte(word)) {
			return f
		}
	}
	p.t.Fatalf("no file with %q in %s", word, path)
	return ""
}

// receive delivers messages at us-east and returns them as they lie in INBOX, trace fields included.
func (p *person) receive(texts ...[]byte) [][]byte {
	p.t.Helper()
	p.Deliver(p.t, usNode, p.address, texts...)
	got := p.mailbox("INBOX")
	expect(p.t, got[max(0, len(got)-len(texts)):], texts...)
	return got
}

// maildir reads the messages of a Maildir, with CRLF line ends, in any order.
func (p *person) maildir(path string) (mails [][]byte) {
	p.t.Helper()
	for _, sub := range []string{"cur", "new"} {
		files, err := filepath.Glob(filepath.Join(p.dir, path, sub, "*"))
		if err != nil {
			p.t.Fatal(err)
		}
		for _, f := range files {
			mails = append(mails, readCRLF(p.t, f))
		}
	}
	return mails
}

func readCRLF(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return lab.Canonical(raw)
}

// same wants two sets of messages to be the same, byte for byte, in any order.
func same(t *testing.T, what string, got, want [][]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d messages, want %d", what, len(got), len(want))
		return
	}
	a, b := slices.SortedFunc(slices.Values(got), bytes.Compare), slices.SortedFunc(slices.Values(want), bytes.Compare)
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			n := 0
			for n < min(len(a[i]), len(b[i])) && a[i][n] == b[i][n] {
				n++
			}
			t.Errorf("%s: byte %d on is %.200q, want %.200q", what, n, a[i][n:], b[i][n:])
		}
	}
}

// without takes a header field that a program adds out of each message, which must have it once.
func without(t *testing.T, field string, mails [][]byte) [][]byte {
	t.Helper()
	line := regexp.MustCompile("(?m)^" + field + ": .*\r\n")
	out := make([][]byte, len(mails))
	for i, m := range mails {
		if n := len(line.FindAll(m, -1)); n != 1 {
			t.Errorf("a message has %d fields %s", n, field)
		}
		out[i] = line.ReplaceAll(m, nil)
	}
	return out
}

// letters are what the programs must carry unharmed: lone dots, long lines, 8-bit text, parts, no body, white space at ends.
func letters() [][]byte {
	long := strings.Repeat("a long line ", 80) // 960 bytes
	parts := "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=_b\"\n\n--=_b\nContent-Type: text/plain; charset=utf-8\n" +
		"Content-Transfer-Encoding: 8bit\n\nDia dhuit, a Mh\u00e9abh\n--=_b\nContent-Type: application/octet-stream\n" +
		"Content-Transfer-Encoding: base64\n\nAAECAwQFBgcICQoLDA0ODw==\n--=_b--\n"
	head := func(n, more string) string {
		return "From: Maeve <maeve@sender.example>\nTo: you@example.com\nSubject: letter " + n + "\nDate: Mon, 2 Mar 2026 10:00:0" + n +
			" +0000\nMessage-ID: <" + n + "@sender.example>\n" + more
	}
	var all [][]byte
	for _, text := range []string{
		head("1", "\nplain\n"),
		head("2", "\n.\n..\n.dot\n\n.\n"),
		head("3", "\n"+long+"\n trailing blanks  \t\n\n\n"),
		head("4", parts),
		head("5", "X-Folded: one\n\ttwo\n   three\n\nFrom here on\n>From there\n"),
	} {
		all = append(all, lab.Canonical([]byte(text)))
	}
	return all
}

// smtpAt returns the port of a node of any region.
func (p *person) smtpAt(node domicile.Node) string { return p.port(p.Node(node).SMTP) }

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
