package tests

import (
	"slices"
	"strings"
	"testing"

	"domicile"
	"domicile/tests/harness"
)

// TestUnauthenticate has one connection serve two customers, one after the other: the first session's permit is closed in the journal before the
// next is opened, and the second may be at home elsewhere. Relayed and passed through, UNAUTHENTICATE is not offered and ends the connection.
func TestUnauthenticate(t *testing.T) {
	t.Parallel()
	c := harness.New(t, harness.TwoRegions...)
	c.StartAll(t)
	aoife := "LOGIN aoife@example.com " + c.Account(t, ireland, "aoife@example.com", "IE")
	brian := "LOGIN brian@example.com " + c.Account(t, ireland, "brian@example.com", "IE")
	sam := "LOGIN sam@example.com " + c.Account(t, usEast, "sam@example.com", "US")
	ends := func(k *reader) {
		t.Helper()
		if caps := k.want("CAPABILITY", "OK"); strings.Contains(caps, "UNAUTHENTICATE") {
			t.Errorf("offered: %s", caps)
		}
		if before := k.want("UNAUTHENTICATE", "OK"); !strings.HasPrefix(before, "* BYE ") || k.line() != "CLOSED" {
			t.Errorf("it goes on behind %q", before)
		}
	}
	k := dialIMAP(t, c.Node(ieNode).IMAP)
	for _, login := range []string{aoife, brian, aoife, sam} {
		k.want("SELECT INBOX", "BAD")
		k.want(login, "OK [CAPABILITY ")
		k.want("SELECT INBOX", "OK [READ-WRITE]")
		if login != sam {
			k.want("UNAUTHENTICATE", "OK [CAPABILITY ")
		}
	}
	ends(k) // sam is at home elsewhere
	k = dialIMAP(t, c.Node(usNode).IMAP)
	k.want(aoife, "OK [CAPABILITY ")
	ends(k)
	conn, err := tlsTo(t, c, c.Node(usNode).IMAPS, ireland, "eu-ireland.example.com")
	if err != nil {
		t.Fatal(err)
	}
	k = newReader(t, conn)
	k.want(aoife, "OK [CAPABILITY ")
	ends(k)

	c.Halt(t, ieNode)
	var story []string
	who := map[domicile.AccountID]string{}
	for _, r := range journalOf(t, c, ireland) {
		if r.Class != domicile.ClientSession || r.Account == "" {
			continue
		}
		if who[r.Account] == "" {
			who[r.Account] = string(rune('a' + len(who)))
		}
		story = append(story, r.Type+" "+who[r.Account])
	}
	if want := []string{"open a", "close a", "open b", "close b", "open a", "close a"}; !slices.Equal(story, want) {
		t.Errorf("the journal tells %q, want %q", story, want)
	}
}
