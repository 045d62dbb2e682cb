package disclosure

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"domicile"
)

// The three kinds of data that an order may name in scope.categories.
const (
	Subscriber = "subscriber" // who the customer is: the account's own record
	Traffic    = "traffic"    // who wrote to whom and when: headers without the subject, sizes
	Content    = "content"    // the messages themselves
)

var categories = []string{Subscriber, Traffic, Content}

// Claims is the payload of a token, type domicile-lbt+jws. Marshal it to JSON for [SignToken]. All times are Unix
// seconds. A token with a claim that is not here, a claim twice, a null or a wrong type is not a token.
type Claims struct {
	Issuer       string    `json:"iss"`        // id of the authority in the region's registry
	JTI          string    `json:"jti"`        // unique for the issuer, 8 to 128 printable ASCII characters, no space: no two look alike
	Case         CourtCase `json:"case"`       // the issuer's own reference
	OrderType    string    `json:"order_type"` // one of OrderTypes
	Regime       string    `json:"regime"`     // the regime of the order type: us.sca, mlat, ie, eu.evidence
	IssuedUnder  string    `json:"issued_under"`
	Audience     Audience  `json:"aud"`
	Scope        Scope     `json:"scope"`
	IssuedAt     int64     `json:"iat"`
	NotBefore    int64     `json:"nbf"`
	Expires      int64     `json:"exp"`
	Executions   int       `json:"max_executions,omitempty"` // 0 is 1
	DeliveryTo   string    `json:"delivery_to,omitempty"`    // age recipient of a registered authority; needed by what discloses
	Format       string    `json:"format,omitempty"`         // "eml" (the default); "plaintext" of an end-to-end account is refused
	Nondisclose  int64     `json:"nondisclosure_until,omitempty"`
	NotifyAfter  int64     `json:"notify_after,omitempty"`
	Agreement    string    `json:"agreement,omitempty"` // id in treaties.toml, such as "us-ie-mlat"
	Notified     string    `json:"notified_authority,omitempty"`
	Domestic     *Domestic `json:"domestic_order,omitempty"` // the executing state's own order
	Document     string    `json:"order_document_sha256"`    // hex digest of the order that people read
	Previous     string    `json:"prev,omitempty"`           // hex digest of the token that this one amends
	Status       *Status   `json:"status,omitempty"`         // absent: the index is StatusIndex(jti)
	Confirmation string    `json:"cnf,omitempty"`            // reserved: a token that carries it is refused
}

// CourtCase is the issuer's own reference.
type CourtCase struct {
	Court  string `json:"court"`
	Docket string `json:"docket"`
}

// Audience is who was served: a legal entity, and the region at which the order is presented. Anywhere else it is void.
type Audience struct {
	Entity domicile.Entity `json:"entity"`
	Region domicile.Region `json:"region"`
}

// Scope is what an order asks for.
type Scope struct {
	Targets      []string `json:"targets,omitempty"`    // canonical addresses
	Categories   []string `json:"categories,omitempty"` // Subscriber, Traffic, Content
	Window       Window   `json:"window"`
	Folders      []string `json:"folders,omitempty"`      // mailbox names; none: all
	Participants []string `json:"participants,omitempty"` // addresses in From, To or Cc, one of which must match; none: all
	MaxItems     int64    `json:"max_items"`
	MaxBytes     int64    `json:"max_bytes"`
	Offence      string   `json:"offence_class,omitempty"`
	MaxSentence  int64    `json:"max_sentence_years,omitempty"`
	Emergency    bool     `json:"emergency,omitempty"`
}

// Window bounds the internal dates of messages, both ends included. It must end in the past, at most at iat.
type Window struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Domestic names the executing state's own order.
type Domestic struct {
	SHA256 string `json:"sha256"` // hex digest of the order's document
	Court  string `json:"court"`
	Docket string `json:"docket"`
}

// Status is the token's place in its signers' status lists. Where a list is kept is in the registry, never in a token.
type Status struct {
	Index int64 `json:"index"`
}

// statusSlots is how many places a status list has. Two tokens share a place once in about a million: then a stay of
// one also stays the other, never the reverse.
const statusSlots = 1 << 20

// StatusIndex is the place of a token in a status list unless its status claim names another one as well:
// the first 20 bits of SHA-256 of "domicile/status/v1", a zero byte and the jti.
func StatusIndex(jti string) int64 {
	sum := sha256.Sum256([]byte("domicile/status/v1\x00" + jti))
	return int64(binary.BigEndian.Uint32(sum[:4]) >> 12)
}

// executions is how often the token may be executed.
func (c *Claims) executions() int { return max(c.Executions, 1) }

