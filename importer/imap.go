package importer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"domicile"
)

// IMAPConfig says how to log in to another server.
type IMAPConfig struct {
	Host     string // for the record and the keys: a message of another host is another message
	User     string
	Password string
	// Connect returns a connection on which the server's greeting was not read, TLS done where it comes first.
	Connect func(ctx context.Context) (net.Conn, error)
	// StartTLS, if set, has the connection go on within TLS; a server that will not is not logged in to.
	StartTLS *tls.Config
}

// IMAP is an account at another server. Its mailboxes are opened read-only and its messages peeked at, so that nothing changes there.
type IMAP struct {
	cfg      IMAPConfig
	client   *imapclient.Client // nil = not connected
	selected string             // the mailbox that is open
	validity uint32             // its UIDVALIDITY
	messages uint32             // how many it had when it was opened
	stop     func() bool        // ends the watch over the context
}

// NewIMAP makes a source of an account. Nothing is dialled yet.
func NewIMAP(cfg IMAPConfig) *IMAP { return &IMAP{cfg: cfg} }

// Name says whose account it is, and where.
func (s *IMAP) Name() string { return "imap:" + s.cfg.User + "@" + s.cfg.Host }

// ID is the same for every way in, also for that of Dovecot's master users, who log in as "ann*master".
func (s *IMAP) ID() string {
	user, _, _ := strings.Cut(s.cfg.User, "*")
	return strings.ToLower("imap:" + user + "@" + s.cfg.Host)
}

// Account knows nothing: the source says of mailboxes alone.
func (s *IMAP) Account() Account { return Account{} }

// Close says goodbye, and waits for the answer a moment only.
func (s *IMAP) Close() error {
	if s.client == nil {
		return nil
	}
	c := s.client
	s.drop()
	return c.Close()
}

// drop forgets the connection.
func (s *IMAP) drop() {
	if s.client != nil {
		s.stop()
		go s.client.Close()
	}
	s.client, s.selected = nil, ""
}

// silence is how long a server may say nothing before its connection is given up.
const silence = 2 * time.Minute

// patient is a connection that fails when nothing comes for a while. The client of the library waits for ever for the first byte of
// an answer.
type patient struct{ net.Conn }

func (c patient) Read(p []byte) (int, error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c patient) SetReadDeadline(time.Time) error { return nil }

// connect logs in, unless that is done.
func (s *IMAP) connect(ctx context.Context) error {
	const op = "log in at the source"
	if s.client != nil {
		select {
		case <-s.client.Closed():
			s.drop()
		default:
			return nil
		}
	}
	conn, err := s.cfg.Connect(ctx)
	if err != nil {
		return unreached(op, err)
	}
	conn = patient{conn}
	s.stop = context.AfterFunc(ctx, func() { conn.Close() })
	if s.cfg.StartTLS == nil {
		s.client = imapclient.New(conn, nil)
	} else if s.client, err = imapclient.NewStartTLS(conn, &imapclient.Options{TLSConfig: s.cfg.StartTLS}); err != nil {
		s.stop()
		conn.Close()
		return unreached(op, err)
	}
	if err := s.client.WaitGreeting(); err != nil {
		s.drop()
		return unavailable(op, err)
	}
	if err := s.client.Login(s.cfg.User, s.cfg.Password).Wait(); err != nil {
		s.drop()
		return s.loginError(op, err)
	}
	return nil
}

// unreached tells a server that is not whom it is taken for, or a host that is none, from one that is out of reach for now.
func unreached(op string, err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &domicile.Error{Op: op, Kind: domicile.Other, Detail: "the source's certificate does not hold; is the host's name right, or a CA to be named by --source-ca? " + err.Error(), Err: err}
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return &domicile.Error{Op: op, Kind: domicile.Other, Detail: "there is no such host: " + dns.Name, Err: err}
	}
	return unavailable(op, err)
}

// loginError tells a wrong password, which no second try mends, from a server that cannot say now.
func (s *IMAP) loginError(op string, err error) error {
	said, ok := errors.AsType[*imap.Error](err)
	if !ok || said.Code == imap.ResponseCodeUnavailable || said.Code == imap.ResponseCodeInUse || said.Code == imap.ResponseCodeLimit {
		return unavailable(op, err)
	}
	return &domicile.Error{Op: op, Kind: domicile.Other, Detail: "the source does not let " + s.cfg.User + " in: " + said.Text, Err: err}
}

// again makes the error of a call at a connection that failed. What the server answered is its word; else the connection is given up,
// and the next call makes a new one.
func (s *IMAP) again(op string, err error) error {
	if said, ok := errors.AsType[*imap.Error](err); ok && said.Type == imap.StatusResponseTypeNo && said.Code != imap.ResponseCodeUnavailable {
		return &Problem{Unreadable, "the source says: " + said.Text}
	}
	s.drop()
	return unavailable(op, err)
}

