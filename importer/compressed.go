package importer

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"io"

	"github.com/klauspost/compress/zstd"
)

// packings are the forms in which Dovecot writes the files of a Maildir where it is told to compress or encrypt: files
// that are no message as they lie there. No header field begins like any of them.
var packings = []struct {
	is     func([]byte) bool
	open   func([]byte) (io.Reader, error) // nil = nothing here reads it
	detail string
}{
	{begins("\x1f\x8b\x08"), func(raw []byte) (io.Reader, error) { return gzip.NewReader(bytes.NewReader(raw)) }, ""},
	{isBzip2, func(raw []byte) (io.Reader, error) { return bzip2.NewReader(bytes.NewReader(raw)), nil }, ""},
	{begins("\x28\xb5\x2f\xfd"), openZstd, ""},
	{begins("Dovecot-LZ4\r\x2a\x9b\xc5"), nil, "it is compressed with LZ4; import it from its server by IMAP"},
	{begins("\xfd7zXZ\x00"), nil, "it is compressed with xz; import it from its server by IMAP"},
	{begins("CRYPTED\x03\x07"), nil, "it is encrypted by Dovecot's mail_crypt; import it from its server by IMAP"},
}

func begins(magic string) func([]byte) bool {
	return func(raw []byte) bool { return bytes.HasPrefix(raw, []byte(magic)) }
}

func isBzip2(raw []byte) bool {
	return len(raw) > 10 && string(raw[:3]) == "BZh" && string(raw[4:10]) == "1AY&SY"
}

func openZstd(raw []byte) (io.Reader, error) {
	d, err := zstd.NewReader(bytes.NewReader(raw), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxMessage), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// uncompressed returns the message in a file's bytes.
func uncompressed(raw []byte) ([]byte, error) {
	for _, m := range packings {
		if !m.is(raw) {
			continue
		}
		if m.open == nil {
			return nil, &Problem{Unreadable, m.detail}
		}
		r, err := m.open(raw)
		if err != nil {
			return nil, err
		}
		return readMost(r)
	}
	return raw, nil
}
