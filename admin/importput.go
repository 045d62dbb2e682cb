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

// putImported stores messages one after another, as they come: each is durable before the next is read. What was stored is entered in
// the ledger at the end. Cut off before, the same call again stores what is missing.
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
	var keys []byte
	size := int64(0)
	out := []PutResult{}
	full := false
	for range head.Messages {
		var m ImportedMessage
		if err := line(in, &m); err != nil {
			return nil, err
		}
		if len(m.Key) != keySize || m.Size < 0 {
			return nil, domicile.E(who.call, domicile.Invalid, "a message has a key of 32 bytes, and a size")
		}
		res, err := s.takeMessage(ctx, a, source, m, io.LimitReader(in, m.Size), full)
		if err != nil {
			return nil, err
		}
		if out = append(out, res); res.Code == "" {
			keys, size = append(keys, m.Key...), size+m.Size
		}
		full = full || res.Code == overQuota
	}
	return out, s.keepKeys(who, a.ID, head.Import, keys, size)
}

// takeMessage stores one message, of which all bytes are read whatever comes of it. Once the account is full nothing more is tried.
func (s *Server) takeMessage(ctx context.Context, a store.Account, source string, m ImportedMessage, body io.Reader, full bool) (PutResult, error) {
	if full || m.Size > MaxImported {
		if n, err := io.Copy(io.Discard, body); n != m.Size {
			return PutResult{}, cutOff(err)
		}
		if full {
			return PutResult{Code: overQuota}, nil
		}
		return PutResult{Code: tooLarge}, nil
	}
	in, err := s.cfg.Store.Incoming(ctx, a.ID, MaxImported)
	if err != nil {
		return PutResult{}, err
	}
	defer in.Abort()
	n, err := io.Copy(in, body)
	if err != nil {
		return PutResult{}, err
	}
	if n != m.Size {
		return PutResult{}, cutOff(io.ErrUnexpectedEOF)
	}
	if err := s.passOver(ctx, a.ID, m); err != nil {
		return PutResult{}, err
	}
	stored, err := in.Commit(ctx, importToken(source, m.Key), m.Mailbox, m.Flags, m.Time)
	switch kind := domicile.KindOf(err); {
	case err == nil:
		return PutResult{UID: stored.UID}, nil
	case errors.Is(err, store.ErrOverQuota):
		return PutResult{Code: overQuota}, nil
	case kind == domicile.TooLarge:
		return PutResult{Code: tooLarge}, nil
	case kind == domicile.Invalid:
		return PutResult{Code: "invalid"}, nil
	case kind == domicile.NotExist:
		return PutResult{}, domicile.E("import.put", domicile.Conflict, "a mailbox was removed while mail was brought into it; run the same command again")
	}
	return PutResult{}, err
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
