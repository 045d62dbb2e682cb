package imapd

import (
	"fmt"
	"strings"
	"testing"

	"domicile/store"
)

// An account has so many annotations, and its quota counts them.
func TestMetadataLimits(t *testing.T) {
	w := newWorld(t)
	c := w.login()
	inbox, err := w.store.MailboxByName(t.Context(), ann, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	var all []store.Annotation
	for n := range store.MaxAnnotations {
		all = append(all, store.Annotation{Entry: fmt.Sprint("/private/", n), Value: []byte("x")})
	}
	if _, err := w.store.Annotate(t.Context(), "", ann, inbox.ID, all); err != nil {
		t.Fatal(err)
	}
	c.do(`b SETMETADATA "" (/private/more "x")`, "b NO [METADATA TOOMANY]")
	c.do(`c SETMETADATA INBOX (/private/7 NIL /private/more "x")`, "c OK")
	if got := c.do(`d GETMETADATA INBOX (DEPTH infinity) (/private/7 /private/more /private/8)`, "d OK"); !strings.Contains(got, `(/private/7 NIL /private/more "x" /private/8 "x")`) {
		t.Error(got)
	}
	used, err := w.store.Used(t.Context(), ann)
	if err == nil {
		err = w.store.UpdateAccount(t.Context(), ann, func(a *store.Account) error { a.Quota = used; return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	c.do(`e SETMETADATA INBOX (/private/more "xx")`, "e NO [OVERQUOTA]")
	c.do(`f SETMETADATA INBOX (/private/more "")`, "f OK")
	c.do("g SETMETADATA INBOX ("+strings.Repeat("/private/x NIL ", maxItems)+"/private/x NIL)", "g BAD")
	c.do("h GETMETADATA INBOX ("+strings.Repeat("/private/x ", maxItems)+"/private/x)", "h BAD")
	c.do("i GETMETADATA INBOX"+strings.Repeat(" /private/x", maxItems+1), "i BAD")
	c.do("j LIST \"\" * RETURN (METADATA ("+strings.Repeat("/private/x ", maxListedEntries)+"/private/x))", "j BAD")
}

// Values that are too large together for one command are refused, and so is what is in them never a command.
func TestMetadataTooLong(t *testing.T) {
	c := newWorld(t).login()
	c.send("b SETMETADATA INBOX (")
	for n := range 17 {
		c.send(fmt.Sprintf("/private/%d {65536+}\r\n%s ", n, strings.Repeat("x CREATE no\r\n", 65536/13+1)[:65536]))
	}
	c.send("/private/last NIL)\r\n")
	c.want("b NO [TOOBIG]")
	if got := c.do(`c LIST "" no`, "c OK"); got != "" {
		t.Error(got)
	}
}
