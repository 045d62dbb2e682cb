package imapd

import (
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// A client library that parses all strictly takes what every family of commands answers.
func TestImapclient(t *testing.T) {
	w := newWorld(t)
	told := make(chan uint32, 16)
	c, err := imapclient.DialInsecure(w.addr, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(m *imapclient.UnilateralDataMailbox) {
			if m.NumMessages != nil {
				told <- *m.NumMessages
			}
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	must("LOGIN", c.Login("ann@example.com", "pw").Wait())
	_, err = c.ID(&imap.IDData{Name: "test"}).Wait()
	must("ID", err)
	enabled, err := c.Enable(imap.CapIMAP4rev2, imap.CapUTF8Accept).Wait()
	if must("ENABLE", err); !enabled.Caps.Has(imap.CapIMAP4rev2) {
		t.Errorf("enabled %v", enabled.Caps)
	}
	spaces, err := c.Namespace().Wait()
	if must("NAMESPACE", err); len(spaces.Personal) != 1 || spaces.Personal[0].Delim != '/' {
		t.Errorf("%+v", spaces)
	}
	must("CREATE", c.Create("Würde/einzig", nil).Wait())
	must("SUBSCRIBE", c.Subscribe("Würde/einzig").Wait())
	boxes, err := c.List("", "W*", &imap.ListOptions{ReturnSubscribed: true, ReturnChildren: true,
		ReturnStatus: &imap.StatusOptions{NumMessages: true, UIDNext: true}}).Collect()
	if must("LIST", err); len(boxes) != 2 || boxes[1].Mailbox != "Würde/einzig" || boxes[1].Status == nil || boxes[1].Status.UIDNext != 1 {
		t.Errorf("%+v", boxes)
	}
	for _, raw := range []string{"Subject: b\r\nMessage-ID: <1@x>\r\n\r\n", "Subject: a\r\nReferences: <1@x>\r\n\r\nbody\r\n"} {
		a := c.Append("INBOX", int64(len(raw)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagFlagged}, Time: time.Unix(1e9, 0)})
		_, err := a.Write([]byte(raw))
		must("APPEND", err)
		must("APPEND", a.Close())
		made, err := a.Wait()
		if must("APPEND", err); made.UID == 0 || made.UIDValidity == 0 {
			t.Errorf("%+v", made)
		}
	}
	opened, err := c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait()
	if must("SELECT", err); opened.NumMessages != 2 || opened.HighestModSeq == 0 {
		t.Errorf("%+v", opened)
	}
	all := imap.SeqSetNum(1, 2)
	got, err := c.Fetch(all, &imap.FetchOptions{UID: true, Flags: true, Envelope: true, InternalDate: true, RFC822Size: true, ModSeq: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, BodySection: []*imap.FetchItemBodySection{{Peek: true}},
		BinarySectionSize: []*imap.FetchItemBinarySectionSize{{Part: []int{1}}}}).Collect()
	if must("FETCH", err); len(got) != 2 || got[1].Envelope.Subject != "a" || got[1].ModSeq == 0 || got[1].RFC822Size != 39 {
		t.Errorf("%+v", got)
	}
	found, err := c.UIDSearch(&imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Subject", Value: "a"}}}, &imap.SearchOptions{ReturnMin: true, ReturnCount: true}).Wait()
	if must("SEARCH", err); found.Min != 2 || found.Count != 1 {
		t.Errorf("%+v", found)
	}
	threads, err := c.Thread(&imapclient.ThreadOptions{Algorithm: imap.ThreadReferences, SearchCriteria: &imap.SearchCriteria{}}).Wait()
	if must("THREAD", err); len(threads) != 1 {
		t.Errorf("%+v", threads)
	}
	stored, err := c.Store(all, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{"work"}}, nil).Collect()
	if must("STORE", err); len(stored) != 2 || stored[0].UID == 0 {
		t.Errorf("%+v", stored)
	}
	copied, err := c.Copy(all, "Würde/einzig").Wait()
	if must("COPY", err); copied.DestUIDs.String() != "1:2" {
		t.Errorf("%+v", copied)
	}
	moved, err := c.Move(imap.SeqSetNum(1), "Trash").Wait()
	if must("MOVE", err); moved == nil {
		t.Error("MOVE told nothing")
	}
	quotas, err := c.GetQuotaRoot("INBOX").Wait()
	if must("GETQUOTAROOT", err); len(quotas) != 1 || quotas[0].Resources[imap.QuotaResourceStorage].Limit != 32<<10 {
		t.Errorf("%+v", quotas)
	}
	idle, err := c.Idle()
	must("IDLE", err)
	for len(told) > 0 {
		<-told
	}
	w.put("INBOX", "Subject: c\r\n\r\n")
	select {
	case n := <-told:
		if n != 2 {
			t.Errorf("told of %d messages", n)
		}
	case <-time.After(time.Minute):
		t.Error("IDLE told nothing")
	}
	must("IDLE", idle.Close())
	must("IDLE", idle.Wait())
	_, err = c.Store(imap.UIDSetNum(2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Collect()
	must("UID STORE", err)
	gone, err := c.UIDExpunge(imap.UIDSetNum(2, 900)).Collect()
	if must("UID EXPUNGE", err); len(gone) != 1 || gone[0] != 1 {
		t.Errorf("expunged %v", gone)
	}
	status, err := c.Status("Trash", &imap.StatusOptions{NumMessages: true, NumUnseen: true, NumDeleted: true, Size: true, HighestModSeq: true}).Wait()
	if must("STATUS", err); *status.NumMessages != 1 || *status.NumDeleted != 0 || *status.Size != 33 {
		t.Errorf("%+v", status)
	}
	must("UNSELECT", c.Unselect().Wait())
	must("RENAME", c.Rename("Würde", "Bürde", nil).Wait())
	must("DELETE", c.Delete("Bürde/einzig").Wait())
	must("LOGOUT", c.Logout().Wait())
}
