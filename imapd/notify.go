package imapd

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/imapd/wire"
	"domicile/store"
)

// Bounds of NOTIFY. Of each mailbox of an account some hundred bytes are remembered.
const (
	maxWatched      = 1000 // mailboxes of an account of which others than the selected one are watched
	maxNotifyGroups = 100
	maxNotifyNames  = 1000 // of all groups together: each changed mailbox is held against all of them
)

// event is what a client can be told of (RFC 5465 5), some of them together.
type event uint8

const (
	messageNew event = 1 << iota
	messageExpunge
	flagChange
	mailboxName
	subscriptionChange
	mailboxMetadata
	serverMetadata

	messageEvents  = messageNew | messageExpunge | flagChange
	metadataEvents = mailboxMetadata | serverMetadata
)

// events are the names. What is none of these is not supported, since messages have no annotations.
var events = map[string]event{"MESSAGENEW": messageNew, "MESSAGEEXPUNGE": messageExpunge, "FLAGCHANGE": flagChange,
	"MAILBOXNAME": mailboxName, "SUBSCRIPTIONCHANGE": subscriptionChange, "MAILBOXMETADATACHANGE": mailboxMetadata, "SERVERMETADATACHANGE": serverMetadata}

const badEvent imap.ResponseCode = "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)"

// notify is what a client has chosen to be told of without asking, in the place of what IMAP tells of the selected mailbox (RFC 5465 3.1).
type notify struct {
	groups []notifyGroup
	known  map[domicile.MailboxID]watched // what the client was told last, if another mailbox than the selected one is watched
	names  map[string]bool                // those that were subscribed then, if there is SubscriptionChange
}

// notifyGroup is a set of mailboxes (RFC 5465 6) and what is told of these.
type notifyGroup struct {
	filter string
	names  []string // of SUBTREE and MAILBOXES
	events event    // 0 = NONE
	fetch  *fetchItems
}

// watched is what is remembered of a mailbox.
type watched struct {
	name       string
	subscribed bool
	validity   uint32
	next       store.UID
	messages   uint32
	seq        store.ModSeq
}

func watchedOf(m store.Mailbox) watched {
	return watched{m.Name, m.Subscribed, m.UIDValidity, m.UIDNext, m.Messages, m.HighestModSeq}
}

func (g *notifyGroup) isSelected() bool { return strings.HasPrefix(g.filter, "SELECTED") }

// has reports whether a mailbox is of those of a group that is not about the selected one.
func (g *notifyGroup) has(m watched) bool {
	switch g.filter {
	case "PERSONAL":
		return true
	case "INBOXES": // where mail is delivered to: to INBOX, and to its subaddresses below it
		return m.name == store.Inbox || strings.HasPrefix(m.name, store.Inbox+"/")
	case "SUBSCRIBED":
		return m.subscribed
	case "MAILBOXES":
		return slices.Contains(g.names, m.name)
	case "SUBTREE":
		return slices.ContainsFunc(g.names, func(name string) bool { return m.name == name || strings.HasPrefix(m.name, name+"/") })
	}
	return false
}

// wants reports whether one of some events is to be told of a mailbox that is not selected. NONE of a group ends the search; else the groups add up.
func (n *notify) wants(m watched, e event) bool {
	for i := range n.groups {
		if g := &n.groups[i]; g.has(m) {
			if g.events&e != 0 || g.events == 0 {
				return g.events != 0
			}
		}
	}
	return false
}

// has reports whether some group has one of some events.
func (n *notify) has(e event) bool {
	return slices.ContainsFunc(n.groups, func(g notifyGroup) bool { return g.events&e != 0 })
}

// ofSelected is the group about the selected mailbox, or nil.
func (n *notify) ofSelected() *notifyGroup {
	for i := range n.groups {
		if g := &n.groups[i]; g.isSelected() {
			return g
		}
	}
	return nil
}

// wants reports whether the client is told of an event in the selected mailbox: of all, unless it has chosen by NOTIFY.
func (s *session) wants(e event) bool {
	if s.notify == nil {
		return true
	}
	g := s.notify.ofSelected()
	return g != nil && g.events&e != 0
}

