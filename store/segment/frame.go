package segment

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

const (
	magic      = "domicile/segment"
	format     = 1
	fileHeader = 32
	frameMagic = "DmF1"
	header     = 36

	// MaxPayload bounds a frame.
	MaxPayload = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Place is where a payload lies. The zero Place is none.
type Place struct {
	Segment uint32
	Offset  uint32 // of the payload in the file
	Length  uint32
}

// Frame is one frame as it was read. Payload is valid until the callback returns.
type Frame struct {
	Kind    byte
	LSN     uint64
	Place   Place
	Payload []byte
}

// Bytes is what a payload of a length takes in a file.
func Bytes(length int) int64 { return int64(header + length) }

func appendFrame(b []byte, kind byte, lsn, durable uint64, payload []byte) []byte {
	at := len(b)
	b = append(b, frameMagic...)
	b = append(b, kind, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = binary.BigEndian.AppendUint64(b, lsn)
	b = binary.BigEndian.AppendUint64(b, durable)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(payload, castagnoli))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
	return append(b, payload...)
}

type frameHeader struct {
	kind         byte
	length       uint32
	lsn, durable uint64
	sum          uint32
}

var errFrame = errors.New("not a frame")

func parseHeader(b []byte) (h frameHeader, err error) {
	if len(b) < header || string(b[:4]) != frameMagic || crc32.Checksum(b[:32], castagnoli) != binary.BigEndian.Uint32(b[32:]) {
		return h, errFrame
	}
	h = frameHeader{kind: b[4], length: binary.BigEndian.Uint32(b[8:]), lsn: binary.BigEndian.Uint64(b[12:]),
		durable: binary.BigEndian.Uint64(b[20:]), sum: binary.BigEndian.Uint32(b[28:])}
	if h.length > MaxPayload || h.lsn == 0 || h.durable >= h.lsn {
		return h, errFrame
	}
	return h, nil
}

// parseFrame reads the frame at the start of b. whole is false if its header is good and its payload is cut or altered.
func parseFrame(b []byte) (h frameHeader, whole bool, err error) {
	if h, err = parseHeader(b); err != nil {
		return h, false, err
	}
	if int64(len(b)) < Bytes(int(h.length)) {
		return h, false, nil
	}
	return h, crc32.Checksum(b[header:header+int(h.length)], castagnoli) == h.sum, nil
}

// nextFrame finds the first good header behind at, or returns len(b).
func nextFrame(b []byte, at int) int {
	for at < len(b) {
		i := bytes.Index(b[at:], []byte(frameMagic))
		if i < 0 {
			return len(b)
		}
		at += i
		if _, err := parseHeader(b[at:]); err == nil {
			return at
		}
		at++
	}
	return len(b)
}

func appendFileHeader(b []byte, number uint32, first uint64) []byte {
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint32(b, format)
	b = binary.BigEndian.AppendUint32(b, number)
	return binary.BigEndian.AppendUint64(b, first)
}
