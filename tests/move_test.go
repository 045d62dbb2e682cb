package tests

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"domicile"
	"domicile/keys"
	"domicile/move"
	"domicile/store"
	"domicile/store/bolt"
	"domicile/tests/harness"
	"domicile/tests/netlink"
	"domicile/tests/scan"
)

const mover = "aoife@example.com"

// other is the region at the other end of a move.
func other(r domicile.Region) domicile.Region {
	return map[domicile.Region]domicile.Region{ireland: usEast, usEast: ireland}[r]
}

// second runs mailctl as a region's second operator.
func second(t *testing.T, c *harness.Cluster, r domicile.Region, words ...string) harness.Result {
	t.Helper()
	first := c.Who(r, "operator")
	for _, o := range c.Operators {
		if o.Region == r && slices.Contains(o.Roles, "operator") && o.Name != first.Name {
			return c.Run(t, nil, append(words, "--node", c.Home(r).Admin, "--identity", c.Path(o.Identity), "--receipts", c.Receipts(), "--output", "json")...)
		}
	}
	t.Fatalf("%s has one operator only", r)
	return harness.Result{}
}

// approved declares the mover's residence and has it approved after its cool-down. It returns the change.
func approved(t *testing.T, c *harness.Cluster, at domicile.Region, country string) string {
	t.Helper()
	return approvedFor(t, c, at, mover, country)
}

func approvedFor(t *testing.T, c *harness.Cluster, at domicile.Region, address, country string) string {
	t.Helper()
	declared := c.Ctl(t, at, "operator", nil, "residence", "declare", address, "--country", country, "--evidence", "bank="+country, "--evidence", "tax="+country)
	if declared.Code != 0 || declared.Get("state") != "cooling" {
		t.Fatalf("residence declare: %s", declared)
	}
	id := declared.Get("id")
	if own := c.Ctl(t, at, "operator", nil, "residence", "approve", id); own.Code != 3 || own.Get("refused") != "self_approval" {
		t.Errorf("who asked for it approves it: %s", own)
	}
	harness.Eventually(t, time.Minute, "the end of the cool-down", func() bool {
		r := second(t, c, at, "residence", "approve", id)
		if r.Code != 0 && r.Get("refused") != "cooling_down" {
			t.Fatalf("residence approve: %s", r)
		}
		return r.Code == 0
	})
	return id
}

