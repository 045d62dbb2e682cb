package importer

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"domicile/store"
)

// Mailboxes lists the account's own mailboxes. What others share with it is left out: that is their mail.
func (s *IMAP) Mailboxes(ctx context.Context) ([]Mailbox, error) {
	const op = "list the source"
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	caps := s.client.Caps()
	var options *imap.ListOptions
	extended := caps.Has(imap.CapListExtended) || caps.Has(imap.CapIMAP4rev2)
	if extended {
		options = &imap.ListOptions{ReturnSubscribed: true, ReturnSpecialUse: caps.Has(imap.CapSpecialUse)}
	}
	listed, err := s.client.List("", "*", options).Collect()
	if err != nil {
		return nil, s.again(op, err)
	}
	names, err := s.namespaces(caps)
	if err != nil {
		return nil, err
	}
	var boxes []Mailbox
	for _, l := range listed {
		if slices.Contains(l.Attrs, imap.MailboxAttrNoSelect) || slices.Contains(l.Attrs, imap.MailboxAttrNonExistent) || names.others(l.Mailbox) {
			continue
		}
		m := Mailbox{Name: names.own(l.Mailbox, l.Delim), Subscribed: !extended || slices.Contains(l.Attrs, imap.MailboxAttrSubscribed),
			SpecialUse: specialUse(l.Attrs), ref: l.Mailbox}
		err := s.list(ctx, &m)
		if problem, ok := errors.AsType[*Problem](err); ok {
			m.Items, m.Err = nil, problem
		} else if err != nil {
			return nil, err
		}
		boxes = append(boxes, m)
	}
	slices.SortFunc(boxes, func(a, b Mailbox) int { return strings.Compare(a.Name, b.Name) })
	return boxes, nil
}

func specialUse(attrs []imap.MailboxAttr) string {
	for _, a := range attrs {
		if use, err := store.SpecialUse(string(a)); err == nil && use != "" {
			return use
		}
	}
	return ""
}

// namespaces are the beginnings of names: of the account's own mailboxes, which are no part of what a person calls them, and of others'.
type namespaces struct {
	mine, theirs []string
}

// namespaces asks for them (RFC 2342), where the server has the command.
func (s *IMAP) namespaces(caps imap.CapSet) (n namespaces, err error) {
	if !caps.Has(imap.CapNamespace) && !caps.Has(imap.CapIMAP4rev2) {
		return n, nil
	}
	data, err := s.client.Namespace().Wait()
	if err != nil {
		return n, s.again("list the source", err)
	}
	for _, d := range data.Personal {
		if d.Prefix != "" {
			n.mine = append(n.mine, d.Prefix)
		}
	}
	for _, d := range append(data.Other, data.Shared...) {
		if d.Prefix != "" {
			n.theirs = append(n.theirs, d.Prefix)
		}
	}
	return n, nil
}

func (n namespaces) others(name string) bool {
	return slices.ContainsFunc(n.theirs, func(p string) bool { return strings.HasPrefix(name, p) })
}

// own is a name without the namespace's beginning and with "/" between levels.
func (n namespaces) own(name string, delim rune) string {
	for _, p := range n.mine {
		if rest, ok := strings.CutPrefix(name, p); ok && rest != "" {
			name = rest
			break
		}
	}
	if delim == 0 || delim == '/' {
		return name
	}
	levels := strings.Split(name, string(delim))
	for i := range levels {
		levels[i] = strings.ReplaceAll(levels[i], "/", "_")
	}
	return strings.Join(levels, "/")
}
