package imapd

import (
	"context"
	"errors"
	"net"

	"domicile"
	"domicile/login"
	"domicile/placement"
	"domicile/region"
)

// The names under which sessions are handed to other nodes.
const (
	sessionIMAP  = "imap"  // logged in at the front, on the home's word
	sessionIMAPS = "imaps" // TLS to the home, unread
)

// verified is a login that home has verified. One of both is called: onward carries the session on to its end, drop ends it there.
type verified struct {
	onward    func() step // handOn, or what the door does next if the client has gone back to it
	drop      func() error
	signature []byte // what proves the home to a client that sent a proof
}

// login verifies who it is, at home and before any byte of a mailbox can leave.
// NotExist for whatever is wrong with name or password, wherever that is found out; Refused; Unavailable.
func (s *Server) login(d *door, tag string, c login.Credential) (*verified, error) {
	loc, err := s.resolve(c.Name)
	switch {
	case domicile.KindOf(err) == domicile.NotExist:
		return nil, s.cfg.Check.Nobody(s.ctx, d.from(), c) // the same work as for an account that rests here
	case err != nil:
		return nil, domicile.E("login", domicile.Unavailable, "it cannot be known now where the account rests")
	case loc.Home == s.cfg.Region && s.cfg.Home != nil:
		return s.here(d, tag, c)
	case login.Bound(c): // to TLS that ends here: it is meant for an account that is at home here
		return nil, s.cfg.Check.Nobody(s.ctx, d.from(), c)
	}
	v, err := s.away(d, tag, c, loc)
	if now, moved := s.movedOn(c.Name, loc, err); moved {
		if now.Home == s.cfg.Region && s.cfg.Home != nil {
			return s.here(d, tag, c)
		}
		return s.away(d, tag, c, now)
	}
	return v, err
}

// movedOn asks anew where an account rests whose remembered home does not know it, or not now: it may have moved meanwhile.
func (s *Server) movedOn(name string, was placement.Location, err error) (now placement.Location, moved bool) {
	if k := domicile.KindOf(err); err == nil || s.cfg.Moved == nil || k != domicile.NotExist && k != domicile.Unavailable {
		return was, false
	}
	a, err := s.cfg.Check.Address(name)
	if err != nil {
		return was, false
	}
	s.cfg.Moved(a)
	now, err = s.resolve(name)
	return now, err == nil && (now.Home != was.Home || now.Epoch != was.Epoch)
}

// resolve finds the home of a login's name; NotExist for what is no name here.
func (s *Server) resolve(name string) (placement.Location, error) {
	a, err := s.cfg.Check.Address(name)
	if err != nil {
		return placement.Location{}, login.Wrong()
	}
	loc, err := s.cfg.Resolve(s.ctx, a)
	if domicile.ReasonOf(err) == domicile.DomainNotServed || err == nil && s.cfg.Network == nil && loc.Home != s.cfg.Region {
		return loc, login.Wrong()
	}
	return loc, err
}

// here logs in to an account of this node.
func (s *Server) here(d *door, tag string, c login.Credential) (*verified, error) {
	h := s.cfg.Home
	who, err := h.check.Verify(s.ctx, d.from(), c)
	if err != nil {
		return nil, err
	}
	a := who.Account
	if err := login.MayServe(a); err != nil {
		return nil, err
	}
	if err := h.enter(a.ID); err != nil {
		return nil, err
	}
	if err := h.attach(d.net, a.ID); err != nil {
		h.exit(a.ID)
		s.cfg.Log.Warn("a session was refused", "account", string(a.ID), "reason", string(domicile.ReasonOf(err)))
		return nil, err
	}
	return &verified{signature: who.Signature,
		onward: func() step {
			if unauthenticated := h.serve(d.conn, who.Means, tag, s.cfg.MaxSize, s != h.passed && !s.cfg.NoUnauthenticate); unauthenticated != "" {
				return d.again(unauthenticated)
			}
			return handOn
		},
		drop: func() error { h.exit(a.ID); return nil }}, nil
}

