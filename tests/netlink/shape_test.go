package netlink

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// spoken makes the two directions of a connection with one call.
type spoken struct {
	there, back bytes.Buffer
	ask, answer *http2.Framer
	enc         *hpack.Encoder
	block       bytes.Buffer
}

func speak() *spoken {
	s := &spoken{}
	s.there.WriteString(http2.ClientPreface)
	s.ask, s.answer = http2.NewFramer(&s.there, nil), http2.NewFramer(&s.back, nil)
	s.enc = hpack.NewEncoder(&s.block)
	return s
}

func (s *spoken) fields(f *http2.Framer, stream uint32, fields ...string) {
	s.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		s.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: s.block.Bytes(), EndHeaders: true})
}

// usual says a whole call and its answer.
func (s *spoken) usual() {
	s.ask.WriteSettings()
	s.fields(s.ask, 1, ":method", "POST", ":scheme", "https", ":authority", "127.0.0.1:1", ":path", "/rpc/1/registrar/lookup", "user-agent", "Go-http-client/2.0")
	s.ask.WriteData(1, true, frames(`{"name":"ab"}`, ""))
	s.enc = hpack.NewEncoder(&s.block)
	s.fields(s.answer, 1, ":status", "200", "content-type", "application/json")
	s.answer.WriteData(1, true, []byte(`{"reply":{}}`))
}

func (s *spoken) read() ([]Call, error) {
	return readCalls(&conn{there: &side{data: s.there.Bytes()}, backAgain: &side{data: s.back.Bytes()}}, "127.0.0.1:1")
}

// TestCallShape wants a usual call read whole, and finds what has no place in one.
func TestCallShape(t *testing.T) {
	s := speak()
	s.usual()
	calls, err := s.read()
	if err != nil || len(calls) != 1 || !calls[0].Whole || calls[0].Method != "registrar/lookup" || string(calls[0].Header) != `{"name":"ab"}` || string(calls[0].Answer) != `{"reply":{}}` {
		t.Errorf("%+v, %v", calls, err)
	}
	for name, say := range map[string]func(*spoken){
		"a field of its own":   func(s *spoken) { s.fields(s.ask, 3, ":method", "POST", "x-note", "aoife") },
		"a value of its own":   func(s *spoken) { s.fields(s.ask, 3, ":method", "POST", "user-agent", "aoife/2.0") },
		"another method":       func(s *spoken) { s.fields(s.ask, 3, ":method", "GET") },
		"another path":         func(s *spoken) { s.fields(s.ask, 3, ":path", "/rpc/1/registrar/lookup?who=aoife") },
		"another node's name":  func(s *spoken) { s.fields(s.ask, 3, ":authority", "127.0.0.1:2") },
		"a cookie":             func(s *spoken) { s.fields(s.answer, 1, "set-cookie", "a=b") },
		"an answer to nothing": func(s *spoken) { s.answer.WriteData(7, true, []byte("x")) },
		"trailers":             func(s *spoken) { s.fields(s.ask, 1, "date", "Mon, 02 Jan 2006 15:04:05 GMT") },
		"a pushed answer": func(s *spoken) {
			s.answer.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: []byte{0x82}, EndHeaders: true})
		},
		"a padded frame":    func(s *spoken) { s.ask.WriteDataPadded(1, true, []byte("x"), make([]byte, 9)) },
		"a farewell":        func(s *spoken) { s.ask.WriteGoAway(1, http2.ErrCodeNo, []byte("aoife")) },
		"an unknown frame":  func(s *spoken) { s.ask.WriteRawFrame(0x42, 0, 1, []byte("aoife")) },
		"bytes behind it":   func(s *spoken) { s.ask.WriteData(1, true, []byte("Daoife")) },
		"a false end":       func(s *spoken) { s.usual(); s.ask.WriteData(1, true, append([]byte("E"), make([]byte, 40)...)) },
		"no HTTP/2 at all":  func(s *spoken) { s.there.Reset(); s.there.WriteString("GET / HTTP/1.1\r\n\r\n") },
		"a header twice":    func(s *spoken) { s.ask.WriteData(1, false, []byte("H\x00\x00\x00\x01x")) },
		"a frame too large": func(s *spoken) { s.ask.WriteData(1, false, []byte("D\x00\x02\x00\x00x")) },
	} {
		s := speak()
		s.usual()
		say(s)
		if _, err := s.read(); err == nil {
			t.Errorf("%s was not found", name)
		}
	}
}

