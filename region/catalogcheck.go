package region

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"domicile"
)

// The limits of one catalog. A cluster is dozens of regions; a list that is longer is not ours.
const (
	maxCatalogBytes = 1 << 20
	maxVersions     = 10_000
	maxEntities     = 1024
	maxRegions      = 96 // version 1 is signed by all, and a signed note has at most 100 signatures
	maxDomains      = 10_000
	maxWitnesses    = 64
	maxCAs          = 8
	maxCatalogText  = 256 // bytes of one name
	maxHosts        = 16  // of one region
)

// The two algorithms of a verifier key: Ed25519 of a signed note, and the cosignature of C2SP tlog-cosignature.
const (
	algNote   = 1
	algCosign = 4
)

// check holds a version's content against the rules that need no other version.
func (c *Catalog) check() error {
	switch {
	case c.Version == 0:
		return bad("version is missing")
	case c.Issued.IsZero():
		return bad("issued is missing")
	case len(c.Regions) == 0 || len(c.Regions) > maxRegions || len(c.Entities) > maxEntities ||
		len(c.Domains) > maxDomains || len(c.Witnesses) > maxWitnesses:
		return bad("no region, or more entries than the limits allow")
	case c.Quorum < 1 || c.Quorum > len(c.Regions):
		return bad("quorum must be between 1 and the number of regions")
	case c.Cosigners < 1 || c.Cosigners > len(c.Regions)-1+len(c.Witnesses):
		return bad("cosigners must be between 1 and the number of other regions and witnesses")
	}
	for _, step := range []func() error{c.checkEntities, c.checkRegions, c.checkDomains, c.checkWitnesses, c.checkKeys} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Catalog) checkEntities() error {
	seen := map[domicile.Entity]bool{}
	for _, e := range c.Entities {
		if !isEntity(e.ID) || seen[e.ID] {
			return bad(fmt.Sprintf("entity %q: the id is malformed or used twice", e.ID))
		}
		seen[e.ID] = true
		if len(e.Name) > maxCatalogText || len(e.Owners) > maxEntities {
			return bad(fmt.Sprintf("entity %q: a field is too long", e.ID))
		}
		if err := checkCountries("entity "+string(e.ID), e.Country); err != nil {
			return err
		}
	}
	for _, e := range c.Entities {
		for _, o := range e.Owners {
			if !seen[o] {
				return bad(fmt.Sprintf("entity %q: its owner %q is not listed", e.ID, o))
			}
		}
	}
	return nil
}

func (c *Catalog) checkRegions() error {
	seen, hosts := map[domicile.Region]bool{}, map[string]bool{}
	for _, r := range c.Regions {
		where := "region " + string(r.Name)
		if _, err := domicile.ParseRegion(string(r.Name)); err != nil || seen[r.Name] || r.Name == "witness" {
			return bad(fmt.Sprintf("region %q: the name is malformed, reserved or used twice", r.Name))
		}
		seen[r.Name] = true
		if _, ok := c.entity(r.Entity); !ok {
			return bad(fmt.Sprintf("%s: its entity %q is not listed", where, r.Entity))
		}
		if err := checkCountries(where, append([]domicile.Country{r.Country}, r.Serves...)...); err != nil {
			return err
		}
		if served := slices.Clone(r.Serves); len(served) != len(slices.Compact(sorted(served))) {
			return bad(where + ": serves a country twice")
		}
		if err := checkCA(where, r.CA); err != nil {
			return err
		}
		if len(r.Hosts) > maxHosts {
			return bad(fmt.Sprintf("%s: more than %d hosts", where, maxHosts))
		}
		for _, h := range r.Hosts {
			if !isPublicHost(h) || hosts[h] {
				return bad(fmt.Sprintf("%s: the host %q is no name in lower case, or is listed twice", where, h))
			}
			hosts[h] = true
		}
	}
	return nil
}

// isPublicHost wants two labels at least, the last not a number: no address can be meant.
func isPublicHost(h string) bool {
	at := strings.LastIndexByte(h, '.')
	return isHost(h) && at > 0 && strings.Trim(h[at+1:], "0123456789") != ""
}

