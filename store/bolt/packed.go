package bolt

import (
	"encoding/binary"

	"github.com/klauspost/compress/s2"

	"domicile"
	"domicile/message"
)

// A summary rests as it is, or as this byte and an s2 block: it says most things twice, as they stand in ENVELOPE and folded, and the rest is much the same in all.
// A version of message.Summary never has this number.
const packedSummary = 0x80

// summaryWords is what blocks of summaries may copy from, before what they have themselves. docs/FORMATS.md has it too: another one is another number than packedSummary.
const summaryWords = `"application" "octet-stream" "pdf" ("name" "filename" "inline" ("format" "flowed" "image" "jpeg" "png" ("attachment" ("filename" "message" "rfc822" NIL NIL NIL "8bit" "alternative" ("boundary" ` +
	`"mixed" ("boundary" "related" ("text" "html" ("charset" "utf-8") NIL NIL "base64" "quoted-printable" "text" "plain" ("charset" "us-ascii" "iso-8859-1") NIL NIL "7bit" NIL NIL NIL NIL)` +
	`noreply@googlegroups.com@outlook.com@gmail.comsupport@info@lists.www.mail.re: fwd: =?utf-8?q?=?utf-8?b?` +
	`("Mon, Tue, Wed, Thu, Fri, Sat, Sun, Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec 2026 2025 2024 00:00:00 -0700" +0200" +0100" +0000" "Re: " (("" NIL "" "")) ((NIL NIL "" ".com")) NIL NIL NIL "<` +
	`.org")) ".net")) ".de")) ` + `("text" "plain" ("charset" "utf-8") NIL NIL "7bit" `

var summaryDict = s2.MakeDict([]byte(summaryWords), nil)

// packSummary gives the bytes of a summary that are sealed.
func packSummary(sum *message.Summary) []byte {
	text := sum.AppendBinary(append(make([]byte, 0, len(summaryWords)+1<<10), summaryWords...))
	plain := text[len(summaryWords):]
	packed := packBlock(append(make([]byte, 0, 1<<9), packedSummary), text)
	if len(packed) < len(plain) {
		return packed
	}
	return plain
}

// packTable is where a text has what begins with four bytes of some hash: the last such place, or 0.
type packTable [1 << packBits]uint16

const packBits = 11

func packHash(four uint32) uint32 { return four * 2654435761 >> (32 - packBits) }

// summaryPlaces is the table of summaryWords.
var summaryPlaces = func() (t packTable) {
	for i := range len(summaryWords) - 3 {
		t[packHash(binary.LittleEndian.Uint32([]byte(summaryWords[i:])))] = uint16(i)
	}
	return t
}()

// packBlock appends the block of what stands behind summaryWords in text, all of it less than 64 KiB. The library makes one too, with a table of 64 KiB, which is more than a
// new goroutine has of a stack and more work to clear than a summary is.
func packBlock(dst, text []byte) []byte {
	const words = len(summaryWords)
	dst = binary.AppendUvarint(dst, uint64(len(text)-words))
	table, done := summaryPlaces, words // what is before done is in dst
	for at := words; at+4 <= len(text); {
		four := binary.LittleEndian.Uint32(text[at:])
		slot := &table[packHash(four)]
		from := int(*slot)
		*slot = uint16(at)
		n := 0
		if binary.LittleEndian.Uint32(text[from:]) == four {
			n = packMatch(text, from, at)
		}
		if n < 4 || n == 4 && at-from >= packNear { // it would be no shorter
			at++
			continue
		}
		for at > done && from > 0 && from != words && text[from-1] == text[at-1] {
			from, at, n = from-1, at-1, n+1
		}
		dst = packCopy(packLiteral(dst, text[done:at]), at-from, n)
		at += n
		done = at
	}
	return packLiteral(dst, text[done:])
}

// packMatch is how many bytes are the same at both places. A copy is of the words or of what is behind them.
func packMatch(text []byte, from, at int) (n int) {
	end := len(text) - at
	if from < len(summaryWords) {
		end = min(end, len(summaryWords)-from)
	}
	for n < end && text[from+n] == text[at+n] {
		n++
	}
	return n
}

func packLiteral(dst, b []byte) []byte {
	switch n := len(b) - 1; {
	case n < 0:
		return dst
	case n < 60:
		dst = append(dst, byte(n)<<2)
	case n < 1<<8:
		dst = append(dst, 60<<2, byte(n))
	default:
		dst = append(dst, 61<<2, byte(n), byte(n>>8))
	}
	return append(dst, b...)
}

const packNear = 1 << 11 // from where on an offset takes two bytes

// packCopy appends copies of n bytes, 4 at least, from so far back.
func packCopy(dst []byte, back, n int) []byte {
	for n > 64 {
		now := min(64, n-4) // four are left for the last one
		dst = append(dst, byte(now-1)<<2|2, byte(back), byte(back>>8))
		n -= now
	}
	if n > 11 || back >= packNear {
		return append(dst, byte(n-1)<<2|2, byte(back), byte(back>>8))
	}
	return append(dst, byte(back>>8)<<5|byte(n-4)<<2|1, byte(back))
}

// unpackSummary is the inverse. It keeps nothing of b.
func unpackSummary(b []byte) (*message.Summary, error) {
	if len(b) == 0 || b[0] != packedSummary {
		return message.ParseSummary(b)
	}
	if n, err := s2.DecodedLen(b[1:]); err != nil || n > message.MaxSummary {
		return nil, errDamaged
	}
	plain, err := summaryDict.Decode(nil, b[1:])
	if err != nil {
		return nil, domicile.W("unpack summary", err)
	}
	return message.ParseSummary(plain)
}
