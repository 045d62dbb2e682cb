package imapd

import (
	"math"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"domicile"
	"domicile/imapd/wire"
	"domicile/store"
)

// Bounds of one LIST: matching costs at most the bytes of its patterns times those of all names.
const (
	maxPatterns     = 100
	maxPatternBytes = 4 << 10

	maxListedEntries = 100 // annotations that are told of each mailbox
)

// listing is what LIST asks for (RFC 9051 6.3.9, RFC 5258).
type listing struct {
	patterns  []string // behind the reference
	extended  bool     // written in the syntax of RFC 5258
	delimiter bool     // an empty pattern in the syntax of RFC 3501: it asks for the delimiter
	lsub      bool

	onlySubscribed bool
	onlySpecialUse bool
	recursive      bool // also what has mailboxes below it that are selected

	subscribed bool // show \Subscribed
	status     []string
	metadata   *metadataQuery
}

func (s *session) list(cmd *wire.Command) (string, error) {
	var q listing
	cmd.SP()
	if cmd.Peek() == '(' {
		q.extended = true
		q.selection(cmd)
		cmd.SP()
	}
	q.names(cmd)
	if cmd.More() {
		q.extended, q.delimiter = true, false
		cmd.SP()
		cmd.Expect("RETURN (")
		q.returns(cmd)
	}
	if err := cmd.End(); err != nil {
		return "", err
	}
	return "", s.tellList(&q)
}

// lsub is LSUB (RFC 3501 6.3.9).
func (s *session) lsub(cmd *wire.Command) (string, error) {
	q := listing{lsub: true, onlySubscribed: true}
	cmd.SP()
	q.names(cmd)
	if err := cmd.End(); err != nil {
		return "", err
	}
	return "", s.tellList(&q)
}

// selection reads selection options (RFC 5258 3.1, RFC 6154 5.2).
func (q *listing) selection(cmd *wire.Command) {
	cmd.List(10, true, func() {
		switch cmd.Word() {
		case "SUBSCRIBED":
			q.onlySubscribed, q.subscribed = true, true
		case "SPECIAL-USE":
			q.onlySpecialUse = true
		case "RECURSIVEMATCH":
			q.recursive = true
		case "REMOTE": // all mailboxes are here
		default:
			cmd.Fail("No such selection option")
		}
	})
	if q.recursive && !q.onlySubscribed {
		cmd.Fail("RECURSIVEMATCH goes with SUBSCRIBED")
	}
}

// names reads the reference and the pattern, or patterns.
func (q *listing) names(cmd *wire.Command) {
	reference := cmd.Mailbox()
	cmd.SP()
	total := 0
	pattern := func() {
		p := cmd.Pattern()
		if q.delimiter = p == ""; !q.delimiter { // the empty one fits no name, whatever the reference (RFC 5258 3)
			p = canonicalPattern(reference + p)
		}
		if total += len(p); total > maxPatternBytes {
			cmd.Fail("The patterns are too long")
		}
		q.patterns = append(q.patterns, p)
	}
	if cmd.Peek() == '(' && !q.lsub {
		q.extended = true
		cmd.List(maxPatterns, false, pattern)
	} else {
		pattern()
	}
	q.delimiter = q.delimiter && !q.extended
}

// returns reads return options behind "(" (RFC 5258 3.2, RFC 5819, RFC 6154 5.3, RFC 9590).
func (q *listing) returns(cmd *wire.Command) {
	for n := 0; cmd.Err() == nil && !cmd.Take(")"); n++ {
		if n > 0 {
			cmd.SP()
		}
		switch cmd.Word() {
		case "SUBSCRIBED":
			q.subscribed = true
		case "CHILDREN", "SPECIAL-USE": // always shown
		case "STATUS":
			cmd.SP()
			q.status = readStatusItems(cmd)
		case "METADATA": // RFC 9590
			cmd.SP()
			q.metadata = &metadataQuery{maxSize: math.MaxUint32}
			cmd.List(maxListedEntries, false, func() { q.metadata.entry(cmd) })
		default:
			cmd.Fail("No such return option")
		}
	}
}

// canonicalPattern is in the form that names have: NFC, and INBOX as first level in upper case.
func canonicalPattern(p string) string {
	p = norm.NFC.String(p)
	first, rest, deep := strings.Cut(p, "/")
	if strings.EqualFold(first, store.Inbox) {
		if p = store.Inbox; deep {
			p += "/" + rest
		}
	}
	return p
}

func (q *listing) fits(name string) bool {
	for _, p := range q.patterns {
		if matches(name, p) {
			return true
		}
	}
	return false
}

