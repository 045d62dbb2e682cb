package backup

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/region"
)

// Restore puts a backup into an empty data folder. WrongRegion is refused: it is another region's or node's. Exist if the folder
// is not empty; NotExist if the key of its period is gone, with which it cannot be read any more; Invalid if a byte of the file is not as it was written, or it was sealed under another root key, and then
// the folder is empty again. Durable on return. A crash on the way leaves a folder without a stamp, which no node opens.
func Restore(n Node, r io.Reader) (Info, error) {
	const op = "restore a backup"
	in := bufio.NewReaderSize(r, 1<<20)
	info, head, err := Read(in)
	if err != nil {
		return info, domicile.W(op, err)
	}
	if info.Region != n.Region || info.Node != n.Name {
		return info, domicile.Refuse(op, domicile.WrongRegion, "house/backup-of-its-own-region",
			fmt.Sprintf("it is of node %q of region %q, and this is %q of %q: a backup is restored in its own region, by the same node", info.Node, info.Region, n.Name, n.Region))
	}
	if err := empty(n.Data); err != nil {
		return info, domicile.W(op, err)
	}
	sealed, err := n.openSealed(info, in, head)
	if err != nil {
		return info, domicile.W(op, err)
	}
	root, err := os.OpenRoot(n.Data)
	if err != nil {
		return info, domicile.W(op, err)
	}
	defer root.Close()
	if err := n.unpack(root, sealed, info); err != nil {
		return info, domicile.W(op, errors.Join(err, sweep(root)))
	}
	return info, nil
}

// openSealed opens the sealed part.
func (n Node) openSealed(info Info, in io.Reader, head []byte) (io.Reader, error) {
	if info.Format == 1 {
		return n.Root.OpenFrom(purpose, in, head)
	}
	period, err := n.Root.Period(info.Period)
	if err != nil {
		return nil, err
	}
	return period.OpenFrom(purpose, in, head)
}

// empty makes dir if it is absent, and refuses it if there is anything in it.
func empty(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !leftOut(e.Name()) {
			return domicile.E("look at the data folder", domicile.Exist, dir+" is not empty; a backup is put into an empty folder only")
		}
	}
	return nil
}

// sweep removes what a failed restore wrote.
func sweep(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	err = errors.Join(err, d.Close())
	for _, name := range names {
		if !leftOut(name) {
			err = errors.Join(err, root.RemoveAll(name))
		}
	}
	return err
}

const stampName = "domicile.stamp"

// unpack writes the files, all durable, then the mark, and last of all the stamp: a folder without it is nobody's.
func (n Node) unpack(root *os.Root, sealed io.Reader, info Info) error {
	in, folders := tar.NewReader(sealed), []string{"."}
	var stamp []byte
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		name := path.Clean(h.Name)
		switch {
		case !filepath.IsLocal(name) || strings.Contains(name, "\\"):
			return domicile.E("unpack", domicile.Invalid, "it names a file outside of the folder")
		case h.Typeflag == tar.TypeDir:
			folders = append(folders, name)
			err = root.Mkdir(name, 0o700)
		case h.Typeflag == tar.TypeReg && name == keysName && info.Format > 1:
			err = n.Root.RestoreCopy(n.Data, in)
		case h.Typeflag == tar.TypeReg && name == stampName:
			stamp, err = io.ReadAll(io.LimitReader(in, maxInfo))
		case h.Typeflag == tar.TypeReg:
			err = writeFile(root, name, in, os.FileMode(h.Mode).Perm())
		default:
			err = domicile.E("unpack", domicile.Invalid, "it holds something that is neither a file nor a folder")
		}
		if err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, sealed); err != nil { // to its end: only then was all of it as it was written
		return err
	}
	if len(stamp) == 0 {
		return domicile.E("unpack", domicile.Invalid, "it holds no stamp")
	}
	mark, err := json.Marshal(Mark{Format: 1, Made: info.Made})
	if err != nil {
		return err
	}
	if err := writeFile(root, markName, strings.NewReader(string(mark)+"\n"), 0o600); err != nil {
		return err
	}
	if err := syncFolders(root, folders); err != nil {
		return err
	}
	return errors.Join(writeFile(root, stampName, strings.NewReader(string(stamp)), 0o600), syncFolders(root, folders[:1]))
}

func writeFile(root *os.Root, name string, content io.Reader, mode os.FileMode) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode&0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncFolders makes the names in folders durable.
func syncFolders(root *os.Root, names []string) error {
	for _, name := range names {
		d, err := root.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// markName marks a folder that was restored and not served since.
const markName = "restored.json"

// Mark says of a restored folder what it was restored from.
type Mark struct {
	Format int       `json:"format"` // 1
	Made   time.Time `json:"made"`   // when its backup was
}

// ReadMark returns the mark of a data folder that was restored and not settled since, nil for any other.
func ReadMark(dir string) (*Mark, error) {
	const op = "read the mark of a restored folder"
	f, err := os.Open(filepath.Join(dir, markName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, domicile.W(op, err)
	}
	defer f.Close()
	m := &Mark{}
	if err := json.NewDecoder(io.LimitReader(f, maxInfo)).Decode(m); err != nil || m.Format != 1 {
		return nil, domicile.E(op, domicile.Invalid, f.Name()+" is damaged, or of a newer release")
	}
	return m, nil
}

// Settle takes the mark away, durably, once the log was confirmed and the store renumbered.
func Settle(dir string) error {
	const op = "settle a restored folder"
	root, err := os.OpenRoot(dir)
	if err != nil {
		return domicile.W(op, err)
	}
	defer root.Close()
	return domicile.W(op, errors.Join(root.Remove(markName), syncFolders(root, []string{"."})))
}

// RecordRefusal makes a leaf of a backup that was refused here because it is another region's, in this node's own log, and returns
// its receipt: nil if there is no log to write to, since the node never ran here. Unavailable while the node runs.
func RecordRefusal(n Node, info Info, why error) (receipt []byte, err error) {
	const op = "record a refused backup"
	if _, err := os.Stat(filepath.Join(n.Data, auditDir)); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err := region.CheckStamp(n.Data, n.Region, n.Name); err != nil {
		return nil, domicile.W(op, err)
	}
	release, err := region.Lock(n.Data)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	defer release()
	log, err := n.openLog()
	if err != nil {
		return nil, domicile.W(op, err)
	}
	defer log.Close()
	leaf, err := log.Append(context.Background(), audit.Entry{Kind: "backup.refused", Reason: domicile.ReasonOf(why),
		Public: map[string]string{"node": string(n.Name), "of_region": string(info.Region), "of_node": string(info.Node)}})
	if err != nil {
		return nil, domicile.W(op, err)
	}
	receipt, err = log.Receipt(leaf.Index, false)
	return receipt, domicile.W(op, err)
}
