// Package dialogue plays conversations with an IMAP server that are written down as a person would type them, so that the same ones are held against the engine
// alone (package imapd) and against whole nodes (package tests):
//
//	# CONDSTORE (RFC 7162 3.1)
//	PUT 4
//	C: a LOGIN ann@example.com pw
//	S: a OK…
//	C: b SELECT INBOX (CONDSTORE)
//	S>: b OK [READ-WRITE]…
//
// A file is a conversation with a fresh account. [Play] has the words.
package dialogue
