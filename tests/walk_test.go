package tests

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"domicile/tests/harness"
)

// TestWalk has several clients do random things to one mailbox at once: an old one, one with CONDSTORE, two with QRESYNC that lose their
// connection and come back with what they remember, one with IMAP4rev2, one with UIDONLY. Each keeps its picture of the mailbox from responses alone, and every
// response must fit that picture. Whenever all is quiet, each picture must be what a client sees that comes anew.
func TestWalk(t *testing.T) {
	t.Parallel()
	c := harness.Shared(t)
	address := "walk@example.com"
	password := c.Account(t, ireland, address, "IE")
	rounds := 12
	if os.Getenv("DOMICILE_LONG") != "" {
		rounds = 120
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	crew := make([]*walker, 6)
	for i, kind := range []walkKind{walkPlain, walkCondstore, walkQresync, walkQresync, walkRev2, walkUIDOnly} {
		crew[i] = &walker{t: t, kind: kind, name: fmt.Sprintf("%s-%d", kind, i), addr: c.Home(ireland).IMAP, address: address, password: password,
			rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		defer crew[i].close()
	}
	crew[0].connect()
	crew[0].do("CREATE Walked")
	crew[0].do("CREATE Beside")
	for _, w := range crew {
		w.connect()
		w.open(false)
	}
	for round := range rounds {
		var all sync.WaitGroup
		for _, w := range crew {
			all.Go(func() {
				for range 10 {
					w.step()
				}
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
		for _, w := range crew {
			w.do("NOOP")
			w.learn()
		}
		fresh := &walker{t: t, kind: walkCondstore, name: "fresh", addr: crew[0].addr, address: address, password: password}
		fresh.connect()
		fresh.open(false)
		for _, w := range crew {
			w.compare(fresh, round)
		}
		fresh.close()
	}
}

type walkKind string

const (
	walkPlain     walkKind = "plain"
	walkCondstore walkKind = "condstore"
	walkQresync   walkKind = "qresync"
	walkRev2      walkKind = "rev2"
	walkUIDOnly   walkKind = "uidonly"
)

// walked is one message as a client knows it. A UID of 0 is not known yet.
type walked struct {
	uid    uint32
	flags  string // sorted, without \Recent; "?" = not known
	modseq uint64
	told   bool // its flags, by the command that runs
}

// walker is one client and its picture of the selected mailbox.
type walker struct {
	t                             *testing.T
	kind                          walkKind
	name, addr, address, password string
	rng                           *rand.Rand

	conn     net.Conn
	r        *bufio.Reader
	tags     int
	command  string // that runs
	msgs     []*walked
	validity uint32
	seen     uint64 // the highest modification sequence that was told
	highest  uint64 // that up to which all is known: seen, as a command left it that tells everything
}

func (w *walker) fail(format string, args ...any) {
	w.t.Helper()
	w.t.Errorf("%s, in %q: %s", w.name, w.command, fmt.Sprintf(format, args...))
}

func (w *walker) connect() {
	w.t.Helper()
	w.close()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Error(err)
		return
	}
	conn.SetDeadline(time.Now().Add(5 * time.Minute))
	w.conn, w.r = conn, bufio.NewReader(conn)
	w.line()
	w.do("LOGIN " + w.address + " " + w.password)
	switch w.kind {
	case walkQresync:
		w.do("ENABLE QRESYNC")
	case walkCondstore:
		w.do("ENABLE CONDSTORE")
	case walkRev2:
		w.do("ENABLE IMAP4rev2")
	case walkUIDOnly:
		w.do("ENABLE UIDONLY")
	}
}

func (w *walker) close() {
	if w.conn != nil {
		w.conn.Close()
	}
}

func (w *walker) line() string {
	line, err := w.r.ReadString('\n')
	if err != nil {
		w.fail("%v", err)
		return ""
	}
	return strings.TrimRight(line, "\r\n")
}

// do runs a command and takes in what comes back. It returns what stands behind the tag.
func (w *walker) do(command string) string {
	w.t.Helper()
	w.tags++
	tag := fmt.Sprintf("%s-%d", w.name, w.tags)
	w.command = command
	fmt.Fprintf(w.conn, "%s %s\r\n", tag, command)
	for range 100000 {
		line := w.line()
		if status, ok := strings.CutPrefix(line, tag+" "); ok {
			if command == "NOOP" || strings.HasPrefix(command, "SELECT ") {
				w.highest = w.seen
			}
			return status
		}
		if line == "" || w.t.Failed() {
			return ""
		}
		w.take(line)
	}
	w.fail("no end of responses")
	return ""
}

// want is do for a command that must succeed.
func (w *walker) want(command string) string {
	w.t.Helper()
	status := w.do(command)
	if !strings.HasPrefix(status, "OK") {
		w.fail("%s", status)
	}
	return status
}

var (
	walkUID     = regexp.MustCompile(`UID (\d+)`)
	walkFlags   = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
	walkModSeq  = regexp.MustCompile(`MODSEQ \((\d+)\)`)
	walkHighest = regexp.MustCompile(`\[HIGHESTMODSEQ (\d+)\]`)
)

// take holds an untagged response against the picture, and brings that up to it.
func (w *walker) take(line string) {
	rest, ok := strings.CutPrefix(line, "* ")
	if !ok {
		w.fail("not a response: %q", line)
		return
	}
	word, args, _ := strings.Cut(rest, " ")
	if n, err := strconv.Atoi(word); err == nil {
		switch kind, data, _ := strings.Cut(args, " "); kind {
		case "EXISTS":
			if n < len(w.msgs) {
				w.fail("%d EXISTS of %d", n, len(w.msgs))
			}
			for len(w.msgs) < n {
				w.msgs = append(w.msgs, &walked{flags: "?"})
			}
		case "EXPUNGE":
			if w.kind == walkQresync || w.kind == walkUIDOnly || w.numbersHold() || n < 1 || n > len(w.msgs) {
				w.fail("%s of %d", line, len(w.msgs))
				return
			}
			w.msgs = slices.Delete(w.msgs, n-1, n)
		case "FETCH":
			if n < 1 || n > len(w.msgs) || w.kind == walkUIDOnly {
				w.fail("%s of %d", line, len(w.msgs))
				return
			}
			w.fetched(n-1, line, data)
		case "UIDFETCH":
			w.uidFetched(uint32(n), line, data)
		}
		return
	}
	switch word {
	case "VANISHED":
		set, earlier := strings.CutPrefix(args, "(EARLIER) ")
		if w.kind != walkQresync && w.kind != walkUIDOnly || !earlier && w.numbersHold() {
			w.fail("%s", line)
		}
		w.vanish(set, earlier)
	case "OK":
		if m := walkHighest.FindStringSubmatch(args); m != nil {
			n, _ := strconv.ParseUint(m[1], 10, 64)
			w.seen = max(w.seen, n)
		}
		if v, ok := strings.CutPrefix(args, "[UIDVALIDITY "); ok {
			n, _ := strconv.ParseUint(v[:strings.IndexByte(v, ']')], 10, 32)
			w.validity = uint32(n)
		}
	}
}

// numbersHold: no message may go while one of these runs (RFC 9051 7.5.1).
func (w *walker) numbersHold() bool {
	verb, _, _ := strings.Cut(w.command, " ")
	return verb == "FETCH" || verb == "STORE" || verb == "SEARCH" || verb == "SORT" || verb == "THREAD"
}

func (w *walker) fetched(i int, line, data string) {
	m := w.msgs[i]
	if got := walkUID.FindStringSubmatch(data); got != nil {
		n, _ := strconv.ParseUint(got[1], 10, 32)
		if m.uid != 0 && m.uid != uint32(n) {
			w.fail("%s, which was UID %d", line, m.uid)
		}
		m.uid = uint32(n)
		for j := range w.msgs {
			if uid := w.msgs[j].uid; uid != 0 && (j < i && uid >= m.uid || j > i && uid <= m.uid) {
				w.fail("%s, while number %d is UID %d", line, j+1, uid)
			}
		}
	}
	if got := walkFlags.FindStringSubmatch(data); got != nil {
		m.flags, m.told = sortFlags(strings.Fields(got[1])), true
	}
	if got := walkModSeq.FindStringSubmatch(data); got != nil {
		m.modseq, _ = strconv.ParseUint(got[1], 10, 64)
		w.seen = max(w.seen, m.modseq)
	} else if w.kind == walkCondstore || w.kind == walkQresync {
		w.fail("no MODSEQ: %s", line)
	}
}

// uidFetched: of a message of which only the number was told the UID is learned by a FETCH of all.
func (w *walker) uidFetched(uid uint32, line, data string) {
	i := slices.IndexFunc(w.msgs, func(m *walked) bool { return m.uid == uid })
	if i < 0 && strings.HasPrefix(w.command, "UID FETCH 1:*") {
		if i = slices.IndexFunc(w.msgs, func(m *walked) bool { return m.uid == 0 }); i >= 0 {
			w.msgs[i].uid = uid
		}
	}
	switch known := slices.ContainsFunc(w.msgs, func(m *walked) bool { return m.uid > uid }); {
	case w.kind != walkUIDOnly, i < 0 && known:
		w.fail("%s", line)
	case i >= 0:
		w.fetched(i, line, data)
	}
}

func sortFlags(flags []string) string {
	flags = slices.DeleteFunc(flags, func(f string) bool { return f == `\Recent` })
	slices.Sort(flags)
	return strings.Join(flags, " ")
}

func (w *walker) vanish(set string, earlier bool) {
	for _, uid := range w.uids(set) {
		i := slices.IndexFunc(w.msgs, func(m *walked) bool { return m.uid == uid })
		if i < 0 && !earlier { // one of those of which only the number was told (RFC 7162 3.2.10)
			after := slices.IndexFunc(w.msgs, func(m *walked) bool { return m.uid > uid })
			if after < 0 {
				after = len(w.msgs)
			}
			if after > 0 && w.msgs[after-1].uid == 0 {
				i = after - 1
			} else if w.kind == walkUIDOnly {
				i = slices.IndexFunc(w.msgs, func(m *walked) bool { return m.uid == 0 })
			}
		}
		switch {
		case i >= 0:
			w.msgs = slices.Delete(w.msgs, i, i+1)
		case !earlier:
			w.fail("VANISHED of UID %d, which was not there", uid)
		}
	}
}

// uids are those of a set.
func (w *walker) uids(set string) (all []uint32) {
	for _, r := range strings.Split(set, ",") {
		a, b, ranged := strings.Cut(r, ":")
		from, err := strconv.ParseUint(a, 10, 32)
		to := from
		if ranged && err == nil {
			to, err = strconv.ParseUint(b, 10, 32)
		}
		if err != nil || to < from || to-from > 1<<20 {
			w.fail("a set of UIDs: %q", set)
			return nil
		}
		for uid := from; uid <= to; uid++ {
			all = append(all, uint32(uid))
		}
	}
	return all
}

// open selects the mailbox. resume: a client with QRESYNC says what it remembers, which is all it may be sent no more.
func (w *walker) open(resume bool) {
	if resume && w.validity != 0 && w.highest != 0 {
		w.msgs = slices.DeleteFunc(w.msgs, func(m *walked) bool { return m.uid == 0 || m.flags == "?" })
		kept := w.msgs
		w.msgs = nil
		w.resume(kept)
	} else {
		w.msgs = nil
		w.want("SELECT Walked")
	}
	w.learn()
}

// resume: EXISTS comes before VANISHED (EARLIER) and FETCH (RFC 7162 3.2.5), so what is remembered is put in order behind the command. Then comes what happened
// while it ran, of which a message that vanishes may be one that the client never knew.
func (w *walker) resume(kept []*walked) {
	w.command = fmt.Sprintf("SELECT Walked (QRESYNC (%d %d))", w.validity, w.highest)
	w.tags++
	tag := fmt.Sprintf("%s-%d", w.name, w.tags)
	fmt.Fprintf(w.conn, "%s %s\r\n", tag, w.command)
	known := map[uint32]*walked{}
	for _, m := range kept {
		known[m.uid] = m
	}
	exists := -1
	var later []string
	for range 100000 {
		line := w.line()
		if status, ok := strings.CutPrefix(line, tag+" "); ok {
			if !strings.HasPrefix(status, "OK") {
				w.fail("%s", status)
			}
			break
		}
		if line == "" {
			return
		}
		switch {
		case strings.HasSuffix(line, " EXISTS") && exists < 0:
			exists, _ = strconv.Atoi(strings.Fields(line)[1])
		case strings.HasSuffix(line, " EXISTS"):
			later = append(later, line)
		case strings.HasPrefix(line, "* VANISHED (EARLIER) "):
			w.msgs = nil
			for _, m := range kept {
				if known[m.uid] != nil {
					w.msgs = append(w.msgs, m)
				}
			}
			w.vanish(strings.TrimPrefix(line, "* VANISHED (EARLIER) "), true)
			left := map[uint32]*walked{}
			for _, m := range w.msgs {
				left[m.uid] = m
			}
			known = left
		case strings.HasPrefix(line, "* VANISHED "):
			later = append(later, line)
			for _, uid := range w.uids(strings.TrimPrefix(line, "* VANISHED ")) {
				if known[uid] == nil {
					known[uid] = &walked{uid: uid, flags: "?"}
				}
			}
		case strings.Contains(line, " FETCH ("):
			later = append(later, line)
			if uid := walkUID.FindStringSubmatch(line); uid == nil {
				w.fail("no UID: %s", line)
			} else {
				n, _ := strconv.ParseUint(uid[1], 10, 32)
				if known[uint32(n)] == nil {
					known[uint32(n)] = &walked{uid: uint32(n), flags: "?"}
				}
			}
		default:
			w.take(line)
		}
	}
	w.msgs = nil
	for _, m := range known {
		w.msgs = append(w.msgs, m)
	}
	slices.SortFunc(w.msgs, func(a, b *walked) int { return int(a.uid) - int(b.uid) })
	if len(w.msgs) != exists {
		w.fail("%d messages are remembered or told, of %d", len(w.msgs), exists)
		return
	}
	for _, line := range later {
		w.take(line)
	}
}

// learn asks for what is not known.
func (w *walker) learn() {
	for i, m := range w.msgs {
		if m.uid == 0 || m.flags == "?" || m.modseq == 0 && w.kind == walkCondstore {
			if w.kind == walkUIDOnly {
				w.want("UID FETCH 1:* (FLAGS)")
			} else {
				w.want(fmt.Sprintf("FETCH %d:%d %s", i+1, len(w.msgs), w.items()))
			}
			return
		}
	}
}

func (w *walker) items() string {
	if w.kind == walkCondstore || w.kind == walkQresync {
		return "(UID FLAGS MODSEQ)"
	}
	return "(UID FLAGS)"
}

// compare holds the picture against that of a client that came anew, while nothing happens.
func (w *walker) compare(fresh *walker, round int) {
	w.t.Helper()
	if len(w.msgs) != len(fresh.msgs) {
		w.t.Errorf("round %d: %s sees %d messages of %d", round, w.name, len(w.msgs), len(fresh.msgs))
		return
	}
	for i, m := range w.msgs {
		if f := fresh.msgs[i]; m.uid != f.uid || m.flags != f.flags || w.kind == walkCondstore && m.modseq != f.modseq {
			w.t.Errorf("round %d: %s sees %+v, it is %+v", round, w.name, *m, *f)
		}
	}
}

func (w *walker) pick(all []string) string { return all[w.rng.IntN(len(all))] }

// some is a set of sequence numbers, or of UIDs.
func (w *walker) some(uid bool) string {
	var parts []string
	for range 1 + w.rng.IntN(3) {
		i := w.rng.IntN(len(w.msgs))
		j := min(len(w.msgs)-1, i+w.rng.IntN(3))
		a, b := i+1, j+1
		if uid {
			a, b = int(w.msgs[i].uid), int(w.msgs[j].uid)
		}
		if w.rng.IntN(2) == 0 {
			b = a
		}
		parts = append(parts, fmt.Sprintf("%d:%d", a, b))
	}
	return strings.Join(parts, ",")
}

// step does one random thing.
func (w *walker) step() {
	if w.t.Failed() {
		return
	}
	w.learn()
	uid := w.rng.IntN(2) == 0 || w.kind == walkUIDOnly
	prefix := ""
	if uid {
		prefix = "UID "
	}
	what := w.rng.IntN(15)
	if len(w.msgs) == 0 && what < 8 {
		what = 8
	}
	flags := w.pick([]string{`(\Seen)`, `(\Flagged)`, `(\Deleted)`, `(\Answered $Key)`, `(work)`, `()`})
	switch what {
	case 0, 1:
		w.do(prefix + "STORE " + w.some(uid) + " " + w.pick([]string{"FLAGS ", "+FLAGS ", "-FLAGS "}) + flags)
	case 2: // a silent one: the client knows the outcome itself, if nobody else changed the message
		i := w.rng.IntN(len(w.msgs))
		m := w.msgs[i]
		m.told = false
		if status := w.do(fmt.Sprintf("UID STORE %d FLAGS.SILENT %s", m.uid, flags)); strings.HasPrefix(status, "OK") && !m.told {
			m.flags = sortFlags(strings.Fields(strings.Trim(flags, "()")))
		}
	case 3:
		if w.kind == walkCondstore || w.kind == walkQresync {
			m := w.msgs[w.rng.IntN(len(w.msgs))]
			w.do(fmt.Sprintf(`UID STORE %d (UNCHANGEDSINCE %d) +FLAGS %s`, m.uid, m.modseq, flags))
		}
	case 4:
		w.do(prefix + "FETCH " + w.some(uid) + " " + w.items())
	case 5:
		w.do(prefix + "MOVE " + w.some(uid) + " Beside")
	case 6:
		w.do(prefix + "COPY " + w.some(uid) + " " + w.pick([]string{"Beside", "Walked"}))
	case 7:
		w.do("UID EXPUNGE " + w.some(true))
	case 8, 9:
		w.do("NOOP")
		w.append(1 + w.rng.IntN(3))
	case 10:
		w.do("EXPUNGE")
	case 11:
		w.do(prefix + "SEARCH " + w.pick([]string{"ALL", "UNSEEN", "DELETED"}))
	case 12:
		w.idle()
	case 13: // a message that another client takes meanwhile is NO
		if len(w.msgs) > 0 {
			w.replace(prefix, uid)
		}
	case 14:
		if w.kind == walkQresync {
			w.connect()
			w.open(true)
		} else {
			w.open(false)
		}
	}
}

// append adds messages together, by literals that are not waited for.
func (w *walker) append(n int) {
	command := "APPEND Walked"
	for range n {
		command += w.message()
	}
	w.do(command)
}

func (w *walker) message() string {
	text := fmt.Sprintf("Subject: %d\r\n\r\nwalk\r\n", w.rng.Uint32())
	return fmt.Sprintf(" (%s) {%d+}\r\n%s", w.pick([]string{"", `\Seen`, "work"}), len(text), text)
}

// replace has a message come in the place of another, here or elsewhere.
func (w *walker) replace(prefix string, uid bool) {
	i := w.rng.IntN(len(w.msgs))
	number := i + 1
	if uid {
		number = int(w.msgs[i].uid)
	}
	w.do(fmt.Sprint(prefix, "REPLACE ", number, " ", w.pick([]string{"Walked", "Walked", "Beside"}), w.message()))
}

func (w *walker) idle() {
	w.tags++
	tag := fmt.Sprintf("%s-%d", w.name, w.tags)
	w.command = "IDLE"
	fmt.Fprintf(w.conn, "%s IDLE\r\n", tag)
	time.AfterFunc(time.Duration(w.rng.IntN(50))*time.Millisecond, func() { fmt.Fprint(w.conn, "DONE\r\n") })
	for range 100000 {
		line := w.line()
		switch {
		case strings.HasPrefix(line, "+ "):
		case strings.HasPrefix(line, tag+" "):
			return
		case line == "":
			return
		default:
			w.take(line)
		}
	}
}
