package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"time"

	"domicile"
	"domicile/admin"
	"domicile/audit"
	"domicile/backup"
	"domicile/metrics"
	"domicile/store"
)

// backups shows the repository to operators, and runs what they ask for: one job at a time, which goes on when nobody waits for it. A set that was asked for and that a
// restart cut short is made by the next start.
type backups struct {
	n     *node
	ctx   context.Context   // ends when the node does
	open  func() repository // nil while it cannot be opened
	asked store.Table       // of the set that is asked for

	mu   sync.Mutex
	jobs []admin.BackupJob // guarded by mu: the last ones, the newest at the end
}

// repository is what jobs need of a backup.Mirror.
type repository interface {
	Make(ctx context.Context, private map[string]string) (backup.Set, error)
	Prune(ctx context.Context, keep backup.Retention, dry bool) (backup.Pruned, error)
	Health() backup.State
	State() backup.State
}

// repository is the node's, nil while it cannot be opened.
func (n *node) repository() repository {
	if m := n.mirror.Load(); m != nil {
		return m
	}
	return nil
}

const (
	jobsKept = 16
	askedKey = "create" // in the table
)

// askedSet is a set that was asked for and is not made yet.
type askedSet struct {
	V        int    `json:"v"`
	ID       string `json:"id"` // of its job
	Operator string `json:"operator"`
}

// openBackups goes on with what a restart cut short. A folder that was restored asks for nothing: what it says was asked for was being made when it was copied.
func openBackups(ctx context.Context, n *node, open func() repository, asked store.Table) (*backups, error) {
	b := &backups{n: n, ctx: ctx, open: open, asked: asked}
	if n.restored != nil {
		return b, b.forget()
	}
	raw, ok, err := asked.Get(askedKey)
	if err != nil || !ok {
		return b, err
	}
	var a askedSet
	if err := json.Unmarshal(raw, &a); err != nil || a.V != 1 || a.ID == "" {
		n.log.Error("a set of the backup repository was asked for in a form that this release does not know, and is not made: ask again")
		return b, b.forget()
	}
	n.log.Info("a set of the backup repository that was asked for is made now", "job", a.ID)
	b.start(admin.BackupJob{ID: a.ID, Kind: "create", State: "running"}, a.Operator, admin.BeginBackup{Kind: "create"})
	return b, nil
}

func (b *backups) mirror() (repository, error) {
	if m := b.open(); m != nil {
		return m, nil
	}
	return nil, domicile.E("backup", domicile.Unavailable, "the repository cannot be opened; the node's log says why")
}

// awaited is the repository when it can be opened, or nil when the node ends before.
func (b *backups) awaited() repository {
	for {
		if m := b.open(); m != nil {
			return m
		}
		select {
		case <-b.ctx.Done():
			return nil
		case <-time.After(mirrorEvery):
		}
	}
}

