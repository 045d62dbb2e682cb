package login

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"domicile"
	"domicile/store"
)

// accounts is a store with one account.
type accounts struct {
	known store.Account
	err   error
}

func (a accounts) AccountByAddress(_ context.Context, addr domicile.Address) (store.Account, error) {
	if a.err != nil {
		return store.Account{}, a.err
	}
	if addr != a.known.Address {
		return store.Account{}, domicile.E("account", domicile.NotExist, "no such account: "+string(addr))
	}
	return a.known, nil
}

// plainKept keeps passwords as they are, and counts the work.
type plainKept struct {
	hashed, proved int
	hash           func() // called for each password that is hashed; nil = nothing
}

func (k *plainKept) Check(kept, password string) (bool, error) {
	k.hashed++
	if k.hash != nil {
		k.hash()
	}
	if kept == "" {
		return false, errors.New("no hash")
	}
	kept, _, _ = strings.Cut(kept, "#")
	return kept == "hash of "+password, nil
}
func (k *plainKept) CheckApp(kept, password string) bool { return kept == "app "+password }
func (k *plainKept) Salt(name string) ([]byte, int)      { return []byte("salt of " + name), 4096 }
func (k *plainKept) Verifier(name, password string) (string, error) {
	return name + " " + password, nil
}
func (k *plainKept) Proof(kept string, salt []byte, n int, exchange string, proof []byte) ([]byte, bool) {
	k.proved++
	return []byte("by " + kept), kept != "" && string(proof) == kept
}

// said is an exchange of SCRAM for a name.
func said(name string) string {
	n := newNonce(time.Now())
	return "n=" + name + ",r=c,r=c" + n + ",s=c2FsdA==,i=65536,c=biws,r=c" + n
}

// Unknown and wrong are one error, cost the same, and are written down, also behind a login that was right, and by SCRAM.
func TestUnknownIsWrong(t *testing.T) {
	ann := store.Account{ID: "a-1", Address: "ann@example.com", Password: "hash of pw", Scram: "verifier", State: store.Active}
	proof := func(name, proof string) Credential {
		return Credential{Name: name, Exchange: said(name), Proof: []byte(proof)}
	}
	password := func(name, password string) Credential { return Credential{Name: name, Password: password} }
	for _, c := range []struct {
		cred Credential
		at   Accounts
		kind domicile.Kind
	}{
		{password("Ann+x@Example.com", "pw"), accounts{known: ann}, 0},
		{password("ann@example.com", "pq"), accounts{known: ann}, domicile.NotExist},
		{password("bob@example.com", "pw"), accounts{known: ann}, domicile.NotExist},
		{password("no address", "pw"), accounts{known: ann}, domicile.NotExist},
		{password("ann@example.com", ""), accounts{known: store.Account{Address: "ann@example.com"}}, domicile.NotExist},
		{password("ann@example.com", "pw"), nil, domicile.NotExist},
		{password("ann@example.com", "pw"), accounts{err: domicile.E("disk", domicile.Unavailable, "")}, domicile.Unavailable},
		{proof("ann@example.com", "verifier"), accounts{known: ann}, 0},
		{proof("ann@example.com", "other"), accounts{known: ann}, domicile.NotExist},
		{proof("bob@example.com", "verifier"), accounts{known: ann}, domicile.NotExist},
		{proof("no address", "verifier"), accounts{known: ann}, domicile.NotExist},
		{proof("ann@example.com", ""), accounts{known: store.Account{Address: "ann@example.com"}}, domicile.NotExist},
		{Credential{Name: "ann@example.com", Exchange: said("bob@example.com"), Proof: []byte("verifier")}, accounts{known: ann}, domicile.NotExist},
	} {
		kept := &plainKept{}
		var failed []domicile.AccountID
		check := &Checker{Accounts: c.at, Address: parse, Kept: kept, Failed: func(_ context.Context, id domicile.AccountID) { failed = append(failed, id) }}
		for _, warm := range []bool{false, true} {
			if warm { // one right password is remembered
				check.right.note(ann, "pw", time.Now())
			}
			kept.hashed, kept.proved, failed = 0, 0, nil
			v, err := check.Verify(t.Context(), From{SMTP, "n"}, c.cred)
			a, signature := v.Account, v.Signature
			var want []domicile.AccountID
			if c.kind == domicile.NotExist {
				want = []domicile.AccountID{""}
				if c.at != nil && c.cred.Name == "ann@example.com" {
					want[0] = c.at.(accounts).known.ID
				}
			}
			if !slices.Equal(failed, want) {
				t.Errorf("%+v: written down: %q, want %q", c.cred, failed, want)
			}
			switch {
			case c.kind == 0 && (err != nil || a.ID != ann.ID), c.kind != 0 && (domicile.KindOf(err) != c.kind || a.ID != "" || signature != nil):
				t.Errorf("%+v: %v, %v", c.cred, a.ID, err)
			case c.kind == domicile.NotExist && (err.Error() != Wrong().Error() || c.cred.Exchange == "" && (kept.hashed != 1 || kept.proved != 0)):
				t.Errorf("%+v: %v after %d hashes", c.cred, err, kept.hashed)
			case c.kind == domicile.NotExist && c.cred.Exchange == said(c.cred.Name) && kept.proved != 1:
				t.Errorf("%+v: %v after %d proofs", c.cred, err, kept.proved)
			}
		}
	}
	kept := &plainKept{}
	check := &Checker{Address: parse, Kept: kept}
	for _, c := range []Credential{password("ann@example.com", "pw"), proof("ann@example.com", "verifier")} {
		kept.hashed, kept.proved = 0, 0
		if err := check.Nobody(t.Context(), From{}, c); err.Error() != Wrong().Error() || kept.hashed+kept.proved != 1 {
			t.Errorf("nobody: %v after %d and %d", err, kept.hashed, kept.proved)
		}
	}
}

