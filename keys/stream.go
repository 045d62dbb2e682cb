package keys

import (
	"io"

	"domicile"

	"github.com/tink-crypto/tink-go/v2/streamingaead/subtle"
)

// segmentSize is the ciphertext length of a stream's segments, the unit that is held in memory and authenticated.
const segmentSize = 16 << 10

func (k *accountKey) streaming() (*subtle.AESGCMHKDF, error) {
	// The version byte before Tink's header is the offset of the first segment.
	return subtle.NewAESGCMHKDF(k.stream, "SHA256", keySize, segmentSize, 1)
}

// SealTo returns a writer that seals what it is given under the key of account id (of the region if ""), bound to
// associated, and writes it to w. Close ends the stream, without which it will not open, and leaves w open. After an
// error every further call returns it.
func (r *Ring) SealTo(id domicile.AccountID, w io.Writer, associated []byte) (io.WriteCloser, error) {
	k, err := r.key("seal stream", id)
	if err != nil {
		return nil, err
	}
	return k.sealTo(w, associated, r.alive("seal stream", id))
}

// OpenFrom returns a reader of what SealTo sealed under the same id and associated bytes. It hands out only segments
// that it has authenticated; a stream that was cut, altered or moved ends with domicile.Invalid, never with io.EOF. A
// caller must therefore read to io.EOF before it relies on having had all.
func (r *Ring) OpenFrom(id domicile.AccountID, rd io.Reader, associated []byte) (io.Reader, error) {
	k, err := r.key("open stream", id)
	if err != nil {
		return nil, err
	}
	return k.openFrom(rd, associated, r.alive("open stream", id))
}

// sealTo and openFrom are those of a Ring. alive is asked before each piece, and ends the stream with its error; nil always lives.
func (k *accountKey) sealTo(w io.Writer, associated []byte, alive func() error) (io.WriteCloser, error) {
	const op = "seal stream"
	s, err := k.streaming()
	if err != nil {
		return nil, domicile.W(op, err)
	}
	if _, err := w.Write([]byte{sealVersion}); err != nil {
		return nil, domicile.W(op, err)
	}
	in, err := s.NewEncryptingWriter(w, associated)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	return &sealWriter{in: in, alive: alive}, nil
}

func (k *accountKey) openFrom(rd io.Reader, associated []byte, alive func() error) (io.Reader, error) {
	const op = "open stream"
	s, err := k.streaming()
	if err != nil {
		return nil, domicile.W(op, err)
	}
	var version [1]byte
	if _, err := io.ReadFull(rd, version[:]); err != nil || version[0] != sealVersion {
		return nil, domicile.E(op, domicile.Invalid, "not a sealed stream of version 1")
	}
	out, err := s.NewDecryptingReader(rd, associated)
	if err != nil {
		return nil, domicile.E(op, domicile.Invalid, "the header of the sealed stream is cut or damaged")
	}
	return &openReader{out: out, alive: alive}, nil
}

// sealWriter keeps the first error: Tink's writer would go on after one, leaving a hole.
type sealWriter struct {
	in    io.WriteCloser
	alive func() error
	err   error
}

// end keeps the error of a key that was destroyed meanwhile.
func (s *sealWriter) end() error {
	if s.err == nil && s.alive != nil {
		s.err = s.alive()
	}
	return s.err
}

func (s *sealWriter) Write(p []byte) (int, error) {
	if err := s.end(); err != nil {
		return 0, err
	}
	n, err := s.in.Write(p)
	s.err = domicile.W("seal stream", err)
	return n, s.err
}

func (s *sealWriter) Close() error {
	if err := s.end(); err != nil {
		return err
	}
	s.err = domicile.W("seal stream", s.in.Close())
	return s.err
}

// openReader keeps the first error: Tink's reader answers io.EOF to the read after a last segment that did not
// authenticate.
type openReader struct {
	out   io.Reader
	alive func() error
	err   error
}

func (o *openReader) Read(p []byte) (int, error) {
	if o.err != nil || len(p) == 0 {
		return 0, o.err
	}
	if o.alive != nil {
		if o.err = o.alive(); o.err != nil {
			return 0, o.err
		}
	}
	n, err := o.out.Read(p)
	if err != nil && err != io.EOF {
		err = &domicile.Error{Op: "open stream", Kind: domicile.Invalid,
			Detail: "cut, altered, or sealed under another key or for another place", Err: err}
	}
	o.err = err
	return n, err
}
