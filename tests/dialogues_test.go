package tests

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile/imapd/dialogue"
	"domicile/tests/harness"
)

// withEngineAlone are the conversations that a node cannot have, and why.
var withEngineAlone = map[string]string{
	"catenate":          "a mailbox whose UIDVALIDITY is given",
	"rfc4469-catenate":  "a mailbox whose UIDVALIDITY is given",
	"literals":          "a login in literals, of lengths that a node's password has not",
	"rfc9051-6.2-login": "a login in literals, of lengths that a node's password has not",
	"refused":           "accounts that are suspended, or are not let in",
	"unauthenticate":    "an account that is suspended",
}

// TestDialogues holds the conversations of imapd's testdata with a real node: login, residence, permit, journal, keys and all.
func TestDialogues(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../imapd/testdata/*.txt")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d dialogues, %v", len(files), err)
	}
	for name := range withEngineAlone {
		if _, err := os.Stat("../imapd/testdata/" + name + ".txt"); err != nil {
			t.Error(err)
		}
	}
	c := harness.New(t, "--region", "eu-ireland=IE")
	conf := c.Path(c.Node(ieNode).Config)
	toml, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	small := strings.ReplaceAll(string(toml), "[imap]\n", "[imap]\nmax_size = 1048576\n") // as the engine has it there
	if err := os.WriteFile(conf, []byte(small), 0o600); err != nil || small == string(toml) {
		t.Fatalf("no [imap] in %s: %v", toml, err)
	}
	c.StartAll(t)
	for i, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		if withEngineAlone[name] != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			address := fmt.Sprintf("d%02d@example.com", i) // as long as the name in the text
			p := &customer{at: c.Node(ieNode).IMAP, address: address, password: c.Account(t, ireland, address, "IE")}
			if r := c.Ctl(t, ireland, "operator", nil, "account", "quota", address, "--set", "33554432"); r.Code != 0 {
				t.Fatalf("quota: %s", r)
			}
			dialogue.Play(t, string(text), p)
		})
	}
}

// customer is an account of a node.
type customer struct {
	at, address, password string
	own                   net.Conn // beside those of the conversation
	r                     *bufio.Reader
}

func (p *customer) Dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", p.at, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (p *customer) Sent(line string) string {
	plain := func(name, password string) string {
		return base64.StdEncoding.EncodeToString([]byte("\x00" + name + "\x00" + password))
	}
	return strings.NewReplacer("LOGIN "+dialogue.Address+" "+dialogue.Password, "LOGIN "+p.address+" "+p.password,
		`LOGIN "`+dialogue.Address+`" `+dialogue.Password, "LOGIN "+p.address+" "+p.password,
		plain(dialogue.Address, dialogue.Password), plain(p.address, p.password)).Replace(line)
}

// ask says something on a connection of its own, and returns what comes back up to the tagged answer, which must be OK.
func (p *customer) ask(t testing.TB, command string) string {
	t.Helper()
	if p.own == nil {
		p.own = p.Dial(t)
		t.Cleanup(func() { p.own.Close() })
		p.own.SetDeadline(time.Now().Add(3 * time.Minute))
		p.r = bufio.NewReader(p.own)
		p.ask(t, "LOGIN "+p.address+" "+p.password)
	}
	fmt.Fprintf(p.own, "x %s\r\n", command)
	var all strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "x ") && !strings.HasPrefix(line, "x OK") {
			t.Fatalf("%.60q: %q, %v", command, line, err)
		}
		if strings.HasPrefix(line, "x OK") {
			return all.String()
		}
		all.WriteString(line)
	}
}

func (p *customer) Put(t testing.TB, raw string) {
	t.Helper()
	p.ask(t, fmt.Sprintf("APPEND INBOX \"04-Mar-2026 05:06:07 +0000\" {%d+}\r\n%s", len(raw), raw))
}

func (p *customer) Exists(t testing.TB, name string) bool {
	t.Helper()
	return strings.Contains(p.ask(t, fmt.Sprintf("LIST \"\" %q", name)), "* LIST ")
}

func (p *customer) Number(t testing.TB, name string, validity, next uint32) {
	t.Fatal("nobody numbers mailboxes of a node but an import")
}
