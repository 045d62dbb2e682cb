//go:build linux

package disk

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"

	"domicile/tests/faultfs"
)

// redundant are the fsyncs that may be left out and nothing acknowledged is lost, in any history and power cut that the
// test tries. Each has a reason; whatever else is left out must be missed.
var redundant = map[string]string{
	"file /data/audit/log.db, its size":                           grown,
	"file /data/cosigner/witness.db, its size":                    grown,
	"file /data/store/index.db, its size":                         grown,
	"folder /data/audit/tile: +entries":                           "the same folder is synced again for the tiles, before the checkpoint that covers both",
	"folder /data/audit/tile: +entries, left by a killed process": "the same",
	"folder /data/audit: +tmp -tmp":                               "the folder for temporary files, which is made anew at every opening",
	"folder /data: +.new-* +region.secret -.tmp-*":                "each part that is opened syncs the data folder again, before anything of it counts that is sealed",
	"folder /data/keys: +.new-* -.new-*":                          "the same folder is synced again when the file has its name; a killed process had left such a file",
	"folder /secrets: +wraps":                                     "the same folder is synced again for the root key, before anybody is told of it",
	"folder /wraps: -*":                                           overwritten,
	"folder /wraps: -*, left by a killed process":                 overwritten,
	"file /data/store/index.db.new, first pages":                  unplaced,
	"file /data/store/index.db.new, its size":                     unplaced,
	"folder /data/store: +index.db +index.db.new":                 "the same folder is synced again when the index is open, before the store is",
	"folder /data/store/base: +new":                               "the same folder is synced again when the base has its name, before an older one or a segment goes",
	"folder /data/store/base: +new -*":                            "the same",
	"folder /data/store/base: +new -new":                          "the same",

	"file /data/audit/log.db, data pages, left by a killed process":        unnamed,
	"file /data/cosigner/witness.db, data pages, left by a killed process": unnamed,
	"file /data/store/index.db, data pages, left by a killed process":      unnamed,
}

func init() {
	for _, part := range []string{"audit -.tmp-*", "cosigner", "keys", "store", "journal", "outbound"} {
		redundant["folder /data: +"+part+", left by a killed process"] = "each part that is opened syncs the data folder again"
	}
	for _, names := range []string{"+*", "-*", "+* -*"} {
		redundant["folder /data/outbound: "+names+", left by a killed process"] = "no entry of the queue names the file yet, or any more: opening removes it"
	}
}

// apart are the acts whose fsyncs are told apart from those of others that come from the same lines.
var apart = []string{"arrive", "give up", "submit", "send"}

// byTheWay says of an fsync that it belongs to no act: a base of the index is written when the log has grown, whatever act goes on then.
func byTheWay(site string) bool {
	return strings.HasPrefix(site, "folder /data/store: +base") || strings.HasPrefix(site, "folder /data/store/base") || strings.HasPrefix(site, "file /data/store/base")
}

// heals says of an fsync of the store's index that one history misses and another does not. What was lost of data pages is found at the
// opening, if that reads the page, and made anew from base and log. And the index is written by the clock, so that few of its fsyncs fall
// into one act or none; of all together, those of meta pages must be missed.
func heals(site string) bool {
	always, _, act := strings.Cut(site, inAct)
	return always == "file /data/store/index.db, data pages" || act && always == "file /data/store/index.db, meta page"
}

// reason says why a site may be left out, "" if it must be missed. What may be left out anywhere may be in each act.
func reason(site string) string {
	always, _, _ := strings.Cut(site, inAct)
	return cmp.Or(redundant[site], redundant[always])
}

const (
	inAct  = ", in the act "
	killed = ", left by a killed process"
)

// seldom is how often the clock may bring an fsync into an act, or behind a kill, so that too few power cuts are left in which it could be missed. What is
// known of the same fsync elsewhere counts then.
const seldom = 2

// anywhere is a site without the act that goes on, and whoever left it to be done.
func anywhere(site string) string {
	site, _, _ = strings.Cut(site, inAct)
	return strings.TrimSuffix(site, killed)
}

const unplaced = "the whole file is synced again before it takes the place of index.db"

const overwritten = "the file's bytes were overwritten and synced before: if its name comes back it holds zeros"

const unnamed = "the process was killed before a meta page named them, so that nobody reads them"

const grown = "bbolt sets a file's size and syncs it, then writes pages and syncs it again, before the commit counts"

// words are the names that mean something in a path; every other is replaced by a star.
var words = strings.Fields(`data audit log.db log.db.new tmp checkpoint tile entries cosigner witness.db witness.db.new keys store
	index.db index.db.new segments base new journal lock secrets domicile.stamp outbound
	wraps account.keys region.secret`)

// pattern is a path without what differs from run to run.
func pattern(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		switch {
		case slices.Contains(words, p):
		case strings.HasPrefix(p, ".new-"), strings.HasPrefix(p, ".tmp-"):
			parts[i] = p[:5] + "*"
		case strings.HasPrefix(p, "tile-entries-"):
			parts[i] = "tile-entries-*"
		case strings.HasPrefix(p, "tile-"):
			parts[i] = "tile-*"
		case strings.HasSuffix(p, ".seg"):
			parts[i] = "*.seg"
		case strings.HasSuffix(p, ".journal"):
			parts[i] = "*.journal"
		case p != "":
			parts[i] = "*"
		}
	}
	return "/" + strings.Join(parts, "/")
}

