package bolt

import (
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
	plain := sum.AppendBinary(make([]byte, 0, 1<<10))
	packed := make([]byte, 1+s2.MaxEncodedLen(len(plain)))
	packed[0] = packedSummary
	n := 1 + len(summaryDict.Encode(packed[1:], plain))
	if n < len(plain) {
		return packed[:n]
	}
	return plain
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