// moveOf is one side's word on a move; zero if it does not know it or does not answer.
func moveOf(t *testing.T, c *harness.Cluster, at domicile.Region, id string) (i move.Info) {
	t.Helper()
	if r := c.Ctl(t, at, "auditor", nil, "move", "show", id); r.Code == 0 {
		if err := json.Unmarshal(r.Out, &i); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

// serving says whether a region says that it serves the account.
func serving(t *testing.T, c *harness.Cluster, at domicile.Region) bool {
	t.Helper()
	r := c.Ctl(t, at, "operator", nil, "account", "show", mover)
	return r.Code == 0 && r.Get("state") == "active"
}

// atRest is all that the store of a region that is halted holds of an account, HIGHESTMODSEQ and tombstones included, and its
// consistency check.
func atRest(t *testing.T, c *harness.Cluster, r domicile.Region) string {
	t.Helper()
	data := c.Path(c.Home(r).Data)
	secret, err := keys.LoadSecret(c.Path(string(r)+"/root.key"), data)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keys.OpenRing(secret, filepath.Join(data, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	defer ring.Close()
	s, err := bolt.Open(bolt.Config{Dir: filepath.Join(data, "store"), Region: r, Sealer: ring})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	a, err := s.AccountByAddress(t.Context(), mover)
	if domicile.KindOf(err) == domicile.NotExist {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fmt.Fprintln(&out, a.ID, a.Password, a.Class, a.Quota, a.Created)
	boxes, err := s.Mailboxes(t.Context(), a.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range boxes {
		changes, err := s.Changes(t.Context(), a.ID, b.ID, 1, "", store.MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%+v gone %v\n", b, changes.Vanished)
		for _, m := range changes.Changed {
			fmt.Fprintf(&out, "  %+v %s\n", m, digest(t, s, a.ID, m.ID))
		}
	}
	return out.String()
}

func digest(t *testing.T, s store.Store, a domicile.AccountID, m domicile.MessageID) string {
	t.Helper()
	r, err := s.Body(t.Context(), a, m)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// looker is a mail client that keeps what it was told.
type looker struct {
	t    *testing.T
	c    *imapclient.Client
	conn net.Conn
}

func enter(t *testing.T, addr, password string) *looker {
	t.Helper()
	var r *looker
	harness.Eventually(t, time.Minute, "a login", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		r = &looker{t: t, c: imapclient.New(conn, nil), conn: conn}
		err = r.c.Login(mover, password).Wait()
		if err == nil {
			return true
		}
		conn.Close()
		if e, ok := errors.AsType[*imap.Error](err); ok && e.Code != imap.ResponseCodeUnavailable {
			t.Fatalf("login: %v", err)
		}
		return false
	})
	return r
}

// view is what the client sees of all its mail.
func (r *looker) view() string {
	r.t.Helper()
	var out strings.Builder
	boxes, err := r.c.List("", "*", nil).Collect()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, b := range boxes {
		sel, err := r.c.Select(b.Mailbox, nil).Wait()
		if err != nil {
			r.t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s %v: UIDVALIDITY %d UIDNEXT %d, %d messages, %v\n", b.Mailbox, b.Attrs, sel.UIDValidity, sel.UIDNext, sel.NumMessages, sel.Flags)
		if sel.NumMessages == 0 {
			continue
		}
		var all imap.UIDSet
		all.AddRange(1, 0)
		whole := &imap.FetchItemBodySection{Peek: true}
		got, err := r.c.Fetch(all, &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, RFC822Size: true, BodySection: []*imap.FetchItemBodySection{whole}}).Collect()
		if err != nil {
			r.t.Fatal(err)
		}
		for _, m := range got {
			h := sha256.New()
			h.Write(m.FindBodySection(whole))
			m.Flags = slices.DeleteFunc(m.Flags, func(f imap.Flag) bool { return f == "\\Recent" }) // which a session has, not a message
			slices.Sort(m.Flags)
			fmt.Fprintf(&out, "  UID %d %v %s %d %x\n", m.UID, m.Flags, m.InternalDate, m.RFC822Size, h.Sum(nil))
		}
	}
	return out.String()
}

// furnish makes the account of the tests, with a marker in all of its mail.
func furnish(t *testing.T, c *harness.Cluster, marker string) (password string) {
	t.Helper()
	password = c.Account(t, ireland, mover, "IE")
	for n := range 12 {
		c.Deliver(t, []domicile.Node{ieNode, usNode}[n%2], mover, letter(marker, fmt.Sprint(n, " ", marker)))
	}
	c.Deliver(t, ieNode, mover, letter(marker+" large", strings.Repeat(marker+" and so on, line by line\r\n", 200_000)))
	r := enter(t, c.Home(ireland).IMAP, password)
	defer r.conn.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(r.c.Create("Work/Über "+marker, nil).Wait())
	must(r.c.Subscribe("Work/Über " + marker).Wait())
	_, err := r.c.Select("INBOX", nil).Wait()
	must(err)
	must(r.c.Store(imap.UIDSetNum(2, 4, 6), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen, imap.Flag(marker)}}, nil).Close())
	must(r.c.Store(imap.UIDSetNum(3, 4), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	must(r.c.Expunge().Close())
	_, err = r.c.Move(imap.UIDSetNum(5, 7), "Work/Über "+marker).Wait()
	must(err)
	_, err = r.c.Copy(imap.UIDSetNum(8), "Archive").Wait()
	must(err)
	must(r.c.Logout().Wait())
	return password
}

// TestMove moves an account from Ireland to the US and back, by mailctl, while a mail client looks on and mail comes in.
func TestMove(t *testing.T) {
	t.Parallel()
	c := harness.New(t, append([]string{"--cool-down", "1s"}, harness.TwoRegions...)...)
	c.StartAll(t)
	marker := "mv" + strings.ToLower(domicile.NewID("")[:16])
	password := furnish(t, c, marker)
	c.Halt(t, ieNode)
	stored := atRest(t, c, ireland)
	c.Launch(t, ieNode)
	first := enter(t, c.Home(ireland).IMAP, password)
	defer first.conn.Close()
	seen := first.view()
	account := c.Ctl(t, ireland, "operator", nil, "account", "show", mover).Get("account")

	at := ireland
	for _, country := range []string{"US", "DE"} {
		to := other(at)
		open := enter(t, c.Home(at).IMAP, password)
		defer open.conn.Close()
		id := approved(t, c, at, country)
		if r := c.Ctl(t, at, "operator", nil, "move", "watch", id); r.Code != 0 || r.Get("state") != "erased" || !strings.Contains(r.Err, "erased") {
			t.Fatalf("move watch: %s", r)
		}
		if err := open.c.Noop().Wait(); err == nil {
			t.Error("a session that was open before the move goes on behind it")
		}
		if serving(t, c, at) || !serving(t, c, to) {
			t.Errorf("after the move from %s to %s the wrong one serves", at, to)
		}
		for _, r := range []domicile.Region{at, to} {
			where := c.Ctl(t, r, "operator", nil, "account", "where", mover)
			if where.Code != 0 || where.Get("home") != string(to) || where.Get("account") != account {
				t.Errorf("account where at %s: %s", r, where)
			}
			left, came := moveOf(t, c, at, id), moveOf(t, c, to, id)
			if left.Receipt == nil || came.Receipt == nil || *left.Receipt != *came.Receipt {
				t.Errorf("the receipts differ: %+v, %+v", left, came)
			}
			if cancel := c.Ctl(t, at, "operator", nil, "move", "cancel", id); cancel.Code != 3 || cancel.Get("refused") != "move_past_handover" {
				t.Errorf("move cancel behind the handover: %s", cancel)
			}
		}
		for _, region := range []domicile.Region{at, to} { // at both fronts: at home, and relayed
			now := enter(t, c.Home(region).IMAP, password)
			if got := now.view(); got != seen {
				t.Errorf("behind the move to %s, at %s:\n%s\nbefore:\n%s", to, region, got, seen)
			}
			now.conn.Close()
			harness.Eventually(t, 2*time.Minute, "a login by SCRAM", func() bool { // a proof handed over is not taken at once behind a start
				conn, err := net.DialTimeout("tcp", c.Home(region).IMAP, 30*time.Second)
				if err != nil {
					return false
				}
				defer conn.Close()
				d := openSASL(conn, true)
				_, in, err := d.scram("SCRAM-SHA-256", scramClient(t, mover, password).NewConversation())
				if err != nil || !in && !strings.Contains(d.other, "UNAVAILABLE") {
					t.Fatalf("behind the move to %s, at %s, by SCRAM: %v, %v, %q", to, region, in, err, d.other)
				}
				return in
			})
		}
		if raw, err := os.ReadFile(filepath.Join(c.Path(c.Home(at).Data), "keys", "account.keys")); err != nil || bytes.Contains(raw, []byte(account)) {
			t.Errorf("the key in %s: %v", at, err)
		}
		if n := measured(t, c, c.Home(at).Name, `domicile_store_bytes{kind="live"}`); n > 0 { // no other account has mail there
			t.Errorf("%s names bodies of %v bytes", at, n)
		}
		if hits, files, err := scan.Tree(c.Path(string(c.Home(at).Name)), marker); err != nil || len(hits) > 0 || files < 10 {
			t.Errorf("in %d files of %s: %v, %v", files, at, hits, err)
		}
		if r := c.Ctl(t, at, "operator", nil, "account", "export", mover, "--to", filepath.Join(c.Root, "export")); r.Code != 3 || r.Get("refused") != "no_token" {
			t.Errorf("account export at the last home: %s", r)
		}
		if at == ireland { // as any region that holds nothing of the account
			r := c.Ctl(t, at, "legal", nil, "order", "submit", "--token", treatyToken(t, c), "--target", mover)
			if r.Get("code") != "content_stored_abroad" {
				t.Errorf("an order at the last home: %s", r)
			}
		}
		history := c.Ctl(t, to, "operator", nil, "residence", "show", mover)
		var view struct {
			Country string           `json:"country"`
			History []map[string]any `json:"history"`
		}
		if err := json.Unmarshal(history.Out, &view); err != nil || view.Country != country || len(view.History) < 5 {
			t.Errorf("residence show at %s: %s", to, history)
		}
		at = to
	}
	c.Halt(t, ieNode)
	c.Halt(t, usNode)
	if got := atRest(t, c, usEast); got != "" {
		t.Errorf("the US has\n%s", got)
	}
	if got := atRest(t, c, ireland); got != stored {
		t.Errorf("there and back:\n%s\nbefore:\n%s", got, stored)
	}
}

// letterSent is a message that was answered with 250.
type letterSent struct {
	text   []byte
	unsure int // tries whose connection broke: an answer may have been lost (RFC 1047)
}

// send does as a mail server that tries each message, at one front or the other, until it is taken.
func send(t *testing.T, c *harness.Cluster, n int, stop <-chan struct{}) (sent []letterSent) {
	for i := 0; ; i++ {
		l := letterSent{text: letter(fmt.Sprintf("move %d message %d", n, i), domicile.NewID("once"))}
		for tries := 0; ; tries++ {
			code, err := try(t, c, []domicile.Node{usNode, ieNode}[(i+tries)%2], mover, l.text)
			if code == 250 {
				sent = append(sent, l)
				break
			}
			if code >= 500 {
				t.Errorf("message %d: %v", i, err)
				return sent
			}
			if code == 0 {
				l.unsure++
			}
			select {
			case <-stop:
				return sent
			case <-time.After(50 * time.Millisecond):
			}
		}
		select {
		case <-stop:
			return sent
		default:
		}
	}
}

// TestMoveUnderKills ends nodes of both regions by SIGKILL, and cuts the link between them, at random moments of a move, while mail comes in
// and two operators ask who serves. DOMICILE_MOVES sets how many moves there are (default 1).
func TestMoveUnderKills(t *testing.T) {
	t.Parallel()
	moves := times("DOMICILE_MOVES", 1)
	c := harness.New(t, append([]string{"--cool-down", "1s"}, harness.TwoRegions...)...)
	link := netlink.Lay(t, c, netlink.Blind)
	c.StartAll(t)
	password := furnish(t, c, "mvkills")
	at := ireland
	for n := range moves {
		country := map[domicile.Region]string{ireland: "US", usEast: "DE"}[at]
		id := approved(t, c, at, country)
		stop := make(chan struct{})
		var work sync.WaitGroup
		var sent []letterSent
		work.Go(func() { sent = send(t, c, n, stop) })
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				// The next home is asked first: once it serves, the last one must not.
				if serving(t, c, other(at)) && serving(t, c, at) {
					t.Error("both regions serve")
					return
				}
			}
		})
		for range 6 {
			time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
			switch victim := []domicile.Node{usNode, ieNode}[rand.IntN(2)]; rand.IntN(3) {
			case 0:
				link.Both(usNode, ieNode, netlink.Fault{Cut: true})
				time.Sleep(time.Duration(rand.IntN(800)) * time.Millisecond)
				link.Heal()
			default:
				c.Kill9(t, victim)
				c.Launch(t, victim)
			}
		}
		harness.Eventually(t, 3*time.Minute, "the move to end", func() bool {
			return moveOf(t, c, at, id).State == move.Erased && moveOf(t, c, other(at), id).State == move.Erased
		})
		close(stop)
		work.Wait()
		at = other(at)
		if serving(t, c, other(at)) || !serving(t, c, at) {
			t.Errorf("the wrong one serves")
		}
		got := c.Inbox(t, at, mover, password)
		for _, l := range sent {
			times := 0
			for _, g := range got {
				if bytes.HasSuffix(g, l.text) {
					times++
				}
			}
			if times < 1 || times > 1+l.unsure {
				t.Errorf("a message that was answered with 250, after %d tries that nothing is known of, is there %d times", l.unsure, times)
			}
		}
		t.Logf("move %d: %d messages came in", n+1, len(sent))
	}
	c.Halt(t, ieNode)
	c.Halt(t, usNode)
	if atRest(t, c, at) == "" || atRest(t, c, other(at)) != "" {
		t.Error("the account is not where it should be, or not only there")
	}
}

// TestOrderStopsMove: an order that comes before the handover is executed where the mail rests, and the move ends; an operator cannot
// tell it from a move that ended for another reason.
func TestOrderStopsMove(t *testing.T) {
	t.Parallel()
	c := harness.New(t, append([]string{"--cool-down", "1s"}, harness.TwoRegions...)...)
	link := netlink.Lay(t, c, netlink.Blind)
	c.StartAll(t)
	password := furnish(t, c, "mvorder")
	link.Set(toUS, netlink.Fault{Rate: 200 << 10}) // the copy takes its time
	id := approved(t, c, ireland, "US")
	harness.Eventually(t, time.Minute, "the copy to begin", func() bool { return moveOf(t, c, ireland, id).State == move.Copying })
	if where := c.Ctl(t, ireland, "operator", nil, "account", "where", mover); where.Get("home") != string(ireland) || !strings.Contains(where.Get("why"), "frozen") {
		t.Errorf("account where while it moves: %s", where)
	}
	if r := c.Ctl(t, ireland, "operator", nil, "account", "passwd", mover, "--password-stdin"); r.Code == 0 {
		t.Errorf("a password that the move would lose was taken: %s", r)
	}
	if code, err := try(t, c, ieNode, mover, letter("while it moves", "1")); code != 451 {
		t.Errorf("mail for an account that moves: %d, %v", code, err)
	}
	order := c.Ctl(t, ireland, "legal", nil, "order", "submit", "--token", treatyToken(t, c), "--target", mover)
	if order.Code != 0 || order.Get("decision") != "execute" {
		t.Fatalf("order submit: %s", order)
	}
	if !serving(t, c, ireland) {
		t.Error("the account does not serve again at once")
	}
	enter(t, c.Home(ireland).IMAP, password).conn.Close()
	shown := moveOf(t, c, ireland, id)
	if shown.State != move.Cancelled || shown.Code != string(domicile.CoolingDown) {
		t.Errorf("%+v", shown)
	}
	if r := second(t, c, ireland, "residence", "approve", id); r.Code != 3 || r.Get("refused") != "cooling_down" {
		t.Errorf("approved under an order: %s", r)
	}
	link.Heal()
	harness.Eventually(t, 2*time.Minute, "the target to forget", func() bool {
		i := moveOf(t, c, usEast, id)
		return i.State == move.Abandoned && i.Done
	})
	if produced := c.Ctl(t, ireland, "legal", nil, "order", "produce", order.Get("case"), "--to", filepath.Join(c.Root, "production")); produced.Code != 0 {
		t.Errorf("order produce: %s", produced)
	}
	c.Halt(t, usNode)
	if got := atRest(t, c, usEast); got != "" {
		t.Errorf("the US has\n%s", got)
	}
	book, err := os.ReadFile(filepath.Join(c.Path(c.Home(usEast).Data), "keys", "account.keys"))
	if err != nil || len(book) > 128 { // the book's header is 128 bytes
		t.Errorf("the US keeps keys in %d bytes, %v", len(book), err)
	}
	c.CheckStore(t, *c.Home(usEast)) // what is left of the import is in no entry
}

// TestSnapshotForgetsAMove: a region whose disk comes back as it was before an account moved away, by no restore that anybody could
// hold up, finds its own signature on the handover and does not go on serving the account. Of the data folder alone it does not open: its keys
// were destroyed with the account's.
func TestSnapshotForgetsAMove(t *testing.T) {
	t.Parallel()
	c := harness.New(t, append(slices.Clone(harness.TwoRegions), "--cool-down", "1s")...)
	c.StartAll(t)
	c.Account(t, ireland, mover, "IE")
	data, wraps, old := c.Path(c.Node(ieNode).Data), c.Path("eu-ireland/wraps"), t.TempDir()
	replace := func(from, to string) {
		t.Helper()
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	c.Halt(t, ieNode)
	replace(data, filepath.Join(old, "data"))
	replace(wraps, filepath.Join(old, "wraps"))
	c.Launch(t, ieNode)
	id := approved(t, c, ireland, "US")
	harness.Eventually(t, 2*time.Minute, "the move", func() bool {
		return moveOf(t, c, ireland, id).State == move.Erased && serving(t, c, usEast)
	})
	c.Halt(t, ieNode)
	replace(filepath.Join(old, "data"), data)
	if out := refuses(t, c, ieNode, nil); !strings.Contains(out, "before an account was erased") {
		t.Errorf("the folder of before says: %s", out)
	}
	replace(filepath.Join(old, "wraps"), wraps)
	c.Launch(t, ieNode)
	harness.Eventually(t, time.Minute, "the freeze of what another region serves", func() bool {
		return c.Ctl(t, ireland, "operator", nil, "account", "show", mover).Get("state") == "moving"
	})
	if !serving(t, c, usEast) {
		t.Error("its home does not serve the account")
	}
}
