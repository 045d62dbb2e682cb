package disclosure

import (
	"crypto/ed25519"
	"errors"

	"github.com/go-jose/go-jose/v4"
)

// algEd25519 is RFC 9864's name of the algorithm. The JOSE library knows only the older, wider name "EdDSA" (RFC 8037),
// and lets a signature of a name of our own pass through the two adapters below.
const algEd25519 = jose.SignatureAlgorithm("Ed25519")

// algorithms that a signature may use. We sign with the first and the last; "EdDSA", with an Ed25519 key, is accepted
// from authorities whose tools do not know the new name yet.
var algorithms = []jose.SignatureAlgorithm{algEd25519, jose.EdDSA, jose.ES256}

// ed25519Signer fits jose.OpaqueSigner.
type ed25519Signer struct{ key ed25519.PrivateKey }

// Public returns nil: no jwk goes into a header.
func (s ed25519Signer) Public() *jose.JSONWebKey { return nil }

func (s ed25519Signer) Algs() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{algEd25519}
}

func (s ed25519Signer) SignPayload(payload []byte, _ jose.SignatureAlgorithm) ([]byte, error) {
	return ed25519.Sign(s.key, payload), nil
}

// ed25519Verifier fits jose.OpaqueVerifier.
type ed25519Verifier struct{ key ed25519.PublicKey }

func (v ed25519Verifier) VerifyPayload(payload, signature []byte, alg jose.SignatureAlgorithm) error {
	if alg != algEd25519 && alg != jose.EdDSA || !ed25519.Verify(v.key, payload, signature) {
		return errors.New("the signature does not verify")
	}
	return nil
}

// verifyJWS verifies a signature by a registered key and returns the payload.
func verifyJWS(jws *jose.JSONWebSignature, key any) ([]byte, error) {
	if k, ok := key.(ed25519.PublicKey); ok {
		key = ed25519Verifier{k}
	}
	return jws.Verify(key)
}
