package main

import (
	"fmt"
	"path/filepath"
	"testing"

	"domicile/importer"
	"domicile/store"
	"domicile/store/bolt"
	"domicile/store/storetest"
)

// What restore --account writes of a mailbox is what account import reads back.
func TestWriteMailbox(t *testing.T) {
	s, err := bolt.Open(bolt.Config{Dir: t.TempDir(), Region: storetest.Region, Sealer: storetest.NewSealer("x")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := &storetest.Rig{Store: s, T: t}
	id := r.Person("ann")
	r.MustDeliver(id, "Sent", "Subject: one\r\n\r\n", store.Seen, "$key")
	sent := r.Box(id, "Sent")
	if _, err := s.Annotate(t.Context(), "", id, sent.ID, []store.Annotation{{Entry: "/private/comment", Value: []byte("x\x00")}, {Entry: "/shared/empty", Value: []byte{}}}); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if n, err := writeMailbox(t.Context(), s, id, sent, filepath.Join(to, "Restored"), "Sent"); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	m, err := importer.OpenMaildir(to)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	boxes, err := m.Mailboxes(t.Context())
	if err != nil || len(boxes) != 1 {
		t.Fatal(boxes, err)
	}
	b := boxes[0]
	got := fmt.Sprintf("%s %s %v %v %v %v %v", b.Name, b.SpecialUse, b.Subscribed, b.UIDValidity == sent.UIDValidity, b.Items[0].UID, b.Items[0].Flags, b.Annotations)
	if want := `Restored/Sent \Sent true true 1 [\Seen $key] map[/private/comment:[120 0] /shared/empty:[]]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What belongs to no mailbox goes the same way.
func TestWriteAccountFile(t *testing.T) {
	s, err := bolt.Open(bolt.Config{Dir: t.TempDir(), Region: storetest.Region, Sealer: storetest.NewSealer("x")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := &storetest.Rig{Store: s, T: t}
	id := r.Person("ann")
	if _, err := s.Annotate(t.Context(), "", id, "", []store.Annotation{{Entry: "/private/comment", Value: []byte("x\x00")}, {Entry: "/shared/comment", Value: []byte{}}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Once/Über", "Sent"} {
		if err := s.Subscribe(t.Context(), "", id, name, true); err != nil {
			t.Fatal(err)
		}
	}
	boxes, err := s.Mailboxes(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if err := writeAccountFile(t.Context(), s, id, boxes, to); err != nil {
		t.Fatal(err)
	}
	m, err := importer.OpenMaildir(to)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got := fmt.Sprint(m.Account()); got != "{[Once/Über] map[/private/comment:[120 0] /shared/comment:[]]}" {
		t.Error(got)
	}
}
