package imapd

import (
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// engine speaks IMAP on connections and calls a session for what clients ask. This is the seam: an engine of our own
// will take the place of imapserver here, and of the gate.
type engine interface {
	// serve takes connections from l until it is closed.
	serve(l net.Listener) error
	close() error
}

// imapserverEngine is go-imap's server.
type imapserverEngine struct{ srv *imapserver.Server }

// newEngine makes an engine for sessions that are logged in.
func newEngine(h *Home) engine {
	caps := imap.CapSet{}
	for _, c := range []imap.Cap{imap.CapIMAP4rev1, imap.CapNamespace, imap.CapUIDPlus, imap.CapESearch, imap.CapListExtended,
		imap.CapListStatus, imap.CapMove, imap.CapStatusSize, imap.CapChildren, imap.CapSpecialUse, imap.CapCreateSpecialUse} {
		caps[c] = struct{}{}
	}
	return imapserverEngine{imapserver.New(&imapserver.Options{
		Caps: caps, Logger: eventLog{h.cfg.Log},
		NewSession: func(c *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			g, ok := c.NetConn().(*gate)
			if !ok || g.account == "" {
				return nil, nil, fmt.Errorf("a connection that did not come through the gate")
			}
			return &adapter{s: &session{home: h, gate: g, acct: g.account}}, &imapserver.GreetingData{PreAuth: true}, nil
		},
	})}
}

func (e imapserverEngine) serve(l net.Listener) error { return e.srv.Serve(l) }
func (e imapserverEngine) close() error               { return e.srv.Close() }

// adapter makes a session what imapserver calls. Its writers are used for LIST alone: the session writes all other untagged data itself.
type adapter struct{ s *session }

func (a *adapter) Close() error                  { a.s.Close(); return nil }
func (a *adapter) Login(string, string) error    { return bad("Logged in already") } // which imapserver says by itself
func (a *adapter) Delete(name string) error      { return a.s.Delete(name) }
func (a *adapter) Subscribe(name string) error   { return a.s.Subscribe(name, true) }
func (a *adapter) Unsubscribe(name string) error { return a.s.Subscribe(name, false) }
func (a *adapter) Unselect() error               { return a.s.Unselect() }
func (a *adapter) AppendLimit() uint32           { return a.s.appendLimit() }

func (a *adapter) Select(name string, o *imap.SelectOptions) (*imap.SelectData, error) {
	return a.s.Select(name, o.ReadOnly)
}

func (a *adapter) Create(name string, o *imap.CreateOptions) error {
	return a.s.Create(name, o.SpecialUse)
}

func (a *adapter) Rename(from, to string, _ *imap.RenameOptions) error { return a.s.Rename(from, to) }

// List tells LSUB, which imapserver hands over as LIST (SUBSCRIBED), by the client's own word.
func (a *adapter) List(w *imapserver.ListWriter, ref string, patterns []string, o *imap.ListOptions) error {
	return a.s.List(listRequest{ref: ref, patterns: patterns, lsub: a.s.gate.name == "LSUB", options: o}, w.WriteList)
}

func (a *adapter) Status(name string, o *imap.StatusOptions) (*imap.StatusData, error) {
	return a.s.Status(name, o)
}

func (a *adapter) Append(name string, r imap.LiteralReader, o *imap.AppendOptions) (*imap.AppendData, error) {
	return a.s.Append(name, r, r.Size(), o)
}

func (a *adapter) Poll(_ *imapserver.UpdateWriter, expunge bool) error { return a.s.Poll(expunge) }

func (a *adapter) Idle(_ *imapserver.UpdateWriter, stop <-chan struct{}) error { return a.s.Idle(stop) }

// Expunge serves CLOSE too, which imapserver does not say.
func (a *adapter) Expunge(_ *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	return a.s.Expunge(uids, a.s.gate.name == "CLOSE")
}

func (a *adapter) Search(kind imapserver.NumKind, c *imap.SearchCriteria, o *imap.SearchOptions) (*imap.SearchData, error) {
	return a.s.Search(kind == imapserver.NumKindUID, c, o)
}

func (a *adapter) Fetch(_ *imapserver.FetchWriter, set imap.NumSet, o *imap.FetchOptions) error {
	return a.s.Fetch(set, o, a.s.gate.text.String())
}

func (a *adapter) Store(_ *imapserver.FetchWriter, set imap.NumSet, f *imap.StoreFlags, _ *imap.StoreOptions) error {
	return a.s.Store(set, f.Op, f.Flags, f.Silent, strings.HasPrefix(a.s.gate.name, "UID "))
}

func (a *adapter) Copy(set imap.NumSet, dest string) (*imap.CopyData, error) {
	return a.s.Copy(set, dest)
}

func (a *adapter) Move(_ *imapserver.MoveWriter, set imap.NumSet, dest string) error {
	return a.s.Move(set, dest)
}

func (a *adapter) Namespace() (*imap.NamespaceData, error) {
	return &imap.NamespaceData{Personal: []imap.NamespaceDescriptor{{Prefix: "", Delim: '/'}}}, nil
}

// eventLog keeps what clients sent out of the log. Of a panic it keeps the stack.
type eventLog struct{ log *slog.Logger }

func (l eventLog) Printf(format string, _ ...any) {
	if strings.HasPrefix(format, "panic") {
		l.log.Error("panic in an IMAP session", "stack", string(debug.Stack()))
		return
	}
	l.log.Debug("imap", "event", strings.ReplaceAll(format, "%", ""))
}
