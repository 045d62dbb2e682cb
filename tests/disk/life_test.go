//go:build linux

package disk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/keys"
	"domicile/placement"
	"domicile/region"
	"domicile/store"
	"domicile/store/bolt"
	"domicile/tests/faultfs"
)

const (
	home    = domicile.Region("eu-ireland")
	logName = "example.com/domicile/eu-ireland"

	segmentSize = 8 << 10 // of the store's log: a life fills several
)

// claim is one thing that was acknowledged. What must be true of a disk is the list of claims made before the power failed.
type claim struct {
	Kind string // see life.live; "act" claims nothing, and tells which act begins
	ID   string
	In   string // an account, or a file's path
	N    uint64
	Sum  string
}

// life is a region's durable parts, opened as a node opens them, in one data folder.
type life struct {
	*given
	sending
	dir     string
	signer  *keys.Signer
	audit   *audit.Log
	witness *audit.Witness
	ring    *keys.Ring
	journal *region.Journal
	guard   *region.Guard
	store   *bolt.Store
	closers []func() error
}

// makeSecrets makes what lies outside the data folder: keys, certificates, and what another region exported.
func makeSecrets(dir string) error {
	_, err := keys.CreateSigner(filepath.Join(dir, "signing.key"), logName)
	return errors.Join(err, keys.CreateRoot(filepath.Join(dir, "root.key")), makeMoving(dir), makeLab(dir))
}

// given is what makeSecrets made, read once by a process.
type given struct {
	secrets string
	moving  moving
	border  border
}

func loadGiven(secrets string) (*given, error) {
	m, err1 := loadMoving(secrets)
	b, err2 := loadBorder(secrets)
	return &given{secrets, m, b}, errors.Join(err1, err2)
}

// open opens the parts in the order of a node. first, if not nil, is called after each, before the next is opened: what is
// acknowledged then must not depend on the opening of the next.
func open(dir string, g *given, first func(l *life, part string) error) (l *life, err error) {
	if first == nil {
		first = func(*life, string) error { return nil }
	}
	l = &life{dir: dir, given: g}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.signer, err = keys.LoadSigner(filepath.Join(g.secrets, "signing.key")); err != nil {
		return l, err
	}
	if err := region.Stamp(dir, home, "eu-ireland-1"); err != nil {
		return l, err
	}
	secret, err := l.openSecret()
	if err != nil {
		return l, err
	}
	if l.audit, err = audit.Open(audit.Config{Dir: l.in("audit"), Origin: logName, Signer: l.signer, Sealer: secret.Box("audit")}); err != nil {
		return l, err
	}
	l.closers = append(l.closers, l.audit.Close)
	if err := first(l, "log"); err != nil {
		return l, err
	}
	if l.witness, err = audit.OpenWitness(l.in("cosigner"), l.signer, map[string]string{logName: l.signer.VKey()}, nil); err != nil {
		return l, err
	}
	l.closers = append(l.closers, l.witness.Close)
	if err := first(l, "witness"); err != nil {
		return l, err
	}
	if l.ring, err = keys.OpenRing(secret, l.in("keys")); err != nil {
		return l, err
	}
	l.closers = append(l.closers, l.ring.Close)
	if err := first(l, "ring"); err != nil {
		return l, err
	}
	if l.store, err = bolt.Open(bolt.Config{Dir: l.in("store"), Region: home, Sealer: l.ring, SegmentSize: segmentSize,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))}); err != nil {
		return l, err
	}
	l.closers = append(l.closers, l.store.Close)
	if err := first(l, "store"); err != nil {
		return l, err
	}
	if l.journal, err = region.OpenJournal(l.in("journal"), secret.Box("journal"), time.Hour, nil); err != nil {
		return l, err
	}
	l.closers = append(l.closers, l.journal.Close)
	if l.guard, err = region.NewGuard(region.GuardConfig{Region: home, Log: l.audit, Journal: l.journal}); err != nil {
		return l, err
	}
	l.closers = append(l.closers, l.guard.Close)
	if err := first(l, "guard"); err != nil {
		return l, err
	}
	return l, l.openSending()
}

