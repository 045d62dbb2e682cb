package admin

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"domicile"
	"domicile/store"
)

// MaxImported is the most bytes of a message that is brought in.
const MaxImported = 128 << 20

// PutImported is the first line of a call import/put: how many messages follow. Each is a line of JSON (ImportedMessage), and its bytes.
type PutImported struct {
	Address  string `json:"address"`
	Import   string `json:"import"`
	Messages int    `json:"messages"` // at most 512
}

// ImportedMessage is one message of an import.
type ImportedMessage struct {
	Key     []byte    `json:"key"` // 32 bytes that name it for good: the same key is stored once
	Mailbox string    `json:"mailbox"`
	Flags   []string  `json:"flags,omitempty"`
	Time    time.Time `json:"internal_date"` // zero = now
	UID     store.UID `json:"uid,omitempty"` // to be given, if no greater one was; see MakeMailbox.UIDValidity
	Size    int64     `json:"bytes"`         // that follow the line
	Data    []byte    `json:"-"`
}

// PutResult says what came of one message: UID, or the Code of why it was not stored.
type PutResult struct {
	UID  store.UID `json:"uid,omitempty"`
	Code string    `json:"code,omitempty"` // too_large, over_quota or invalid
}

const (
	tooLarge  = "too_large"
	overQuota = "over_quota"
)

// maxLine bounds a line of import/put, in bytes.
const maxLine = 64 << 10

// putImported stores messages in their order, some as one act of the store. What was stored is entered in the ledger at the end. Cut off
// before, the same call again stores what is missing, whatever was one act then: each message has a token of its own.
func (s *Server) putImported(w http.ResponseWriter, r *http.Request, who caller) error {
	in := bufio.NewReaderSize(&lively{r.Body, http.NewResponseController(w)}, maxLine)
	results, err := s.takeMessages(r.Context(), who, in)
	if err != nil {
		// The answer is heard by who has been heard out.
		io.Copy(io.Discard, io.LimitReader(in, 2*MaxImported))
		return err
	}
	raw, err := encode(results)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute))
	_, err = w.Write(raw)
	if err != nil {
		s.cfg.Log.Debug("admin: an answer did not arrive", "call", who.call, "error", err)
	}
	return nil
}

// lively is a request's body of which some must come every minute, however long it is.
type lively struct {
	io.Reader
	ctl *http.ResponseController
}

func (l *lively) Read(p []byte) (int, error) {
	if err := l.ctl.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return 0, err
	}
	return l.Reader.Read(p)
}

// line reads one line of JSON, strictly.
func line(in *bufio.Reader, v any) error {
	raw, err := in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return domicile.E("import.put", domicile.TooLarge, "a line has more than 64 KiB")
	}
	if err != nil {
		return cutOff(err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return domicile.E("import.put", domicile.Invalid, "not the JSON object of this call: mailctl and node are of different releases?")
	}
	return nil
}

func cutOff(err error) error {
	return &domicile.Error{Op: "import.put", Kind: domicile.Unavailable, Detail: "the messages were cut off", Err: err}
}

func (s *Server) takeMessages(ctx context.Context, who caller, in *bufio.Reader) ([]PutResult, error) {
	var head PutImported
	if err := line(in, &head); err != nil {
		return nil, err
	}
	if head.Messages < 0 || head.Messages > maxPage {
		return nil, domicile.E(who.call, domicile.TooLarge, "at most 512 messages at once")
	}
	a, err := s.importing(ctx, who, head.Address)
	if err != nil {
		return nil, err
	}
	l, err := s.imports(a.ID)
	if err != nil {
		return nil, err
	}
	source, _, err := l.state(who, head.Import)
	if err != nil {
		return nil, err
	}
	t := taking{s: s, acct: a.ID, source: source, out: []PutResult{}}
	for range head.Messages {
		var m ImportedMessage
		if err := line(in, &m); err != nil {
			return nil, err
		}
		if len(m.Key) != keySize || m.Size < 0 {
			return nil, domicile.E(who.call, domicile.Invalid, "a message has a key of 32 bytes, and a size")
		}
		if err := t.take(ctx, m, io.LimitReader(in, m.Size)); err != nil {
			return nil, err
		}
	}
	if err := t.commit(ctx); err != nil {
		return nil, err
	}
	return t.out, s.keepKeys(who, a.ID, head.Import, t.keys, t.bytes)
}

// groupBytes is how many bytes of messages are in memory until they are stored together. A message of more is stored alone, as it comes.
const groupBytes = 4 << 20

// taking is the messages of a call on their way into the store.
type taking struct {
	s      *Server
	acct   domicile.AccountID
	source string

	group []ImportedMessage // that are stored next, as one act: of one mailbox
	size  int64             // of their bytes
	full  bool              // the account's quota: nothing more is tried

	out   []PutResult
	keys  []byte // of what was stored
	bytes int64
}

