package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// ReadMail logs in over IMAP, in plain text, and returns the messages of a mailbox, whole, by UID. Nothing is marked as read.
func ReadMail(ctx context.Context, addr, user, password, mailbox string) ([][]byte, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return readMail(ctx, conn, user, password, mailbox)
}

// ReadMailTLS is ReadMail over implicit TLS.
func ReadMailTLS(ctx context.Context, addr string, conf *tls.Config, user, password, mailbox string) ([][]byte, error) {
	d := tls.Dialer{Config: conf}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return readMail(ctx, conn, user, password, mailbox)
}

func readMail(ctx context.Context, conn net.Conn, user, password, mailbox string) ([][]byte, error) {
	c := imapclient.New(conn, nil)
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := c.Login(user, password).Wait(); err != nil {
		return nil, err
	}
	box, err := c.Select(mailbox, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil || box.NumMessages == 0 {
		return nil, err
	}
	whole := &imap.FetchItemBodySection{Peek: true}
	var all imap.UIDSet
	all.AddRange(1, 0)
	found, err := c.Fetch(all, &imap.FetchOptions{UID: true, RFC822Size: true, BodySection: []*imap.FetchItemBodySection{whole}}).Collect()
	if err != nil {
		return nil, err
	}
	if uint32(len(found)) < box.NumMessages {
		return nil, errors.New("fewer messages were fetched than the mailbox has")
	}
	out := make([][]byte, len(found))
	for i, m := range found {
		out[i] = bytes.Clone(m.FindBodySection(whole))
		if int64(len(out[i])) != m.RFC822Size {
			return nil, errors.New("RFC822.SIZE is not the size of the message")
		}
	}
	return out, c.Logout().Wait()
}
