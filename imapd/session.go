package imapd

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/imapd/wire"
	"domicile/store"
)

// session is one client that is logged in, from the answer to its login on. One goroutine reads its commands and runs them one after the
// other; while the client listens, what others change is pushed from outside.
type session struct {
	home     *Home
	acct     domicile.AccountID
	conn     *wire.Conn
	maxSize  int64 // bytes of an appended message
	memory   allowance
	contexts allowance    // for searches whose results are updated
	hasDoor  bool         // the connection can go back to a door of this process
	ending   time.Time    // when Home.End was told first; guarded by Home.mu
	stray    int          // commands in a row that were BAD
	nudges   atomic.Int64 // to push what changed, that were not followed yet

	mu        sync.Mutex // held while a command runs, and while something is pushed; guards what follows, and the conn's Writer
	view      *view      // the selected mailbox, or nil
	listening bool       // in IDLE, or between commands by NOTIFY: updates may be pushed
	idling    bool       // it is IDLE
	missed    bool       // something changed while nothing might be pushed
	watching  bool       // it is in a hub because of NOTIFY
	notify    *notify    // what NOTIFY chose; nil = none came
	enabled   enabled
	deflate   bool        // COMPRESS is on
	saved     imap.UIDSet // SEARCHRES (RFC 9051 6.4.4.1)

	unauthenticated string // the tag of the command by which the connection goes back to its door
}

// enabled is what the client asked for by ENABLE or by using it.
type enabled struct {
	rev2      bool // IMAP4rev2: no RECENT, ESEARCH answers
	condstore bool // MODSEQ in every FETCH (RFC 7162 3.1)
	qresync   bool // VANISHED instead of EXPUNGE (RFC 7162 3.2)
	uidOnly   bool // UIDFETCH instead of FETCH, VANISHED too, and no message numbers (RFC 9586)
}

func (s *session) ctx() context.Context { return s.home.ctx }

func (s *session) store() store.Store { return s.home.cfg.Store }

// errAnswered says that a command has answered by itself.
var errAnswered = errors.New("answered")

// errOver ends a session that is over as the client wished: its last words were said.
var errOver = errors.New("over")

// serve runs commands until the connection has to end. The caller closes it.
func (s *session) serve() {
	defer func() {
		if p := recover(); p != nil { // of one session, whose client may have brought it about: the others go on
			s.home.cfg.Log.Error("panic in an IMAP session", "stack", string(debug.Stack()))
			s.end(wire.Bye("[SERVERBUG] It failed; nothing more is known"))
		}
	}()
	for {
		err := s.listen()
		var cmd *wire.Command
		if err == nil {
			cmd, err = s.conn.Next()
		}
		if err == nil {
			err = s.answer(cmd)
		}
		if err != nil {
			s.end(err)
			return
		}
	}
}

// end says why the connection ends, where that is worth saying.
func (s *session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deselect()
	var bye wire.Bye
	switch {
	case errors.As(err, &bye):
		s.conn.Raw("* BYE ").Raw(string(bye)).Line()
	case errors.Is(err, wire.ErrDraining):
		s.conn.Raw(byeDraining).Line()
	}
	s.conn.Flush()
}

const byeDraining = "* BYE [UNAVAILABLE] Closing down, try again later"

// answer runs one command and writes its tagged response.
func (s *session) answer(cmd *wire.Command) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tag := cmd.Tag
	v, known := verbs[cmd.Name]
	done, err := s.run(v, known, cmd)
	if err == nil || isTold(err) {
		if known && v.tells != noUpdates {
			s.tellUpdates(v.tells == allUpdates)
			if err == nil && done == "" {
				done = s.behind()
			}
		}
	}
	if err := s.tagged(tag, cmd.Name, done, err); err != nil {
		return err
	}
	return s.judge(err)
}

// maxBad is how many commands in a row may be none before the connection ends.
const maxBad = 20

// judge ends a session that does not speak IMAP, or not any more.
func (s *session) judge(err error) error {
	var syntax wire.SyntaxError
	if !errors.As(err, &syntax) {
		s.stray = 0
		return nil
	}
	if s.stray++; s.stray == maxBad {
		return wire.Bye("[CLIENTBUG] Too many commands that are none")
	}
	return nil
}

func (s *session) run(v verb, known bool, cmd *wire.Command) (done string, err error) {
	switch {
	case cmd.Err() != nil:
		return "", cmd.Err()
	case !known:
		return "", bad("No such command")
	case v.numbers && s.enabled.uidOnly:
		return "", bad(uidRequired)
	case v.needs >= selected && s.view == nil:
		return "", bad("No mailbox is selected")
	case v.needs == writable && s.view.readOnly:
		return "", no(imap.ResponseCodeNoPerm, "The mailbox was opened by EXAMINE")
	case v.needs == writable && s.view.removed:
		return "", no(imap.ResponseCodeNonExistent, "The mailbox was deleted")
	}
	return v.run(s, cmd)
}

// isTold: whether an error is one that a tagged response tells, and the session goes on.
func isTold(err error) bool {
	var syntax wire.SyntaxError
	var refused *imap.Error
	return errors.As(err, &syntax) || errors.As(err, &refused)
}

// tagged writes a command's last response. What it returns ends the session.
func (s *session) tagged(tag, name, done string, err error) error {
	var syntax wire.SyntaxError
	var refused *imap.Error
	switch {
	case err == nil:
		if done == "" {
			done = strings.TrimPrefix(name, "UID ") + " completed"
		}
		s.conn.Raw(tag).Raw(" OK ").Raw(done).Line()
	case errors.As(err, &syntax):
		s.conn.Raw(tag).Raw(" BAD ").Raw(string(syntax)).Line()
	case errors.As(err, &refused):
		s.conn.Raw(tag).Raw(fmt.Sprintf(" %s ", refused.Type))
		if refused.Code != "" {
			s.conn.Raw("[" + string(refused.Code) + "] ")
		}
		s.conn.Raw(refused.Text).Line()
	case errors.Is(err, errAnswered):
	default:
		return err
	}
	return nil
}
