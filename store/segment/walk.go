package segment

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"domicile"
)

// Walk reads one file of a log, without the others, and calls fn with each frame: first is the LSN of its first frame and next the one behind its last. It is Invalid
// if a byte is not as it was written. A frame that is cut off by the end of the file ends the walk; a file without a byte, whose
// first group was never there, has no frames, and both are 0.
func Walk(r io.Reader, fn func(Frame) error) (first, next uint64, err error) {
	in := bufio.NewReaderSize(r, 1<<20)
	var head [fileHeader]byte
	n, err := io.ReadFull(in, head[:])
	if n == 0 && err == io.EOF {
		return 0, 0, nil
	}
	if err != nil || string(head[:len(magic)]) != magic || binary.BigEndian.Uint32(head[16:]) > format {
		return 0, 0, domicile.E("read segment", domicile.Invalid, "it does not begin as a segment of this release")
	}
	number := binary.BigEndian.Uint32(head[20:])
	first = binary.BigEndian.Uint64(head[24:])
	var payload []byte
	for next, at := first, int64(fileHeader); ; next++ {
		var b [header]byte
		if _, err := io.ReadFull(in, b[:]); err == io.EOF || err == io.ErrUnexpectedEOF {
			return first, next, nil
		} else if err != nil {
			return first, next, err
		}
		h, err := parseHeader(b[:])
		if err != nil || h.lsn != next {
			return first, next, damagedAt(number, at)
		}
		if int(h.length) > cap(payload) {
			payload = make([]byte, h.length)
		}
		payload = payload[:h.length]
		if _, err := io.ReadFull(in, payload); err == io.EOF || err == io.ErrUnexpectedEOF {
			return first, next, nil
		} else if err != nil {
			return first, next, err
		}
		if crc32.Checksum(payload, castagnoli) != h.sum {
			return first, next, damagedAt(number, at)
		}
		if err := fn(Frame{h.kind, h.lsn, Place{number, uint32(at) + header, h.length}, payload}); err != nil {
			return first, next, err
		}
		at += Bytes(int(h.length))
	}
}

func damagedAt(number uint32, at int64) error {
	return domicile.E("read segment", domicile.Invalid, fmt.Sprintf("%s is damaged at byte %d", name(number), at))
}
