package imapd

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"

	"domicile"
	"domicile/placement"
	"domicile/region"
	"domicile/store"
)

// Limits against guessing.
const (
	maxFails      = 3       // on one connection
	sessionBytes  = 1 << 40 // ceiling of one session
	slowestAnswer = 8 * time.Second
	failMemory    = 10 * time.Minute
	maxFailers    = 10000 // networks remembered
)

var errWrongLogin = no(imap.ResponseCodeAuthenticationFailed, "No such account here, or the wrong password")

// Login checks a password and, before any byte of a mailbox can leave, puts the connection under a permit. Unknown and
// wrong look alike, in words and in time.
func (s *session) Login(login, password string) (answer error) {
	defer func() { s.srv.counted(answer) }()
	a, err := s.srv.account(s.ctx(), login, password)
	if domicile.KindOf(err) == domicile.NotExist {
		return s.failed()
	}
	if err != nil {
		return failure(err)
	}
	switch a.State {
	case store.Active:
	case store.Suspended:
		return no(imap.ResponseCodeAuthorizationFailed, "The account is suspended")
	default:
		return no(imap.ResponseCodeUnavailable, "The account is on its way to another region; try again later")
	}
	if err := s.srv.attach(s.gate, a); err != nil {
		s.srv.cfg.Log.Warn("a session was refused", "account", string(a.ID), "reason", string(domicile.ReasonOf(err)))
		if domicile.KindOf(err) == domicile.Refused && domicile.ReasonOf(err) != domicile.JournalUnavailable {
			return no(imap.ResponseCodeAuthorizationFailed, "Refused ("+string(domicile.ReasonOf(err))+")")
		}
		return no(imap.ResponseCodeUnavailable, "Not now; try again later")
	}
	s.acct = a.ID
	s.gate.loggedIn = true
	return nil
}

// failed answers a wrong login, the later the more there were from the same network.
func (s *session) failed() error {
	s.srv.fails.wait(s.ctx(), network(s.gate))
	if s.fails++; s.fails >= maxFails {
		s.gate.bye("* BYE [AUTHENTICATIONFAILED] Too many failed logins\r\n")
	}
	return errWrongLogin
}

// underPermit puts a connection under a stream permit for the account.
func (srv *Server) underPermit(c net.Conn, a store.Account) error {
	front, ok := region.FrontConn(c)
	if !ok {
		return domicile.Refuse("session", domicile.NoPermit, "house/one-door", "the connection is not one of the region's front")
	}
	p, err := srv.cfg.Guard.Permit(srv.ctx, region.Request{Crossing: placement.Crossing{
		Class: domicile.ClientSession, Kind: placement.Stream, From: srv.cfg.Region, Party: placement.ToClient,
		Account: a.ID, Home: srv.cfg.Region, Ceiling: min(sessionBytes, placement.Ceiling(domicile.ClientSession, placement.Stream)),
	}})
	if err != nil {
		return err
	}
	if err := front.Attach(p); err != nil {
		p.Close()
		return err
	}
	return nil
}

// account finds who logs in. NotExist for whatever is wrong with name or password; the same work is done for all of them.
func (srv *Server) account(ctx context.Context, login, password string) (store.Account, error) {
	wrong := domicile.E("login", domicile.NotExist, "unknown name or wrong password")
	var a store.Account
	addr, err := srv.cfg.Address(login)
	if err == nil {
		a, err = srv.cfg.Store.AccountByAddress(ctx, addr)
	}
	if err != nil && domicile.KindOf(err) != domicile.NotExist && domicile.KindOf(err) != domicile.Invalid {
		return a, domicile.E("login", domicile.Unavailable, "the account cannot be read now")
	}
	ok, checkErr := srv.cfg.Password(a.Password, password) // for a name that does not exist too: it takes as long
	if err != nil || checkErr != nil || !ok || a.Password == "" {
		return store.Account{}, wrong
	}
	return a, nil
}

// failCounter makes failed logins of one network slower and slower.
type failCounter struct {
	step time.Duration // the first delay; each failure doubles it
	mu   sync.Mutex
	seen map[string]failures
}

type failures struct {
	n    int
	last time.Time
}

// wait counts a failure and waits.
func (f *failCounter) wait(ctx context.Context, from string) {
	t := time.NewTimer(f.count(from, time.Now()))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (f *failCounter) count(from string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil || len(f.seen) >= maxFailers {
		for k, v := range f.seen {
			if now.Sub(v.last) > failMemory {
				delete(f.seen, k)
			}
		}
		if f.seen == nil || len(f.seen) >= maxFailers {
			f.seen = map[string]failures{}
		}
	}
	v := f.seen[from]
	if now.Sub(v.last) > failMemory {
		v.n = 0
	}
	v.n, v.last = v.n+1, now
	f.seen[from] = v
	return min(f.step<<min(v.n-1, 10), slowestAnswer)
}

// network is the address without its port; of IPv6 the /64.
func network(c net.Conn) string {
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return c.RemoteAddr().String()
	}
	if a.IP.To4() == nil && len(a.IP) == net.IPv6len {
		return a.IP.Mask(net.CIDRMask(64, 128)).String()
	}
	return a.IP.String()
}
