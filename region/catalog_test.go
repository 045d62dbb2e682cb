package region

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"domicile"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func TestCatalogAnswers(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	c := w.cat
	if r, ok := c.Registrar("example.com"); !ok || r != "us-east" {
		t.Errorf("registrar %q", r)
	}
	if _, ok := c.Registrar("example.org"); ok {
		t.Error("a domain that is not served has a registrar")
	}
	var ids []domicile.Entity
	for _, e := range c.Controllers("sub-ie") {
		ids = append(ids, e.ID)
	}
	if !slices.Equal(ids, []domicile.Entity{"sub-ie", "parent-us"}) {
		t.Errorf("controllers %v", ids)
	}
	msg := []byte("m")
	sig, _ := w.signer["eu-ireland"].Sign(msg)
	if err := c.VerifyRegion("eu-ireland", msg, sig); err != nil {
		t.Error(err)
	}
	wantReason(t, c.VerifyRegion("us-east", msg, sig), domicile.BadSignature)
	wantKind(t, c.VerifyRegion("", msg, sig), domicile.NotExist)
	pins := c.Pins()
	if len(pins.Logs) != 2 || len(pins.Cosigners) != 3 || pins.Quorum != 1 || strings.Join(pins.Logs[1].CompellableBy, " ") != "IE US" ||
		strings.Join(pins.Cosigners[2].CompellableBy, " ") != "CH" {
		t.Errorf("pins %+v", pins)
	}
}

// TestCatalogChain is the table of what each step needs.
func TestCatalogChain(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(w *world, c *Catalog)
		by     []domicile.Region
		want   string // in the refusal; "" = accepted
	}{
		{"nothing, by the quorum", func(*world, *Catalog) {}, []domicile.Region{"us-east", "eu-ireland"}, ""},
		{"nothing, by too few", func(*world, *Catalog) {}, []domicile.Region{"us-east"}, "quorum is 2"},
		{"a stranger does not count", func(w *world, _ *Catalog) { w.add("xx") }, []domicile.Region{"us-east", "xx"}, "quorum is 2"},
		{"a region without its word", func(_ *world, c *Catalog) { c.Regions[2].Serves = nil }, []domicile.Region{"us-east", "eu-ireland"}, "fr-south"},
		{"a region with it", func(_ *world, c *Catalog) { c.Regions[2].Serves = nil }, []domicile.Region{"us-east", "fr-south"}, ""},
		{"who serves first", func(_ *world, c *Catalog) { c.Regions[0].Serves = []domicile.Country{"US", "FR"} }, []domicile.Region{"us-east", "eu-ireland"}, "fr-south"},
		{"removed without its word", func(_ *world, c *Catalog) { c.Regions = c.Regions[:2] }, []domicile.Region{"us-east", "eu-ireland"}, "fr-south"},
		{"a registrar, old and new", func(_ *world, c *Catalog) { c.Domains[0].Registrar = "eu-ireland" }, []domicile.Region{"us-east", "fr-south"}, "eu-ireland"},
		{"a registrar, with both", func(_ *world, c *Catalog) { c.Domains[0].Registrar = "eu-ireland" }, []domicile.Region{"us-east", "eu-ireland"}, ""},
		{"an owner", func(_ *world, c *Catalog) { c.Entities[1].Owners = nil }, []domicile.Region{"us-east", "eu-ireland"}, "fr-south"},
		{"a witness touches all", func(_ *world, c *Catalog) { c.Witnesses[0].CompellableBy = nil }, []domicile.Region{"us-east", "eu-ireland"}, "fr-south"},
		{"the quorum touches all", func(_ *world, c *Catalog) { c.Quorum = 1 }, []domicile.Region{"us-east", "eu-ireland"}, "fr-south"},
		{"a new region unsigned", func(w *world, c *Catalog) { c.Regions = append(c.Regions, w.region("jp-1", "JP")) }, []domicile.Region{"us-east", "eu-ireland", "fr-south"}, "jp-1 by its new key"},
		{"a new region signs itself in", func(w *world, c *Catalog) { c.Regions = append(c.Regions, w.region("jp-1", "JP")) }, []domicile.Region{"us-east", "eu-ireland", "jp-1"}, ""},
		{"another previous", func(_ *world, c *Catalog) { c.Previous = strings.Repeat("0", 64) }, []domicile.Region{"us-east", "eu-ireland", "fr-south"}, "does not follow"},
		{"back in time", func(_ *world, c *Catalog) { c.Issued = c.Issued.Add(-time.Second) }, []domicile.Region{"us-east", "eu-ireland", "fr-south"}, "issued before"},
		{"another number", func(_ *world, c *Catalog) { c.Version = 7 }, []domicile.Region{"us-east", "eu-ireland", "fr-south"}, "says that it is version 7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "us-east", "eu-ireland", "fr-south")
			next := w.next()
			c.change(w, next)
			w.write(2, must(next.Marshal()), c.by...)
			got, err := LoadCatalog(w.dir, w.genesis)
			if c.want == "" {
				if err != nil || got.Version != 2 {
					t.Fatal(err)
				}
				return
			}
			wantReason(t, err, domicile.CatalogUnverified)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v does not say %q", err, c.want)
			}
		})
	}
}

