package backup

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
// in the copy. What sets are no longer kept for is removed then.
func (m *Mirror) Make(ctx context.Context, private map[string]string) (Set, error) {
	const op = "make a backup"
	m.setting.Lock()
	defer m.setting.Unlock()
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
	if err := m.Round(ctx); err != nil { // what the base names, and the leaf
		return Set{}, domicile.W(op, err)
	}
	set, err := m.putSet(man)
	if err != nil {
		return Set{}, domicile.W(op, err)
	}
	return set, domicile.W(op, m.prune())
}

// copyBase copies a base that is not in the line yet.
func (m *Mirror) copyBase(ctx context.Context, man *manifest, lsn uint64, dir string, segments []Segment) error {
	*man = manifest{Format: 1, Base: fmt.Sprintf("store/base/%016x", lsn), Files: map[string]int64{}, Segments: map[uint32]int64{}}
	for _, s := range segments {
		man.Segments[s.Number] = s.Size
	}
	v := newVault(m.cfg.Dir, m.line, m.cfg.Node, m.cfg.Box) // beside the rounds, which go on
	v.step = m.vault.step
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
		if e, _ := v.end(name); e.plain == info.Size() {
			continue
		}
		err = copyWhole(v, name, filepath.Join(dir, d.Name()))
	}
	man.Made = m.cfg.Now().UTC().Truncate(time.Millisecond).Add(time.Millisecond) // after all that is in the base
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
	m.newest, m.gap = Set{m.line, name, man.Made}, false
	return m.newest, nil
}

// readManifest opens a set's manifest.
func (v *vault) readManifest(name string) (man manifest, err error) {
	raw, err := v.all(setDir + "/" + name)
	if err == nil && (json.Unmarshal(raw, &man) != nil || man.Format != 1) {
		err = domicile.E("read backup", domicile.Invalid, "the set "+name+" is damaged, or of a newer release")
	}
	return man, err
}

// prune removes what no time that is kept needs: of this line the sets but the newest that is older than that, and what those alone named; whole lines, once a later
// one has such a set.
func (m *Mirror) prune() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, err := Sets(m.cfg.Dir)
	if err != nil {
		return err
	}
	keep := m.cfg.Keep
	if keep <= 0 {
		keep = defaultKeep
	}
	since := m.cfg.Now().Add(-keep)
	first := 0 // the newest set that is older, or the oldest of all
	for i, s := range all {
		if s.Made.Before(since) {
			first = i
		}
	}
	if len(all) == 0 {
		return nil
	}
	for _, s := range all[:first] {
		if s.Line != all[first].Line {
			err = errors.Join(err, os.RemoveAll(filepath.Join(m.cfg.Dir, lineDir, s.Line)))
		} else if s.Line == m.line {
			err = errors.Join(err, m.vault.remove(setDir+"/"+s.Name))
		}
	}
	if err != nil || all[first].Line != m.line {
		return err
	}
	return m.sweepLine(all[first:])
}

// sweepLine removes bases that no set names, and segments that were gone when the oldest set was made.
func (m *Mirror) sweepLine(sets []Set) error {
	bases, oldest := map[string]bool{}, manifest{}
	for i, s := range sets {
		man, err := m.vault.readManifest(s.Name)
		if err != nil {
			return err
		}
		if bases[man.Base] = true; i == 0 {
			oldest = man
		}
	}
	newest := uint32(0)
	for n := range oldest.Segments {
		newest = max(newest, n)
	}
	names, err := m.vault.list("store")
	for _, name := range names {
		var number uint32
		switch {
		case strings.HasPrefix(name, "store/base/") && !bases[filepath.ToSlash(filepath.Dir(name))]:
			err = errors.Join(err, m.vault.remove(name))
		case strings.HasPrefix(name, "store/segments/"):
			if n, _ := fmt.Sscanf(name, "store/segments/%08x.seg", &number); n == 1 && number <= newest && oldest.Segments[number] == 0 {
				err = errors.Join(err, m.vault.remove(name))
			}
		}
	}
	return err
}

// State is how a mirror fares.
type State struct {
	Repository string    `json:"repository"`
	Copied     time.Time `json:"copied,omitzero"`  // when all that was new was copied the last time
	Failed     string    `json:"failed,omitempty"` // why it was not since
	Sets       []Set     `json:"sets"`
}

// State tells how the mirror fares, and lists the sets.
func (m *Mirror) State() (State, error) {
	m.mu.Lock()
	s := State{Repository: m.cfg.Dir, Copied: m.last}
	if m.failed != nil {
		s.Failed = m.failed.Error()
	}
	m.mu.Unlock()
	var err error
	s.Sets, err = Sets(m.cfg.Dir)
	s.Sets = slices.Clip(s.Sets)
	return s, err
}

// Newest is when the newest set of this line was made, the zero time if there is none, or if one is needed since the copy has a gap.
func (m *Mirror) Newest() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gap {
		return time.Time{}
	}
	return m.newest.Made
}
