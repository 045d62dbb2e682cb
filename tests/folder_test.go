package tests

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/keys"
	"domicile/lab"
	"domicile/store"
	"domicile/store/bolt"
	"domicile/tests/harness"
	"domicile/tests/scan"
)

// TestWrongFolder gives Ireland's data folder to a node of the US: it must refuse to open it, and leave it unharmed.
func TestWrongFolder(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.Launch(t, ieNode)
	c.Halt(t, ieNode)
	out := refuses(t, c, usNode, map[string]string{"data = 'data'": "data = '" + c.Path(c.Node(ieNode).Data) + "'"})
	if !strings.Contains(out, "wrong_region") {
		t.Errorf("us-east was given Ireland's folder and says: %s", out)
	}
	c.Launch(t, ieNode)
}

// TestRootInUS is promise P7: whoever has a copy of Ireland's data folder and every key of the US region, its root key
// included, reads nothing. The same steps with Ireland's root key find the mail: the control.
func TestRootInUS(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	c.Account(t, ireland, "aoife@example.com", "IE")
	word := domicile.NewID("word")
	c.Deliver(t, usNode, "aoife@example.com", letter("kept in Ireland", "The word is "+word+"."))
	c.Halt(t, usNode)
	c.Halt(t, ieNode)
	data := c.Path(c.Node(ieNode).Data)
	stolen := func() string {
		dir := filepath.Join(t.TempDir(), "data")
		if out, err := exec.Command("cp", "-rp", data, dir).CombinedOutput(); err != nil { // keys refuse to open with wider modes
			t.Fatalf("%v: %s", err, out)
		}
		return dir
	}

	if text, err := readAll(t, stolen(), c.Path("eu-ireland/root.key")); err != nil || !strings.Contains(text, word) {
		t.Fatalf("with Ireland's own root key the mail is not read: the search proves nothing (%v)", err)
	}
	if text, err := readAll(t, stolen(), c.Path("us-east/root.key")); err == nil || text != "" {
		t.Errorf("with the US root key %d bytes were read, %v", len(text), err)
	}
	copied := stolen()
	for _, removed := range [][]string{nil, {"journal"}, {"audit", "cosigner"}, {"productions"}} { // ever more of what refuses is taken away
		for _, dir := range removed {
			if err := os.RemoveAll(filepath.Join(copied, dir)); err != nil {
				t.Fatal(err)
			}
		}
		out := refuses(t, c, ieNode, map[string]string{"data = 'data'": "data = '" + copied + "'", "../eu-ireland/root.key": "../us-east/root.key"})
		t.Logf("without %v the node says: %s", removed, out)
	}
	hits, files, err := scan.Tree(copied, word, "aoife")
	if err != nil || len(hits) > 0 || files < 3 {
		t.Errorf("%v in %d files, %v", hits, files, err)
	}
}

// readAll opens a data folder with a root key, without any node, and returns every message in it.
func readAll(t *testing.T, data, rootKey string) (string, error) {
	t.Helper()
	secret, err := keys.LoadSecret(rootKey, data)
	if err != nil {
		return "", err
	}
	ring, err := keys.OpenRing(secret, filepath.Join(data, "keys"))
	if err != nil {
		return "", err
	}
	defer ring.Close()
	s, err := bolt.Open(bolt.Config{Dir: filepath.Join(data, "store"), Region: ireland, Sealer: ring})
	if err != nil {
		return "", err
	}
	defer s.Close()
	accounts, err := s.Accounts(t.Context(), "", store.MaxPage)
	var all strings.Builder
	for _, a := range accounts {
		boxes, err := s.Mailboxes(t.Context(), a.ID)
		if err != nil {
			return all.String(), err
		}
		for _, b := range boxes {
			if err := readBox(t, s, a.ID, b.ID, &all); err != nil {
				return all.String(), err
			}
		}
	}
	return all.String(), err
}

func readBox(t *testing.T, s store.Store, a domicile.AccountID, b domicile.MailboxID, to io.Writer) error {
	for m, err := range store.AllMessages(t.Context(), s, a, b) {
		if err != nil {
			return err
		}
		body, err := s.Body(t.Context(), a, m.ID)
		if err != nil {
			return err
		}
		_, err = io.Copy(to, body)
		body.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// refuses starts a node with an altered copy of its node.toml, which must end with a failure before it is ready. It returns what
// the node said.
func refuses(t *testing.T, c *harness.Cluster, name domicile.Node, change map[string]string) string {
	t.Helper()
	path := c.Path(c.Node(name).Config)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for old, now := range change {
		if !strings.Contains(text, old) {
			t.Fatalf("%s has no %q:\n%s", path, old, text)
		}
		text = strings.Replace(text, old, now, 1)
	}
	altered := filepath.Join(filepath.Dir(path), "altered.toml")
	if err := os.WriteFile(altered, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(altered)
	cmd := exec.CommandContext(t.Context(), harness.Program(t, "mailnode"), "serve", "--config", altered)
	cmd.WaitDelay = 10 * time.Second
	timer := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.CombinedOutput()
	if err == nil || strings.Contains(string(out), `"ready":true`) {
		t.Errorf("%s started with %v: %s", name, change, out)
	}
	return string(out)
}

// TestKilledNodes kills every node at once, again and again, while mail comes in: what was answered with 250 is there
// afterwards, once, and nothing else but messages whose answer was cut off.
func TestKilledNodes(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	password := c.Account(t, ireland, "aoife@example.com", "IE")
	accepted, unsure := map[string]bool{}, map[string]bool{}
	for round := range 3 {
		stop := time.AfterFunc(time.Duration(200+150*round)*time.Millisecond, func() { c.Kill9(t, ieNode) })
		for sending := true; sending; {
			word := domicile.NewID("w")
			code, err := try(t, c, usNode, "aoife@example.com", letter(word, strings.Repeat("x", 2000)))
			switch {
			case code == 250:
				accepted[word] = true
			case lab.Code(err) == 0 || code == 451:
				unsure[word] = true // cut off, or said to be unknown: it may be there
				sending = c.Runs(ieNode)
			default:
				t.Fatalf("%d: %v", code, err)
			}
			sending = sending && c.Runs(ieNode)
		}
		stop.Stop()
		c.Launch(t, ieNode)
	}
	seen := map[string]int{}
	for _, m := range c.Inbox(t, ireland, "aoife@example.com", password) {
		_, rest, _ := strings.Cut(string(m), "\r\nSubject: ")
		subject, _, _ := strings.Cut(rest, "\r\n")
		seen[subject]++
		if !accepted[subject] && !unsure[subject] || seen[subject] > 1 {
			t.Errorf("%q is there %d times; accepted %v", subject, seen[subject], accepted[subject])
		}
	}
	for word := range accepted {
		if seen[word] == 0 {
			t.Errorf("a message that was answered with 250 is lost")
		}
	}
	t.Logf("%d accepted, %d unsure", len(accepted), len(unsure))
}
