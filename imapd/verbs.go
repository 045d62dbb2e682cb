package imapd

import (
	"errors"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/imapd/wire"
	"domicile/store"
)

// verb is one command of a client that is logged in. run reads the arguments, calls cmd.End, and acts; what it returns stands behind OK,
// "" being the usual words. Its untagged responses it writes to s.conn. s.mu is held. An error that is not a refusal, nor one of the
// store's kinds, ends the connection.
type verb struct {
	run     func(s *session, cmd *wire.Command) (done string, err error)
	needs   state
	tells   updates
	numbers bool // what it takes or tells are message numbers, which UIDONLY does without
	waits   bool // it waits for the client, or has the last word itself: INPROGRESS has no place in it
}

// state is what a command needs.
type state uint8

const (
	loggedIn state = iota
	selected
	writable // selected, and not by EXAMINE
)

// updates says what a client may learn of the selected mailbox before a command's tagged answer (RFC 9051 7.5.1).
type updates uint8

const (
	allUpdates  updates = iota
	withoutGone         // FETCH, STORE, SEARCH by sequence numbers: these must hold
	noUpdates           // the command changes what is selected, or tells by itself
)

// verbs are all commands. They stand in the files of their families.
var verbs = map[string]verb{}

func init() {
	for _, family := range []map[string]verb{plainVerbs, mailboxVerbs, metadataVerbs, messageVerbs, searchVerbs} {
		for name, v := range family {
			verbs[name] = v
		}
	}
}

// no is a NO with a response code of RFC 9051 7.1, RFC 5530 or an extension; "" = none.
func no(code imap.ResponseCode, text string) error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text}
}

// bad is a BAD of a command that is well-formed and makes no sense.
func bad(text string) error { return wire.SyntaxError(text) }

// uidRequired is the text of a BAD to a client that enabled UIDONLY and speaks of message numbers (RFC 9586 3).
const uidRequired = "[UIDREQUIRED] Messages have no numbers once UIDONLY is enabled"

// failure is what a client is told of an error of the store, in IMAP's words and never in the error's. nil stays nil, what is told already stays as it is.
func failure(err error) error {
	var done *imap.Error
	var syntax wire.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &done), errors.As(err, &syntax):
		return err
	case errors.Is(err, store.ErrOverQuota):
		return no(imap.ResponseCodeOverQuota, "The account is full")
	}
	switch domicile.KindOf(err) {
	case domicile.NotExist:
		return no(imap.ResponseCodeNonExistent, "No such mailbox")
	case domicile.Exist:
		return no(imap.ResponseCodeAlreadyExists, "It exists already")
	case domicile.Invalid:
		return no(imap.ResponseCodeCannot, "That name, flag or value cannot be")
	case domicile.TooLarge:
		return no(imap.ResponseCodeTooBig, "Over a limit of this server")
	case domicile.Conflict, domicile.Unavailable, domicile.Unknown:
		return no(imap.ResponseCodeUnavailable, "Not now; try again later")
	case domicile.Refused:
		return no(imap.ResponseCodeNoPerm, "Refused ("+string(domicile.ReasonOf(err))+")")
	}
	return no(imap.ResponseCodeServerBug, "It failed; nothing more is known")
}
