package disclosure

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"filippo.io/age"
	"github.com/pelletier/go-toml/v2"

	"domicile"
)

// Authority is one entry of authorities.toml, a region's registry of whom it believes. An authority signs only as what
// it is: issuing as "issuing"; executing (a court of the executing state) as "executing" or "issuing"; validating as
// "validating"; central as "central" or "validating"; enforcing as "enforcing".
type Authority struct {
	ID          string           `toml:"id" json:"id"`
	Name        string           `toml:"name" json:"name"`
	Role        string           `toml:"role" json:"role"` // issuing, validating, central, executing, enforcing
	Country     domicile.Country `toml:"country" json:"country"`
	Court       string           `toml:"court,omitempty" json:"court,omitempty"`
	Certificate string           `toml:"certificate,multiline" json:"certificate"`        // PEM of its signing certificate (x5t#S256 names it)
	Recipient   string           `toml:"recipient,omitempty" json:"recipient,omitempty"`  // age public key
	OrderTypes  []string         `toml:"order_types" json:"order_types"`                  // that it may put its signature to, in whatever role
	Categories  []string         `toml:"categories" json:"categories"`                    // that such an order may name
	StatusList  string           `toml:"status_list" json:"status_list"`                  // https: or, in a lab, file: (absolute, or relative to the registry)
	StatusAge   string           `toml:"status_age" json:"status_age"`                    // Go duration after which a list is stale
	NotBefore   time.Time        `toml:"not_before,omitempty" json:"not_before,omitzero"` // zero: no limit
	NotAfter    time.Time        `toml:"not_after,omitempty" json:"not_after,omitzero"`   // zero: no limit
}

// signsAs maps a role of the registry to the roles in which it may sign a token.
var signsAs = map[string][]string{
	"issuing":    {"issuing"},
	"executing":  {"executing", "issuing"},
	"validating": {"validating"},
	"central":    {"central", "validating"},
	"enforcing":  {"enforcing"},
}

// Limits of a registry file.
const (
	maxRegistry    = 4 << 20
	maxAuthorities = 4096
)

// registryFile is authorities.toml.
type registryFile struct {
	Frozen      bool        `toml:"frozen,omitempty"` // a frozen registry executes nothing
	Authorities []Authority `toml:"authority"`
}

// registry is a checked registryFile with its keys parsed. Immutable but for lists.
type registry struct {
	frozen  bool
	dir     string // of the file: what a relative file: address counts from
	members []*member
	byThumb map[string]*member // by x5t#S256
	byID    map[string]*member
	lists   *listMemory // the engine's; nil where a registry is only read
}

// member is one authority, ready to verify.
type member struct {
	Authority
	cert      *x509.Certificate
	thumb     string // x5t#S256
	key       any    // ed25519.PublicKey or *ecdsa.PublicKey
	recipient age.Recipient
	statusAge time.Duration
}

// MarshalRegistry writes authorities.toml: one [[authority]] table for each.
func MarshalRegistry(list []Authority) ([]byte, error) {
	if _, err := newRegistry(registryFile{Authorities: list}, ""); err != nil {
		return nil, err
	}
	out, err := toml.Marshal(registryFile{Authorities: list})
	return out, domicile.W("write the authority registry", err)
}

// ParseRegistry reads authorities.toml strictly and returns its entries: an unknown key, a repeated authority or key,
// or a wrong value is Invalid and says where.
func ParseRegistry(text []byte) ([]Authority, error) {
	r, err := parseRegistry(text, "")
	if err != nil {
		return nil, err
	}
	return r.list(), nil
}

func loadRegistry(path string) (*registry, error) {
	const op = "read the authority registry"
	f, err := os.Open(path)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRegistry+1))
	if err != nil {
		return nil, domicile.W(op, err)
	}
	return parseRegistry(text, filepath.Dir(path))
}

func parseRegistry(text []byte, dir string) (*registry, error) {
	const op = "read the authority registry"
	if len(text) > maxRegistry {
		return nil, domicile.E(op, domicile.TooLarge, fmt.Sprintf("longer than %d bytes", maxRegistry))
	}
	var file registryFile
	d := toml.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		return nil, domicile.E(op, domicile.Invalid, tomlDetail(err))
	}
	return newRegistry(file, dir)
}

// tomlDetail names line and key of what is wrong.
func tomlDetail(err error) string {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		line, _ := strict.Errors[0].Position()
		return fmt.Sprintf("line %d: unknown key %q", line, strict.Errors[0].Key())
	}
	var dec *toml.DecodeError
	if errors.As(err, &dec) {
		line, _ := dec.Position()
		return fmt.Sprintf("line %d: %v", line, dec)
	}
	return err.Error()
}

