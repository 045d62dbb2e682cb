package keys

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"domicile"
)

func raw(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The exchange of RFC 7677 3, with the password "pencil".
func TestProofOfRFC7677(t *testing.T) {
	salt := raw(t, "W22ZaJ0SNY7soEsUEjb6gQ==")
	kept, err := verifier("pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	exchange := "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096," +
		"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	proof := raw(t, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
	p := NewPasswords(make([]byte, 32))
	signature, ok := p.Proof(kept, salt, 4096, exchange, proof)
	if want := raw(t, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="); !ok || !bytes.Equal(signature, want) {
		t.Errorf("%v, %x", ok, signature)
	}
	flip := bytes.Clone(proof)
	flip[7] ^= 1
	for name, ok := range map[string]bool{
		"another proof":      fits(p.Proof(kept, salt, 4096, exchange, flip)),
		"a short proof":      fits(p.Proof(kept, salt, 4096, exchange, proof[1:])),
		"no proof":           fits(p.Proof(kept, salt, 4096, exchange, nil)),
		"another exchange":   fits(p.Proof(kept, salt, 4096, exchange+" ", proof)),
		"another salt":       fits(p.Proof(kept, salt[1:], 4096, exchange, proof)),
		"another count":      fits(p.Proof(kept, salt, 4097, exchange, proof)),
		"no verifier":        fits(p.Proof("", salt, 4096, exchange, proof)),
		"a damaged verifier": fits(p.Proof(kept[:len(kept)-3], salt, 4096, exchange, proof)),
	} {
		if ok {
			t.Errorf("%s is taken", name)
		}
	}
}

func fits(_ []byte, ok bool) bool { return ok }

// What an unknown name's zeros would accept is refused: nobody logs in without a verifier.
func TestNoVerifierFitsNothing(t *testing.T) {
	p := NewPasswords(make([]byte, 32))
	zero := make([]byte, 32)
	for _, kept := range []string{"", "x", "SCRAM-SHA-256$65536:$" + base64.StdEncoding.EncodeToString(zero) + ":"} {
		if _, ok := p.Proof(kept, nil, 0, "x", mac(zero, "x")); ok {
			t.Errorf("%q fits", kept)
		}
	}
}

// A name has one salt, and its verifier is of that salt: a stranger sees no difference between one that exists and one that does not.
func TestSaltOfName(t *testing.T) {
	p, other := NewPasswords([]byte("one key of names")), NewPasswords([]byte("another"))
	salted := func(p *Passwords, name string) []byte { salt, _ := p.Salt(name); return salt }
	a := salted(p, "ann@example.com")
	if !bytes.Equal(a, salted(NewPasswords([]byte("one key of names")), "ann@example.com")) || len(a) != 16 {
		t.Error("not stable")
	}
	if bytes.Equal(a, salted(p, "bob@example.com")) || bytes.Equal(a, salted(other, "ann@example.com")) {
		t.Error("shared")
	}
	kept, err := p.Verifier("ann@example.com", "a good password")
	if err != nil {
		t.Fatal(err)
	}
	salt, n, _, _, known := parseVerifier(kept)
	if !known || !bytes.Equal(salt, a) || n != scramIterations || len(kept) > maxScram {
		t.Errorf("%q", kept)
	}
	if strings.Contains(kept, "password") {
		t.Error("the password is kept")
	}
}

// A password is what it looks like, however a program writes it; what an earlier release hashed as it was given is still good.
func TestPasswordsArePrepared(t *testing.T) {
	const composed, apart = "caf\u00e9 correct", "cafe\u0301\u3000correct" // and another space
	p := NewPasswords(make([]byte, 32))
	kept, err := p.Hash(apart)
	if err != nil {
		t.Fatal(err)
	}
	old, err := HashPassword(apart)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kept, given string
		want        bool
	}{{kept, composed, true}, {kept, apart, true}, {kept, "cafe correct", false}, {old, apart, true}, {old, composed, false}, {"", apart, false}, {kept, "\x00", false}} {
		if ok, err := p.Check(c.kept, c.given); ok != c.want || err != nil {
			t.Errorf("%q: %v, %v", c.given, ok, err)
		}
	}
	if _, err := p.Hash("tab\tinside"); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("a control character: %v", err)
	}
	if _, err := p.Verifier("ann@example.com", "tab\tinside"); domicile.KindOf(err) != domicile.Invalid {
		t.Errorf("a control character: %v", err)
	}
}

func TestAppPassword(t *testing.T) {
	p := NewPasswords(nil)
	seen := map[string]bool{}
	for range 100 {
		password, kept := p.NewApp()
		if seen[password] || len(password) != 30 || strings.Contains(kept, password) {
			t.Fatalf("%q, kept as %q", password, kept)
		}
		seen[password] = true
		if !p.CheckApp(kept, password) || p.CheckApp(kept, password[1:]) || p.CheckApp("", password) || p.CheckApp(kept, "") || p.CheckApp("", "") {
			t.Errorf("%q", password)
		}
		if prepared, err := Prepare(password); err != nil || prepared != password {
			t.Errorf("%q is prepared as %q: %v", password, prepared, err)
		}
	}
}
