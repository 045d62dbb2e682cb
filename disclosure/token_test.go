package disclosure

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"domicile"
)

// forge builds a token of any header and claims text, signed by the court's real key: what only the parser can catch.
func (w *world) forge(t testing.TB, protected, claims string, a *authority) []byte {
	t.Helper()
	key, _, _, err := a.as("").key()
	if err != nil {
		t.Fatal(err)
	}
	head, body := b64([]byte(protected)), b64([]byte(claims))
	sig := ed25519.Sign(key.(ed25519.PrivateKey), []byte(head+"."+body))
	return []byte(fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, body, head, b64(sig)))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (a *authority) thumb() string {
	block, _ := pem.Decode(a.cert)
	return thumbprint(block.Bytes)
}

func header0(a *authority) string {
	return fmt.Sprintf(`{"alg":"Ed25519","typ":%q,"x5t#S256":%q,"role":"issuing","iat":%d}`, tokenType, a.thumb(), issued.Unix())
}

func text(c Claims) string {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// flip changes one character of the base64 of a part.
func flip(token []byte, part string) []byte {
	s := string(token)
	i := strings.Index(s, `"`+part+`":"`) + len(part) + 4 + 10
	c := byte('A')
	if s[i] == 'A' {
		c = 'B'
	}
	return []byte(s[:i] + string(c) + s[i+1:])
}

type attack struct {
	name  string
	token []byte
	want  domicile.Reason
}

// attacks are tokens that must not pass, each with the code that says why. A token that passes is put to eu-ireland for
// the Irish account.
func (w *world) attacks(t testing.TB) []attack {
	court := w.court.as("issuing")
	good := w.warrant("mail-ie", "eu-ireland", irish)
	token := w.sign(good, court)
	mod := func(fn func(*Claims)) []byte {
		c := w.warrant("mail-ie", "eu-ireland", irish)
		fn(&c)
		return w.sign(c, court)
	}
	treaty := func(fn func(*Claims), signers ...TokenSigner) []byte {
		c := w.request()
		if fn != nil {
			fn(&c)
		}
		return w.sign(c, signers...)
	}
	raw := func(head string, fn func(string) string) []byte { return w.forge(t, head, fn(text(good)), w.court) }
	same := func(s string) string { return s }
	head := func(old, new string) []byte { return raw(strings.Replace(header0(w.court), old, new, 1), same) }
	claim := func(old, new string) []byte {
		return raw(header0(w.court), func(s string) string { return strings.Replace(s, old, new, 1) })
	}
	stranger := &authority{}
	stranger.key, stranger.cert, _, _, _ = NewAuthority("us-sdny", "Authority us-sdny", "US", issued)
	thief := stranger.as("issuing")
	thief.CertPEM = w.court.cert
	mac := hmac.New(sha256.New, w.court.cert)
	hs := b64([]byte(strings.Replace(header0(w.court), `"Ed25519"`, `"HS256"`, 1)))
	mac.Write([]byte(hs + "." + b64([]byte(text(good)))))
	outer := func(s string) []byte { return []byte(s) }

	return []attack{
		{"no token", nil, domicile.NoToken},
		{"not JSON", outer("order!"), domicile.BadSignature},
		{"compact JWS", outer("e30.e30.e30"), domicile.BadSignature},
		{"a list", outer("[]"), domicile.BadSignature},
		{"over 64 KiB", outer(strings.Repeat(" ", maxToken+1)), domicile.BadSignature},
		{"deep nesting", outer(strings.Repeat(`{"payload":`, 2000)), domicile.BadSignature},
		{"no signatures", outer(`{"payload":"e30","signatures":[]}`), domicile.BadSignature},
		{"nine signatures", nineSignatures(token), domicile.BadSignature},
		{"flattened", outer(`{"payload":"e30","protected":"e30","signature":"e30"}`), domicile.BadSignature},
		{"unprotected header", outer(strings.Replace(string(token), `{"protected"`, `{"header":{"alg":"none"},"protected"`, 1)), domicile.BadSignature},
		{"two payloads", outer(strings.Replace(string(token), `{"payload"`, `{"payload":"e30","payload"`, 1)), domicile.BadSignature},
		{"something behind", append(append([]byte{}, token...), '{', '}'), domicile.BadSignature},
		{"payload flipped", flip(token, "payload"), domicile.BadSignature},
		{"header flipped", flip(token, "protected"), domicile.BadSignature},
		{"signature flipped", flip(token, "signature"), domicile.BadSignature},
		{"signature cut", outer(strings.Replace(string(token), `"signature":"`, `"signature":"AAAA`, 1)), domicile.BadSignature},
		{"payload with padding", outer(strings.Replace(string(token), `","signatures"`, `=","signatures"`, 1)), domicile.BadSignature},
		{"alg none", head("Ed25519", "none"), domicile.BadSignature},
		{"alg HS256", outer(fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, b64([]byte(text(good))), hs, b64(append(mac.Sum(nil), mac.Sum(nil)...)))), domicile.BadSignature},
		{"alg ES256 with an Ed25519 key", head("Ed25519", "ES256"), domicile.BadSignature},
		{"alg in another case", head("Ed25519", "ed25519"), domicile.BadSignature},
		{"typ JWT", head(tokenType, "JWT"), domicile.BadSignature},
		{"jwk", head(`"role"`, `"jwk":{"kty":"OKP"},"role"`), domicile.BadSignature},
		{"jku", head(`"role"`, `"jku":"https://evil.example","role"`), domicile.BadSignature},
		{"x5u", head(`"role"`, `"x5u":"https://evil.example","role"`), domicile.BadSignature},
		{"kid", head(`"role"`, `"kid":"1","role"`), domicile.BadSignature},
		{"crit with something unknown", head(`"role"`, `"crit":["exp2"],"exp2":1,"role"`), domicile.BadSignature},
		{"crit b64", head(`"role"`, `"crit":["b64"],"b64":false,"role"`), domicile.BadSignature},
		{"empty crit", head(`"role"`, `"crit":[],"role"`), domicile.BadSignature},
		{"role twice", head(`"role"`, `"role":"central","role"`), domicile.BadSignature},
		{"ROLE in capitals", head(`"role"`, `"ROLE"`), domicile.BadSignature},
		{"no role", head(`"role":"issuing",`, ``), domicile.BadSignature},
		{"no certificate named", head("x5t#S256", "x5t#S25"), domicile.BadSignature},
		{"x5c and x5t differ", head(`"role"`, `"x5c":["AAAA"],"role"`), domicile.BadSignature},
		{"unknown claim", claim(`{"iss"`, `{"god_mode":true,"iss"`), domicile.BadSignature},
		{"claim twice", claim(`{"iss"`, `{"iss":"us-oia","iss"`), domicile.BadSignature},
		{"claim in capitals", claim(`"iss"`, `"ISS"`), domicile.BadSignature},
		{"exp as text", claim(`"exp":`, `"exp":"x","nbf2":`), domicile.BadSignature},
		{"exp as a fraction", claim(`"exp":`, `"exp":1.5,"x":`), domicile.BadSignature},
		{"exp of another type", w.forge(t, header0(w.court), strings.Replace(text(good), fmt.Sprintf(`"exp":%d`, good.Expires), `"exp":"never"`, 1), w.court), domicile.BadSignature},
		{"max_items a fraction", claim(`"max_items":1000`, `"max_items":1e3`), domicile.BadSignature},
		{"categories a text", claim(`"categories":["subscriber","traffic","content"]`, `"categories":"content"`), domicile.BadSignature},
		{"unknown category", claim(`"content"]`, `"everything"]`), domicile.BadSignature},
		{"category twice", claim(`"content"]`, `"content","content"]`), domicile.BadSignature},
		{"NUL in a claim", claim(`"S.D.N.Y."`, `"S\u0000Y"`), domicile.BadSignature},
		{"newline in a claim", claim(`"S.D.N.Y."`, `"S\nY"`), domicile.BadSignature},
		{"null claim", claim(`"S.D.N.Y."`, `null`), domicile.BadSignature},
		{"huge claim", claim(`"S.D.N.Y."`, `"`+strings.Repeat("x", maxClaim+1)+`"`), domicile.BadSignature},
		{"200 targets", claim(`["`+irish+`"]`, `["a"`+strings.Repeat(`,"b"`, 200)+`]`), domicile.BadSignature},
		{"cnf", claim(`{"iss"`, `{"cnf":"key","iss"`), domicile.BadSignature},
		{"exp before nbf", claim(fmt.Sprintf(`"exp":%d`, good.Expires), `"exp":5`), domicile.BadSignature},
		{"jti missing", claim(`"jti"`, `"jtj"`), domicile.BadSignature},
		{"document digest in capitals", claim(good.Document, strings.ToUpper(good.Document)), domicile.BadSignature},
		{"court's certificate, another's key", mustSign(t, good, thief, w), domicile.BadSignature},
		{"one of three signatures forged", forgeThird(treaty(nil, w.treatySigners()...)), domicile.BadSignature},
		{"one good and one unknown signature", w.sign(good, court, stranger.as("validating")), domicile.UnknownAuthority},
		{"own key and certificate under the court's name", w.sign(good, stranger.as("issuing")), domicile.UnknownAuthority},
		{"iss not registered", mod(func(c *Claims) { c.Issuer = "us-nobody" }), domicile.UnknownAuthority},
		{"delivery to another state's authority", mod(func(c *Claims) { c.DeliveryTo = w.german.Recipient }), domicile.ScopeExceedsBasis},
		{"a jti with a space that nobody sees", claim(`"jti":"`, `"jti":"\u200b`), domicile.BadSignature},
		{"delivery to a stranger", mod(func(c *Claims) { c.DeliveryTo = "age1qqqqqq" }), domicile.UnknownAuthority},
		{"a central authority issues a warrant", w.sign(func() Claims { c := w.warrant("mail-ie", "eu-ireland", irish); c.Issuer = w.oia.ID; return c }(), w.oia.as("central")), domicile.WrongRole},
		{"court signs as central authority", w.sign(good, w.court.as("central")), domicile.WrongRole},
		{"a German authority issues a US warrant", w.sign(func() Claims { c := w.warrant("mail-ie", "eu-ireland", irish); c.Issuer = w.german.ID; return c }(), w.german.as("issuing")), domicile.WrongRole},
		{"unknown order type", mod(func(c *Claims) { c.OrderType = "us.sca.everything" }), domicile.WrongRole},
		{"regime of another type", mod(func(c *Claims) { c.Regime = "mlat" }), domicile.WrongRole},
		{"signed by another court than iss", mod(func(c *Claims) { c.Issuer = w.oia.ID }), domicile.MissingSignature},
		{"treaty request without the Irish court", treaty(nil, w.oia.as("central"), w.central.as("validating")), domicile.MissingSignature},
		{"treaty request without validation", treaty(nil, w.oia.as("central"), w.judge.as("executing")), domicile.MissingSignature},
		{"treaty request without the requesting state", treaty(nil, w.central.as("validating"), w.judge.as("executing")), domicile.MissingSignature},
		{"treaty request validated by the requesting state itself", treaty(nil, w.oia.as("central"), w.oia.as("validating"), w.judge.as("executing")), domicile.MissingSignature},
		{"treaty request issued by the requested state to itself", treaty(func(c *Claims) { c.Issuer = w.central.ID }, w.central.as("central"), w.central.as("validating"), w.judge.as("executing")), domicile.MissingSignature},
		{"another region", mod(func(c *Claims) { c.Audience.Region = "us-east" }), domicile.WrongAudience},
		{"another entity", mod(func(c *Claims) { c.Audience.Entity = "mail-us" }), domicile.WrongAudience},
		{"an entity that does not exist", mod(func(c *Claims) { c.Audience.Entity = "nobody" }), domicile.WrongAudience},
		{"not yet valid", mod(func(c *Claims) { c.NotBefore = today.Unix() + 60; c.Expires = today.Unix() + 120 }), domicile.NotYetValid},
		{"issued in the future", mod(func(c *Claims) { c.IssuedAt = today.Unix() + 3600 }), domicile.NotYetValid},
		{"expired", mod(func(c *Claims) { c.Expires = today.Unix() }), domicile.Expired},
		{"window in the future", mod(func(c *Claims) { c.Scope.Window.To = today.AddDate(0, 0, 1).Unix() }), domicile.ProspectiveNot},
		{"window behind iat", mod(func(c *Claims) { c.Scope.Window.To = issued.Unix() + 1 }), domicile.ProspectiveNot},
		{"subpoena for content", mod(func(c *Claims) { c.OrderType = "us.sca.subpoena" }), domicile.ScopeExceedsBasis},
		{"2703(d) order for content", mod(func(c *Claims) { c.OrderType = "us.sca.order_2703d" }), domicile.ScopeExceedsBasis},
		{"no ceiling of items", mod(func(c *Claims) { c.Scope.MaxItems = 0 }), domicile.ScopeExceedsBasis},
		{"ceiling of bytes too high", mod(func(c *Claims) { c.Scope.MaxBytes = 1 << 50 }), domicile.ScopeExceedsBasis},
		{"no window", mod(func(c *Claims) { c.Scope.Window = Window{} }), domicile.ScopeExceedsBasis},
		{"window upside down", mod(func(c *Claims) { c.Scope.Window.From = c.Scope.Window.To + 1 }), domicile.ScopeExceedsBasis},
		{"no category", mod(func(c *Claims) { c.Scope.Categories = nil }), domicile.ScopeExceedsBasis},
		{"delivery to nobody", mod(func(c *Claims) { c.DeliveryTo = "" }), domicile.ScopeExceedsBasis},
		{"target not named", mod(func(c *Claims) { c.Scope.Targets = []string{"other@example.com"} }), domicile.ScopeExceedsBasis},
	}
}

