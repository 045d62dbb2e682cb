package admin

import (
	"context"
	"time"

	"domicile"
)

// Backups is what the server needs of the backup repository of a node in use.
type Backups interface {
	// Begin begins a job and returns it, or one of the same words that goes on. Conflict while another does. Its leaf says by whom it was asked for.
	Begin(ctx context.Context, operator string, ask BeginBackup) (BackupJob, error)
	// Job tells how a job fares. NotExist if it was not among the last that were begun since the node started, or gone on with: a set that was asked for is made by the
	// next start if this one does not come to it.
	Job(id string) (BackupJob, error)
	State() (BackupState, error)
}

// BeginBackup says what is to be done with the repository.
type BeginBackup struct {
	Kind string `json:"kind"` // "create" or "prune"
	// Of prune: what is kept, nil for what the node's configuration says; and whether it is only told what would go.
	Keep   *BackupRetention `json:"keep,omitempty"`
	DryRun bool             `json:"dry_run,omitempty"`
}

// BackupRetention says which sets are kept.
type BackupRetention struct {
	Within time.Duration `json:"keep_within"` // any time of so long ago, in nanoseconds
	Daily  int           `json:"keep_daily"`
	Weekly int           `json:"keep_weekly"`
}

// BackupJob is a set that is made, or a pruning: while it runs, and what came of it.
type BackupJob struct {
	ID     string        `json:"id"`
	Kind   string        `json:"kind"`
	State  string        `json:"state"`           // "running", "done" or "failed"
	Done   int64         `json:"done,omitempty"`  // bytes
	Total  int64         `json:"total,omitempty"` // 0: not known yet
	Set    *BackupSet    `json:"set,omitempty"`
	Pruned *BackupPruned `json:"pruned,omitempty"`
	Error  string        `json:"error,omitempty"`
	Code   string        `json:"code,omitempty"`
}

// BackupPruned is what a pruning did, or would do.
type BackupPruned struct {
	Kept    []BackupSet `json:"kept"`
	Removed []BackupSet `json:"removed"`
	Bytes   int64       `json:"bytes"` // that came free
}

// BackupSet is a point from which a restore can begin.
type BackupSet struct {
	Line string    `json:"line"` // of the repository; one begins with each data folder
	Name string    `json:"name"`
	Made time.Time `json:"made"`
}

// BackupSpan is times of which the mail can be restored, both ends included.
type BackupSpan struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until,omitzero"` // zero: to the newest that was copied
}

// BackupState is how the repository fares.
type BackupState struct {
	Repository string       `json:"repository"`       // its folder on the node's machine
	Copied     time.Time    `json:"copied,omitzero"`  // it has all of before
	Failed     string       `json:"failed,omitempty"` // why not all of later
	Behind     bool         `json:"behind"`           // for longer than the node's configuration says
	Bytes      int64        `json:"bytes"`
	Points     []BackupSpan `json:"points"` // the oldest first
	Sets       []BackupSet  `json:"sets"`   // the oldest first
	Job        *BackupJob   `json:"job,omitempty"`
}

func (s *Server) backupRoutes() {
	route(s, "backup", "begin", operators, s.beginBackup)
	route(s, "backup", "job", operators, s.backupJob)
	route(s, "backup", "ls", anyone, s.listBackups)
}

var errNoBackups = domicile.E("backup", domicile.NotExist, "this node makes no backup: its node.toml has no [backup]")

// Bounds of a retention.
const (
	keepMost   = 100 * 365 * 24 * time.Hour
	keepNumber = 10_000
)

func (s *Server) beginBackup(ctx context.Context, who caller, in BeginBackup) (BackupJob, error) {
	if s.cfg.Backups == nil {
		return BackupJob{}, errNoBackups
	}
	if in.Kind != "create" && in.Kind != "prune" {
		return BackupJob{}, domicile.E(who.call, domicile.Invalid, "a job is create or prune")
	}
	if k := in.Keep; k != nil && (k.Within < 0 || k.Within > keepMost || k.Daily < 0 || k.Daily > keepNumber || k.Weekly < 0 || k.Weekly > keepNumber) {
		return BackupJob{}, domicile.E(who.call, domicile.Invalid, "what is kept is at most 100 years, and 10000 sets of a kind")
	}
	return s.cfg.Backups.Begin(ctx, who.Operator, in)
}

type backupJobID struct {
	ID string `json:"id"`
}

func (s *Server) backupJob(_ context.Context, _ caller, in backupJobID) (BackupJob, error) {
	if s.cfg.Backups == nil {
		return BackupJob{}, errNoBackups
	}
	return s.cfg.Backups.Job(in.ID)
}

func (s *Server) listBackups(_ context.Context, _ caller, _ struct{}) (BackupState, error) {
	if s.cfg.Backups == nil {
		return BackupState{}, errNoBackups
	}
	return s.cfg.Backups.State()
}

// BeginBackup has the node begin a job in its backup repository. NotExist where it has none.
func (c *Client) BeginBackup(ctx context.Context, ask BeginBackup) (BackupJob, error) {
	return call[BackupJob](ctx, c, "backup/begin", ask)
}

// BackupJob tells how a job fares.
func (c *Client) BackupJob(ctx context.Context, id string) (BackupJob, error) {
	return call[BackupJob](ctx, c, "backup/job", backupJobID{id})
}

// Backups tells how the node's backup repository fares, and lists its points and sets.
func (c *Client) Backups(ctx context.Context) (BackupState, error) {
	return call[BackupState](ctx, c, "backup/ls", struct{}{})
}
