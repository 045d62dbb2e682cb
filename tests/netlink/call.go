package netlink

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Call is one call between two nodes, as it crossed.
type Call struct {
	Link
	Method string    // such as "delivery/store"
	Case   string    // of the header field Domicile-Case
	At     time.Time // when its first byte crossed
	Fields []string  // every other header field of both directions, "name: value"

	Request  []byte // the frames, as sent
	Header   []byte // the caller's JSON
	Body     []byte // what the data frames carried
	Ended    bool   // the closing frame crossed, and its length and digest are right
	Status   string // "" if no answer crossed
	Answer   []byte
	Answered time.Time // when the answer's first byte crossed
	Whole    bool      // request and answer crossed to their ends

	// Of a session between nodes Body is what the client sent; Back what home sent to it, behind Reply; and Note who logged in on
	// a connection that was passed through.
	Back, Reply, Note []byte
	BodyAt, BackAt    time.Time // when the first byte of each crossed

	requestAt, answerAt stamps
}

// Session reports whether the call is a session between nodes.
func (c *Call) Session() bool { return strings.HasPrefix(c.Method, "session/") }

// Digest is the SHA-256 of Body.
func (c *Call) Digest() [32]byte { return sha256.Sum256(c.Body) }

// The header fields that a call and its answer may have, and their values: nothing else can travel in them.
var fieldForms = map[string]*regexp.Regexp{
	":method": regexp.MustCompile(`^POST$`), ":scheme": regexp.MustCompile(`^https$`), ":authority": regexp.MustCompile(`^[0-9.]+:[0-9]+$`),
	":path": regexp.MustCompile(`^/rpc/1/[a-z/-]{1,64}$`), ":status": regexp.MustCompile(`^[0-9]{3}$`),
	"domicile-case": regexp.MustCompile(`^[a-z0-9-]{1,64}$`), "user-agent": regexp.MustCompile(`^Go-http-client/2\.0$`),
	"content-type": regexp.MustCompile(`^application/(json|octet-stream)$`), "content-length": regexp.MustCompile(`^[0-9]{1,9}$`),
	"date": regexp.MustCompile(`^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT$`),
}

// readCalls takes the two directions of a connection apart. A connection that was cut gives what crossed of each call.
func readCalls(c *conn, authority string) ([]Call, error) {
	r := &callReader{conn: c, authority: authority, calls: map[uint32]*Call{}, ends: map[uint32]int{}}
	errs := []error{r.read(c.there, true), r.read(c.backAgain, false)}
	var out []Call
	for _, id := range slices.Sorted(maps.Keys(r.calls)) {
		k := r.calls[id]
		if err := k.open(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", k.Method, err))
		}
		k.Whole = k.Ended && r.ends[id] == 2
		out = append(out, *k)
	}
	return out, errors.Join(errs...)
}

type callReader struct {
	conn      *conn
	authority string
	calls     map[uint32]*Call
	ends      map[uint32]int // directions of the stream that ended well
}

// counter counts what was read.
type counter struct {
	r io.Reader
	n int
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}

// read reads one direction. Only frames that carry calls, or nothing of anybody's choice, are known.
func (r *callReader) read(s *side, request bool) error {
	data, skipped := s.data, 0
	if request {
		rest, ok := bytes.CutPrefix(data, []byte(http2.ClientPreface))
		if !ok {
			if bytes.HasPrefix([]byte(http2.ClientPreface), data) { // cut before anything was said
				return nil
			}
			return errors.New("it is not HTTP/2")
		}
		skipped, data = len(data)-len(rest), rest
	}
	in := &counter{r: bytes.NewReader(data)}
	f := http2.NewFramer(io.Discard, in)
	f.SetMaxReadFrameSize(1 << 20)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		at := s.when(skipped + in.n)
		frame, err := f.ReadFrame()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the end, or where it was cut
			return nil
		}
		if err == nil {
			err = r.frame(frame, request, at)
		}
		if err != nil {
			return err
		}
	}
}

