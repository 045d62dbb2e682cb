package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"domicile"

	"golang.org/x/mod/sumdb/tlog"
)

// Signature types of C2SP signed-note that this package knows.
const (
	algNote   = 1 // Ed25519 over the note's text
	algCosign = 4 // Ed25519 with a time, C2SP tlog-cosignature
)

const (
	maxNote       = 64 << 10 // bytes of a signed checkpoint
	maxSignatures = 32       // lines; C2SP signed-note asks for 16 at least
	sigPrefix     = "— "
	cosignHeader  = "cosignature/v1"
)

var base64Strict = base64.StdEncoding.Strict()

// decode64 accepts canonical standard base64 only: one text for one value.
func decode64(s string) ([]byte, error) {
	b, err := base64Strict.DecodeString(s)
	if err == nil && base64Strict.EncodeToString(b) != s {
		err = fmt.Errorf("base64 not canonical") // DecodeString skips newlines
	}
	return b, err
}

// verifier is a parsed note verifier key.
type verifier struct {
	name string
	id   uint32
	alg  byte
	key  ed25519.PublicKey
}

func newVerifier(name string, alg byte, key []byte) verifier {
	sum := sha256.Sum256(append(append([]byte(name+"\n"), alg), key...))
	return verifier{name: name, id: binary.BigEndian.Uint32(sum[:4]), alg: alg, key: key}
}

// parseVerifier reads "name+hash+base64" (C2SP signed-note) of one signature type.
func parseVerifier(vkey string, alg byte) (verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) == 3 && validName(parts[0]) {
		key, err := decode64(parts[2])
		if err == nil && len(key) == 1+ed25519.PublicKeySize && key[0] == alg {
			if v := newVerifier(parts[0], alg, key[1:]); fmt.Sprintf("%08x", v.id) == parts[1] {
				return v, nil
			}
		}
	}
	return verifier{}, domicile.E("parse verifier key", domicile.Invalid, fmt.Sprintf("not an Ed25519 key name+hash+base64 of signature type %d", alg))
}

// validName is C2SP signed-note's rule for key names; it also keeps them apart from lines.
func validName(name string) bool {
	return name != "" && len(name) <= 200 && utf8.ValidString(name) && !strings.Contains(name, "+") &&
		strings.IndexFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) < 0
}

// signature is one line of a signed note.
type signature struct {
	name string
	id   uint32
	sig  []byte
}

// line is the signature as it stands in a note.
func (s signature) line() string {
	raw := append(binary.BigEndian.AppendUint32(nil, s.id), s.sig...)
	return sigPrefix + s.name + " " + base64Strict.EncodeToString(raw) + "\n"
}

// by says whether the line claims to be of this key.
func (s signature) by(v verifier) bool { return s.name == v.name && s.id == v.id }

// parseSignature reads one signature line, its newline included.
func parseSignature(line string) (signature, error) {
	bad := domicile.E("parse signature", domicile.Invalid, "not a line of a signed note: dash, key name, base64, newline")
	rest, ok1 := strings.CutPrefix(line, sigPrefix)
	rest, ok2 := strings.CutSuffix(rest, "\n")
	name, b64, ok3 := strings.Cut(rest, " ")
	raw, err := decode64(b64)
	if !ok1 || !ok2 || !ok3 || err != nil || !validName(name) || len(raw) < 5 {
		return signature{}, bad
	}
	return signature{name: name, id: binary.BigEndian.Uint32(raw), sig: raw[4:]}, nil
}

// splitNote parts a signed note into its text, final newline included, and its signatures, none of them checked.
func splitNote(msg []byte) (text string, sigs []signature, err error) {
	const op = "parse signed note"
	i := bytes.LastIndex(msg, []byte("\n\n"))
	if len(msg) > maxNote || i < 0 || !utf8.Valid(msg) {
		return "", nil, domicile.E(op, domicile.Invalid, "not UTF-8 text, an empty line and signatures, at most 64 KiB")
	}
	text = string(msg[:i+1])
	lines := strings.SplitAfter(string(msg[i+2:]), "\n")
	if lines[len(lines)-1] != "" || len(lines) < 2 || len(lines)-1 > maxSignatures {
		return "", nil, domicile.E(op, domicile.Invalid, "no signature, over 32, or no newline at the end")
	}
	for _, line := range lines[:len(lines)-1] {
		s, err := parseSignature(line)
		if err != nil {
			return "", nil, domicile.W(op, err)
		}
		sigs = append(sigs, s)
	}
	return text, sigs, nil
}

