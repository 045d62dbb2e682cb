package bolt

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// childDir makes the test binary the process that is killed; childFirst is the number of its first message.
const (
	childDir   = "DOMICILE_STORE_TEST_CHILD"
	childFirst = "DOMICILE_STORE_TEST_FIRST"
	childMoves = "DOMICILE_STORE_TEST_MOVES" // set: it moves all messages to and fro, which is written in parts
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("child:", err)
			os.Exit(1)
		}
		return
	}
	storetest.Main(m)
}

// killBody is message i: one in forty takes several chunks.
func killBody(i int) string {
	if i%40 == 7 {
		return noise(uint64(i), 300_000)
	}
	return strings.Repeat(fmt.Sprintf("line of message %d\r\n", i), i%300)
}

// killPart is one of the three messages that come in the place of message i: together they are more than a group takes.
func killPart(i, part int) string {
	return fmt.Sprintf("%d %d\r\n%s", i, part, noise(uint64(i), 9_000*part))
}

const killParts = 3

const killSegments = 256 << 10

// child delivers from four goroutines, and copies, flags, replaces and expunges some of what it delivered, beside compaction, until it is killed. It prints what it
// did once the store has said so, and "expunging" and "replacing" before.
func child(dir string) error {
	sealer := storetest.NewSealer("storetest")
	sealer.CreateAccountKey(person)
	s, err := Open(Config{Dir: dir, Region: storetest.Region, Sealer: sealer, SegmentSize: killSegments})
	if err != nil {
		return err
	}
	if os.Getenv(childMoves) != "" {
		return s.moveToAndFro()
	}
	first := 0
	fmt.Sscan(os.Getenv(childFirst), &first)
	failed := make(chan error)
	for g := range 4 {
		go func() {
			for i := first + g; ; i += 4 {
				if err := s.killActs(i); err != nil {
					failed <- fmt.Errorf("message %d: %w", i, err)
				}
			}
		}()
	}
	go func() {
		for {
			if err := s.Compact(context.Background()); err != nil {
				failed <- err
			}
		}
	}()
	return <-failed
}

// killActs does everything for message i. All of it may have been done before.
func (s *Store) killActs(i int) error {
	ctx := context.Background()
	in, err := s.Incoming(ctx, person, 1<<20)
	if err != nil {
		return err
	}
	if _, err := in.Write([]byte(killBody(i))); err != nil {
		return err
	}
	m, err := in.Commit(ctx, store.Token(fmt.Sprint(i)), "INBOX", nil, time.Time{})
	if err != nil {
		return err
	}
	fmt.Println(i, "delivered", m.ID) // one write, one line
	box, uids := s.inboxOf(person), []store.UID{m.UID}
	if i%5 == 1 {
		if _, _, _, err := s.Copy(ctx, store.Token(fmt.Sprint("copy ", i)), person, box, uids, "Archive"); err != nil {
			return err
		}
		fmt.Println(i, "copied", m.ID)
	}
	if i%5 == 2 {
		if _, err := s.StoreFlags(ctx, "", person, box, uids, store.FlagsAdd, []string{store.Flagged}, 0); err != nil {
			return err
		}
		fmt.Println(i, "flagged", m.ID)
	}
	switch {
	case i%3 == 1:
		return s.killReplaces(i, m, box)
	case i%3 > 0:
		return nil
	}
	fmt.Println(i, "expunging", m.ID)
	if _, err := s.StoreFlags(ctx, "", person, box, uids, store.FlagsAdd, []string{store.Deleted}, 0); err != nil {
		return err
	}
	if _, err := s.Expunge(ctx, "", person, box, uids); err != nil {
		return err
	}
	fmt.Println(i, "expunged", m.ID)
	return nil
}

// killReplaces has several messages come in the place of message i, in another mailbox.
func (s *Store) killReplaces(i int, m store.Message, box domicile.MailboxID) error {
	ctx := context.Background()
	var letters []store.Letter
	for part := range killParts {
		in, err := s.Incoming(ctx, person, 1<<20)
		if err != nil {
			return err
		}
		if _, err := in.Write([]byte(killPart(i, part))); err != nil {
			return err
		}
		letters = append(letters, store.Letter{Bytes: in})
	}
	fmt.Println(i, "replacing", m.ID)
	if _, _, err := s.Commit(ctx, store.Token(fmt.Sprint("replace ", i)), person, "Sent", letters, &store.Instead{Mailbox: box, UID: m.UID}); err != nil {
		return err
	}
	fmt.Println(i, "replaced", m.ID)
	return nil
}

