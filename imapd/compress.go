package imapd

import (
	"bytes"
	"compress/flate"
	"io"
	"net"
	"sync"

	"github.com/emersion/go-imap/v2"

	"domicile/imapd/inflate"
	"domicile/imapd/wire"
)

// maxDeflate bounds the connections of a Home that compress: each keeps some 35 KiB to take apart what its client sends.
const maxDeflate = 2000

// mayCompress: COMPRESS=DEFLATE is offered where it is not on already, and as long as there is room.
func (s *session) mayCompress() bool { return !s.deflate && s.home.deflate.Load() < maxDeflate }

// compress is COMPRESS (RFC 4978). From behind its answer on, both directions are deflated.
func (s *session) compress(cmd *wire.Command) (string, error) {
	cmd.SP()
	mechanism := cmd.Word()
	if err := cmd.End(); err != nil {
		return "", err
	}
	switch {
	case mechanism != "DEFLATE":
		return "", bad("DEFLATE is the one mechanism")
	case s.deflate:
		return "", no("COMPRESSIONACTIVE", "It is on already")
	case s.conn.Buffered() > 0: // sent before the answer, it is not deflated, or another's
		return "", wire.Bye("[CLIENTBUG] Nothing may follow COMPRESS before its answer")
	case s.home.deflate.Add(1) > maxDeflate:
		s.home.deflate.Add(-1)
		return "", no(imap.ResponseCodeLimit, "Too many connections compress")
	}
	s.deflate = true
	s.conn.Raw(cmd.Tag).Raw(" OK DEFLATE active").Line()
	if err := s.conn.Flush(); err != nil {
		return "", err
	}
	s.conn.Reset(newDeflated(s.conn.NetConn()))
	return "", errAnswered
}

// deflated is a connection whose bytes are deflated in both directions (RFC 1951), without end.
type deflated struct {
	net.Conn
	r io.Reader
}

func newDeflated(c net.Conn) *deflated { return &deflated{c, inflate.NewReader(c)} }

// NetConn lets region.FrontConn find the connection below.
func (d *deflated) NetConn() net.Conn { return d.Conn }

func (d *deflated) Read(p []byte) (int, error) { return d.r.Read(p) }

// compressors are shared: each holds a megabyte, which no connection may keep while it is idle, or while its client is slow to read.
var compressors = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // of the level, which is a constant
	}
	return w
}}

// Write deflates p by itself: what comes later does not refer back to it, so that any compressor can go on with the stream.
func (d *deflated) Write(p []byte) (int, error) {
	var b bytes.Buffer
	w := compressors.Get().(*flate.Writer)
	w.Reset(&b)
	_, err := w.Write(p)
	if err == nil {
		err = w.Flush()
	}
	compressors.Put(w)
	if err != nil {
		return 0, err
	}
	if _, err := d.Conn.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}
