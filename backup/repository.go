package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"domicile"
	"domicile/keys"
)

const (
	aboutFile   = "repository.json"
	setDir      = "sets"
	stampLayout = "20060102T150405.000Z" // UTC; in the names of lines and sets

	// DefaultKeep is how long a period goes on after its month, and for how long back any time of a repository is kept, unless something else is said.
	DefaultKeep = 90 * 24 * time.Hour
)

// About is what a repository says of itself in the clear.
type About struct {
	Format int             `json:"format"` // 1
	Region domicile.Region `json:"region"`
	Node   domicile.Node   `json:"node"`
	Made   time.Time       `json:"made"`
}

// Set is a point from which a restore can begin: which times can be restored from it on, Points says.
type Set struct {
	Line string    `json:"line"`
	Name string    `json:"name"`
	Made time.Time `json:"made"`
}

// openRepository makes the folder, or wants it to be this node's.
func openRepository(n Node, dir string, now time.Time) error {
	about, err := ReadRepository(dir)
	if errors.Is(err, fs.ErrNotExist) {
		raw, err := json.Marshal(About{Format: 1, Region: n.Region, Node: n.Name, Made: now.UTC().Truncate(time.Second)})
		if err != nil {
			return err
		}
		return makeAbout(dir, append(raw, '\n'))
	}
	if err != nil {
		return err
	}
	return n.mine(about)
}

func makeAbout(dir string, raw []byte) error {
	if err := makeDirs(dir); err != nil {
		return err
	}
	temp := filepath.Join(dir, tempMark+aboutFile)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(temp, filepath.Join(dir, aboutFile)), syncDir(dir))
}

// mine refuses what is another region's or node's.
func (n Node) mine(a About) error {
	if a.Region == n.Region && a.Node == n.Name {
		return nil
	}
	return domicile.Refuse("backup", domicile.WrongRegion, "house/backup-of-its-own-region",
		fmt.Sprintf("it is of node %q of region %q, and this is %q of %q: a backup is restored in its own region, by the same node", a.Node, a.Region, n.Name, n.Region))
}

// ReadRepository reads what a repository says of itself. An error with fs.ErrNotExist in its chain if the folder is none.
func ReadRepository(dir string) (a About, err error) {
	const op = "read a backup repository"
	raw, err := os.ReadFile(filepath.Join(dir, aboutFile))
	if err != nil {
		return a, domicile.W(op, err)
	}
	if len(raw) > maxInfo || json.Unmarshal(raw, &a) != nil || a.Format != 1 {
		return a, domicile.E(op, domicile.Invalid, filepath.Join(dir, aboutFile)+" is damaged, or of a newer release")
	}
	return a, nil
}

// Sets lists the sets of a repository, the oldest first.
func Sets(dir string) (all []Set, err error) {
	const op = "list backups"
	lines, err := os.ReadDir(filepath.Join(dir, lineDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, l := range lines {
		names, err := os.ReadDir(filepath.Join(dir, lineDir, l.Name(), setDir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, domicile.W(op, err)
		}
		for _, n := range names {
			if made, err := time.Parse(stampLayout, n.Name()); err == nil {
				all = append(all, Set{l.Name(), n.Name(), made})
			}
		}
	}
	slices.SortFunc(all, func(a, b Set) int { return a.Made.Compare(b.Made) })
	return all, domicile.W(op, err)
}

func newVault(dir, line string, n Node, box *keys.Box) *vault {
	return &vault{dir: filepath.Join(dir, lineDir, line), box: box, ends: map[string]end{}, step: run, count: &counters{},
		bind: "domicile backup v1\x00" + string(n.Region) + "\x00" + string(n.Name) + "\x00" + line}
}

// list returns the files below a folder, by name, without what is not finished; its owner removes that.
func (v *vault) list(folder string) (names []string, err error) {
	err = filepath.WalkDir(v.path(folder), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(v.dir, path)
		if strings.HasPrefix(d.Name(), tempMark) {
			if v.own {
				err = errors.Join(err, os.Remove(path))
			}
			return err
		}
		names = append(names, filepath.ToSlash(name))
		return err
	})
	slices.Sort(names)
	return names, err
}

// readKeysHead reads the clear line of the copy of the account keys.
func readKeysHead(dir string) (head keysHead, err error) {
	f, err := os.Open(filepath.Join(dir, keysFile))
	if err != nil {
		return head, err
	}
	defer f.Close()
	head, _, err = parseKeysHead(f)
	return head, err
}

func parseKeysHead(in io.Reader) (head keysHead, clear []byte, err error) {
	bad := domicile.E("read the copy of the account keys", domicile.Invalid, "it is damaged, or of a newer release")
	one := make([]byte, 1)
	for !bytes.HasSuffix(clear, []byte("\n")) || len(clear) <= len(keysMagic) {
		if _, err := io.ReadFull(in, one); err != nil || len(clear) > maxInfo {
			return head, nil, errors.Join(bad, err)
		}
		clear = append(clear, one...)
	}
	line, ok := bytes.CutPrefix(clear, []byte(keysMagic))
	if !ok || json.Unmarshal(line, &head) != nil {
		return head, nil, bad
	}
	return head, clear, nil
}