// away hands the login to the account's home, and the connection after it.
func (s *Server) away(d *door, tag string, c login.Credential, loc placement.Location) (*verified, error) {
	v := &verified{}
	cred := region.Credential(c)
	t, err := s.cfg.Network.OpenSession(s.ctx, loc.Home, sessionIMAP, region.SessionRequest{
		Client: login.Network(d.net.RemoteAddr()), Login: &cred, Tag: tag, Verified: func(b []byte) { v.signature = b }})
	if err != nil {
		return nil, s.fromHome(err, c.Name, loc.Home)
	}
	if err := s.relay(s.ctx, d.net, t, loc.Account, loc.Home); err != nil {
		t.Close()
		return nil, err
	}
	v.drop = t.Close
	v.onward = func() step {
		if !d.relayed(t) {
			go t.Drain()
		}
		t.Join(ahead{d.net, d.conn})
		return handOn
	}
	return v, nil
}

// fromHome is what the client is told of how its home answered, or did not.
func (s *Server) fromHome(err error, name string, home domicile.Region) error {
	switch domicile.KindOf(err) {
	case domicile.NotExist:
		return login.Wrong()
	case domicile.TooLarge:
		return err
	case domicile.Refused:
		if host := s.hostOf(home); domicile.ReasonOf(err) == domicile.ReadAtHome && host != "" {
			return &referral{err, "imap://" + percentEncoded(name, isAchar) + ";AUTH=*@" + host + "/"}
		}
		return err
	}
	return domicile.E("login", domicile.Unavailable, "the home cannot be reached")
}

func (s *Server) hostOf(home domicile.Region) string {
	if s.cfg.HostOf == nil {
		return ""
	}
	return s.cfg.HostOf(home)
}

// referral sends a client to its home (RFC 2221).
type referral struct {
	error
	url string
}

func (r *referral) Unwrap() error { return r.error }

// loginAnswer is what stands behind NO.
func loginAnswer(err error) string {
	var r *referral
	reason := domicile.ReasonOf(err)
	switch {
	case errors.As(err, &r):
		return "[REFERRAL " + r.url + "] The mail is read at its home"
	case domicile.KindOf(err) == domicile.NotExist:
		return "[AUTHENTICATIONFAILED] No such account here, or the wrong password"
	case domicile.KindOf(err) == domicile.TooLarge:
		return "[LIMIT] The account has too many sessions; end one first"
	case reason == domicile.AccountSuspended:
		return "[AUTHORIZATIONFAILED] The account is suspended"
	case domicile.KindOf(err) == domicile.Refused:
		return "[AUTHORIZATIONFAILED] Refused (" + string(reason) + ")"
	}
	return "[UNAVAILABLE] Not now; try again later"
}

// underPermit puts a connection, a client's or a tunnel, under a stream permit for an account that rests here.
func (h *Home) underPermit(c net.Conn, id domicile.AccountID) error {
	front, ok := region.FrontConn(c)
	if !ok {
		return domicile.Refuse("session", domicile.NoPermit, "house/one-door", "the connection is not one of the region's front")
	}
	p, err := h.permit(h.ctx, region.Request{Crossing: front.Crossing(id, h.cfg.Region)})
	if err != nil {
		return err
	}
	if err := front.Attach(p); err != nil {
		p.Close()
		return err
	}
	return nil
}

// offPermit ends the permit of a client's connection whose session is over.
func offPermit(c net.Conn) error {
	front, ok := region.FrontConn(c)
	if !ok {
		return domicile.Refuse("session", domicile.NoPermit, "house/one-door", "the connection is not one of the region's front")
	}
	return front.Detach()
}

// resolve finds an account of this node: of a connection that was passed through to this region by name.
func (h *Home) resolve(ctx context.Context, a domicile.Address) (placement.Location, error) {
	acct, err := h.cfg.Store.AccountByAddress(ctx, a)
	return placement.Location{Account: acct.ID, Home: h.cfg.Region, Epoch: acct.Epoch}, err
}