// site names the place in a program that an fsync comes from, as far as a disk can tell: which file, and for bbolt which
// of its flushes; or which folder, and which names it kept or removed.
func site(s faultfs.Saved) string {
	where := pattern(s.Path)
	if s.Dir {
		return "folder " + where + ": " + s.Names(func(name string) string { return strings.TrimPrefix(pattern(name), strings.TrimSuffix(where, "/")+"/") })
	}
	if strings.HasSuffix(where, ".journal") && s.Fresh {
		return "file " + where + ", its header"
	}
	if !strings.Contains(where, ".db") {
		return "file " + where
	}
	for _, o := range s.Ops {
		switch {
		case s.Fresh:
			return "file " + where + ", first pages"
		case o.Kind == faultfs.Truncate:
			return "file " + where + ", its size"
		case o.Off < 2*4096:
			return "file " + where + ", meta page"
		}
	}
	return "file " + where + ", data pages"
}

// sites lists the fsyncs of a history by the place they come from. What a killed process left to be synced is found by
// another place, in the recovery of the next.
func sites(h history) map[string][]int {
	out := map[string][]int{}
	saves := h.trace.Saves()
	now := ""
	for i, o := range h.trace {
		if i == h.from {
			now = ""
		}
		now = cmp.Or(act(o), now)
		s, saved := saves[i]
		if !saved {
			continue
		}
		name := site(s)
		switch {
		case i >= h.from && s.Newest < h.from:
			name += killed
		case slices.Contains(apart, now) && !byTheWay(name):
			name += inAct + now
		}
		out[name] = append(out[name], i)
	}
	return out
}

// doubts are power cuts by which it should show that a site was left out, the likeliest first.
func doubts(trace faultfs.Trace, of []int) (list []question) {
	without := func(n int) bool { _, found := slices.BinarySearch(of, n); return found }
	seen := map[any]bool{}
	ask := func(n, w int) {
		q := question{trace: trace, n: n, way: keeps(n)[w], without: without}
		if k := q.key(); !seen[k] {
			seen[k] = true
			list = append(list, q)
		}
	}
	var said, unsynced, rest []int // just after a claim, just before an fsync, and anywhere
	for _, i := range of {
		for _, n := range points(trace[:min(len(trace), i+90)], i+1) {
			switch {
			case trace[n-1].Kind == faultfs.Note:
				said = append(said, n)
			case n < len(trace) && trace[n].Kind == faultfs.Sync:
				unsynced = append(unsynced, n)
			}
			rest = append(rest, n)
		}
	}
	ask(len(trace), 0)
	for i := range max(len(said), len(unsynced)) {
		if i < len(said) {
			ask(said[i], 0)
		}
		if i < len(unsynced) {
			ask(unsynced[i], 1)
		}
	}
	for _, n := range rest {
		ask(n, 0)
		ask(n, 1)
		ask(n, 2)
	}
	return list
}

// TestLeftOut leaves out each fsync, ours and bbolt's, one place in the programs at a time, and wants that to be missed in
// some power cut. The same histories with all fsyncs lose nothing, which is TestPowerCut.
func TestLeftOut(t *testing.T) {
	t.Parallel()
	secrets := newSecrets(t)
	list := histories(t, secrets)
	c := newChecker(t, secrets)
	missed, seen := map[string]string{}, map[string]int{}
	for i, h := range list {
		all := sites(h)
		limit := 300
		if i > 0 && long() {
			limit = 30 // there are many histories
		}
		var names []string
		for _, name := range slices.Sorted(maps.Keys(all)) {
			seen[name] += len(all[name])
			if missed[name] == "" && (reason(name) == "" || long()) {
				names = append(names, name)
			}
		}
		wrong, err := c.each(len(names), func(n int) (string, error) {
			q := doubts(h.trace, all[names[n]])
			return c.first(q[:min(len(q), limit)])
		})
		if err != nil {
			t.Fatal(err)
		}
		for n, name := range names {
			missed[name] = wrong[n]
		}
	}
	found := 0
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		switch why := reason(name); {
		case missed[name] != "":
			found++
			t.Logf("%s (%d times): left out, and missed: %.300s", name, seen[name], missed[name])
			if why != "" {
				t.Errorf("%s is said to be redundant (%s), and is not", name, why)
			}
		case why != "":
			t.Logf("%s (%d times): not missed: %s", name, seen[name], why)
		case heals(name):
			t.Logf("%s (%d times): not missed: healed", name, seen[name])
		case seen[name] <= seldom && (missed[anywhere(name)] != "" || reason(anywhere(name)) != ""):
			t.Logf("%s (%d times): not missed: it came too seldom to tell, but elsewhere", name, seen[name])
		default:
			t.Errorf("%s (%d times) can be left out and nobody misses it", name, seen[name])
		}
	}
	if found < 40 {
		t.Errorf("only %d places were missed", found)
	}
}

// first returns the first answer that says that something is wrong, "" if there is none.
func (c *checker) first(list []question) (string, error) {
	for _, q := range list {
		wrong, err := c.ask(q)
		if err != nil {
			return "", err
		}
		if wrong != "" {
			return q.String() + ": " + wrong, nil
		}
	}
	return "", nil
}
