package tests

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/store"
	"domicile/store/bolt"
	"domicile/tests/harness"
)

// TestStoreKills ends a node by SIGKILL at any instant of deliveries, appends, copies, expunges, of copying itself into its repository, and, since its segments are
// small, of rotation, bases and compaction. After each kill a copy of its folder is opened as mailctl fsck does, and counted: all that was
// acknowledged is there, unaltered, and twice only where the 250 itself was lost; what was expunged is not; of an APPEND of several messages
// all are there or none; the check finds nothing. The node itself recovers and goes on. Behind some kills the repository is verified; behind others the node gets another root key, by
// a mailctl that is killed as well and said again. In the end the node is made anew from the repository, and has all. DOMICILE_KILLS sets the number of kills; with DOMICILE_LONG=1 it is 200.
func TestStoreKills(t *testing.T) {
	t.Parallel()
	kills := 6
	if os.Getenv("DOMICILE_LONG") == "1" {
		kills = 200
	}
	kills = times("DOMICILE_KILLS", kills)
	c := harness.New(t, "--region", "eu-ireland=IE")
	r := &repository{t: t, c: c, dir: filepath.Join(c.Root, "repository"), conf: c.Path(c.Node(ieNode).Config), data: c.Path(c.Node(ieNode).Data)}
	text, err := os.ReadFile(r.conf)
	if err == nil {
		err = os.WriteFile(r.conf, fmt.Appendf(nil, "store_segment = 65536\n%s\n[backup]\ndir = '%s'\n", text, r.dir), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.StartAll(t)
	r.upToDate()
	l := &ledger{c: c, ctx: t.Context(), password: c.Account(t, ireland, keeper, "IE"), letters: map[string]*kept{}}
	stop := make(chan struct{})
	var workers, checks sync.WaitGroup
	for _, work := range []func() error{l.deliver, l.deliver, l.upload, l.change} {
		workers.Go(func() { l.keepOn(stop, work) })
	}
	var seen whatKillsMet
	for i := 0; i < kills || !seen.proves(kills, l.now()) && i < 10*kills; i++ { // on a busy machine little gets done
		pause := rand.IntN(400)
		if i%3 == 2 { // the first base and compaction come a second after the start
			pause = 900 + rand.IntN(1000)
		}
		time.Sleep(time.Duration(pause) * time.Millisecond)
		c.Kill9(t, ieNode)
		now := l.now()
		copied := filepath.Join(t.TempDir(), "data")
		if out, err := exec.Command("cp", "-rp", r.data, copied).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		seen.look(t, copied)
		checks.Wait() // one at a time, beside the node
		switch i % 10 {
		case 1:
			r.verified(r.dir, true)
		case 4: // the copy opens with the old root key
			l.judge(t, copied, now)
			os.RemoveAll(copied)
			rotateKilled(t, r)
			c.Launch(t, ieNode)
			continue
		}
		c.Launch(t, ieNode)
		checks.Go(func() {
			l.judge(t, copied, now)
			os.RemoveAll(copied)
		})
	}
	checks.Wait()
	close(stop)
	workers.Wait()
	r.upToDate()
	c.Halt(t, ieNode)
	l.judge(t, r.data, l.now())
	r.verified(r.dir, true)
	r.restored(r.dir)
	l.judge(t, r.data, l.now())
	l.tell(t, kills, seen)
}

// rotateKilled gives a node that is down another root key, by a command that is killed in the middle and said again.
func rotateKilled(t *testing.T, r *repository) {
	t.Helper()
	root := filepath.Join(r.c.Dir, string(ireland), "root.key")
	next := root + ".next"
	if got := r.c.Run(t, nil, "keys", "root", "--to", next); got.Code != 0 {
		t.Fatalf("keys root: %s", got)
	}
	args := []string{"keys", "rotate", r.data, "--root-key", root, "--new-root-key", next, "--output", "json"}
	killed := exec.Command(harness.Program(t, "mailctl"), args...)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
	killed.Process.Kill()
	killed.Wait()
	if got := r.c.Run(t, nil, args...); got.Code != 0 {
		t.Fatalf("keys rotate, behind one that was killed: %s", got)
	}
	if err := os.Rename(next, root); err != nil {
		t.Fatal(err)
	}
}

const keeper = "aoife@example.com"

// whatKillsMet is in what states the kills found the store's folder.
type whatKillsMet struct{ halfBases, bases, reclaimed, segments int }

func (w *whatKillsMet) look(t *testing.T, data string) {
	t.Helper()
	files := func(pattern string) []string {
		found, err := filepath.Glob(filepath.Join(data, "store", pattern))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	w.halfBases += len(files("base/new"))
	w.bases += min(1, len(files("base/0*")))
	segments := files("segments/*.seg") // sorted, and numbered in hexadecimal from 1
	w.segments = max(w.segments, len(segments))
	if newest := filepath.Base(segments[len(segments)-1]); newest > fmt.Sprintf("%08x.seg", len(segments)) {
		w.reclaimed++
	}
}

// kept is what is known of one message.
type kept struct {
	sum     [32]byte // from its From field on
	acked   bool
	unsure  int    // tries without an answer
	leaving bool   // an expunge was asked for
	gone    bool   // and acknowledged
	beside  string // another one of the same APPEND
}

// ledger is what clients were told.
type ledger struct {
	c        *harness.Cluster
	ctx      context.Context
	password string

	mu      sync.Mutex
	letters map[string]*kept // by subject
}

// now copies what is known at this moment.
func (l *ledger) now() map[string]kept {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]kept{}
	for word, k := range l.letters {
		out[word] = *k
	}
	return out
}

// note changes what is known of a message.
func (l *ledger) note(word string, change func(k *kept)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l.letters[word])
}

// keepOn works until it is stopped, whatever becomes of the node.
func (l *ledger) keepOn(stop <-chan struct{}, work func() error) {
	for {
		pause := time.Millisecond
		if work() != nil {
			pause = time.Duration(20+rand.IntN(50)) * time.Millisecond
		}
		select {
		case <-stop:
			return
		case <-l.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// write makes a message that nobody has seen: its size is any, and half of it cannot be compressed.
func (l *ledger) write() (word string, text []byte) {
	word = domicile.NewID("k")
	line, noise := strings.Repeat("word ", 12)+"\n", make([]byte, 24)
	var body strings.Builder
	for range 1 + rand.IntN(1<<rand.IntN(11)) {
		for i := range noise {
			noise[i] = byte(rand.IntN(256))
		}
		fmt.Fprintf(&body, "%x\n%s", noise, line)
	}
	text = letter(word, body.String())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.letters[word] = &kept{sum: sha256.Sum256(text)}
	return word, text
}

// deliver sends one message by SMTP, again and again until it is answered with 250.
func (l *ledger) deliver() error {
	word, text := l.write()
	d := &driver{c: l.c, ctx: l.ctx}
	for l.ctx.Err() == nil {
		f := &fate{}
		ok := d.sendTo(ieNode, text, f, keeper)
		l.note(word, func(k *kept) { k.acked, k.unsure = ok, k.unsure+f.unsure })
		if ok {
			return nil
		}
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
	}
	return l.ctx.Err()
}

// upload appends messages by IMAP, once, one to three at a time.
func (l *ledger) upload() error {
	t, err := l.enter()
	if err != nil {
		return err
	}
	defer t.conn.Close()
	for range 20 {
		var words []string
		var texts [][]byte
		for range 1 + rand.IntN(3) {
			word, text := l.write()
			words, texts = append(words, word), append(texts, text)
			l.note(word, func(k *kept) { k.unsure, k.beside = 1, words[0] })
		}
		if err := t.append(store.Inbox, texts...); err != nil {
			return err
		}
		for _, word := range words {
			l.note(word, func(k *kept) { k.acked, k.unsure = true, 0 })
		}
	}
	return nil
}

var oneSubject = regexp.MustCompile(`UID (\d+)[^\r]*\r\nSubject: (k\w+)\r\n`)

// change copies messages to the archive and expunges there and in INBOX, some at a time.
func (l *ledger) change() error {
	t, err := l.enter()
	if err != nil {
		return err
	}
	defer t.conn.Close()
	for range 20 {
		if _, err := t.ask("SELECT INBOX"); err != nil {
			return err
		}
		list, err := t.ask("UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
		if err != nil {
			return err
		}
		uids, words := l.choose(oneSubject.FindAllStringSubmatch(list, -1))
		if len(uids) == 0 {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		set := strings.Join(uids, ",")
		for _, command := range []string{"UID COPY " + set + " Archive", "UID STORE " + set + ` +FLAGS.SILENT (\Deleted)`, "EXPUNGE"} {
			if _, err := t.ask(command); err != nil {
				return err
			}
		}
		for _, w := range words {
			l.note(w, func(k *kept) { k.gone = true })
		}
		for _, command := range []string{"SELECT Archive", `STORE 1:* +FLAGS.SILENT (\Deleted)`, "EXPUNGE"} {
			if _, err := t.ask(command); err != nil {
				return err
			}
		}
	}
	return nil
}

// choose takes some messages that are acknowledged, and notes that they are about to go: all copies of each.
func (l *ledger) choose(list [][]string) (uids, words []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := map[string]bool{}
	for _, m := range list[min(40, len(list)):] { // some stay
		if k := l.letters[m[2]]; k != nil && k.acked && !taken[m[2]] && rand.IntN(4) == 0 {
			taken[m[2]], k.leaving = true, true
			words = append(words, m[2])
		}
	}
	for _, m := range list {
		if taken[m[2]] {
			uids = append(uids, m[1])
		}
	}
	return uids, words
}

// judge holds what a folder has against what was known when its node was killed.
func (l *ledger) judge(t *testing.T, data string, known map[string]kept) {
	s, done := l.c.OpenStore(t, ireland, data)
	defer done()
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("fsck: %v", err)
	}
	found, err := subjects(t.Context(), s, known)
	if err != nil {
		t.Error(err)
	}
	for word, k := range known {
		n := found[word]
		if with, ok := known[k.beside]; ok && !k.leaving && !with.leaving && n != found[k.beside] {
			t.Errorf("%s is there %d times, and %s of the same APPEND %d times", word, n, k.beside, found[k.beside])
		}
		switch {
		case k.acked && !k.leaving && n == 0:
			t.Errorf("%s was acknowledged and is lost", word)
		case k.gone && n > 0:
			t.Errorf("%s was expunged and is there", word)
		case n > 1+k.unsure:
			t.Errorf("%s is there %d times: %+v", word, n, k)
		}
	}
}

// subjects counts the messages of INBOX, each of which must be as it was sent.
func subjects(ctx context.Context, s *bolt.Store, known map[string]kept) (map[string]int, error) {
	a, err := s.AccountByAddress(ctx, keeper)
	if err != nil {
		return nil, err
	}
	box, err := s.MailboxByName(ctx, a.ID, store.Inbox)
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	for m, err := range store.AllMessages(ctx, s, a.ID, box.ID) {
		if err != nil {
			return nil, err
		}
		r, err := s.Body(ctx, a.ID, m.ID)
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return nil, err
		}
		_, rest, _ := bytes.Cut(raw, []byte("\r\nSubject: "))
		line, _, _ := bytes.Cut(rest, []byte("\r\n"))
		at := max(0, bytes.Index(raw, []byte("From: Maeve")))
		if k, ok := known[string(line)]; !ok || sha256.Sum256(raw[at:]) != k.sum {
			return nil, fmt.Errorf("UID %d, %q, was not sent like this", m.UID, line)
		}
		found[string(line)]++
	}
	return found, nil
}

// proves says whether enough happened.
func (w *whatKillsMet) proves(kills int, letters map[string]kept) bool {
	acked, gone := 0, 0
	for _, k := range letters {
		if k.acked {
			acked++
		}
		if k.gone {
			gone++
		}
	}
	return acked >= 10*kills/6 && gone > 0 && (kills < 6 || w.segments >= 2) && (kills < 50 || w.bases > 0 && w.reclaimed > 0)
}

func (l *ledger) tell(t *testing.T, kills int, seen whatKillsMet) {
	acked, gone, again := 0, 0, 0
	letters := l.now()
	for _, k := range letters {
		if k.acked {
			acked++
		}
		if k.gone {
			gone++
		}
		if k.unsure > 0 {
			again++
		}
	}
	t.Logf("%d kills: %d messages acknowledged, %d of them expunged, %d unsure; %d kills found a base, %d one half written, %d that segments were reclaimed; %d segments at most",
		kills, acked, gone, again, seen.bases, seen.halfBases, seen.reclaimed, seen.segments)
	if !seen.proves(kills, letters) {
		t.Error("too little happened to prove anything")
	}
}

// talker is an IMAP client that a node may be killed under.
type talker struct {
	conn net.Conn
	r    *bufio.Reader
	n    int
}

func (l *ledger) enter() (*talker, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	conn, err := d.DialContext(l.ctx, "tcp", l.c.Node(ieNode).IMAP)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	t := &talker{conn: conn, r: bufio.NewReader(conn)}
	if _, err = t.r.ReadString('\n'); err == nil {
		_, err = t.ask("LOGIN " + keeper + " " + l.password)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}

// ask sends a command, which must be answered with OK, and returns what came before that.
func (t *talker) ask(command string) (string, error) {
	t.n++
	if _, err := fmt.Fprintf(t.conn, "t%d %s\r\n", t.n, command); err != nil {
		return "", err
	}
	return t.answer()
}

func (t *talker) answer() (string, error) {
	var all strings.Builder
	for {
		line, err := t.r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if rest, ok := strings.CutPrefix(line, fmt.Sprintf("t%d ", t.n)); ok {
			if !strings.HasPrefix(rest, "OK") {
				return "", errors.New(rest)
			}
			return all.String(), nil
		}
		all.WriteString(line)
	}
}

func (t *talker) append(mailbox string, texts ...[]byte) error {
	t.n++
	fmt.Fprintf(t.conn, "t%d APPEND %s", t.n, mailbox)
	for _, text := range texts {
		fmt.Fprintf(t.conn, " {%d}\r\n", len(text))
		if line, err := t.r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "+") {
			return errors.Join(err, errors.New(line))
		}
		if _, err := t.conn.Write(text); err != nil {
			return err
		}
	}
	fmt.Fprint(t.conn, "\r\n")
	_, err := t.answer()
	return err
}
