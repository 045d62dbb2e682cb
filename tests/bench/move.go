package main

import (
	"context"
	"errors"
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

// underWay is how many parts a move has on their way at a time.
const underWay = 4

// moves carries the big mailbox out of our store into one of another root key, unsealed and sealed anew, without the network between them; and
// again with a long round trip for each part. Dovecot's figure for that is doveadm backup's, which ../shared tells.
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
	for _, trip := range []time.Duration{0, farAway} {
		bytes, parts, took, err := moveAccount(b.ctx, from, filepath.Join(dir, trip.String()), trip)
		if err != nil {
			return fmt.Errorf("move the big mailbox: %w", err)
		}
		fmt.Printf("\nan account moved in %d parts, unsealed and sealed anew, with a round trip of %s: %s MB/s\n",
			parts, trip, figure(float64(bytes)/1e6/took.Seconds()))
	}
	return nil
}

// moveAccount moves the big mailbox into a new store in dir, as package move does: the next parts are read while some are on their way.
func moveAccount(ctx context.Context, from store.Store, dir string, trip time.Duration) (bytes int64, parts int, took time.Duration, err error) {
	root, data := filepath.Join(dir, "root.key"), filepath.Join(dir, "data")
	if err := errors.Join(os.MkdirAll(data, 0o700), keys.CreateRoot(root)); err != nil {
		return 0, 0, 0, err
	}
	to, err := openStore(root, data)
	if err != nil {
		return 0, 0, 0, err
	}
	defer to.Close()
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type part struct {
		store.Part
		err    error
		arrive time.Time
	}
	way, room := make(chan part, underWay), make(chan struct{}, underWay)
	go func() {
		defer close(way)
		for p := (part{}); !p.Last && p.err == nil; {
			p.Part, p.err = from.Export(ctx, a.ID, p.Next, store.MaxPart)
			select {
			case room <- struct{}{}:
			case <-ctx.Done():
				return
			}
			p.arrive = time.Now().Add(trip / 2)
			way <- p
		}
	}()
	for p := range way {
		time.Sleep(time.Until(p.arrive))
		if p.err == nil {
			p.err = to.Import(ctx, a.ID, p.Part)
		}
		if p.err != nil {
			return 0, 0, 0, p.err
		}
		for _, it := range p.Items {
			if it.Piece != nil {
				bytes += int64(it.Piece.Length)
			}
		}
		parts++
		time.AfterFunc(trip/2, func() { <-room })
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
