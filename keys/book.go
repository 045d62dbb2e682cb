package keys

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"domicile"
)

const (
	ringName   = "keys" // the folder, as a node names it
	bookName   = "account.keys"
	bookHeader = "domicile-account-keys-v1\n"
	slot       = 128 // bytes of the header and of a record: none lies in two sectors, so that a crash leaves a whole one or none
	maxID      = 64
	sealedKey  = 29 + keySize
)

// book is the file of all account keys of a data folder. The package comment has its bytes. What is in it never changes; a
// record is put behind the others, and a key is taken out by writing the file anew under another wrapping key.
type book struct {
	file    *os.File
	number  uint64 // of the wrapping key; 0: the book is empty, and needs none
	sole    bool   // wrapping keys of lower numbers are to be destroyed
	slots   int64  // header and records
	places  map[domicile.AccountID]int64
	damaged []int64                     // records that do not open, or name no account
	lost    map[domicile.AccountID]bool // whom those name, if that is not damaged too
}

// header is the first slot of a book.
func header(number uint64, sole bool) []byte {
	h := append(make([]byte, 0, slot), bookHeader...)
	if sole {
		h = append(h, 1)
	} else {
		h = append(h, 0)
	}
	return binary.BigEndian.AppendUint64(h, number)[:slot]
}

// parseHeader is the inverse of header, and takes nothing else.
func parseHeader(h []byte) (number uint64, sole bool, ok bool) {
	if len(h) != slot {
		return 0, false, false
	}
	at := len(bookHeader)
	number, sole = binary.BigEndian.Uint64(h[at+1:]), h[at] == 1
	return number, sole, bytes.Equal(h, header(number, sole))
}

// record is the slot of one account key, sealed under the wrapping key.
func record(wrap *Box, id domicile.AccountID, key []byte) ([]byte, error) {
	sealed, err := wrap.Seal(key, recordFor(id))
	if err != nil || len(sealed) != sealedKey || len(id) > maxID {
		return nil, errors.Join(err, errors.New("not the size of a record"))
	}
	r := make([]byte, slot)
	r[0], r[1] = 1, byte(len(id))
	copy(r[2:], id)
	copy(r[2+maxID:], sealed)
	return r, nil
}

// parseRecord returns whose key a slot holds, and the key as it is sealed.
func parseRecord(r []byte) (id domicile.AccountID, sealed []byte, ok bool) {
	if len(r) != slot || r[0] != 1 || r[1] > maxID || r[slot-1] != 0 {
		return "", nil, false
	}
	id = domicile.AccountID(r[2 : 2+r[1]])
	rest := r[2+int(r[1]) : 2+maxID]
	return id, r[2+maxID : slot-1], validID(id) && len(bytes.Trim(rest, "\x00")) == 0
}

// openRecord returns whose key a slot holds, and the key.
func openRecord(wrap *Box, r []byte) (domicile.AccountID, []byte, bool) {
	id, sealed, ok := parseRecord(r)
	if !ok || wrap == nil {
		return "", nil, false
	}
	key, err := wrap.Open(sealed, recordFor(id))
	return id, key, err == nil && len(key) == keySize
}

func recordFor(id domicile.AccountID) []byte { return []byte("account-key/v2/" + string(id)) }

// openBook reads a book's header; read reads the rest.
func openBook(path string) (*book, error) {
	const op = "open the account keys"
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, domicile.E(op, domicile.NotExist, path+" does not exist")
		}
		return nil, domicile.W(op, err)
	}
	h := make([]byte, slot)
	_, err = io.ReadFull(f, h)
	b := &book{file: f, slots: 1, places: make(map[domicile.AccountID]int64), lost: make(map[domicile.AccountID]bool)}
	var ok bool
	if b.number, b.sole, ok = parseHeader(h); !ok || err != nil { // a header that was cut off may look like that of an empty book
		f.Close()
		return nil, domicile.E(op, domicile.Invalid, fmt.Sprintf("%s is damaged, or of a newer release (%v)", path, err))
	}
	return b, nil
}

// read checks every record, in constant memory beside the index, and cuts off what a crash left behind the last one: less than
// a slot, or zeros. What it saw is on disk when it returns.
func (b *book) read(wrap *Box) error {
	const op = "read the account keys"
	in, r, zeros := b.records(), make([]byte, slot), int64(0)
	for at := int64(1); ; at++ {
		if _, err := io.ReadFull(in, r); err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		} else if err != nil {
			return domicile.W(op, err)
		}
		if len(bytes.Trim(r, "\x00")) == 0 {
			zeros++
			continue
		}
		for ; zeros > 0; zeros-- { // between records they are no unfinished one
			b.damaged = append(b.damaged, at-zeros)
		}
		b.add(wrap, r, at)
	}
	return domicile.W(op, errors.Join(b.file.Truncate(b.slots*slot), b.file.Sync()))
}

// records reads from the first record on.
func (b *book) records() io.Reader {
	return bufio.NewReaderSize(io.NewSectionReader(b.file, slot, 1<<62), 64<<10)
}

// add takes the record at a place into the index.
func (b *book) add(wrap *Box, r []byte, at int64) {
	b.slots = at + 1
	id, _, ok := openRecord(wrap, r)
	if _, twice := b.places[id]; !ok || twice {
		b.damaged = append(b.damaged, at)
		if id, _, named := parseRecord(r); named {
			b.lost[id] = true
		}
		return
	}
	b.places[id] = at
}

// key returns the key of an account; ok is false if it does not open any more.
func (b *book) key(wrap *Box, at int64) (key []byte, ok bool, err error) {
	r := make([]byte, slot)
	if _, err := b.file.ReadAt(r, at*slot); err != nil {
		return nil, false, err
	}
	_, key, ok = openRecord(wrap, r)
	return key, ok, nil
}

// rewrite writes the book, without some accounts, as one under another wrapping key. What is damaged goes along as it is, so that
// it stays told; the wrapping key that it needed does not.
func (b *book) rewrite(out io.Writer, from, to *Box, number uint64, without map[domicile.AccountID]bool) error {
	w := bufio.NewWriterSize(out, 64<<10)
	w.Write(header(number, true)) // the writer keeps its first error for Flush
	in, r := b.records(), make([]byte, slot)
	for at := int64(1); at < b.slots; at++ {
		if _, err := io.ReadFull(in, r); err != nil {
			return err
		}
		id, key, ok := openRecord(from, r)
		switch place, known := b.places[id]; {
		case !ok:
			w.Write(r)
		case known && place == at && !without[id]:
			again, err := record(to, id, key)
			if err != nil {
				return err
			}
			w.Write(again)
		}
	}
	return w.Flush()
}

// writeKeys writes a book of keys that come from elsewhere.
func writeKeys(out io.Writer, number uint64, sole bool, wrap *Box, list map[domicile.AccountID][]byte) error {
	w := bufio.NewWriterSize(out, 64<<10)
	w.Write(header(number, sole))
	for id, key := range list {
		r, err := record(wrap, id, key)
		if err != nil {
			return err
		}
		w.Write(r)
	}
	return w.Flush()
}
