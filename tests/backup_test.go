package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"domicile/lab"
	"domicile/tests/harness"
	"domicile/tests/scan"
)

// serveAlone runs mailnode serve until it ends, or says want: then meanwhile runs, and the node is ended. It returns what it said and its exit code.
func serveAlone(t *testing.T, c *harness.Cluster, want string, meanwhile func()) (said string, code int) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(harness.Program(t, "mailnode"), "serve", "--config", c.Path(c.Node(ieNode).Config))
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	read := func() string { raw, _ := os.ReadFile(log); return string(raw) }
	for deadline := time.Now().Add(time.Minute); ; {
		select {
		case err := <-done:
			if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
				t.Fatal(err)
			}
			return read(), cmd.ProcessState.ExitCode()
		case <-time.After(100 * time.Millisecond):
		}
		if strings.Contains(read(), want) || time.Now().After(deadline) {
			if conn, err := net.Dial("tcp", c.Node(ieNode).SMTP); err == nil {
				conn.Close()
				t.Error("a restored node that nobody has confirmed takes mail")
			}
			meanwhile()
			cmd.Process.Signal(syscall.SIGTERM)
			<-done
			return read(), cmd.ProcessState.ExitCode()
		}
	}
}

// uidValidity is the INBOX's, by IMAP.
func uidValidity(t *testing.T, addr, user, password string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, "a LOGIN "+user+" "+password+"\r\nb STATUS INBOX (UIDVALIDITY)\r\nc LOGOUT\r\n"); err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(conn)
	m := regexp.MustCompile(`UIDVALIDITY (\d+)`).FindSubmatch(said)
	if m == nil {
		t.Fatalf("no UIDVALIDITY: %s", said)
	}
	return string(m[1])
}

// TestBackup: a region's data folder goes into one sealed file and comes back, at home only, and only while nobody has seen more of
// its log than the backup has.
func TestBackup(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	password := c.Account(t, ireland, "aoife@example.com", "IE")
	c.Deliver(t, usNode, "aoife@example.com", []byte("Subject: before\r\n\r\nmarkerbackup1\r\n"))
	before := uidValidity(t, c.Node(ieNode).IMAP, "aoife@example.com", password)
	conf, data, first := c.Path(c.Node(ieNode).Config), c.Path(c.Node(ieNode).Data), filepath.Join(c.Root, "first.backup")
	create := func(to string) {
		t.Helper()
		if got := c.Run(t, nil, "backup", "create", "--config", conf, "--to", to, "--output", "json"); got.Code != 0 || got.Get("region") != "eu-ireland" {
			t.Fatalf("backup: %s", got)
		}
	}
	restore := func(file string) {
		t.Helper()
		if err := os.RemoveAll(data); err != nil {
			t.Fatal(err)
		}
		if got := c.Run(t, nil, "backup", "restore", file, "--config", conf, "--output", "json"); got.Code != 0 {
			t.Fatalf("restore: %s", got)
		}
	}
	if got := c.Run(t, nil, "backup", "create", "--config", conf, "--to", first, "--output", "json"); got.Code != 4 {
		t.Errorf("of a running node: %s", got)
	}
	c.Halt(t, ieNode)
	create(first)
	raw, err := os.ReadFile(first)
	if err != nil || len(scan.Bytes(raw, "markerbackup1")) > 0 || bytes.Contains(raw, []byte("aoife")) {
		t.Fatalf("the backup is readable: %v", err)
	}
	if got := c.Run(t, nil, "backup", "create", "--config", conf, "--to", first, "--output", "json"); got.Code != 1 {
		t.Errorf("over another: %s", got)
	}
	backupAbroad(t, c, first)
	fsck(t, c, data)

	// With a cosigner out of reach nothing is served; SIGTERM ends the waiting.
	c.Halt(t, "witness-1")
	restore(first)
	if out, _ := command(t, "mailnode", "check", "--config", conf); out.Code != 0 || !strings.Contains(out.Err, "warning: ") || !strings.Contains(out.Err, "it was restored from a backup of ") {
		t.Errorf("check of a restored folder: %s", out)
	}
	said, code := serveAlone(t, c, "no answer yet of witness/witness-1", func() {
		s, err := lab.DialSMTP(t.Context(), c.Node(usNode).SMTP)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		err = s.Send("sender@sender.example", []byte("Subject: meanwhile\r\n\r\nhello\r\n"), "aoife@example.com")
		if refused, ok := errors.AsType[*textproto.Error](err); !ok || refused.Code/100 != 4 {
			t.Errorf("mail for a restored node that is not confirmed: %v, want that it is tried again later", err)
		}
	})
	if code != 0 || !strings.Contains(said, "no answer yet of witness/witness-1") {
		t.Errorf("without the witness: exit %d\n%s", code, said)
	}
	c.Launch(t, "witness-1", ieNode)
	c.Met(t, 3)
	got := c.Inbox(t, ireland, "aoife@example.com", password)
	if len(got) != 1 || !bytes.Contains(got[0], []byte("markerbackup1")) {
		t.Errorf("after the restore: %d messages", len(got))
	}
	if after := uidValidity(t, c.Node(ieNode).IMAP, "aoife@example.com", password); after == before {
		t.Errorf("UIDVALIDITY is still %s: UIDs that were given out since the backup would be given out again", after)
	}
	c.Deliver(t, usNode, "aoife@example.com", []byte("Subject: after\r\n\r\nmarkerbackup2\r\n"))
	kinds := c.Ctl(t, ireland, "auditor", nil, "audit", "tail", "-n", "1000")
	for _, kind := range []string{"backup.created", "backup.restored"} {
		if !bytes.Contains(kinds.Out, []byte(kind)) {
			t.Errorf("no leaf %s", kind)
		}
	}
	cosigned(t, c)

	// The node has served since, and the others have seen it: the first backup would forget what was done.
	c.Halt(t, ieNode)
	create(filepath.Join(c.Root, "second.backup"))
	restore(first)
	if said, code := serveAlone(t, c, "no such words", func() { t.Error("it did not end") }); code != 1 || !strings.Contains(said, "log_rolled_back") {
		t.Errorf("rolled back: exit %d\n%s", code, said)
	}
	restore(filepath.Join(c.Root, "second.backup"))
	c.Launch(t, ieNode)
	if got := c.Inbox(t, ireland, "aoife@example.com", password); len(got) != 2 {
		t.Errorf("from the second backup: %d messages", len(got))
	}
}

