package region

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"domicile"
	"domicile/audit"
	"domicile/placement"
)

// Catalog is one verified version of the signed list of regions. Immutable: share it freely, change nothing in it.
type Catalog struct {
	Version   uint64        `toml:"version"`
	Previous  string        `toml:"previous"`  // hex SHA-256 of the text of the version before, "" for version 1
	Issued    time.Time     `toml:"issued"`    // never before that of the version before
	Quorum    int           `toml:"quorum"`    // regions whose signature a change needs, those that it touches aside
	Cosigners int           `toml:"cosigners"` // cosignatures that a disclosure's checkpoint needs
	Entities  []EntityInfo  `toml:"entity"`
	Regions   []RegionInfo  `toml:"region"`
	Domains   []DomainInfo  `toml:"domain"`
	Witnesses []WitnessInfo `toml:"witness"`

	hash string // of the text that was read; "" for one made in memory
}

// EntityInfo is a legal entity. Owners are the entities that control it directly.
type EntityInfo struct {
	ID      domicile.Entity   `toml:"id"`
	Name    string            `toml:"name"`
	Country domicile.Country  `toml:"country"`
	Owners  []domicile.Entity `toml:"owners,omitempty"`
}

// RegionInfo is one region.
type RegionInfo struct {
	Name    domicile.Region    `toml:"name"`
	Country domicile.Country   `toml:"country"`
	Entity  domicile.Entity    `toml:"entity"`
	Serves  []domicile.Country `toml:"serves"`
	Key     string             `toml:"key"`             // note verifier key: signs the catalog, ownership records and the audit log
	Cosign  string             `toml:"cosign"`          // its vkey as a cosigner of others' logs (algorithm 4)
	CA      []string           `toml:"ca"`              // "sha256:<hex>" of the DER of its CA certificates, more than one while rotating
	Hosts   []string           `toml:"hosts,omitempty"` // names at which its customers are at home; the first is the one they are told
}

// DomainInfo is a mail domain and the region that keeps its names.
type DomainInfo struct {
	Name      string          `toml:"name"`
	Registrar domicile.Region `toml:"registrar"`
}

// WitnessInfo is a cosigner that is no region.
type WitnessInfo struct {
	Name          string             `toml:"name"`
	Key           string             `toml:"key"` // its vkey as a cosigner (algorithm 4)
	CA            []string           `toml:"ca"`
	CompellableBy []domicile.Country `toml:"compellable_by"`
}

// witnessPrefix marks a witness where a region's name could stand: "witness/NAME". No region can be called so.
const witnessPrefix = "witness/"

// Hash returns the hex SHA-256 of the text that this version was read from, "" if it was made in memory.
func (c *Catalog) Hash() string { return c.hash }

// Registrar returns the region that keeps a domain's names; ok is false for a domain that the cluster does not serve.
func (c *Catalog) Registrar(domain string) (r domicile.Region, ok bool) {
	for _, d := range c.Domains {
		if d.Name == domain {
			return d.Registrar, true
		}
	}
	return "", false
}

// RegionOfHost returns the region whose customers are at home at a host; ok is false for any other host.
func (c *Catalog) RegionOfHost(host string) (r domicile.Region, ok bool) {
	for _, info := range c.Regions {
		if host != "" && slices.Contains(info.Hosts, host) {
			return info.Name, true
		}
	}
	return "", false
}

// HostOf returns the host that customers of a region are told, "" if it has none.
func (c *Catalog) HostOf(r domicile.Region) string {
	if info, _ := c.Region(r); len(info.Hosts) > 0 {
		return info.Hosts[0]
	}
	return ""
}

// VerifyRegion checks an Ed25519 signature of msg by r's signing key in this version. Refused BadSignature;
// NotExist for a region that the catalog does not know.
func (c *Catalog) VerifyRegion(r domicile.Region, msg, sig []byte) error {
	const op = "verify a region's signature"
	info, ok := c.Region(r)
	if !ok {
		return domicile.E(op, domicile.NotExist, "the catalog has no region "+string(r))
	}
	v, err := note.NewVerifier(info.Key)
	if err != nil {
		return domicile.W(op, err)
	}
	if !v.Verify(msg, sig) {
		return domicile.Refuse(op, domicile.BadSignature, "house/region-signature", "not signed by the key of "+string(r))
	}
	return nil
}