func (r *callReader) frame(frame http2.Frame, request bool, at time.Time) error {
	id := frame.Header().StreamID
	if frame.Header().Flags.Has(http2.FlagDataPadded) && (frame.Header().Type == http2.FrameData || frame.Header().Type == http2.FrameHeaders) {
		return errors.New("a frame is padded")
	}
	switch x := frame.(type) {
	case *http2.MetaHeadersFrame:
		return r.headers(x, request, at)
	case *http2.DataFrame:
		k := r.calls[id]
		if k == nil {
			return errors.New("bytes of no call")
		}
		if request {
			k.requestAt = append(k.requestAt, mark{len(k.Request), at})
			k.Request = append(k.Request, x.Data()...)
		} else {
			k.answerAt = append(k.answerAt, mark{len(k.Answer), at})
			k.Answer = append(k.Answer, x.Data()...)
		}
		if x.StreamEnded() {
			r.ends[id]++
		}
	case *http2.GoAwayFrame:
		if debug := string(x.DebugData()); debug != "" && debug != "graceful_stop" {
			return fmt.Errorf("a farewell says %.60q", debug)
		}
	case *http2.SettingsFrame, *http2.WindowUpdateFrame, *http2.PingFrame, *http2.RSTStreamFrame:
	default:
		return fmt.Errorf("a frame of type %s", frame.Header().Type)
	}
	return nil
}

// headers reads the fields of a call, or of its answer.
func (r *callReader) headers(x *http2.MetaHeadersFrame, request bool, at time.Time) error {
	k := r.calls[x.StreamID]
	if request {
		if k != nil {
			return errors.New("a call has fields behind its body")
		}
		k = &Call{Link: r.conn.link, At: at}
		r.calls[x.StreamID] = k
	} else if k == nil || k.Status != "" {
		return errors.New("an answer to no call, or a second one")
	}
	for _, f := range x.Fields {
		form := fieldForms[f.Name]
		if form == nil || !form.MatchString(f.Value) {
			return fmt.Errorf("a header field %.60q: %.60q", f.Name, f.Value)
		}
		switch f.Name {
		case ":path":
			k.Method = strings.TrimPrefix(f.Value, "/rpc/1/")
		case ":status":
			k.Status, k.Answered = f.Value, at
		case "domicile-case":
			k.Case = f.Value
		case ":authority":
			if f.Value != r.authority {
				return fmt.Errorf("a call for %s, which is another node", f.Value)
			}
		default:
			k.Fields = append(k.Fields, f.Name+": "+f.Value)
		}
	}
	if x.StreamEnded() {
		r.ends[x.StreamID]++
	}
	return nil
}

// open takes the request's frames apart, as docs/FORMATS.md has them.
func (k *Call) open() error {
	if k.Session() {
		return k.openSession()
	}
	rest := k.Request
	for first := true; len(rest) > 0; first = false {
		kind := rest[0]
		if first != (kind == 'H') || k.Ended {
			return errors.New("a frame out of order")
		}
		switch kind {
		case 'K':
			rest = rest[1:]
		case 'H', 'D':
			if len(rest) < 5 {
				return nil // cut
			}
			size := int(binary.BigEndian.Uint32(rest[1:5]))
			if size > 64<<10 {
				return errors.New("a frame over 64 KiB")
			}
			part := rest[5:min(len(rest), 5+size)]
			if rest = rest[5+len(part):]; kind == 'D' {
				k.Body = append(k.Body, part...)
			} else {
				k.Header = part
			}
		case 'E':
			if len(rest) < 41 {
				return nil // cut
			}
			if k.Ended = binary.BigEndian.Uint64(rest[1:9]) == uint64(len(k.Body)) && [32]byte(rest[9:41]) == k.Digest(); !k.Ended {
				return errors.New("the closing frame is not that of the body")
			}
			rest = rest[41:]
		default:
			return fmt.Errorf("a frame of kind %q", kind)
		}
	}
	return nil
}
