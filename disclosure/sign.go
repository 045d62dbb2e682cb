package disclosure

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"time"

	"filippo.io/age"
	"github.com/go-jose/go-jose/v4"

	"domicile"
)

// TokenSigner is who puts a signature to a token or status list.
type TokenSigner struct {
	KeyPEM, CertPEM []byte    // PKCS#8 private key, Ed25519 or P-256, and its certificate
	Role            string    // issuing, validating, central, executing, enforcing
	At              time.Time // of signing, in the header's iat; zero: now
}

// NewAuthority makes a lab authority: key file (PEM PKCS#8, Ed25519), self-signed certificate (PEM, ten years), age
// identity (text, one line) and the age recipient that belongs to it. A lab keeps all of them; a real authority keeps
// its own.
func NewAuthority(id, name string, country domicile.Country, now time.Time) (keyPEM, certPEM, ageIdentity []byte, recipient string, err error) {
	const op = "make an authority"
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, nil, "", domicile.W(op, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return nil, nil, nil, "", domicile.W(op, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, nil, "", domicile.W(op, err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: id, Organization: []string{name}, Country: []string{string(country)}},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, priv)
	if err != nil {
		return nil, nil, nil, "", domicile.W(op, err)
	}
	ident, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, nil, nil, "", domicile.W(op, err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		[]byte(ident.String() + "\n"), ident.Recipient().String(), nil
}

// SignToken makes a token (JWS General JSON) of claims (the JSON of [Claims]), signed by each signer in its role.
// Claims that no region would accept are refused as Invalid.
func SignToken(claims []byte, signers ...TokenSigner) ([]byte, error) {
	const op = "sign a token"
	if len(signers) == 0 {
		return nil, domicile.E(op, domicile.Invalid, "a token needs at least one signer")
	}
	if _, err := parseClaims(claims); err != nil {
		return nil, domicile.E(op, domicile.Invalid, err.Error())
	}
	env := envelope{Payload: base64.RawURLEncoding.EncodeToString(claims)}
	for _, s := range signers {
		if err := env.add(claims, s); err != nil {
			return nil, domicile.W(op, err)
		}
	}
	return env.text()
}

// AddSignature adds one signature to a token. It does not verify those that are there.
func AddSignature(text []byte, s TokenSigner) ([]byte, error) {
	const op = "add a signature"
	if _, err := parseToken(text); err != nil {
		return nil, domicile.E(op, domicile.Invalid, err.Error())
	}
	var env envelope
	if err := strictJSON(text, &env); err != nil {
		return nil, domicile.E(op, domicile.Invalid, err.Error())
	}
	claims, err := base64.RawURLEncoding.DecodeString(env.Payload)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	if err := env.add(claims, s); err != nil {
		return nil, domicile.W(op, err)
	}
	return env.text()
}

func (e *envelope) text() ([]byte, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, domicile.W("sign a token", err)
	}
	if _, err := parseToken(text); err != nil {
		return nil, domicile.E("sign a token", domicile.Invalid, err.Error())
	}
	return text, nil
}

func (e *envelope) add(payload []byte, s TokenSigner) error {
	if len(e.Signatures) >= maxSignatures {
		return domicile.E("sign", domicile.TooLarge, "a token has at most 8 signatures")
	}
	if signsAs[s.Role] == nil { // the roles of signatures have the names of those of authorities
		return domicile.E("sign", domicile.Invalid, "the signer's role must be issuing, validating, central, executing or enforcing")
	}
	compact, err := s.sign(payload, tokenType, map[jose.HeaderKey]any{"role": s.Role})
	if err != nil {
		return err
	}
	e.Signatures = append(e.Signatures, envSignature{Protected: compact.protected, Signature: compact.signature})
	return nil
}

// compact is a JWS in its three parts.
type compact struct{ protected, payload, signature string }

// sign makes one signature with the certificate's thumbprint, typ, iat and more in the protected header.
func (s TokenSigner) sign(payload []byte, typ string, more map[jose.HeaderKey]any) (compact, error) {
	key, alg, thumb, err := s.key()
	if err != nil {
		return compact{}, err
	}
	at := s.At
	if at.IsZero() {
		at = time.Now()
	}
	opts := (&jose.SignerOptions{}).WithType(jose.ContentType(typ)).WithHeader("x5t#S256", thumb).WithHeader("iat", at.Unix())
	for k, v := range more {
		opts = opts.WithHeader(k, v)
	}
	var signing any = key
	if k, ok := key.(ed25519.PrivateKey); ok {
		signing = ed25519Signer{k}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: signing}, opts)
	if err != nil {
		return compact{}, err
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		return compact{}, err
	}
	var flat struct{ Protected, Payload, Signature string }
	if err := json.Unmarshal([]byte(jws.FullSerialize()), &flat); err != nil {
		return compact{}, err
	}
	return compact{flat.Protected, flat.Payload, flat.Signature}, nil
}

// key reads both PEM files and holds them against each other.
func (s TokenSigner) key() (key crypto.Signer, alg jose.SignatureAlgorithm, thumb string, err error) {
	bad := func(detail string) error { return domicile.E("read a signer's key", domicile.Invalid, detail) }
	kb, _ := pem.Decode(s.KeyPEM)
	cb, _ := pem.Decode(s.CertPEM)
	if kb == nil || kb.Type != "PRIVATE KEY" || cb == nil || cb.Type != "CERTIFICATE" {
		return nil, "", "", bad("want a PEM file PRIVATE KEY (PKCS#8) and a PEM file CERTIFICATE")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(kb.Bytes)
	if err != nil {
		return nil, "", "", bad("the private key is not PKCS#8")
	}
	cert, err := x509.ParseCertificate(cb.Bytes)
	if err != nil {
		return nil, "", "", bad("the certificate does not parse")
	}
	key, ok := parsed.(crypto.Signer)
	if !ok || !samePublic(key.Public(), cert.PublicKey) {
		return nil, "", "", bad("the certificate does not belong to the private key")
	}
	switch key.(type) {
	case ed25519.PrivateKey:
		alg = algEd25519
	case *ecdsa.PrivateKey:
		alg = jose.ES256
	default:
		return nil, "", "", bad("the key must be Ed25519 or P-256")
	}
	return key, alg, thumbprint(cert.Raw), nil
}

func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