func nineSignatures(token []byte) []byte {
	var e envelope
	if err := json.Unmarshal(token, &e); err != nil {
		panic(err)
	}
	for len(e.Signatures) < 9 {
		e.Signatures = append(e.Signatures, e.Signatures[0])
	}
	out, _ := json.Marshal(e)
	return out
}

// forgeThird puts the first signature in the third's place.
func forgeThird(token []byte) []byte {
	var e envelope
	if err := json.Unmarshal(token, &e); err != nil {
		panic(err)
	}
	e.Signatures[2].Signature = e.Signatures[0].Signature
	out, _ := json.Marshal(e)
	return out
}

// mustSign signs with a key that does not belong to the certificate, which SignToken itself refuses to do.
func mustSign(t testing.TB, c Claims, s TokenSigner, w *world) []byte {
	t.Helper()
	if _, err := SignToken([]byte(text(c)), s); domicile.KindOf(err) != domicile.Invalid {
		t.Fatalf("a key that is not the certificate's: %v", err)
	}
	thief := &authority{key: s.KeyPEM, cert: s.CertPEM}
	block, _ := pem.Decode(s.KeyPEM)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	head, body := b64([]byte(header0(thief))), b64([]byte(text(c)))
	sig := ed25519.Sign(key.(ed25519.PrivateKey), []byte(head+"."+body))
	return []byte(fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, body, head, b64(sig)))
}