// fitsLevel reports whether a name is a level of hierarchy that a "%" at the end of a pattern asks for, whether there is a mailbox or not (RFC 9051 6.3.9).
func (q *listing) fitsLevel(name string) bool {
	return slices.ContainsFunc(q.patterns, func(p string) bool { return strings.HasSuffix(p, "%") && matches(name, p) })
}

// tellList answers LIST and LSUB.
func (s *session) tellList(q *listing) error {
	word := "* LIST "
	if q.lsub {
		word = "* LSUB "
	}
	if q.delimiter { // RFC 9051 6.3.9: its root has no name
		s.conn.Raw(word).Raw(`(\Noselect) "/" ""`).Line()
		return nil
	}
	all, err := s.store().Mailboxes(s.ctx(), s.acct)
	if err != nil {
		return failure(err)
	}
	if slices.Contains(q.status, "HIGHESTMODSEQ") {
		s.condstore()
	}
	names, err := s.namesApart(q, all)
	if err != nil {
		return failure(err)
	}
	for _, n := range tree(all, names, q) {
		if !q.selects(n) || !q.fits(n.Name) {
			continue
		}
		s.conn.Raw(word).Flags(q.attributes(n)).Raw(` "/" `).Mailbox(n.Name)
		if q.recursive && n.below {
			s.conn.Raw(` ("CHILDINFO" ("SUBSCRIBED"))`)
		}
		s.conn.Line()
		if q.status != nil && n.exists && q.wants(n.Mailbox) {
			if err := s.tellStatus(n.Mailbox, q.status); err != nil && domicile.KindOf(err) != domicile.NotExist { // deleted meanwhile
				return failure(err)
			}
		}
		if q.metadata != nil && n.exists {
			if err := s.tellMetadata(n.Mailbox, q.metadata); err != nil && domicile.KindOf(err) != domicile.NotExist { // deleted meanwhile
				return failure(err)
			}
		}
	}
	return nil
}

// namesApart are the subscribed names that no mailbox has, for a LIST that asks what is subscribed.
func (s *session) namesApart(q *listing, all []store.Mailbox) ([]string, error) {
	if !q.onlySubscribed && !q.subscribed {
		return nil, nil
	}
	names, err := s.store().Subscriptions(s.ctx(), s.acct)
	if err != nil {
		return nil, err
	}
	return apartFrom(all, names), nil
}

// apartFrom are those of some names that no mailbox has.
func apartFrom(all []store.Mailbox, names []string) (apart []string) {
	has := make(map[string]bool, len(all))
	for _, m := range all {
		has[m.Name] = true
	}
	for _, name := range names {
		if !has[name] {
			apart = append(apart, name)
		}
	}
	return apart
}

// wants reports whether a mailbox meets all that selects by itself.
func (q *listing) wants(m store.Mailbox) bool {
	return (!q.onlySubscribed || m.Subscribed) && (!q.onlySpecialUse || m.SpecialUse != "")
}

// selects reports whether a mailbox is of those that are asked for, whatever its name.
func (q *listing) selects(n *node) bool {
	if !n.exists && !n.children && !q.onlySubscribed {
		return false // it is but a subscribed name
	}
	if !n.exists && q.extended && !n.Subscribed && !q.fitsLevel(n.Name) { // RFC 9051 7.3.1, \NonExistent
		return n.hidden
	}
	if q.wants(n.Mailbox) || n.hidden { // what is listed itself needs no word of it above (RFC 9051 6.3.9.3, 6.3.9.6)
		return true
	}
	// LSUB shows a name that is not subscribed in one case: a "%" that ends there hides what is subscribed below it (RFC 3501 6.3.9).
	return q.lsub && n.below && strings.HasSuffix(q.patterns[0], "%")
}

func (q *listing) attributes(n *node) (attrs []string) {
	switch {
	case q.lsub && !n.Subscribed:
		return []string{`\Noselect`}
	case q.lsub:
		return nil
	case !n.exists && q.extended:
		attrs = append(attrs, `\NonExistent`)
	case !n.exists:
		attrs = append(attrs, `\Noselect`)
	}
	if n.children {
		attrs = append(attrs, `\HasChildren`)
	} else {
		attrs = append(attrs, `\HasNoChildren`)
	}
	if n.Subscribed && q.subscribed {
		attrs = append(attrs, `\Subscribed`)
	}
	if n.SpecialUse != "" {
		attrs = append(attrs, n.SpecialUse)
	}
	return attrs
}
