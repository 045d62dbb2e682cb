package backup

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
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

const (
	magic    = "domicile-backup-v2\n"
	magic1   = "domicile-backup-v1\n" // of a first release, sealed under a key from the root key itself
	keysName = "keys.copy"            // in the tar, in the place of region.secret and keys/
	ringDir  = "keys"                 // in a data folder
	maxInfo  = 4096                   // bytes of the line of JSON
	purpose  = "backup"
	auditDir = "audit" // in a data folder; see cmd/mailnode
)

// Node is whose data folder it is, with the keys that lie outside of it.
type Node struct {
	Data   string
	Region domicile.Region
	Name   domicile.Node
	Root   *keys.Root
	Signer *keys.Signer
	Keep   time.Duration // how long a backup can be read once its month has ended; 0 is 90 days
}

// Info is what a backup says of itself in the clear.
type Info struct {
	Format     int             `json:"format"` // 2
	Region     domicile.Region `json:"region"`
	Node       domicile.Node   `json:"node"`
	Made       time.Time       `json:"made"`
	Checkpoint string          `json:"checkpoint"` // the audit log's newest when it was made, a signed note
	Period     string          `json:"period,omitempty"`
	Ends       time.Time       `json:"ends,omitzero"` // of the period: from then on it cannot be read
}

// Create copies the data folder of a stopped node to w, sealed under the key of this month's period; those of periods that have ended
// are destroyed first. Its leaf, backup.created, is in the log before the first byte is
// copied, and in the copy. Unavailable while a node uses the folder. What was written before an error is no backup: it does
// not open.
func Create(n Node, w io.Writer, now func() time.Time) (Info, error) {
	const op = "make a backup"
	if err := region.CheckStamp(n.Data, n.Region, n.Name); err != nil {
		return Info{}, domicile.W(op, err)
	}
	if _, err := os.Stat(filepath.Join(n.Data, auditDir)); err != nil {
		return Info{}, domicile.E(op, domicile.NotExist, n.Data+" holds nothing to copy: the node has never run")
	}
	if r, err := ReadMark(n.Data); err != nil || r != nil {
		return Info{}, errors.Join(err, domicile.E(op, domicile.Conflict, n.Data+" was restored, and its node has not served since: start it first"))
	}
	release, err := region.Lock(n.Data)
	if err != nil {
		return Info{}, domicile.W(op, err)
	}
	defer release()
	period, err := n.Root.PeriodFor(now(), cmp.Or(n.Keep, 90*24*time.Hour))
	if err != nil {
		return Info{}, domicile.W(op, err)
	}
	info := Info{Format: 2, Region: n.Region, Node: n.Name, Made: now().UTC().Truncate(time.Second), Period: period.Name, Ends: period.Ends}
	checkpoint, err := n.record(audit.Entry{Kind: "backup.created", Public: map[string]string{"node": string(n.Name)}})
	if err != nil {
		return Info{}, domicile.W(op, err)
	}
	info.Checkpoint = string(checkpoint)
	head, err := info.head()
	if err != nil {
		return Info{}, domicile.W(op, err)
	}
	if _, err := w.Write(head); err != nil {
		return Info{}, domicile.W(op, err)
	}
	sealed, err := period.SealTo(purpose, w, head)
	if err != nil {
		return Info{}, domicile.W(op, err)
	}
	return info, domicile.W(op, errors.Join(n.pack(sealed), sealed.Close()))
}

// record appends a leaf to the log of a stopped node, and returns the checkpoint after it.
func (n Node) record(e audit.Entry) ([]byte, error) {
	log, err := n.openLog()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if _, err := log.Append(context.Background(), e); err != nil {
		return nil, err
	}
	return log.Checkpoint()
}

func (n Node) openLog() (*audit.Log, error) {
	secret, err := n.Root.Open(n.Data)
	if err != nil {
		return nil, err
	}
	return audit.Open(audit.Config{Dir: filepath.Join(n.Data, auditDir), Origin: n.Signer.Name(), Signer: n.Signer, Sealer: secret.Box("audit")})
}

// head is both lines of the clear part.
func (i Info) head() ([]byte, error) {
	line, err := json.Marshal(i)
	if err == nil && len(line) >= maxInfo {
		err = errors.New("the description of the backup is too long")
	}
	return append(append([]byte(magic), line...), '\n'), err
}

// leftOut reports what a backup does not hold: the lock, and what is unfinished by definition.
func leftOut(name string) bool {
	base := filepath.Base(name)
	return name == region.LockFile || name == lineFile || name == "lost+found" || name == filepath.Join("store", "staging") ||
		strings.HasPrefix(base, ".tmp-") || strings.HasPrefix(base, ".new-")
}

// pack writes the folder as a tar, its keys in front.
func (n Node) pack(w io.Writer) error {
	out, dir := tar.NewWriter(w), n.Data
	if err := n.packKeys(out); err != nil {
		return err
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		switch {
		case err != nil || name == "." || name == keys.SecretName:
			return err
		case name == ringDir: // what these two rest under is not in a backup: packKeys has them
			return fs.SkipDir
		case leftOut(name) && d.IsDir():
			return fs.SkipDir
		case leftOut(name):
			return nil
		}
		return packOne(out, path, filepath.ToSlash(name), d)
	})
	return errors.Join(err, out.Close())
}

func (n Node) packKeys(out *tar.Writer) error {
	secret, err := n.Root.Open(n.Data)
	if err != nil {
		return err
	}
	ring, err := keys.OpenRing(secret, filepath.Join(n.Data, ringDir))
	if err != nil {
		return err
	}
	defer ring.Close()
	var all bytes.Buffer // some 60 bytes for each account
	if err := ring.CopyTo(&all); err != nil {
		return err
	}
	h := &tar.Header{Name: keysName, Mode: 0o600, Size: int64(all.Len()), Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	_, err = all.WriteTo(out)
	return err
}

func packOne(out *tar.Writer, path, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() && !info.IsDir() {
		return domicile.E("copy "+name, domicile.Invalid, "it is neither a file nor a folder, which no node makes")
	}
	h := &tar.Header{Name: name, Mode: int64(info.Mode().Perm()), ModTime: info.ModTime(), Typeflag: tar.TypeDir, Format: tar.FormatPAX}
	if info.IsDir() {
		return out.WriteHeader(h)
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(out, f)
	return err
}

// Read returns what a backup says of itself, and leaves r behind it, with the bytes that its sealed part is bound to. Nothing of it
// is proven before the sealed part opens.
func Read(r io.Reader) (info Info, head []byte, err error) {
	const op = "read a backup"
	malformed := domicile.E(op, domicile.Invalid, "it is no backup of a format that this release reads")
	b := make([]byte, 1)
	for len(head) < len(magic)+maxInfo {
		if _, err := io.ReadFull(r, b); err != nil {
			return info, nil, malformed
		}
		head = append(head, b[0])
		if b[0] == '\n' && len(head) > len(magic) {
			break
		}
	}
	line, ok := bytes.CutPrefix(head, []byte(magic))
	format := 2
	if !ok {
		line, ok = bytes.CutPrefix(head, []byte(magic1))
		format = 1
	}
	if !ok || json.Unmarshal(line, &info) != nil || info.Format != format {
		return Info{}, nil, malformed
	}
	for _, name := range []string{string(info.Region), string(info.Node)} { // both go into a leaf if the backup is refused
		if _, err := domicile.ParseRegion(name); err != nil {
			return Info{}, nil, malformed
		}
	}
	return info, head, nil
}
