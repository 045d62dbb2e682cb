package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"domicile/tests/harness"
	"domicile/tests/scan"
)

// repository is a lab of which Ireland copies itself into a folder.
type repository struct {
	t         *testing.T
	c         *harness.Cluster
	dir       string
	conf      string
	data      string
	passwords map[string]string
}

func newRepository(t *testing.T, more ...string) *repository {
	t.Helper()
	c := harness.New(t, append([]string{"--cool-down", "1s"}, harness.TwoRegions...)...)
	r := &repository{t: t, c: c, dir: filepath.Join(c.Root, "repository"), conf: c.Path(c.Node(ieNode).Config), data: c.Path(c.Node(ieNode).Data), passwords: map[string]string{}}
	f, err := os.OpenFile(r.conf, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(f, "\n[backup]\ndir = '%s'\n%s\n", r.dir, strings.Join(more, "\n"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	c.StartAll(t)
	return r
}

func (r *repository) account(name string) {
	r.t.Helper()
	r.passwords[name] = r.c.Account(r.t, ireland, name+"@example.com", "IE")
}

func (r *repository) deliver(name, marker string) {
	r.t.Helper()
	r.c.Deliver(r.t, usNode, name+"@example.com", letter(marker, marker))
}

// create makes a set, and returns when it was made.
func (r *repository) create() time.Time {
	r.t.Helper()
	got := r.c.Ctl(r.t, ireland, "operator", nil, "backup", "create")
	made, err := time.Parse(time.RFC3339Nano, got.Get("made"))
	if got.Code != 0 || err != nil {
		r.t.Fatalf("backup create: %s", got)
	}
	return made
}

// restore puts a repository into an emptied data folder.
func (r *repository) restore(dir string, more ...string) harness.Result {
	r.t.Helper()
	if err := os.RemoveAll(r.data); err != nil {
		r.t.Fatal(err)
	}
	return r.c.Run(r.t, nil, append([]string{"backup", "restore", dir, "--config", r.conf, "--output", "json"}, more...)...)
}

func (r *repository) restored(dir string, more ...string) {
	r.t.Helper()
	if got := r.restore(dir, more...); got.Code != 0 {
		said, _ := os.ReadFile(filepath.Join(filepath.Dir(r.conf), "node.log"))
		r.t.Fatalf("restore: %s\n%s", got, said)
	}
}

// inbox wants messages with these markers in an INBOX, in this order.
func (r *repository) inbox(name string, want ...string) {
	r.t.Helper()
	got := r.c.Inbox(r.t, ireland, name+"@example.com", r.passwords[name])
	if len(got) != len(want) {
		r.t.Errorf("%s: %d messages, want %d", name, len(got), len(want))
		return
	}
	for i, w := range want {
		if !bytes.Contains(got[i], []byte(w)) {
			r.t.Errorf("%s: message %d has no %q", name, i, w)
		}
	}
}

// upToDate waits until the repository has all that the node had when it was called.
func (r *repository) upToDate() {
	r.t.Helper()
	since := time.Now()
	harness.Eventually(r.t, time.Minute, "the repository to be up to date", func() bool {
		var s struct {
			Copied time.Time
			Sets   []struct{ Made time.Time }
		}
		got := r.c.Ctl(r.t, ireland, "auditor", nil, "backup", "ls")
		return got.Code == 0 && json.Unmarshal(got.Out, &s) == nil && s.Copied.After(since.Add(time.Second)) && len(s.Sets) > 0
	})
}

// copyTo keeps the repository as it is, and the keys that lie beside the root key.
func (r *repository) copyTo(name string) string {
	r.t.Helper()
	dir := filepath.Join(r.c.Root, name)
	if err := os.CopyFS(dir, os.DirFS(r.dir)); err != nil {
		r.t.Fatal(err)
	}
	return dir
}

func (r *repository) erase(name string) {
	r.t.Helper()
	for _, role := range []string{"operator", "legal"} {
		if got := r.c.Ctl(r.t, ireland, role, nil, "account", "rm", name+"@example.com"); got.Code != 0 {
			r.t.Fatalf("account rm as %s: %s", role, got)
		}
	}
}

// TestRepository: a running node is killed, its folder lost, and it comes back from its repository with all mail, and with all that it promised after the
// set from which the restore begins: what moved away stays away, what was erased stays erased, spent tokens stay spent, and no UID means another message.
func TestRepository(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	c := r.c
	for _, name := range []string{"aoife", "ann", "bob"} {
		r.account(name)
		r.deliver(name, "markerearly")
	}
	validity := uidValidity(t, c.Node(ieNode).IMAP, "bob@example.com", r.passwords["bob"])
	r.create()
	if got := c.Run(t, nil, "backup", "show", r.dir, "--output", "json"); got.Code != 0 || got.Get("region") != "eu-ireland" || !strings.Contains(string(got.Out), `"made"`) {
		t.Errorf("show: %s", got)
	}
	early := r.copyTo("early")
	between := time.Now().Add(50 * time.Millisecond)
	time.Sleep(100 * time.Millisecond)

	r.deliver("bob", "markerlate")
	token := c.TreatyToken(t, "bob@example.com")
	order := func() harness.Result {
		return c.Ctl(t, ireland, "legal", nil, "order", "submit", "--token", token, "--target", "bob@example.com")
	}
	if got := order(); got.Code != 0 || got.Get("decision") != "execute" {
		t.Fatalf("order: %s", got)
	} else if got := c.Ctl(t, ireland, "legal", nil, "order", "produce", got.Get("case"), "--to", filepath.Join(c.Root, "production")); got.Code != 0 {
		t.Fatalf("produce: %s", got)
	}
	r.erase("ann")
	id := approvedFor(t, c, ireland, mover, "US")
	harness.Eventually(t, time.Minute, "the move", func() bool { return string(moveOf(t, c, ireland, id).State) == "erased" })
	r.upToDate()
	c.Kill9(t, ieNode)

	if found := readable(t, r.dir, "markerearly", "markerlate", "bob@example"); len(found) > 0 {
		t.Errorf("the repository is readable: %v", found)
	}
	if got := r.restore(early); got.Code != 1 || got.Get("code") != "not_exist" {
		t.Errorf("a copy from before an erasure, with all keys of now: %s", got)
	}
	whole := func(bob ...string) {
		t.Helper()
		c.Launch(t, ieNode)
		c.Met(t, 3)
		r.inbox("bob", bob...)
		if now := uidValidity(t, c.Node(ieNode).IMAP, "bob@example.com", r.passwords["bob"]); now == validity {
			t.Errorf("UIDVALIDITY is still %s", now)
		}
		if got := c.Ctl(t, ireland, "operator", nil, "account", "show", "ann@example.com"); got.Code == 0 {
			t.Errorf("an erased account is back: %s", got)
		}
		if got := c.Ctl(t, ireland, "operator", nil, "account", "show", mover); got.Code == 0 {
			t.Errorf("an account that moved away is back: %s", got)
		}
		if where := c.Ctl(t, ireland, "operator", nil, "account", "where", mover); where.Get("home") != string(usEast) {
			t.Errorf("where: %s", where)
		}
		if got := c.Inbox(t, usEast, mover, r.passwords["aoife"]); len(got) == 0 {
			t.Error("the account that moved has no mail")
		}
		if got := order(); got.Code != 3 || got.Get("refused") != "replayed" {
			t.Errorf("a spent token: %s", got)
		}
		c.Deliver(t, ieNode, mover, letter("to the other region", "x"))
		cosigned(t, c)
	}
	r.restored(r.dir)
	whole("markerearly", "markerlate")
	behind := r.copyTo("behind")
	r.account("carol") // a leaf
	r.deliver("bob", "markerlast")
	cosigned(t, c)
	r.upToDate()
	c.Halt(t, ieNode)
	fsckFolder(t, c, r.data)

	r.restored(behind)
	if said, code := serveAlone(t, c, "no such words", func() { t.Error("it did not end") }); code != 1 || !strings.Contains(said, "log_rolled_back") {
		t.Errorf("a repository that is behind what was cosigned: exit %d\n%s", code, said)
	}
	r.restored(r.dir)
	whole("markerearly", "markerlate", "markerlast")
	// A time of the first line, now two lines ago: the mail of then, and all that was promised in all of them.
	r.upToDate()
	r.verified(r.dir, true)
	c.Halt(t, ieNode)
	r.restored(r.dir, "--at", between.UTC().Format(time.RFC3339Nano))
	whole("markerearly")
	if got := c.Ctl(t, ireland, "operator", nil, "account", "where", "carol@example.com"); got.Code != 4 || !strings.Contains(got.Get("error"), "the registrar names this region") {
		t.Errorf("a name that was given after that time is forgotten: %s", got)
	}
}

// verified looks through a repository without restoring it.
func (r *repository) verified(dir string, valid bool) {
	r.t.Helper()
	got := r.c.Run(r.t, nil, "backup", "verify", dir, "--config", r.conf, "--output", "json")
	if want := map[bool]int{true: 0, false: 1}[valid]; got.Code != want || got.Get("valid") != fmt.Sprint(valid) {
		r.t.Errorf("verify: %s", got)
	}
}

// TestRepositoryAt: the mail as it was at a time, with all promises of later.
func TestRepositoryAt(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	c := r.c
	for _, name := range []string{"aoife", "ann", "bob"} {
		r.account(name)
	}
	r.deliver("bob", "markerone")
	r.create()
	r.deliver("bob", "markertwo")
	bob := login(t, c.Node(ieNode).IMAP, "bob@example.com", r.passwords["bob"])
	flags := []imap.Flag{imap.FlagSeen, imap.FlagFlagged}
	for i := range 30 { // more than letters of Maildir could tell apart
		flags = append(flags, imap.Flag(fmt.Sprintf("$word%02d", i)))
	}
	lay(t, bob, "Projects/Two", flags, time.Date(2019, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600)), letter("kept", "as it was"))
	lay(t, bob, "Drafts", []imap.Flag{imap.FlagDraft}, time.Date(2020, 3, 4, 5, 6, 7, 0, time.UTC), letter("draft", "unsent"))
	note := func(comment *[]byte) {
		t.Helper()
		if err := bob.SetMetadata("", map[string]*[]byte{"/private/comment": comment}).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	note(new([]byte("of bob")))
	if err := bob.Subscribe("Once/Here").Wait(); err != nil {
		t.Fatal(err)
	}
	then := shape(t, bob)
	time.Sleep(20 * time.Millisecond)
	at := time.Now()
	time.Sleep(20 * time.Millisecond)
	r.deliver("bob", "markerthree")
	r.upToDate()
	lay(t, bob, "Projects/Two", nil, time.Now(), letter("later", "later"))
	note(nil)
	if err := bob.Unsubscribe("Once/Here").Wait(); err != nil {
		t.Fatal(err)
	}
	one(r, at, then)
	notes, err := bob.GetMetadata("", []string{"/private/comment"}, nil).Wait()
	if err != nil || notes.Entries["/private/comment"] == nil || string(*notes.Entries["/private/comment"]) != "of bob" {
		t.Errorf("what bob had noted of his account: %+v, %v", notes, err)
	}
	if names, err := bob.List("", "Once/Here", &imap.ListOptions{SelectSubscribed: true}).Collect(); err != nil || len(names) != 1 {
		t.Errorf("a name that no mailbox has: %+v, %v", names, err)
	}
	damaged(r)
	r.erase("ann")
	id := approvedFor(t, c, ireland, mover, "US")
	harness.Eventually(t, time.Minute, "the move", func() bool { return string(moveOf(t, c, ireland, id).State) == "erased" })
	r.upToDate()
	c.Kill9(t, ieNode)
	r.restored(r.dir, "--at", at.UTC().Format(time.RFC3339Nano))
	c.Launch(t, ieNode)
	c.Met(t, 3)
	r.inbox("bob", "markerone", "markertwo")
	for _, gone := range []string{"ann@example.com", mover} {
		if got := c.Ctl(t, ireland, "operator", nil, "account", "show", gone); got.Code == 0 {
			t.Errorf("%s is back: %s", gone, got)
		}
	}
	r.deliver("bob", "markerfour")
	r.inbox("bob", "markerone", "markertwo", "markerfour")

	pruned(r, at)
	backupsAbroad(t, r)
}

// damaged finds a byte that was altered in a copy of the repository, without restoring it.
func damaged(r *repository) {
	r.t.Helper()
	r.verified(r.dir, true)
	for i, pattern := range []string{"account.keys", "lines/*/store/base/*/*", "lines/*/store/segments/*", "lines/*/log/*", "lines/*/sets/*"} {
		bad := r.copyTo(fmt.Sprintf("bad%d", i))
		files, err := filepath.Glob(filepath.Join(bad, filepath.FromSlash(pattern)))
		if err != nil || len(files) == 0 {
			r.t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		raw, err := os.ReadFile(files[0])
		if err != nil {
			r.t.Fatal(err)
		}
		raw[len(raw)/2] ^= 1
		if err := os.WriteFile(files[0], raw, 0o600); err != nil {
			r.t.Fatal(err)
		}
		if pattern == "account.keys" { // nothing can be looked at
			if got := r.c.Run(r.t, nil, "backup", "verify", bad, "--config", r.conf, "--output", "json"); got.Code == 0 {
				r.t.Errorf("verify with damaged keys: %s", got)
			}
			continue
		}
		r.verified(bad, false)
	}
}

// pruned removes what is older than the newest set; a time of before is refused then, and the nearest is named and can be restored.
func pruned(r *repository, before time.Time) {
	r.t.Helper()
	made := r.create()
	r.upToDate()
	dry := r.c.Ctl(r.t, ireland, "operator", nil, "backup", "prune", "--keep-within", "0s", "--dry-run")
	if dry.Code != 0 || !strings.Contains(string(dry.Out), `"removed":[{`) {
		r.t.Errorf("a dry run: %s", dry)
	}
	if got := r.c.Ctl(r.t, ireland, "operator", nil, "backup", "prune", "--keep-within", "0s"); got.Code != 0 || got.Get("bytes") == "0" {
		r.t.Errorf("prune: %s", got)
	}
	if got := r.c.Ctl(r.t, ireland, "auditor", nil, "backup", "prune"); got.Code != 3 || got.Get("refused") != "wrong_role" {
		r.t.Errorf("prune as an auditor: %s", got)
	}
	to := filepath.Join(r.c.Root, "pruned")
	restore := func(at time.Time) harness.Result {
		return r.c.Run(r.t, nil, "backup", "restore", r.dir, "--config", r.conf, "--at", at.UTC().Format(time.RFC3339Nano), "--account", "bob@example.com", "--to", to, "--output", "json")
	}
	nearest := made.UTC().Format("2006-01-02T15:04:05.000Z")
	if got := restore(before); got.Code != 1 || got.Get("code") != "not_exist" || !strings.Contains(got.Get("error"), nearest) {
		r.t.Errorf("a time that is no longer kept: %s, want the nearest named: %s", got, nearest)
	}
	if got := restore(made); got.Code != 0 {
		r.t.Errorf("the set that is kept: %s", got)
	}
	r.verified(r.dir, true)
}

// one writes the mail of one account as of a time while the node runs, and brings it in again.
func one(r *repository, at time.Time, then map[string][]string) {
	r.t.Helper()
	to := filepath.Join(r.c.Root, "bob")
	got := r.c.Run(r.t, nil, "backup", "restore", r.dir, "--config", r.conf, "--at", at.UTC().Format(time.RFC3339Nano), "--account", "bob@example.com", "--to", to, "--output", "json")
	if got.Code != 0 || got.Get("messages") != "4" {
		r.t.Fatalf("restore of one account: %s", got)
	}
	if left, err := os.ReadDir(to); err != nil || len(left) != 2 { // the mail, and what belongs to no mailbox
		r.t.Errorf("it left %v, %v", left, err)
	}
	if got := r.c.Ctl(r.t, ireland, "operator", nil, "account", "import", "bob@example.com", "--from", "maildir:"+to); got.Code != 0 {
		r.t.Fatalf("import: %s", got)
	}
	now := shape(r.t, login(r.t, r.c.Node(ieNode).IMAP, "bob@example.com", r.passwords["bob"]))
	for name, want := range then {
		if got := now["Restored."+name]; fmt.Sprint(got) != fmt.Sprint(want) {
			r.t.Errorf("%s was brought in as\n%q, want\n%q", name, got, want)
		}
	}
}

// backupsAbroad tries the repository in the US.
func backupsAbroad(t *testing.T, r *repository) {
	t.Helper()
	r.c.Halt(t, usNode)
	got := r.c.Run(t, nil, "backup", "restore", r.dir, "--config", r.c.Path(r.c.Node(usNode).Config), "--receipts", r.c.Receipts(), "--output", "json")
	if got.Code != 3 || got.Get("refused") != "wrong_region" || got.Get("receipt") == "" {
		t.Errorf("in the US: %s", got)
	}
	r.c.Launch(t, usNode)
}

// TestRepositoryBehind: a repository that is out of reach for longer than the configuration lets pass shows in health, metrics and backup ls, and no longer once it is back.
func TestRepositoryBehind(t *testing.T) {
	t.Parallel()
	r := newRepository(t, "warn_behind = '2s'")
	r.account("bob")
	r.upToDate()
	health := func() string {
		t.Helper()
		out, err := exec.Command(harness.Program(t, "mailnode"), "health", "--config", r.conf).CombinedOutput()
		if err != nil {
			t.Errorf("health: %v %s", err, out)
		}
		return string(out)
	}
	shown := func(want string) bool {
		_, text := get(t, r.c.Node(ieNode).HTTP, "/metrics")
		return strings.Contains(text, "domicile_backup_behind "+want+"\n")
	}
	if said := health(); strings.Contains(said, "warning") || !shown("0") {
		t.Errorf("a repository that is up to date: %s", said)
	}
	away := r.dir + ".away"
	if err := errors.Join(os.Rename(r.dir, away), os.WriteFile(r.dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	r.deliver("bob", "markerone")
	harness.Eventually(t, time.Minute, "a warning", func() bool {
		return strings.Contains(health(), "warning: the backup repository is behind") && shown("1")
	})
	got := r.c.Ctl(t, ireland, "auditor", nil, "backup", "ls")
	if got.Get("behind") != "true" || got.Get("failed") == "" {
		t.Errorf("ls: %s", got)
	}
	if got := r.c.Ctl(t, ireland, "operator", nil, "backup", "create"); got.Code != 1 {
		t.Errorf("create: %s", got)
	}
	if err := errors.Join(os.Remove(r.dir), os.Rename(away, r.dir)); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, time.Minute, "the warning to go", func() bool { return !strings.Contains(health(), "warning") && shown("0") })
	r.upToDate()
	r.verified(r.dir, true)
}

// TestRepositoryUnderKills: a node that is killed again and again while mail comes in and sets are made loses from its repository nothing that was there when it
// was last up to date, and a lost folder comes back from it.
func TestRepositoryUnderKills(t *testing.T) {
	t.Parallel()
	r := newRepository(t, "every = '1s'")
	r.account("bob")
	var want []string
	for i := range 5 {
		made := make(chan harness.Result, 2)
		create := func() { made <- r.c.Ctl(t, ireland, "operator", nil, "backup", "create") }
		go create()
		for j := range 3 {
			want = append(want, fmt.Sprintf("marker%d-%d", i, j))
			r.deliver("bob", want[len(want)-1])
		}
		if i == 4 {
			r.upToDate()
		}
		if got := <-made; got.Code != 0 {
			t.Errorf("a set while mail comes in: %s", got)
		}
		go create()
		time.Sleep(time.Duration(i*13) * time.Millisecond)
		r.c.Kill9(t, ieNode)
		<-made
		if i < 4 {
			r.c.Launch(t, ieNode)
			r.c.Met(t, 3)
		}
	}
	r.restored(r.dir)
	r.c.Launch(t, ieNode)
	r.c.Met(t, 3)
	r.inbox("bob", want...)
}

// readable lists the files of a folder in which a word is found.
func readable(t *testing.T, dir string, words ...string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, w := range words {
			if len(scan.Bytes(raw, w)) > 0 {
				found = append(found, path+": "+w)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// fsckFolder finds nothing wrong.
func fsckFolder(t *testing.T, c *harness.Cluster, data string) {
	t.Helper()
	got := c.Run(t, nil, "fsck", data, "--root-key", filepath.Join(c.Dir, "eu-ireland", "root.key"), "--pins", c.Path(c.Pins), "--output", "json")
	if got.Code != 0 {
		t.Errorf("fsck of a restored folder: %s", got)
	}
}
