package region

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"domicile"
)

// stampFile marks a data folder; seenFile holds the newest catalog that a node of this folder accepted.
const (
	stampFile = "domicile.stamp"
	seenFile  = "catalog.seen"
	LockFile  = "node.lock" // held by the process that uses the folder; says nothing
)

// stamp is the content of stampFile, one JSON object.
type stamp struct {
	Format int             `json:"format"` // 1
	Region domicile.Region `json:"region"` // "" for a witness
	Node   domicile.Node   `json:"node"`
}

// CheckStamp says what Stamp would, and changes nothing: nil for a folder that is this node's, or that is still to be made.
func CheckStamp(dir string, r domicile.Region, n domicile.Node) error {
	const op = "look at the data folder"
	raw, err := readBounded(filepath.Join(dir, stampFile), 4096)
	if err == nil {
		return readStamp(op, dir, raw, stamp{Format: 1, Region: r, Node: n})
	} else if !errors.Is(err, os.ErrNotExist) {
		return domicile.W(op, err)
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return unmarked(op, dir)
}

// ReadStamp tells whose data folder dir is. NotExist if nobody has marked it.
func ReadStamp(dir string) (domicile.Region, domicile.Node, error) {
	const op = "look at the data folder"
	raw, err := readBounded(filepath.Join(dir, stampFile), 4096)
	if errors.Is(err, os.ErrNotExist) {
		return "", "", domicile.E(op, domicile.NotExist, dir+" has no stamp: it is no data folder of a node")
	} else if err != nil {
		return "", "", domicile.W(op, err)
	}
	var got stamp
	if err := json.Unmarshal(raw, &got); err != nil || got.Format != 1 {
		return "", "", domicile.E(op, domicile.Invalid, dir+" has a stamp that this release cannot read")
	}
	return got.Region, got.Node, nil
}

// Stamp marks dir as belonging to region r (for a witness "") and node n when it is new (absent or empty; it is made),
// and refuses WrongRegion when it is another's, or holds files that nobody has marked.
func Stamp(dir string, r domicile.Region, n domicile.Node) error {
	const op = "open the data folder"
	if n == "" {
		return domicile.E(op, domicile.Invalid, "a node's name is needed")
	}
	if err := makeDir(dir); err != nil {
		return domicile.W(op, err)
	}
	want := stamp{Format: 1, Region: r, Node: n}
	raw, err := readBounded(filepath.Join(dir, stampFile), 4096)
	if errors.Is(err, os.ErrNotExist) {
		return makeStamp(dir, want)
	} else if err != nil {
		return domicile.W(op, err)
	}
	return readStamp(op, dir, raw, want)
}

func readStamp(op, dir string, raw []byte, want stamp) error {
	var got stamp
	if err := json.Unmarshal(raw, &got); err != nil || got.Format != want.Format {
		return domicile.E(op, domicile.Invalid, dir+" has a stamp that this release cannot read")
	}
	if got != want {
		return domicile.Refuse(op, domicile.WrongRegion, "house/data-stamp",
			fmt.Sprintf("%s belongs to node %q of region %q, not to %q of %q", dir, got.Node, got.Region, want.Node, want.Region))
	}
	return nil
}

// unmarked refuses a folder without a stamp that holds files.
func unmarked(op, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return domicile.W(op, err)
	}
	for _, e := range entries {
		// lost+found: the root of a file system of its own. .tmp-: an earlier try that a crash cut short.
		if e.Name() != "lost+found" && !strings.HasPrefix(e.Name(), ".tmp-") {
			return domicile.Refuse(op, domicile.WrongRegion, "house/data-stamp", dir+" holds files but no stamp: nobody can say whose they are")
		}
	}
	return nil
}

func makeStamp(dir string, want stamp) error {
	if err := unmarked("open the data folder", dir); err != nil {
		return err
	}
	raw, err := json.Marshal(want)
	if err != nil {
		return err
	}
	return writeOnce(filepath.Join(dir, stampFile), append(raw, '\n'), 0o600)
}

// Lock makes this process the only one that uses a data folder, until release is called or it ends. Unavailable if another does.
func Lock(dir string) (release func() error, err error) {
	const op = "lock the data folder"
	f, err := os.OpenFile(filepath.Join(dir, LockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, domicile.E(op, domicile.Unavailable, "another node uses "+dir+" already; stop it first")
		}
		return nil, domicile.W(op, err)
	}
	return f.Close, nil
}

// seen is the content of seenFile.
type seen struct {
	Version uint64 `json:"version"`
	Hash    string `json:"hash"`
}

// CheckCatalog says what AdvanceCatalog would, and changes nothing.
func CheckCatalog(dir string, c *Catalog) error {
	was, err := readSeen(dir)
	if err != nil {
		return err
	}
	return was.accepts(c)
}

// readSeen returns the newest catalog that a node of this folder accepted, zero if none.
func readSeen(dir string) (was seen, err error) {
	name := filepath.Join(dir, seenFile)
	raw, err := readBounded(name, 4096)
	if errors.Is(err, os.ErrNotExist) {
		return was, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &was)
	}
	return was, domicile.W("read "+name, err)
}

func (was seen) accepts(c *Catalog) error {
	switch {
	case c.Version < was.Version:
		return unverified(c.Version, fmt.Sprintf("this node has accepted version %d already, and goes back to no older one", was.Version))
	case c.Version == was.Version && c.hash != was.Hash:
		return unverified(c.Version, "this node has accepted another catalog of the same number")
	}
	return nil
}

// AdvanceCatalog remembers c in the data folder dir as the newest catalog seen, and refuses CatalogUnverified if an
// earlier run, or an earlier call, saw a newer one or another one of the same number: a folder of catalog files that
// was rolled back is not accepted.
func AdvanceCatalog(dir string, c *Catalog) error {
	was, err := readSeen(dir)
	if err == nil {
		err = was.accepts(c)
	}
	if err != nil || was == (seen{c.Version, c.hash}) {
		return err
	}
	raw, err := json.Marshal(seen{c.Version, c.hash})
	if err != nil {
		return err
	}
	return domicile.W("remember the catalog", replaceFile(filepath.Join(dir, seenFile), append(raw, '\n'), 0o600))
}

// writeOnce makes a file durably and whole; Exist if there is one.
func writeOnce(name string, content []byte, mode os.FileMode) error {
	tmp, err := writeTemp(name, content, mode)
	if err != nil {
		return domicile.W("write "+name, err)
	}
	defer os.Remove(tmp)
	if err := os.Link(tmp, name); errors.Is(err, os.ErrExist) {
		return domicile.E("write "+name, domicile.Exist, "it exists already")
	} else if err != nil {
		return domicile.W("write "+name, err)
	}
	return syncDir(filepath.Dir(name))
}

// replaceFile puts content in a file's place, durably and whole.
func replaceFile(name string, content []byte, mode os.FileMode) error {
	tmp, err := writeTemp(name, content, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, name); err != nil {
		os.Remove(tmp)
		return err
	}
	return syncDir(filepath.Dir(name))
}

func writeTemp(name string, content []byte, mode os.FileMode) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".tmp-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// makeDir makes a folder for its owner only, and those above it that are missing, all durable.
func makeDir(dir string) error {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	if _, err := os.Stat(parent); errors.Is(err, os.ErrNotExist) && parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := syncDir(parent); !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil // a folder that we may not read is none that we made dir in
}

// syncDir makes a new or removed name durable. Some file systems cannot sync a folder; that alone is no failure.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil
}
