package login

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"domicile"
)

// scramHome is a home that knows user by the password "pencil", as another library computes what is kept of it.
func scramHome(t testing.TB, binding []byte) (Options, *[]Credential) {
	c, err := scram.SHA256.NewClient("user", "pencil", "")
	if err != nil {
		t.Fatal(err)
	}
	salt := func(name string) ([]byte, int) { return []byte("salt of " + name), 4096 }
	var seen []Credential
	return Options{Salt: salt, Binding: binding, Verify: func(cred Credential) ([]byte, error) {
		seen = append(seen, cred)
		if cred.Name == "user" && cred.Password == "pencil" {
			return nil, nil
		}
		s, n := salt(cred.Name)
		kept, err := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(s), Iters: n})
		if err != nil {
			return nil, err
		}
		key := sum(kept.StoredKey, cred.Exchange)
		for i := range min(len(key), len(cred.Proof)) {
			key[i] ^= cred.Proof[i]
		}
		if stored := sha256.Sum256(key); cred.Name != "user" || !bytes.Equal(stored[:], kept.StoredKey) {
			return nil, Wrong()
		}
		return sum(kept.ServerKey, cred.Exchange), nil
	}}, &seen
}

func sum(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// converse runs a client of another library against an exchange, the first step with an initial response or without.
func converse(o Options, mechanism string, c *scram.ClientConversation, initial bool) (done bool, err error) {
	x, err := o.Begin(mechanism)
	if err != nil {
		return false, err
	}
	var response []byte
	var challenge []byte
	if !initial {
		if challenge, _, err = x.Next(nil); err != nil || len(challenge) > 0 {
			return false, errors.Join(err, errors.New("a challenge before the first response"))
		}
	}
	for range 5 {
		said, err := c.Step(string(challenge))
		if err != nil {
			return false, err
		}
		response = append([]byte{}, said...)
		if challenge, done, err = x.Next(response); err != nil {
			return false, err
		}
		if done {
			return c.Valid(), nil
		}
	}
	return false, errors.New("no end")
}

func client(t testing.TB, name, password, authz string) *scram.Client {
	t.Helper()
	c, err := scram.SHA256.NewClient(name, password, authz)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Another library's client logs in, and believes the home; whatever is wrong is found.
func TestScram(t *testing.T) {
	bound := []byte("what binds the channel, 32 bytes")
	cb := scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: bound}
	other := scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: bytes.Repeat([]byte("x"), 32)}
	for name, c := range map[string]struct {
		mechanism string
		binding   []byte // of the server
		client    *scram.ClientConversation
		want      error
	}{
		"right":                     {Scram, nil, client(t, "user", "pencil", "").NewConversation(), nil},
		"right, for oneself":        {Scram, nil, client(t, "user", "pencil", "user").NewConversation(), nil},
		"could bind, nobody offers": {Scram, nil, client(t, "user", "pencil", "").NewConversationAdvertisingChannelBinding(), nil},
		"cannot bind":               {Scram, bound, client(t, "user", "pencil", "").NewConversation(), nil},
		"bound":                     {ScramPlus, bound, client(t, "user", "pencil", "").NewConversationWithChannelBinding(cb), nil},
		"wrong password":            {Scram, nil, client(t, "user", "pencils", "").NewConversation(), Wrong()},
		"wrong password, bound":     {ScramPlus, bound, client(t, "user", "pencils", "").NewConversationWithChannelBinding(cb), Wrong()},
		"unknown name":              {Scram, nil, client(t, "nobody", "pencil", "").NewConversation(), Wrong()},
		"a name to escape":          {Scram, nil, client(t, "a,b=c", "pencil", "").NewConversation(), Wrong()},
		"for another":               {Scram, nil, client(t, "user", "pencil", "root").NewConversation(), ErrOther},
		"another channel":           {ScramPlus, bound, client(t, "user", "pencil", "").NewConversationWithChannelBinding(other), errBinding},
		"a downgrade":               {Scram, bound, client(t, "user", "pencil", "").NewConversationAdvertisingChannelBinding(), errDowngrade},
		"bound, by the plain name":  {Scram, bound, client(t, "user", "pencil", "").NewConversationWithChannelBinding(cb), errForm},
		"not bound, by PLUS":        {ScramPlus, bound, client(t, "user", "pencil", "").NewConversation(), errForm},
	} {
		o, seen := scramHome(t, c.binding)
		done, err := converse(o, c.mechanism, c.client, strings.Contains(name, "right"))
		if c.want == nil && (!done || err != nil) || c.want != nil && (err == nil || err.Error() != c.want.Error()) {
			t.Errorf("%s: %v, %v", name, done, err)
		}
		if asked := c.want == nil || domicile.KindOf(c.want) == domicile.NotExist; asked != (len(*seen) == 1) {
			t.Errorf("%s: home was asked %d times", name, len(*seen))
		}
		for _, cred := range *seen {
			x, err := parseExchange(cred.Exchange)
			if err != nil || x.name != cred.Name || x.bound != (c.mechanism == ScramPlus) || Bound(cred) != x.bound || cred.Password != "" {
				t.Errorf("%s: home reads %+v: %v", name, x, err)
			}
		}
	}
	o, _ := scramHome(t, nil)
	if _, err := o.Begin(ScramPlus); err == nil {
		t.Error("PLUS is begun where it is not offered")
	}
}