// statusIndexes are all places at which a status list may speak of the token.
func (c *Claims) statusIndexes() []int64 {
	out := []int64{StatusIndex(c.JTI)}
	if c.Status != nil {
		out = append(out, c.Status.Index)
	}
	return out
}

// parseClaims reads a payload strictly. Its errors hold no text of the token but names of claims.
func parseClaims(payload []byte) (*Claims, error) {
	var c Claims
	if err := strictJSON(payload, &c); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return &c, nil
}

// check refuses what no token of any type may look like.
func (c *Claims) check() error {
	for name, v := range map[string]string{"iss": c.Issuer, "case.court": c.Case.Court, "case.docket": c.Case.Docket,
		"order_type": c.OrderType, "regime": c.Regime, "issued_under": c.IssuedUnder,
		"aud.entity": string(c.Audience.Entity), "aud.region": string(c.Audience.Region)} {
		if v == "" {
			return fmt.Errorf("the claim %s is missing or empty", name)
		}
	}
	if len(c.JTI) < 8 || len(c.JTI) > 128 || strings.IndexFunc(c.JTI, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		return fmt.Errorf("the claim jti must have 8 to 128 characters, printable ASCII without spaces")
	}
	if c.Confirmation != "" {
		return fmt.Errorf("the claim cnf is reserved and not supported")
	}
	if c.Executions < 0 || c.Executions > 100 {
		return fmt.Errorf("the claim max_executions must lie between 1 and 100")
	}
	if c.Format != "" && c.Format != "eml" && c.Format != "plaintext" {
		return fmt.Errorf("the claim format must be eml or plaintext")
	}
	if c.Status != nil && (c.Status.Index < 0 || c.Status.Index >= statusSlots) {
		return fmt.Errorf("the claim status.index must lie between 0 and %d", statusSlots-1)
	}
	if err := c.checkTimes(); err != nil {
		return err
	}
	if err := c.checkDigests(); err != nil {
		return err
	}
	return c.Scope.check()
}

// The latest time that a claim may name: 1 January 2200.
const latest = 7258118400

func (c *Claims) checkTimes() error {
	for name, t := range map[string]int64{"iat": c.IssuedAt, "nbf": c.NotBefore, "exp": c.Expires} {
		if t <= 0 || t > latest {
			return fmt.Errorf("the claim %s must be a time in Unix seconds", name)
		}
	}
	if c.Expires <= c.NotBefore {
		return fmt.Errorf("the claim exp must lie behind nbf")
	}
	for name, t := range map[string]int64{"nondisclosure_until": c.Nondisclose, "notify_after": c.NotifyAfter,
		"scope.window.from": c.Scope.Window.From, "scope.window.to": c.Scope.Window.To} {
		if t < 0 || t > latest {
			return fmt.Errorf("the claim %s must be a time in Unix seconds", name)
		}
	}
	return nil
}

func (c *Claims) checkDigests() error {
	if !isDigest(c.Document) {
		return fmt.Errorf("the claim order_document_sha256 must be 64 lower-case hex digits")
	}
	if c.Previous != "" && !isDigest(c.Previous) {
		return fmt.Errorf("the claim prev must be 64 lower-case hex digits")
	}
	if c.Domestic != nil && !isDigest(c.Domestic.SHA256) {
		return fmt.Errorf("the claim domestic_order.sha256 must be 64 lower-case hex digits")
	}
	return nil
}

func (s *Scope) check() error {
	for _, cat := range s.Categories {
		if !slices.Contains(categories, cat) {
			return fmt.Errorf("the claim scope.categories may name only %s", strings.Join(categories, ", "))
		}
	}
	for name, list := range map[string][]string{"targets": s.Targets, "categories": s.Categories, "folders": s.Folders, "participants": s.Participants} {
		sorted := slices.Clone(list)
		slices.Sort(sorted)
		if len(slices.Compact(sorted)) != len(list) || slices.Contains(list, "") {
			return fmt.Errorf("the claim scope.%s names something twice, or nothing", name)
		}
	}
	if s.MaxItems < 0 || s.MaxBytes < 0 || s.MaxSentence < 0 {
		return fmt.Errorf("a number in the claim scope is negative")
	}
	return nil
}

func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && s == strings.ToLower(s)
}

// digestOf is the hex SHA-256 of b.
func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// canonical is JSON with sorted keys and no spaces: what facts and manifests are hashed as.
func canonical(v any) ([]byte, error) {
	first, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var generic any
	d := json.NewDecoder(strings.NewReader(string(first)))
	d.UseNumber()
	if err := d.Decode(&generic); err != nil {
		return nil, err
	}
	return json.Marshal(generic)
}