// A right password is not hashed again for a while, and nothing that happens to the account leaves it remembered.
func TestRightPasswordIsRemembered(t *testing.T) {
	ann := store.Account{ID: "a-1", Address: "ann@example.com", Password: "hash of pw", Scram: "v", State: store.Active, Epoch: 1}
	at := &accounts{known: ann}
	kept := &plainKept{}
	check := &Checker{Accounts: at, Address: parse, Kept: kept}
	login := func(want bool, hashed int) {
		t.Helper()
		kept.hashed = 0
		_, err := check.Verify(t.Context(), From{IMAP, "n"}, Credential{Name: "ann@example.com", Password: "pw"})
		if (err == nil) != want || kept.hashed != hashed {
			t.Errorf("%v after %d hashes, want %v after %d", err, kept.hashed, want, hashed)
		}
	}
	login(true, 1)
	login(true, 0)
	for name, change := range map[string]func(*store.Account){
		"the same password set anew": func(a *store.Account) { a.Password += "#with another salt" },
		"suspended":                  func(a *store.Account) { a.State = store.Suspended },
		"frozen":                     func(a *store.Account) { a.State = store.Moving },
		"moved":                      func(a *store.Account) { a.Epoch = 2 },
		"another account":            func(a *store.Account) { a.ID = "a-2" },
	} {
		at.known = ann
		change(&at.known)
		t.Log(name)
		login(true, 1)
	}
	at.known = ann
	at.known.Password = "hash of other"
	login(false, 1)
	at.known = ann
	login(true, 0)
	check.right.mu.Lock()
	for d := range check.right.until {
		check.right.until[d] = time.Now()
	}
	check.right.mu.Unlock()
	login(true, 1) // its time is over
	var r right
	for i := range maxRight + 100 {
		r.note(ann, strconv.Itoa(i), time.Now())
	}
	if len(r.until) > maxRight {
		t.Errorf("%d are remembered", len(r.until))
	}
}

// An app password is good where it may be, without a hash and until it is taken away; its day is noted once.
func TestAppPasswords(t *testing.T) {
	at := &accounts{known: store.Account{ID: "a-1", Address: "ann@example.com", Password: "hash of pw", Scram: "main", State: store.Active, AppPasswords: []store.AppPassword{
		{ID: "1", Kept: "app both", Scram: "both's"}, {ID: "2", Kept: "app reader", Scram: "reader's", Scope: IMAP}}}}
	kept, updates := &plainKept{}, 0
	check := &Checker{Accounts: at, Address: parse, Kept: kept, Update: func(_ context.Context, _ domicile.AccountID, fn func(*store.Account) error) error {
		updates++
		return fn(&at.known)
	}}
	try := func(service, password, proof string, want bool) {
		t.Helper()
		c := Credential{Name: "ann@example.com", Password: password}
		if proof != "" {
			c = Credential{Name: "ann@example.com", Exchange: said("ann@example.com"), Proof: []byte(proof)}
		}
		if _, err := check.Verify(t.Context(), From{service, "n"}, c); (err == nil) != want {
			t.Errorf("%s %q %q: %v", service, password, proof, err)
		}
	}
	try(IMAP, "both", "", true)
	try(SMTP, "both", "", true)
	try(IMAP, "reader", "", true)
	if kept.hashed != 0 || updates != 2 {
		t.Errorf("%d hashes, %d updates", kept.hashed, updates)
	}
	try(SMTP, "reader", "", false)
	try(IMAP, "", "reader's", true)
	try(SMTP, "", "both's", true)
	try(SMTP, "", "reader's", false)
	if today := time.Now().UTC().Format(time.DateOnly); at.known.AppPasswords[0].Used != today && at.known.AppPasswords[0].Used == "" {
		t.Errorf("used %q", at.known.AppPasswords[0].Used)
	}
	at.known.AppPasswords = at.known.AppPasswords[1:]
	try(IMAP, "both", "", false)
	try(IMAP, "", "both's", false)
	try(IMAP, "pw", "", true)
}

