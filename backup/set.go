package backup

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"domicile"
	"domicile/audit"
)

// manifest is what a set consists of, beside all that the line gets later.
type manifest struct {
	Format   int              `json:"format"` // 1
	Made     time.Time        `json:"made"`
	Base     string           `json:"base"` // its folder in the line
	Files    map[string]int64 `json:"files"`
	Segments map[uint32]int64 `json:"segments"` // and how long they were
	Leaves   uint64           `json:"leaves"`
}

// Make makes a set: a base of the store's index, from which a restore begins. Its leaf, backup.created, is in the log before, and
// in the copy. What sets are no longer kept for is removed then. What it copied before it was cut off is not copied again. It waits for a Make or a
// Prune that is under way.
func (m *Mirror) Make(ctx context.Context, private map[string]string) (Set, error) {
	const op = "make a backup"
	m.setting.Lock()
	defer m.setting.Unlock()
	m.begun(true)
	defer m.begun(false)
	_, err := m.cfg.Log.Append(ctx, audit.Entry{Kind: "backup.created", Public: map[string]string{"node": string(m.cfg.Name)}, Private: private})
	if err != nil {
		return Set{}, domicile.W(op, err)
	}
	var man manifest
	if err := m.cfg.Store.WithBase(func(lsn uint64, dir string, segments []Segment) error {
		return m.copyBase(ctx, &man, lsn, dir, segments)
	}); err != nil {
		return Set{}, domicile.W(op, err)
	}
	if err := m.copyNew(ctx, true); err != nil { // what the base names, and the leaf
		return Set{}, domicile.W(op, err)
	}
	set, err := m.putSet(man)
	if err == nil {
		_, err = m.prune(ctx, m.cfg.Retention, false)
	}
	return set, domicile.W(op, err)
}

// copyBase copies a base that is not in the line yet.
func (m *Mirror) copyBase(ctx context.Context, man *manifest, lsn uint64, dir string, segments []Segment) error {
	made := m.cfg.Now().UTC().Truncate(time.Millisecond).Add(time.Millisecond) // after all that is in the base
	*man = manifest{Format: 1, Made: made, Base: fmt.Sprintf("store/base/%016x", lsn), Files: map[string]int64{}, Segments: map[uint32]int64{}}
	for _, s := range segments {
		man.Segments[s.Number] = s.Size
	}
	v := m.lineVault(m.line) // beside the rounds, which go on
	v.count = m.count
	m.total.Add(m.pending(segments))
	files, err := os.ReadDir(dir)
	for _, d := range files {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		info, ierr := d.Info()
		if ierr != nil {
			return ierr
		}
		name := man.Base + "/" + d.Name()
		man.Files[name] = info.Size()
		m.total.Add(info.Size())
		if e, _ := v.end(name); e.plain == info.Size() {
			m.total.Add(-info.Size())
			continue
		}
		err = copyWhole(v, name, filepath.Join(dir, d.Name()))
	}
	return err
}

func copyWhole(v *vault, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return v.put(name, f)
}

// putSet writes the manifest, the last step: before it there is no set.
func (m *Mirror) putSet(man manifest) (Set, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	man.Leaves = m.leaves
	name := man.Made.Format(stampLayout)
	raw, err := json.Marshal(man)
	if err != nil {
		return Set{}, err
	}
	if err := m.vault.put(setDir+"/"+name, bytes.NewReader(raw)); err != nil {
		return Set{}, err
	}
	set := Set{m.line, name, man.Made}
	m.tell(func() { m.newest, m.gap = set, false })
	return set, nil
}

// readManifest opens a set's manifest.
func (v *vault) readManifest(name string) (man manifest, err error) {
	raw, err := v.all(setDir + "/" + name)
	if err == nil && (json.Unmarshal(raw, &man) != nil || man.Format != 1) {
		err = domicile.E("read backup", domicile.Invalid, "the set "+name+" is damaged, or of a newer release")
	}
	return man, err
}