// setNotify is NOTIFY (RFC 5465). What it chooses holds until the next NOTIFY; one that is refused changes nothing.
func (s *session) setNotify(cmd *wire.Command) (string, error) {
	n, status, err := readNotify(cmd)
	if err != nil {
		return "", err
	}
	if err := s.remember(n, status); err != nil {
		return "", err
	}
	if g := n.ofSelected(); g != nil && g.fetch != nil && g.fetch.modSeq {
		s.condstore()
	}
	if len(n.groups) > 0 { // SET is a NOOP too, and tells what was not chosen so far (RFC 5465 3.1)
		before := s.notify
		s.notify = nil
		s.view.rewind()
		s.tellUpdates(true)
		s.notify = before
	}
	s.follow(n)
	return "", nil
}

// readNotify reads "NONE", or "SET [STATUS] (filter events) …".
func readNotify(cmd *wire.Command) (n *notify, status bool, err error) {
	n = &notify{}
	cmd.SP()
	switch w := cmd.Word(); {
	case w == "NONE":
		return n, false, cmd.End()
	case w != "SET":
		cmd.Fail("SET or NONE")
	}
	cmd.SP()
	if cmd.Peek() != '(' {
		if status = cmd.Word() == "STATUS"; !status {
			cmd.Fail("STATUS, or a group of events")
		}
		cmd.SP()
	}
	unknown, names := false, 0
	for first := true; cmd.Err() == nil && (first || cmd.More()); first = false {
		if !first {
			cmd.SP()
		}
		g := readNotifyGroup(cmd, &unknown)
		if g.isSelected() && n.ofSelected() != nil {
			cmd.Fail("One group is about the selected mailbox")
		}
		names += len(g.names)
		if n.groups = append(n.groups, g); len(n.groups) > maxNotifyGroups || names > maxNotifyNames {
			cmd.Fail("Too many groups, or names in them")
		}
	}
	if err := cmd.End(); err != nil {
		return nil, false, err
	}
	if unknown {
		return nil, false, no(badEvent, "One of these events is not supported")
	}
	return n, status, nil
}

func readNotifyGroup(cmd *wire.Command, unknown *bool) (g notifyGroup) {
	cmd.Expect("(")
	switch g.filter = cmd.Word(); g.filter {
	case "SELECTED", "SELECTED-DELAYED", "INBOXES", "PERSONAL", "SUBSCRIBED":
	case "SUBTREE", "MAILBOXES":
		cmd.SP()
		if cmd.Peek() == '(' {
			cmd.List(maxNotifyNames, false, func() { g.name(cmd) })
		} else {
			g.name(cmd)
		}
	default:
		cmd.Fail("No such filter of mailboxes")
	}
	cmd.SP()
	if cmd.Peek() == '(' {
		cmd.List(20, false, func() { g.event(cmd, unknown) })
		g.check(cmd, *unknown)
	} else if w := cmd.Word(); w != "NONE" {
		cmd.Fail("A list of events, or NONE")
	}
	cmd.Expect(")")
	return g
}

// name takes a mailbox. It need not exist.
func (g *notifyGroup) name(cmd *wire.Command) {
	name := cmd.Mailbox()
	if cmd.Err() != nil {
		return
	}
	canonical, err := store.MailboxName(name)
	if err != nil {
		cmd.Fail("That is no name of a mailbox")
	}
	g.names = append(g.names, canonical)
}

func (g *notifyGroup) event(cmd *wire.Command, unknown *bool) {
	w := cmd.Word()
	e := events[w]
	*unknown = *unknown || e == 0
	g.events |= e
	if e != messageNew || !cmd.Take(" (") {
		return
	}
	g.fetch = &fetchItems{uid: true}
	for n := 0; cmd.Err() == nil && (n == 0 || !cmd.Take(")")); n++ {
		if n > 0 {
			cmd.SP()
		}
		if n == maxItems {
			cmd.Fail("A list is too long")
		}
		g.fetch.item(cmd)
	}
	g.fetch.seen = false // to be told of a message is not to read it
}

// check holds events against RFC 5465 5 and 6.1.
func (g *notifyGroup) check(cmd *wire.Command, unknown bool) {
	both := messageNew | messageExpunge
	switch {
	case unknown: // that is what is told
	case g.events&both != 0 && g.events&both != both, g.events&flagChange != 0 && g.events&both == 0:
		cmd.Fail("MessageNew and MessageExpunge go together, and FlagChange with them")
	case g.isSelected() && g.events&^messageEvents != 0:
		cmd.Fail("Of the selected mailbox there are events of messages alone")
	case !g.isSelected() && g.fetch != nil:
		cmd.Fail("Items of messages are for the selected mailbox alone")
	}
}
