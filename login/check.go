package login

import (
	"context"
	"slices"
	"time"

	"domicile"
	"domicile/store"
	"domicile/turns"
)

// Accounts finds accounts; store.Store fits. NotExist if there is none.
type Accounts interface {
	AccountByAddress(ctx context.Context, a domicile.Address) (store.Account, error)
}

// Kept holds what clients give against what is kept of it; keys.Passwords fits. What is kept is "" for an unknown name: that fits nothing, and
// costs the same.
type Kept interface {
	Check(kept, password string) (bool, error) // argon2id: it takes a core and some MiB
	CheckApp(kept, password string) bool

	// Of SCRAM-SHA-256: a name's salt and iterations, whether it exists or not; what is kept of its password; a client's proof.
	Salt(name string) (salt []byte, iterations int)
	Verifier(name, password string) (string, error)
	Proof(kept string, salt []byte, iterations int, exchange string, proof []byte) (signature []byte, ok bool)
}

// The services that an app password can be good for alone.
const (
	IMAP = "imap"
	SMTP = "smtp"
)

// From says where a login comes from.
type From struct {
	Service string // IMAP or SMTP
	Network string // as Network gives it; of one that another node hands over, behind the node's region and "/"
}

// Credential is what a client logs in with: a password, or the proof of one.
type Credential struct {
	Name     string
	Password string

	// Of SCRAM-SHA-256: all that was said, as it is signed (AuthMessage, RFC 5802 3), and the client's proof. The password is "" then.
	Exchange string
	Proof    []byte
}

// How a login was checked, for Checker.Count.
const (
	Cached = "cached" // a password that was right a short time ago
	Hashed = "hashed" // argon2id
	App    = "app"    // an app password
	Proved = "proved" // SCRAM-SHA-256, right or wrong
	Busy   = "busy"   // not at all: too many waited, or waited too long
)

// Checker holds credentials against a store, and has failures written down. Its fields are set before its first use; it is safe
// for concurrent use if its parts are. All fronts of a node share one.
type Checker struct {
	Accounts Accounts                                     // nil where no account rests: every name is then unknown
	Address  func(login string) (domicile.Address, error) // placement.ParseAddress
	Kept     Kept

	// Tries slows down those who guess at the fronts, which ask it.
	Tries *Guesses

	// Failed writes a failed login down, with the account whose password was wrong, "" if the name is nobody's; nil = nobody does.
	Failed func(ctx context.Context, id domicile.AccountID)

	// Update changes an account (store.Store.UpdateAccount): on which day an app password was used, and the verifier of an account that an
	// earlier release made. nil = neither is written.
	Update func(ctx context.Context, id domicile.AccountID, fn func(*store.Account) error) error

	Count func(how string) // if not nil, told how each login was checked

	right  right      // passwords that were right
	line   turns.Line // to argon2id, by networks
	proofs proofs     // that other nodes handed over
}

// Verified is who has logged in.
type Verified struct {
	Account   store.Account
	Means     Means
	Signature []byte // of SCRAM: what proves the server to the client
}

// Verify finds who logs in. NotExist for whatever is wrong with name or credential;
// Unavailable if it cannot be known now, or too many wait to be checked. Whether the account may be served is not looked at: see MayServe.
func (c *Checker) Verify(ctx context.Context, from From, cred Credential) (Verified, error) {
	addr, err := c.Address(cred.Name)
	var a store.Account
	if err == nil {
		a, err = c.find(ctx, addr)
	}
	if err != nil && domicile.KindOf(err) != domicile.NotExist && domicile.KindOf(err) != domicile.Invalid {
		return Verified{}, domicile.E("login", domicile.Unavailable, "the account cannot be read now")
	}
	v := Verified{Account: a, Means: Own(a)}
	var ok bool
	if cred.Exchange != "" {
		v.Signature, ok = c.proof(ctx, &v, from, addr, cred)
	} else if ok, err = c.password(ctx, &v, from, cred.Password); err != nil {
		return Verified{}, err
	}
	if !ok {
		if c.Failed != nil {
			c.Failed(ctx, a.ID)
		}
		return Verified{}, Wrong()
	}
	return v, nil
}