// A name has one salt however it is written; what is no name has one of its own.
func TestSaltOfOneName(t *testing.T) {
	check := &Checker{Address: parse, Kept: &plainKept{}}
	for name, want := range map[string]string{"ann@example.com": "salt of ann@example.com", "Ann+x@Example.com": "salt of ann@example.com", "no address": "salt of no address"} {
		if salt, _ := check.Salt(name); string(salt) != want {
			t.Errorf("%s: %s", name, salt)
		}
	}
}

// The first right password makes the verifier of an account that has none; one that is on its way is left alone.
func TestVerifierIsMadeAtLogin(t *testing.T) {
	for state, want := range map[store.AccountState]string{store.Active: "ann@example.com pw", store.Suspended: "", store.Moving: ""} {
		at := &accounts{known: store.Account{ID: "a-1", Address: "ann@example.com", Password: "hash of pw", State: state}}
		check := &Checker{Accounts: at, Address: parse, Kept: &plainKept{}, Update: func(_ context.Context, _ domicile.AccountID, fn func(*store.Account) error) error {
			return fn(&at.known)
		}}
		for _, password := range []string{"wrong", "pw"} {
			check.Verify(t.Context(), From{IMAP, "n"}, Credential{Name: "ann@example.com", Password: password})
			if password == "wrong" && at.known.Scram != "" {
				t.Error("made of a wrong password")
			}
		}
		if at.known.Scram != want {
			t.Errorf("%s: %q", state, at.known.Scram)
		}
	}
}

// parse stands for placement.ParseAddress.
func parse(s string) (domicile.Address, error) {
	switch s {
	case "no address":
		return "", domicile.E("address", domicile.Invalid, "")
	case "Ann+x@Example.com":
		return "ann@example.com", nil
	}
	return domicile.Address(s), nil
}

// Failed logins become slower for their network, and are forgotten.
func TestFailuresSlowDown(t *testing.T) {
	f := NewFails(time.Second, 0)
	now := time.Now()
	for i, want := range []time.Duration{1, 2, 4, 8, 8} {
		if got := f.count("n", now); got != want*time.Second {
			t.Errorf("failure %d: %v", i+1, got)
		}
	}
	if got := f.count("other", now); got != time.Second {
		t.Errorf("another network: %v", got)
	}
	if got := f.count("n", now.Add(memory+time.Second)); got != time.Second {
		t.Errorf("later: %v", got)
	}
	for i := range 2 * maxFailed {
		f.count(string(rune(i)), now)
	}
	if len(f.seen) > maxFailed {
		t.Errorf("%d networks are remembered", len(f.seen))
	}
	kept := NewFails(time.Second, 0)
	for range 8 {
		kept.count("guesser", now)
	}
	for i := range maxFailed + 100 { // one who makes up networks does not wash away the others
		kept.count("made up "+strconv.Itoa(i), now)
	}
	if len(kept.seen) != maxFailed {
		t.Errorf("%d networks are remembered", len(kept.seen))
	}
	free := NewFails(time.Second, 2)
	for i, want := range []time.Duration{1, 1, 1, 2, 4} {
		if got := free.count("n", now); got != want*time.Second {
			t.Errorf("failure %d with two free: %v", i+1, got)
		}
	}
}

// The delay counts from when the login began: work that took longer in one case than in another does not show.
func TestWaitCountsFromTheBeginning(t *testing.T) {
	f := NewFails(time.Hour, 0)
	f.Wait(context.Background(), "n", time.Now().Add(-slowest*time.Hour)) // returns: it was due already
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f.Wait(ctx, "n", time.Now()) // returns: nobody waits any more
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.7:5": "192.0.2.7", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::", "[::ffff:192.0.2.7]:1": "192.0.2.7"} {
		a, err := net.ResolveTCPAddr("tcp", in)
		if err != nil {
			t.Fatal(err)
		}
		if got := Network(a); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	if got := Network(&net.UnixAddr{Name: "x"}); got != "x" {
		t.Errorf("%s", got)
	}
}
