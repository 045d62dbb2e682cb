package imapd

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/imapd/wire"
	"domicile/store"
)

// The commands of RFC 5464. Annotations of the server are those of the account: a customer shares nothing with others.
var metadataVerbs = map[string]verb{
	"GETMETADATA": {run: (*session).getMetadata},
	"SETMETADATA": {run: (*session).setMetadata},
}

// specialUseEntry is what a mailbox was made for, under another name (RFC 6154 3).
const specialUseEntry = "/private/specialuse"

// metadataQuery is what GETMETADATA and LIST ask for.
type metadataQuery struct {
	entries []string
	maxSize uint32
	depth   int // levels below each entry
	longest int // bytes of the largest value that was left out; 0 = none was
}

// getMetadata is GETMETADATA (RFC 5464 4.2). Its grammar has the options before the mailbox, and its examples behind it.
func (s *session) getMetadata(cmd *wire.Command) (string, error) {
	q := metadataQuery{maxSize: math.MaxUint32}
	cmd.SP()
	if cmd.Take("(") {
		q.options(cmd)
		cmd.SP()
	}
	name := cmd.Mailbox()
	cmd.SP()
	if cmd.Take("(") {
		if b := cmd.Peek() | 0x20; b >= 'a' && b <= 'z' {
			q.options(cmd)
			cmd.SP()
			q.readEntries(cmd)
		} else {
			cmd.Items(maxItems, func() { q.entry(cmd) })
		}
	} else {
		q.readEntries(cmd)
	}
	if err := cmd.End(); err != nil {
		return "", err
	}
	m, err := s.annotatedMailbox(name)
	if err != nil {
		return "", err
	}
	if err := s.tellMetadata(m, &q); err != nil {
		return "", failure(err)
	}
	if q.longest > 0 {
		return fmt.Sprintf("[METADATA LONGENTRIES %d] GETMETADATA completed", q.longest), nil
	}
	return "", nil
}

// options reads options behind "(".
func (q *metadataQuery) options(cmd *wire.Command) {
	cmd.Items(2, func() {
		switch cmd.Word() {
		case "MAXSIZE":
			cmd.SP()
			q.maxSize = cmd.Num()
		case "DEPTH":
			cmd.SP()
			switch cmd.Word() {
			case "0":
				q.depth = 0
			case "1":
				q.depth = 1
			case "INFINITY":
				q.depth = store.MaxEntryName
			default:
				cmd.Fail("DEPTH is 0, 1 or infinity")
			}
		default:
			cmd.Fail("No such option of GETMETADATA")
		}
	})
}

// readEntries reads one entry, or some in parentheses. RFC 5464 4.4.1 has some without.
func (q *metadataQuery) readEntries(cmd *wire.Command) {
	if cmd.Peek() == '(' {
		cmd.List(maxItems, false, func() { q.entry(cmd) })
		return
	}
	q.entry(cmd)
	for cmd.More() && len(q.entries) < maxItems {
		cmd.SP()
		q.entry(cmd)
	}
}

func (q *metadataQuery) entry(cmd *wire.Command) { q.entries = append(q.entries, readEntry(cmd)) }

// readEntry reads the name of an annotation. One that cannot be is BAD (RFC 5464 3.2).
func readEntry(cmd *wire.Command) string {
	name := cmd.Astring()
	if cmd.Err() != nil {
		return ""
	}
	entry, err := store.EntryName(name)
	if err != nil {
		cmd.Fail("That is no name of an annotation")
	}
	return entry
}

// annotatedMailbox finds a mailbox; that of no name is the account.
func (s *session) annotatedMailbox(name string) (store.Mailbox, error) {
	if name == "" {
		return store.Mailbox{}, nil
	}
	return s.mailbox(name)
}

// annotations are those of a mailbox, or the account's, as clients see them.
func (s *session) annotations(m store.Mailbox) ([]store.Annotation, error) {
	all, err := s.store().Annotations(s.ctx(), s.acct, m.ID)
	if err == nil && m.SpecialUse != "" {
		all = append(all, store.Annotation{Mailbox: m.ID, Entry: specialUseEntry, Value: []byte(m.SpecialUse)})
	}
	return all, err
}

