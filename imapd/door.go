package imapd

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"domicile"
	"domicile/imapd/wire"
	"domicile/region"
)

// Limits of a connection that is not logged in.
const (
	loginTime = 2 * time.Minute // in total
	maxStray  = 3               // commands that are none, or not for now
	maxFails  = 3               // wrong logins
	maxLogins = 100             // right ones: each is written down, and who connects anew for each is bounded by the listener
	maxSASL   = 16 << 10        // bytes of a line of AUTHENTICATE
)

// door speaks IMAP with a client until it is logged in, and again once it is not any more: greeting, CAPABILITY, ID, NOOP, LOGOUT, STARTTLS, LOGIN and AUTHENTICATE, the
// same on every node. What comes behind the login it hands on, with the bytes that the client has sent already.
type door struct {
	srv    *Server
	net    net.Conn
	conn   *wire.Conn
	secure bool // within TLS
	began  time.Time
	stray  int
	wrong  int
	logins int // that UNAUTHENTICATE has ended

	mu       sync.Mutex
	draining bool         // guarded by mu
	tunnel   *region.Conn // guarded by mu: the session goes on there
}

func newDoor(s *Server, c net.Conn) *door {
	_, within := c.(*tls.Conn)
	d := &door{srv: s, net: c, conn: wire.NewConn(c, wire.Before), secure: within, began: time.Now()}
	d.conn.Limit(wire.Before, d.began.Add(loginTime))
	return d
}

func (d *door) mayUpgrade() bool { return !d.secure && d.srv.cfg.TLS != nil && !d.srv.cfg.Implicit }
func (d *door) mayLogin() bool   { return d.secure || d.srv.mayLogin(d.net) }

// serve greets, and answers commands until the connection ends or is handed on.
func (d *door) serve() {
	handed := false
	defer func() {
		if p := recover(); p != nil {
			d.srv.cfg.Log.Error("panic at the IMAP door", "stack", string(debug.Stack()))
		}
		if !handed {
			d.conn.Close()
		}
	}()
	if c, within := d.net.(*tls.Conn); within { // which mechanisms the greeting offers hangs on the host that the client asked for
		c.SetDeadline(d.began.Add(loginTime))
		if c.Handshake() != nil {
			return
		}
	}
	d.conn.Raw("* OK [CAPABILITY ").Raw(d.capabilities()).Raw("] ").Raw(d.srv.cfg.Hostname).Raw(" ready").Line()
	for {
		cmd, err := d.conn.Next()
		if err != nil {
			d.end(err)
			return
		}
		switch d.answer(cmd) {
		case goOn:
		case handOn:
			handed = true
			return
		default:
			d.conn.Flush()
			return
		}
	}
}

// end says why nothing more is read, where that is worth saying.
func (d *door) end(err error) {
	var bye wire.Bye
	switch {
	case errors.Is(err, wire.ErrDraining):
		d.conn.Raw(byeDraining).Line()
	case errors.As(err, &bye):
		d.conn.Raw("* BYE ").Raw(string(bye)).Line()
	}
	d.conn.Flush()
}

// step is what comes behind a command.
type step uint8

const (
	goOn step = iota
	endHere
	handOn
)

// answer runs one command.
func (d *door) answer(cmd *wire.Command) step {
	switch cmd.Name {
	case "CAPABILITY", "NOOP", "LOGOUT", "STARTTLS":
		if err := cmd.End(); err != nil {
			return d.bad(cmd.Tag, err)
		}
	}
	switch cmd.Name {
	case "CAPABILITY":
		d.conn.Raw("* CAPABILITY ").Raw(d.capabilities()).Line()
		return d.ok(cmd, "CAPABILITY completed")
	case "NOOP":
		return d.ok(cmd, "NOOP completed")
	case "LOGOUT":
		d.conn.Raw("* BYE Logging out").Line()
		d.ok(cmd, "LOGOUT completed")
		return endHere
	case "ID":
		if err := readID(cmd); err != nil {
			return d.bad(cmd.Tag, err)
		}
		d.conn.Raw(whoWeAre).Line()
		return d.ok(cmd, "ID completed")
	case "STARTTLS":
		return d.startTLS(cmd)
	case "LOGIN":
		cmd.SP()
		name := cmd.Astring()
		cmd.SP()
		password := cmd.Astring()
		if err := cmd.End(); err != nil {
			return d.bad(cmd.Tag, err)
		}
		return d.loginCommand(cmd.Tag, name, password)
	case "AUTHENTICATE":
		return d.authenticate(cmd)
	}
	cmd.Fail("Not a command for somebody who is not logged in")
	return d.bad(cmd.Tag, cmd.Err())
}

