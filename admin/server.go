package admin

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/disclosure"
	"domicile/move"
	"domicile/placement"
	"domicile/region"
	"domicile/residence"
	"domicile/store"
)

// Network is what the server needs of region.Node: who is on a connection, and who is alive.
type Network interface {
	OperatorOf(cs tls.ConnectionState) (region.Peer, error)
	Members() []region.Member
}

// Directory is what the server needs of placement.Directory; see there for the errors.
type Directory interface {
	Resolve(ctx context.Context, a domicile.Address) (placement.Location, error)
	Claim(ctx context.Context, a domicile.Address, id domicile.AccountID, epoch uint64) error
	Release(ctx context.Context, a domicile.Address, id domicile.AccountID, epoch uint64) error
}

// Moves is what the server needs of move.Machine; see there.
type Moves interface {
	Moves(ctx context.Context) ([]move.Info, error)
	Move(ctx context.Context, id string) (move.Info, error)
	Cancel(ctx context.Context, id, by string) (move.Info, error)
	HandedOver(id domicile.AccountID) (to domicile.Region, epoch uint64, ok bool)
	Wake()
}

// Passwords makes what is kept of passwords; keys.Passwords fits.
type Passwords interface {
	Hash(password string) (string, error)
	Verifier(name, password string) (string, error) // for SCRAM-SHA-256
	NewApp() (password, kept string)
}

// Config says what a Server stands on. All of it is needed but Log and Now.
type Config struct {
	Region    domicile.Region
	Node      domicile.Node
	Network   Network
	Catalog   func() *region.Catalog
	Store     store.Store
	Directory Directory
	Residence *residence.Ledger
	Moves     Moves
	Orders    *disclosure.Engine
	Audit     *audit.Log
	AuditDir  string // the log's folder, for audit verify
	Guard     *region.Guard
	Queue     Queue
	Passwords Passwords
	Log       *slog.Logger                // discarded if nil
	Now       func() time.Time            // time.Now if nil
	Backups   Backups                     // nil where the node makes none
	Clock     func(context.Context) error // refuses (ClockUnsure) while Now cannot be relied on; nil = never
	Undelete  time.Duration               // how long the store keeps what was expunged; 0 = not at all

	// Changed, if not nil, is told of an account that was changed, as it is now: sessions end that it lets in no more.
	Changed func(now store.Account)
}

// Server answers operators. Safe for concurrent use.
type Server struct {
	cfg      Config
	intents  store.Table // accounts whose making is under way
	removals store.Table // accounts that an operator asked to remove
	purges   store.Table // and those of which to purge what was expunged

	importBook, importKeys store.Table               // the ledger of imports
	swept                  atomic.Pointer[time.Time] // when it was last looked through

	http *http.Server
	mux  *http.ServeMux
}

// New makes a server. It opens the tables of accounts under way, in and out.
func New(cfg Config) (*Server, error) {
	const op = "admin"
	if cfg.Region == "" || cfg.Network == nil || cfg.Catalog == nil || cfg.Store == nil || cfg.Directory == nil || cfg.Residence == nil || cfg.Moves == nil ||
		cfg.Orders == nil || cfg.Audit == nil || cfg.Guard == nil || cfg.Queue == nil || cfg.Passwords == nil {
		return nil, domicile.E(op, domicile.Invalid, "a part is missing in its configuration")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Clock == nil {
		cfg.Clock = func(context.Context) error { return nil }
	}
	intents, err := cfg.Store.Table("accounts_under_way")
	if err != nil {
		return nil, domicile.W(op, err)
	}
	removals, err := cfg.Store.Table("removals")
	if err != nil {
		return nil, domicile.W(op, err)
	}
	purges, err := cfg.Store.Table("purges")
	if err != nil {
		return nil, domicile.W(op, err)
	}
	book, err := cfg.Store.Table("imports")
	if err != nil {
		return nil, domicile.W(op, err)
	}
	keys, err := cfg.Store.Table("import_keys")
	if err != nil {
		return nil, domicile.W(op, err)
	}
	s := &Server{cfg: cfg, intents: intents, removals: removals, purges: purges, importBook: book, importKeys: keys, mux: http.NewServeMux()}
	s.accountRoutes()
	s.appPasswordRoutes()
	s.importRoutes()
	s.expungedRoutes()
	s.residenceRoutes()
	s.moveRoutes()
	s.orderRoutes()
	s.auditRoutes()
	s.queueRoutes()
	s.backupRoutes()
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Serve answers on l, a listener of region.Node.ListenOperators, until Shutdown. It then returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return domicile.W("admin", err)
	}
	return nil
}

