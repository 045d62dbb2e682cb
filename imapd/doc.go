// Package imapd is the front on which customers read their mail: IMAP4rev1, from the home region, at any node.
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
// a message that is not MIME at all still has a structure. APPEND's OK means on disk, sealed. What
// EXAMINE opened is not changed. Names that do not exist and wrong passwords look alike, in words and
// as far as can be in time; failed logins are slowed down for each network, and end the connection at the third. A
// right password is never delayed. Bytes of a literal are never taken for commands.
//
// Passwords are taken under TLS (an Implicit front, or STARTTLS if Config.TLS is there), and in a lab in plain text over loopback; otherwise LOGINDISABLED is shown.
//
// # How it is built
//
// A door (door.go, command.go) speaks with a client until it is logged in, the same on every node, with a small parser of its own. Where the
// account rests is the directory's word. At home, a [Home] checks the password and serves the session. Elsewhere, and at a node without a
// store, the login goes to the home through a tunnel of package region, is verified there, and the connection follows: this node
// carries its bytes in memory and understands none of them. A client of an Implicit front that asks by its ClientHello for the host of another
// region is passed through before that, unread: TLS ends at home (relay.go).
//
// Behind the login go-imap's imapserver speaks the protocol, for now. It has faults that a stranger can use
// (docs/ARCHITECTURE.md), so it never sees a connection itself: a gate (gate.go) stands between, and a
// session (session.go) answers every command with data that it writes itself. The seam is engine.go. Its sessions begin
// authenticated, and the gate makes its greeting the answer to the login.
//
// A session's view of its mailbox (view.go) is a list of messages and a modification sequence; what
// others change is read by store.Store.Since when the client may be told, and during IDLE on the store's hints.
//
// Not offered: IMAP4rev2, CONDSTORE, QRESYNC, BINARY, COMPRESS, QUOTA, SORT, THREAD, MULTIAPPEND, SEARCHRES.
package imapd