// The first answer says nothing of whether a name exists: it hangs on the name and is the same each time, but for the nonce.
func TestFirstAnswer(t *testing.T) {
	o, seen := scramHome(t, nil)
	for _, name := range []string{"user", "nobody"} {
		var got []string
		for range 2 {
			x, _ := o.Begin(Scram)
			challenge, done, err := x.Next([]byte("n,,n=" + name + ",r=abc"))
			if done || err != nil || !strings.HasPrefix(string(challenge), "r=abc") {
				t.Fatalf("%q, %v, %v", challenge, done, err)
			}
			got = append(got, string(challenge))
		}
		_, first, _ := strings.Cut(got[0], ",")
		_, second, _ := strings.Cut(got[1], ",")
		if got[0] == got[1] || first != second || first != "s="+base64.StdEncoding.EncodeToString([]byte("salt of "+name))+",i=4096" {
			t.Errorf("%q and %q", got[0], got[1])
		}
	}
	if len(*seen) > 0 {
		t.Error("home was asked")
	}
}

// What is not to be understood is refused before home is asked.
func TestScramMalformed(t *testing.T) {
	for _, first := range []string{"", "n", "n,,", "n,,n=user", "n,,r=abc", "x,,n=user,r=abc", "p=tls-unique,,n=user,r=abc", "n,,m=ext,n=user,r=abc", "n,,n=user,r=abc,x=1",
		"n,,n=,r=abc", "n,,n=us=er,r=abc", "n,,n=user,r=", "n,,n=user,r=a\x00c", "n,b=user,n=user,r=abc", "n,,n=user,r=" + strings.Repeat("a", maxNonce+1), "n,," + strings.Repeat("n", maxFirst)} {
		o, seen := scramHome(t, nil)
		x, _ := o.Begin(Scram)
		if _, done, err := x.Next([]byte(first)); err == nil || done || len(*seen) > 0 {
			t.Errorf("first %q: %v, %v", first, done, err)
		}
	}
	for _, final := range []string{"", "c=biws", "c=biws,r=NONCE", "c=biws,r=other,p=AAAA", "c=eSws,r=NONCE,p=AAAA", "c=biws,r=NONCE,x=1,p=AAAA", "c=biws,r=NONCE,p=!"} {
		o, seen := scramHome(t, nil)
		x, _ := o.Begin(Scram)
		challenge, _, err := x.Next([]byte("n,,n=user,r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		nonce, _, _ := strings.Cut(strings.TrimPrefix(string(challenge), "r="), ",")
		if _, done, err := x.Next([]byte(strings.ReplaceAll(final, "NONCE", nonce))); err == nil || done || len(*seen) > 0 {
			t.Errorf("final %q: %v, %v", final, done, err)
		}
	}
}

func TestPlainAndLogin(t *testing.T) {
	for name, c := range map[string]struct {
		mechanism string
		said      []string // "-" = nothing yet
		want      error
	}{
		"PLAIN at once":        {Plain, []string{"\x00user\x00pencil"}, nil},
		"PLAIN asked":          {Plain, []string{"-", "\x00user\x00pencil"}, nil},
		"PLAIN for oneself":    {Plain, []string{"user\x00user\x00pencil"}, nil},
		"PLAIN for another":    {Plain, []string{"root\x00user\x00pencil"}, ErrOther},
		"PLAIN wrong":          {Plain, []string{"\x00user\x00pen"}, Wrong()},
		"PLAIN without a name": {Plain, []string{"\x00\x00pencil"}, errForm},
		"PLAIN malformed":      {Plain, []string{"user pencil"}, errForm},
		"PLAIN empty":          {Plain, []string{""}, errForm},
		"LOGIN asked":          {Login, []string{"-", "user", "pencil"}, nil},
		"LOGIN with the name":  {Login, []string{"user", "pencil"}, nil},
		"LOGIN wrong":          {Login, []string{"-", "user", "pen"}, Wrong()},
	} {
		o, _ := scramHome(t, nil)
		x, err := o.Begin(c.mechanism)
		if err != nil {
			t.Fatal(err)
		}
		done := false
		for _, said := range c.said {
			var response []byte
			if said != "-" {
				response = append([]byte{}, said...)
			}
			if _, done, err = x.Next(response); err != nil {
				break
			}
		}
		if c.want == nil && (!done || err != nil) || c.want != nil && (done || err == nil || err.Error() != c.want.Error()) {
			t.Errorf("%s: %v, %v", name, done, err)
		}
	}
}

// A proof that another node hands over is taken once, while it is new, and if the process has lived long enough to remember.
func TestProofsAreTakenOnce(t *testing.T) {
	start := time.Now()
	p := proofs{began: start}
	at := func(made time.Time, bound string) Credential {
		n := newNonce(made)
		return Credential{Name: "user", Exchange: "n=user,r=c,r=c" + n + ",s=c2FsdA==,i=4096,c=" + bound + ",r=c" + n, Proof: []byte("p")}
	}
	now := start.Add(time.Hour)
	good := at(now, "biws")
	for name, c := range map[string]struct {
		cred Credential
		now  time.Time
		want domicile.Kind
	}{
		"too old":               {at(now.Add(-proofLife-2*time.Second), "biws"), now, domicile.Unavailable},
		"from the future":       {at(now.Add(proofAhead+2*time.Second), "biws"), now, domicile.Unavailable},
		"from before the start": {at(start.Add(proofAhead-2*time.Second), "biws"), start.Add(time.Minute), domicile.Unavailable},
		"bound to the front":    {at(now, base64.StdEncoding.EncodeToString([]byte("p=tls-exporter,,x"))), now, domicile.Invalid},
		"malformed":             {Credential{Exchange: "x"}, now, domicile.Invalid},
	} {
		if err := p.take(c.cred, c.now); domicile.KindOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.take(Credential{Name: "user", Password: "x"}, now); err != nil {
		t.Errorf("a password: %v", err)
	}
	if err := p.take(good, now); err != nil {
		t.Fatal(err)
	}
	for _, later := range []time.Duration{0, time.Minute, proofLife - 2*time.Second} {
		if err := p.take(good, now.Add(later)); domicile.KindOf(err) != domicile.Invalid {
			t.Errorf("again %v later: %v", later, err)
		}
	}
	for i := range maxProofs + 10 {
		p.take(at(now, "biws"), now)
		if i == 0 && len(p.used) != 2 {
			t.Fatalf("%d are remembered", len(p.used))
		}
	}
	if err := p.take(at(now, "biws"), now); domicile.KindOf(err) != domicile.Unavailable || len(p.used) > maxProofs {
		t.Errorf("more than can be remembered: %v, %d", err, len(p.used))
	}
	if err := p.take(at(now.Add(2*proofLife), "biws"), now.Add(2*proofLife)); err != nil {
		t.Errorf("when the old ones are forgotten: %v", err)
	}
}

// Both sides of a connection have the same binding, and only where the client asked for the host.
func TestBinding(t *testing.T) {
	s := httptest.NewTLSServer(nil)
	s.Close()
	for _, c := range []struct {
		asked, host string
		max         uint16
		want        bool
	}{{"home.example", "home.example", 0, true}, {"home.example", "home.example", tls.VersionTLS12, true}, {"other.example", "home.example", 0, false}, {"", "", 0, false}, {"home.example", "", 0, false}} {
		a, b := net.Pipe()
		server := tls.Server(a, &tls.Config{Certificates: s.TLS.Certificates, MaxVersion: c.max})
		go server.Handshake()
		conn := tls.Client(b, &tls.Config{InsecureSkipVerify: true, ServerName: c.asked})
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		go io.WriteString(conn, "x")
		io.ReadFull(server, make([]byte, 1))
		state := conn.ConnectionState()
		want, err := scram.NewTLSExporterBinding(&state)
		if err != nil {
			t.Fatal(err)
		}
		got := Binding(server, c.host)
		if (got != nil) != c.want || c.want && !bytes.Equal(got, want.Data) {
			t.Errorf("%+v: %x", c, got)
		}
		a.Close()
		b.Close()
	}
}

// Whatever a client or another node says, nothing panics, and home is asked with what it can read again.
func FuzzScram(f *testing.F) {
	f.Add("n,,n=user,r=abc", "c=biws,r=NONCE,p=AAAA", "n=user,r=c,r=c,s=,i=1,c=biws,r=c")
	f.Add("p=tls-exporter,a=user,n=us=2Cer,r=abc", "c=cD10bHMtZXhwb3J0ZXIsLA==,r=NONCE,p=AAAA", said("user"))
	f.Fuzz(func(t *testing.T, first, final, text string) {
		parseExchange(text)
		for _, mechanism := range []string{Scram, ScramPlus} {
			o, seen := scramHome(t, []byte("binding"))
			x, err := o.Begin(mechanism)
			if err != nil {
				t.Fatal(err)
			}
			challenge, _, err := x.Next([]byte(first))
			if err != nil {
				continue
			}
			nonce, _, _ := strings.Cut(strings.TrimPrefix(string(challenge), "r="), ",")
			x.Next([]byte(strings.ReplaceAll(final, "NONCE", nonce)))
			for _, cred := range *seen {
				if got, err := parseExchange(cred.Exchange); err != nil || got.name != cred.Name {
					t.Errorf("%q %q: home reads %+v: %v", first, final, got, err)
				}
			}
		}
	})
}

// A checker, which all fronts of a node share, has one memory for their proofs: one that was handed over to read with is no good to send with.
func TestProofsAreOfAllServices(t *testing.T) {
	check := &Checker{}
	at := func(made time.Time) Credential {
		n := newNonce(made)
		return Credential{Name: "user", Exchange: "n=user,r=c,r=c" + n + ",s=c2FsdA==,i=4096,c=biws,r=c" + n, Proof: []byte("p")}
	}
	if err := check.Take(at(started)); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("what a process before may have taken: %v", err)
	}
	check.proofs.began = time.Now().Add(-time.Hour)
	c := at(time.Now())
	if err := check.Take(c); err != nil {
		t.Fatal(err)
	}
	if err := check.Take(c); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("at another service: %v", err)
	}
}
