package admin

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"domicile"
	"domicile/placement"
	"domicile/store"
)

// Mail that comes in from elsewhere, carried by mailctl. An import is begun, which is a leaf of the log; messages are put, some at a
// time; and it is ended, which is another leaf, with counts. What the node has taken of a source is kept in the ledger
// (importledger.go) beyond the import's end, so that the same source can be imported again and only what is new is stored.

// BeginImport begins an import, or goes on with one that was cut off.
type BeginImport struct {
	Address string `json:"address"`
	Source  string `json:"source"`            // where the mail comes from, for the record; at most 256 bytes
	ID      string `json:"id"`                // the source, the same in every run; at most 256 bytes
	DryRun  bool   `json:"dry_run,omitempty"` // only look: nothing can be put
}

// Import is an import that was begun.
type Import struct {
	Import    string          `json:"import,omitempty"` // names it in further calls
	Account   Account         `json:"account"`          // with what it holds
	Mailboxes []ImportMailbox `json:"mailboxes"`        // that it has
	Leaf      *uint64         `json:"leaf,omitempty"`   // the record of the beginning
}

// ImportMailbox is a mailbox of the account.
type ImportMailbox struct {
	Name       string `json:"name"`
	SpecialUse string `json:"special_use,omitempty"`
	Messages   uint32 `json:"messages"`
	// NoRoom says, of MakeMailbox, that the account may have no more annotations: none was set.
	NoRoom bool `json:"no_room,omitempty"`
}

// MakeMailbox has a mailbox made for an import, unless the account has it. A subscription is set, never taken away.
type MakeMailbox struct {
	Address    string `json:"address"`
	Import     string `json:"import"`
	Name       string `json:"name"`
	SpecialUse string `json:"special_use,omitempty"` // of a mailbox that is made
	Subscribed bool   `json:"subscribed,omitempty"`
	// UIDValidity, if set, is that of the source, which the mailbox gets: Exist if UIDs of another may be known to clients.
	UIDValidity uint32 `json:"uid_validity,omitempty"`
	// Annotations are set (RFC 5464, by name) where the mailbox has none of that name.
	Annotations map[string][]byte `json:"annotations,omitempty"`
}

// ImportAccount has what belongs to no mailbox come in with an import. It adds and takes nothing away.
type ImportAccount struct {
	Address     string            `json:"address"`
	Import      string            `json:"import"`
	Subscribed  []string          `json:"subscribed,omitempty"`  // names, which no mailbox need have
	Annotations map[string][]byte `json:"annotations,omitempty"` // that are set where the account has none of that name
}

// ImportedAccount says whether it did.
type ImportedAccount struct {
	NoRoom bool `json:"no_room,omitempty"` // for all annotations, of which then none was set, or for all names
}

// KnownImports asks for keys of messages that were taken from a source before, from a page on.
type KnownImports struct {
	Address string `json:"address"`
	ID      string `json:"id"`
	Page    int    `json:"page"` // 0 = the first
}

// KnownKeys is some of the keys. Next is the next page, 0 behind the last.
type KnownKeys struct {
	Keys [][]byte `json:"keys"`
	Next int      `json:"next,omitempty"`
}

// EndImport ends an import.
type EndImport struct {
	Address     string         `json:"address"`
	Import      string         `json:"import"`
	Skipped     map[string]int `json:"skipped,omitempty"` // messages that were not brought in, by reason
	Interrupted bool           `json:"interrupted,omitempty"`
}

// EndedImport says what an import came to.
type EndedImport struct {
	Messages int64  `json:"messages"` // that were put
	Bytes    int64  `json:"bytes"`
	Leaf     uint64 `json:"leaf"`
}

func (s *Server) importRoutes() {
	route(s, "import", "begin", operators, s.beginImport)
	route(s, "import", "known", operators, s.knownImports)
	route(s, "import", "mailbox", operators, s.makeMailbox)
	route(s, "import", "account", operators, s.importAccount)
	route(s, "import", "end", operators, s.endImport)
	s.handle("import", "put", operators, func(w http.ResponseWriter, r *http.Request, who caller) error { return s.putImported(w, r, who) })
}

