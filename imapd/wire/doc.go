// Package wire reads the commands of an IMAP client and writes what it is answered: the line protocol of RFC 9051 and RFC 3501,
// without knowing what a command means.
//
//	c := wire.NewConn(conn, wire.Before)
//	for {
//		cmd, err := c.Next()             // tag and name; flushes first, if it has to wait for the client
//		if err != nil { return }         // the connection ended; wire.Bye says with which last word
//		cmd.SP(); name := cmd.Mailbox()  // arguments from left to right
//		if err := cmd.End(); err != nil { // nothing may follow: whatever was wrong is told here, once
//			c.Raw(cmd.Tag).Raw(" BAD ").Raw(err.Error()).Line()
//			continue
//		}
//		c.Raw("* LIST () \"/\" ").Mailbox(name).Line()
//		c.Raw(cmd.Tag).Raw(" OK done").Line()
//	}
//
// # Literals
//
// A literal is asked for where the grammar takes one, within a bound given there, and nowhere else. What a command that was refused
// would have sent is never taken for commands: a synchronising literal is not asked for, and so does not come; another one is drained up to
// MaxDrain bytes; and where the two sides could disagree on what is a literal, or where a line does not end in time or within its bound, the connection
// ends with BYE. Next does this for a command that was not read to its end.
//
// # Bounds
//
// A line, all text of a command, and the number of its literals are bounded (Limits). Times are until the next byte, so that a slow client that
// makes progress is served and one that stalls is not; writes have a deadline for each piece of 32 KiB.
//
// # Concurrency
//
// A Conn belongs to one goroutine at a time; Drain and Close may be called by any. While one goroutine waits in Await, another one
// may write and flush. Interject may be called by any, at any time: it speaks between two responses or not at all.
package wire
