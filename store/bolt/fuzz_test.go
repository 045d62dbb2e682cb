package bolt

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"domicile/store"
	"domicile/store/segment"
	"domicile/store/storetest"
)

// FuzzEntries: what is read of a change reads the same when it is written again.
func FuzzEntries(f *testing.F) {
	c := &changes{value: map[string][]byte{"a": []byte("1"), "ab": {}, "b": nil}, order: []string{"ab", "b", "a"}}
	f.Add(c.appendEntries(number(1)))
	f.Add(append(number(0), 0, 1, 'x', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		before := ""
		var all []item
		read := func(to *[]item) func(key, value []byte) error {
			return func(key, value []byte) error {
				if value != nil {
					value = append([]byte{}, value...)
				}
				*to = append(*to, item{string(key), value})
				return nil
			}
		}
		at, err := eachChange(b, read(&all))
		if err != nil {
			return
		}
		for _, it := range all {
			again = appendEntry(again, before, it.key, it.value)
			before = it.key
		}
		var second []item
		if when, err := eachChange(append(number(uint64(at.UnixMilli())), again...), read(&second)); err != nil || !when.Equal(at) || len(second) != len(all) {
			t.Fatalf("%v, %d entries of %d", err, len(second), len(all))
		}
		for i, it := range all {
			if second[i].key != it.key || !bytes.Equal(second[i].value, it.value) || (second[i].value == nil) != (it.value == nil) {
				t.Fatalf("%+v became %+v", it, second[i])
			}
		}
	})
}

// FuzzRecords: each record of the index is refused, or is written as it was read.
func FuzzRecords(f *testing.F) {
	place := segment.Place{Segment: 1, Offset: 2, Length: 3}
	f.Add(messageRecord{ID: "m1", UID: 3, ModSeq: 4, Size: 5, Internal: -6, Zone: -120, Saved: 7, Flags: []string{store.Seen, "x"}}.encode())
	f.Add(bodyRecord{refs: 1, size: 2, place: place, chunks: []digest{{1}, {2}}}.encode())
	f.Add(chunkRecord{1, place}.encode())
	f.Add((&counters{validity: 1, next: 2, modseq: 3, messages: 4, unseen: 5, size: 6}).encode())
	f.Add((&counters{validity: 1, hidden: store.UIDRange{First: 1, Last: 2}, at: "b1"}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		var m messageRecord
		if m.decode(b) == nil {
			var again messageRecord
			if err := again.decode(m.encode()); err != nil || again.ID != m.ID || again.UID != m.UID || len(again.Flags) != len(m.Flags) || again.Zone != m.Zone {
				t.Errorf("%+v became %+v: %v", m, again, err)
			}
			m.message()
		}
		if r, err := decodeBody(b); err == nil && !bytes.Equal(r.encode(), b) {
			t.Errorf("%+v is written otherwise", r)
		}
		if r, err := decodeChunk(b); err == nil && !bytes.Equal(r.encode(), b) {
			t.Errorf("%+v is written otherwise", r)
		}
		var c counters
		if c.decode(b) == nil && !bytes.Equal(c.encode(), b) {
			t.Errorf("%+v is written otherwise", c)
		}
	})
}

// FuzzPosition: a position of an export is refused, or is the one that was written.
func FuzzPosition(f *testing.F) {
	f.Add("mailbox/b1/7/0")
	f.Add("bodies/m1/18446744073709551615/1")
	f.Fuzz(func(t *testing.T, p string) {
		if c, err := parsePosition(store.Position(p)); err == nil && c.position() != store.Position(p) {
			t.Errorf("%q became %q", p, c.position())
		}
	})
}

// FuzzPiece: a frame with any bytes, and one whose sealed bytes open to any bytes, give a piece of a body or an error.
func FuzzPiece(f *testing.F) {
	sealer := storetest.NewSealer("x")
	sealer.CreateAccountKey(person)
	s := &Store{cfg: Config{Sealer: sealer}}
	good, err := s.sealPiece(person, "owner", []byte("a piece"), []byte("associated"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{plain, 'x'})
	f.Add(packer.EncodeAll(make([]byte, maxChunk), []byte{compressed}))
	f.Add(packer.EncodeAll(make([]byte, 8*maxChunk), []byte{compressed}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, _, err := parseFrame(b); err == nil && (!validID(string(h.acct)) || h.owner == "") {
			t.Error("a frame of nobody")
		}
		s.openPiece(person, "owner", b, []byte("associated"))
		sealed, err := sealer.SealRecord(person, b, []byte("associated"))
		if err != nil {
			t.Fatal(err)
		}
		payload := append(appendString(appendString(nil, string(person)), "owner"), sealed...)
		piece, err := s.openPiece(person, "owner", payload, []byte("associated"))
		if err == nil && len(piece) > max(maxChunk, len(b)) {
			t.Errorf("%d bytes became %d", len(b), len(piece))
		}
	})
}

// FuzzIndex: whatever entries the index has, as after damage to its file, checks and reads end, with an error or without.
func FuzzIndex(f *testing.F) {
	s, err := openAt(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	r := &storetest.Rig{Store: s, T: f}
	newPerson(r)
	if _, err := r.Deliver(person, "token", "INBOX", "body"); err != nil {
		f.Fatal(err)
	}
	sound := map[string][]byte{}
	s.view(func(tx *txn) error {
		walk := tx.scan(nil)
		for ok := walk.seek(nil); ok; ok = walk.next() {
			sound[string(walk.key)] = bytes.Clone(walk.value)
			f.Add(appendEntry(nil, "", string(walk.key), walk.value))
			f.Add(appendEntry(nil, "", string(walk.key)+"x", walk.value))
			path, _, _ := bytes.Cut(walk.key, []byte{0})
			f.Add(appendEntry(nil, "", string(path)+"\xff"+strings.Repeat("\xff", 255)+"\x00", nil))
			f.Add(appendEntry(nil, "", string(path)+"\xff"+strings.Repeat("\xff", 255)+"\x00", []byte("x")))
			f.Add(appendEntry(nil, "", string(walk.key[:len(walk.key)-1]), walk.value))
			f.Add(appendEntry(nil, "", string(walk.key), walk.value[:len(walk.value)/2]))
		}
		return nil
	})
	box := s.inboxOf(person)
	f.Fuzz(func(t *testing.T, b []byte) {
		ctx := t.Context()
		must := func(fn func(tx *txn) error) {
			if err := s.update(ctx, "", fn); err != nil {
				t.Fatal(err)
			}
		}
		altered := map[string][]byte{}
		err := eachEntry(b, func(key, value []byte) error {
			if value != nil {
				value = append([]byte{}, value...)
			}
			altered[string(key)] = value
			return nil
		})
		if err != nil {
			return
		}
		set := func(from map[string][]byte) func(tx *txn) error {
			return func(tx *txn) error {
				for k := range altered {
					tx.set([]byte(k), from[k])
				}
				return nil
			}
		}
		defer time.AfterFunc(time.Minute, func() { panic("it does not end") }).Stop()
		must(set(altered))
		s.Check(ctx)
		s.Accounts(ctx, "", store.MaxPage)
		s.Mailboxes(ctx, person)
		s.Listing(ctx, person, box, 0, 10)
		storetest.Since(s, person, box, 1)
		s.Find(ctx, person, box, store.InText, "", "body")
		s.Imported(ctx, person)
		for p := (store.Part{}); !p.Last; {
			var err error
			if p, err = s.Export(ctx, person, p.Next, 100); err != nil {
				break
			}
		}
		must(set(sound))
	})
}
