package imapd

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"domicile/message"
	"domicile/store"
)

// contexts are searches that a client has updated: a command without its RETURN, and what follows.
var contexts = [][2]string{
	{"UID SEARCH", "UNSEEN"}, {"SEARCH", "OR FLAGGED SUBJECT 2"}, {"UID SORT", "(SUBJECT REVERSE ARRIVAL) UTF-8 UNSEEN"}, {"SORT", "(REVERSE SUBJECT SIZE) UTF-8 NOT KEYWORD work"},
	{"UID SEARCH", "UID 5:* NOT (DELETED SUBJECT 1)"}, {"UID SORT", "(FROM REVERSE SUBJECT) UTF-8 ALL"}, {"SEARCH", "KEYWORD work"}, {"UID SORT", "(SIZE) UTF-8 OR SEEN TEXT twice"},
}

// contextClient has the results of all contexts as it was told of changes in them.
type contextClient struct {
	*client
	uidOnly bool
	lists   map[string][]int // by tag
}

var (
	updated = regexp.MustCompile(`^\* ESEARCH \(TAG "(u\d)"\)( UID)?( REMOVEFROM \(([^)]*)\))?( ADDTO \(([^)]*)\))?$`)
	gone    = regexp.MustCompile(`^\* (\d+) EXPUNGE$`)
)

// run runs a command and takes in what it tells of the contexts.
func (c *contextClient) run(line string) {
	c.t.Helper()
	for _, got := range strings.Split(c.do("r "+line, "r "), "\r\n") {
		if m := updated.FindStringSubmatch(got); m != nil {
			if m[3]+m[5] == "" {
				c.t.Fatalf("%s: nothing in %q", line, got)
			}
			_, command := c.context(m[1])
			if isUID := strings.HasPrefix(command, "UID "); isUID != (m[2] != "") {
				c.t.Fatalf("%s: %q", command, got)
			}
			sorted := strings.Contains(command, "SORT")
			c.remove(got, m[1], m[4], sorted)
			c.add(got, m[1], m[6], sorted)
		} else if strings.Contains(got, "ESEARCH") {
			c.t.Fatalf("%s: %q", line, got)
		} else if m := gone.FindStringSubmatch(got); m != nil {
			c.renumber(atoi(m[1]))
		}
	}
}