// openSecret has the root key on a sound disk, and the wrapping keys beside it, by a link, on the failing one.
func (l *life) openSecret() (*keys.Secret, error) {
	beside, err := os.MkdirTemp("", "domicile-root-")
	if err != nil {
		return nil, err
	}
	l.closers = append(l.closers, func() error { return os.RemoveAll(beside) })
	if err := os.MkdirAll(l.wraps(), 0o700); err != nil { // what is in it was made after its name was synced
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(l.secrets, "root.key"))
	rootKey := filepath.Join(beside, "root.key")
	if err := errors.Join(err, os.WriteFile(rootKey, raw, 0o600), os.Symlink(l.wraps(), filepath.Join(beside, "wraps"))); err != nil {
		return nil, err
	}
	return keys.LoadSecret(rootKey, l.dir)
}

func (l *life) wraps() string { return filepath.Join(filepath.Dir(l.dir), "wraps") }

func (l *life) in(name string) string { return filepath.Join(l.dir, name) }

func (l *life) close() error {
	var errs []error
	for len(l.closers) > 0 {
		last := len(l.closers) - 1
		errs = append(errs, l.closers[last]())
		l.closers = l.closers[:last]
	}
	return errors.Join(errs...)
}

// body is the text of message i: one of them spans many pages.
func body(name string, i int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "line of %s %d, which nobody may lose\r\n", name, i), 1+i*i*7%400)
}

func sum(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }

// live does a little of everything that is acknowledged, and says each claim once it is. name keeps the ids of two lives on
// one disk apart. An error of one act ends only that act: it is given to failed, which may end the life with its own error.
func (l *life) live(name string, rounds int, say func(claim), failed func(act string, err error) error) error {
	ctx := context.Background()
	acts := []struct {
		name string
		do   func(i int) error
	}{
		{"account", func(i int) error { return l.account(ctx, name, i, say) }},
		{"deliver", func(i int) error { return l.deliver(ctx, name, i, say) }},
		{"append", func(i int) error { return l.append(ctx, name, i, say) }},
		{"spend", func(i int) error { return l.spend(ctx, name, i, say) }},
		{"permit", func(i int) error { return l.permit(ctx, say) }},
		{"put", func(i int) error { return l.put(name, i, say) }},
		{"witness", func(i int) error { return l.cosign(ctx, say) }},
		{"expunge", func(i int) error { return l.expunge(ctx, name, i, say) }},
		{"draft", func(i int) error { return l.draft(ctx, name, i, say) }},
		{"delete", func(i int) error { return l.delete(ctx, name, i, say) }},
		{"arrive", func(i int) error { return l.arrive(ctx, name, i, say) }},
		{"give up", func(i int) error { return l.giveUp(ctx, name, i, say) }},
		{"send", func(int) error { return l.send(ctx, say) }}, // of the round before: the last message stays in the queue
		{"submit", func(i int) error { return l.submit(ctx, name, i, say) }},
		{"compact", func(int) error { return l.store.Compact(ctx) }}, // and a base before it
	}
	for i := range rounds {
		for _, a := range acts {
			say(claim{Kind: "act", ID: a.name})
			if err := a.do(i); err != nil {
				if err := failed(a.name, err); err != nil {
					return err
				}
			}
		}
	}
	say(claim{Kind: "act", ID: "close"})
	return nil
}

func (l *life) account(ctx context.Context, name string, i int, say func(claim)) error {
	for _, kind := range []string{"stays", "goes", "reads"} {
		id := fmt.Sprintf("%s-%s-%d", name, kind, i)
		if err := l.store.CreateAccount(ctx, "", store.Account{ID: domicile.AccountID(id), Address: domicile.Address(id + "@example.com"), Residence: "IE", Password: id}); err != nil {
			return err
		}
		say(claim{Kind: "account", ID: id})
		if err := l.key(id, say); err != nil {
			return err
		}
	}
	return nil
}

