package keys

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/text/secure/precis"

	"domicile"
)

const (
	scramIterations = 65536      // of every verifier that is made
	scramSalt       = 16         // bytes
	maxScram        = 256        // bytes of a verifier
	appPrefix       = "$sha256$" // of what is kept of an app password
	saltLabel       = "domicile/scram-salt/v1\x00"
	appLabel        = "domicile/app-password/v1\x00"
	clientWord      = "Client Key" // RFC 5802 3
	serverWord      = "Server Key"
)

// Passwords makes and checks what is kept of passwords. Safe for concurrent use.
type Passwords struct{ names []byte }

// NewPasswords uses the key that all regions of a cluster share (LoadNames) for the salts of SCRAM alone: a name has one salt in all of
// them, whether it exists or not.
func NewPasswords(names []byte) *Passwords { return &Passwords{names} }

// Prepare brings a password to the form that is hashed (OpaqueString, RFC 8265 4.2). Invalid for one that has no such form.
func Prepare(password string) (string, error) {
	p, err := precis.OpaqueString.String(password)
	if err != nil {
		return "", domicile.E("password", domicile.Invalid, "it has characters that no password may have (RFC 8265)")
	}
	return p, nil
}

// Hash returns what is kept of a password for logins that send it: a PHC string of argon2id. See HashPassword.
func (p *Passwords) Hash(password string) (string, error) {
	prepared, err := Prepare(password)
	if err != nil {
		return "", err
	}
	return HashPassword(prepared)
}

// Check holds a password against what is kept of it, see CheckPassword. One that was set by a release that did not prepare passwords is
// checked as it was given too, which costs as much again: by what was given alone, never by what is kept.
func (p *Passwords) Check(kept, password string) (bool, error) {
	prepared, err := Prepare(password)
	if err != nil || prepared == password {
		return CheckPassword(kept, password)
	}
	ok, err := CheckPassword(kept, prepared)
	old, oldErr := CheckPassword(kept, password)
	if ok || err != nil {
		return ok, err
	}
	return old, oldErr
}

// Salt is that of a name, an address in its canonical form or any other text: random to whoever has not the cluster's key for names. The
// iterations are the same for all names, so that a client is told the same of one that does not exist.
func (p *Passwords) Salt(name string) (salt []byte, iterations int) {
	return mac(p.names, saltLabel+name)[:scramSalt], scramIterations
}

// Verifier returns what is kept of the password of a name for SCRAM-SHA-256, which nobody can log in with. Its form is
// "SCRAM-SHA-256$65536:SALT$STOREDKEY:SERVERKEY", each in base64. It takes some tens of milliseconds.
func (p *Passwords) Verifier(name, password string) (string, error) {
	prepared, err := Prepare(password)
	if err != nil {
		return "", err
	}
	salt, iterations := p.Salt(name)
	return verifier(prepared, salt, iterations)
}

func verifier(password string, salt []byte, iterations int) (string, error) {
	argonSlots <- struct{}{}
	defer func() { <-argonSlots }()
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", domicile.W("make a verifier", err)
	}
	stored := sha256.Sum256(mac(salted, clientWord))
	b := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b(salt), b(stored[:]), b(mac(salted, serverWord))), nil
}

// Proof holds a client's proof over an exchange (AuthMessage, RFC 5802 3), in which it was told salt and iterations, against a verifier, and
// returns the signature that proves the server to the client. An empty verifier, or a damaged one, costs the same and fits nothing.
func (p *Passwords) Proof(kept string, salt []byte, iterations int, exchange string, proof []byte) (signature []byte, ok bool) {
	wantSalt, wantIterations, stored, server, known := parseVerifier(kept)
	key := mac(stored, exchange)
	fits := len(proof) == len(key)
	for i := range key {
		if fits {
			key[i] ^= proof[i]
		}
	}
	got := sha256.Sum256(key)
	signature = mac(server, exchange)
	fits = fits && known && iterations == wantIterations && hmac.Equal(salt, wantSalt)
	return signature, subtle.ConstantTimeCompare(got[:], stored) == 1 && fits
}

// parseVerifier gives zeros, and not known, for what Verifier did not write.
func parseVerifier(s string) (salt []byte, iterations int, stored, server []byte, known bool) {
	zero := make([]byte, sha256.Size)
	fields := strings.FieldsFunc(s, func(r rune) bool { return r == '$' || r == ':' })
	if len(s) > maxScram || len(fields) != 5 || fields[0] != "SCRAM-SHA-256" {
		return nil, 0, zero, zero, false
	}
	iterations, err := strconv.Atoi(fields[1])
	raw := [3][]byte{}
	for i := range raw {
		var bad error
		if raw[i], bad = base64.StdEncoding.Strict().DecodeString(fields[i+2]); bad != nil {
			err = bad
		}
	}
	if err != nil || iterations < 1 || len(raw[1]) != sha256.Size || len(raw[2]) != sha256.Size {
		return nil, 0, zero, zero, false
	}
	return raw[0], iterations, raw[1], raw[2], true
}

// NewApp makes an app password, of 130 random bits in groups of small letters and digits, and what is kept of it: a plain hash, as nobody can try
// that many.
func (p *Passwords) NewApp() (password, kept string) {
	text := strings.ToLower(rand.Text())
	password = strings.Join([]string{text[:5], text[5:10], text[10:15], text[15:20], text[20:]}, "-")
	return password, appHash(password)
}

// CheckApp holds a password against what is kept of an app password, in constant time. "" fits nothing.
func (p *Passwords) CheckApp(kept, password string) bool {
	return subtle.ConstantTimeCompare([]byte(kept), []byte(appHash(password))) == 1
}

func appHash(password string) string {
	sum := sha256.Sum256([]byte(appLabel + password))
	return appPrefix + raw64.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