// Shutdown takes no more calls and waits for those under way until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// ServeHTTP answers one call. What is not a known call is 404 without a word about anything.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.cfg.Log.Error("admin: a call failed badly", "path", r.Pattern, "panic", p, "stack", string(debug.Stack()))
			s.fail(w, domicile.E("admin", domicile.Other, ""))
		}
	}()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	s.mux.ServeHTTP(w, r)
}

// Roles of a call.
var (
	operators = []string{"operator"}
	lawyers   = []string{"legal"}
	readers   = []string{"legal", "auditor"}
	anyone    = []string{"operator", "legal", "auditor"}
)

// caller is who asks, and for which call.
type caller struct {
	region.Peer
	call string // such as "account.show"
}

// route registers the call "noun.verb". Everything that comes before and after the act is here: who asks, whether the
// role fits, the body's limits, the record of a refusal. The bytes of answers are metered below TLS, by the standing permit
// that region.ListenOperators takes for each connection.
func route[In, Out any](s *Server, noun, verb string, roles []string, run func(context.Context, caller, In) (Out, error)) {
	s.handle(noun, verb, roles, func(w http.ResponseWriter, r *http.Request, who caller) error {
		var in In
		if err := decode(w, r, &in); err != nil {
			return err
		}
		out, err := run(r.Context(), who, in)
		if err != nil {
			return err
		}
		raw, err := encode(out)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute))
		if _, err := w.Write(raw); err != nil {
			s.cfg.Log.Debug("admin: an answer did not arrive", "call", who.call, "error", err)
		}
		return nil
	})
}

// handle registers a call whose answer run writes itself. An error is answered in run's stead.
func (s *Server) handle(noun, verb string, roles []string, run func(http.ResponseWriter, *http.Request, caller) error) {
	s.mux.HandleFunc("POST /v1/"+noun+"/"+verb, func(w http.ResponseWriter, r *http.Request) {
		who, err := s.admit(r, noun+"."+verb, roles)
		if err == nil {
			err = run(w, r, who)
		}
		if err != nil {
			s.fail(w, s.recordRefusal(r.Context(), who, err))
		}
	})
}

// admit says who asks, if that one may.
func (s *Server) admit(r *http.Request, call string, roles []string) (caller, error) {
	who := caller{call: call}
	if r.TLS == nil {
		return who, domicile.Refuse("admin", domicile.PeerUnverified, "house/operator-certificate", "no certificate")
	}
	peer, err := s.cfg.Network.OperatorOf(*r.TLS)
	if err != nil {
		return who, err
	}
	who.Peer = peer
	if peer.Region != s.cfg.Region {
		return who, domicile.Refuse(call, domicile.WrongRegion, "house/own-operators",
			"an operator of "+string(peer.Region)+" has no say in "+string(s.cfg.Region)+"; ask the node of your own region")
	}
	if !slices.ContainsFunc(roles, peer.HasRole) {
		return who, domicile.Refuse(call, domicile.WrongRole, "house/operator-roles", "this needs the role "+join(roles))
	}
	return who, nil
}

func join(roles []string) string {
	text := ""
	for i, r := range roles {
		if i > 0 {
			text += " or "
		}
		text += r
	}
	return text
}

