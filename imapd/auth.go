package imapd

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"domicile"
	"domicile/imapd/wire"
	"domicile/login"
)

const answerNoTLS = "[PRIVACYREQUIRED] TLS comes first"

// mechanisms are the capabilities that tell of them.
func (d *door) mechanisms() string {
	return " AUTH=" + strings.Join(d.options(nil).Mechanisms(), " AUTH=")
}

// options are those of a login on this connection. A login is bound to TLS where it ends at a node that has the accounts of the region
// whose host the client asked for.
func (d *door) options(verify func(login.Credential) ([]byte, error)) login.Options {
	o := login.Options{Salt: d.srv.cfg.Check.Salt, Verify: verify}
	if c, ok := d.net.(*tls.Conn); ok && d.srv.cfg.Home != nil {
		o.Binding = login.Binding(c, d.srv.hostOf(d.srv.cfg.Region))
	}
	return o
}

func (d *door) from() login.From {
	return login.From{Service: login.IMAP, Network: login.Network(d.net.RemoteAddr())}
}

// authenticate: RFC 9051 6.2.2, with or without an initial response (RFC 4959).
func (d *door) authenticate(cmd *wire.Command) step {
	cmd.SP()
	mechanism := cmd.Atom()
	var initial string
	given := cmd.More()
	if given {
		cmd.SP()
		initial = cmd.Base64()
	}
	if err := cmd.End(); err != nil {
		return d.bad(cmd.Tag, err)
	}
	if !d.mayLogin() {
		return d.no(cmd.Tag, answerNoTLS)
	}
	a := &attempt{d: d, tag: cmd.Tag}
	x, err := d.options(a.verify).Begin(strings.ToUpper(mechanism))
	if err != nil {
		return d.no(cmd.Tag, "No such mechanism; CAPABILITY says which are offered")
	}
	var response []byte
	if given {
		if response, err = decode(initial); err != nil {
			return a.bad("The response is malformed")
		}
	}
	next := a.steps(x, response)
	if a.found != nil { // verified, and then not wanted: the connection is under a permit already
		a.found.drop()
		return endHere
	}
	return next
}

// attempt is one login.
type attempt struct {
	d     *door
	tag   string
	found *verified // once home has verified it, until it goes onward
	err   error     // of verify
}

// steps runs an exchange to its end.
func (a *attempt) steps(x *login.Exchange, response []byte) step {
	d := a.d
	for {
		challenge, done, err := x.Next(response)
		switch {
		case err == nil && done:
			return a.onward()
		case a.err != nil:
			return d.failed(a.tag, a.err)
		case errors.Is(err, login.ErrOther):
			return d.no(a.tag, "[AUTHORIZATIONFAILED] Nobody acts for another here")
		case err != nil:
			return a.bad("The response is malformed, or was made for another connection")
		}
		if d.conn.Continue(base64.StdEncoding.EncodeToString(challenge)) != nil {
			return endHere
		}
		line, err := d.conn.ReadLine(maxSASL)
		if err != nil {
			d.end(err)
			return endHere
		}
		if line == "*" {
			return a.bad("AUTHENTICATE cancelled")
		}
		if response, err = decode(line); err != nil {
			return a.bad("The response is malformed")
		}
	}
}

func (a *attempt) bad(why string) step { return a.d.bad(a.tag, wire.SyntaxError(why)) }

// decode never returns nil: an empty response is one.
func decode(text string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	return append([]byte{}, b...), err
}

// verify checks who it is, at home. Unknown and wrong look alike, in words and in time.
func (a *attempt) verify(c login.Credential) ([]byte, error) {
	d, began := a.d, time.Now()
	network := login.Network(d.net.RemoteAddr())
	if a.err = d.srv.cfg.Check.Tries.May(network, c.Name); a.err == nil {
		a.found, a.err = d.srv.login(d, a.tag, c)
	}
	d.srv.counted(a.err)
	if a.err == nil {
		d.srv.cfg.Check.Tries.Right(network, c.Name)
		return a.found.signature, nil
	}
	if domicile.KindOf(a.err) == domicile.NotExist {
		d.srv.cfg.Check.Tries.Wait(d.srv.ctx, network, c.Name, began)
		if d.srv.slow != nil {
			d.srv.slow(d.net, began)
		}
	}
	return nil, a.err
}

// loginCommand is LOGIN.
func (d *door) loginCommand(tag, name, password string) step {
	if !d.mayLogin() {
		return d.no(tag, answerNoTLS)
	}
	a := &attempt{d: d, tag: tag}
	if _, err := a.verify(login.Credential{Name: name, Password: password}); err != nil {
		return d.failed(tag, err)
	}
	return a.onward()
}

// onward carries a verified session on, to its end.
func (a *attempt) onward() step {
	found := a.found
	a.found = nil
	return found.onward()
}

// failed answers a login that was not verified. A few wrong ones end the connection.
func (d *door) failed(tag string, err error) step {
	if domicile.KindOf(err) == domicile.NotExist {
		if d.wrong++; d.wrong >= maxFails {
			d.conn.Raw("* BYE [AUTHENTICATIONFAILED] Too many failed logins").Line()
			d.no(tag, loginAnswer(err))
			return endHere
		}
	}
	return d.no(tag, loginAnswer(err))
}
