package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"time"

	"domicile"
	"domicile/disclosure"
)

// demand is what the authorities of a lab ask in the story's orders. Whoever holds a lab may sign as any of them.
type demand struct {
	Entity domicile.Entity // who is served
	Region domicile.Region // where
	Target domicile.Address
	Until  time.Time // messages from before this
	Edit   func(*disclosure.Claims)
}

// orderPaper is the human-readable order whose hash a token carries.
func orderPaper(issuer, docket string) []byte {
	return []byte("ORDER of " + issuer + "\nDocket " + docket + "\n\nSimulated: made by a lab, issued by no court.\n")
}

// claims fills in what all orders of the story have in common.
func (w demand) claims(issuer, kind, regime, under, docket string, now time.Time) disclosure.Claims {
	digest := sha256.Sum256(orderPaper(issuer, docket))
	if w.Until.IsZero() {
		w.Until = now
	}
	c := disclosure.Claims{Issuer: issuer, JTI: domicile.NewID("jti-"), Case: disclosure.CourtCase{Court: issuer, Docket: docket},
		OrderType: kind, Regime: regime, IssuedUnder: under, Audience: disclosure.Audience{Entity: w.Entity, Region: w.Region},
		Scope: disclosure.Scope{Targets: []string{string(w.Target)}, Categories: []string{disclosure.Content},
			Window:   disclosure.Window{From: now.Add(-24 * time.Hour).Unix(), To: w.Until.Unix()},
			MaxItems: 5000, MaxBytes: 1 << 30, Offence: "narcotics", MaxSentence: 10},
		IssuedAt: now.Unix(), NotBefore: now.Unix() - 1, Expires: now.Add(30 * 24 * time.Hour).Unix(),
		Document: hex.EncodeToString(digest[:])}
	return c
}

// warrant is a search warrant of the US district court (18 U.S.C. 2703), signed by it. It returns the court's paper too.
func (l *Lab) warrant(w demand, now time.Time) (token, paper []byte, err error) {
	const docket = "13-mag-2814"
	c := w.claims(usCourt, "us.sca.warrant", "us.sca", "18 U.S.C. 2703(a)", docket, now)
	if c.DeliveryTo, err = l.recipient(usCourt); err != nil {
		return nil, nil, err
	}
	token, err = l.sign(c, w.Edit, usCourt)
	return token, orderPaper(usCourt, docket), err
}

// treatyRequest is a request under the treaty between the US and Ireland. It is delivered to the Irish central authority,
// never to the foreign one, and signed by those named: all three make it whole.
func (l *Lab) treatyRequest(w demand, now time.Time, signers ...string) (token, paper []byte, err error) {
	const docket = "MLA-2026-0042"
	c := w.claims(usCentral, "mlat.request", "mlat", "treaty:us-ie-mlat", docket, now)
	if c.DeliveryTo, err = l.recipient(ieCentral); err != nil {
		return nil, nil, err
	}
	domestic := sha256.Sum256(orderPaper(ieCourt, "2026/117 MISC"))
	c.Agreement = "us-ie-mlat"
	c.Domestic = &disclosure.Domestic{SHA256: hex.EncodeToString(domestic[:]), Court: ieCourt, Docket: "2026/117 MISC"}
	token, err = l.sign(c, w.Edit, signers...)
	return token, orderPaper(usCentral, docket), err
}

func (l *Lab) sign(c disclosure.Claims, edit func(*disclosure.Claims), signers ...string) ([]byte, error) {
	if edit != nil {
		edit(&c)
	}
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	var all []disclosure.TokenSigner
	for _, id := range signers {
		s, err := l.signer(id)
		if err != nil {
			return nil, err
		}
		s.At = time.Unix(c.IssuedAt, 0)
		all = append(all, s)
	}
	return disclosure.SignToken(raw, all...)
}

// signer loads an authority's keys, in the role in which it signs in the story: as what it is, but the Irish central
// authority validates what the foreign one asks.
func (l *Lab) signer(id string) (s disclosure.TokenSigner, err error) {
	for _, a := range courts {
		if a.ID == id {
			s.Role = a.Role
		}
	}
	if id == ieCentral {
		s.Role = "validating"
	}
	if s.KeyPEM, err = os.ReadFile(l.AuthorityFile(id, "key.pem")); err == nil {
		s.CertPEM, err = os.ReadFile(l.AuthorityFile(id, "cert.pem"))
	}
	return s, err
}

func (l *Lab) recipient(id string) (string, error) {
	raw, err := os.ReadFile(l.AuthorityFile(id, "age.pub"))
	return string(bytes.TrimSpace(raw)), err
}

// forged is a genuine warrant for somebody else's mail in which the target was changed after it was signed.
func (l *Lab) forged(w demand, now time.Time) (token, paper []byte, err error) {
	other, target := w, w.Target
	other.Target = "x" + target
	if token, paper, err = l.warrant(other, now); err != nil {
		return nil, nil, err
	}
	var jws struct {
		Payload    string          `json:"payload"`
		Signatures json.RawMessage `json:"signatures"`
	}
	if err := json.Unmarshal(token, &jws); err != nil {
		return nil, nil, err
	}
	claims, err := base64.RawURLEncoding.DecodeString(jws.Payload)
	if err != nil {
		return nil, nil, err
	}
	jws.Payload = base64.RawURLEncoding.EncodeToString(bytes.ReplaceAll(claims, []byte(other.Target), []byte(target)))
	token, err = json.Marshal(jws)
	return token, paper, err
}
