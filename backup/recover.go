package backup

import (
	"bytes"
	"context"
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
	"domicile/keys"
	"domicile/region"
)

// Recovered says what a data folder was put together from.
type Recovered struct {
	Set
	State  time.Time `json:"state"`  // the mail is as it was when it was changed the last time before that
	Leaves uint64    `json:"leaves"` // of the log
}

// Recovery says what is restored, and how.
type Recovery struct {
	Dir string    // the repository
	At  time.Time // the mail as it was then, one of Points; zero: the newest state
	// Rewind is the store's part (bolt.Rewind), called with its folder, with one from which the region's tables come, "" if At is zero, and with At.
	Rewind   func(storeDir, newestDir string, at time.Time) (last time.Time, err error)
	Progress func(done, total int64) // bytes of the repository that were read, now and then; may be nil
}

// RestoreFrom puts a repository's newest state into an empty data folder or, with At, the mail as it was at that time: the log, and what the region
// has promised others, are never taken back. Errors as of Restore. NotExist if the repository does not hold that time; it names the nearest.
func RestoreFrom(ctx context.Context, n Node, from Recovery) (Recovered, error) {
	const op = "restore a backup"
	about, err := ReadRepository(from.Dir)
	if err == nil {
		err = n.mine(about)
	}
	if err == nil {
		err = empty(n.Data)
	}
	if err != nil {
		return Recovered{}, domicile.W(op, err)
	}
	at, err := pick(from.Dir, from.At)
	if err != nil {
		return Recovered{}, domicile.W(op, err)
	}
	root, err := os.OpenRoot(n.Data)
	if err != nil {
		return Recovered{}, domicile.W(op, err)
	}
	defer root.Close()
	if err := root.RemoveAll(newestDir); err != nil { // a crash may have left one
		return Recovered{}, domicile.W(op, err)
	}
	r := &recovery{ctx: ctx, n: n, from: from, point: at, out: Recovered{Set: at.set}}
	if err := r.all(root); err != nil {
		if r.secret != nil { // its wrapping key lies beside the root key, and is of no more use
			err = errors.Join(err, n.Root.ForgetCopy(n.Data))
		}
		return Recovered{}, domicile.W(op, errors.Join(err, sweep(root), root.RemoveAll(newestDir)))
	}
	return r.out, nil
}

// recovery is one restore.
type recovery struct {
	ctx         context.Context
	n           Node
	from        Recovery
	point       point
	out         Recovered
	newest      *vault // of the newest line
	secret      *keys.Secret
	done, total int64
}

// all puts everything into the folder; its stamp comes last, and a folder without it is nobody's.
func (r *recovery) all(root *os.Root) error {
	if err := r.keys(); err != nil {
		return err
	}
	r.newest = r.vault(r.point.newest.Line)
	for _, step := range []func() error{r.weigh, r.store, r.files, r.log, r.sync} {
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
	stamp, err := r.newest.all(filesDir + stampName)
	if err != nil {
		return err
	}
	if err := errors.Join(syncFolders(root, []string{"."}), writeFile(root, stampName, bytes.NewReader(stamp), 0o600), syncFolders(root, []string{"."})); err != nil {
		return err
	}
	return region.CheckStamp(r.n.Data, r.n.Region, r.n.Name)
}

func (r *recovery) vault(line string) *vault {
	return newVault(r.from.Dir, line, r.n, r.secret.Box(purpose))
}

// keys restores the account keys, and the secret under which all else is sealed.
func (r *recovery) keys() error {
	in, err := openKeys(r.n.Root, r.from.Dir)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := r.n.Root.RestoreCopy(r.n.Data, in); err != nil {
		return err
	}
	r.secret, err = r.n.Root.Open(r.n.Data)
	return err
}

const newestDir = tempMark + "newest" // in a data folder: the newest state of the store, while a restore of a time needs its tables

// weigh finds how much there is to read.
func (r *recovery) weigh() error {
	t, err := tailOf(r.vault(r.point.set.Line), r.point.set, r.point.ends, false)
	r.total = t.bytes
	for _, folder := range []string{"log", "files"} {
		names, lerr := r.newest.list(folder)
		err = errors.Join(err, lerr)
		for _, name := range names {
			r.total += r.newest.sizeOf(name)
		}
	}
	return err
}

// store writes the store as it was, with the region's tables of the newest state.
func (r *recovery) store() error {
	t, err := tailOf(r.vault(r.point.set.Line), r.point.set, r.point.ends, false)
	if err == nil {
		err = r.put(t, "")
	}
	dir, newest := filepath.Join(r.n.Data, "store"), ""
	switch {
	case err != nil:
		return err
	case r.from.At.IsZero():
	case r.point.same:
		newest = dir
	default:
		newest = filepath.Join(r.n.Data, newestDir, "store")
		if t, err = tailOf(r.newest, r.point.newest, r.point.stops, true); err == nil {
			r.total += t.bytes
			err = r.put(t, newestDir)
		}
		if err != nil {
			return err
		}
	}
	last, err := r.from.Rewind(dir, newest, r.from.At)
	if last.Before(r.out.Made) {
		last = r.out.Made // all that is in the base
	}
	r.out.State = last
	return errors.Join(err, os.RemoveAll(filepath.Join(r.n.Data, newestDir)))
}

// put writes the files of a tail below a folder of the data folder.
func (r *recovery) put(t tail, below string) error {
	for name, size := range t.man.Files {
		if err := r.file(t.v, name, filepath.Join(below, name), size); err != nil {
			return err
		}
	}
	for _, name := range t.names {
		if err := r.file(t.v, name, filepath.Join(below, name), t.least[name]); err != nil {
			return err
		}
	}
	return nil
}

// files writes the files of the data folder, as they were last.
func (r *recovery) files() error {
	names, err := r.newest.list(strings.TrimSuffix(filesDir, "/"))
	for _, name := range names {
		if err == nil && name != filesDir+stampName {
			err = r.file(r.newest, name, strings.TrimPrefix(name, filesDir), 0)
		}
	}
	return err
}

// file opens a file of a vault into one of the data folder, of at least so many bytes.
func (r *recovery) file(v *vault, name, to string, least int64) error {
	if err := r.ctx.Err(); err != nil {
		return domicile.E("restore", domicile.Unavailable, "interrupted; the folder is empty again")
	}
	in, err := v.open(name)
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
	r.read(v.sizeOf(name))
	return errors.Join(err, out.Sync(), out.Close())
}

// read tells that so many bytes were read.
func (r *recovery) read(n int64) {
	if r.done += n; r.from.Progress != nil {
		r.from.Progress(min(r.done, r.total), r.total)
	}
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
