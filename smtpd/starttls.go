package smtpd

import (
	"crypto/tls"
	"net"
	"strings"
	"sync"
)

// startTLS answers STARTTLS (RFC 3207) in go-smtp's place. The connection goes to a new gate and a new session within TLS, so
// that nothing said in the clear is remembered (RFC 3207 4.2). A client that has sent more already is cut off: what stands
// behind the command may be somebody else's (CVE-2011-0411).
func (g *gate) startTLS(line string) {
	switch {
	case len(strings.TrimRight(line, " ")) != len("STARTTLS"):
		g.say("501 5.5.4 STARTTLS takes no argument\r\n")
	case g.br.Buffered() > 0:
		g.say("503 5.5.1 Nothing may follow STARTTLS before its answer\r\n")
		g.end()
	default:
		g.say("220 2.0.0 Ready to start TLS\r\n")
		g.handed.Store(true)
		g.end()
		g.upgrade()
	}
}

// protocol is the word of the trace field (RFC 3848) for ESMTP or LMTP.
func (g *gate) protocol(word string) string {
	if g.word != "" {
		return g.word
	}
	if g.within() {
		word += "S"
	}
	return word
}

// within says whether the connection is within TLS.
func (g *gate) within() bool {
	_, ok := g.Conn.(*tls.Conn)
	return ok
}

// feed is the listener of the connections that went over to TLS.
type feed struct {
	net.Listener
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newFeed(l net.Listener) *feed {
	return &feed{Listener: l, conns: make(chan net.Conn), done: make(chan struct{})}
}

func (f *feed) put(c net.Conn) {
	select {
	case f.conns <- c:
	case <-f.done:
		c.Close()
	}
}

// Accept returns the next of them.
func (f *feed) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. The listener below stays.
func (f *feed) Close() error { f.once.Do(func() { close(f.done) }); return nil }
