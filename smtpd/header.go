package smtpd

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"net/mail"
	"strings"

	"github.com/emersion/go-smtp"
)

const (
	maxSubmitHeader = 256 << 10 // bytes of a submitted header
	maxFields       = 2000      // fields in it
)

// header is a submitted header: its fields as they came, each with its folded lines and line ends.
type header struct {
	fields [][]byte
	end    []byte // the empty line behind it; nil if the message ends with its header
}

func badHeader(text string) error {
	return reply(554, smtp.EnhancedCode{5, 6, 0}, text)
}

// readHeader reads up to the body. What is no field ends nothing here: two programs that part header and body at different lines
// would see two messages. An error that is no *smtp.SMTPError is one of reading.
func readHeader(r *bufio.Reader) (*header, error) {
	h := &header{}
	for size := 0; ; {
		line, err := r.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return h, nil
		}
		if err == bufio.ErrBufferFull {
			return nil, badHeader("The header has a line over 64 KiB")
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		if size += len(line); size > maxSubmitHeader || len(h.fields) > maxFields {
			return nil, badHeader("The header is larger than 256 KiB, or has over 2000 fields")
		}
		switch {
		case string(line) == "\r\n":
			h.end = []byte("\r\n")
			return h, nil
		case line[0] == ' ' || line[0] == '\t':
			if len(h.fields) == 0 {
				return nil, badHeader("The header begins with a folded line")
			}
			last := &h.fields[len(h.fields)-1]
			*last = append(*last, line...)
		case fieldName(line) == "":
			return nil, badHeader("The header has a line that is no field; an empty line stands before the body")
		default:
			h.fields = append(h.fields, bytes.Clone(line))
		}
	}
}

// fieldName returns a field's name in lower case, "" for what is no field. White space before the colon (RFC 5322 4.5) is not
// taken: programs differ about it.
func fieldName(field []byte) string {
	i := bytes.IndexByte(field, ':')
	if i <= 0 {
		return ""
	}
	for _, c := range field[:i] {
		if c <= ' ' || c > '~' {
			return ""
		}
	}
	return strings.ToLower(string(field[:i]))
}

// values returns the unfolded values of all fields of a name.
func (h *header) values(name string) (out []string) {
	for _, f := range h.fields {
		if fieldName(f) == name {
			v := bytes.ReplaceAll(f[len(name)+1:], []byte("\r\n"), nil)
			out = append(out, strings.Trim(string(v), " \t"))
		}
	}
	return out
}

// remove takes all fields of a name out.
func (h *header) remove(name string) {
	kept := h.fields[:0]
	for _, f := range h.fields {
		if fieldName(f) != name {
			kept = append(kept, f)
		}
	}
	h.fields = kept
}

// anyCharset leaves words in charsets that we do not read as they are: only the address behind them counts.
var anyCharset = mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil }}}

// check refuses a header that speaks in another's name: who wrote and who sent it must be its sender, by what own says of an
// address. From stands there once (RFC 5322 3.6).
func (h *header) check(own func(address string) bool) error {
	forged := func(name string) error {
		return reply(550, smtp.EnhancedCode{5, 7, 1}, "The header field "+name+" must be there once, with your own address and no other")
	}
	if len(h.values("from")) != 1 {
		return forged("From")
	}
	for _, f := range []struct{ name, title string }{{"from", "From"}, {"sender", "Sender"}, {"resent-from", "Resent-From"}, {"resent-sender", "Resent-Sender"}} {
		all := h.values(f.name)
		if len(all) > 1 {
			return forged(f.title)
		}
		for _, v := range all {
			list, err := anyCharset.ParseList(v)
			if err != nil || len(list) == 0 {
				return forged(f.title)
			}
			for _, a := range list {
				if !own(a.Address) {
					return forged(f.title)
				}
			}
		}
	}
	return nil
}

// complete makes a header what RFC 6409 8 lets a submission server make of it: Date and Message-ID are added if they are not
// there, and Bcc is taken out, in which some programs leave the names of recipients whom the others are not to know (RFC 5322
// 3.6.3). What is added stands in front, what is kept stays as it came.
func (h *header) complete(date, id string) []byte {
	h.remove("bcc")
	h.remove("resent-bcc")
	var out []byte
	if len(h.values("message-id")) == 0 {
		out = append(out, "Message-ID: <"+id+">\r\n"...)
	}
	if len(h.values("date")) == 0 {
		out = append(out, "Date: "+date+"\r\n"...)
	}
	for _, f := range h.fields {
		out = append(out, f...)
	}
	return append(out, h.end...)
}