// maxSource bounds the words and the id of a source, in bytes.
const maxSource = 256

func (s *Server) beginImport(ctx context.Context, who caller, in BeginImport) (Import, error) {
	if in.Source == "" || in.ID == "" || len(in.Source) > maxSource || len(in.ID) > maxSource {
		return Import{}, domicile.E(who.call, domicile.Invalid, "an import names its source in at most 256 bytes")
	}
	a, err := s.importTarget(ctx, who, in.Address)
	if err != nil {
		return Import{}, err
	}
	view, err := s.sized(ctx, a)
	if err != nil {
		return Import{}, err
	}
	boxes, err := s.cfg.Store.Mailboxes(ctx, a.ID)
	if err != nil {
		return Import{}, err
	}
	out := Import{Account: view, Mailboxes: []ImportMailbox{}}
	for _, b := range boxes {
		out.Mailboxes = append(out.Mailboxes, ImportMailbox{Name: b.Name, SpecialUse: b.SpecialUse, Messages: b.Messages})
	}
	if in.DryRun {
		return out, nil
	}
	s.sweepImports(ctx)
	if err := s.endStale(ctx, who, a, in.ID); err != nil {
		return Import{}, err
	}
	leaf, err := s.record(ctx, who, "account.import_begun", a.Address, map[string]string{"account": string(a.ID), "source": in.Source})
	if err != nil {
		return Import{}, err
	}
	out.Import, out.Leaf = domicile.NewID("i"), &leaf.Index
	return out, s.changeImports(a.ID, func(l *importLedger) error {
		was, ok := l.Sources[in.ID]
		if !ok && len(l.Sources) >= maxSources {
			return domicile.E(who.call, domicile.TooLarge, "mail from 64 sources was imported into this account; another cannot be told apart")
		}
		l.Sources[in.ID] = importState{Import: out.Import, Operator: who.Operator, Source: in.Source, Pages: was.Pages}
		return nil
	})
}

// importTarget finds an account into which mail may be brought: it rests here, and is not on its way elsewhere.
func (s *Server) importTarget(ctx context.Context, who caller, address string) (store.Account, error) {
	a, err := s.findAtHome(ctx, who, address, "house/home-imports", "its mail is brought in there")
	if err != nil {
		return a, err
	}
	return a, importable(who, a)
}

// findAtHome is find, but for an account of another region a refusal that says what is done there, and by which rule.
func (s *Server) findAtHome(ctx context.Context, who caller, address, rule, what string) (store.Account, error) {
	a, err := s.find(ctx, who, address)
	if domicile.KindOf(err) == domicile.NotExist {
		if addr, perr := placement.ParseAddress(address); perr == nil {
			if loc, lerr := s.cfg.Directory.Resolve(ctx, addr); lerr == nil && loc.Home != s.cfg.Region {
				return a, domicile.Refuse(who.call, domicile.WrongRegion, rule, "the account's home is "+string(loc.Home)+
					": "+what+", by that region's own operators"+s.adminOf(loc.Home))
			}
		}
	}
	return a, err
}

func importable(who caller, a store.Account) error {
	switch {
	case a.State == store.Moving:
		return domicile.E(who.call, domicile.Unavailable, "the account is on its way to another region; bring its mail in there when it has arrived")
	case a.Class != "standard":
		return domicile.E(who.call, domicile.Invalid, "the mail of an account of class "+a.Class+" is sealed to its owner when it arrives, which an import cannot do")
	}
	return nil
}

// importing finds the account of an import that goes on. Its beginning is on record; what follows until its end has no leaf of its own.
func (s *Server) importing(ctx context.Context, who caller, address string) (store.Account, error) {
	addr, err := placement.ParseAddress(address)
	if err != nil {
		return store.Account{}, err
	}
	a, err := s.cfg.Store.AccountByAddress(ctx, addr)
	if err != nil {
		return a, err
	}
	if s.handedOver(a.ID) {
		return a, domicile.Refuse(who.call, domicile.WrongRegion, "house/home-imports", "the account has moved to another region")
	}
	return a, importable(who, a)
}

