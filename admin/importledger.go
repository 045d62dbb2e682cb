package admin

import (
	"encoding/json"
	"fmt"

	"domicile"
)

// The ledger of imports: table "imports" has a record for each account, table "import_keys" has pages of keys of messages that were
// taken. A page is written once, after its messages were stored; until then the store's tokens tell a repetition. Nothing
// in it is readable: keys are digests. It goes with the account.

// Limits of the ledger.
const (
	maxSources  = 64  // of an account
	keySize     = 32  // bytes of a message's key
	maxPage     = 512 // keys of a page, and so messages put in one call
	pagesAtOnce = 256 // in an answer
)

// importLedger is the record of an account.
type importLedger struct {
	V       int                    `json:"v"` // 1
	Sources map[string]importState `json:"sources"`
}

// importState is what is known of one source.
type importState struct {
	Import   string `json:"import,omitempty"` // that goes on; "" = none does
	Operator string `json:"operator"`
	Source   string `json:"source"` // for people
	Pages    int    `json:"pages"`
	Messages int64  `json:"messages"` // put by this import
	Bytes    int64  `json:"bytes"`
}

func (s *Server) imports(id domicile.AccountID) (*importLedger, error) {
	l, _, err := s.readImports(id)
	return l, err
}

func (s *Server) readImports(id domicile.AccountID) (*importLedger, []byte, error) {
	l := &importLedger{V: 1, Sources: map[string]importState{}}
	raw, ok, err := s.importBook.Get(string(id))
	if err != nil || !ok {
		return l, nil, err
	}
	if err := json.Unmarshal(raw, l); err != nil || l.V != 1 {
		return nil, nil, domicile.E("", domicile.Invalid, "the record of imports cannot be read by this release")
	}
	return l, raw, nil
}

// changeImports changes an account's record, durably. fn may run more than once.
func (s *Server) changeImports(id domicile.AccountID, fn func(*importLedger) error) error {
	for range 100 {
		l, old, err := s.readImports(id)
		if err != nil {
			return err
		}
		if err := fn(l); err != nil {
			return err
		}
		raw, err := json.Marshal(l)
		if err != nil {
			return err
		}
		if swapped, err := s.importBook.CompareAndSwap(string(id), old, raw); err != nil || swapped {
			return err
		}
	}
	return domicile.E("", domicile.Unavailable, "other imports into this account change the same record; try again")
}

func pageKey(id domicile.AccountID, source string, page int) string {
	return fmt.Sprintf("%s/%s/%d", id, source, page)
}

// keepKeys writes down which messages of an import were stored: a page first, then the count of pages, so that a page that is not
// counted is found and counted by the next.
func (s *Server) keepKeys(who caller, id domicile.AccountID, imp string, keys []byte, bytes int64) error {
	if len(keys) == 0 {
		return nil
	}
	for range 100 {
		l, err := s.imports(id)
		if err != nil {
			return err
		}
		source, st, err := l.state(who, imp)
		if err != nil {
			return err
		}
		swapped, err := s.importKeys.CompareAndSwap(pageKey(id, source, st.Pages), nil, keys)
		if err != nil {
			return err
		}
		err = s.changeImports(id, func(l *importLedger) error {
			now, ok := l.Sources[source]
			if !ok {
				return domicile.E(who.call, domicile.Conflict, "the account was removed")
			}
			now.Pages = max(now.Pages, st.Pages+1)
			if swapped && now.Import == imp {
				now.Messages += int64(len(keys) / keySize)
				now.Bytes += bytes
			}
			l.Sources[source] = now
			return nil
		})
		if err != nil || swapped {
			return err
		}
	}
	return domicile.E(who.call, domicile.Unavailable, "another import writes to the same ledger; try again")
}

// importedKeys returns the keys of some pages from one on.
func (s *Server) importedKeys(id domicile.AccountID, source string, page int) (KnownKeys, error) {
	out := KnownKeys{Keys: [][]byte{}}
	if page < 0 {
		return out, domicile.E("import.known", domicile.Invalid, "pages are counted from 0")
	}
	for range pagesAtOnce {
		raw, ok, err := s.importKeys.Get(pageKey(id, source, page))
		if err != nil || !ok {
			return out, err
		}
		for ; len(raw) >= keySize; raw = raw[keySize:] {
			out.Keys = append(out.Keys, raw[:keySize:keySize])
		}
		page++
	}
	out.Next = page
	return out, nil
}

// forgetImports removes the ledger of an account. Repeated after a crash it removes the rest.
func (s *Server) forgetImports(id domicile.AccountID) error {
	l, old, err := s.readImports(id)
	if err != nil || old == nil {
		return err
	}
	for source, st := range l.Sources {
		for page := st.Pages; page >= 0; page-- { // one may lie behind those that are counted
			key := pageKey(id, source, page)
			raw, ok, err := s.importKeys.Get(key)
			if err == nil && ok {
				_, err = s.importKeys.CompareAndSwap(key, raw, nil)
			}
			if err != nil {
				return err
			}
		}
	}
	_, err = s.importBook.CompareAndSwap(string(id), old, nil)
	return err
}
