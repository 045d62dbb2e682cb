//go:build linux

package disk

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"domicile"
	"domicile/keys"
	"domicile/store"
	"domicile/store/bolt"
)

// moving is an account as another region exported it, in parts of which one body needs two. Lives import it under ids of their own.
type moving struct {
	Parts []store.Part
	Mail  []claim // what is in its INBOX; ID, N and Sum
}

const (
	movingFile  = "moving"
	movingBytes = 3000 // of bodies in a part
)

// makeMoving makes an account in a store on a sound disk and keeps what it exports.
func makeMoving(dir string) (err error) {
	data := filepath.Join(dir, "source")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	secret, err := keys.LoadSecret(filepath.Join(dir, "root.key"), data)
	if err != nil {
		return err
	}
	ring, err := keys.OpenRing(secret, filepath.Join(data, "keys"))
	if err != nil {
		return err
	}
	defer ring.Close()
	s, err := bolt.Open(bolt.Config{Dir: filepath.Join(dir, "source", "store"), Region: "us-east", Sealer: ring})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ctx := context.Background()
	const id = domicile.AccountID("moving")
	if err := s.CreateAccount(ctx, "", store.Account{ID: id, Address: "moving@example.com", Residence: "IE"}); err != nil {
		return err
	}
	var m moving
	for i, text := range [][]byte{[]byte("short\r\n"), bytes.Repeat([]byte("in two pieces\r\n"), movingBytes/10)} {
		in, err := s.Incoming(ctx, id, 1<<20)
		if err != nil {
			return err
		}
		in.Write(text) // an error is Commit's too
		got, err := in.Commit(ctx, store.Token(fmt.Sprint(i)), store.Inbox, nil, time.Time{})
		if err != nil {
			return err
		}
		m.Mail = append(m.Mail, claim{Kind: "mail", ID: string(got.ID), N: uint64(got.UID), Sum: sum(text)})
	}
	if err := s.UpdateAccount(ctx, id, func(a *store.Account) error { a.State = store.Moving; return nil }); err != nil {
		return err
	}
	for next, last := store.Position(""), false; !last; {
		p, err := s.Export(ctx, id, next, movingBytes)
		if err != nil {
			return err
		}
		m.Parts = append(m.Parts, p)
		next, last = p.Next, p.Last
	}
	var raw bytes.Buffer
	return errors.Join(gob.NewEncoder(&raw).Encode(m), os.WriteFile(filepath.Join(dir, movingFile), raw.Bytes(), 0o600))
}

func loadMoving(dir string) (m moving, err error) {
	raw, err := os.ReadFile(filepath.Join(dir, movingFile))
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(raw)).Decode(&m)
	}
	return m, err
}

// partsOf are those of the account under another id.
func (m moving) partsOf(id domicile.AccountID) []store.Part {
	parts := slices.Clone(m.Parts)
	parts[0].Items = slices.Clone(parts[0].Items)
	first := *parts[0].Items[0].Account
	first.ID, first.Address = id, domicile.Address(id+"@example.com")
	parts[0].Items[0].Account = &first
	return parts
}

// bring imports the parts of an account from the n-th on, and says after each that it is there. One that fails comes once more.
func (l *life) bring(ctx context.Context, id domicile.AccountID, parts []store.Part, n int, say func(claim)) error {
	for ; n < len(parts); n++ {
		err := l.store.Import(ctx, id, parts[n])
		if err != nil {
			fmt.Fprintf(os.Stderr, "part %d comes again: %v\n", n+1, err)
			err = l.store.Import(ctx, id, parts[n])
		}
		if err != nil {
			return err
		}
		say(claim{Kind: "imported", ID: string(id), N: uint64(n + 1)})
		if n > 0 {
			continue
		}
		if err := l.key(string(id), say); err != nil {
			return err
		}
	}
	return nil
}

// arrive has an account come in and be served.
func (l *life) arrive(ctx context.Context, name string, i int, say func(claim)) error {
	id := domicile.AccountID(fmt.Sprintf("%s-comes-%d", name, i))
	if err := l.bring(ctx, id, l.moving.partsOf(id), 0, say); err != nil {
		return err
	}
	if err := l.activate(ctx, id); err != nil {
		return err
	}
	say(claim{Kind: "activated", ID: string(id)})
	return nil
}

func (l *life) activate(ctx context.Context, id domicile.AccountID) error {
	return l.store.Activate(ctx, id, func(a *store.Account) error { a.State, a.Epoch = store.Active, 2; return nil })
}

// giveUp has an account come in, but for its last part, and gives it up.
func (l *life) giveUp(ctx context.Context, name string, i int, say func(claim)) error {
	id := domicile.AccountID(fmt.Sprintf("%s-stops-%d", name, i))
	parts := l.moving.partsOf(id)
	if err := l.bring(ctx, id, parts[:len(parts)-1], 0, say); err != nil {
		return err
	}
	say(claim{Kind: "deleting", ID: string(id)})
	if err := l.store.Abandon(ctx, id); err != nil {
		return err
	}
	say(claim{Kind: "deleted", ID: string(id)})
	return nil
}

// holdsImport wants an import to stand no earlier than it was said to, and has the source go on from there.
func (l *life) holdsImport(ctx context.Context, c claim) error {
	id := domicile.AccountID(c.ID)
	at, err := l.store.Imported(ctx, id)
	if domicile.KindOf(err) == domicile.NotExist {
		return l.holdsArrived(ctx, id)
	}
	if err != nil {
		return err
	}
	parts := l.moving.partsOf(id)
	n := slices.IndexFunc(parts, func(p store.Part) bool { return p.After == at.At })
	if at.Whole {
		n = len(parts)
	}
	if n < int(c.N) {
		return fmt.Errorf("the import has %d parts", n)
	}
	if err := l.bring(ctx, id, parts, n, func(claim) {}); err != nil {
		return fmt.Errorf("the import does not go on behind part %d: %w", n, err)
	}
	if err := l.activate(ctx, id); err != nil {
		return err
	}
	return l.holdsArrived(ctx, id)
}

// holdsArrived wants an imported account to be served, with all its mail.
func (l *life) holdsArrived(ctx context.Context, id domicile.AccountID) error {
	a, err := l.store.Account(ctx, id)
	if err != nil {
		return err
	}
	if a.State != store.Active || a.Epoch != 2 {
		return fmt.Errorf("the account is %q in epoch %d", a.State, a.Epoch)
	}
	for _, m := range l.moving.Mail {
		m.In = string(id)
		if err := l.holdsMail(ctx, m); err != nil {
			return fmt.Errorf("%+v: %w", m, err)
		}
	}
	return nil
}