// Region returns what the catalog says of r.
func (c *Catalog) Region(r domicile.Region) (RegionInfo, bool) {
	for _, info := range c.Regions {
		if info.Name == r && r != "" {
			return info, true
		}
	}
	return RegionInfo{}, false
}

// Witness returns what the catalog says of the witness name.
func (c *Catalog) Witness(name string) (WitnessInfo, bool) {
	for _, w := range c.Witnesses {
		if w.Name == name && name != "" {
			return w, true
		}
	}
	return WitnessInfo{}, false
}

// Placement returns the regions as package placement wants them, in the catalog's order.
func (c *Catalog) Placement() []placement.RegionInfo {
	out := make([]placement.RegionInfo, len(c.Regions))
	for i, r := range c.Regions {
		out[i] = placement.RegionInfo{Name: r.Name, Country: r.Country, Serves: slices.Clone(r.Serves)}
	}
	return out
}

// Controllers returns e and every entity that controls it, directly or not, nearest first; cycles are cut.
func (c *Catalog) Controllers(e domicile.Entity) []EntityInfo {
	var out []EntityInfo
	seen := map[domicile.Entity]bool{}
	for queue := []domicile.Entity{e}; len(queue) > 0; queue = queue[1:] {
		if seen[queue[0]] {
			continue
		}
		seen[queue[0]] = true
		if info, ok := c.entity(queue[0]); ok {
			out = append(out, info)
			queue = append(queue, info.Owners...)
		}
	}
	return out
}

func (c *Catalog) entity(id domicile.Entity) (EntityInfo, bool) {
	for _, e := range c.Entities {
		if e.ID == id {
			return e, true
		}
	}
	return EntityInfo{}, false
}

// compellableBy lists the states that can compel a region: where it stands, and those of all who control its entity.
func (c *Catalog) compellableBy(r RegionInfo) []string {
	out := []string{string(r.Country)}
	for _, e := range c.Controllers(r.Entity) {
		out = append(out, string(e.Country))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Pins returns the receipt pins of this version: what a stranger needs to verify receipts offline.
func (c *Catalog) Pins() audit.Pins {
	pins := audit.Pins{Quorum: c.Cosigners}
	for _, r := range c.Regions {
		by := c.compellableBy(r)
		pins.Logs = append(pins.Logs, audit.Pin{VKey: r.Key, Region: string(r.Name), CompellableBy: by})
		pins.Cosigners = append(pins.Cosigners, audit.Pin{VKey: r.Cosign, Region: string(r.Name), CompellableBy: by})
	}
	for _, w := range c.Witnesses {
		by := make([]string, len(w.CompellableBy))
		for i, cc := range w.CompellableBy {
			by[i] = string(cc)
		}
		pins.Cosigners = append(pins.Cosigners, audit.Pin{VKey: w.Key, CompellableBy: by})
	}
	return pins
}

// fingerprints returns the CA fingerprints of a region or, as "witness/NAME", of a witness.
func (c *Catalog) fingerprints(owner domicile.Region) []string {
	if name, ok := strings.CutPrefix(string(owner), witnessPrefix); ok {
		w, _ := c.Witness(name)
		return w.CA
	}
	r, _ := c.Region(owner)
	return r.CA
}

// knows reports whether owner, a region or "witness/NAME", is in the catalog.
func (c *Catalog) knows(owner domicile.Region) bool { return len(c.fingerprints(owner)) > 0 }

// CatalogHash returns the hex SHA-256 of a version's text (the signed text of the note, its last newline included).
// The next version names it as previous; "sha256:" and the hash of version 1 is the genesis pin.
func CatalogHash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// vkeyAlgorithm checks the form of a verifier key, "name+hash+base64", and returns its algorithm and key bytes.
func vkeyAlgorithm(vkey string) (alg byte, key []byte, ok bool) {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, b64, _ := strings.Cut(rest, "+")
	raw, err := base64.StdEncoding.DecodeString(b64)
	if err != nil || len(raw) != 33 || name == "" || strings.ContainsAny(name, " \n\t") {
		return 0, nil, false
	}
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	if hash != hex.EncodeToString(sum[:4]) {
		return 0, nil, false
	}
	return raw[0], raw[1:], true
}