func (d *door) ok(cmd *wire.Command, text string) step {
	d.conn.Raw(cmd.Tag).Raw(" OK ").Raw(text).Line()
	return goOn
}

func (d *door) no(tag, text string) step {
	d.conn.Raw(tag).Raw(" NO ").Raw(text).Line()
	return goOn
}

// bad refuses a command. A few of them end the connection: who speaks another protocol must not find one that runs.
func (d *door) bad(tag string, why error) step {
	if d.stray++; d.stray > maxStray {
		d.conn.Raw("* BYE Not IMAP").Line()
		return endHere
	}
	d.conn.Raw(tag).Raw(" BAD ").Raw(why.Error()).Line()
	return goOn
}

// startTLS: RFC 9051 6.2.1. A client that has sent more already is cut off: what stands behind the command may be somebody
// else's (CVE-2011-0411).
func (d *door) startTLS(cmd *wire.Command) step {
	switch {
	case !d.mayUpgrade():
		cmd.Fail("STARTTLS is not offered here")
		return d.bad(cmd.Tag, cmd.Err())
	case d.conn.Buffered() > 0:
		d.conn.Raw("* BYE [CLIENTBUG] Nothing may follow STARTTLS before its answer").Line()
		return endHere
	}
	d.ok(cmd, "Begin TLS negotiation now")
	if d.conn.Flush() != nil {
		return endHere
	}
	d.within(d.net)
	return goOn
}

// within goes on within TLS, with nothing remembered that was said before. The handshake happens at the greeting, or behind STARTTLS at the first read.
func (d *door) within(c net.Conn) {
	d.net = tls.Server(c, d.srv.cfg.TLS)
	d.conn.Reset(d.net)
	d.secure, d.stray, d.wrong = true, 0, 0
}

// again goes on with a client that was logged in here, and answers its UNAUTHENTICATE: nothing of the session is left by then, its permit
// included. Wrong passwords from before still count.
func (d *door) again(tag string) step {
	if err := d.srv.cfg.Home.detach(d.net); err != nil {
		d.srv.cfg.Log.Warn("the permit of a session could not be ended", "reason", string(domicile.ReasonOf(err)))
		return endHere
	}
	if d.logins++; d.logins >= maxLogins {
		d.conn.Raw("* BYE [LIMIT] The next login needs another connection").Line()
		d.conn.Raw(tag).Raw(" OK UNAUTHENTICATE completed").Line()
		return endHere
	}
	d.began, d.stray, d.conn.UTF8 = time.Now(), 0, false
	d.conn.Limit(wire.Before, d.began.Add(loginTime))
	d.conn.Raw(tag).Raw(" OK [CAPABILITY ").Raw(d.capabilities()).Raw("] Not logged in any more").Line()
	return goOn
}

// drain ends the connection before its next command, at once if it is idle; of a relayed session the home does it.
func (d *door) drain() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.draining = true
	if d.tunnel != nil {
		go d.tunnel.Drain()
		return
	}
	d.conn.Drain()
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

// ahead is a connection of which some bytes were read already, by r.
type ahead struct {
	net.Conn
	r io.Reader
}

func (a ahead) Read(p []byte) (int, error) { return a.r.Read(p) }

// NetConn lets region.FrontConn find the connection below.
func (a ahead) NetConn() net.Conn { return a.Conn }
