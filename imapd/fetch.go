package imapd

import (
	"slices"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/imapd/wire"
	"domicile/store"
)

func (s *session) fetch(cmd *wire.Command) (string, error)    { return s.fetchSet(cmd, false) }
func (s *session) uidFetch(cmd *wire.Command) (string, error) { return s.fetchSet(cmd, true) }

// fetchSet is FETCH (RFC 9051 6.4.5). Messages that are gone meanwhile are left out.
func (s *session) fetchSet(cmd *wire.Command, uid bool) (string, error) {
	cmd.SP()
	set := cmd.Set(uid)
	q, err := s.readItems(cmd, uid)
	if err != nil {
		return "", err
	}
	picked, err := s.ranges(set)
	if err != nil {
		return "", err
	}
	if q.modSeq {
		s.condstore()
	}
	if q.partial != nil {
		picked = s.view.present(picked)
		picked = picked.cut(q.partial.of(picked.count()))
	}
	if q.changedSince != nil { // of these (RFC 9394 3.4)
		if picked, err = s.changedOf(set, picked, q); err != nil {
			return "", err
		}
	}
	s.progress.toGo(picked.count())
	f := fetcher{s: s, q: &q, counts: true}
	if err := f.all(picked); err != nil {
		return "", err
	}
	return f.done(uid), f.refusal
}

// changedOf keeps of a set what changed (RFC 7162 3.1.4.1), and tells what vanished of it if that is wanted (3.2.6).
func (s *session) changedOf(set imap.NumSet, picked spans, q fetchItems) (spans, error) {
	changed, vanished, err := s.changedAfter(*q.changedSince)
	if domicile.KindOf(err) == domicile.NotExist {
		return nil, nil
	}
	if err != nil {
		return nil, failure(err)
	}
	if q.vanished {
		uids, _ := set.(imap.UIDSet)
		if imap.IsSearchRes(set) {
			uids = s.saved
		}
		s.tellEarlier(vanished, uidRanges(uids, s.view.mailbox.UIDNext-1)) // "*" is no message that is there: the last ones may be gone
	}
	return both(changed, picked), nil
}

// fetcher answers one FETCH.
type fetcher struct {
	s       *session
	q       *fetchItems
	counts  bool   // it is the command's progress how many messages are sent
	refusal error  // what is told at the end, if a message could not be had; the others were
	some    bool   // an item of the present message was sent
	room    []byte // for the bytes of a message

	downgraded spans // indexes of the messages of which an answer is in ASCII that has more
}

// pagesAhead is how many pages are read while one is sent.
const pagesAhead = 2

// all sends what is asked for of each message of a set of indexes.
func (f *fetcher) all(picked spans) error {
	p := pager{v: f.s.view, left: slices.Clone(picked), size: pageSize}
	if len(f.q.sections) > 0 {
		p.size = pageSize / 4
	}
	var under []<-chan page // being read
	sent := 0
	for {
		for len(under) < pagesAhead {
			next := f.read(&p)
			if next == nil {
				break
			}
			under = append(under, next)
		}
		if len(under) == 0 {
			return nil
		}
		got := <-under[0]
		under = under[1:]
		if domicile.KindOf(got.err) == domicile.NotExist { // the mailbox was deleted: there is nothing to send
			return nil
		}
		if got.err != nil {
			return failure(got.err)
		}
		rows := got.rows(f.s.view, picked)
		if err := f.markSeen(rows); err != nil {
			return err
		}
		if err := f.sendPage(rows); err != nil {
			return err
		}
		if sent += len(rows); f.counts {
			f.s.progress.reached(sent)
		}
	}
}

// row is a message as it is sent.
type row struct {
	store.Listed
	index int  // in the view
	now   bool // \Seen was set by this FETCH: its flags are told
}

// markSeen sets \Seen where the request does so (RFC 9051 6.4.5), in one act for a page.
func (f *fetcher) markSeen(rows []row) error {
	v := f.s.view
	if v.readOnly || v.removed || !f.q.seen {
		return nil
	}
	at := map[store.UID]*row{}
	var uids []store.UID
	for i := range rows {
		if m := &rows[i]; !slices.Contains(m.Flags, store.Seen) && len(m.Flags) < store.MaxFlags { // one that has all that it may have is sent nevertheless
			at[m.UID] = m
			uids = append(uids, m.UID)
		}
	}
	if len(uids) == 0 {
		return nil
	}
	did, err := f.s.store().StoreFlags(f.s.ctx(), "", f.s.acct, v.mailbox.ID, uids, store.FlagsAdd, []string{store.Seen}, 0)
	if err != nil {
		return failure(err)
	}
	v.acted(&did)
	for _, m := range did.Done {
		v.know(m)
		at[m.UID].Message, at[m.UID].now = m, true
	}
	if len(v.told) > storePage {
		f.s.tellUpdates(false) // so that what is noted need not be kept
	}
	return nil
}

// index sends the items that the index has, and opens the answer.
func (f *fetcher) index(m *row) {
	c, q := f.s.conn, f.q
	f.s.beginFetch(m.index, m.UID)
	f.some = false
	if f.item(q.uid || m.now && f.s.enabled.condstore && !f.s.enabled.uidOnly, "UID ") { // RFC 7162 3.2.4
		c.Num(int64(m.UID))
	}
	if f.item(q.flags || m.now, "") {
		f.s.flagsOf(m.UID, m.Flags)
	}
	if f.item(q.modSeq || m.now && f.s.enabled.condstore, "MODSEQ (") {
		c.Unum(uint64(m.ModSeq)).Raw(")")
	}
	if f.item(q.internal, "INTERNALDATE ") {
		c.Append(func(b []byte) []byte { return m.Internal.AppendFormat(b, imapTime) })
	}
	if f.item(q.saved, "SAVEDATE ") { // RFC 8514
		c.Append(func(b []byte) []byte { return m.Saved.AppendFormat(b, imapTime) })
	}
	if f.item(q.size, "RFC822.SIZE ") {
		c.Num(m.Size)
	}
	if f.item(q.emailID, "EMAILID (") { // RFC 8474 5.1
		c.Raw(string(m.ID)).Raw(")")
	}
	f.item(q.threadID, "THREADID NIL") // RFC 8474 5.2
	m.now = false                      // it is told
}

// beginFetch begins a FETCH of the message with an index in the view; once UIDONLY is enabled a UIDFETCH, which is told by its UID (RFC 9586 3.3).
func (s *session) beginFetch(index int, uid store.UID) {
	if s.enabled.uidOnly {
		s.conn.Raw("* ").Num(int64(uid)).Raw(" UIDFETCH (")
	} else {
		s.conn.Raw("* ").Num(int64(index + 1)).Raw(" FETCH (")
	}
}

// beginFetchUID is beginFetch with the item UID, and a space behind it, unless what it begins has the UID anyhow.
func (s *session) beginFetchUID(index int, uid store.UID) {
	if s.beginFetch(index, uid); !s.enabled.uidOnly {
		s.conn.Raw("UID ").Num(int64(uid)).Raw(" ")
	}
}

// item begins an item if it is wanted.
func (f *fetcher) item(wanted bool, name string) bool {
	if wanted {
		if f.some {
			f.s.conn.Raw(" ")
		}
		f.some = true
		f.s.conn.Raw(name)
	}
	return wanted
}

// imapTime: RFC 9051 9, date-time.
const imapTime = `"_2-Jan-2006 15:04:05 -0700"`