// key says what opens under the key of an account, and the wrapping keys that there are.
func (l *life) key(id string, say func(claim)) error {
	sealed, err := l.ring.SealRecord(domicile.AccountID(id), []byte(id), nil)
	if err != nil {
		return err
	}
	say(claim{Kind: "key", ID: id, Sum: hex.EncodeToString(sealed)})
	files, err := filepath.Glob(filepath.Join(l.wraps(), "*"))
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if len(bytes.Trim(raw, "\x00")) > 0 { // one that was overwritten, and not removed yet, is none
			say(claim{Kind: "wrap", Sum: sum(raw)})
		}
	}
	return err
}

// holdsKey wants an account's key to be the one it was.
func (l *life) holdsKey(c claim) error {
	sealed, err := hex.DecodeString(c.Sum)
	if err != nil {
		return err
	}
	open, err := l.ring.OpenRecord(domicile.AccountID(c.ID), sealed, nil)
	if err != nil || string(open) != c.ID {
		return fmt.Errorf("the key of %s is not what it was: %q, %w", c.ID, open, err)
	}
	return nil
}

// early does one act of a part that the next part's opening has not followed yet.
func (l *life) early(part, name string, say func(claim)) error {
	switch part {
	case "log":
		return l.append(context.Background(), name, -1, say)
	case "witness":
		return l.cosign(context.Background(), say)
	case "ring":
		id := name + "-early"
		if err := l.ring.CreateAccountKey(domicile.AccountID(id)); err != nil {
			return err
		}
		return l.key(id, say)
	case "store":
		return l.put(name+"-early", 0, say)
	case "guard":
		return l.permit(context.Background(), say)
	}
	return nil
}

func (l *life) deliver(ctx context.Context, name string, i int, say func(claim)) error {
	for n, to := range []string{"stays", "goes", "stays"} {
		acct := fmt.Sprintf("%s-%s-%d", name, to, i)
		in, err := l.store.Incoming(ctx, domicile.AccountID(acct), 1<<20)
		if err != nil {
			return err
		}
		text := body(acct, i*3+n)
		if _, err := in.Write(text); err != nil {
			in.Abort()
			return err
		}
		m, err := in.Commit(ctx, store.Token(fmt.Sprint(acct, n)), store.Inbox, nil, time.Time{})
		if err != nil {
			return err
		}
		say(claim{Kind: "mail", ID: string(m.ID), In: acct, N: uint64(m.UID), Sum: sum(text)})
	}
	return nil
}

func (l *life) append(ctx context.Context, name string, i int, say func(claim)) error {
	leaf, err := l.audit.Append(ctx, audit.Entry{Kind: "test.append", Case: fmt.Sprintf("%s-%d", name, i), Private: map[string]string{"detail": "hidden"}})
	if err == nil {
		say(claim{Kind: "leaf", N: leaf.Index, Sum: hex.EncodeToString(leaf.Hash[:])})
	}
	return err
}

func (l *life) spend(ctx context.Context, name string, i int, say func(claim)) error {
	id := fmt.Sprintf("%s-%d", name, i)
	leaf, err := l.audit.Spend(ctx, audit.Spend{Issuer: "court", JTI: id, Max: 1}, audit.Entry{Kind: "test.spend", Case: id})
	if err == nil {
		say(claim{Kind: "spent", ID: id})
		say(claim{Kind: "leaf", N: leaf.Index, Sum: hex.EncodeToString(leaf.Hash[:])})
	}
	return err
}

