package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"time"
)

// Sender is a plain SMTP client that sends bytes as they are: what a message store must give back unchanged has to arrive
// unchanged first. One goroutine at a time.
type Sender struct {
	conn net.Conn
	text *textproto.Conn
}

// replyWithin is how long a server may take for one answer.
const replyWithin = 2 * time.Minute

// DialSMTP connects, reads the greeting and says EHLO.
func DialSMTP(ctx context.Context, addr string) (*Sender, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &Sender{conn: c, text: textproto.NewConn(c)}
	c.SetDeadline(time.Now().Add(replyWithin))
	if _, _, err = s.text.ReadResponse(220); err == nil {
		_, err = s.Command(250, "EHLO sender.example")
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

// Command sends a line and wants an answer of the code (2 means any 2xx); another answer is a *textproto.Error.
func (s *Sender) Command(want int, format string, args ...any) (string, error) {
	s.conn.SetDeadline(time.Now().Add(replyWithin))
	if err := s.text.PrintfLine(format, args...); err != nil {
		return "", err
	}
	_, msg, err := s.text.ReadResponse(want)
	return msg, err
}

// Begin opens a transaction and a DATA; what Write sends then is the message, dots stuffed by the caller.
func (s *Sender) Begin(from string, to ...string) error {
	if _, err := s.Command(250, "MAIL FROM:<%s> BODY=8BITMIME", from); err != nil {
		return err
	}
	for _, r := range to {
		if _, err := s.Command(250, "RCPT TO:<%s>", r); err != nil {
			return err
		}
	}
	_, err := s.Command(354, "DATA")
	return err
}

// Write sends raw bytes within DATA.
func (s *Sender) Write(p []byte) (int, error) {
	s.conn.SetDeadline(time.Now().Add(replyWithin))
	return s.conn.Write(p)
}

// Send delivers one message, which must be Canonical, and returns when the server has answered it with 250.
func (s *Sender) Send(from string, text []byte, to ...string) error {
	if !bytes.HasSuffix(text, []byte("\r\n")) {
		return errors.New("send: the message does not end in CRLF")
	}
	if err := s.Begin(from, to...); err != nil {
		s.text.PrintfLine("RSET")
		s.text.ReadResponse(250)
		return err
	}
	stuffed := bytes.ReplaceAll(text, []byte("\r\n."), []byte("\r\n.."))
	if stuffed[0] == '.' {
		stuffed = append([]byte{'.'}, stuffed...)
	}
	if _, err := s.Write(append(stuffed, ".\r\n"...)); err != nil {
		return err
	}
	_, _, err := s.text.ReadResponse(250)
	return err
}

// Close says QUIT and ends the connection.
func (s *Sender) Close() error {
	s.Command(221, "QUIT")
	return s.conn.Close()
}

// Code returns the SMTP reply code in an error of a Sender, 0 if there is none.
func Code(err error) int {
	if e, ok := errors.AsType[*textproto.Error](err); ok {
		return e.Code
	}
	return 0
}

// traceFields are the header fields that a store may put before a message.
var traceFields = []string{"return-path", "received", "delivered-to"}

// BehindTrace checks that stored is sent, byte for byte, behind trace fields and nothing else.
func BehindTrace(stored, sent []byte) error {
	if !bytes.HasSuffix(stored, sent) {
		return fmt.Errorf("%d bytes were stored, %d sent, and the end of what was stored is not what was sent", len(stored), len(sent))
	}
	front := stored[:len(stored)-len(sent)]
	for _, line := range bytes.SplitAfter(front, []byte("\r\n")) {
		if len(line) == 0 || line[0] == ' ' || line[0] == '\t' {
			continue
		}
		name, _, _ := strings.Cut(strings.ToLower(string(line)), ":")
		known := false
		for _, f := range traceFields {
			known = known || f == name
		}
		if !known || !bytes.HasSuffix(line, []byte("\r\n")) {
			return fmt.Errorf("before the message stands %.60q, which is no trace field", line)
		}
	}
	return nil
}
