package importer

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"domicile"
	"domicile/store"
)

// SidecarFile lies in a folder of a Maildir that a restore wrote, and says what names of files cannot.
const SidecarFile = "domicile-mailbox.json"

// AccountFile lies beside the mailboxes that a restore wrote, and says what belongs to none of them.
const AccountFile = "domicile-account.json"

// AccountSidecar is its content.
type AccountSidecar struct {
	Format      int               `json:"format"` // 1
	Subscribed  []string          `json:"subscribed,omitempty"`
	Annotations map[string][]byte `json:"annotations,omitempty"` // RFC 5464, by name
}

// Account is what a restore has written of the account.
func (s *Maildir) Account() (a Account) {
	var c AccountSidecar
	if raw := s.small(".", AccountFile); raw == nil || json.Unmarshal(raw, &c) != nil || c.Format != 1 {
		return a
	}
	for _, name := range c.Subscribed {
		if canonical, err := store.MailboxName(name); err == nil && canonical == name && len(a.Subscribed) < store.MaxSubscribed {
			a.Subscribed = append(a.Subscribed, name)
		}
	}
	a.Annotations = keepAnnotations(c.Annotations)
	return a
}

// keepAnnotations returns those that a store keeps.
func keepAnnotations(all map[string][]byte) map[string][]byte {
	maps.DeleteFunc(all, func(entry string, value []byte) bool {
		canonical, err := store.EntryName(entry)
		return err != nil || canonical != entry || value == nil || len(value) > store.MaxAnnotation
	})
	return all
}

// Sidecar is the content of a SidecarFile.
type Sidecar struct {
	Format      int                       `json:"format"`         // 1
	Name        string                    `json:"name,omitempty"` // of the mailbox, where its folder has another for want of one that can be
	SpecialUse  string                    `json:"special_use,omitempty"`
	Subscribed  bool                      `json:"subscribed"`
	UIDValidity uint32                    `json:"uid_validity"`
	MailboxID   domicile.MailboxID        `json:"mailbox_id"`
	Annotations map[string][]byte         `json:"annotations,omitempty"` // RFC 5464, by name
	Messages    map[string]SidecarMessage `json:"messages"`              // by the unique names of files
}

// SidecarMessage is what it says of a message. ID and Saved are for people: an import gives new ones.
type SidecarMessage struct {
	UID      uint32             `json:"uid"`
	ID       domicile.MessageID `json:"id"`
	Flags    []string           `json:"flags,omitempty"` // keywords too
	Internal time.Time          `json:"internal_date"`
	Saved    time.Time          `json:"saved"`
}

// sidecar reads a folder's, if it has one.
func (s *Maildir) sidecar(dir string) (c Sidecar, ok bool) {
	raw := s.small(dir, SidecarFile)
	if raw == nil || json.Unmarshal(raw, &c) != nil || c.Format != 1 {
		return Sidecar{}, false
	}
	if use, err := store.SpecialUse(c.SpecialUse); err != nil {
		c.SpecialUse = ""
	} else {
		c.SpecialUse = use
	}
	c.Annotations = keepAnnotations(c.Annotations)
	return c, true
}

// mailbox is the name of the mailbox in a folder that is called so: its last levels are those of the sidecar, if that has a name that can be.
func (c Sidecar) mailbox(folder string) string {
	name, err := store.MailboxName(c.Name)
	if err != nil || name != c.Name {
		return folder
	}
	above, levels := strings.Split(folder, "/"), strings.Split(name, "/")
	above = above[:max(0, len(above)-len(levels))]
	return strings.Join(slices.Concat(above, levels), "/")
}

// apply has a mailbox be as the sidecar says.
func (c Sidecar) apply(m *Mailbox) {
	m.SpecialUse, m.Subscribed, m.UIDValidity, m.Apart = c.SpecialUse, c.Subscribed, c.UIDValidity, true
	m.Annotations = c.Annotations
}

// item has a message be as the sidecar says.
func (c Sidecar) item(i *Item, base string) {
	if said, ok := c.Messages[base]; ok {
		i.UID, i.Flags = said.UID, keepFlags(said.Flags)
		if !said.Internal.IsZero() {
			i.Date = said.Internal
		}
	}
}
