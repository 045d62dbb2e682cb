package imapd

import (
	"context"
	"testing"

	"domicile"
	"domicile/store"
)

// deleting is a store in which a mailbox is deleted when messages are read for the first time.
type deleting struct {
	store.Store
	name string
}

func (d *deleting) Messages(ctx context.Context, acct domicile.AccountID, mbox domicile.MailboxID, after store.UID, limit int) ([]store.Message, error) {
	if d.name != "" {
		if err := d.DeleteMailbox(ctx, "", acct, d.name); err != nil {
			return nil, err
		}
		d.name = ""
	}
	return d.Store.Messages(ctx, acct, mbox, after, limit)
}

// A mailbox that is deleted while LIST tells of others has no STATUS any more; the others have theirs.
func TestListStatusOfDeleted(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	c.do("b CREATE Box", "b OK")
	w.home.cfg.Store = &deleting{w.store, "Box"}
	c.says(`c LIST "" (INBOX Box Sent) RETURN (STATUS (DELETED))`, "c OK", `* LIST (\HasNoChildren) "/" "INBOX"`, `* STATUS "INBOX" (DELETED 0)`,
		`* LIST (\HasNoChildren) "/" "Box"`, `* LIST (\HasNoChildren \Sent) "/" "Sent"`, `* STATUS "Sent" (DELETED 0)`)
}

// noExpunge is a store that expunges nothing.
type noExpunge struct{ store.Store }

func (noExpunge) Expunge(context.Context, store.Token, domicile.AccountID, domicile.MailboxID, []store.UID) ([]store.UID, error) {
	return nil, domicile.E("expunge", domicile.Unavailable, "the disk is full")
}

// A CLOSE that is NO has closed nothing.
func TestCloseFails(t *testing.T) {
	w, c := filled(t, 2)
	c.do(`c STORE 1 +FLAGS.SILENT (\Deleted)`, "c OK")
	w.home.cfg.Store = noExpunge{w.store}
	c.do("d CLOSE", "d NO [UNAVAILABLE]")
	c.says("e FETCH 1:2 UID", "e OK", "* 1 FETCH (UID 1)", "* 2 FETCH (UID 2)")
	w.home.cfg.Store = w.store
	c.do("f CLOSE", "f OK")
	c.do("g FETCH 1 UID", "g BAD")
	c.says("h STATUS INBOX (MESSAGES)", "h OK", `* STATUS "INBOX" (MESSAGES 1)`)
}