func TestCatalogFiles(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	_, err := LoadCatalog(w.dir, "sha256:"+strings.Repeat("0", 64))
	wantReason(t, err, domicile.CatalogUnverified)
	_, err = LoadCatalog(t.TempDir(), w.genesis)
	wantReason(t, err, domicile.CatalogUnverified)

	next := w.next()
	next.Version = 3
	w.write(3, must(next.Marshal()), "us-east", "eu-ireland")
	_, err = LoadCatalog(w.dir, w.genesis)
	wantReason(t, err, domicile.CatalogUnverified)
	if !strings.Contains(err.Error(), "version 2") {
		t.Errorf("the gap is not named: %v", err)
	}
	if err := writeVersion(w.dir, 3, []byte("x")); domicile.KindOf(err) != domicile.Exist {
		t.Errorf("a version was replaced: %v", err)
	}

	one := newWorld(t, "us-east")
	text := must(one.cat.Marshal())
	for name, change := range map[string]string{
		"unknown key": "version = 1\nfoo = 1\n", "unknown country": "serves = ['XX']",
	} {
		dir := t.TempDir()
		was := "version = 1\n"
		if !strings.HasPrefix(change, "version") {
			was = "serves = ['US']"
		}
		bad := strings.Replace(string(text), was, change, 1)
		os.WriteFile(filepath.Join(dir, "1.toml"), must(signCatalog([]byte(bad), one.signer["us-east"])), 0o644)
		_, err := LoadCatalog(dir, "sha256:"+CatalogHash([]byte(bad)))
		if domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAdvanceCatalogAndStamp(t *testing.T) {
	w := newWorld(t, "us-east", "eu-ireland")
	dir := t.TempDir()
	if err := Stamp(dir, "us-east", "us-1"); err != nil {
		t.Fatal(err)
	}
	if err := Stamp(dir, "us-east", "us-1"); err != nil {
		t.Error(err)
	}
	wantReason(t, Stamp(dir, "eu-ireland", "us-1"), domicile.WrongRegion)
	wantReason(t, Stamp(dir, "us-east", "us-2"), domicile.WrongRegion)
	full := t.TempDir()
	os.WriteFile(filepath.Join(full, "x"), nil, 0o600)
	wantReason(t, Stamp(full, "us-east", "us-1"), domicile.WrongRegion)

	first := w.cat
	w.write(2, must(w.next().Marshal()), "us-east", "eu-ireland")
	second := must(LoadCatalog(w.dir, w.genesis))
	for _, c := range []*Catalog{first, first, second} {
		if err := AdvanceCatalog(dir, c); err != nil {
			t.Fatal(err)
		}
	}
	wantReason(t, AdvanceCatalog(dir, first), domicile.CatalogUnverified)
	fork := *second
	fork.hash = "another"
	wantReason(t, AdvanceCatalog(dir, &fork), domicile.CatalogUnverified)
}