func (w *world) checker(t testing.TB) *checker {
	t.Helper()
	reg, err := loadRegistry(w.registry())
	if err != nil {
		t.Fatal(err)
	}
	l, err := loadLaw()
	if err != nil {
		t.Fatal(err)
	}
	return &checker{law: l, reg: reg, catalog: w.catalog, region: "eu-ireland", lab: true, now: w.now}
}

func (k *checker) all(token []byte, target domicile.Address) *finding {
	o, f := k.authenticate(token)
	if f == nil {
		f = k.admit(o, target)
	}
	return f
}

func TestAttacks(t *testing.T) {
	w := newWorld(t)
	k := w.checker(t)
	for _, good := range [][]byte{
		w.sign(w.warrant("mail-ie", "eu-ireland", irish), w.court.as("issuing")),
		w.sign(w.request(), w.treatySigners()...),
		w.forge(t, header0(w.court), text(w.warrant("mail-ie", "eu-ireland", irish)), w.court),
		w.forge(t, strings.Replace(header0(w.court), "Ed25519", "EdDSA", 1), text(w.warrant("mail-ie", "eu-ireland", irish)), w.court), // the older name
	} {
		if f := k.all(good, irish); f != nil {
			t.Fatalf("a good token: %+v", f)
		}
	}
	for _, a := range w.attacks(t) {
		f := k.all(a.token, irish)
		if f == nil || f.Code != a.want || f.Rule == "" || f.Detail == "" {
			t.Errorf("%s: %+v, want %s", a.name, f, a.want)
		}
	}
}

