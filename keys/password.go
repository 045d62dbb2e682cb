package keys

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"

	"domicile"

	"golang.org/x/crypto/argon2"
)

// The parameters of new hashes (OWASP's and RFC 9106's way of choosing: as much as a login may cost). Old hashes keep
// theirs, which stand in the PHC string.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	saltSize     = 16
	hashSize     = 32
)

// What a PHC string may ask for, so that a bad index cannot stop the node.
const (
	maxMemory   = 256 << 10 // KiB
	maxTime     = 8
	maxThreads  = 4
	maxPHC      = 256  // bytes
	maxPassword = 1024 // bytes
)

var raw64 = base64.RawStdEncoding.Strict()

// argonSlots bounds how many hashes are computed at once: each takes memory and a whole core.
var argonSlots = make(chan struct{}, max(1, min(8, runtime.GOMAXPROCS(0))))

// unknown is what the password of a user who does not exist is checked against.
var unknown = phc{memory: argonMemory, time: argonTime, threads: argonThreads, salt: make([]byte, saltSize), hash: make([]byte, hashSize)}

// phc is a parsed "$argon2id$v=19$m=…,t=…,p=…$salt$hash" (the PHC string format).
type phc struct {
	memory, time uint32
	threads      uint8
	salt, hash   []byte
}

// HashPassword returns a PHC string of argon2id (RFC 9106) with a fresh salt. A password has 1 to 1024 bytes. It waits
// while too many others are being computed.
func HashPassword(password string) (string, error) {
	if password == "" || len(password) > maxPassword {
		return "", domicile.E("hash password", domicile.Invalid, "a password has 1 to 1024 bytes")
	}
	p := unknown
	p.salt = make([]byte, saltSize)
	rand.Read(p.salt)
	p.hash = p.compute(password)
	return p.String(), nil
}

// CheckPassword says whether password belongs to a PHC string, in constant time. For an empty or damaged one (an unknown
// user) it takes as long as for a new hash and says no; a damaged one is also an error (domicile.Invalid). It waits while
// too many others are being computed.
func CheckPassword(s, password string) (bool, error) {
	p, err := parsePHC(s)
	if err != nil || s == "" {
		p = unknown
	}
	tooLong := len(password) > maxPassword
	if tooLong {
		password = password[:maxPassword]
	}
	same := subtle.ConstantTimeCompare(p.compute(password), p.hash) == 1
	return same && err == nil && s != "" && !tooLong, err
}

// compute hashes under one of the slots.
func (p phc) compute(password string) []byte {
	argonSlots <- struct{}{}
	defer func() { <-argonSlots }()
	return argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, uint32(len(p.hash)))
}

func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads,
		raw64.EncodeToString(p.salt), raw64.EncodeToString(p.hash))
}

// parsePHC accepts exactly what String writes, within the bounds. "" is no error: it stands for an unknown user.
func parsePHC(s string) (phc, error) {
	var p phc
	if s == "" {
		return p, nil
	}
	bad := domicile.E("check password", domicile.Invalid, "the stored password hash is damaged; set the password anew")
	fields := strings.Split(s, "$")
	if len(s) > maxPHC || len(fields) != 6 {
		return p, bad
	}
	if n, err := fmt.Sscanf(fields[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); n != 3 || err != nil {
		return p, bad
	}
	var err1, err2 error
	p.salt, err1 = raw64.DecodeString(fields[4])
	p.hash, err2 = raw64.DecodeString(fields[5])
	switch {
	case err1 != nil, err2 != nil, p.String() != s,
		p.memory < 8*uint32(p.threads), p.memory > maxMemory, p.time < 1, p.time > maxTime, p.threads < 1, p.threads > maxThreads,
		len(p.salt) < 8, len(p.salt) > 64, len(p.hash) < 16, len(p.hash) > 64:
		return p, bad
	}
	return p, nil
}
