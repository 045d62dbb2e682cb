package admin

import (
	"context"
	"time"

	"domicile"
)

// Backups is what the server needs of the backup repository of a node in use.
type Backups interface {
	// Make makes a set now, and returns when it is durable. Its leaf says by whom it was asked for.
	Make(ctx context.Context, operator string) (BackupSet, error)
	State() (BackupState, error)
}

// BackupSet is a point from which a restore can begin.
type BackupSet struct {
	Line string    `json:"line"` // of the repository; one begins with each data folder
	Name string    `json:"name"`
	Made time.Time `json:"made"`
}

// BackupState is how the repository fares.
type BackupState struct {
	Repository string      `json:"repository"`       // its folder on the node's machine
	Copied     time.Time   `json:"copied,omitzero"`  // when it had all that was new the last time
	Failed     string      `json:"failed,omitempty"` // why it has not since
	Sets       []BackupSet `json:"sets"`             // the oldest first
}

func (s *Server) backupRoutes() {
	route(s, "backup", "create", operators, s.createBackup)
	route(s, "backup", "ls", anyone, s.listBackups)
}

var errNoBackups = domicile.E("backup", domicile.NotExist, "this node makes no backup: its node.toml has no [backup]")

func (s *Server) createBackup(ctx context.Context, who caller, _ struct{}) (BackupSet, error) {
	if s.cfg.Backups == nil {
		return BackupSet{}, errNoBackups
	}
	return s.cfg.Backups.Make(ctx, who.Operator)
}

func (s *Server) listBackups(_ context.Context, _ caller, _ struct{}) (BackupState, error) {
	if s.cfg.Backups == nil {
		return BackupState{}, errNoBackups
	}
	return s.cfg.Backups.State()
}

// MakeBackup has the node make a set in its backup repository now. NotExist where it has none. After Unknown the set may be made: Backups tells.
func (c *Client) MakeBackup(ctx context.Context) (BackupSet, error) {
	return call[BackupSet](ctx, c, "backup/create", struct{}{})
}

// Backups tells how the node's backup repository fares, and lists its sets.
func (c *Client) Backups(ctx context.Context) (BackupState, error) {
	return call[BackupState](ctx, c, "backup/ls", struct{}{})
}
