package bolt_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"domicile/store"
	"domicile/store/bolt"
	"domicile/store/storetest"
)

// A message comes in, is retried by a sender that missed the answer, and is read back.
func Example() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	s, err := bolt.Open(bolt.Config{
		Dir:    dir,
		Region: "eu-ireland",
		Sealer: storetest.NewSealer("for an example; a node gives its keys.Ring"),
	})
	if err != nil {
		panic(err)
	}
	defer s.Close()

	ctx := context.Background()
	ann := store.Account{ID: "a1", Address: "ann@example.com", Residence: "IE"}
	if err := s.CreateAccount(ctx, "", ann); err != nil {
		panic(err)
	}
	deliver := func() store.Message {
		in, err := s.Incoming(ctx, ann.ID, 1<<20)
		if err != nil {
			panic(err)
		}
		defer in.Abort()
		io.WriteString(in, "Subject: hello\r\n\r\nHello, Ann.\r\n")
		m, err := in.Commit(ctx, "this transaction", "INBOX", nil, time.Time{})
		if err != nil {
			panic(err) // no 250: the sender tries again
		}
		return m
	}
	first, again := deliver(), deliver()
	fmt.Println("UID", first.UID, "again", again.UID)

	body, err := s.Body(ctx, ann.ID, first.ID)
	if err != nil {
		panic(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		panic(err)
	}
	fmt.Println(strings.ReplaceAll(string(text), "\r\n", "\n"))
	// Output:
	// UID 1 again 1
	// Subject: hello
	//
	// Hello, Ann.
}
