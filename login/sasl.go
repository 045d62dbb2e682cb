package login

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"

	"domicile"
)

// The mechanisms, the best first.
const (
	ScramPlus = "SCRAM-SHA-256-PLUS"
	Scram     = "SCRAM-SHA-256"
	Plain     = "PLAIN" // RFC 4616
	Login     = "LOGIN" // of no RFC: name and password, each asked for
)

const (
	bindingName  = "tls-exporter" // RFC 9266
	bindingLabel = "EXPORTER-Channel-Binding"
	bindingSize  = 32
)

// ErrOther is the error of a client that wants to act for another.
var ErrOther = domicile.E("login", domicile.Invalid, "nobody acts for another here")

// Options of exchanges on one connection.
type Options struct {
	Salt    func(name string) (salt []byte, iterations int) // Checker.Salt
	Binding []byte                                          // of the connection, as Binding gives it; nil = SCRAM-SHA-256-PLUS is not offered

	// Verify finds the account's home, has the credential checked there, and holds ready what follows a login. Of a proof it returns
	// the home's signature. Its error is the exchange's. It is called once at most.
	Verify func(Credential) (signature []byte, err error)
}

// Mechanisms are what to offer.
func (o Options) Mechanisms() []string {
	if o.Binding == nil {
		return []string{Scram, Plain, Login}
	}
	return []string{ScramPlus, Scram, Plain, Login}
}

// Exchange is one login, step by step. It is used by one goroutine.
type Exchange struct {
	mechanism string
	o         Options
	step      int
	name      string // of LOGIN
	scram     conversation
}

// Begin begins a login by one of the offered mechanisms, written in capitals. Invalid if it is none of them.
func (o Options) Begin(mechanism string) (*Exchange, error) {
	for _, offered := range o.Mechanisms() {
		if offered == mechanism {
			return &Exchange{mechanism: mechanism, o: o, scram: conversation{o: o, plus: mechanism == ScramPlus}}, nil
		}
	}
	return nil, domicile.E("login", domicile.Invalid, "the mechanism is not offered")
}

// Next takes what the client said, nil if it was not asked yet (a client may begin with an initial response), and returns a challenge for it, or done: it is
// logged in. The bytes are those within base64. After an error the exchange is over: ErrOther, Invalid for what is malformed, or of Verify. A
// client that cancels behind the verification, as one must that does not believe the server, is not logged in.
func (x *Exchange) Next(response []byte) (challenge []byte, done bool, err error) {
	switch x.mechanism {
	case Plain:
		return x.plain(response)
	case Login:
		return x.login(response)
	}
	return x.scramStep(response)
}

func (x *Exchange) plain(response []byte) ([]byte, bool, error) {
	if response == nil && x.step == 0 {
		x.step++
		return nil, false, nil
	}
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 {
		return nil, false, errForm
	}
	if len(parts[0]) > 0 && !bytes.Equal(parts[0], parts[1]) {
		return nil, false, ErrOther
	}
	return x.password(string(parts[1]), string(parts[2]))
}

func (x *Exchange) login(response []byte) ([]byte, bool, error) {
	switch {
	case x.step == 0 && response == nil:
		x.step = 1
		return []byte("Username:"), false, nil
	case x.step < 2: // the name, asked for or sent at once
		x.name, x.step = string(response), 2
		return []byte("Password:"), false, nil
	}
	return x.password(x.name, string(response))
}

func (x *Exchange) password(name, password string) ([]byte, bool, error) {
	_, err := x.o.Verify(Credential{Name: name, Password: password})
	return nil, err == nil, err
}

func (x *Exchange) scramStep(response []byte) ([]byte, bool, error) {
	if response == nil && x.step == 0 {
		x.step = 1
		return nil, false, nil
	}
	switch x.step {
	case 0, 1:
		x.step = 2
		challenge, err := x.scram.first(string(response))
		return []byte(challenge), false, err
	case 2:
		x.step = 3
		c, err := x.scram.final(string(response))
		if err != nil {
			return nil, false, err
		}
		signature, err := x.o.Verify(c)
		if err != nil {
			return nil, false, err
		}
		return []byte("v=" + base64.StdEncoding.EncodeToString(signature)), false, nil
	}
	if len(response) > 0 {
		return nil, false, errForm
	}
	return nil, true, nil
}

// Binding is what binds a login to a connection, by tls-exporter (RFC 9266), where the client asked for host: the name of the region in which
// TLS ends, so that who logs in there is at home. Otherwise, and of a connection that cannot be bound, it is nil.
func Binding(c *tls.Conn, host string) []byte {
	s := c.ConnectionState()
	if host == "" || s.ServerName != host {
		return nil
	}
	b, err := s.ExportKeyingMaterial(bindingLabel, nil, bindingSize)
	if err != nil {
		return nil
	}
	return b
}