// TestCutCall reads what crossed of a call that was cut at any byte, without a finding.
func TestCutCall(t *testing.T) {
	s := speak()
	s.usual()
	there := s.there.Bytes()
	for size := range there {
		calls, err := readCalls(&conn{there: &side{data: there[:size]}, backAgain: &side{}}, "127.0.0.1:1")
		if err != nil || len(calls) > 1 || len(calls) == 1 && calls[0].Whole {
			t.Errorf("cut at %d: %+v, %v", size, calls, err)
		}
	}
}

// said encodes a message of gossip.
func said(kind byte, fields map[string]any) []byte {
	var b bytes.Buffer
	b.WriteByte(kind)
	if err := codec.NewEncoder(&b, &codec.MsgpackHandle{}).Encode(fields); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// TestGossipShape wants the usual messages read, and finds what has no place in gossip.
func TestGossipShape(t *testing.T) {
	meta := `{"v":1,"r":"us-east","o":["store"],"a":"127.0.0.1:1","c":1,"s":2}`
	alive := func(meta string) []byte {
		return said(4, map[string]any{"Incarnation": 1, "Node": "us-east-1", "Addr": []byte{127, 0, 0, 1}, "Port": 7, "Meta": []byte(meta), "Vsn": []byte{1, 5, 5, 0, 0, 0}})
	}
	compound := func(parts ...[]byte) []byte {
		out := []byte{7, byte(len(parts))}
		for _, p := range parts {
			out = append(out, byte(len(p)>>8), byte(len(p)))
		}
		return append(out, bytes.Join(parts, nil)...)
	}
	pushPull := func(state string) []byte {
		head := said(6, map[string]any{"Nodes": 1, "UserStateLen": len(state), "Join": true})
		node := said(0, map[string]any{"Name": "us-east-1", "Addr": []byte{127, 0, 0, 1}, "Port": 7, "Meta": []byte(meta), "Incarnation": 1, "State": 0, "Vsn": []byte{1}})
		return bytes.Join([][]byte{head, node[1:], []byte(state)}, nil)
	}
	ping := said(0, map[string]any{"SeqNo": 1, "Node": "us-east-1", "SourceNode": "witness-1"})
	for name, good := range map[string][]byte{"ping": ping, "alive": alive(meta), "compound": compound(ping, alive(meta)), "push/pull": pushPull("")} {
		r := &gossipReader{plain: good}
		if err := r.message(good, 0); err != nil || len(r.out) == 0 {
			t.Errorf("%s: %v, %v", name, r.out, err)
		}
	}
	for name, bad := range map[string][]byte{
		"an address for a name":       said(0, map[string]any{"SeqNo": 1, "Node": "aoife@example.com"}),
		"a field of its own":          said(0, map[string]any{"SeqNo": 1, "Note": "aoife"}),
		"a message of the program":    append([]byte{8}, "aoife"...),
		"something in an answer":      said(2, map[string]any{"SeqNo": 1, "Payload": []byte("aoife")}),
		"state of the program":        pushPull("aoife"),
		"bytes behind a message":      append(bytes.Clone(ping), "aoife"...),
		"bytes behind a compound":     append(compound(ping), "aoife"...),
		"metadata with another key":   alive(strings.Replace(meta, `"c"`, `"who":"aoife","c"`, 1)),
		"metadata of a person":        alive(strings.Replace(meta, "us-east", "aoife@example.com", 1)),
		"metadata with a host name":   alive(strings.Replace(meta, "127.0.0.1:1", "aoife.example:1", 1)),
		"metadata over 512 bytes":     alive(strings.Replace(meta, `"store"`, strings.Repeat(`"store",`, 60)+`"store"`, 1)),
		"metadata with bytes behind":  alive(meta + meta),
		"a message in many wrappings": compound(compound(compound(compound(compound(ping))))),
		"an unknown type":             {99},
		"nothing":                     {},
	} {
		if err := (&gossipReader{plain: bad}).message(bad, 0); err == nil {
			t.Errorf("%s was not found", name)
		}
	}
}

// TestGossipIsSealed finds packets and streams that are not sealed, or not under the lab's key.
func TestGossipIsSealed(t *testing.T) {
	net := &Net{key: make([]byte, 32)}
	for name, bad := range map[string]string{"no label": "\x00plain", "not sealed": "\xf4\x0adomicile/1\x00plain", "another key": "\xf4\x0adomicile/1\x01" + strings.Repeat("x", 60)} {
		if _, err := net.readPacket(packet{data: []byte(bad)}); err == nil {
			t.Errorf("a packet with %s was not found", name)
		}
		stream := strings.Replace(bad, "\x01", "\x0a\x00\x00\x00\x3d\x01", 1)
		if _, err := net.readStream(Link{}, []byte(stream), true); err == nil {
			t.Errorf("a stream with %s was not found", name)
		}
	}
}
