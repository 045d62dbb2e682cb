package login

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"domicile"
)

// Bounds of what a client says in SCRAM.
const (
	maxFirst = 2048 // bytes of a message
	maxNonce = 256
)

// nonceSize is that of a server's nonce: the second in which it was made (8 bytes, big-endian), 18 random bytes.
const nonceSize = 26

// conversation is the server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677). What it answers to the first message hangs on the
// name alone, not on whether it exists. Extensions are refused, as RFC 5802 wants it of those that are mandatory and allows of others.
type conversation struct {
	o    Options
	plus bool

	gs2  string // header of the first message: "n,," and the like
	name string
	bare string // client-first-message-bare
	own  string // server-first-message
	both string // both nonces
}

// first answers client-first-message.
func (s *conversation) first(m string) (challenge string, err error) {
	parts := strings.SplitN(m, ",", 3)
	if len(m) > maxFirst || len(parts) != 3 {
		return "", errForm
	}
	flag, authz, bare := parts[0], parts[1], parts[2]
	switch {
	case s.plus && flag != "p="+bindingName, !s.plus && flag != "n" && flag != "y":
		return "", errForm
	case !s.plus && flag == "y" && s.o.Binding != nil:
		return "", errDowngrade
	}
	said := strings.Split(bare, ",")
	if len(said) != 2 {
		return "", errForm
	}
	name, ok := unescape(after(said[0], "n="))
	nonce := after(said[1], "r=")
	if !ok || name == "" || !isNonce(nonce) {
		return "", errForm
	}
	if authz != "" {
		if who, ok := unescape(after(authz, "a=")); !ok || who != name {
			return "", ErrOther
		}
	}
	s.gs2, s.name, s.bare = flag+","+authz+",", name, bare
	s.both = nonce + newNonce(time.Now())
	salt, iterations := s.o.Salt(name)
	s.own = "r=" + s.both + ",s=" + base64.StdEncoding.EncodeToString(salt) + ",i=" + strconv.Itoa(iterations)
	return s.own, nil
}

// final takes client-final-message apart.
func (s *conversation) final(m string) (Credential, error) {
	said := strings.Split(m, ",")
	if len(m) > maxFirst || len(said) != 3 {
		return Credential{}, errForm
	}
	binding, err1 := base64.StdEncoding.DecodeString(after(said[0], "c="))
	proof, err2 := base64.StdEncoding.DecodeString(after(said[2], "p="))
	if err1 != nil || err2 != nil || said[1] != "r="+s.both {
		return Credential{}, errForm
	}
	want := []byte(s.gs2)
	if s.plus {
		want = append(want, s.o.Binding...)
	}
	if !hmac.Equal(binding, want) {
		return Credential{}, errBinding
	}
	return Credential{Name: s.name, Exchange: s.bare + "," + s.own + "," + said[0] + "," + said[1], Proof: proof}, nil
}

// exchange is what was said, as home reads it again.
type exchange struct {
	name       string
	salt       []byte
	iterations int
	made       time.Time // when the server's nonce was made
	bound      bool      // to a channel
}

// parseExchange takes an AuthMessage apart that a front has put together.
func parseExchange(text string) (x exchange, err error) {
	p := strings.Split(text, ",")
	if len(text) > 3*maxFirst || len(p) != 7 {
		return x, errForm
	}
	name, ok := unescape(after(p[0], "n="))
	client, both, last := after(p[1], "r="), after(p[2], "r="), after(p[6], "r=")
	own, follows := strings.CutPrefix(both, client)
	nonce, err1 := base64.RawURLEncoding.DecodeString(own)
	salt, err2 := base64.StdEncoding.DecodeString(after(p[3], "s="))
	n, err3 := strconv.Atoi(after(p[4], "i="))
	binding, err4 := base64.StdEncoding.DecodeString(after(p[5], "c="))
	if !ok || client == "" || !follows || last != both || err1 != nil || err2 != nil || err3 != nil || err4 != nil || len(nonce) != nonceSize || len(binding) == 0 {
		return x, errForm
	}
	return exchange{name, salt, n, time.Unix(int64(binary.BigEndian.Uint64(nonce)), 0), binding[0] == 'p'}, nil
}

func newNonce(now time.Time) string {
	b := make([]byte, nonceSize)
	binary.BigEndian.PutUint64(b, uint64(now.Unix()))
	rand.Read(b[8:])
	return base64.RawURLEncoding.EncodeToString(b)
}

// after is what stands behind a prefix, "" if something else does.
func after(s, prefix string) string {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return ""
	}
	return rest
}

func isNonce(s string) bool {
	return s != "" && len(s) <= maxNonce && strings.IndexFunc(s, func(r rune) bool { return r < '!' || r > '~' || r == ',' }) < 0
}

// unescape reads a saslname: "=2C" is a comma, "=3D" an equals sign, and no other one stands in it.
func unescape(s string) (string, bool) {
	if strings.Count(s, "=") != strings.Count(s, "=2C")+strings.Count(s, "=3D") {
		return "", false
	}
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s), true
}

var (
	errForm      = domicile.E("login", domicile.Invalid, "the response is malformed")
	errDowngrade = domicile.E("login", domicile.Invalid, "channel binding was offered, and the client has not seen it: somebody may be in between")
	errBinding   = domicile.E("login", domicile.Invalid, "the channel is another one: somebody may be in between")
)

// Bound says whether a credential is bound to the channel that it came by (SCRAM-SHA-256-PLUS).
func Bound(c Credential) bool {
	x, err := parseExchange(c.Exchange)
	return err == nil && x.bound
}
