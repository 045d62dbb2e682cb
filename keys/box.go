package keys

import (
	"crypto/aes"
	"crypto/cipher"

	"domicile"
)

const (
	sealVersion = 1
	maxRecord   = 16 << 20 // bytes; what is larger is a stream
)

// Box seals small records: AES-256-GCM with random nonces, versioned (the bytes are in the package comment). Safe for
// concurrent use.
type Box struct{ aead cipher.AEAD }

// newBox makes a box of a 32-byte key.
func newBox(key []byte) *Box {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // only for a key of another length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // only for a cipher of another block size
	}
	return &Box{aead: aead}
}

// Seal encrypts plaintext (at most 16 MiB, else domicile.TooLarge) and binds it to associated: it opens only with the
// same associated bytes. The result is 29 bytes longer.
func (b *Box) Seal(plaintext, associated []byte) ([]byte, error) {
	if len(plaintext) > maxRecord {
		return nil, domicile.E("seal record", domicile.TooLarge, "over 16 MiB; use a stream")
	}
	out := make([]byte, 1, 1+len(plaintext)+b.aead.Overhead())
	out[0] = sealVersion
	return b.aead.Seal(out, nil, plaintext, associated), nil
}

// Open is the inverse of Seal. Anything that was not sealed by this box with the same associated bytes is refused
// (domicile.Invalid); the error does not say what differed, because it cannot know.
func (b *Box) Open(sealed, associated []byte) ([]byte, error) {
	const op = "open sealed record"
	if len(sealed) == 0 || sealed[0] != sealVersion {
		return nil, domicile.E(op, domicile.Invalid, "not a sealed record of version 1")
	}
	plaintext, err := b.aead.Open(nil, nil, sealed[1:], associated)
	if err != nil {
		return nil, domicile.E(op, domicile.Invalid, "altered, cut, or sealed under another key or for another place")
	}
	return plaintext, nil
}
