package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"domicile"
	"domicile/keys"
	"domicile/store"
	"domicile/store/bolt"
)

// farAway is a round trip to a region on another continent.
const farAway = 100 * time.Millisecond

// moves carries the big mailbox out of our store into one of another root key, unsealed and sealed anew, without the network between them; and
// says what would come of it with a long round trip for each part. Dovecot's figure for that is doveadm backup's, which ../shared tells.
func (b *bench) moves() error {
	from, err := openStore(b.servers[0].root, b.servers[0].data)
	if err != nil {
		return err
	}
	defer from.Close()
	dir, err := os.MkdirTemp(b.dir, "target")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root, data := filepath.Join(dir, "root.key"), filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if err := keys.CreateRoot(root); err != nil {
		return err
	}
	to, err := openStore(root, data)
	if err != nil {
		return err
	}
	defer to.Close()
	bytes, parts, took, err := moveAccount(b.ctx, from, to)
	if err != nil {
		return fmt.Errorf("move the big mailbox: %w", err)
	}
	mb := float64(bytes) / 1e6
	fmt.Printf("\nan account moved, unsealed and sealed anew: %s MB/s; with %s of round trip for each of %d parts %s MB/s\n",
		figure(mb/took.Seconds()), farAway, parts, figure(mb/(took+time.Duration(parts)*farAway).Seconds()))
	return nil
}

func moveAccount(ctx context.Context, from, to store.Store) (bytes int64, parts int, took time.Duration, err error) {
	a, err := from.AccountByAddress(ctx, bigUser)
	if err != nil {
		return 0, 0, 0, err
	}
	state := func(s store.AccountState) error {
		return from.UpdateAccount(ctx, a.ID, func(a *store.Account) error { a.State = s; return nil })
	}
	if err := state(store.Moving); err != nil {
		return 0, 0, 0, err
	}
	begun := time.Now()
	for at, last := store.Position(""), false; !last; parts++ {
		p, err := from.Export(ctx, a.ID, at, store.MaxPart)
		if err == nil {
			err = to.Import(ctx, a.ID, p)
		}
		if err != nil {
			return 0, 0, 0, err
		}
		for _, it := range p.Items {
			if it.Piece != nil {
				bytes += int64(it.Piece.Length)
			}
		}
		at, last = p.Next, p.Last
	}
	err = to.Activate(ctx, a.ID, func(a *store.Account) error { a.State = store.Active; return nil })
	took = time.Since(begun)
	if err != nil {
		return 0, 0, 0, err
	}
	return bytes, parts, took, state(store.Active)
}

// openStore opens the store of a data folder whose node does not run.
func openStore(root, data string) (*bolt.Store, error) {
	secret, err := keys.LoadSecret(root, data)
	if err != nil {
		return nil, err
	}
	ring, err := keys.OpenRing(secret, filepath.Join(data, "keys"))
	if err != nil {
		return nil, err
	}
	return bolt.Open(bolt.Config{Dir: filepath.Join(data, "store"), Region: homeRegion, Sealer: ring})
}

// searchBytes is what the index of the big mailbox takes.
func searchBytes(ctx context.Context, s *server) (int64, error) {
	st, err := openStore(s.root, s.data)
	if err != nil {
		return 0, err
	}
	defer st.Close()
	a, err := st.AccountByAddress(ctx, domicile.Address(bigUser))
	if err != nil {
		return 0, err
	}
	return st.SearchBytes(a.ID)
}
