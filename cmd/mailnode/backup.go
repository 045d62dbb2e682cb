package main

import (
	"context"
	"time"

	"domicile"
	"domicile/backup"
	"domicile/store/bolt"
)

// How often the backup repository is brought up to date, and how often one that cannot be opened is tried.
const (
	mirrorEvery = time.Second
	mirrorAgain = 10 * time.Second
)

// mirroredStore is the store as a mirror sees it.
type mirroredStore struct{ *bolt.Store }

func (s mirroredStore) Segments() []backup.Segment { return segmentsOf(s.Store.Segments()) }

func (s mirroredStore) WithBase(fn func(lsn uint64, dir string, segments []backup.Segment) error) error {
	return s.Store.WithBase(func(lsn uint64, dir string, segments []bolt.Segment) error { return fn(lsn, dir, segmentsOf(segments)) })
}

func segmentsOf(list []bolt.Segment) []backup.Segment {
	out := make([]backup.Segment, len(list))
	for i, s := range list {
		out[i] = backup.Segment(s)
	}
	return out
}

// openMirror opens the repository. A node whose repository is out of reach serves all the same, and looks for it again.
func (n *node) openMirror() error {
	keep, err := time.ParseDuration(n.cfg.Backup.Keep)
	if err != nil {
		return err
	}
	m, err := backup.OpenMirror(backup.MirrorConfig{Retention: backup.Retention{Within: keep, Daily: int(n.cfg.Backup.KeepDaily), Weekly: int(n.cfg.Backup.KeepWeekly)},
		Node: backup.Node{Data: n.cfg.Data, Region: n.region(), Name: domicile.Node(n.cfg.Name), Root: n.root, Signer: n.signer, Keep: keep},
		Dir:  n.cfg.Backup.Dir, Box: n.secret.Box("backup"), Ring: n.ring, Log: n.audit, Store: mirroredStore{n.bolt}, Others: n.cosigner.CopyTo,
		Now: n.cfg.Now, Errs: n.log})
	if err == nil {
		n.mirror.Store(m)
	}
	return err
}

// buildBackup refuses a repository that is another's.
func (n *node) buildBackup() error {
	if n.store == nil || n.cfg.Backup.Dir == "" {
		return nil
	}
	err := n.openMirror()
	if k := domicile.KindOf(err); k == domicile.Refused || k == domicile.Invalid {
		return err
	}
	if err != nil {
		n.log.Error("the backup repository cannot be opened; it is tried again", "error", err)
	}
	return nil
}

// copyFirst brings the repository up to what others are about to know of. If that fails, or much is to be copied yet, they are asked all the same: a disk
// for backups must not keep the region from serving. A restore of then is refused (log_rolled_back) until it has caught up.
func (n *node) copyFirst() {
	if m := n.mirror.Load(); m != nil && m.CaughtUp() {
		if err := m.Round(context.Background()); err != nil {
			n.log.Error("the backup repository is behind", "error", err)
		}
	}
}

// keepBackup brings the repository up to date as the node changes, and makes sets, until ctx ends.
func (n *node) keepBackup(ctx context.Context) {
	every, _ := time.ParseDuration(n.cfg.Backup.Every) // Load checked it
	said := ""
	for wait := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			n.copyFirst()
			return
		case <-time.After(wait):
		}
		wait = mirrorEvery
		err := error(nil)
		switch m := n.mirror.Load(); {
		case m == nil:
			err, wait = n.openMirror(), mirrorAgain
		case n.cfg.Now().Sub(m.Newest()) >= every:
			if _, err = m.Make(ctx, nil); err != nil {
				wait = mirrorAgain
			}
		default:
			err = m.Round(ctx)
		}
		if ctx.Err() != nil {
			continue
		}
		if err != nil && err.Error() != said {
			said = err.Error()
			n.log.Error("the backup repository is behind", "error", err)
		} else if err == nil && said != "" {
			said = ""
			n.log.Info("the backup repository is up to date again")
		}
	}
}