// state returns the import that a caller goes on with.
func (l *importLedger) state(who caller, id string) (source string, st importState, err error) {
	for source, st := range l.Sources {
		if st.Import == id && id != "" {
			if st.Operator != who.Operator {
				break
			}
			return source, st, nil
		}
	}
	return "", st, domicile.E(who.call, domicile.Conflict, "this import was ended, or another run from the same source has begun since; only one goes on at a time")
}

// goingOn finds the account of an import that nobody has ended.
func (s *Server) goingOn(ctx context.Context, who caller, address, imp string) (store.Account, error) {
	a, err := s.importing(ctx, who, address)
	if err != nil {
		return a, err
	}
	l, err := s.imports(a.ID)
	if err == nil {
		_, _, err = l.state(who, imp)
	}
	return a, err
}

func (s *Server) importAccount(ctx context.Context, who caller, in ImportAccount) (out ImportedAccount, err error) {
	if len(in.Subscribed) > store.MaxSubscribed {
		return out, domicile.E(who.call, domicile.TooLarge, "at most 1024 names can be subscribed that no mailbox has")
	}
	a, err := s.goingOn(ctx, who, in.Address, in.Import)
	if err != nil {
		return out, err
	}
	has, err := s.cfg.Store.Subscriptions(ctx, a.ID)
	for _, name := range in.Subscribed {
		if err == nil && !slices.Contains(has, name) {
			err = s.cfg.Store.Subscribe(ctx, "", a.ID, name, true)
		}
	}
	if domicile.KindOf(err) == domicile.TooLarge {
		out.NoRoom, err = true, nil
	}
	if err != nil {
		return out, err
	}
	noRoom, err := s.annotate(ctx, a.ID, "", in.Annotations)
	out.NoRoom = out.NoRoom || noRoom
	return out, err
}

func (s *Server) makeMailbox(ctx context.Context, who caller, in MakeMailbox) (ImportMailbox, error) {
	a, err := s.goingOn(ctx, who, in.Address, in.Import)
	if err != nil {
		return ImportMailbox{}, err
	}
	b, _, err := s.mailbox(ctx, a.ID, in.Name, in.SpecialUse)
	if err == nil && in.Subscribed && !b.Subscribed {
		err = s.cfg.Store.Subscribe(ctx, "", a.ID, b.Name, true)
	}
	if err == nil && in.UIDValidity != 0 {
		err = s.cfg.Store.NumberMailbox(ctx, a.ID, b.ID, in.UIDValidity, 1)
		if domicile.KindOf(err) == domicile.Conflict { // which to a caller is that another run has begun
			err = &domicile.Error{Op: who.call, Kind: domicile.Exist, Err: err}
		}
	}
	out := ImportMailbox{Name: b.Name, SpecialUse: b.SpecialUse, Messages: b.Messages}
	if err == nil {
		out.NoRoom, err = s.annotate(ctx, a.ID, b.ID, in.Annotations)
	}
	return out, err
}

// annotate sets annotations that a mailbox, or with "" the account, has not: all or none.
func (s *Server) annotate(ctx context.Context, id domicile.AccountID, mbox domicile.MailboxID, given map[string][]byte) (noRoom bool, err error) {
	if len(given) == 0 {
		return false, nil
	}
	has, err := s.cfg.Store.Annotations(ctx, id, mbox)
	if err != nil {
		return false, err
	}
	var set []store.Annotation
	for entry, value := range given {
		if entry, err = store.EntryName(entry); err != nil {
			return false, err
		}
		if !slices.ContainsFunc(has, func(x store.Annotation) bool { return x.Entry == entry }) {
			set = append(set, store.Annotation{Entry: entry, Value: value})
		}
	}
	_, err = s.cfg.Store.Annotate(ctx, "", id, mbox, set)
	if domicile.KindOf(err) == domicile.TooLarge {
		return true, nil
	}
	return false, err
}

