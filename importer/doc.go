// Package importer reads mail that rests elsewhere, so that an operator can bring it into an account: from a [Maildir], from
// mbox files ([Mbox]), and from another server over IMAP ([IMAP]). It only reads: nothing of a source is changed, no
// flag is set, no file renamed. It dials nothing (IMAP is given a function that does) and knows no node: mailctl carries what it
// reads to one.
//
//	src, err := importer.OpenMaildir("/var/mail/ann")
//	boxes, err := src.Mailboxes(ctx)
//	bodies, err := src.Read(ctx, boxes[0], boxes[0].Items[:10])
//
// # Keys
//
// Each message has a [Key] that is the same each time the source is read, so that an import can be run again: of the file's
// unique name and its size in a Maildir (some tools write names such as "1"), of UIDVALIDITY and UID over IMAP, and in an mbox of the bytes, without the fields that mail
// programs alter in place (Status and its like), and of how many equal ones come before it. All hold the mailbox's name; none holds
// a path, so a Maildir may be copied elsewhere between two runs.
//
// # Bytes
//
// What comes over IMAP is given as it came. Files are given as they are, but for a line end of a bare LF, which becomes CRLF. What
// Dovecot compressed with gzip or bzip2 is given uncompressed. From an mbox the "From " line, the blank line that ends a
// message and the fields Status, X-Status, X-Keywords, X-UID, X-IMAP and X-IMAPbase are left out, as they are the mbox's own, and so
// is Content-Length where it was what found the end; what its form quoted (">From ") is unquoted. An mbox cannot tell a field Status
// that a sender wrote from its own, nor one in mboxo form a ">From " that a sender wrote: there, and only there, bytes are lost.
//
// # Hostile sources
//
// No content makes a source panic or use memory past [MaxMessage] for a message and some hundred bytes for each item of
// its list. What cannot be read is a [Problem] of that message; the others go on.
package importer