// covers reports whether an asked entry stands for one that is there.
func (q *metadataQuery) covers(asked, entry string) bool {
	below, ok := strings.CutPrefix(entry, asked)
	return ok && (below == "" || below[0] == '/' && strings.Count(below, "/") <= q.depth)
}

// tellMetadata answers with values, in the order in which they were asked for; NIL for what is not there, nor has anything below it.
func (s *session) tellMetadata(m store.Mailbox, q *metadataQuery) error {
	all, err := s.annotations(m)
	if err != nil {
		return err
	}
	told, n := make([]bool, len(all)), 0
	tell := func(entry string) {
		if n++; n == 1 {
			s.conn.Raw("* METADATA ").Mailbox(m.Name).Raw(" (")
		} else {
			s.conn.Raw(" ")
		}
		s.entry(entry)
		s.conn.Raw(" ")
	}
	for _, asked := range q.entries {
		found := false
		for i, x := range all {
			if !q.covers(asked, x.Entry) {
				continue
			}
			if found = true; told[i] {
				continue
			}
			told[i] = true
			if uint64(len(x.Value)) > uint64(q.maxSize) {
				q.longest = max(q.longest, len(x.Value))
				continue
			}
			tell(x.Entry)
			s.value(x.Value)
		}
		if !found {
			tell(asked)
			s.conn.Raw("NIL")
		}
	}
	if n > 0 {
		s.conn.Raw(")").Line()
	}
	return nil
}

// entry writes the name of an annotation.
func (s *session) entry(name string) {
	if strings.ContainsAny(name, " (){\"\\") {
		s.conn.Str(name)
		return
	}
	s.conn.Raw(name)
}

// value writes a value: as a literal8 where a string cannot hold it.
func (s *session) value(v []byte) {
	if bytes.IndexByte(v, 0) < 0 {
		s.conn.Str(string(v))
		return
	}
	s.conn.Raw("~").Literal(int64(len(v))).Raw(string(v))
}

// setMetadata is SETMETADATA (RFC 5464 4.3): all of it is done or nothing.
func (s *session) setMetadata(cmd *wire.Command) (string, error) {
	cmd.SP()
	name := cmd.Mailbox()
	cmd.SP()
	var set []store.Annotation
	var refused error
	cmd.List(maxItems, false, func() {
		x := store.Annotation{Entry: readEntry(cmd)}
		cmd.SP()
		var size int64
		var fits bool
		switch x.Value, size, fits = cmd.Value(); {
		case size < 0 || size > store.MaxAnnotation:
			refused = no("METADATA MAXSIZE 65536", "A value is too large") // store.MaxAnnotation
		case !fits:
			refused = no(imap.ResponseCodeTooBig, "The values are too large together")
		}
		if refused != nil {
			cmd.Fail("What is behind it is left to be drained")
		}
		set = append(set, x)
	})
	if refused != nil {
		return "", refused
	}
	if err := cmd.End(); err != nil {
		return "", err
	}
	m, err := s.annotatedMailbox(name)
	if err != nil {
		return "", err
	}
	if err := maySet(m, set); err != nil {
		return "", err
	}
	changed, err := s.store().Annotate(s.ctx(), newToken(), s.acct, m.ID, set)
	switch {
	case domicile.KindOf(err) == domicile.TooLarge && !errors.Is(err, store.ErrOverQuota):
		return "", no("METADATA TOOMANY", "Too many annotations, or bytes of them")
	case err != nil:
		return "", failure(err)
	}
	s.annotated(m.ID, set, changed)
	return "", nil
}

// maySet refuses what is not the client's to set.
func maySet(m store.Mailbox, set []store.Annotation) error {
	for _, x := range set {
		switch {
		case m.ID == "" && (x.Entry == "/shared/admin" || x.Entry == "/shared/comment"):
			return no(imap.ResponseCodeNoPerm, "These are the operator's words about the server")
		case m.ID != "" && x.Entry == specialUseEntry:
			return no("USEATTR", "CREATE says what a mailbox is for")
		}
	}
	return nil
}
