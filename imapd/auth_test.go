package imapd

import (
	"encoding/base64"
	"strings"
	"testing"

	"domicile/store"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// scram runs the first step of SCRAM, and returns what a client says that has the proof which plainKept takes.
func (c *client) scram(name, proof string) string {
	c.t.Helper()
	c.send("a AUTHENTICATE SCRAM-SHA-256 " + b64("n,,n="+name+",r=abc") + "\r\n")
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.want("+ "), "+ "))
	if err != nil {
		c.t.Fatal(err)
	}
	nonce, _, _ := strings.Cut(string(challenge), ",")
	return b64("c=biws,"+nonce+",p="+b64(proof)) + "\r\n"
}

// By SCRAM a client is logged in once it has seen the server's signature; one that does not like it is not, and the connection ends.
func TestAuthenticateScram(t *testing.T) {
	w := newWorld(t)
	if err := w.store.UpdateAccount(t.Context(), ann, func(a *store.Account) error { a.Scram = "ann's"; return nil }); err != nil {
		t.Fatal(err)
	}
	c := w.dial()
	c.send(c.scram("ann@example.com", "proof of ann's"))
	c.want("+ " + b64("v="+b64("signature")))
	c.send("\r\n")
	c.want("a OK")
	c.do("b SELECT INBOX", "b OK")

	c = w.dial()
	c.send(c.scram("ann@example.com", "proof of ann's"))
	c.want("+ " + b64("v="+b64("signature")))
	c.send("*\r\n")
	c.want("a BAD")
	c.want("CLOSED")

	for _, name := range []string{"ann@example.com", "refused@example.com", "nobody@example.com", "no address"} { // wrong, without a verifier, unknown
		c = w.dial()
		c.send(c.scram(name, "proof of"))
		c.want("a NO [AUTHENTICATIONFAILED] No such account here, or the wrong password")
	}
	c = w.dial()
	c.send(c.scram("off@example.com", "proof of"))
	c.want("a NO [AUTHENTICATIONFAILED]") // suspended is told to who proves to be the owner, and nobody else
	c.do("b AUTHENTICATE SCRAM-SHA-256-PLUS", "b NO")
	c.send("c AUTHENTICATE LOGIN\r\n")
	c.want("+ " + b64("Username:"))
	c.send(b64("ann@example.com") + "\r\n")
	c.want("+ " + b64("Password:"))
	c.send(b64("pw") + "\r\n")
	c.want("c OK")
}
