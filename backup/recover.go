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
	"strings"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/keys"
	"domicile/region"
)

// Recovered says what a data folder was put together from.
type Recovered struct {
	Set
	Leaves uint64 `json:"leaves"` // of the log
}

// RestoreFrom puts a repository's newest state into an empty data folder or, with at, the mail as it was at that time: the log, and what the region
// has promised others, are never taken back. rewind is the store's part (bolt.Rewind), called with its folder. Errors as of Restore. NotExist if
// there is no set of that time.
func RestoreFrom(n Node, dir string, at time.Time, rewind func(storeDir string, at time.Time) error) (Recovered, error) {
	const op = "restore a backup"
	about, err := ReadRepository(dir)
	if err == nil {
		err = n.mine(about)
	}
	if err == nil {
		err = empty(n.Data)
	}
	if err != nil {
		return Recovered{}, domicile.W(op, err)
	}
	set, err := pick(dir, at)
	if err != nil {
		return Recovered{}, domicile.W(op, err)
	}
	root, err := os.OpenRoot(n.Data)
	if err != nil {
		return Recovered{}, domicile.W(op, err)
	}
	defer root.Close()
	r := &recovery{n: n, dir: dir, at: at, out: Recovered{Set: set}, rewind: rewind}
	if err := r.all(root); err != nil {
		return Recovered{}, domicile.W(op, errors.Join(err, sweep(root)))
	}
	return r.out, nil
}

// pick finds the set to begin with: of the newest line that has one, the newest that is not later than at.
func pick(dir string, at time.Time) (set Set, err error) {
	all, err := Sets(dir)
	if err != nil || len(all) == 0 {
		return set, errors.Join(err, domicile.E("restore", domicile.NotExist, dir+" holds no set: a restore needs one"))
	}
	set = all[len(all)-1]
	if at.IsZero() {
		return set, nil
	}
	for i := len(all) - 1; i >= 0 && all[i].Line == set.Line; i-- {
		if !all[i].Made.After(at) {
			return all[i], nil
		}
		err = domicile.E("restore", domicile.NotExist, "the oldest set that a time can be restored from is of "+all[i].Made.Format(time.RFC3339Nano))
	}
	return set, err
}

// recovery is one restore.
type recovery struct {
	n      Node
	dir    string
	at     time.Time
	out    Recovered
	rewind func(string, time.Time) error
	vault  *vault
	secret *keys.Secret
}

// all puts everything into the folder; its stamp comes last, and a folder without it is nobody's.
func (r *recovery) all(root *os.Root) error {
	if err := r.keys(); err != nil {
		return err
	}
	r.vault = newVault(r.dir, r.out.Line, r.n, r.secret.Box(purpose))
	man, err := r.vault.readManifest(r.out.Name)
	if err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return r.store(man) },
		r.files,
		func() error { return r.log(man.Leaves) },
		func() error { return r.rewind(filepath.Join(r.n.Data, "store"), r.at) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	mark, err := json.Marshal(Mark{Format: 1, Made: r.out.Made})
	if err != nil {
		return err
	}
	if err := writeFile(root, markName, strings.NewReader(string(mark)+"\n"), 0o600); err != nil {
		return err
	}
	if err := r.sync(); err != nil {
		return err
	}
	stamp, err := r.vault.all(filesDir + stampName)
	if err != nil {
		return err
	}
	if err := errors.Join(writeFile(root, stampName, bytes.NewReader(stamp), 0o600), syncFolders(root, []string{"."})); err != nil {
		return err
	}
	return region.CheckStamp(r.n.Data, r.n.Region, r.n.Name)
}

// keys restores the account keys, and the secret under which all else is sealed.
func (r *recovery) keys() error {
	f, err := os.Open(filepath.Join(r.dir, keysFile))
	if err != nil {
		return err
	}
	defer f.Close()
	head, clear, err := parseKeysHead(f)
	if err != nil {
		return err
	}
	period, err := r.n.Root.Period(head.Period)
	if err != nil {
		return err
	}
	in, err := period.OpenFrom(keysUse, f, clear)
	if err == nil {
		err = r.n.Root.RestoreCopy(r.n.Data, in)
	}
	if err == nil {
		r.secret, err = r.n.Root.Open(r.n.Data)
	}
	return err
}

