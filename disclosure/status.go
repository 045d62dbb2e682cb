package disclosure

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"domicile"
	"domicile/store"
)

// The values of a status list (Token Status List, section 7.1).
const (
	statusValid     = 0
	statusInvalid   = 1
	statusSuspended = 2
)

var statusNames = map[string]byte{"valid": statusValid, "invalid": statusInvalid, "suspended": statusSuspended}

// statusType is the typ of a status list in JWT form.
const statusType = "statuslist+jwt"

// maxStatus bounds a status list file; the list behind it has statusSlots places of two bits.
const maxStatus = 512 << 10

// statusHeader and statusClaims are a status list JWT: compact JWS, strict as a token.
type statusHeader struct {
	Algorithm string `json:"alg"`
	Type      string `json:"typ"`
	Thumb     string `json:"x5t#S256"`
	IssuedAt  int64  `json:"iat,omitempty"`
}

type statusClaims struct {
	Subject  string     `json:"sub,omitempty"`
	IssuedAt int64      `json:"iat"`
	Expires  int64      `json:"exp,omitempty"`
	TTL      int64      `json:"ttl,omitempty"`
	List     statusBits `json:"status_list"`
}

type statusBits struct {
	Bits int64  `json:"bits"`
	List string `json:"lst"`
}

// statusList is a verified list.
type statusList struct {
	claims statusClaims
	bits   []byte
	digest string // hex SHA-256 of the payload
}

// at returns the status at an index. An index behind the list's end has no status: ok is false.
func (l *statusList) at(index int64) (value byte, ok bool) {
	if index < 0 || index/4 >= int64(len(l.bits)) {
		return 0, false
	}
	return l.bits[index/4] >> (uint(index%4) * 2) & 3, true
}

func (l *statusList) set(index int64, value byte) {
	shift := uint(index%4) * 2
	l.bits[index/4] = l.bits[index/4]&^(3<<shift) | value<<shift
}

// SignStatusList makes a Token Status List JWT, or from an old one (of the same signer, nil for none) a new one, and
// sets what set says: a jti, or an index in decimal, to valid, suspended or invalid. The list is dated now, or a second
// behind the old one if that is later, since a region believes only a newer list than it has seen: an authority signs
// it anew, with an empty set if nothing changed, before its stated age has passed.
func SignStatusList(old []byte, s TokenSigner, set map[string]string, now time.Time) ([]byte, error) {
	const op = "sign a status list"
	list := &statusList{bits: make([]byte, statusSlots/4)}
	if len(old) > 0 {
		_, _, thumb, err := s.key()
		if err != nil {
			return nil, domicile.W(op, err)
		}
		key, err := s.public()
		if err != nil {
			return nil, domicile.W(op, err)
		}
		if list, err = parseStatusList(old, thumb, key); err != nil {
			return nil, domicile.E(op, domicile.Invalid, "the old list: "+err.Error())
		}
	}
	for name, state := range set {
		value, ok := statusNames[state]
		if !ok {
			return nil, domicile.E(op, domicile.Invalid, "a status is valid, suspended or invalid")
		}
		index := StatusIndex(name)
		if n, err := strconv.ParseInt(name, 10, 64); err == nil && len(name) < 8 { // a jti has 8 characters at least
			index = n
		}
		if index < 0 || index >= statusSlots {
			return nil, domicile.E(op, domicile.Invalid, fmt.Sprintf("an index lies between 0 and %d", statusSlots-1))
		}
		list.set(index, value)
	}
	if before := time.Unix(list.claims.IssuedAt, 0); !now.Truncate(time.Second).After(before) {
		now = before.Add(time.Second)
	}
	packed, err := pack(list.bits)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	payload, err := json.Marshal(statusClaims{IssuedAt: now.Unix(), List: statusBits{Bits: 2, List: packed}})
	if err != nil {
		return nil, domicile.W(op, err)
	}
	s.At = now
	c, err := s.sign(payload, statusType, nil)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	return []byte(c.protected + "." + c.payload + "." + c.signature), nil
}

func (s TokenSigner) public() (any, error) {
	key, _, _, err := s.key()
	if err != nil {
		return nil, err
	}
	return key.Public(), nil
}

func pack(bits []byte) (string, error) {
	var buf bytes.Buffer
	w, err := zlib.NewWriterLevel(&buf, zlib.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(bits); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(buf.Bytes()), nil
}

// parseStatusList verifies a list by the key of the authority whose certificate has the thumbprint.
func parseStatusList(text []byte, thumb string, key any) (*statusList, error) {
	if len(text) > maxStatus {
		return nil, errors.New("too long")
	}
	parts := strings.Split(strings.TrimSpace(string(text)), ".")
	if len(parts) != 3 {
		return nil, errors.New("not a compact JWS")
	}
	head, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
	if err != nil {
		return nil, errors.New("the header is not base64url")
	}
	var h statusHeader
	if err := strictJSON(head, &h); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if h.Type != statusType || h.Thumb != thumb {
		return nil, errors.New("not a status list signed by this authority")
	}
	jws, err := jose.ParseSignedCompact(strings.Join(parts, "."), algorithms)
	if err != nil {
		return nil, errors.New("not a status list signed by an allowed algorithm")
	}
	payload, err := verifyJWS(jws, key)
	if err != nil {
		return nil, errors.New("the signature does not verify")
	}
	return unpack(payload)
}

func unpack(payload []byte) (*statusList, error) {
	l := &statusList{digest: digestOf(payload)}
	if err := strictJSONOf(payload, &l.claims, maxStatus); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	if l.claims.List.Bits != 2 || l.claims.IssuedAt <= 0 {
		return nil, errors.New("a list has iat and two bits a place")
	}
	packed, err := base64.RawURLEncoding.Strict().DecodeString(l.claims.List.List)
	if err != nil {
		return nil, errors.New("the list is not base64url")
	}
	z, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, errors.New("the list is not zlib")
	}
	l.bits, err = io.ReadAll(io.LimitReader(z, statusSlots/4+1))
	if err != nil || len(l.bits) != statusSlots/4 {
		return nil, fmt.Errorf("the list does not have %d places", statusSlots)
	}
	return l, nil
}