// fsck finds nothing wrong with a folder, something with one of which a frame of the log was altered or is missing, and needs its root key.
func fsck(t *testing.T, c *harness.Cluster, data string) {
	t.Helper()
	rootKey := filepath.Join(c.Dir, "eu-ireland", "root.key")
	run := func(dir, key string, more ...string) harness.Result {
		return c.Run(t, nil, append([]string{"fsck", dir, "--root-key", key, "--pins", c.Path(c.Pins), "--output", "json"}, more...)...)
	}
	if got := run(data, rootKey); got.Code != 0 || got.Get("checked") != "[store journal audit]" {
		t.Errorf("a sound folder: %s", got)
	}
	if got := run(data, filepath.Join(c.Dir, "us-east", "root.key")); got.Code == 0 {
		t.Errorf("under another root key: %s", got)
	}
	if got := run(c.Dir, rootKey); got.Code == 0 {
		t.Errorf("no data folder: %s", got)
	}
	copied := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(copied, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	if got := run(copied, rootKey, "--rebuild-index", "--repair"); got.Code != 0 || got.Get("mended") != "" {
		t.Errorf("a new index of a sound store: %s", got)
	}
	segments, err := filepath.Glob(filepath.Join(copied, "store", "segments", "*.seg"))
	if err != nil || len(segments) != 1 {
		t.Fatalf("segments: %v, %v", segments, err)
	}
	raw, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(segments[0], raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(copied, rootKey); got.Code != 1 || !strings.Contains(got.Get("error"), "store of ") {
		t.Errorf("an altered frame: %s", got)
	}
	if got := run(copied, rootKey, "--rebuild-index"); got.Code != 1 || !strings.Contains(got.Get("error"), "the old one stays") {
		t.Errorf("a new index of an altered log: %s", got)
	}
	if err := os.Remove(segments[0]); err != nil {
		t.Fatal(err)
	}
	if got := run(copied, rootKey); got.Code != 1 {
		t.Errorf("a missing segment: %s", got)
	}
}

// cosigned waits until all have cosigned the Irish log as it is.
func cosigned(t *testing.T, c *harness.Cluster) {
	t.Helper()
	harness.Eventually(t, time.Minute, "the log to be cosigned", func() bool {
		var leaves []struct{ Index uint64 }
		tail := c.Ctl(t, ireland, "auditor", nil, "audit", "tail", "-n", "1")
		if tail.Code != 0 || json.Unmarshal(tail.Out, &leaves) != nil || len(leaves) != 1 {
			return false
		}
		proof := c.Ctl(t, ireland, "auditor", nil, "audit", "prove", "0")
		return proof.Code == 0 && strings.Count(proof.Get("cosigners"), "domicile/") == 2
	})
}

// backupAbroad tries an Irish backup in the US: with the US node's own configuration, and with one that claims to be Ireland's and
// has the US root key.
func backupAbroad(t *testing.T, c *harness.Cluster, file string) {
	t.Helper()
	conf := c.Path(c.Node(usNode).Config)
	c.Halt(t, usNode)
	got := c.Run(t, nil, "backup", "restore", file, "--config", conf, "--receipts", c.Receipts(), "--output", "json")
	if got.Code != 3 || got.Get("refused") != "wrong_region" || got.Get("receipt") == "" {
		t.Fatalf("in the US: %s", got)
	}
	if v := c.Run(t, nil, "receipt", "verify", got.Get("receipt"), "--pins", c.Path(c.Pins), "--output", "json"); v.Code != 0 || v.Get("valid") != "true" {
		t.Errorf("the receipt of the refusal: %s", v)
	}
	text, err := os.ReadFile(c.Path(c.Node(ieNode).Config))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(c.Dir, "claimed")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	claimed := filepath.Join(dir, "node.toml")
	lie := strings.Replace(string(text), "'../eu-ireland/root.key'", "'../us-east/root.key'", 1)
	lie = strings.Replace(lie, "'identity.pem'", "'../eu-ireland-1/identity.pem'", 1)
	if lie == string(text) {
		t.Fatal("the configuration names no root key")
	}
	if err := os.WriteFile(claimed, []byte(lie), 0o600); err != nil {
		t.Fatal(err)
	}
	got = c.Run(t, nil, "backup", "restore", file, "--config", claimed, "--output", "json")
	if got.Code != 1 || got.Get("code") != "not_exist" { // the period's key is beside Ireland's root key
		t.Errorf("with the US root key: %s", got)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "data")); len(left) > 0 {
		t.Errorf("it left %d files", len(left))
	}
	c.Launch(t, usNode)
}
