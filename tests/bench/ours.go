package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"domicile"
	"domicile/keys"
	"domicile/lab"
	"domicile/placement"
	"domicile/store"
)

const homeRegion = domicile.Region("eu-ireland")

// newOurs makes a lab of one region, which has no rate limits on loopback, with accounts user0 to user(n-1), and returns the node
// that is to be started. made is how long an account took.
func newOurs(ctx context.Context, dir, mailnode string, accounts, conns int) (s *server, made time.Duration, err error) {
	port, err := freePort()
	if err != nil {
		return nil, 0, err
	}
	l, err := lab.Init(lab.InitOptions{Dir: dir, BasePort: port, Regions: []lab.RegionSpec{{Name: homeRegion, Country: "IE", Serves: []domicile.Country{"IE"}}}})
	if err != nil {
		return nil, 0, err
	}
	n := l.Home(homeRegion)
	if err := raiseLimits(l.Path(n.Config), conns); err != nil {
		return nil, 0, err
	}
	data := l.Path(n.Data)
	s = &server{name: "domicile", dir: dir, mail: filepath.Join(data, "store"), imap: n.IMAP, imaps: n.IMAPS, lmtp: n.LMTP, flush: n.IMAP,
		root: filepath.Join(l.Dir, string(homeRegion), "root.key"), data: data,
		command: []string{mailnode, "serve", "--config", l.Path(n.Config)}}
	if err := errors.Join(s.start(ctx), s.stop()); err != nil { // it makes and stamps its data folder
		return nil, 0, err
	}
	made, err = makeAccounts(ctx, l, s, accounts)
	return s, made, err
}

// makeAccounts makes accounts in the data folder of a node that does not run: without residence and leaves, as no operator could, but
// a hundred thousand of them in minutes. All have one password.
func makeAccounts(ctx context.Context, l *lab.Lab, node *server, accounts int) (each time.Duration, err error) {
	s, err := openStore(node.root, node.data)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	d, err := names(l, s)
	if err != nil {
		return 0, err
	}
	hash, err := keys.HashPassword(password)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, 16)
	for range cap(failed) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(accounts); i = next.Add(1) - 1 {
				if err := makeAccount(ctx, s, d, i, hash); err != nil {
					failed <- fmt.Errorf("account %d: %w", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	return time.Since(begun) / time.Duration(max(1, accounts)), <-failed
}

func makeAccount(ctx context.Context, s store.Store, d *placement.Directory, i int64, hash string) error {
	addr, err := placement.ParseAddress(fmt.Sprintf(userPattern, i))
	if err != nil {
		return err
	}
	id := domicile.AccountID(domicile.NewID("a"))
	if err := d.Claim(ctx, addr, id, 1); err != nil {
		return err
	}
	return s.CreateAccount(ctx, store.Token("bench-"+string(id)), store.Account{ID: id, Address: addr, Residence: "IE", Password: hash})
}

// names is the directory in which the accounts claim their names, so that the node finds them in order when it looks.
func names(l *lab.Lab, s store.Store) (*placement.Directory, error) {
	table, err := s.Table("names")
	if err != nil {
		return nil, err
	}
	recorded := func(context.Context, string, placement.Ownership) error { return nil }
	registrar, err := placement.NewRegistrar(placement.RegistrarConfig{Region: homeRegion, Trust: ourselves{}, Table: table, Record: recorded})
	if err != nil {
		return nil, err
	}
	signer, err := keys.LoadSigner(filepath.Join(l.Dir, string(homeRegion), "signing.key"))
	if err != nil {
		return nil, err
	}
	key, err := keys.LoadNames(filepath.Join(l.Dir, "names.key"))
	if err != nil {
		return nil, err
	}
	digester, err := placement.NewDigester(key)
	if err != nil {
		return nil, err
	}
	return placement.NewDirectory(placement.DirectoryConfig{Region: homeRegion, Digester: digester, Trust: ourselves{}, Remote: nobody{},
		Registrar: registrar, Signer: signer})
}

// ourselves trusts the one region that there is: its records were signed a moment ago.
type ourselves struct{}

func (ourselves) Registrar(string) (domicile.Region, bool)           { return homeRegion, true }
func (ourselves) VerifyRegion(domicile.Region, []byte, []byte) error { return nil }

// nobody is the way to the other regions, of which there are none.
type nobody struct{ placement.Remote }
