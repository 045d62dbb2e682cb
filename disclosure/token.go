package disclosure

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"domicile"
)

// tokenType is the typ of every signature's protected header.
const tokenType = "domicile-lbt+jws"

// maxSignatures of a token.
const maxSignatures = 8

// envelope is a JWS in the General JSON serialisation (RFC 7515 7.2.1). Unprotected headers are unknown names.
type envelope struct {
	Payload    string         `json:"payload"`
	Signatures []envSignature `json:"signatures"`
}

type envSignature struct {
	Protected string `json:"protected"`
	Signature string `json:"signature"`
}

// header is a protected header. What is not here (crit, jwk, jku, x5u, kid, b64) is refused as an unknown name:
// this release understands no critical extension, so RFC 7515 4.1.11 makes every crit invalid.
type header struct {
	Algorithm string   `json:"alg"`
	Type      string   `json:"typ"`
	Thumb     string   `json:"x5t#S256,omitempty"`
	Chain     []string `json:"x5c,omitempty"` // only the first certificate is read, and it must be a registered one
	Role      string   `json:"role"`
	IssuedAt  int64    `json:"iat"`
}

// token is a parsed, not yet verified token.
type token struct {
	claims     *Claims
	digest     string // hex SHA-256 of the token's bytes
	payload    string // base64url
	signatures []signature
}

type signature struct {
	header
	raw envSignature
}

// parseToken reads a token strictly, without verifying anything. The error says what is wrong and quotes nothing.
func parseToken(text []byte) (*token, error) {
	var env envelope
	if err := strictJSON(text, &env); err != nil {
		return nil, err
	}
	if len(env.Signatures) == 0 || len(env.Signatures) > maxSignatures {
		return nil, fmt.Errorf("a token has 1 to %d signatures", maxSignatures)
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(env.Payload)
	if err != nil {
		return nil, errors.New("the payload is not base64url")
	}
	t := &token{digest: digestOf(text), payload: env.Payload}
	if t.claims, err = parseClaims(payload); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	for i, raw := range env.Signatures {
		s, err := parseSignature(raw)
		if err != nil {
			return nil, fmt.Errorf("signature %d: %w", i+1, err)
		}
		t.signatures = append(t.signatures, s)
	}
	return t, nil
}

func parseSignature(raw envSignature) (signature, error) {
	s := signature{raw: raw}
	text, err := base64.RawURLEncoding.Strict().DecodeString(raw.Protected)
	if err != nil {
		return s, errors.New("the protected header is not base64url")
	}
	if err := strictJSON(text, &s.header); err != nil {
		return s, fmt.Errorf("protected header: %w", err)
	}
	if b, err := base64.RawURLEncoding.Strict().DecodeString(raw.Signature); err != nil || len(b) != 64 {
		return s, errors.New("the signature is not 64 bytes of base64url")
	}
	switch {
	case !slices.Contains(algorithms, jose.SignatureAlgorithm(s.Algorithm)):
		return s, errors.New("alg must be Ed25519 or ES256")
	case s.Type != tokenType:
		return s, errors.New("typ must be " + tokenType)
	case s.Role == "" || s.IssuedAt <= 0 || s.IssuedAt > latest:
		return s, errors.New("the protected header must carry role and iat")
	}
	return s, s.readCertificate()
}

// readCertificate makes x5c and x5t#S256 one thing: the thumbprint by which the registry is asked.
func (s *signature) readCertificate() error {
	if len(s.Chain) > 0 {
		der, err := base64.StdEncoding.Strict().DecodeString(s.Chain[0])
		if err != nil {
			return errors.New("x5c is not base64")
		}
		if s.Thumb != "" && s.Thumb != thumbprint(der) {
			return errors.New("x5c and x5t#S256 name different certificates")
		}
		s.Thumb = thumbprint(der)
	}
	if s.Thumb == "" {
		return errors.New("x5c or x5t#S256 must name the signer's certificate")
	}
	return nil
}

// verify checks one signature by a registered key.
func (t *token) verify(s signature, key any) error {
	jws, err := jose.ParseSignedCompact(s.raw.Protected+"."+t.payload+"."+s.raw.Signature, algorithms)
	if err != nil {
		return err
	}
	_, err = verifyJWS(jws, key)
	return err
}

// InspectToken decodes a token without trusting it: {"claims": …, "signatures": [protected headers], "verified": false}.
// It is as strict as a region; what it refuses is Refused BadSignature.
func InspectToken(text []byte) (json.RawMessage, error) {
	t, err := parseToken(text)
	if err != nil {
		return nil, domicile.Refuse("inspect a token", domicile.BadSignature, ruleToken, err.Error())
	}
	view := struct {
		Claims     *Claims  `json:"claims"`
		Signatures []header `json:"signatures"`
		SHA256     string   `json:"sha256"`
		Verified   bool     `json:"verified"`
	}{Claims: t.claims, SHA256: t.digest}
	for _, s := range t.signatures {
		view.Signatures = append(view.Signatures, s.header)
	}
	return json.Marshal(view)
}
