package region

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"domicile"
)

// maxHello bounds what is read of a connection before its ClientHello is known; real ones have a few KiB.
const maxHello = 32 << 10

// ClientHello reads the first message of TLS off c, and returns the host that the client asks for (lower case, no dot at the end; "" if it names
// none) and every byte that was read, for whoever goes on with the connection. Nothing is written. The caller sets the deadline.
func ClientHello(c io.Reader) (host string, read []byte, err error) {
	var seen bytes.Buffer
	found := false
	srv := tls.Server(helloConn{io.TeeReader(io.LimitReader(c, maxHello), &seen)}, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			host, found = strings.ToLower(strings.TrimSuffix(h.ServerName, ".")), true
			return nil, errHelloRead
		},
	})
	err = srv.Handshake()
	if !found {
		return "", seen.Bytes(), &domicile.Error{Op: "read a ClientHello", Kind: domicile.Invalid, Detail: "the connection does not begin with TLS", Err: err}
	}
	return host, seen.Bytes(), nil
}

var errHelloRead = errors.New("the hello is all that was wanted")

// helloConn is a connection that only the first message is read from.
type helloConn struct{ r io.Reader }

func (c helloConn) Read(b []byte) (int, error)     { return c.r.Read(b) }
func (helloConn) Write([]byte) (int, error)        { return 0, io.ErrClosedPipe }
func (helloConn) Close() error                     { return nil }
func (helloConn) LocalAddr() net.Addr              { return nil }
func (helloConn) RemoteAddr() net.Addr             { return nil }
func (helloConn) SetDeadline(time.Time) error      { return nil }
func (helloConn) SetReadDeadline(time.Time) error  { return nil }
func (helloConn) SetWriteDeadline(time.Time) error { return nil }
