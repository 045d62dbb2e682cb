package region

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/mod/sumdb/note"

	"domicile"
)

// LoadCatalog reads every version in dir (1.toml, 2.toml, …: signed notes whose text is TOML), checks the chain from the
// genesis pin ("sha256:<hex>" of the text of version 1) and the signatures that each step needs, and returns the newest.
// Refused CatalogUnverified, naming the version and what it lacks; an unknown key, or a value that makes no sense, is Invalid.
func LoadCatalog(dir, genesis string) (*Catalog, error) {
	return WalkCatalog(dir, genesis, func(*Catalog, Signatures) {})
}

// WalkCatalog is LoadCatalog, and shows each version that holds, with who signed it, the first one first.
func WalkCatalog(dir, genesis string, version func(*Catalog, Signatures)) (*Catalog, error) {
	newest, err := newestVersion(dir)
	if err != nil {
		return nil, err
	}
	var prev *Catalog
	for v := uint64(1); v <= newest; v++ {
		name := filepath.Join(dir, strconv.FormatUint(v, 10)+".toml")
		signed, err := readBounded(name, maxCatalogBytes)
		if os.IsNotExist(err) {
			return nil, unverified(v, "it is missing in "+dir+", and a gap is not accepted")
		} else if err != nil {
			return nil, domicile.W("catalog", err)
		}
		c, by, err := nextVersion(prev, v, signed, genesis)
		if err != nil {
			return nil, err
		}
		version(c, by)
		prev = c
	}
	return prev, nil
}

// newestVersion returns the highest N of the files N.toml in dir. Other names are none of the catalog's.
func newestVersion(dir string) (newest uint64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, domicile.W("catalog", err)
	}
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), ".toml")
		v, err := strconv.ParseUint(base, 10, 64)
		if ok && err == nil && strconv.FormatUint(v, 10) == base {
			newest = max(newest, v)
		}
	}
	switch {
	case newest == 0:
		return 0, unverified(1, "there is no 1.toml in "+dir)
	case newest > maxVersions:
		return 0, unverified(newest, fmt.Sprintf("more than %d versions", maxVersions))
	}
	return newest, nil
}

// nextVersion verifies one signed version on top of prev (nil for version 1, which genesis pins).
func nextVersion(prev *Catalog, v uint64, signed []byte, genesis string) (*Catalog, Signatures, error) {
	text, err := noteText(signed)
	if err != nil {
		return nil, Signatures{}, unverified(v, err.Error())
	}
	if prev == nil && "sha256:"+CatalogHash(text) != genesis {
		return nil, Signatures{}, unverified(v, "its text does not match the genesis pin of the configuration")
	}
	c, err := parseCatalog(text)
	if err != nil {
		return nil, Signatures{}, domicile.W(fmt.Sprintf("catalog version %d", v), err)
	}
	if err := c.follows(prev, v); err != nil {
		return nil, Signatures{}, err
	}
	by, err := c.signatures(prev, signed)
	if err == nil {
		err = by.complete(v)
	}
	return c, by, err
}

// follows checks that c is version v, and the one after prev (nil for version 1).
func (c *Catalog) follows(prev *Catalog, v uint64) error {
	switch {
	case c.Version != v:
		return unverified(v, fmt.Sprintf("it says that it is version %d", c.Version))
	case prev == nil && c.Previous != "", prev != nil && c.Previous != prev.hash:
		return unverified(v, "it does not follow from the version before: previous is another hash")
	case prev != nil && c.Issued.Before(prev.Issued):
		return unverified(v, "it was issued before the version that it follows")
	}
	return nil
}

// parseCatalog reads and checks the text of one version, without its signatures.
func parseCatalog(text []byte) (*Catalog, error) {
	if len(text) > maxCatalogBytes {
		return nil, bad("the text is too long")
	}
	c := &Catalog{hash: CatalogHash(text)}
	dec := toml.NewDecoder(bytes.NewReader(text))
	if err := dec.DisallowUnknownFields().Decode(c); err != nil {
		return nil, bad(tomlError(err))
	}
	return c, c.check()
}

// tomlError says where and what, without the excerpt that go-toml would draw.
func tomlError(err error) string {
	switch e := err.(type) {
	case *toml.StrictMissingError:
		row, _ := e.Errors[0].Position()
		return fmt.Sprintf("line %d: unknown key %s", row, strings.Join(e.Errors[0].Key(), "."))
	case *toml.DecodeError:
		row, _ := e.Position()
		return fmt.Sprintf("line %d: %s", row, e.Error())
	}
	return err.Error()
}

// noteText returns the signed text of a note without looking at its signatures.
func noteText(signed []byte) ([]byte, error) {
	n, err := note.Open(signed, note.VerifierList())
	if u, ok := err.(*note.UnverifiedNoteError); ok {
		return []byte(u.Note.Text), nil
	} else if err != nil {
		return nil, err
	}
	return []byte(n.Text), nil
}

func unverified(v uint64, detail string) error {
	return domicile.Refuse(fmt.Sprintf("catalog version %d", v), domicile.CatalogUnverified, "house/catalog-chain", detail)
}

// readBounded reads a file that may hold at most limit bytes.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		return nil, domicile.E(name, domicile.TooLarge, fmt.Sprintf("larger than %d bytes", limit))
	}
	return b, err
}