// fresh reports whether the list may be relied on at now: not past its stated age, its own ttl or exp, nor from the future.
func (l *statusList) fresh(now time.Time, age time.Duration) bool {
	iat := time.Unix(l.claims.IssuedAt, 0)
	if iat.After(now.Add(clockSlack)) {
		return false
	}
	if ttl := l.claims.TTL; ttl > 0 && ttl < int64(age/time.Second) {
		age = time.Duration(ttl) * time.Second
	}
	return !now.After(iat.Add(age)) && (l.claims.Expires == 0 || now.Before(time.Unix(l.claims.Expires, 0)))
}

// clockSlack is how far an authority's clock may run before ours.
const clockSlack = 5 * time.Minute

// listMemory remembers, across restarts, the newest status list seen of each signing certificate, so that an older one,
// put in its place to undo a stay or a withdrawal, is not believed although its signature and its age are good.
type listMemory struct {
	mu    sync.Mutex
	table store.Table // "status_lists": thumbprint to listSeen, as JSON
}

// listSeen is one record of listMemory.
type listSeen struct {
	V        int    `json:"v"` // 1
	IssuedAt int64  `json:"iat"`
	SHA256   string `json:"sha256"` // of the list's payload
}

// accept refuses a list that is not the newest one seen, nor newer; nil remembers nothing.
func (l *listMemory) accept(thumb string, list *statusList) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	raw, ok, err := l.table.Get(thumb)
	var seen listSeen
	if err == nil && ok {
		err = json.Unmarshal(raw, &seen)
	}
	if err != nil || ok && seen.V != 1 {
		return errors.New("which list was the newest so far cannot be read")
	}
	switch iat := list.claims.IssuedAt; {
	case ok && iat == seen.IssuedAt && list.digest == seen.SHA256:
		return nil
	case ok && iat <= seen.IssuedAt:
		return fmt.Errorf("it is not the newest: one of %s was seen; ask the authority for its present list", stamp(seen.IssuedAt))
	}
	raw, err = json.Marshal(listSeen{V: 1, IssuedAt: list.claims.IssuedAt, SHA256: list.digest})
	if err == nil {
		err = l.table.Put(thumb, raw)
	}
	if err != nil {
		return errors.New("that it is the newest cannot be written down")
	}
	return nil
}

// fetchStatus reads an authority's list from where the registry says, never from where a token says.
func (r *registry) fetchStatus(m *member, lab bool) (*statusList, error) {
	u, err := url.Parse(m.StatusList)
	if err != nil {
		return nil, errors.New("its address does not parse")
	}
	if u.Scheme != "file" {
		return nil, errors.New("this release fetches no https: status lists; without one nothing is executed")
	}
	if !lab {
		return nil, errors.New("a file: address is for labs only")
	}
	path := u.Path
	if u.Opaque != "" { // file:relative/path
		path = filepath.Join(r.dir, filepath.FromSlash(u.Opaque))
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() { // a pipe would hold up every case
		return nil, errors.New("it cannot be read")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.New("it cannot be read")
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxStatus+1))
	if err != nil {
		return nil, errors.New("it cannot be read")
	}
	return parseStatusList(text, m.thumb, m.key)
}

// status asks the lists of all signers of a token: one that says no is enough, and so is one that cannot be relied on.
// The reason is "", StatusStale, Stayed or Revoked.
func (r *registry) status(c *Claims, signers []signed, lab bool, now time.Time) (domicile.Reason, string) {
	worst, detail := domicile.Reason(""), ""
	for _, s := range signers {
		reason, why := r.statusOf(s.by, c, lab, now)
		if graver(reason, worst) {
			worst, detail = reason, "the status list of "+s.by.ID+": "+why
		}
	}
	return worst, detail
}

func (r *registry) statusOf(m *member, c *Claims, lab bool, now time.Time) (domicile.Reason, string) {
	list, err := r.fetchStatus(m, lab)
	if err != nil {
		return domicile.StatusStale, err.Error()
	}
	if !list.fresh(now, m.statusAge) {
		return domicile.StatusStale, "it is older than its stated age"
	}
	if err := r.lists.accept(m.thumb, list); err != nil {
		return domicile.StatusStale, err.Error()
	}
	worst, detail := domicile.Reason(""), ""
	for _, index := range c.statusIndexes() {
		reason, why := domicile.StatusStale, "it has no place for this token"
		switch v, ok := list.at(index); {
		case ok && v == statusValid:
			reason, why = "", ""
		case ok && v == statusInvalid:
			reason, why = domicile.Revoked, "the order is revoked"
		case ok && v == statusSuspended:
			reason, why = domicile.Stayed, "the order is stayed"
		}
		if graver(reason, worst) {
			worst, detail = reason, why
		}
	}
	return worst, detail
}

// graver orders what lists say: revoked before stayed before stale before valid.
func graver(a, b domicile.Reason) bool {
	rank := map[domicile.Reason]int{"": 0, domicile.StatusStale: 1, domicile.Stayed: 2, domicile.Revoked: 3}
	return rank[a] > rank[b]
}
