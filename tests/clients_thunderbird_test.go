package tests

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"domicile/tests/harness"
)

//go:embed clients_thunderbird.js
var thunderbirdSteps string

// TestThunderbird drives Thunderbird without a screen, by its own automation (Marionette): an account is set up, mail is read byte for byte,
// marked, moved, filed and searched, and new mail shows up by itself.
func TestThunderbird(t *testing.T) {
	program := harness.Need(t, "thunderbird", "apt-get install thunderbird")
	p := newPerson(t, "thunderbird")
	b := startThunderbird(t, p, program)
	stored := p.receive(letters()...)

	port, _ := strconv.Atoi(p.fill("$IMAPS"))
	raw, err := os.ReadFile(p.ca)
	if err != nil {
		t.Fatal(err)
	}
	ca, _ := pem.Decode(raw)
	folders := b.step("account", map[string]any{"host": "localhost", "port": port, "address": p.address, "password": p.password,
		"ca": base64.StdEncoding.EncodeToString(ca.Bytes)})
	for _, name := range []string{"INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"} {
		if !strings.Contains(string(folders), `"`+name+`"`) {
			t.Errorf("no folder %s among %s", name, folders)
		}
	}
	same(t, "read", b.fetch("INBOX", len(stored)), stored)

	b.step("mark", map[string]any{"name": "INBOX", "at": 0})
	b.step("create", map[string]any{"name": "Cases"})
	b.step("move", map[string]any{"name": "INBOX", "at": 1, "to": "Cases"})
	draft := letters()[2]
	path := filepath.Join(p.dir, "draft.eml")
	write(t, path, draft)
	b.step("file", map[string]any{"path": path, "to": "Drafts"})
	eventually(t, "the marks are on the server", func() bool {
		f := p.flags("INBOX")
		return len(f) == len(stored)-1 && strings.Contains(f[0], `\Seen`) && strings.Contains(f[0], `\Flagged`) && strings.Contains(f[0], "$label1")
	})
	same(t, "moved", p.mailbox("Cases"), stored[1:2])
	same(t, "filed", p.mailbox("Drafts"), [][]byte{draft})

	p.receive(letters()[0])
	var subjects []string
	json.Unmarshal(b.step("arrive", map[string]any{"name": "INBOX", "count": len(stored)}), &subjects)
	if !slices.Contains(subjects[len(subjects)-1:], "letter 1") {
		t.Errorf("came by itself: %q", subjects)
	}
	if got := string(b.step("search", map[string]any{"name": "INBOX", "text": "From here on"})); got != `["letter 5"]` {
		t.Errorf("found: %s", got)
	}
}

// eventually waits for what a program does in its own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 600 {
		if ok() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("waited in vain until %s", what)
}

// thunderbird is a running one, over its automation: frames "length:[0,id,command,parameters]".
type thunderbird struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	id   int
}

func startThunderbird(t *testing.T, p *person, program string) *thunderbird {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(addr)
	var prefs bytes.Buffer
	for name, value := range map[string]string{
		"marionette.port": port, "app.update.enabled": "false", "datareporting.policy.dataSubmissionEnabled": "false",
		"network.proxy.type": "1", "network.proxy.http": `"127.0.0.1"`, "network.proxy.http_port": "9", "network.proxy.ssl": `"127.0.0.1"`,
		"network.proxy.ssl_port": "9", "mail.provider.suppress_dialog_on_startup": "true", "mailnews.start_page.enabled": "false",
		"network.proxy.no_proxies_on": `"localhost"`, "network.proxy.allow_hijacking_localhost": "false",
		"mail.server.default.autosync_offline_stores": "false", "mailnews.auto_config.guess.enabled": "false",
	} {
		fmt.Fprintf(&prefs, "user_pref(%q, %s);\n", name, value)
	}
	profile := filepath.Dir(p.file("profile/user.js", ""))
	write(t, filepath.Join(profile, "user.js"), prefs.Bytes())
	log, err := os.Create(filepath.Join(p.dir, "thunderbird.log"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	cmd := exec.CommandContext(ctx, program, "--headless", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile", profile)
	cmd.Env, cmd.Dir = append(os.Environ(), "HOME="+p.dir, "LC_ALL=C.UTF-8"), p.dir
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = log, log, 5*time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		log.Close()
	})
	b := &thunderbird{t: t}
	eventually(t, "Thunderbird can be driven", func() bool {
		b.conn, err = net.Dial("tcp", addr)
		return err == nil
	})
	t.Cleanup(func() { b.conn.Close() })
	b.conn.SetDeadline(time.Now().Add(5 * time.Minute))
	b.r = bufio.NewReader(b.conn)
	b.frame() // its greeting
	b.command("WebDriver:NewSession", map[string]any{})
	b.command("Marionette:SetContext", map[string]any{"value": "chrome"})
	b.command("WebDriver:SetTimeouts", map[string]any{"script": 120000})
	return b
}

func (b *thunderbird) frame() (f []json.RawMessage) {
	b.t.Helper()
	n, err := b.r.ReadString(':')
	if err != nil {
		b.t.Fatal(err)
	}
	size, err := strconv.Atoi(strings.TrimSuffix(n, ":"))
	if err != nil || size > 64<<20 {
		b.t.Fatalf("a frame of %q bytes", n)
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(b.r, raw); err != nil {
		b.t.Fatal(err)
	}
	json.Unmarshal(raw, &f) // the greeting is none
	return f
}

func (b *thunderbird) command(name string, params map[string]any) json.RawMessage {
	b.t.Helper()
	b.id++
	raw, err := json.Marshal([]any{0, b.id, name, params})
	if err != nil {
		b.t.Fatal(err)
	}
	fmt.Fprintf(b.conn, "%d:%s", len(raw), raw)
	f := b.frame()
	if len(f) != 4 || string(f[2]) != "null" {
		b.t.Fatalf("%s: %s", name, f)
	}
	return f[3]
}

// step runs one step of clients_thunderbird.js.
func (b *thunderbird) step(name string, arg map[string]any) json.RawMessage {
	b.t.Helper()
	raw := b.command("WebDriver:ExecuteAsyncScript", map[string]any{"script": thunderbirdSteps, "args": []any{name, arg}, "scriptTimeout": 120000, "newSandbox": true})
	var answer struct {
		Value struct {
			Value json.RawMessage
			Error string
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Value.Error != "" {
		b.t.Fatalf("%s: %v %s", name, err, answer.Value.Error)
	}
	return answer.Value.Value
}

// fetch returns the messages of a folder, with CRLF.
func (b *thunderbird) fetch(name string, count int) (mails [][]byte) {
	b.t.Helper()
	var all []string
	if err := json.Unmarshal(b.step("fetch", map[string]any{"name": name, "count": count}), &all); err != nil {
		b.t.Fatal(err)
	}
	for _, text := range all {
		var mail []byte
		for piece := range strings.Lines(text) {
			raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(piece))
			if err != nil {
				b.t.Fatal(err)
			}
			mail = append(mail, raw...)
		}
		mails = append(mails, mail)
	}
	return mails
}
