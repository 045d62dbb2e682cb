package bolt

import (
	"bytes"
	"testing"

	"domicile/store/storetest"
)

// What is longer than a chunk, as the directory of a search block with much text, opens again however well it packs.
func TestLongPiece(t *testing.T) {
	s := &Store{cfg: Config{Sealer: storetest.NewSealer("x")}}
	s.cfg.Sealer.CreateAccountKey("a")
	data := bytes.Repeat([]byte("abcdefgh"), 50_000)
	p, err := s.sealPiece("a", "o", data, []byte("place"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.openPiece("a", "o", p, []byte("place"))
	if err != nil || !bytes.Equal(got, data) {
		t.Error(len(got), err)
	}
}
