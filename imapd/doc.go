// Package imapd is the front on which customers read their mail: IMAP4rev1 at the
// home region.
//
//	srv, err := imapd.New(imapd.Config{Region: "eu-ireland", Hostname: "imap.example.com", Store: st, Guard: guard,
//		Address: placement.ParseAddress, Password: keys.CheckPassword, Log: log})
//	go srv.Serve(listener) // of region.Node.ListenFront, or a TLS listener over it
//	...
//	srv.Shutdown(ctx)
//
// # What it promises
//
// No byte of a mailbox is sent before the guard gave a permit for the session. A client
// reads exactly what was accepted: sections are byte ranges of the stored message, and
// a message that is not MIME at all still has a structure. APPEND's OK means on disk, sealed. What
// EXAMINE opened is not changed. Names that do not exist and wrong passwords look alike, in words and
// in time; failed logins are slowed down for each network, and end the connection at the third.
//
// Passwords are taken under TLS (a TLS listener, or STARTTLS if Config.TLS is there), and in a lab in plain text over loopback; otherwise LOGINDISABLED is shown.
//
// # How it is built
//
// For now go-imap's imapserver speaks the protocol. It has faults that a stranger can use
// (docs/ARCHITECTURE.md), so it never sees a connection itself: a gate (gate.go) stands between, and a
// session (session.go) answers every command with data that it writes itself. The seam is engine.go.
//
// A session's view of its mailbox (view.go) is a list of messages and a modification sequence; what
// others change is read by store.Store.Since when the client may be told, and during IDLE on the store's hints.
//
// Not offered: IMAP4rev2, CONDSTORE, QRESYNC, BINARY, ID, COMPRESS, QUOTA, SORT, THREAD, MULTIAPPEND, SEARCHRES.
package imapd
