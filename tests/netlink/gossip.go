package netlink

import (
	"bytes"
	"compress/lzw"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/netip"
	"slices"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// Gossip is one message of gossip, decrypted and taken apart.
type Gossip struct {
	Link
	Type   string
	Fields map[string]any
	Plain  []byte // as it was before it was sealed, of the packet or stream that it came in
}

// What memberlist's protocol 5 calls its messages, by their first byte.
var messageTypes = []string{"ping", "indirect ping", "ack", "suspect", "alive", "dead", "push/pull", "compound", "user", "compressed", "encrypted", "nack", "crc", "error"}

// The fields of each message that carries any. User messages are not among them: domicile gossips none.
var messageFields = map[string][]string{
	"ping":          {"SeqNo", "Node", "SourceAddr", "SourcePort", "SourceNode"},
	"indirect ping": {"SeqNo", "Target", "Port", "Node", "Nack", "SourceAddr", "SourcePort", "SourceNode"},
	"ack":           {"SeqNo", "Payload"},
	"nack":          {"SeqNo"},
	"suspect":       {"Incarnation", "Node", "From"},
	"dead":          {"Incarnation", "Node", "From"},
	"alive":         {"Incarnation", "Node", "Addr", "Port", "Meta", "Vsn"},
	"push/pull":     {"Nodes", "UserStateLen", "Join"},
	"state":         {"Name", "Addr", "Port", "Meta", "Incarnation", "State", "Vsn"},
	"error":         {"Error"},
}

const (
	labelByte   = 244
	label       = "domicile/1"
	maxPlain    = 1 << 20 // of a stream: the names and addresses of a few thousand nodes
	maxMetadata = 512
)

// unlabel takes the label off a packet or stream: without it the bytes are not domicile's gossip.
func unlabel(data []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(data, append([]byte{labelByte, byte(len(label))}, label...))
	if !ok {
		return nil, errors.New("it does not carry domicile's label")
	}
	return rest, nil
}

// unseal decrypts: version 1, nonce, AES-GCM. What is not sealed under the lab's key is an error.
func (n *Net) unseal(sealed, associated []byte) ([]byte, error) {
	block, err := aes.NewCipher(n.key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	if len(sealed) < 1+gcm.NonceSize() || sealed[0] != 1 {
		return nil, errors.New("it is not sealed")
	}
	return gcm.Open(nil, sealed[1:1+gcm.NonceSize()], sealed[1+gcm.NonceSize():], associated)
}

func (n *Net) readPacket(p packet) ([]Gossip, error) {
	sealed, err := unlabel(p.data)
	if err != nil {
		return nil, err
	}
	plain, err := n.unseal(sealed, []byte(label))
	if err != nil {
		return nil, err
	}
	r := &gossipReader{link: p.link, plain: plain}
	err = r.message(plain, 0)
	return r.out, err
}

// readStreams reads both directions of a TCP connection. One that was cut ends where it was cut.
func (n *Net) readStreams(c *conn) ([]Gossip, error) {
	there, err1 := n.readStream(c.link, c.there.data, true)
	back, err2 := n.readStream(c.link.back(), c.backAgain.data, false)
	return append(there, back...), errors.Join(err1, err2)
}

func (n *Net) readStream(l Link, data []byte, labelled bool) ([]Gossip, error) {
	var err error
	if labelled && len(data) > 0 {
		if data, err = unlabel(data); err != nil {
			return nil, err
		}
	}
	r := &gossipReader{link: l}
	for len(data) > 0 {
		if data[0] != 10 {
			return r.out, errors.New("a stream is not sealed")
		}
		if len(data) < 5 {
			break // cut
		}
		size := binary.BigEndian.Uint32(data[1:5])
		if size > maxPlain {
			return r.out, errors.New("a stream is larger than any list of nodes")
		}
		if len(data) < 5+int(size) {
			break // cut
		}
		plain, err := n.unseal(data[5:5+size], append(slices.Clone(data[:5]), label...))
		if err != nil {
			return r.out, err
		}
		r.plain = plain
		if err := r.message(plain, 0); err != nil {
			return r.out, err
		}
		data = data[5+size:]
	}
	return r.out, nil
}

// gossipReader collects the messages of one packet or stream.
type gossipReader struct {
	link  Link
	plain []byte
	out   []Gossip
}

// message reads one message, with what is wrapped in it.
func (r *gossipReader) message(b []byte, depth int) error {
	if len(b) == 0 || int(b[0]) >= len(messageTypes) || depth > 4 {
		return errors.New("a message of no known type, or wrapped too often")
	}
	kind, rest := messageTypes[b[0]], b[1:]
	switch kind {
	case "crc":
		if len(rest) < 4 || binary.BigEndian.Uint32(rest) != crc32.ChecksumIEEE(rest[4:]) {
			return errors.New("a checksum is wrong")
		}
		return r.message(rest[4:], depth+1)
	case "compressed":
		var c struct {
			Algo uint8
			Buf  []byte
		}
		if left, err := decode(rest, &c); err != nil || len(left) > 0 || c.Algo != 0 {
			return fmt.Errorf("a compressed message: %d bytes behind it, %w", len(left), err)
		}
		plain, err := io.ReadAll(io.LimitReader(lzw.NewReader(bytes.NewReader(c.Buf), lzw.LSB, 8), maxPlain+1))
		if err != nil || len(plain) > maxPlain {
			return fmt.Errorf("a compressed message of %d bytes: %w", len(plain), err)
		}
		return r.message(plain, depth+1)
	case "compound":
		return r.compound(rest, depth)
	case "push/pull":
		return r.pushPull(rest)
	}
	rest, err := r.fields(kind, rest)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes behind it", len(rest))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}

// compound reads several messages: their number, their lengths, themselves.
func (r *gossipReader) compound(b []byte, depth int) error {
	if len(b) < 1 || len(b) < 1+2*int(b[0]) {
		return errors.New("a compound is cut short")
	}
	lengths, parts := b[1:1+2*int(b[0])], b[1+2*int(b[0]):]
	for ; len(lengths) > 0; lengths = lengths[2:] {
		size := int(binary.BigEndian.Uint16(lengths))
		if size > len(parts) {
			return errors.New("a compound is cut short")
		}
		if err := r.message(parts[:size], depth+1); err != nil {
			return err
		}
		parts = parts[size:]
	}
	if len(parts) > 0 {
		return fmt.Errorf("%d bytes behind a compound", len(parts))
	}
	return nil
}

// pushPull reads a list of all nodes, behind which memberlist would put the state that a program gossips: none.
func (r *gossipReader) pushPull(b []byte) error {
	b, err := r.fields("push/pull", b)
	if err != nil {
		return err
	}
	head := r.out[len(r.out)-1].Fields
	for range number(head["Nodes"]) {
		if b, err = r.fields("state", b); err != nil {
			return err
		}
	}
	if number(head["UserStateLen"]) != 0 || len(b) > 0 {
		return fmt.Errorf("push/pull carries %d bytes of state", len(b))
	}
	return nil
}

// fields reads one object, which must have the fields of its kind and no others, each of the known form.
func (r *gossipReader) fields(kind string, b []byte) ([]byte, error) {
	m := map[string]any{}
	rest, err := decode(b, &m)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(messageFields[kind], name) {
			return nil, fmt.Errorf("a field %.40q", name)
		}
		if err := checkField(name, m[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if messageFields[kind] == nil {
		return nil, errors.New("domicile sends no such message")
	}
	r.out = append(r.out, Gossip{r.link, kind, m, r.plain})
	return rest, nil
}

// decode reads one msgpack object and returns what is behind it.
func decode(b []byte, v any) ([]byte, error) {
	d := codec.NewDecoderBytes(b, &codec.MsgpackHandle{})
	if err := d.Decode(v); err != nil {
		return nil, err
	}
	return b[d.NumBytesRead():], nil
}

func number(v any) int64 {
	switch x := v.(type) {
	case int64:
		return x
	case uint64:
		return int64(x)
	}
	return 0
}

// text returns a string or bytes; ok is false for anything else.
func text(v any) (b []byte, ok bool) {
	switch x := v.(type) {
	case nil:
		return nil, true
	case string:
		return []byte(x), true
	case []byte:
		return x, true
	}
	return nil, false
}

// checkField holds a field's value against its form.
func checkField(name string, v any) error {
	b, isText := text(v)
	switch name {
	case "SeqNo", "Incarnation", "Port", "SourcePort", "Nodes", "UserStateLen", "State":
		switch v.(type) {
		case int64, uint64:
			return nil
		}
	case "Nack", "Join":
		if _, ok := v.(bool); ok {
			return nil
		}
	case "Payload":
		if isText && len(b) == 0 {
			return nil
		}
	case "Vsn":
		if isText && len(b) <= 6 {
			return nil
		}
	case "Addr", "SourceAddr", "Target":
		if _, ok := netip.AddrFromSlice(b); isText && ok {
			return nil
		}
	case "Node", "Name", "From", "SourceNode":
		if isText && isName(b) {
			return nil
		}
	case "Error":
		if isText && len(b) <= 256 && printable(b) {
			return nil
		}
	case "Meta":
		if isText {
			return checkMeta(b)
		}
	}
	return fmt.Errorf("%.60q is not of its form", fmt.Sprint(v))
}

// isName accepts names of nodes and regions.
func isName(b []byte) bool {
	return len(b) <= 32 && len(bytes.Trim(b, "abcdefghijklmnopqrstuvwxyz0123456789-")) == 0
}

func printable(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// checkMeta holds what a node says of itself against docs/FORMATS.md: at most 512 bytes, known keys, each of its form.
func checkMeta(b []byte) error {
	if len(b) > maxMetadata {
		return fmt.Errorf("%d bytes", len(b))
	}
	if len(b) == 0 { // a node of which only its death was heard
		return nil
	}
	var m struct {
		V       int      `json:"v"`
		Region  string   `json:"r"`
		Roles   []string `json:"o"`
		RPC     string   `json:"a"`
		Admin   string   `json:"m"`
		Catalog uint64   `json:"c"`
		Started int64    `json:"s"`

		RPCInside    string `json:"i"`
		GossipInside string `json:"g"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil || d.More() || m.V != 1 {
		return fmt.Errorf("not as FORMATS has it: %w", err)
	}
	witness, _ := bytes.CutPrefix([]byte(m.Region), []byte("witness/"))
	if !isName(witness) {
		return fmt.Errorf("a region %q", m.Region)
	}
	for _, role := range m.Roles {
		if !slices.Contains([]string{"front", "store", "admin", "witness"}, role) {
			return fmt.Errorf("a role %q", role)
		}
	}
	for _, a := range []string{m.RPC, m.Admin, m.RPCInside, m.GossipInside} {
		if _, err := netip.ParseAddrPort(a); err != nil && a != "" {
			return err
		}
	}
	return nil
}
