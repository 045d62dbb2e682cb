package move

import (
	"bytes"
	"context"
	"encoding/binary"
	"reflect"
	"testing"

	"domicile"
	"domicile/region"
	"domicile/store"
)

func TestItems(t *testing.T) {
	items := []store.Item{
		{Account: &store.ExportedAccount{Account: store.Account{ID: "a1", Address: "ann@example.com", TokenKey: []byte{1}}, UIDValidity: 7, Bytes: 9}},
		{Mailbox: &store.Mailbox{ID: "b1", Name: "Über", UIDNext: 3}},
		{Message: &store.ExportedMessage{Mailbox: "b1", ID: "m1", UID: 2, Flags: []string{"\\Seen"}, Zone: -5910}},
		{Vanished: &store.Vanished{Mailbox: "b1", UID: 1, ModSeq: 4}},
		{Token: &store.UsedToken{Token: "smtp-1", Used: 5}},
		{Piece: &store.Piece{ID: "m1", Size: 3, Length: 3, Data: []byte("\r\n\x00")}},
		{Piece: &store.Piece{ID: "m2", Data: []byte{}}},
	}
	raw, err := encodeItems(items)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeItems(raw)
	if err != nil || !reflect.DeepEqual(got, items) {
		t.Fatalf("%v\n%+v", err, got)
	}
	for n := range len(raw) { // cut anywhere it is refused, or is the items before
		if got, err := decodeItems(raw[:n]); err == nil && len(got) > 0 && !reflect.DeepEqual(got, items[:len(got)]) {
			t.Errorf("cut at %d: %+v", n, got)
		}
	}
}

func FuzzItems(f *testing.F) {
	raw, _ := encodeItems([]store.Item{{Vanished: &store.Vanished{Mailbox: "b1", UID: 1}}, {Piece: &store.Piece{ID: "m1", Size: 2, Length: 2, Data: []byte("xx")}}})
	f.Add(raw)
	f.Add([]byte("\xff\xff\xff\xff{}"))
	f.Add(append(binary.BigEndian.AppendUint32(nil, 21), `{"piece":{"Length":9}}`...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		items, err := decodeItems(raw)
		if err != nil {
			if domicile.KindOf(err) != domicile.Invalid {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := encodeItems(items)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeItems(again)
		if err != nil || !reflect.DeepEqual(back, items) {
			t.Errorf("%+v became %+v, %v", items, back, err)
		}
	})
}

// Only nodes of regions are heard, in this version, and with an id that can be one.
func TestHeaders(t *testing.T) {
	m := newWorld(t).sides[us].machine()
	from := region.Peer{Region: ie, Node: "n"}
	for name, c := range map[string]struct {
		from   region.Peer
		header string
		want   string
	}{
		"an operator":    {region.Peer{Region: ie, Operator: "ops"}, `{"v":1,"move":"a.1"}`, "peer_unverified"},
		"a witness":      {region.Peer{Witness: "w"}, `{"v":1,"move":"a.1"}`, "peer_unverified"},
		"no JSON":        {from, `x`, "invalid"},
		"no version":     {from, `{"move":"a.1"}`, "invalid"},
		"a later one":    {from, `{"v":2,"move":"a.1"}`, "invalid"},
		"no id":          {from, `{"v":1}`, "invalid"},
		"a path":         {from, `{"v":1,"move":"../a"}`, "invalid"},
		"a key of ours":  {from, `{"v":1,"move":"x/000001"}`, "invalid"},
		"an address":     {from, `{"v":1,"move":"ann@example.com"}`, "invalid"},
		"of another one": {from, `{"v":1,"move":"a.1"}`, "move_not_approved"},
	} {
		for _, method := range []string{methodResidence, methodPart, methodPrepare, methodHandover, methodErased} {
			header, body := c.header, ""
			if method == methodErased && c.want == "move_not_approved" {
				header = `{"v":1,"move":"a.1","sha256":"0000000000000000000000000000000000000000000000000000000000000000"}`
			}
			if method == methodResidence {
				body = "[]"
			}
			_, err := m.handlers()[method](context.Background(), &region.Call{From: c.from, Header: []byte(header), Body: bytes.NewReader([]byte(body))})
			got := string(domicile.ReasonOf(err))
			if got == "" {
				got = domicile.KindOf(err).String()
			}
			if got != c.want {
				t.Errorf("%s, %s: %v, want %s", method, name, err, c.want)
			}
		}
	}
}
