package backup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"domicile/keys"
	"domicile/region"
)

// fileState is a file of the data folder when it was copied.
type fileState struct {
	size int64
	mod  time.Time
}

const (
	filesDir      = "files/"              // in a line
	othersFile    = "cosigner/witness.db" // in a data folder
	journalSuffix = ".journal"            // of files that only grow
)

// elsewhere are the parts of a data folder that are not copied file by file.
var elsewhere = []string{"store", ringDir, auditDir, "cosigner", keys.SecretName, lineFile, markName, region.LockFile, "lost+found"}

// copyFiles copies the files that changed: what waits in the outbound queue, what orders hold, the journal. Those that are gone go.
func (m *Mirror) copyFiles() error {
	first := m.files == nil
	seen := map[string]fileState{}
	err := filepath.WalkDir(m.cfg.Data, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went meanwhile
		} else if err != nil {
			return err
		}
		name, err := filepath.Rel(m.cfg.Data, path)
		switch {
		case err != nil:
			return err
		case slices.Contains(elsewhere, name) && d.IsDir():
			return fs.SkipDir
		case d.IsDir() || slices.Contains(elsewhere, name) || leftOut(name):
			return nil
		}
		info, err := d.Info()
		if err == nil {
			name = filepath.ToSlash(name)
			seen[name] = fileState{info.Size(), info.ModTime()}
			err = m.copyFile(path, name, seen[name], first)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	m.files = seen
	have, err := m.vault.list(strings.TrimSuffix(filesDir, "/"))
	for _, name := range have {
		short := strings.TrimPrefix(name, filesDir)
		if _, ok := seen[short]; !ok && short != othersFile {
			err = errors.Join(err, m.vault.remove(name))
		}
	}
	return err
}

// copyFile copies one file unless it is as it was. first: this process has not copied any yet.
func (m *Mirror) copyFile(path, name string, is fileState, first bool) error {
	was, known := m.files[name]
	if known && was == is {
		return nil
	}
	e, err := m.vault.end(filesDir + name)
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	grows := strings.HasSuffix(name, journalSuffix)
	switch {
	case grows && known && e.plain == was.size && is.size > was.size:
		return m.vault.extend(filesDir+name, io.NewSectionReader(f, was.size, is.size-was.size))
	case grows && first && e.plain == is.size:
		return nil
	}
	return m.vault.put(filesDir+name, io.LimitReader(f, is.size))
}

// copyOthers copies what the node knows of the logs that it cosigns.
func (m *Mirror) copyOthers() error {
	if m.cfg.Others == nil {
		return nil
	}
	var b bytes.Buffer
	if err := m.cfg.Others(&b); err != nil {
		return err
	}
	sum := sha256.Sum256(b.Bytes())
	if sum == m.others {
		return nil
	}
	err := m.vault.put(filesDir+othersFile, &b)
	if err == nil {
		m.others = sum
	}
	return err
}
