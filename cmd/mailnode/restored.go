package main

import (
	"context"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/backup"
)

// askAgain is how long a node with a restored folder waits before it asks its cosigners again.
const askAgain = 2 * time.Second

// confirmRestored holds a node whose folder was restored until all who cosign its log have said that they know no newer one. It
// serves nothing meanwhile, answers no call of another node, and writes nothing but what the asking takes: a node that went
// on from an older log would have forgotten spent tokens and erased accounts. When ctx ends it returns nil.
func (n *node) confirmRestored(ctx context.Context) (err error) {
	mark, err := backup.ReadMark(n.cfg.Data)
	if err != nil || mark == nil {
		return err
	}
	cfg := *n.cfg
	cfg.Roles = []string{"front"} // so that others do not look for the store here, and senders try again later
	ask := &node{cfg: &cfg, log: n.log, failed: n.failed, counts: n.counts}
	defer ask.closeAll()
	for _, step := range []func() error{ask.open, ask.buildBorder, ask.buildNetwork} {
		if err := step(); err != nil {
			return err
		}
	}
	ask.opened(ask.net.Close)
	if err := ask.net.Start(ctx); err != nil {
		return err
	}
	n.log.Warn("this folder was restored; nothing is served before all cosigners say that they know no newer log", "backup_made", mark.Made)
	for said := ""; ; {
		err := ask.net.Confirm(ctx, ask.audit)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			n.log.Info("the restored log is the newest that anybody knows")
			n.restored = mark
			return nil
		case domicile.KindOf(err) != domicile.Unavailable:
			return err
		case err.Error() != said:
			said = err.Error()
			n.log.Warn("the restored log is not confirmed yet", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(askAgain):
		}
	}
}

// settleRestored makes a leaf of the restoring, and lets the folder be one like any other.
func (n *node) settleRestored() error {
	if n.restored == nil {
		return nil
	}
	_, err := n.audit.Append(context.Background(), audit.Entry{Kind: "backup.restored", Public: map[string]string{
		"node": n.cfg.Name, "made": n.restored.Made.UTC().Format(time.RFC3339)}})
	if err != nil {
		return domicile.W("record the restoring", err)
	}
	return backup.Settle(n.cfg.Data)
}
