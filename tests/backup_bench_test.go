package tests

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/backup"
	"domicile/keys"
	"domicile/region"
	"domicile/store"
	"domicile/store/bolt"
)

// mirrored is the store as a mirror sees it, as in cmd/mailnode.
type mirrored struct{ *bolt.Store }

func (s mirrored) Segments() []backup.Segment { return segments(s.Store.Segments()) }

func (s mirrored) WithBase(fn func(uint64, string, []backup.Segment) error) error {
	return s.Store.WithBase(func(lsn uint64, dir string, list []bolt.Segment) error { return fn(lsn, dir, segments(list)) })
}

func segments(list []bolt.Segment) (out []backup.Segment) {
	for _, s := range list {
		out = append(out, backup.Segment(s))
	}
	return out
}

// backedUp is a store with a repository, and messages that nothing compresses.
type backedUp struct {
	b     *testing.B
	store *bolt.Store
	m     *backup.Mirror
	n     backup.Node
	repo  string
	next  uint64
}

const (
	backupMessages = 2000
	backupMessage  = 100 << 10
	backupAccount  = domicile.AccountID("aexampleaccount")
)

func newBackedUp(b *testing.B) *backedUp {
	b.Helper()
	no := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	u := &backedUp{b: b, repo: filepath.Join(dir, "repository"), n: backup.Node{Data: filepath.Join(dir, "data"), Region: "eu-ireland", Name: "eu-ireland-1"}}
	no(region.Stamp(u.n.Data, u.n.Region, u.n.Name))
	no(keys.CreateRoot(filepath.Join(dir, "root.key")))
	var err error
	u.n.Root, err = keys.LoadRoot(filepath.Join(dir, "root.key"))
	no(err)
	u.n.Signer, err = keys.CreateSigner(filepath.Join(dir, "signing.key"), "example.com/domicile/eu-ireland")
	no(err)
	secret, err := u.n.Root.Open(u.n.Data)
	no(err)
	ring, err := keys.OpenRing(secret, filepath.Join(u.n.Data, "keys"))
	no(err)
	b.Cleanup(func() { ring.Close() })
	log, err := audit.Open(audit.Config{Dir: filepath.Join(u.n.Data, "audit"), Origin: u.n.Signer.Name(), Signer: u.n.Signer, Sealer: secret.Box("audit")})
	no(err)
	b.Cleanup(func() { log.Close() })
	u.store, err = bolt.Open(bolt.Config{Dir: filepath.Join(u.n.Data, "store"), Region: u.n.Region, Sealer: ring})
	no(err)
	b.Cleanup(func() { u.store.Close() })
	no(u.store.CreateAccount(context.Background(), "", store.Account{ID: backupAccount, Address: "ann@example.com", Residence: "IE", Class: "standard"}))
	u.m, err = backup.OpenMirror(backup.MirrorConfig{Node: u.n, Dir: u.repo, Retention: backup.Retention{Within: backup.DefaultKeep}, Box: secret.Box("backup"), Ring: ring, Log: log,
		Store: mirrored{u.store}, Now: time.Now, Errs: slog.New(slog.DiscardHandler)})
	no(err)
	return u
}

// deliver brings messages in, 16 at a time.
func (u *backedUp) deliver(messages int) {
	u.b.Helper()
	work, done := make(chan uint64), make(chan error)
	for range 16 {
		go func() {
			var err error
			for seed := range work {
				if err == nil {
					err = u.one(seed)
				}
			}
			done <- err
		}()
	}
	for range messages {
		u.next++
		work <- u.next
	}
	close(work)
	for range 16 {
		if err := <-done; err != nil {
			u.b.Fatal(err)
		}
	}
}

func (u *backedUp) one(seed uint64) error {
	in, err := u.store.Incoming(context.Background(), backupAccount, 1<<20)
	if err != nil {
		return err
	}
	defer in.Abort()
	raw := make([]byte, backupMessage)
	copy(raw, fmt.Sprintf("Subject: %d\r\n\r\n", seed))
	r := rand.New(rand.NewPCG(seed, 1))
	for i := 32; i < len(raw); i++ {
		raw[i] = byte(r.Uint32())
	}
	if _, err := in.Write(raw); err != nil {
		return err
	}
	_, err = in.Commit(context.Background(), "", "INBOX", nil, time.Time{})
	return err
}

func (u *backedUp) round() {
	u.b.Helper()
	if err := u.m.Round(context.Background()); err != nil {
		u.b.Fatal(err)
	}
}

// BenchmarkBackup: what a round costs a store of 2,000 messages of 100 KB, 205 MB, of which nothing, a hundredth, and all is new; a set of it; the reading
// through of its repository, and its restore.
func BenchmarkBackup(b *testing.B) {
	for _, c := range []struct {
		name string
		new  int
	}{{"nothing", 0}, {"1%", backupMessages / 100}, {"all", backupMessages}} {
		b.Run("round/"+c.name, func(b *testing.B) {
			u := newBackedUp(b)
			u.deliver(backupMessages)
			u.round()
			if c.new > 0 {
				b.SetBytes(int64(c.new * backupMessage))
			}
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				u.deliver(c.new)
				b.StartTimer()
				u.round()
			}
		})
	}
	u := newBackedUp(b)
	u.deliver(backupMessages)
	u.round()
	b.Run("set", func(b *testing.B) {
		for b.Loop() {
			if _, err := u.m.Make(context.Background(), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.SetBytes(backupMessages * backupMessage)
		for b.Loop() {
			got, err := backup.Verify(context.Background(), u.n, backup.Verification{Dir: u.repo, Segment: bolt.VerifySegment, Base: bolt.VerifyBase})
			if err != nil || len(got.Problems) > 0 {
				b.Fatal(got, err)
			}
		}
	})
	b.Run("restore", func(b *testing.B) {
		b.SetBytes(backupMessages * backupMessage)
		for b.Loop() {
			n := u.n
			n.Data = filepath.Join(b.TempDir(), "data")
			if _, err := backup.RestoreFrom(context.Background(), n, backup.Recovery{Dir: u.repo, Rewind: bolt.Rewind}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