func TestStatus(t *testing.T) {
	w := newWorld(t)
	token := w.sign(w.request(), w.treatySigners()...)
	var c Claims
	if o, err := parseToken(token); err != nil {
		t.Fatal(err)
	} else {
		c = *o.claims
	}
	check := func(name string, want domicile.Reason) {
		t.Helper()
		f := w.checker(t).all(token, irish)
		if want == "" && f != nil || want != "" && (f == nil || f.Code != want) {
			t.Errorf("%s: %+v, want %q", name, f, want)
		}
	}
	check("valid", "")
	w.status(w.judge, map[string]string{c.JTI: "suspended"})
	check("stayed by the executing court", domicile.Stayed)
	w.status(w.oia, map[string]string{c.JTI: "invalid"})
	check("revoked by the requesting authority", domicile.Revoked)
	w.status(w.oia, nil)
	w.status(w.judge, map[string]string{c.JTI: "valid"})
	check("lifted", "")
	w.status(w.central, map[string]string{"another-jti": "invalid"})
	check("another token revoked", "")
	w.now = issued.Add(721 * time.Hour)
	check("older than its stated age", domicile.StatusStale)
	w.now = today
	good := w.central.Authority
	w.central.StatusList = "file:status/nowhere.jwt"
	check("missing", domicile.StatusStale)
	w.central.StatusList = "https://status.example/list"
	check("https", domicile.StatusStale)
	w.central.StatusList = "file:status/" + w.oia.ID + ".jwt"
	check("another authority's list", domicile.StatusStale)
	w.central.Authority = good
	k := w.checker(t)
	k.lab = false
	if f := k.all(token, irish); f == nil || f.Code != domicile.StatusStale {
		t.Errorf("a file: list outside a lab: %+v", f)
	}
}