func (c *contextClient) context(tag string) (n int, command string) {
	n = atoi(tag[1:])
	return n, contexts[n][0]
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// members are the numbers of a set, in its order.
func members(set string) (all []int) {
	for _, part := range strings.Split(set, ",") {
		from, to, isRange := strings.Cut(part, ":")
		if !isRange {
			to = from
		}
		for n := atoi(from); n <= atoi(to); n++ {
			all = append(all, n)
		}
	}
	return all
}

func (c *contextClient) remove(line, tag, pairs string, sorted bool) {
	words := strings.Fields(pairs)
	for i := 0; i < len(words); i += 2 {
		at := atoi(words[i])
		for _, n := range members(words[i+1]) {
			list := c.lists[tag]
			j := at - 1
			if !sorted {
				j = slices.Index(list, n)
			}
			if sorted != (at > 0) || j < 0 || j >= len(list) || list[j] != n {
				c.t.Fatalf("%q, of %v", line, list)
			}
			c.lists[tag] = slices.Delete(list, j, j+1)
		}
	}
}

func (c *contextClient) add(line, tag, pairs string, sorted bool) {
	words := strings.Fields(pairs)
	for i := 0; i < len(words); i += 2 {
		at := atoi(words[i])
		for _, n := range members(words[i+1]) {
			list := c.lists[tag]
			j := at - 1
			if !sorted {
				j, _ = slices.BinarySearch(list, n)
			}
			if sorted != (at > 0) || slices.Contains(list, n) || j < 0 || j > len(list) {
				c.t.Fatalf("%q, of %v", line, list)
			}
			c.lists[tag] = slices.Insert(list, j, n)
			if sorted {
				at++
			}
		}
	}
}

// renumber: a message is gone, whose number no result may have any more.
func (c *contextClient) renumber(gone int) {
	for tag, list := range c.lists {
		if _, command := c.context(tag); strings.HasPrefix(command, "UID ") {
			continue
		}
		for i, n := range list {
			if n == gone {
				c.t.Fatalf("message %d goes from %v without a word", gone, list)
			}
			if n > gone {
				list[i]--
			}
		}
	}
}

// begin asks for all contexts that the client can follow.
func (c *contextClient) begin() {
	c.t.Helper()
	c.lists = map[string][]int{}
	for i, x := range contexts {
		if c.uidOnly && !strings.HasPrefix(x[0], "UID ") {
			continue
		}
		tag := fmt.Sprint("u", i)
		got := c.do(tag+" "+strings.Replace(x[0]+" "+x[1], x[0], x[0]+" RETURN (UPDATE ALL)", 1), tag+" OK")
		c.lists[tag] = c.result(got)
		if strings.Contains(got, "NOUPDATE") {
			c.t.Fatalf("%s: %q", x, got)
		}
	}
}

// result is that of an ESEARCH with ALL.
func (c *contextClient) result(answer string) []int {
	_, all, found := strings.Cut(answer, " ALL ")
	if !found {
		return nil
	}
	all, _, _ = strings.Cut(all, "\r\n")
	return members(all)
}

// compare holds what the client has against searches of now.
func (c *contextClient) compare(what string) {
	c.t.Helper()
	for tag, list := range c.lists {
		n, command := c.context(tag)
		got := c.do("f "+command+" RETURN (ALL) "+contexts[n][1], "f OK")
		if want := c.result(got); !slices.Equal(list, want) {
			c.t.Fatalf("behind %s, %s: the client has %v, it is %v", what, contexts[n], list, want)
		}
	}
}

// TestContextsFollow has two sessions do random things to a mailbox. What one of them is told of changes in the results of searches must make these what
// the same searches find, whenever it may be told all.
func TestContextsFollow(t *testing.T) {
	w := newWorld(t)
	put := func(r *rand.Rand) {
		w.put("INBOX", fmt.Sprintf("From: %c@x\r\nSubject: %d\r\n\r\n%s", 'a'+rune(r.IntN(4)), r.IntN(4), strings.Repeat("twice ", r.IntN(3))))
	}
	for seed := range uint64(9) {
		r := rand.New(rand.NewPCG(seed, 7))
		for range 12 {
			put(r)
		}
		c, d := &contextClient{client: w.login(), uidOnly: seed%3 == 2}, w.login()
		if c.uidOnly {
			c.do("a ENABLE UIDONLY", "a OK")
		}
		c.do("b SELECT INBOX", "b OK")
		d.do("b SELECT INBOX", "b OK")
		c.begin()
		d.do("c NOOP", "c OK")
		set := func() string {
			from := 1 + r.IntN(14)
			return fmt.Sprintf("%d:%d", from, from+r.IntN(3))
		}
		for step := range 50 {
			last := ""
			for range 1 + r.IntN(3) {
				uid := "UID "
				if !c.uidOnly && r.IntN(3) == 0 { // while numbers must hold
					uid = ""
				}
				flag := []string{`\Seen`, `\Flagged`, `\Deleted`, "work"}[r.IntN(4)]
				store := uid + "STORE " + set() + " " + []string{"+", "-"}[r.IntN(2)] + "FLAGS.SILENT (" + flag + ")"
				switch last = store; r.IntN(8) {
				case 0, 1:
					d.do("d "+store, "d ")
				case 2, 3, 4:
					c.run(store)
				case 5:
					last = "EXPUNGE"
					d.do("d EXPUNGE", "d OK")
				case 6:
					last = "own EXPUNGE"
					c.run("EXPUNGE")
				case 7:
					last = "a new message"
					put(r)
				}
			}
			c.run("NOOP")
			c.compare(fmt.Sprintf("step %d of seed %d, %s", step, seed, last))
		}
		for _, c := range []*client{c.client, d} {
			c.do("z LOGOUT", "z OK")
		}
	}
}

// Memory of results is bounded, counted as they grow and given back.
func TestContextsAreBounded(t *testing.T) {
	w, c := filled(t, 20)
	all := newShares(4000) // of which one account has half
	var of *share
	for s := range w.home.sessions {
		s.contexts = share{of: all, acct: s.acct}
		of = &s.contexts
	}
	held := func(n int64) bool { // at most n
		all.mu.Lock()
		defer all.mu.Unlock()
		return of.n <= n
	}
	c.says("c UID SORT RETURN (UPDATE COUNT) (SUBJECT) UTF-8 UNSEEN", "c OK", `* ESEARCH (TAG "c") UID COUNT 20`)
	c.says("d UID SORT RETURN (UPDATE COUNT) (SUBJECT) UTF-8 ALL", "d OK", `* ESEARCH (TAG "d") UID COUNT 20`)
	c.says("e UID SORT RETURN (UPDATE COUNT) (SUBJECT) UTF-8 ALL", "e OK", `* ESEARCH (TAG "e") UID COUNT 20`, `* NO [NOUPDATE "e"] Too many contexts, or too large`)
	if held(1000) {
		t.Error("two results of 20 messages take no memory")
	}
	c.do(`f STORE 1:* +FLAGS.SILENT (\Seen)`, "f OK")
	if !held(1100) {
		t.Error("an empty result takes memory")
	}
	for range 40 {
		w.put("INBOX", "Subject: x\r\n\r\n", store.Seen)
	}
	if got := c.do("g NOOP", "g OK"); !strings.HasSuffix(got, "* NO [NOUPDATE \"d\"] The updates are over\r\n") {
		t.Errorf("%q", got)
	}
	c.do("h CLOSE", "h OK")
	if !held(0) {
		t.Error("what was held is not given back")
	}
}

// The strings of placeOf compare as the keys do, whatever the texts hold.
func TestPlaceOf(t *testing.T) {
	texts := []string{"", "\x00", "\x00\x00", "\x00\xff", "a", "a\x00", "a\x00b", "a\xff", "ab", "b"}
	for i, a := range texts {
		for j, b := range texts {
			for _, reverse := range []bool{false, true} {
				keys := []sortKey{{"FROM", reverse}, {"SIZE", reverse}}
				x := placeOf(keys, &store.Message{Size: math.MaxInt64}, &message.Summary{FromKey: message.SortKey{Mailbox: a}})
				y := placeOf(keys, &store.Message{Size: -4}, &message.Summary{FromKey: message.SortKey{Mailbox: b}})
				want := cmp.Or(strings.Compare(strings.ToUpper(a), strings.ToUpper(b)), 1)
				if reverse {
					want = -want
				}
				if got := strings.Compare(x, y); got != want {
					t.Errorf("%q (%d) and %q (%d), reverse %v: %d, want %d", a, i, b, j, reverse, got, want)
				}
			}
		}
	}
}
