package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"domicile/tests/harness"
)

// The tests of account import bring mail in by the binary, and look at what came of it over IMAP.

// bring runs account import for a person.
func (p *person) bring(from string, words ...string) harness.Result {
	p.t.Helper()
	return p.Ctl(p.t, ireland, "operator", nil, append([]string{"account", "import", p.address, "--from", from}, words...)...)
}

// imported is what account import says, as far as tests look at it.
type imported struct {
	Messages, Present, Imported int
	Skipped                     map[string]int
	Mailboxes                   []struct{ From, To string }
	Problems                    []struct{ Mailbox, Message, Code string }
	Leaf                        *uint64
}

// want runs account import, and wants its exit code, and how many it brought in and found there.
func (p *person) want(code, brought, present int, from string, words ...string) imported {
	p.t.Helper()
	r := p.bring(from, words...)
	var v imported
	if err := json.Unmarshal(r.Out, &v); err != nil || r.Code != code || v.Imported != brought || v.Present != present {
		p.t.Errorf("import from %s: want exit %d, %d brought in, %d there: %v\n%s", from, code, brought, present, err, r)
	}
	return v
}

// login logs in to a server of the tests.
func login(t *testing.T, addr, user, password string) *imapclient.Client {
	t.Helper()
	c, err := imapclient.DialInsecure(addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Login(user, password).Wait(); err != nil {
		t.Fatal(err)
	}
	return c
}

// lay puts a message into a mailbox, which is made if absent.
func lay(t *testing.T, c *imapclient.Client, mailbox string, flags []imap.Flag, at time.Time, text []byte) {
	t.Helper()
	c.Create(mailbox, nil).Wait() // it may be there
	cmd := c.Append(mailbox, int64(len(text)), &imap.AppendOptions{Flags: flags, Time: at})
	_, err := cmd.Write(text)
	if err == nil {
		err = cmd.Close()
	}
	if err == nil {
		_, err = cmd.Wait()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// shape is all that a client can see of an account, but UIDs: for each mailbox, with "." for every level, its messages.
func shape(t *testing.T, c *imapclient.Client) map[string][]string {
	t.Helper()
	boxes, err := c.List("", "*", nil).Collect()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, b := range boxes {
		if slices.Contains(b.Attrs, imap.MailboxAttrNoSelect) {
			continue
		}
		data, err := c.Select(b.Mailbox, &imap.SelectOptions{ReadOnly: true}).Wait()
		if err != nil {
			t.Fatal(err)
		}
		name := strings.ReplaceAll(b.Mailbox, "/", ".")
		out[name] = nil
		if data.NumMessages == 0 {
			continue
		}
		msgs, err := c.Fetch(imap.UIDSet{imap.UIDRange{Start: 1}}, &imap.FetchOptions{UID: true, Flags: true, InternalDate: true,
			BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect()
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(msgs, func(a, b *imapclient.FetchMessageBuffer) int { return int(a.UID) - int(b.UID) })
		for _, m := range msgs {
			var flags []string
			for _, f := range m.Flags {
				if f != "\\Recent" {
					flags = append(flags, string(f))
				}
			}
			slices.Sort(flags)
			out[name] = append(out[name], fmt.Sprint(flags, m.InternalDate.UTC().Format(time.DateTime), " ", string(m.BodySection[0].Bytes)))
		}
	}
	return out
}

// shape is that of the person's account, without mailboxes that have no mail and that every account has.
func (p *person) shape() map[string][]string {
	p.t.Helper()
	return filled(shape(p.t, login(p.t, p.Home(ireland).IMAP, p.address, p.password)))
}

func filled(all map[string][]string) map[string][]string {
	maps.DeleteFunc(all, func(name string, messages []string) bool { return len(messages) == 0 })
	return all
}

// alike wants two accounts to be the same.
func alike(t *testing.T, what string, got, want map[string][]string) {
	t.Helper()
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%s:\ngot  %.3000q\nwant %.3000q", what, got, want)
	}
}

var longAgo = time.Date(2019, 3, 4, 5, 6, 7, 0, time.UTC)

// TestImportMaildir brings a Maildir with folders in: with flags, keywords and dates, and bytes as they were behind line ends.
func TestImportMaildir(t *testing.T) {
	p := newPerson(t, "maildir")
	want := map[string][]string{}
	for i, text := range letters() {
		folder, name, flags := "", "INBOX", "[$Work \\Flagged \\Seen]"
		if i > 2 {
			folder, name = ".Sent.2019", "Sent.2019"
			flags = "[\\Flagged \\Seen]" // the keywords of another folder are its own
		}
		at := longAgo.Add(time.Duration(i) * time.Hour)
		path := p.file(filepath.Join("mail", folder, "cur", strconv.FormatInt(at.Unix(), 10)+".M1P1.host:2,FSa"), "")
		write(t, path, bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
		want[name] = append(want[name], fmt.Sprint(flags, at.Format(time.DateTime), " ", string(text)))
	}
	p.file("mail/dovecot-keywords", "0 $Work\n")
	write(t, p.file("mail/new/1700000000.M1P1.host", ""), []byte("CRYPTED\x03\x07\x00 by mail_crypt"))
	from := "maildir:" + filepath.Join(p.dir, "mail")

	p.want(0, 0, 0, from, "--dry-run")
	alike(t, "after a dry run", p.shape(), map[string][]string{})
	v := p.want(1, len(letters()), 0, from)
	if v.Skipped["unreadable"] != 1 || len(v.Problems) != 1 || v.Leaf == nil {
		t.Errorf("what is encrypted: %+v", v)
	}
	alike(t, "brought in", p.shape(), want)
	p.want(1, 0, len(letters()), from)
	alike(t, "once more", p.shape(), want)

	// What the owner has deleted does not come back; what is new comes.
	p.imap("INBOX", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE")
	write(t, p.file("mail/new/1800000000.M1P1.host", ""), []byte("Subject: new\r\n\r\n"))
	p.want(1, 1, len(letters()), from, "--exclude", "Sent/2018")
	if got := p.shape()["INBOX"]; len(got) != 3 || !strings.HasSuffix(got[2], "Subject: new\r\n\r\n") {
		t.Errorf("INBOX: %q", got)
	}
}

// TestImportMbox brings a folder of mboxes in, whose "From " lines are quoted as mboxrd has it.
func TestImportMbox(t *testing.T) {
	p := newPerson(t, "mbox")
	var file bytes.Buffer
	want := map[string][]string{}
	for i, text := range letters() {
		at := longAgo.Add(time.Duration(i) * time.Hour)
		fmt.Fprintf(&file, "From someone %s\nStatus: RO\nX-Status: F\nX-Keywords: $Work\n", at.Format(time.ANSIC))
		for line := range bytes.Lines(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))) {
			if bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
				file.WriteString(">")
			}
			file.Write(line)
		}
		file.WriteString("\n")
		want["Old.2019"] = append(want["Old.2019"], fmt.Sprint("[$Work \\Flagged \\Seen]", at.Format(time.DateTime), " ", string(text)))
	}
	write(t, p.file("mail/Archive.sbd/2019", ""), file.Bytes())
	from := "mbox:" + filepath.Join(p.dir, "mail")
	p.want(0, len(letters()), 0, from, "--folder", "Archive=Old")
	alike(t, "brought in", p.shape(), want)
	p.want(0, 0, len(letters()), "mboxrd:"+filepath.Join(p.dir, "mail"), "--folder", "Archive=Old")
	alike(t, "once more", p.shape(), want)
}

// TestImportServer brings an account of us-east in over IMAPS, as from another provider.
func TestImportServer(t *testing.T) {
	p := newPerson(t, "newcomer")
	old := "leaver@example.com"
	password := p.Account(t, usEast, old, "US")
	source := login(t, p.Home(usEast).IMAP, old, password)
	for i, text := range letters() {
		lay(t, source, []string{"INBOX", "Projects/Ideas", "Sent"}[i%3], []imap.Flag{"\\Seen", "$Work"}, longAgo.Add(time.Duration(i)*time.Hour), text)
	}
	lay(t, source, "Empty", nil, longAgo, []byte("not to be brought in\r\n"))
	p.file("password", password+"\n")
	host, port, err := net.SplitHostPort(p.Home(usEast).IMAPS)
	if err != nil {
		t.Fatal(err)
	}
	words := []string{"--password-file", filepath.Join(p.dir, "password"), "--source-ca", p.Path(p.CA[string(usEast)]), "--exclude", "Empt*"}
	from := "imaps://" + old + "@" + host + ":" + port
	p.want(0, 5, 0, from, words...)
	want := filled(shape(t, source))
	delete(want, "Empty")
	alike(t, "brought in", p.shape(), want)
	lay(t, source, "INBOX", nil, longAgo, []byte("Subject: late\r\n\r\n"))
	p.want(0, 1, 5, from, words...)
	want = filled(shape(t, source))
	delete(want, "Empty")
	alike(t, "what came since", p.shape(), want)

	write(t, p.file("wrong", ""), []byte("not the password"))
	if r := p.bring(from, append(words, "--password-file", filepath.Join(p.dir, "wrong"))...); r.Code != 1 || !strings.Contains(string(r.Out), "does not let") {
		t.Errorf("a wrong password: %s", r)
	}
	if r := p.bring(from, "--password-file", filepath.Join(p.dir, "password")); r.Code != 1 || !strings.Contains(string(r.Out), "certificate") {
		t.Errorf("an unknown certificate: %s", r)
	}
	r := p.Ctl(t, usEast, "operator", nil, "account", "import", p.address, "--from", "imap://"+old+"@"+p.Home(usEast).IMAP, "--password-file", filepath.Join(p.dir, "password"))
	if r.Code != 3 || r.Get("refused") != "wrong_region" || r.Get("receipt") == "" {
		t.Errorf("brought in at another region than its home: %s", r)
	}
}

// TestImportDovecot brings mail in from Dovecot, over IMAP and from its own files: what a client sees is the same.
func TestImportDovecot(t *testing.T) {
	dovecot := harness.Need(t, "dovecot", "apt-get install dovecot-imapd")
	p := newPerson(t, "dovecot")
	addr := p.startDovecot(dovecot)
	source := login(t, addr, "ann", "secret")
	for i, text := range letters() {
		lay(t, source, []string{"INBOX", "Entwürfe.Alt", "Sent Items", "R&D"}[i%4], []imap.Flag{"\\Seen", "\\Answered", "$Label1"}, longAgo.Add(time.Duration(i)*time.Hour), text)
	}
	if err := source.Subscribe("Entwürfe.Alt").Wait(); err != nil {
		t.Fatal(err)
	}
	for i, box := range []string{"INBOX", "Entwürfe.Alt", "Sent Items", "R&D"} { // both servers number mailboxes by the time: here no two get the same
		p.run(nil, "doveadm", "-c", filepath.Join(p.dir, "dovecot/dovecot.conf"), "mailbox", "update", "-u", "ann", "--uid-validity", strconv.Itoa(1000+i), box)
	}
	lay(t, source, "INBOX", []imap.Flag{"\\Draft", "Own-Word"}, longAgo, bytes.Repeat([]byte("0123456789\r\n"), 200000)) // 2.4 MB
	if _, err := source.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := source.Store(imap.UIDSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{"\\Deleted"}}, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if err := source.Expunge().Close(); err != nil {
		t.Fatal(err)
	}
	want := shape(t, source)
	want["Sent"] = want["Sent Items"] // it is marked \Sent, and so is the account's own
	delete(want, "Sent Items")
	p.file("password", "secret\n")
	p.want(0, 5, 0, "imap://ann@"+addr, "--password-file", filepath.Join(p.dir, "password"))
	alike(t, "over IMAP", p.shape(), filled(want))

	q := newPersonHere(t, "dovecotfiles", p.dir)
	q.want(0, 5, 0, "maildir:"+filepath.Join(p.dir, "dovecot/mail/ann"), "--folder", "Sent Items=Sent", "--keep-uids")
	alike(t, "from its Maildir", q.shape(), filled(want))
	if got, want := numbers(t, login(t, p.Home(ireland).IMAP, q.address, q.password)), numbers(t, source); got != want {
		t.Errorf("UIDs are %s, and were %s", got, want)
	}
	if v := p.want(1, 0, 0, "maildir:"+filepath.Join(p.dir, "dovecot/mail/ann"), "--folder", "Sent Items=Sent", "--keep-uids"); v.Skipped["uids_in_use"] != 5 {
		t.Errorf("UIDs of mailboxes with mail: %+v", v)
	}
	subscribed := strings.Join(q.imap("INBOX", `LIST (SUBSCRIBED) "" "*"`), "\n")
	if !strings.Contains(subscribed, "Entw") || strings.Contains(subscribed, "R&-D") {
		t.Errorf("subscriptions: %s", subscribed)
	}
}

// numbers are UIDVALIDITY and UIDs of INBOX.
func numbers(t *testing.T, c *imapclient.Client) string {
	t.Helper()
	data, err := c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := c.Fetch(imap.UIDSet{imap.UIDRange{Start: 1}}, &imap.FetchOptions{UID: true}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	uids := []string{fmt.Sprint("UIDVALIDITY ", data.UIDValidity, ":")}
	for _, m := range msgs {
		uids = append(uids, fmt.Sprint(m.UID))
	}
	return strings.Join(uids, " ")
}

// newPersonHere is another account, of a test that runs already.
func newPersonHere(t *testing.T, name, dir string) *person {
	t.Helper()
	c := harness.Shared(t)
	p := &person{Cluster: c, t: t, address: name + "@example.com", dir: dir, at: c.Home(ireland)}
	p.password = c.Account(t, ireland, p.address, "IE")
	return p
}

// startDovecot runs a Dovecot of the test's own for user ann, with password secret, and returns its address.
func (p *person) startDovecot(dovecot string) string {
	p.t.Helper()
	owner, err := user.Lookup("mail")
	if err != nil || os.Getuid() != 0 {
		p.t.Fatalf("Dovecot wants root, and a user mail: %v", err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	port := p.port(l.Addr().String())
	l.Close()
	conf := p.file("dovecot/dovecot.conf", `base_dir = $DIR/dovecot/run
state_dir = $DIR/dovecot/state
log_path = $DIR/dovecot/log
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
default_internal_user = mail
default_internal_group = mail
default_login_user = mail
first_valid_uid = 1
mail_location = maildir:$DIR/dovecot/mail/%u
namespace inbox {
  inbox = yes
  separator = .
  mailbox "Sent Items" {
    special_use = \Sent
  }
}
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=mail gid=mail home=$DIR/dovecot/mail/%u
}
service imap-login {
  chroot =
  inet_listener imap {
    port = `+port+`
  }
  inet_listener imaps {
    port = 0
  }
}
service anvil {
  chroot =
}
service stats {
  chroot =
}
`)
	for dir := p.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) { // Dovecot's user must get to its files
		if err := os.Chmod(dir, 0o755); err != nil {
			p.t.Fatal(err)
		}
	}
	mail := filepath.Join(p.dir, "dovecot/mail")
	if err := os.Mkdir(mail, 0o755); err != nil {
		p.t.Fatal(err)
	}
	for _, dir := range []string{mail, filepath.Dir(mail)} {
		if err := os.Chown(dir, uid, gid); err != nil {
			p.t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			p.t.Fatal(err)
		}
	}
	cmd := exec.Command(dovecot, "-F", "-c", conf)
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		cmd.Wait()
	})
	addr := "127.0.0.1:" + port
	harness.Eventually(p.t, time.Minute, "Dovecot", func() bool {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return addr
}

// TestImportKilled kills mailctl, and the node, at any instant of an import. Run again until it says that all is there, nothing is
// lost, altered or doubled.
func TestImportKilled(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	p := &person{Cluster: c, t: t, address: "killed@example.com", dir: t.TempDir(), at: c.Home(ireland)}
	p.password = c.Account(t, ireland, p.address, "IE")
	const count = 300
	random := rand.New(rand.NewPCG(4, 2))
	want := map[string][]string{}
	for i := range count {
		at := longAgo.Add(time.Duration(i) * time.Minute)
		text := fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", i, strings.Repeat(strconv.Itoa(i)+" ", random.IntN(4000)))
		name, folder := "INBOX", ""
		if i%3 == 0 {
			name, folder = "Work", ".Work"
		}
		write(t, p.file(filepath.Join("mail", folder, "cur", strconv.FormatInt(at.Unix(), 10)+".M1.host:2,S"), ""), []byte(text))
		want[name] = append(want[name], fmt.Sprint("[\\Seen]", at.Format(time.DateTime), " ", text))
	}
	from := "maildir:" + filepath.Join(p.dir, "mail")
	who := c.Who(ireland, "operator")
	words := []string{"account", "import", p.address, "--from", from, "--node", c.Home(ireland).Admin, "--identity", c.Path(who.Identity), "--limit-rate", "1M"}
	for i := range 5 {
		cmd := exec.Command(harness.Program(t, "mailctl"), words...)
		said := &bytes.Buffer{}
		cmd.Stderr, cmd.Stdout = said, io.Discard
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(200+random.IntN(1200)) * time.Millisecond)
		if i == 2 { // the node instead: mailctl goes on by itself
			c.Kill9(t, ieNode)
			c.Launch(t, ieNode)
			time.Sleep(2 * time.Second)
		}
		cmd.Process.Kill()
		cmd.Wait()
		t.Logf("killed after: %s", said)
	}
	r := p.bring(from)
	if r.Code != 0 {
		t.Fatalf("%s", r)
	}
	alike(t, "behind all kills", p.shape(), want)
	p.want(0, 0, count, from)
}