// mailbox returns a mailbox of an account, made if absent.
func (s *Server) mailbox(ctx context.Context, id domicile.AccountID, name, use string) (b store.Mailbox, made bool, err error) {
	b, err = s.cfg.Store.MailboxByName(ctx, id, name)
	if domicile.KindOf(err) != domicile.NotExist {
		return b, false, err
	}
	b, err = s.cfg.Store.CreateMailbox(ctx, "", id, name, use)
	if domicile.KindOf(err) == domicile.Exist { // made by somebody else meanwhile
		b, err = s.cfg.Store.MailboxByName(ctx, id, name)
		return b, false, err
	}
	return b, err == nil, err
}

func (s *Server) knownImports(ctx context.Context, who caller, in KnownImports) (KnownKeys, error) {
	a, err := s.importing(ctx, who, in.Address)
	if err != nil {
		return KnownKeys{}, err
	}
	return s.importedKeys(a.ID, in.ID, in.Page)
}

func (s *Server) endImport(ctx context.Context, who caller, in EndImport) (EndedImport, error) {
	a, err := s.importing(ctx, who, in.Address)
	if err != nil {
		return EndedImport{}, err
	}
	l, err := s.imports(a.ID)
	if err != nil {
		return EndedImport{}, err
	}
	source, st, err := l.state(who, in.Import)
	if err != nil {
		return EndedImport{}, err
	}
	outcome := "done"
	if in.Interrupted {
		outcome = "interrupted"
	}
	skipped := 0
	for _, n := range in.Skipped {
		skipped += n
	}
	return s.closeImport(ctx, who, a, source, st, outcome, skipped)
}

// endStale ends an import from the same source that nobody ended: its mailctl was killed.
func (s *Server) endStale(ctx context.Context, who caller, a store.Account, source string) error {
	l, err := s.imports(a.ID)
	if err != nil {
		return err
	}
	st, ok := l.Sources[source]
	if !ok || st.Import == "" {
		return nil
	}
	_, err = s.closeImport(ctx, who, a, source, st, "cut off", 0)
	return err
}

// closeImport puts the end of an import on record, then closes it. A crash between the two records it once more.
func (s *Server) closeImport(ctx context.Context, who caller, a store.Account, source string, st importState, outcome string, skipped int) (EndedImport, error) {
	leaf, err := s.record(ctx, who, "account.import_ended", a.Address, map[string]string{"account": string(a.ID), "source": st.Source, "by": st.Operator,
		"outcome": outcome, "messages": strconv.FormatInt(st.Messages, 10), "bytes": strconv.FormatInt(st.Bytes, 10), "skipped": strconv.Itoa(skipped)})
	if err != nil {
		return EndedImport{}, err
	}
	err = s.changeImports(a.ID, func(l *importLedger) error {
		if now := l.Sources[source]; now.Import == st.Import {
			now.Import = ""
			l.Sources[source] = now
		}
		return nil
	})
	return EndedImport{Messages: st.Messages, Bytes: st.Bytes, Leaf: leaf.Index}, err
}

// adminOf says where the operators of a region reach it, as far as gossip knows.
func (s *Server) adminOf(r domicile.Region) string {
	for _, m := range s.cfg.Network.Members() {
		if m.Region == r && m.Alive && m.Admin != "" {
			return " at " + m.Admin
		}
	}
	return ""
}

// sweepEvery is how often records of accounts that are gone are looked for.
const sweepEvery = time.Hour

// sweepImports removes the ledgers of accounts that no longer rest here: erased, or moved away. At most once an hour, and once
// after a start.
func (s *Server) sweepImports(ctx context.Context) {
	now := s.cfg.Now()
	if last := s.swept.Load(); last != nil && now.Sub(*last) < sweepEvery {
		return
	}
	s.swept.Store(&now)
	var ids []domicile.AccountID
	err := s.importBook.Each(func(key string, _ []byte) error {
		ids = append(ids, domicile.AccountID(key))
		return nil
	})
	ids = slices.DeleteFunc(ids, func(id domicile.AccountID) bool {
		_, aerr := s.cfg.Store.Account(ctx, id)
		return domicile.KindOf(aerr) != domicile.NotExist && !s.handedOver(id)
	})
	for _, id := range ids {
		if err == nil {
			err = s.forgetImports(id)
		}
	}
	if err != nil {
		s.cfg.Log.Warn("admin: what is known of imports into erased accounts is removed later", "error", err)
	}
}