// open opens a mailbox read-only, unless it is open.
func (s *IMAP) open(ctx context.Context, name string) error {
	const op = "open mailbox of the source"
	if err := s.connect(ctx); err != nil {
		return err
	}
	if s.selected == name {
		return nil
	}
	data, err := s.client.Select(name, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		s.selected = ""
		return s.again(op, err)
	}
	s.selected, s.validity, s.messages = name, data.UIDValidity, data.NumMessages
	return nil
}

// list lists the messages of a mailbox, by UID.
func (s *IMAP) list(ctx context.Context, m *Mailbox) error {
	if err := s.open(ctx, m.ref); err != nil {
		return err
	}
	m.UIDValidity, m.Items = s.validity, nil
	if s.messages == 0 {
		return nil
	}
	all := imap.UIDSet{imap.UIDRange{Start: 1, Stop: 0}}
	cmd := s.client.Fetch(all, &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, RFC822Size: true})
	defer cmd.Close()
	same := map[string][]string{} // most messages share their flags
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		got, err := msg.Collect()
		if err != nil {
			return s.again("list the source", err)
		}
		if got.UID == 0 {
			continue // a change that it tells of by itself
		}
		flags := make([]string, len(got.Flags))
		for i, f := range got.Flags {
			flags[i] = string(f)
		}
		line := strings.Join(flags, " ")
		if _, ok := same[line]; !ok {
			same[line] = keepFlags(flags)
		}
		m.Items = append(m.Items, Item{Key: s.key(*m, uint32(got.UID)), UID: uint32(got.UID), Size: got.RFC822Size, Date: got.InternalDate,
			Flags: same[line], ref: "UID " + strconv.FormatUint(uint64(got.UID), 10)})
	}
	if err := cmd.Close(); err != nil {
		return s.again("list the source", err)
	}
	slices.SortFunc(m.Items, func(a, b Item) int { return int(int64(a.UID) - int64(b.UID)) })
	m.Items = slices.CompactFunc(m.Items, func(a, b Item) bool { return a.UID == b.UID })
	return nil
}

func (s *IMAP) key(m Mailbox, uid uint32) Key {
	return keyOf("imap", s.ID(), m.ref, strconv.FormatUint(uint64(m.UIDValidity), 10), strconv.FormatUint(uint64(uid), 10))
}

// Read fetches messages with one command. A mailbox that was numbered anew since it was listed is a Problem of each.
func (s *IMAP) Read(ctx context.Context, m Mailbox, items []Item) ([]Body, error) {
	const op = "read from the source"
	out := make([]Body, len(items))
	for i := range out {
		out[i].Err = &Problem{Gone, "the source no longer has it"}
	}
	err := s.open(ctx, m.ref)
	if err == nil && s.validity != m.UIDValidity {
		err = &Problem{Gone, "the source numbered this mailbox anew; run the same command again"}
	}
	if err != nil {
		return all(out, err)
	}
	if len(items) == 0 {
		return nil, nil
	}
	var set imap.UIDSet
	at := map[imap.UID]int{}
	for i, item := range items {
		set.AddNum(imap.UID(item.UID))
		at[imap.UID(item.UID)] = i
	}
	cmd := s.client.Fetch(set, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}})
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		uid, body, err := readMessage(msg)
		if err != nil { // the command is left as it is: its Close would read what the library's own reader now does
			return nil, s.again(op, err)
		}
		if i, ok := at[uid]; ok && (body.Data != nil || body.Err != nil) {
			out[i] = body
		}
	}
	if err := cmd.Close(); err != nil {
		return all(out, s.again(op, err))
	}
	return out, nil
}

// all makes a Problem that of every body; another error is that of the call.
func all(out []Body, err error) ([]Body, error) {
	p, ok := errors.AsType[*Problem](err)
	if !ok {
		return nil, err
	}
	for i := range out {
		if out[i].Data == nil {
			out[i].Err = p
		}
	}
	return out, nil
}

// readMessage reads one answer of FETCH. The library gives one whose UID comes behind the bytes, as no known server has it, to nobody:
// then the message counts as gone.
func readMessage(msg *imapclient.FetchMessageData) (uid imap.UID, body Body, err error) {
	for part := msg.Next(); part != nil; part = msg.Next() {
		switch part := part.(type) {
		case imapclient.FetchItemDataUID:
			uid = part.UID
		case imapclient.FetchItemDataBodySection:
			if part.Literal == nil {
				body.Err = &Problem{Unreadable, "the source has no bytes for it"}
				continue
			}
			raw, err := io.ReadAll(io.LimitReader(part.Literal, MaxMessage+1))
			switch {
			case err != nil:
				return uid, body, err
			case int64(len(raw)) < part.Literal.Size() && len(raw) <= MaxMessage:
				return uid, body, fmt.Errorf("a message was cut off after %d bytes: %w", len(raw), io.ErrUnexpectedEOF)
			case len(raw) > MaxMessage:
				if _, err := io.Copy(io.Discard, part.Literal); err != nil {
					return uid, body, err
				}
				body.Err = &Problem{TooLarge, "it has more than 128 MiB"}
			default:
				body.Data = raw
			}
		}
	}
	return uid, body, nil
}