func (s *Store) inboxOf(acct domicile.AccountID) domicile.MailboxID {
	m, _ := s.MailboxByName(context.Background(), acct, store.Inbox)
	return m.ID
}

// killed is what processes that were killed had said.
type killed struct {
	ids  map[int]domicile.MessageID
	said map[domicile.MessageID][]string
	next int
	told func(line string) // what each line is for, if not for the above
}

// A process is killed again and again in the midst of deliveries, copies, changes of flags, expunges, messages that come together in the place of one, compaction, new segments and bases. What it had
// acknowledged is so afterwards, whole and once; the rest is done whole or not at all. Now and then the index is lost as well. DOMICILE_LONG=1 for 220 kills.
func TestKill(t *testing.T) {
	kills := 6
	if os.Getenv("DOMICILE_LONG") != "" {
		kills = 220
	}
	r := storetest.New(t, func(at storetest.At) (store.Store, error) {
		return Open(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, SegmentSize: killSegments})
	})
	newPerson(r)
	k := &killed{}
	acts, removed := 0, 0
	for n := 0; n < kills || (acts == 0 || removed == 0) && n < 10*kills; n++ { // on a busy machine a child may get little done
		if n%15 == 0 { // so that a check does not take ever longer
			k.ids, k.said = map[int]domicile.MessageID{}, map[domicile.MessageID][]string{}
			for _, box := range []string{"INBOX", "Archive", "Sent"} {
				empty(t, r, box)
			}
			k.next += 100 // no child delivers again what was emptied: its token is remembered
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		acts += k.once(t, r.At.Dir)
		if n%5 == 4 {
			os.Remove(filepath.Join(r.At.Dir, indexFile))
		}
		r.Reopen()
		r.Check()
		k.verify(t, r)
		list := r.Store.(*Store).log.List()
		removed = max(removed, int(list[len(list)-1].Number)-len(list))
	}
	if acts == 0 || removed == 0 {
		t.Fatal("nothing was acknowledged, or nothing compacted")
	}
	t.Logf("%d kills, %d acts were acknowledged, 0 lost, 0 altered, 0 doubled; %d segments compacted", kills, acts, removed)
}

// empty removes all messages of a mailbox.
func empty(t *testing.T, r *storetest.Rig, name string) {
	var uids []store.UID
	for _, m := range r.List(person, name) {
		uids = append(uids, m.UID)
	}
	box := r.Box(person, name).ID
	_, err := r.StoreFlags(t.Context(), "", person, box, uids, store.FlagsAdd, []string{store.Deleted}, 0)
	if err == nil {
		_, err = r.Expunge(t.Context(), "", person, box, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// once runs a child, kills it after a while and notes what it said. A child begins with the last messages of the one before, and must be given the same ids.
func (k *killed) once(t *testing.T, dir string) (acts int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, fmt.Sprint(childFirst, "=", max(0, k.next-20)))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() }) // in case it says nothing
	defer timer.Stop()
	lines := bufio.NewScanner(out)
	for ; lines.Scan(); acts++ {
		if acts == 0 {
			timer.Reset(time.Duration(20+rand.IntN(300)) * time.Millisecond)
		}
		if k.told != nil && !strings.HasPrefix(lines.Text(), "child") {
			k.told(lines.Text())
			continue
		}
		var i int
		var what string
		var id domicile.MessageID
		if _, err := fmt.Sscan(lines.Text(), &i, &what, &id); err != nil || strings.HasPrefix(lines.Text(), "child") {
			t.Fatalf("child says %q", lines.Text())
		}
		if old, ok := k.ids[i]; ok && old != id {
			t.Fatalf("message %d was acknowledged as %s and as %s", i, old, id)
		}
		k.ids[i], k.next = id, max(k.next, i)
		k.said[id] = append(k.said[id], what)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child was not killed")
	}
	return acts
}