// Begin begins a job. A set that is being made already is that one.
func (b *backups) Begin(ctx context.Context, operator string, ask admin.BeginBackup) (admin.BackupJob, error) {
	if _, err := b.mirror(); err != nil {
		return admin.BackupJob{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.jobs); n > 0 && b.jobs[n-1].State == "running" {
		if b.jobs[n-1].Kind == "create" && ask.Kind == "create" {
			return b.jobs[n-1], nil
		}
		return admin.BackupJob{}, domicile.E("backup", domicile.Conflict, "the node is at work on the repository already: mailctl backup ls shows how far it is")
	}
	if ask.Kind == "prune" && !ask.DryRun {
		if err := b.recordPrune(ctx, operator, b.retention(ask)); err != nil {
			return admin.BackupJob{}, err
		}
	}
	j := admin.BackupJob{ID: domicile.NewID("b"), Kind: ask.Kind, State: "running"}
	if ask.Kind == "create" {
		raw, err := json.Marshal(askedSet{V: 1, ID: j.ID, Operator: operator})
		if err == nil {
			err = b.asked.Put(askedKey, raw)
		}
		if err != nil {
			return admin.BackupJob{}, err
		}
	}
	b.start(j, operator, ask)
	return j, nil
}

// start has a job run. Call under b.mu, or before anybody else has b.
func (b *backups) start(j admin.BackupJob, operator string, ask admin.BeginBackup) {
	b.jobs = append(b.jobs[max(0, len(b.jobs)-jobsKept+1):], j)
	b.n.work.Go(func() {
		m := b.awaited()
		if m == nil {
			return // the next start goes on with it
		}
		ended := b.run(m, j, operator, ask)
		if ask.Kind == "create" && b.ctx.Err() == nil {
			if err := b.forget(); err != nil {
				b.n.log.Error("a set that was made stays asked for: the next start makes another", "error", err)
			}
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.jobs[len(b.jobs)-1] = ended
	})
}

func (b *backups) forget() error {
	raw, ok, err := b.asked.Get(askedKey)
	if err == nil && ok {
		_, err = b.asked.CompareAndSwap(askedKey, raw, nil)
	}
	return err
}

func (b *backups) retention(ask admin.BeginBackup) backup.Retention {
	if k := ask.Keep; k != nil {
		return backup.Retention{Within: k.Within, Daily: k.Daily, Weekly: k.Weekly}
	}
	within, _ := time.ParseDuration(b.n.cfg.Backup.Keep) // Load checked it
	return backup.Retention{Within: within, Daily: int(b.n.cfg.Backup.KeepDaily), Weekly: int(b.n.cfg.Backup.KeepWeekly)}
}

func (b *backups) recordPrune(ctx context.Context, operator string, keep backup.Retention) error {
	_, err := b.n.audit.Append(ctx, audit.Entry{Kind: "backup.pruned", Public: map[string]string{"node": b.n.cfg.Name},
		Private: map[string]string{"operator": operator, "keep": fmt.Sprintf("%s, %d days, %d weeks", keep.Within, keep.Daily, keep.Weekly)}})
	if err != nil {
		return &domicile.Error{Op: "backup prune", Kind: domicile.Unavailable, Reason: domicile.JournalUnavailable, Detail: "it could not be written down, so nothing was done", Err: err}
	}
	return nil
}

// run does a job.
func (b *backups) run(m repository, j admin.BackupJob, operator string, ask admin.BeginBackup) admin.BackupJob {
	var err error
	if ask.Kind == "create" {
		var set backup.Set
		set, err = m.Make(b.ctx, map[string]string{"operator": operator})
		made := admin.BackupSet(set)
		j.Set = &made
	} else {
		var p backup.Pruned
		p, err = m.Prune(b.ctx, b.retention(ask), ask.DryRun)
		j.Pruned = &admin.BackupPruned{Kept: setsOf(p.Kept), Removed: setsOf(p.Removed), Bytes: p.Bytes}
	}
	if j.State = "done"; err != nil {
		b.n.log.Error("what an operator asked for of the backup repository failed", "job", ask.Kind, "error", err)
		j.State, j.Error, j.Code, j.Set = "failed", err.Error(), domicile.KindOf(err).String(), nil
	}
	return j
}

func setsOf(list []backup.Set) []admin.BackupSet {
	out := make([]admin.BackupSet, len(list))
	for i, s := range list {
		out[i] = admin.BackupSet(s)
	}
	return out
}

// Job tells how a job fares.
func (b *backups) Job(id string) (admin.BackupJob, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, j := range b.jobs {
		if j.ID == id {
			return b.progress(j), nil
		}
	}
	return admin.BackupJob{}, domicile.E("backup", domicile.NotExist, "the node does not know this job: it was started anew since, and had ended it. mailctl backup ls shows the sets")
}

func (b *backups) progress(j admin.BackupJob) admin.BackupJob {
	if m := b.open(); m != nil && j.State == "running" {
		if p := m.Health().Making; p != nil {
			j.Done, j.Total = p.Done, p.Total
		}
	}
	return j
}

func (b *backups) State() (admin.BackupState, error) {
	m, err := b.mirror()
	if err != nil {
		return admin.BackupState{}, err
	}
	s := m.State()
	out := admin.BackupState{Repository: s.Repository, Copied: s.Copied, Failed: s.Failed, Bytes: s.Bytes, Behind: b.n.backupBehind(), Sets: setsOf(s.Sets), Points: []admin.BackupSpan{}}
	for _, p := range s.Points {
		out.Points = append(out.Points, admin.BackupSpan{From: p.From, Until: p.Until})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.jobs); n > 0 {
		j := b.progress(b.jobs[n-1])
		out.Job = &j
	}
	return out, nil
}

// backupAge is how old what the repository has is; +Inf while it has nothing from which a restore could begin.
func (n *node) backupAge() float64 {
	m := n.mirror.Load()
	if m == nil || m.Newest().IsZero() || m.Health().Copied.IsZero() {
		return math.Inf(1)
	}
	return n.cfg.Now().Sub(m.Health().Copied).Seconds()
}

// backupBehind says whether that is longer than the configuration lets pass; since the node started, where nothing was copied yet.
func (n *node) backupBehind() bool {
	if n.store == nil || n.cfg.Backup.Dir == "" {
		return false
	}
	most, _ := time.ParseDuration(n.cfg.Backup.WarnBehind) // Load checked it
	age := n.backupAge()
	return age > most.Seconds() && (!math.IsInf(age, 1) || time.Since(n.began) > most)
}

// measureBackup adds how the repository of backups fares.
func (n *node) measureBackup() {
	s := n.counts.set
	health := func() (h backup.State) {
		if m := n.mirror.Load(); m != nil {
			h = m.Health()
		}
		return h
	}
	s.Gauge("domicile_backup_age_seconds", "Age of the newest state that can be restored from the repository; +Inf while there is none, or none since the node started.", func(is metrics.Sample) { is(n.backupAge()) })
	s.Gauge("domicile_backup_set_age_seconds", "Since the newest set was made, from which a restore begins; +Inf if there is none, or one is missing.", func(is metrics.Sample) {
		age := math.Inf(1)
		if m := n.mirror.Load(); m != nil && !m.Newest().IsZero() {
			age = n.cfg.Now().Sub(m.Newest()).Seconds()
		}
		is(age)
	})
	s.Gauge("domicile_backup_behind", "1 if the age is over warn_behind of [backup], else 0.", func(is metrics.Sample) { is(oneIf(n.backupBehind())) })
	s.Gauge("domicile_backup_bytes", "Bytes of the repository.", func(is metrics.Sample) { is(float64(health().Bytes)) })
	s.Total("domicile_backup_failures_total", "Rounds of copying that failed since the node started.", func(is metrics.Sample) { is(float64(health().Failures)) })
}