// Head is what a checkpoint says: a log, its size and its root (C2SP tlog-checkpoint).
type Head struct {
	Origin string
	Size   uint64
	Root   [32]byte
}

// text is the checkpoint's note text.
func (h Head) text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", h.Origin, h.Size, tlog.Hash(h.Root))
}

// parseHead accepts exactly what text writes: no extension lines, which no monitor could check.
func parseHead(text string) (Head, error) {
	bad := domicile.E("parse checkpoint", domicile.Invalid, "not three lines: origin, size, root hash")
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || !validName(lines[0]) {
		return Head{}, bad
	}
	size, err1 := strconv.ParseUint(lines[1], 10, 64)
	root, err2 := decode64(lines[2])
	if err1 != nil || err2 != nil || len(root) != tlog.HashSize || size > maxSize {
		return Head{}, bad
	}
	h := Head{Origin: lines[0], Size: size, Root: [32]byte(root)}
	if h.text() != text {
		return Head{}, bad
	}
	return h, nil
}

// maxSize keeps every tree size and hash index well inside the int64 of package tlog.
const maxSize = 1 << 60

// openCheckpoint verifies a checkpoint by its log's key and returns all signatures on it, in order.
func openCheckpoint(signed []byte, v verifier) (Head, []signature, error) {
	const op = "verify checkpoint"
	text, sigs, err := splitNote(signed)
	if err != nil {
		return Head{}, nil, domicile.W(op, err)
	}
	h, err := parseHead(text)
	if err != nil {
		return Head{}, nil, domicile.W(op, err)
	}
	if h.Origin != v.name {
		return Head{}, nil, domicile.E(op, domicile.Invalid, "it is of another log than the key")
	}
	for _, s := range sigs {
		if s.by(v) {
			if !ed25519.Verify(v.key, []byte(text), s.sig) {
				break
			}
			return h, sigs, nil
		}
	}
	return Head{}, nil, domicile.Refuse(op, domicile.BadSignature, "c2sp/signed-note", "it has no valid signature of the log "+h.Origin)
}

// signCheckpoint returns the signed checkpoint of a head.
func signCheckpoint(h Head, s Signer) ([]byte, error) {
	text := h.text()
	sig, err := s.Sign([]byte(text))
	if err != nil {
		return nil, domicile.W("sign checkpoint", err)
	}
	v := newVerifier(s.Name(), algNote, s.Public())
	if !ed25519.Verify(v.key, []byte(text), sig) {
		return nil, domicile.E("sign checkpoint", domicile.Other, "the signer's signature does not verify under its own public key")
	}
	return []byte(text + "\n" + signature{name: v.name, id: v.id, sig: sig}.line()), nil
}

// cosignMessage is what a cosigner signs (C2SP tlog-cosignature, "Ed25519 signed message").
func cosignMessage(text string, unix uint64) []byte {
	return fmt.Appendf(nil, "%s\ntime %d\n%s", cosignHeader, unix, text)
}

// cosign returns the cosignature of a checkpoint's text.
func cosign(text string, now time.Time, s Signer) (signature, error) {
	unix := uint64(max(0, now.Unix()))
	sig, err := s.Sign(cosignMessage(text, unix))
	if err != nil {
		return signature{}, domicile.W("cosign", err)
	}
	v := newVerifier(s.Name(), algCosign, s.Public())
	return signature{name: v.name, id: v.id, sig: append(binary.BigEndian.AppendUint64(nil, unix), sig...)}, nil
}

// cosigned verifies a cosignature on a checkpoint's text and returns its time.
func (v verifier) cosigned(text string, s signature) (time.Time, bool) {
	if !s.by(v) || v.alg != algCosign || len(s.sig) != 8+ed25519.SignatureSize {
		return time.Time{}, false
	}
	unix := binary.BigEndian.Uint64(s.sig)
	if unix > math.MaxInt64 || !ed25519.Verify(v.key, cosignMessage(text, unix), s.sig[8:]) {
		return time.Time{}, false
	}
	return time.Unix(int64(unix), 0).UTC(), true
}
