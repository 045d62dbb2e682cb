// Growth measures what an operation of the store costs as an account, a mailbox or a node grows: at a hundredth, a tenth and all
// of the size, where flat columns are good news. It prints the tables of docs/PERFORMANCE.md.
//
//	go run ./tests/bench/growth -mailboxes 10000 -messages 1000000 -accounts 100000
package main

import (
	"context"
	"flag"
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

func main() {
	dir := flag.String("dir", "", "folder to work in, on the disk to measure (default: a temporary one)")
	sizes := []struct {
		most *int
		grow func(*rig, int) error
		name string
	}{
		{flag.Int("mailboxes", 10_000, "mailboxes of one account (0: leave that out)"), mailboxes, "mailboxes in an account"},
		{flag.Int("messages", 1_000_000, "messages in one mailbox (0: leave that out)"), messages, "messages in a mailbox"},
		{flag.Int("accounts", 100_000, "accounts of a node, of which a hundredth is active (0: leave that out)"), accounts, "accounts, of which a hundredth is active"},
	}
	flag.Parse()
	for _, s := range sizes {
		if err := table(*dir, s.name, *s.most, 2*time.Second, s.grow); err != nil {
			fmt.Fprintln(os.Stderr, "growth:", err)
			os.Exit(1)
		}
	}
}

// table grows a store to each size and prints one column for each. An operation is repeated for so long, or a thousand times.
func table(dir, name string, most int, repeat time.Duration, grow func(*rig, int) error) error {
	if most == 0 {
		return nil
	}
	var columns []*rig
	for _, size := range []int{most / 100, most / 10, most} {
		r, err := measured(dir, max(1, size), repeat, grow)
		if err != nil {
			return fmt.Errorf("%d %s: %w", size, name, err)
		}
		columns = append(columns, r)
	}
	fmt.Printf("\n| %s |", name)
	for _, r := range columns {
		fmt.Printf(" %d |", r.size)
	}
	fmt.Print("\n| --- | ---: | ---: | ---: |\n")
	for i, f := range columns[0].figures {
		fmt.Printf("| %s |", f.name)
		for _, r := range columns {
			fmt.Printf(" %s |", r.figures[i].value)
		}
		fmt.Println()
	}
	return nil
}

// rig is a store that grows, and what was measured of it.
type rig struct {
	store.Store
	dir     string
	size    int
	repeat  time.Duration
	figures []figure
}

type figure struct{ name, value string }

var ctx = context.Background()

// measured makes a store, grows and measures it, and removes it.
func measured(dir string, size int, repeat time.Duration, grow func(*rig, int) error) (*rig, error) {
	dir, err := os.MkdirTemp(dir, "growth")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r := &rig{dir: dir, size: size, repeat: repeat}
	if err := keys.CreateRoot(filepath.Join(dir, "root.key")); err != nil {
		return nil, err
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	defer func() { r.Close() }()
	if err := grow(r, size); err != nil {
		return nil, err
	}
	return r, r.atRest()
}

// open opens the store: the one line to change for another driver.
func (r *rig) open() error {
	data := filepath.Join(r.dir, "data") // the root key lies outside of it
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	secret, err := keys.LoadSecret(filepath.Join(r.dir, "root.key"), data)
	if err != nil {
		return err
	}
	ring, err := keys.OpenRing(secret, filepath.Join(data, "keys"))
	if err != nil {
		return err
	}
	r.Store, err = bolt.Open(bolt.Config{Dir: filepath.Join(data, "store"), Region: "eu-ireland", Sealer: ring})
	return err
}

// account makes an account, which delivers at once.
func (r *rig) account(name string) (domicile.AccountID, error) {
	id := domicile.AccountID(domicile.NewID("a"))
	return id, r.CreateAccount(ctx, store.Token("growth-"+string(id)), store.Account{ID: id, Address: domicile.Address(name + "@example.com"), Residence: "IE"})
}

func (r *rig) deliver(id domicile.AccountID, mailbox string) (store.Message, error) {
	in, err := r.Incoming(ctx, id, 1<<20)
	if err != nil {
		return store.Message{}, err
	}
	defer in.Abort()
	if _, err := in.Write(letter); err != nil {
		return store.Message{}, err
	}
	return in.Commit(ctx, "", mailbox, nil, time.Time{})
}

var letter = append([]byte("From: <anna@example.org>\r\nTo: <bo@example.com>\r\nSubject: a letter\r\nMessage-ID: <1@example.org>\r\n\r\n"), slices.Repeat([]byte("words of mail\r\n"), 60)...)
