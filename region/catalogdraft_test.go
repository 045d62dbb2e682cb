package region

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
)

// missing are the regions whose own signature a draft still lacks.
func missing(t *testing.T, d *Draft) (out []domicile.Region) {
	t.Helper()
	s, err := d.Signatures()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Missing() {
		out = append(out, m.Region)
	}
	return out
}

// TestCeremony follows a catalog from nothing to a second version in which a region comes, and one changes its key: at each
// step it is known who must still sign, and nothing is installed before they did.
func TestCeremony(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	dir, now := filepath.Join(t.TempDir(), "catalog"), time.Now()
	first, err := Propose(w.cat.Copy(), nil, now)
	if err != nil || first.Catalog.Version != 1 || first.Catalog.Previous != "" {
		t.Fatalf("%+v, %v", first, err)
	}
	genesis := "sha256:" + first.Catalog.Hash()
	if got := missing(t, first); !slices.Equal(got, []domicile.Region{"eu-ireland", "us-east"}) {
		t.Errorf("missing %v", got)
	}
	carried := first
	for i, r := range []domicile.Region{"us-east", "eu-ireland"} {
		carried = must(ReadDraft(carried.Bytes(), nil)) // as a file goes from hand to hand
		if _, err := InstallDraft(dir, genesis, carried.Bytes()); err == nil {
			t.Fatalf("installed with %d signatures", i)
		}
		for range 2 { // the second time changes nothing
			if by, err := carried.Sign(w.signer[r]); err != nil || by != r {
				t.Fatalf("%s, %v", by, err)
			}
		}
	}
	if s := must(carried.Signatures()); !s.Complete() || bytes.Count(carried.Bytes(), []byte("\n— ")) != 2 {
		t.Errorf("%+v\n%s", s, carried.Bytes())
	}
	_, err = InstallDraft(dir, "sha256:"+strings.Repeat("0", 64), carried.Bytes())
	wantReason(t, err, domicile.CatalogUnverified)
	c1, err := InstallDraft(dir, genesis, carried.Bytes())
	if err != nil {
		t.Fatal(err)
	}

	next := c1.Copy()
	next.Merge(&Catalog{Regions: []RegionInfo{w.region("fr-south", "FR")}})
	oldUS := w.signer["us-east"]
	w.signer["us-east"] = newSigner(oldUS.name)
	next.Regions[0].Key, next.Regions[0].Cosign = w.signer["us-east"].vkey(), w.signer["us-east"].cosignKey()
	second, err := Propose(next, c1, now)
	if err != nil {
		t.Fatal(err)
	}
	if got := second.Catalog.Changes(c1); len(got) != 2 || !strings.HasPrefix(got[0], "region us-east: changed: key ") || !strings.HasPrefix(got[1], "region fr-south: new: country FR") {
		t.Errorf("changes %q", got)
	}
	_, err = second.Sign(newSigner("example.com/domicile/us-east"))
	wantReason(t, err, domicile.BadSignature)
	for _, s := range []struct {
		by      testSigner
		missing []domicile.Region
	}{{w.signer["us-east"], []domicile.Region{"fr-south", "us-east"}}, {oldUS, []domicile.Region{"fr-south"}}, {w.signer["fr-south"], nil}} {
		if _, err := second.Sign(s.by); err != nil {
			t.Fatal(err)
		}
		if got := missing(t, second); !slices.Equal(got, s.missing) {
			t.Errorf("missing %v, want %v", got, s.missing)
		}
	}
	if s := must(second.Signatures()); !s.Complete() || s.Quorum != 1 {
		t.Errorf("%+v", s)
	}
	if _, err := InstallDraft(dir, genesis, second.Bytes()); err != nil {
		t.Fatal(err)
	}
	var versions []uint64
	if c, err := WalkCatalog(dir, genesis, func(c *Catalog, s Signatures) { versions = append(versions, c.Version) }); err != nil || c.Version != 2 || len(versions) != 2 {
		t.Errorf("%v, %v", versions, err)
	}
	_, err = ReadDraft(second.Bytes(), must(LoadCatalog(dir, genesis)))
	wantReason(t, err, domicile.CatalogUnverified) // it is no draft any more
}

func TestProposalsRefused(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	_, err := Propose(w.cat.Copy(), w.cat, time.Now())
	wantKind(t, err, domicile.Invalid) // nothing changes
	twisted := w.cat.Copy()
	twisted.Quorum = 9
	_, err = Propose(twisted, w.cat, time.Now())
	wantKind(t, err, domicile.Invalid)
	early := w.cat.Copy()
	early.Quorum = 2
	_, err = Propose(early, w.cat, w.cat.Issued.Add(-time.Hour))
	wantReason(t, err, domicile.ClockUnsure)
	swapped := w.cat.Copy()
	slices.Reverse(swapped.Regions)
	if got := swapped.Changes(w.cat); !slices.Equal(got, []string{"region: the order changes"}) {
		t.Errorf("%q", got)
	}
}

func TestEntries(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	text := must(w.cat.MarshalEntries())
	back := must(ParseEntries(text))
	var empty Catalog
	empty.Merge(back)
	if len(empty.Regions) != 2 || len(empty.Entities) != 2 || len(empty.Witnesses) != 1 || len(empty.Domains) != 1 || !sameRegion(empty.Regions[1], w.cat.Regions[1]) {
		t.Errorf("%+v", empty)
	}
	empty.Merge(&Catalog{Domains: []DomainInfo{{"example.com", "eu-ireland"}, {"example.org", "us-east"}}})
	if len(empty.Domains) != 2 || empty.Domains[0].Registrar != "eu-ireland" || back.Domains[0].Registrar != "us-east" {
		t.Errorf("%+v, %+v", empty.Domains, back.Domains)
	}
	for _, bad := range []string{"quorum = 1\n", "version = 1\n", "[[region]]\nnmae = 'x'\n", "[[region]", strings.Repeat("#", maxCatalogBytes+1)} {
		if _, err := ParseEntries([]byte(bad)); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func FuzzReadDraft(f *testing.F) {
	f.Add([]byte("version = 1\n"))
	f.Add([]byte("version = 1\n\n— x AAAA\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if d, err := ReadDraft(raw, nil); err == nil {
			if _, err := d.Signatures(); err != nil && domicile.KindOf(err) == domicile.Other {
				t.Error(err)
			}
		}
	})
}
