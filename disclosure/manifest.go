package disclosure

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A production is a tar archive inside an age file (filippo.io/age, one recipient: the authority in delivery_to):
//
//	messages/000001.eml …     each message byte for byte as it is stored
//	records/subscriber.json   the account's record
//	records/traffic.json      one object for each message: From, To, Cc, Date, Message-ID, mailbox, date, size
//	certificate.txt           the custodian's certificate
//	manifest.json             last: Manifest, as canonical JSON
//
// Only what the executed scope names is there.

// Manifest lists a production. It holds digests and counts, no content.
type Manifest struct {
	V           int           `json:"v"`
	Case        string        `json:"case"`
	Region      string        `json:"region"`
	OrderType   string        `json:"order_type"`
	Issuer      string        `json:"issuer"`
	Court       string        `json:"court"`
	Docket      string        `json:"docket"`
	JTI         string        `json:"jti"`
	Token       string        `json:"token_sha256"`
	Rule        string        `json:"rule"`
	BundleHash  string        `json:"bundle_hash"`
	FactsHash   string        `json:"facts_hash"`
	PreservedAt string        `json:"preserved_at"` // RFC 3339
	PreparedAt  string        `json:"prepared_at"`
	Scope       Scope         `json:"executed_scope"` // max_items and max_bytes are what was produced
	Items       []Item        `json:"items"`
	NotProduced []NotProduced `json:"not_produced"`
}

// Item is one file of the archive.
type Item struct {
	Name     string `json:"name"`
	Category string `json:"category"` // subscriber, traffic, content; "" for the certificate
	SHA256   string `json:"sha256"`
	Bytes    int64  `json:"bytes"`
	Mailbox  string `json:"mailbox,omitempty"`
	UID      uint32 `json:"uid,omitempty"`
	Internal int64  `json:"internal,omitempty"` // Unix seconds
	Sealed   bool   `json:"sealed,omitempty"`   // may be ciphertext to which this region has no key
}

// NotProduced says what the order reached and could not be handed over.
type NotProduced struct {
	What   string `json:"what"`
	Reason string `json:"reason"`
	Count  int64  `json:"count,omitempty"`
}

const (
	manifestName    = "manifest.json"
	certificateName = "certificate.txt"
	subscriberName  = "records/subscriber.json"
	trafficName     = "records/traffic.json"
	maxManifest     = 256 << 20
)

// CheckProduction reads a decrypted production from r and checks it against the scope of its order, without knowing how
// it was made: every file is in the manifest with its digest and nothing else is there; the executed scope asks for no
// more than the order; every item lies within it. It returns the manifest. An authority can run it too.
func CheckProduction(r io.Reader, ordered Scope) (*Manifest, error) {
	tr := tar.NewReader(r)
	got := map[string]Item{}
	for {
		h, err := tr.Next()
		if err != nil {
			return nil, fmt.Errorf("the archive ends without %s: %w", manifestName, err)
		}
		if h.Name == manifestName {
			break
		}
		if _, twice := got[h.Name]; twice || h.Typeflag != tar.TypeReg {
			return nil, fmt.Errorf("the archive has %q twice, or it is no file", h.Name)
		}
		sum := sha256.New()
		n, err := io.Copy(sum, tr)
		if err != nil {
			return nil, err
		}
		got[h.Name] = Item{SHA256: hex.EncodeToString(sum.Sum(nil)), Bytes: n}
	}
	text, err := io.ReadAll(io.LimitReader(tr, maxManifest))
	if err != nil {
		return nil, err
	}
	if _, err := tr.Next(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("something follows %s", manifestName)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", manifestName, err)
	}
	return &m, errors.Join(m.matches(got), m.within(ordered))
}

// matches holds the files against the list.
func (m *Manifest) matches(got map[string]Item) error {
	if len(m.Items) != len(got) {
		return fmt.Errorf("the manifest lists %d items, the archive has %d", len(m.Items), len(got))
	}
	for _, it := range m.Items {
		if f, ok := got[it.Name]; !ok || f.SHA256 != it.SHA256 || f.Bytes != it.Bytes {
			return fmt.Errorf("%s is not the file that the manifest lists", it.Name)
		}
	}
	return nil
}

// within holds the list against the order.
func (m *Manifest) within(ordered Scope) error {
	if err := m.Scope.within(ordered); err != nil {
		return err
	}
	var items, size int64
	for _, it := range m.Items {
		if it.Category == "" && it.Name == certificateName {
			continue
		}
		if !slices.Contains(m.Scope.Categories, it.Category) || it.Category != categoryOf(it.Name) {
			return fmt.Errorf("%s is of a category that the order does not name", it.Name)
		}
		size += it.Bytes
		if it.Category != Content {
			continue
		}
		items++
		if it.Internal < ordered.Window.From || it.Internal > ordered.Window.To {
			return fmt.Errorf("%s lies outside the order's window", it.Name)
		}
		if len(ordered.Folders) > 0 && !slices.Contains(ordered.Folders, it.Mailbox) {
			return fmt.Errorf("%s lies outside the order's folders", it.Name)
		}
	}
	if items > ordered.MaxItems || size > ordered.MaxBytes {
		return errors.New("the archive has more items or bytes than the order allows")
	}
	return nil
}

func categoryOf(name string) string {
	switch {
	case name == subscriberName:
		return Subscriber
	case name == trafficName:
		return Traffic
	case strings.HasPrefix(name, "messages/"):
		return Content
	}
	return ""
}

// within says whether s asks for no more than ordered.
func (s Scope) within(ordered Scope) error {
	switch {
	case !subset(s.Targets, ordered.Targets):
		return errors.New("the executed scope has a target that the order does not name")
	case !subset(s.Categories, ordered.Categories):
		return errors.New("the executed scope has a category that the order does not name")
	case s.Window.From < ordered.Window.From || s.Window.To > ordered.Window.To:
		return errors.New("the executed window is wider than the order's")
	case len(ordered.Folders) > 0 && (len(s.Folders) == 0 || !subset(s.Folders, ordered.Folders)):
		return errors.New("the executed scope has a folder that the order does not name")
	case len(ordered.Participants) > 0 && (len(s.Participants) == 0 || !subset(s.Participants, ordered.Participants)):
		return errors.New("the executed scope has a participant that the order does not name")
	case s.MaxItems > ordered.MaxItems || s.MaxBytes > ordered.MaxBytes:
		return errors.New("the executed scope has more items or bytes than the order allows")
	}
	return nil
}

func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}