func (k *killed) verify(t *testing.T, r *storetest.Rig) {
	t.Helper()
	inbox, archive, replaced := byID(t, r, "INBOX"), byID(t, r, "Archive"), replacements(t, r)
	for i, id := range k.ids {
		said := func(what string) bool { return slices.Contains(k.said[id], what) }
		m, there := inbox[id]
		_, copied := archive[id]
		switch {
		case !there && !said("expunging") && !replaced[i]:
			t.Fatalf("message %d was acknowledged and is not there", i)
		case there && replaced[i] || replaced[i] && !said("replacing") || said("replaced") && !replaced[i]:
			t.Fatalf("message %d was replaced by half, or unasked, or is back", i)
		case there && said("expunged"):
			t.Fatalf("message %d was expunged and came back", i)
		case there && said("flagged") && !store.HasFlag(m.Flags, store.Flagged):
			t.Fatalf("message %d was flagged and is not", i)
		case !copied && said("copied"):
			t.Fatalf("message %d was copied and the copy is not there", i)
		}
		if !there && !copied {
			continue
		}
		if body, err := r.ReadBody(person, id); err != nil || body != killBody(i) {
			t.Fatalf("message %d is not what was sent: %v", i, err)
		}
	}
}

// replacements are the numbers of the messages in whose place others came: all of these, one behind the other.
func replacements(t *testing.T, r *storetest.Rig) map[int]bool {
	t.Helper()
	list, found := r.List(person, "Sent"), map[int]bool{}
	for n, m := range list {
		var i, part int
		body, err := r.ReadBody(person, m.ID)
		if err == nil {
			_, err = fmt.Sscan(body, &i, &part)
		}
		if err != nil || part != n%killParts || body != killPart(i, part) || m.UID != list[n-part].UID+store.UID(part) || m.ModSeq != list[n-part].ModSeq {
			t.Fatalf("%d is not what came with the others: %v", m.UID, err)
		}
		found[i] = true
	}
	if len(list)%killParts != 0 {
		t.Fatalf("%d of one act are there", len(list)%killParts)
	}
	return found
}

// byID lists a mailbox, in which no message may be twice.
func byID(t *testing.T, r *storetest.Rig, name string) map[domicile.MessageID]store.Message {
	t.Helper()
	all := map[domicile.MessageID]store.Message{}
	for _, m := range r.List(person, name) {
		if _, twice := all[m.ID]; twice {
			t.Fatalf("message %s is in %s twice", m.ID, name)
		}
		all[m.ID] = m
	}
	return all
}

// moveToAndFro says so of each move before it and behind it.
func (s *Store) moveToAndFro() error {
	ctx := context.Background()
	for n := 0; ; n++ {
		from, to := "INBOX", "Archive"
		box, err := s.MailboxByName(ctx, person, from)
		if err == nil && box.Messages == 0 {
			from, to = to, from
			box, err = s.MailboxByName(ctx, person, from)
		}
		if err != nil {
			return err
		}
		var uids []store.UID
		for m, err := range store.AllMessages(ctx, s, person, box.ID) {
			if err != nil {
				return err
			}
			uids = append(uids, m.UID)
		}
		fmt.Println(n, "moving", to)
		if _, _, _, err := s.Move(ctx, "", person, box.ID, uids, to); err != nil {
			return err
		}
		fmt.Println(n, "moved", to)
	}
}

// A process is killed in the midst of acts that are written in parts: all of one was done or nothing, and what was acknowledged was done.
func TestKillInParts(t *testing.T) {
	r := storetest.New(t, func(at storetest.At) (store.Store, error) {
		return Open(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now, SegmentSize: killSegments})
	})
	newPerson(r)
	for range 100 {
		r.MustDeliver(person, "INBOX", "x")
	}
	for made := 100; made < large; made += 100 {
		if _, _, _, err := r.Copy(t.Context(), "", person, r.Box(person, "INBOX").ID, uidsTo(100), "INBOX"); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(childMoves, "1")
	within := 0
	for n := range 8 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		k := &killed{ids: map[int]domicile.MessageID{}, said: map[domicile.MessageID][]string{}}
		var what, to string
		k.told = func(line string) { fmt.Sscan(line, new(int), &what, &to) }
		k.once(t, r.At.Dir)
		if n%3 == 2 {
			os.Remove(filepath.Join(r.At.Dir, indexFile))
		}
		r.Reopen()
		r.Check()
		archived := wasMoved(t, r)
		if what == "moved" && archived != (to == "Archive") {
			t.Fatalf("they were moved to %s, and are not there", to)
		}
		if what == "moving" {
			within++
		}
	}
	t.Logf("%d of 8 kills came within a move", within)
}