// take reads one message, of which all bytes are read whatever comes of it.
func (t *taking) take(ctx context.Context, m ImportedMessage, body io.Reader) error {
	if !t.joins(m) {
		if err := t.commit(ctx); err != nil {
			return err
		}
	}
	switch {
	case t.full || m.Size > MaxImported:
		if n, err := io.Copy(io.Discard, body); n != m.Size {
			return cutOff(err)
		}
		code := tooLarge
		if t.full {
			code = overQuota
		}
		t.refused(code)
		return nil
	case m.Size > groupBytes:
		l, err := t.letter(ctx, m, body)
		if err != nil {
			return err
		}
		return t.store(ctx, []ImportedMessage{m}, []store.Letter{l})
	}
	m.Data = make([]byte, m.Size)
	if _, err := io.ReadFull(body, m.Data); err != nil {
		return cutOff(err)
	}
	t.group, t.size = append(t.group, m), t.size+m.Size
	return nil
}

// joins says whether a message can be of the act that is stored next. One that keeps its UID is an act of its own: of a group, those that had come before would leave
// their UIDs to others.
func (t *taking) joins(m ImportedMessage) bool {
	if len(t.group) == 0 {
		return true
	}
	last := t.group[len(t.group)-1]
	return m.Mailbox == last.Mailbox && t.size+m.Size <= groupBytes && m.UID == 0 && last.UID == 0
}

// commit stores the group.
func (t *taking) commit(ctx context.Context) (err error) {
	group := t.group
	t.group, t.size = nil, 0
	if len(group) == 0 || t.full {
		for range group {
			t.refused(overQuota)
		}
		return nil
	}
	letters := make([]store.Letter, len(group))
	for i, m := range group {
		if letters[i], err = t.letter(ctx, m, bytes.NewReader(m.Data)); err != nil {
			for _, l := range letters[:i] {
				l.Bytes.Abort()
			}
			return err
		}
	}
	return t.store(ctx, group, letters)
}

func (t *taking) letter(ctx context.Context, m ImportedMessage, body io.Reader) (store.Letter, error) {
	in, err := t.s.cfg.Store.Incoming(ctx, t.acct, MaxImported)
	if err != nil {
		return store.Letter{}, err
	}
	n, err := io.Copy(in, body)
	if err == nil && n != m.Size {
		err = cutOff(io.ErrUnexpectedEOF)
	}
	if err != nil {
		in.Abort()
		return store.Letter{}, err
	}
	return store.Letter{Bytes: in, Flags: m.Flags, Internal: m.Time, Token: importToken(t.source, m.Key)}, nil
}

// store makes messages of letters. Where one of them is at fault for what is refused, each is tried by itself.
func (t *taking) store(ctx context.Context, group []ImportedMessage, letters []store.Letter) error {
	made, err := t.made(ctx, group[0], letters)
	kind := domicile.KindOf(err)
	atFault := kind == domicile.TooLarge || kind == domicile.Invalid
	switch {
	case err == nil:
		for i, m := range group {
			t.out = append(t.out, PutResult{UID: made[i].UID})
			t.keys, t.bytes = append(t.keys, m.Key...), t.bytes+m.Size
		}
		return nil
	case atFault && len(group) > 1:
		for i := range group {
			t.group = group[i : i+1]
			if err := t.commit(ctx); err != nil {
				return err
			}
		}
		return nil
	case errors.Is(err, store.ErrOverQuota):
		t.refused(overQuota)
		t.full = true
		return nil
	case kind == domicile.TooLarge:
		t.refused(tooLarge)
		return nil
	case kind == domicile.Invalid:
		t.refused("invalid")
		return nil
	case kind == domicile.NotExist:
		return domicile.E("import.put", domicile.Conflict, "a mailbox was removed while mail was brought into it; run the same command again")
	}
	return err
}

func (t *taking) refused(code string) { t.out = append(t.out, PutResult{Code: code}) }

func (t *taking) made(ctx context.Context, first ImportedMessage, letters []store.Letter) ([]store.Message, error) {
	if err := t.s.passOver(ctx, t.acct, first); err != nil {
		for _, l := range letters {
			l.Bytes.Abort()
		}
		return nil, err
	}
	_, made, err := t.s.cfg.Store.Commit(ctx, "", t.acct, first.Mailbox, letters, nil)
	return made, err
}

// passOver raises a mailbox's UIDNEXT to the UID that a message is to have.
func (s *Server) passOver(ctx context.Context, id domicile.AccountID, m ImportedMessage) error {
	if m.UID == 0 {
		return nil
	}
	b, err := s.cfg.Store.MailboxByName(ctx, id, m.Mailbox)
	if err == nil && b.UIDNext < m.UID {
		err = s.cfg.Store.NumberMailbox(ctx, id, b.ID, b.UIDValidity, m.UID)
	}
	return err
}

// importToken is how the store knows a message that comes once more.
func importToken(source string, key []byte) store.Token {
	sum := sha256.Sum256(append([]byte(source+"\x00"), key...))
	return store.Token("import/" + hex.EncodeToString(sum[:]))
}
