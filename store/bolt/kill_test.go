package bolt

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/storetest"
)

// childDir makes the test binary the process that is killed.
const childDir = "DOMICILE_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	os.Exit(m.Run())
}

func killBody(i int) string {
	return strings.Repeat(fmt.Sprintf("line of message %d\r\n", i), i%300)
}

// child delivers from four goroutines until it is killed, and prints each
// message's number and id once Commit has returned.
func child(dir string) {
	sealer := storetest.NewSealer("storetest")
	sealer.CreateAccountKey(person)
	s, err := Open(Config{Dir: dir, Region: storetest.Region, Sealer: sealer})
	if err != nil {
		fmt.Println("child:", err)
		os.Exit(1)
	}
	ctx := context.Background()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := g; ; i += 4 {
				in, err := s.Incoming(ctx, person, 1<<20)
				if err == nil {
					_, err = in.Write([]byte(killBody(i)))
				}
				var m store.Message
				if err == nil {
					m, err = in.Commit(ctx, store.Token(fmt.Sprint(i)), "INBOX", nil, time.Time{})
				}
				if err != nil {
					fmt.Println("child:", err)
					os.Exit(1)
				}
				fmt.Println(i, m.UID, m.ID) // one write, one line
				if i%40 == 3 {
					s.StoreFlags(ctx, "", person, s.inboxOf(person), []store.UID{m.UID}, store.FlagsAdd, []string{store.Flagged}, 0)
				}
			}
		})
	}
	wg.Wait()
}

func (s *Store) inboxOf(acct domicile.AccountID) domicile.MailboxID {
	m, _ := s.MailboxByName(context.Background(), acct, store.Inbox)
	return m.ID
}

// What a killed process had acknowledged is there, whole and once; the rest is absent or whole.
func TestKill(t *testing.T) {
	r := storetest.New(t, open)
	newPerson(r)
	acknowledged := map[int]domicile.MessageID{}
	for range 4 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		killOnce(t, r.At.Dir, acknowledged)
		r.Reopen()
		r.Check()
	}
	if len(acknowledged) == 0 {
		t.Fatal("nothing was acknowledged")
	}
	there := map[domicile.MessageID]bool{}
	for _, m := range r.List(person, "INBOX") {
		if there[m.ID] {
			t.Fatal("a message is there twice:", m.ID)
		}
		there[m.ID] = true
	}
	for i, id := range acknowledged {
		if !there[id] {
			t.Fatalf("message %d was acknowledged and is not there", i)
		}
		if body, err := r.ReadBody(person, id); err != nil || body != killBody(i) {
			t.Fatalf("message %d is not what was sent: %v", i, err)
		}
	}
	// A repeated delivery of an acknowledged message gives the same message.
	for i, id := range acknowledged {
		if m, err := r.Deliver(person, store.Token(fmt.Sprint(i)), "INBOX", "again"); err != nil || m.ID != id {
			t.Fatalf("token %d gives %v, %v", i, m.ID, err)
		}
		break
	}
}

// killOnce runs a child, kills it after a while and notes what it had acknowledged.
// Later children repeat the tokens of earlier ones, and must be given the same ids.
func killOnce(t *testing.T, dir string, acknowledged map[int]domicile.MessageID) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() }) // in case it says nothing
	defer timer.Stop()
	lines := bufio.NewScanner(out)
	for said := 0; lines.Scan(); said++ {
		if said == 0 {
			timer.Reset(400 * time.Millisecond)
		}
		var i, uid int
		var id domicile.MessageID
		if _, err := fmt.Sscan(lines.Text(), &i, &uid, &id); err != nil {
			t.Fatalf("child says %q", lines.Text())
		}
		if old, ok := acknowledged[i]; ok && old != id {
			t.Fatalf("message %d was acknowledged as %s and as %s", i, old, id)
		}
		acknowledged[i] = id
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the child was not killed")
	}
}