// permit has the journal write a record: that a crossing was asked for, and refused.
func (l *life) permit(ctx context.Context, say func(claim)) error {
	_, err := l.guard.Permit(ctx, region.Request{Crossing: placement.Crossing{Class: domicile.Lookup, From: "us-east"}})
	if domicile.ReasonOf(err) != domicile.WrongRegion {
		return fmt.Errorf("a permit that should have been refused: %w", err)
	}
	return l.journaled(say)
}

// journaled says what is in the journal.
func (l *life) journaled(say func(claim)) error {
	files, err := filepath.Glob(l.in("journal/*.journal"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("files of the journal: %v, %v", files, err)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	say(claim{Kind: "journal", In: "journal/" + filepath.Base(files[0]), N: uint64(len(raw)), Sum: sum(raw)})
	return nil
}

func (l *life) put(name string, i int, say func(claim)) error {
	table, err := l.store.Table("records")
	if err != nil {
		return err
	}
	key := fmt.Sprintf("%s-%d", name, i)
	if err := table.Put(key, []byte(key)); err != nil {
		return err
	}
	say(claim{Kind: "record", ID: key})
	return nil
}

func (l *life) cosign(ctx context.Context, say func(claim)) error {
	signed, err := l.audit.Checkpoint()
	if err != nil {
		return err
	}
	size := l.audit.Head().Size
	known, err := l.witnessed(ctx)
	if err != nil {
		return err
	}
	proof, err := l.audit.ConsistencyProof(known, size)
	if err != nil {
		return err
	}
	if _, err := l.witness.AddCheckpoint(ctx, audit.WitnessRequest(known, proof, signed)); err != nil {
		return err
	}
	say(claim{Kind: "cosigned", N: size})
	return nil
}

// witnessed is the size that the witness knows. It tells when it is asked to cosign from another.
func (l *life) witnessed(ctx context.Context) (uint64, error) {
	signed, err := l.audit.Checkpoint()
	if err != nil {
		return 0, err
	}
	size := l.audit.Head().Size
	_, err = l.witness.AddCheckpoint(ctx, audit.WitnessRequest(size, nil, signed))
	if conflict, ok := errors.AsType[*audit.ConflictSize](err); ok {
		return conflict.Size, nil
	}
	return size, err
}

func (l *life) expunge(ctx context.Context, name string, i int, say func(claim)) error {
	acct := domicile.AccountID(fmt.Sprintf("%s-stays-%d", name, i))
	box, err := l.store.MailboxByName(ctx, acct, store.Inbox)
	if err != nil {
		return err
	}
	list, err := l.store.Messages(ctx, acct, box.ID, 0, store.MaxPage)
	if err != nil || len(list) < 2 {
		return err
	}
	first, second := list[0], list[1]
	if _, err := l.store.StoreFlags(ctx, "", acct, box.ID, []store.UID{second.UID}, store.FlagsAdd, []string{store.Flagged}, 0); err != nil {
		return err
	}
	say(claim{Kind: "flagged", ID: string(second.ID), In: string(acct)})
	if _, err := l.store.StoreFlags(ctx, "", acct, box.ID, []store.UID{first.UID}, store.FlagsAdd, []string{store.Deleted}, 0); err != nil {
		return err
	}
	say(claim{Kind: "expunging", ID: string(first.ID), In: string(acct)}) // from here on it may be gone
	if _, err := l.store.Expunge(ctx, "", acct, box.ID, nil); err != nil {
		return err
	}
	say(claim{Kind: "expunged", ID: string(first.ID), In: string(acct)})
	return nil
}

// draft puts messages into a mailbox together, and then others in the place of the first of them. From "drafting" on there may be those of none of
// the two acts, of one or of both.
func (l *life) draft(ctx context.Context, name string, i int, say func(claim)) error {
	acct := domicile.AccountID(fmt.Sprintf("%s-stays-%d", name, i))
	box, err := l.store.MailboxByName(ctx, acct, "Drafts")
	if err != nil {
		return err
	}
	say(claim{Kind: "drafting", In: string(acct)})
	first, err := l.together(ctx, acct, nil, 0, 1)
	if err != nil {
		return err
	}
	say(claim{Kind: "drafted", In: string(acct), N: 2})
	if _, err := l.together(ctx, acct, &store.Instead{Mailbox: box.ID, UID: first[0].UID}, 2, 3, 4); err != nil {
		return err
	}
	say(claim{Kind: "drafted", In: string(acct), N: 4})
	return nil
}

func (l *life) together(ctx context.Context, acct domicile.AccountID, instead *store.Instead, numbers ...int) ([]store.Message, error) {
	var letters []store.Letter
	for _, n := range numbers {
		in, err := l.store.Incoming(ctx, acct, 1<<20)
		if err != nil {
			return nil, err
		}
		defer in.Abort()
		if _, err := in.Write(body(string(acct)+" drafts", n)); err != nil {
			return nil, err
		}
		letters = append(letters, store.Letter{Bytes: in})
	}
	_, made, err := l.store.Commit(ctx, store.Token(fmt.Sprint(acct, numbers)), acct, "Drafts", letters, instead)
	return made, err
}

// holdsDrafts wants the drafts of whole acts, and of those that were acknowledged.
func (l *life) holdsDrafts(ctx context.Context, c claim) error {
	acct := domicile.AccountID(c.In)
	box, err := l.store.MailboxByName(ctx, acct, "Drafts")
	if err != nil {
		return err
	}
	want := map[uint32][]int{0: nil, 2: {0, 1}, 4: {1, 2, 3, 4}}[box.Messages]
	if uint64(box.Messages) < c.N || len(want) != int(box.Messages) {
		return fmt.Errorf("%d drafts are there", box.Messages)
	}
	list, err := l.store.Messages(ctx, acct, box.ID, 0, store.MaxPage)
	for n, m := range list {
		raw, err := l.text(ctx, acct, m.ID)
		if err != nil || !bytes.Equal(raw, body(string(acct)+" drafts", want[n])) {
			return fmt.Errorf("draft %d of %d is another: %w", n, len(want), err)
		}
	}
	return err
}

func (l *life) delete(ctx context.Context, name string, i int, say func(claim)) error {
	acct := fmt.Sprintf("%s-goes-%d", name, i)
	say(claim{Kind: "deleting", ID: acct})
	if err := l.store.DeleteAccount(ctx, domicile.AccountID(acct)); err != nil {
		return err
	}
	say(claim{Kind: "deleted", ID: acct})
	return nil
}

// work is the child process that lives on the mounted disk. It says its claims into the disk's trace.
func work(dir, secrets, name string, rounds int) error {
	note, err := os.OpenFile(filepath.Join(dir, faultfs.NoteFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer note.Close()
	say := func(c claim) {
		raw, err := json.Marshal(c)
		if err == nil {
			_, err = note.Write(raw)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "the claim was not taken:", err)
		}
	}
	own := filepath.Join(dir, "secrets") // keys are made on the failing disk too
	for _, d := range []string{own, filepath.Join(dir, "wraps")} {
		if err := os.Mkdir(d, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	if d, err := os.Open(dir); err != nil || d.Sync() != nil {
		return errors.New("sync of the root failed")
	}
	file := filepath.Join(own, name+".key")
	if err := keys.CreateRoot(file); err == nil {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		say(claim{Kind: "secret", In: "secrets/" + name + ".key", Sum: sum(raw)})
	} else if err := survive("make a key", err); err != nil {
		return err
	}
	g, err := loadGiven(secrets)
	if err != nil {
		return err
	}
	l, err := open(filepath.Join(dir, "data"), g, func(l *life, part string) error {
		return survive("early "+part, l.early(part, name, say))
	})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	say(claim{Kind: "opened"})
	return errors.Join(l.live(name, rounds, say, survive), l.close())
}

// survive says what went wrong, and returns it unless this life is meant to go on after errors.
func survive(act string, err error) error {
	if err == nil {
		return nil
	}
	fmt.Printf("%s: %s: %v\n", act, domicile.KindOf(err), err)
	if os.Getenv(childFaults) == "yes" {
		return nil
	}
	return fmt.Errorf("%s: %w", act, err)
}

// check opens what a power cut left and holds it against the claims: as it is, and without the store's index, which can be made from the rest.
// loseFirst says which comes first.
func check(dir, nameless string, g *given, claims []claim, loseFirst bool) error {
	byKind := map[string]map[string]bool{}
	for _, c := range claims {
		if byKind[c.Kind] == nil {
			byKind[c.Kind] = map[string]bool{}
		}
		byKind[c.Kind][c.ID] = true
	}
	data := filepath.Join(dir, "data")
	for _, c := range claims {
		if err := checkFile(dir, data, c); err != nil {
			return err
		}
	}
	if err := checkWraps(dir, nameless, claims); err != nil {
		return err
	}
	for _, lose := range []bool{loseFirst, !loseFirst} {
		l, err := reopen(data, g, lose)
		if err != nil {
			return fmt.Errorf("open, index lost %v: %w", lose, err)
		}
		if err := l.store.Stats().Remade; err != nil {
			return errors.Join(fmt.Errorf("opened, index lost %v: it was not lost but damaged: %w", lose, err), l.close())
		}
		if err := errors.Join(l.holdsAll(claims, byKind), l.close()); err != nil {
			return fmt.Errorf("opened, index lost %v: %w", lose, err)
		}
	}
	l, err := open(data, g, nil)
	if err != nil {
		return err
	}
	err = l.live("afterwards", 1, func(claim) {}, func(act string, err error) error { return fmt.Errorf("it does not go on: %s: %w", act, err) })
	if err := errors.Join(err, l.close()); err != nil {
		return err
	}
	return audit.VerifyDir(filepath.Join(data, "audit"), audit.Pins{Logs: []audit.Pin{{VKey: l.signer.VKey()}}, Quorum: 1}, io.Discard)
}

// reopen opens the parts, after the store's index was lost or as they are.
func reopen(data string, g *given, lose bool) (*life, error) {
	if lose {
		if err := os.Remove(filepath.Join(data, "store", "index.db")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return open(data, g, nil)
}

// holdsAll checks all claims, and the store.
func (l *life) holdsAll(claims []claim, byKind map[string]map[string]bool) error {
	ctx := context.Background()
	for _, c := range claims {
		if byKind["deleting"][c.ID] && (c.Kind == "account" || c.Kind == "imported" || c.Kind == "key") || byKind["deleting"][c.In] || byKind["expunging"][c.ID] && c.Kind == "mail" {
			continue
		}
		if err := l.holds(ctx, c); err != nil {
			return fmt.Errorf("%+v: %w", c, err)
		}
	}
	return l.store.Check(ctx)
}

// checkFile checks a claim about bytes, before anything is opened that would repair them.
func checkFile(dir, data string, c claim) error {
	switch c.Kind {
	case "secret":
		raw, err := os.ReadFile(filepath.Join(dir, c.In))
		if err != nil || sum(raw) != c.Sum {
			return fmt.Errorf("the key %s is not what it was: %v", c.In, err)
		}
	case "journal":
		raw, err := os.ReadFile(filepath.Join(data, c.In))
		if err != nil || uint64(len(raw)) < c.N || sum(raw[:c.N]) != c.Sum {
			return fmt.Errorf("the journal has not the %d bytes it had: %d, %v", c.N, len(raw), err)
		}
	}
	return nil
}

// checkWraps wants every wrapping key that there was when an account was deleted to be nowhere on the disk: the account's key is
// sealed under one of them in whatever is left of the file of account keys, or was copied of it.
func checkWraps(dir, nameless string, claims []claim) error {
	old, now := map[string]bool{}, map[string]bool{}
	for _, c := range claims {
		switch c.Kind {
		case "wrap":
			now[c.Sum] = true
		case "deleted":
			maps.Copy(old, now)
		}
	}
	left, err := filepath.Glob(filepath.Join(nameless, "*"))
	named, err2 := filepath.Glob(filepath.Join(dir, "wraps", "*"))
	for _, path := range append(left, named...) {
		if raw, err := os.ReadFile(path); err == nil && old[sum(raw)] {
			return errors.New("a wrapping key from before a deletion is on the disk")
		}
	}
	return errors.Join(err, err2)
}

// holds checks a claim that was true once and must be true now.
func (l *life) holds(ctx context.Context, c claim) error {
	switch c.Kind {
	case "account":
		_, err := l.store.Account(ctx, domicile.AccountID(c.ID))
		return err
	case "deleted":
		if _, err := l.store.Account(ctx, domicile.AccountID(c.ID)); domicile.KindOf(err) != domicile.NotExist {
			return fmt.Errorf("it is there: %w", err)
		}
		if _, err := l.store.Imported(ctx, domicile.AccountID(c.ID)); domicile.KindOf(err) != domicile.NotExist {
			return fmt.Errorf("it comes in: %w", err)
		}
	case "key":
		return l.holdsKey(c)
	case "imported":
		return l.holdsImport(ctx, c)
	case "activated":
		return l.holdsArrived(ctx, domicile.AccountID(c.ID))
	case "sent", "delivered":
		return l.holdsSent(ctx, c)
	case "mail", "flagged", "expunged":
		return l.holdsMail(ctx, c)
	case "drafting", "drafted":
		return l.holdsDrafts(ctx, c)
	case "record":
		table, err := l.store.Table("records")
		if err != nil {
			return err
		}
		if v, ok, err := table.Get(c.ID); err != nil || !ok || string(v) != c.ID {
			return fmt.Errorf("%q, %v, %w", v, ok, err)
		}
	case "leaf":
		found := ""
		err := l.audit.Leaves(c.N, func(i uint64, raw []byte) error {
			if i == c.N {
				s := sha256.Sum256(append([]byte{0}, raw...)) // RFC 6962
				found = hex.EncodeToString(s[:])
			}
			return nil
		})
		if err != nil || found != c.Sum {
			return fmt.Errorf("the leaf is %q, %w", found, err)
		}
	case "spent":
		_, err := l.audit.Spend(ctx, audit.Spend{Issuer: "court", JTI: c.ID, Max: 1}, audit.Entry{Kind: "test.spend"})
		if domicile.ReasonOf(err) != domicile.Replayed {
			return fmt.Errorf("the token could be used again: %w", err)
		}
	case "cosigned":
		if size, err := l.witnessed(ctx); err != nil || size < c.N {
			return fmt.Errorf("the witness knows size %d, %w", size, err)
		}
	}
	return nil
}

func (l *life) holdsMail(ctx context.Context, c claim) error {
	acct := domicile.AccountID(c.In)
	box, err := l.store.MailboxByName(ctx, acct, store.Inbox)
	if err != nil {
		return err
	}
	for m, err := range store.AllMessages(ctx, l.store, acct, box.ID) {
		if err != nil {
			return err
		}
		if string(m.ID) != c.ID {
			continue
		}
		switch c.Kind {
		case "expunged":
			return errors.New("it is there again")
		case "flagged":
			if !strings.Contains(fmt.Sprint(m.Flags), store.Flagged) {
				return errors.New("its flag is gone")
			}
			return nil
		}
		raw, err := l.text(ctx, acct, m.ID)
		if err != nil || sum(raw) != c.Sum || uint64(m.UID) != c.N {
			return fmt.Errorf("%d bytes, other than delivered: %w", len(raw), err)
		}
		return nil
	}
	if c.Kind == "expunged" {
		return nil
	}
	return errors.New("it is gone")
}