// store writes the base of the set, its segments, and those of later.
func (r *recovery) store(man manifest) error {
	for name, size := range man.Files {
		if err := r.file(name, name, size); err != nil {
			return err
		}
	}
	names, err := r.vault.list("store/segments")
	if err != nil {
		return err
	}
	newest, found := uint32(0), 0
	for n := range man.Segments {
		newest = max(newest, n)
	}
	for _, name := range names {
		var number uint32
		if n, _ := fmt.Sscanf(name, "store/segments/%08x.seg", &number); n != 1 {
			return domicile.E("restore", domicile.Invalid, name+" does not belong there")
		}
		size, listed := man.Segments[number]
		if !listed && number <= newest {
			continue // of before the set, and gone then
		}
		if listed {
			found++
		}
		if err := r.file(name, name, size); err != nil {
			return err
		}
	}
	if found != len(man.Segments) {
		return domicile.E("restore", domicile.Invalid, fmt.Sprintf("%d of the set's %d segments are missing", len(man.Segments)-found, len(man.Segments)))
	}
	return nil
}

// files writes the files of the data folder.
func (r *recovery) files() error {
	names, err := r.vault.list(strings.TrimSuffix(filesDir, "/"))
	for _, name := range names {
		if err == nil && name != filesDir+stampName {
			err = r.file(name, strings.TrimPrefix(name, filesDir), 0)
		}
	}
	return err
}

// file opens a file of the vault into one of the data folder, of at least so many bytes.
func (r *recovery) file(name, to string, least int64) error {
	in, err := r.vault.open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	if !filepath.IsLocal(filepath.FromSlash(to)) {
		return domicile.E("restore", domicile.Invalid, "it names a file outside of the folder")
	}
	path := filepath.Join(r.n.Data, filepath.FromSlash(to))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, in)
	if err == nil && n < least {
		err = domicile.E("restore", domicile.Invalid, fmt.Sprintf("%s has %d of %d bytes", name, n, least))
	}
	return errors.Join(err, out.Sync(), out.Close())
}

// log makes the audit log anew of its leaves.
func (r *recovery) log(least uint64) error {
	names, err := r.vault.list("log")
	if err != nil {
		return err
	}
	var in *reader
	defer func() {
		if in != nil {
			in.Close()
		}
	}()
	next := func() (raw, private []byte, err error) {
		for {
			if in != nil {
				if raw, private, err = (&leafReader{in}).next(); raw != nil || err != nil {
					return raw, private, err
				}
				in.Close()
				in = nil
			}
			if len(names) == 0 {
				return nil, nil, nil
			}
			if logFirst(names[0]) != r.out.Leaves {
				return nil, nil, domicile.E("restore", domicile.Invalid, fmt.Sprintf("leaf %d is missing", r.out.Leaves))
			}
			if in, err = r.vault.open(names[0]); err != nil {
				return nil, nil, err
			}
			names = names[1:]
		}
	}
	counted := func() ([]byte, []byte, error) {
		raw, private, err := next()
		if raw != nil {
			r.out.Leaves++
		}
		return raw, private, err
	}
	err = audit.Rebuild(audit.Config{Dir: filepath.Join(r.n.Data, auditDir), Origin: r.n.Signer.Name(), Signer: r.n.Signer, Sealer: r.secret.Box("audit")}, counted)
	if err == nil && r.out.Leaves < least {
		err = domicile.E("restore", domicile.Invalid, fmt.Sprintf("%d of %d leaves of the log are there", r.out.Leaves, least))
	}
	return err
}

// sync makes the folders' names durable.
func (r *recovery) sync() error {
	return filepath.WalkDir(r.n.Data, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = syncDir(path)
		}
		return err
	})
}