func (c *Catalog) checkDomains() error {
	seen := map[string]bool{}
	for _, d := range c.Domains {
		if d.Name == "" || len(d.Name) > 253 || d.Name != strings.ToLower(d.Name) || strings.ContainsAny(d.Name, " @/\\\n") || seen[d.Name] {
			return bad(fmt.Sprintf("domain %q: the name is malformed, not in lower case, or used twice", d.Name))
		}
		seen[d.Name] = true
		if _, ok := c.Region(d.Registrar); !ok {
			return bad(fmt.Sprintf("domain %q: its registrar %q is no region", d.Name, d.Registrar))
		}
	}
	return nil
}

func (c *Catalog) checkWitnesses() error {
	seen := map[string]bool{}
	for _, w := range c.Witnesses {
		where := "witness " + w.Name
		if _, err := domicile.ParseRegion(w.Name); err != nil || seen[w.Name] {
			return bad(fmt.Sprintf("witness %q: the name is malformed or used twice", w.Name))
		}
		seen[w.Name] = true
		if err := checkCountries(where, w.CompellableBy...); err != nil {
			return err
		}
		if err := checkCA(where, w.CA); err != nil {
			return err
		}
	}
	return nil
}

// checkKeys wants every key well-formed and held by one owner only: a shared key would let one region sign as two.
// A region's Key and Cosign may be one key pair under two algorithms.
func (c *Catalog) checkKeys() error {
	owners := map[string]string{}
	claim := func(where, vkey string, alg byte) error {
		a, key, ok := vkeyAlgorithm(vkey)
		if !ok || a != alg {
			return bad(fmt.Sprintf("%s: a key is malformed or not of algorithm %d", where, alg))
		}
		name, _, _ := strings.Cut(vkey, "+")
		for _, mark := range []string{"key " + string(key), "name " + name} {
			if o, ok := owners[mark]; ok && o != where {
				return bad(where + ": shares a key or a key name with " + o)
			}
			owners[mark] = where
		}
		return nil
	}
	for _, r := range c.Regions {
		if err := claim("region "+string(r.Name), r.Key, algNote); err != nil {
			return err
		}
		if err := claim("region "+string(r.Name), r.Cosign, algCosign); err != nil {
			return err
		}
	}
	for _, w := range c.Witnesses {
		if err := claim("witness "+w.Name, w.Key, algCosign); err != nil {
			return err
		}
	}
	return c.checkCAOwners()
}

// checkCAOwners refuses a certificate authority that speaks for two.
func (c *Catalog) checkCAOwners() error {
	seen := map[string]bool{}
	var all []string
	for _, r := range c.Regions {
		all = append(all, r.CA...)
	}
	for _, w := range c.Witnesses {
		all = append(all, w.CA...)
	}
	for _, fp := range all {
		if seen[fp] {
			return bad("the CA fingerprint " + fp + " is listed twice")
		}
		seen[fp] = true
	}
	return nil
}

// isEntity wants 1 to 64 letters, digits, '.', '_' or '-'.
func isEntity(id domicile.Entity) bool {
	for _, r := range id {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			return false
		}
	}
	return id != "" && len(id) <= 64
}

func checkCountries(where string, list ...domicile.Country) error {
	for _, cc := range list {
		if got, err := domicile.ParseCountry(string(cc)); err != nil || got != cc {
			return bad(fmt.Sprintf("%s: %q is not an ISO 3166-1 alpha-2 code in upper case", where, cc))
		}
	}
	return nil
}

func checkCA(where string, list []string) error {
	if len(list) == 0 || len(list) > maxCAs {
		return bad(fmt.Sprintf("%s: 1 to %d CA fingerprints are needed", where, maxCAs))
	}
	for _, fp := range list {
		h, ok := strings.CutPrefix(fp, "sha256:")
		if raw, err := hex.DecodeString(h); !ok || err != nil || len(raw) != 32 || h != strings.ToLower(h) {
			return bad(where + ": a CA fingerprint is not sha256: and 64 lower-case hex digits")
		}
	}
	return nil
}

func sorted[T ~string](s []T) []T { slices.Sort(s); return s }

// bad is an error of a catalog's content; LoadCatalog adds which version.
func bad(detail string) error { return domicile.E("catalog", domicile.Invalid, detail) }