// recordRefusal makes a refusal a leaf of the log, once, and puts the receipt beside it. If that cannot be written
// down the answer is still no.
func (s *Server) recordRefusal(ctx context.Context, who caller, err error) error {
	if domicile.KindOf(err) != domicile.Refused || ReceiptOf(err) != nil {
		return err
	}
	f := failure(err)
	reason, rule := publicTwin(who.call, f)
	leaf, lerr := s.cfg.Audit.Append(context.WithoutCancel(ctx), audit.Entry{
		Kind:    "operator.refused",
		Reason:  reason,
		Public:  map[string]string{"call": who.call, "rule": rule, "operator_region": string(who.Region)},
		Private: map[string]string{"operator": who.Operator, "reason": string(f.Reason), "rule": f.Rule, "detail": f.Detail},
	})
	if lerr == nil {
		var receipt []byte
		if receipt, lerr = s.cfg.Audit.Receipt(leaf.Index, false); lerr == nil {
			return &withReceipt{err: err, receipt: receipt}
		}
	}
	s.cfg.Log.Error("admin: a refusal could not be recorded", "call", who.call, "error", lerr)
	return &domicile.Error{Op: who.call, Kind: domicile.Unavailable, Reason: domicile.JournalUnavailable, Rule: "house/recorded-first",
		Detail: "the answer is no, and it could not be written down; repair the node's disk"}
}

// publicTwin is the reason and rule that the public part of a leaf shows: for a refusal that would tell of a freeze, those of
// one that the same call also gives without any. The true ones are among the private fields, to be revealed when they may be.
func publicTwin(call string, f Failure) (domicile.Reason, string) {
	switch {
	case f.Reason != domicile.ResidenceFrozen:
		return f.Reason, f.Rule
	case call == "account.rm":
		return domicile.DualApprovalMissing, "house/two-persons"
	}
	return domicile.CoolingDown, "residence/cool-down"
}

// record makes one leaf of an act of an operator on an account. Nobody is named in what all may read.
func (s *Server) record(ctx context.Context, who caller, kind string, a domicile.Address, more map[string]string) (audit.Leaf, error) {
	private := map[string]string{"operator": who.Operator}
	if a != "" {
		private["address"] = string(a)
	}
	for k, v := range more {
		private[k] = v
	}
	leaf, err := s.cfg.Audit.Append(ctx, audit.Entry{Kind: kind, Public: map[string]string{"region": string(s.cfg.Region)}, Private: private})
	if err != nil {
		return leaf, &domicile.Error{Op: who.call, Kind: domicile.Unavailable, Reason: domicile.JournalUnavailable, Detail: "the access could not be written down, so nothing was done", Err: err}
	}
	return leaf, nil
}

// access records that an operator looks at or changes an account, before it happens.
func (s *Server) access(ctx context.Context, who caller, a domicile.Address) error {
	_, err := s.record(ctx, who, "operator."+who.call, a, nil)
	return err
}

func (s *Server) fail(w http.ResponseWriter, err error) {
	f := failure(err)
	if f.Kind == domicile.Other.String() {
		s.cfg.Log.Error("admin: a call failed", "error", err)
	}
	raw, _ := json.Marshal(f)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statusOf(domicile.KindOf(err)))
	w.Write(append(raw, '\n'))
}

// decode reads one JSON object, strictly.
func decode(w http.ResponseWriter, r *http.Request, in any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	d.DisallowUnknownFields()
	err := d.Decode(in)
	if err == nil {
		if _, err = d.Token(); err == io.EOF {
			return nil
		}
		return domicile.E("request", domicile.Invalid, "more than one JSON object")
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return domicile.E("request", domicile.TooLarge, "more than 24 MiB")
	}
	return domicile.E("request", domicile.Invalid, "not the JSON object of this call: mailctl and node are of different releases?")
}