func newRegistry(file registryFile, dir string) (*registry, error) {
	const op = "read the authority registry"
	if len(file.Authorities) > maxAuthorities {
		return nil, domicile.E(op, domicile.TooLarge, fmt.Sprintf("more than %d authorities", maxAuthorities))
	}
	l, err := loadLaw()
	if err != nil {
		return nil, err
	}
	r := &registry{frozen: file.Frozen, dir: dir, byThumb: map[string]*member{}, byID: map[string]*member{}}
	for i, a := range file.Authorities {
		m, err := newMember(a, l)
		if err != nil {
			return nil, domicile.E(op, domicile.Invalid, fmt.Sprintf("authority %d (%.64q): %v", i+1, a.ID, err))
		}
		if r.byID[m.ID] != nil || r.byThumb[m.thumb] != nil {
			return nil, domicile.E(op, domicile.Invalid, fmt.Sprintf("authority %d (%.64q): its id or certificate occurs twice", i+1, a.ID))
		}
		r.byID[m.ID], r.byThumb[m.thumb] = m, m
		r.members = append(r.members, m)
	}
	return r, nil
}

func newMember(a Authority, l *law) (*member, error) {
	m := &member{Authority: a}
	if a.ID == "" || len(a.ID) > 128 || len(a.Name) > 256 || len(a.Court) > 256 {
		return nil, errors.New("id must have 1 to 128 characters, name and court at most 256")
	}
	if signsAs[a.Role] == nil {
		return nil, errors.New("role must be issuing, validating, central, executing or enforcing")
	}
	if c, err := domicile.ParseCountry(string(a.Country)); err != nil || c != a.Country {
		return nil, errors.New("country must be an ISO 3166-1 alpha-2 code in upper case")
	}
	for _, o := range a.OrderTypes {
		if _, ok := l.order(o); !ok {
			return nil, fmt.Errorf("order_types names %.64q, which this release does not know", o)
		}
	}
	for _, c := range a.Categories {
		if !slices.Contains(categories, c) {
			return nil, fmt.Errorf("categories names %.64q, which is none of %v", c, categories)
		}
	}
	if err := m.readStatus(); err != nil {
		return nil, err
	}
	if a.Recipient != "" {
		rec, err := age.ParseX25519Recipient(a.Recipient)
		if err != nil {
			return nil, errors.New("recipient is not an age public key (age1…)")
		}
		m.recipient = rec
	}
	return m, m.readCertificate()
}

func (m *member) readStatus() error {
	u, err := url.Parse(m.StatusList)
	if err != nil || u.Scheme != "https" && u.Scheme != "file" {
		return errors.New("status_list must be an https: address or, in a lab, a file: address")
	}
	m.statusAge, err = time.ParseDuration(m.StatusAge)
	if err != nil || m.statusAge <= 0 || m.statusAge > 366*24*time.Hour {
		return errors.New("status_age must be a duration such as 24h, at most 366 days")
	}
	return nil
}

// readCertificate accepts exactly one certificate with an Ed25519 or P-256 key: what the allowed algorithms need.
func (m *member) readCertificate() error {
	block, rest := pem.Decode([]byte(m.Certificate))
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("certificate must be exactly one PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return errors.New("certificate does not parse")
	}
	switch k := cert.PublicKey.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return errors.New("certificate must have an Ed25519 or a P-256 key")
		}
	default:
		return errors.New("certificate must have an Ed25519 or a P-256 key")
	}
	m.cert, m.key, m.thumb = cert, cert.PublicKey, thumbprint(cert.Raw)
	return nil
}

// thumbprint is the x5t#S256 of RFC 7515 4.1.8.
func thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// validOn reports whether the entry and its certificate are in force.
func (m *member) validOn(t time.Time) bool {
	return !t.Before(m.cert.NotBefore) && !t.After(m.cert.NotAfter) &&
		(m.NotBefore.IsZero() || !t.Before(m.NotBefore)) && (m.NotAfter.IsZero() || !t.After(m.NotAfter))
}

// recipientOwner finds whose age key s is.
func (r *registry) recipientOwner(s string) *member {
	for _, m := range r.members {
		if s != "" && m.Recipient == s {
			return m
		}
	}
	return nil
}

func (r *registry) list() []Authority {
	out := make([]Authority, len(r.members))
	for i, m := range r.members {
		out[i] = m.Authority
	}
	return out
}