// TestStatusIndexClaim: a token that names a place of its own is stayed at either place.
func TestStatusIndexClaim(t *testing.T) {
	w := newWorld(t)
	c := w.warrant("mail-ie", "eu-ireland", irish)
	c.Status = &Status{Index: 77}
	token := w.sign(c, w.court.as("issuing"))
	for _, set := range []map[string]string{{"77": "suspended"}, {c.JTI: "suspended"}} {
		w.status(w.court, set)
		if f := w.checker(t).all(token, irish); f == nil || f.Code != domicile.Stayed {
			t.Errorf("%v: %+v", set, f)
		}
	}
}

func TestES256AndX5C(t *testing.T) {
	w := newWorld(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: issued.AddDate(-1, 0, 0), NotAfter: issued.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	w.court.key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pk})
	w.court.cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	w.court.Certificate = string(w.court.cert)
	w.status(w.court, nil)
	token := w.sign(w.warrant("mail-ie", "eu-ireland", irish), w.court.as("issuing"))
	if f := w.checker(t).all(token, irish); f != nil {
		t.Errorf("ES256: %+v", f)
	}
	block, _ := pem.Decode(w.german.cert)
	c := w.warrant("mail-ie", "eu-ireland", irish)
	c.Issuer, c.OrderType, c.Regime, c.DeliveryTo = w.german.ID, "eu.epoc", "eu.evidence", w.german.Recipient
	head := fmt.Sprintf(`{"alg":"Ed25519","typ":%q,"x5c":[%q],"role":"issuing","iat":1}`, tokenType, base64.StdEncoding.EncodeToString(block.Bytes))
	if f := w.checker(t).all(w.forge(t, head, text(c), w.german), irish); f != nil {
		t.Errorf("x5c: %+v", f)
	}
}

func TestInspectAndAddSignature(t *testing.T) {
	w := newWorld(t)
	token := w.sign(w.request(), w.oia.as("central"))
	for _, s := range []TokenSigner{w.central.as("validating"), w.judge.as("executing")} {
		var err error
		if token, err = AddSignature(token, s); err != nil {
			t.Fatal(err)
		}
	}
	if f := w.checker(t).all(token, irish); f != nil {
		t.Fatalf("%+v", f)
	}
	view, err := InspectToken(token)
	if err != nil || !strings.Contains(string(view), `"verified":false`) || !strings.Contains(string(view), "executing") {
		t.Fatalf("%s %v", view, err)
	}
	if _, err := InspectToken([]byte("x")); domicile.ReasonOf(err) != domicile.BadSignature {
		t.Fatal(err)
	}
}

// TestErrorsNameNobody: what is refused is told without the target or any text of the token.
func TestErrorsNameNobody(t *testing.T) {
	w := newWorld(t)
	k := w.checker(t)
	for _, a := range w.attacks(t) {
		if f := k.all(a.token, irish); f != nil && strings.Contains(f.Detail, "@") {
			t.Errorf("%s: %s", a.name, f.Detail)
		}
	}
}

func FuzzToken(f *testing.F) {
	w := newWorld(f)
	for _, a := range w.attacks(f) {
		f.Add(a.token)
	}
	good := w.sign(w.request(), w.treatySigners()...)
	f.Add(good)
	want, err := parseToken(good)
	if err != nil {
		f.Fatal(err)
	}
	k := w.checker(f)
	f.Fuzz(func(t *testing.T, token []byte) {
		o, found := k.authenticate(token)
		if found == nil && o.payload != want.payload && o.claims.JTI == want.claims.JTI {
			t.Fatal("an altered token passed")
		}
		if found != nil && (found.Code == "" || found.Rule == "") {
			t.Fatal("refused without a code")
		}
	})
}
