package storetest

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"domicile"
	"domicile/store"
)

// Sealer seals with AES-256-GCM under keys derived from one seed, and keeps in
// memory which accounts have a key. Two with the same seed open each other's
// bytes, so a second process can, too. For tests only.
type Sealer struct {
	seed [32]byte

	mu    sync.Mutex
	keys  map[domicile.AccountID]bool        // guarded by mu; false = destroyed
	aeads map[domicile.AccountID]cipher.AEAD // guarded by mu; those for records that were made so far
}

var _ store.Sealer = (*Sealer)(nil)

// NewSealer makes a sealer without account keys.
func NewSealer(seed string) *Sealer {
	return &Sealer{seed: sha256.Sum256([]byte(seed)), keys: map[domicile.AccountID]bool{}, aeads: map[domicile.AccountID]cipher.AEAD{}}
}

// CreateAccountKey keeps a key that is there.
func (s *Sealer) CreateAccountKey(id domicile.AccountID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[id] = true
	return nil
}

// DestroyAccountKey makes SealTo, OpenFrom, SealRecord and OpenRecord fail for id.
func (s *Sealer) DestroyAccountKey(id domicile.AccountID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[id] = false
	return nil
}

// HasKey says whether the account has a key now.
func (s *Sealer) HasKey(id domicile.AccountID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[id]
}

func (s *Sealer) mac(purpose string, parts ...string) []byte {
	m := hmac.New(sha256.New, s.seed[:])
	for _, p := range append([]string{purpose}, parts...) {
		fmt.Fprintf(m, "%d:%s", len(p), p)
	}
	return m.Sum(nil)
}

// Digest is HMAC-SHA-256 under the seed.
func (s *Sealer) Digest(purpose string, parts ...string) []byte {
	return s.mac("digest", append([]string{purpose}, parts...)...)
}

// aead gives the cipher of an account, or of the region if id is "", for one use.
func (s *Sealer) aead(id domicile.AccountID, use string) (cipher.AEAD, error) {
	if id != "" && !s.HasKey(id) {
		return nil, domicile.E("test sealer", domicile.NotExist, "the account has no key")
	}
	block, err := aes.NewCipher(s.mac("key", string(id), use))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// record gives the cipher of an account's records, made once.
func (s *Sealer) record(id domicile.AccountID) (cipher.AEAD, error) {
	s.mu.Lock()
	a, alive := s.aeads[id], id == "" || s.keys[id]
	s.mu.Unlock()
	if alive && a != nil {
		return a, nil
	}
	a, err := s.aead(id, "record")
	if err == nil {
		s.mu.Lock()
		s.aeads[id] = a
		s.mu.Unlock()
	}
	return a, err
}

// SealRecord gives nonce and ciphertext.
func (s *Sealer) SealRecord(id domicile.AccountID, plaintext, associated []byte) ([]byte, error) {
	a, err := s.record(id)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, a.NonceSize())
	rand.Read(nonce)
	return a.Seal(nonce, nonce, plaintext, associated), nil
}

// OpenRecord is the inverse of SealRecord.
func (s *Sealer) OpenRecord(id domicile.AccountID, sealed, associated []byte) ([]byte, error) {
	a, err := s.record(id)
	if err != nil {
		return nil, err
	}
	if len(sealed) < a.NonceSize() {
		return nil, errors.New("test sealer: record too short")
	}
	return a.Open(nil, sealed[:a.NonceSize()], sealed[a.NonceSize():], associated)
}

const (
	saltSize    = 32
	segmentSize = 16 << 10
)

// stream seals or opens segments in order. The nonce counts them and marks the
// last, so that none can be dropped, swapped or cut off.
type stream struct {
	aead       cipher.AEAD
	associated []byte
	n          uint64
}

func (s *stream) nonce(last bool) []byte {
	b := make([]byte, s.aead.NonceSize())
	binary.BigEndian.PutUint64(b, s.n)
	s.n++
	if last {
		b[len(b)-1] = 1
	}
	return b
}

type sealWriter struct {
	stream
	w   io.Writer
	buf []byte
}

// SealTo writes a salt, then segments of 16 KiB; Close writes the last.
func (s *Sealer) SealTo(id domicile.AccountID, w io.Writer, associated []byte) (io.WriteCloser, error) {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	a, err := s.aead(id, string(salt))
	if err != nil {
		return nil, err
	}
	_, err = w.Write(salt)
	return &sealWriter{stream: stream{aead: a, associated: associated}, w: w}, err
}

func (w *sealWriter) Write(p []byte) (int, error) {
	all := append(w.buf, p...)
	for len(all) > segmentSize { // the last segment waits for Close
		if _, err := w.w.Write(w.aead.Seal(nil, w.nonce(false), all[:segmentSize], w.associated)); err != nil {
			return 0, err
		}
		all = all[segmentSize:]
	}
	w.buf = append([]byte(nil), all...)
	return len(p), nil
}

func (w *sealWriter) Close() error {
	_, err := w.w.Write(w.aead.Seal(nil, w.nonce(true), w.buf, w.associated))
	return err
}

type openReader struct {
	stream
	r    *bufio.Reader
	buf  []byte
	done bool
}

// OpenFrom is the inverse of SealTo.
func (s *Sealer) OpenFrom(id domicile.AccountID, r io.Reader, associated []byte) (io.Reader, error) {
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(r, salt); err != nil {
		return nil, err
	}
	a, err := s.aead(id, string(salt))
	if err != nil {
		return nil, err
	}
	return &openReader{stream: stream{aead: a, associated: associated}, r: bufio.NewReader(r)}, nil
}

func (r *openReader) Read(p []byte) (int, error) {
	for len(r.buf) == 0 {
		if r.done {
			return 0, io.EOF
		}
		segment := make([]byte, segmentSize+r.aead.Overhead())
		n, err := io.ReadFull(r.r, segment)
		if err != nil && err != io.ErrUnexpectedEOF {
			return 0, errors.New("test sealer: stream is cut")
		}
		_, err = r.r.Peek(1)
		r.done = err != nil
		if r.buf, err = r.aead.Open(nil, r.nonce(r.done), segment[:n], r.associated); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}
