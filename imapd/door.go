package imapd

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"domicile/region"
)

// Limits of a connection that is not logged in.
const (
	loginTime = 2 * time.Minute // in total
	maxStray  = 3               // commands that are none, or not for now
	maxFails  = 3               // wrong logins
)

// door speaks IMAP with a client until it is logged in: greeting, CAPABILITY, ID, NOOP, LOGOUT, STARTTLS, LOGIN and AUTHENTICATE, the
// same on every node. What comes behind the login it hands on, with the bytes that the client has sent already.
type door struct {
	srv    *Server
	conn   net.Conn
	br     *bufio.Reader
	secure bool // within TLS
	began  time.Time
	stray  int
	wrong  int
	gate   *gate // of this node's home, once handed over

	mu       sync.Mutex
	idle     bool         // guarded by mu: between commands
	draining bool         // guarded by mu
	tunnel   *region.Conn // guarded by mu: the session goes on there
}

func newDoor(s *Server, c net.Conn) *door {
	_, within := c.(*tls.Conn)
	return &door{srv: s, conn: c, br: bufio.NewReaderSize(c, 4096), secure: within, began: time.Now()}
}

// What a line of the door says.
const (
	capsBefore = "IMAP4rev1 LITERAL- SASL-IR ID ENABLE IDLE LOGIN-REFERRALS" // the two before the last are for behind the login
	idAnswer   = `* ID ("name" "domicile")` + crlf
	crlf       = "\r\n"
)

func (d *door) capabilities() string {
	caps := capsBefore
	if d.mayUpgrade() {
		caps += " STARTTLS"
	}
	if d.mayLogin() {
		return caps + d.mechanisms()
	}
	return caps + " LOGINDISABLED"
}

func (d *door) mayUpgrade() bool { return !d.secure && d.srv.cfg.TLS != nil && !d.srv.cfg.Implicit }
func (d *door) mayLogin() bool   { return d.secure || d.srv.mayLogin(d.conn) }

// serve greets, and answers commands until the connection ends or is handed on.
func (d *door) serve() {
	handed := false
	defer func() {
		if !handed {
			d.conn.Close()
		}
	}()
	d.deadline()
	if d.say("* OK [CAPABILITY "+d.capabilities()+"] "+d.srv.cfg.Hostname+" ready"+crlf) != nil {
		return
	}
	for {
		c, err := d.command()
		if err != nil {
			d.end(err)
			return
		}
		switch next := d.answer(c); next {
		case goOn:
		case handOn:
			handed = true
			return
		default:
			return
		}
	}
}

// deadline bounds all that happens before the login.
func (d *door) deadline() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conn.SetDeadline(d.began.Add(loginTime))
	if d.draining && d.idle {
		d.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// end says why nothing more is read, where that is worth saying.
func (d *door) end(err error) {
	var bye byeError
	switch {
	case errors.As(err, &bye):
		d.say("* BYE " + string(bye) + crlf)
	case errors.Is(err, os.ErrDeadlineExceeded) && d.isDraining():
		d.say(byeDraining)
	case errors.Is(err, os.ErrDeadlineExceeded):
		d.say("* BYE No login in two minutes" + crlf)
	}
}

func (d *door) isDraining() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.draining
}

func (d *door) say(text string) error {
	d.conn.SetWriteDeadline(time.Now().Add(writeTime))
	_, err := io.WriteString(d.conn, text)
	return err
}

// step is what comes behind a command.
type step uint8

const (
	goOn step = iota
	endHere
	handOn
)

// answer runs one command.
func (d *door) answer(c command) step {
	if c.bad != "" {
		return d.bad(c.tag, c.bad)
	}
	switch c.name {
	case "CAPABILITY", "NOOP", "LOGOUT", "STARTTLS":
		if len(c.words) > 0 {
			return d.bad(c.tag, c.name+" takes nothing")
		}
	}
	switch c.name {
	case "CAPABILITY":
		return d.tell("* CAPABILITY " + d.capabilities() + crlf + c.tag + " OK CAPABILITY completed" + crlf)
	case "NOOP":
		return d.tell(c.tag + " OK NOOP completed" + crlf)
	case "LOGOUT":
		d.say("* BYE Logging out" + crlf + c.tag + " OK LOGOUT completed" + crlf)
		return endHere
	case "ID":
		if !c.idFits() {
			return d.bad(c.tag, "ID takes NIL or a list of names and values")
		}
		return d.tell(idAnswer + c.tag + " OK ID completed" + crlf)
	case "STARTTLS":
		return d.startTLS(c.tag)
	case "LOGIN":
		name, password, ok := c.loginWords()
		if !ok {
			return d.bad(c.tag, "LOGIN takes a name and a password")
		}
		return d.loginCommand(c.tag, name, password)
	case "AUTHENTICATE":
		return d.authenticate(c)
	}
	return d.bad(c.tag, "Not a command for somebody who is not logged in")
}

func (d *door) tell(text string) step {
	if d.say(text) != nil {
		return endHere
	}
	return goOn
}

// bad refuses a command. A few of them end the connection: who speaks another protocol must not find one that runs.
func (d *door) bad(tag, why string) step {
	if d.stray++; d.stray > maxStray {
		d.say(byeAbuse)
		return endHere
	}
	return d.tell(tag + " BAD " + why + crlf)
}

// startTLS: RFC 9051 6.2.1. A client that has sent more already is cut off: what stands behind the command may be somebody
// else's (CVE-2011-0411).
func (d *door) startTLS(tag string) step {
	switch {
	case !d.mayUpgrade():
		return d.tell(tag + " BAD STARTTLS is not offered here" + crlf)
	case d.br.Buffered() > 0:
		d.say("* BYE [CLIENTBUG] Nothing may follow STARTTLS before its answer" + crlf)
		return endHere
	}
	if d.say(tag+" OK Begin TLS negotiation now"+crlf) != nil {
		return endHere
	}
	d.within(d.conn)
	return goOn
}

// within goes on within TLS, with nothing remembered that was said before. The handshake happens at the first read.
func (d *door) within(c net.Conn) {
	d.mu.Lock()
	d.conn = tls.Server(c, d.srv.cfg.TLS)
	d.mu.Unlock()
	d.br = bufio.NewReaderSize(d.conn, 4096)
	d.secure, d.stray, d.wrong = true, 0, 0
	d.deadline()
}

// drain ends the connection before its next command, at once if it is idle; of a relayed session the home does it.
func (d *door) drain() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draining = true
	switch {
	case d.tunnel != nil:
		go d.tunnel.Drain()
	case d.idle:
		d.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// cut ends the connection at once.
func (d *door) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tunnel != nil {
		d.tunnel.Close()
	}
	d.conn.Close()
}

// relayed notes where the session goes on; false if the front closes down.
func (d *door) relayed(t *region.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tunnel = t
	return !d.draining
}

// ahead is a connection of which some bytes were read already.
type ahead struct {
	net.Conn
	br *bufio.Reader
}

func (a ahead) Read(p []byte) (int, error) { return a.br.Read(p) }

// NetConn lets region.FrontConn find the connection below.
func (a ahead) NetConn() net.Conn { return a.Conn }