// Nobody is Verify for a name that is known to rest nowhere: the same work, and Wrong.
func (c *Checker) Nobody(ctx context.Context, from From, cred Credential) error {
	if cred.Exchange != "" {
		c.proof(ctx, &Verified{}, from, "", cred)
	} else if _, err := c.password(ctx, &Verified{}, from, cred.Password); err != nil {
		return err
	}
	if c.Failed != nil {
		c.Failed(ctx, "")
	}
	return Wrong()
}

// Salt is what a client is told of a name in SCRAM, in whatever way it is written, and whether it exists or not.
func (c *Checker) Salt(name string) (salt []byte, iterations int) {
	if a, err := c.Address(name); err == nil {
		name = string(a)
	}
	return c.Kept.Salt(name)
}

func (c *Checker) find(ctx context.Context, a domicile.Address) (store.Account, error) {
	if c.Accounts == nil {
		return store.Account{}, Wrong()
	}
	return c.Accounts.AccountByAddress(ctx, a)
}

// password checks one that was sent. What is cheap comes first, for names that do not exist too: whoever has the right password does not
// stand in line for having it checked again.
func (c *Checker) password(ctx context.Context, v *Verified, from From, password string) (ok bool, err error) {
	a := v.Account
	if i := slices.IndexFunc(a.AppPasswords, func(p store.AppPassword) bool { return c.Kept.CheckApp(p.Kept, password) }); i >= 0 {
		c.count(App)
		return c.app(ctx, v, from, a.AppPasswords[i]), nil
	}
	now := time.Now()
	if c.right.known(a, password, now) {
		c.count(Cached)
		return true, nil
	}
	turn, err := c.line.Enter(ctx, from.Network)
	if err != nil {
		c.count(Busy)
		return false, err
	}
	defer turn.Leave()
	c.count(Hashed)
	ok, err = c.Kept.Check(a.Password, password)
	if err != nil || !ok || a.Password == "" {
		return false, nil // a damaged hash is no more than a wrong password to a stranger
	}
	c.right.note(a, password, now)
	c.complete(ctx, a, password)
	return true, nil
}

// app lets an app password in where it is good, and notes the day.
func (c *Checker) app(ctx context.Context, v *Verified, from From, p store.AppPassword) bool {
	a := v.Account
	if p.Scope != "" && p.Scope != from.Service {
		return false
	}
	v.Means = Means{Account: a.ID, app: p.ID}
	today := time.Now().UTC().Format(time.DateOnly)
	if p.Used != today && a.State == store.Active && c.Update != nil {
		c.Update(ctx, a.ID, func(now *store.Account) error { // that it is not noted keeps nobody out
			for i := range now.AppPasswords {
				if now.AppPasswords[i].ID == p.ID && now.State == store.Active {
					now.AppPasswords = slices.Clone(now.AppPasswords)
					now.AppPasswords[i].Used = today
				}
			}
			return nil
		})
	}
	return true
}

// complete makes the verifier of an account that has none: from now on its owner can log in by SCRAM too.
func (c *Checker) complete(ctx context.Context, a store.Account, password string) {
	if a.Scram != "" || a.State != store.Active || c.Update == nil {
		return
	}
	v, err := c.Kept.Verifier(string(a.Address), password)
	if err != nil {
		return
	}
	c.Update(ctx, a.ID, func(now *store.Account) error { // the next login tries again
		if now.Password == a.Password && now.State == store.Active {
			now.Scram = v
		}
		return nil
	})
}

// proof checks the proof of SCRAM against the account's password and all its app passwords, which share a salt.
func (c *Checker) proof(ctx context.Context, v *Verified, from From, addr domicile.Address, cred Credential) (signature []byte, ok bool) {
	a := v.Account
	c.count(Proved)
	said, err := parseExchange(cred.Exchange)
	if err != nil || said.name != cred.Name {
		return nil, false
	}
	signature, ok = c.Kept.Proof(a.Scram, said.salt, said.iterations, cred.Exchange, cred.Proof)
	if ok {
		return signature, true
	}
	for _, p := range a.AppPasswords {
		if signature, ok := c.Kept.Proof(p.Scram, said.salt, said.iterations, cred.Exchange, cred.Proof); ok {
			return signature, c.app(ctx, v, from, p)
		}
	}
	return nil, false
}

func (c *Checker) count(how string) {
	if c.Count != nil {
		c.Count(how)
	}
}

// Wrong is the one error of a failed login.
func Wrong() error {
	return domicile.E("login", domicile.NotExist, "unknown name or wrong password")
}
