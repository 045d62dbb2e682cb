package importer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSidecar: what a restore wrote beside the messages of a mailbox is how they come in; what cannot be is left out.
func TestSidecar(t *testing.T) {
	s := openMaildir(t, map[string]string{
		"Restored/Drafts/cur/7.m1:2,D": "Subject: one\r\n\r\n",
		"Restored/Drafts/cur/9.m2:2,S": "Subject: two\r\n\r\n",
		"Restored/Drafts/cur/8.m3:2,S": "Subject: nobody knows it\r\n\r\n",
		"Restored/Drafts/" + SidecarFile: `{"format":1,"special_use":"\\drafts","subscribed":false,"uid_validity":77,"annotations":{"/private/comment":"eA==","/private/empty":"","/Private/a":"eA==","no":"eA==","/private/none":null},"messages":{
			"7.m1":{"uid":9,"flags":["\\Draft","$a","$b","no such ( flag"],"internal_date":"2019-03-04T05:06:07+01:00"},"9.m2":{"uid":7}}}`,
		"Other/cur/1.m:2,":     "Subject: x\r\n\r\n",
		"Other/" + SidecarFile: `{"format":2,"special_use":"\\Sent"}`,
	})
	boxes, bodies := readBoxes(t, s)
	b := boxes["Restored/Drafts"]
	if b.SpecialUse != "\\Drafts" || b.Subscribed || b.UIDValidity != 77 || !b.Apart || len(b.Items) != 3 {
		t.Fatalf("%+v", b)
	}
	if fmt.Sprint(b.Annotations) != "map[/private/comment:[120] /private/empty:[]]" {
		t.Errorf("annotations %v", b.Annotations)
	}
	if got := bodies["Restored/Drafts"]; got[0] != "Subject: two\r\n\r\n" || b.Items[0].UID != 7 || b.Items[1].UID != 9 || b.Items[2].UID != 0 {
		t.Errorf("order: %q, %+v", got, b.Items)
	}
	if got := b.Items[1]; !slices.Equal(got.Flags, []string{"\\Draft", "$a", "$b"}) || !got.Date.Equal(time.Date(2019, 3, 4, 4, 6, 7, 0, time.UTC)) {
		t.Errorf("%+v", got)
	}
	if o := boxes["Other"]; o.SpecialUse != "" || o.Apart {
		t.Errorf("of another format: %+v", o)
	}
}

// TestAccountSidecar: so does what it wrote of the account; a folder without it says nothing.
func TestAccountSidecar(t *testing.T) {
	mail := map[string]string{"Restored/INBOX/cur/1.m:2,": "Subject: one\r\n\r\n"}
	if got := openMaildir(t, mail).Account(); got.Subscribed != nil || got.Annotations != nil {
		t.Errorf("%+v", got)
	}
	mail[AccountFile] = `{"format":1,"subscribed":["Once","inbox","a//b","Über"],"annotations":{"/private/a":"eA==","/Private/b":"eA==","/private/none":null}}`
	if got := fmt.Sprint(openMaildir(t, mail).Account()); got != "{[Once Über] map[/private/a:[120]]}" {
		t.Error(got)
	}
	mail[AccountFile] = `{"format":2,"subscribed":["Once"]}`
	if got := openMaildir(t, mail).Account(); got.Subscribed != nil {
		t.Errorf("of another format: %+v", got)
	}
}

// A sidecar names the last levels of its folder, and with a name that cannot be none.
func TestSidecarName(t *testing.T) {
	for _, c := range []struct{ folder, name, want string }{
		{"Restored/_x", ".x", "Restored/.x"},
		{"Restored/A/_x", "A/.x", "Restored/A/.x"},
		{"_x", "A/.x", "A/.x"},
		{"Restored/_x", "", "Restored/_x"},
		{"Restored/_x", "a//b", "Restored/_x"},
		{"Restored/_x", "a\x00", "Restored/_x"},
		{"Restored/_x", "../../x", "../../x"}, // a name like others: nothing is made of it but a mailbox
		{"Restored/_x", strings.Repeat("x", 2000), "Restored/_x"},
	} {
		if got := (Sidecar{Name: c.name}).mailbox(c.folder); got != c.want {
			t.Errorf("%q in %q: %q, want %q", c.name, c.folder, got, c.want)
		}
	}
}
