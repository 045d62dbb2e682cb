// Package imapd is the front on which customers read their mail: IMAP4rev1 and IMAP4rev2, from the home region, at any node.
//
//	check := &login.Checker{Accounts: st, Address: placement.ParseAddress, Kept: keys.NewPasswords(names), Tries: tries}
//	home, err := imapd.NewHome(imapd.HomeConfig{Region: "eu-ireland", Store: st, Guard: guard, TLS: conf,
//		Check: check, Log: log}) // on the node that holds the store
//	home.Register(node)                                                        // sessions that other nodes hand over
//	srv, err := imapd.New(imapd.Config{Region: "eu-ireland", Hostname: "imap.example.com", Home: home, Guard: guard,
//		Resolve: directory.Resolve, Network: node, Check: check, Log: log})
//	go srv.Serve(listener) // of region.Node.ListenFront
//	...
//	srv.Shutdown(ctx); home.Shutdown(ctx)
//
// # What it promises
//
// No byte of a mailbox is sent before the guard gave a permit for the session. A client
// reads exactly what was accepted: sections are byte ranges of the stored message, and
// a message that is not MIME at all still has a structure. APPEND's OK means on disk, sealed; what CATENATE puts together is of this account and of nowhere else. What
// EXAMINE opened is not changed. Names that do not exist and wrong passwords look alike, in words and
// as far as can be in time; failed logins are slowed down for each network, and end the connection at the third. A
// right password is never delayed. Bytes of a literal are never taken for commands.
//
// Passwords are taken under TLS (an Implicit front, or STARTTLS if Config.TLS is there), and in a lab in plain text over loopback; otherwise LOGINDISABLED is shown.
//
// # How it is built
//
// Package wire reads commands and writes answers, without knowing what they mean: what a literal is, and what becomes of one that was refused, is
// decided there. A door (door.go) speaks with a client until it is logged in, the same on every node. Where the
// account rests is the directory's word. At home, a [Home] checks the password and serves the session. Elsewhere, and at a node without a
// store, the login goes to the home through a tunnel of package region, is verified there, and the connection follows: this node
// carries its bytes in memory and understands none of them. A client of an Implicit front that asks by its ClientHello for the host of another
// region is passed through before that, unread: TLS ends at home (relay.go).
//
// A session (session.go) is one goroutine that reads a command, runs it and answers. While it runs, a timer tells the client now and
// then that it does (progress.go). The table of commands (verbs.go) says of each what it
// needs and what the client may learn before its answer; it is made of families: plain.go, mailboxes.go, metadata.go, messages.go, search.go. A handler reads its arguments to
// the end, acts, and writes untagged lines; whatever was wrong with an argument is told once, as BAD. capabilities.go is the one place that says what is offered. UNAUTHENTICATE
// gives the connection back to its door, behind the end of the session's permit.
//
// What keeps a processor busy for long is done in a turn (turn.go), of which accounts have one after the other.
//
// The selected mailbox is a view (view.go): its UIDs, 4 bytes a message, and a modification sequence. Flags and sizes are read from the store when
// they are asked for. What others change is read by store.Store.Changes when the client may be told, and during IDLE, or between commands by NOTIFY (notify.go), on the store's hints, of
// which an account has one watch however many of its sessions idle (hub.go). The results of searches that a client has updated follow the same way (contexts.go): what changed is tried again.
//
// What is bounded, what is offered by which RFC, and what is left out and why is in docs/IMAP.md.
package imapd
