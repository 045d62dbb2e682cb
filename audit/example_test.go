package audit_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"domicile"
	"domicile/audit"
)

// signer is a key made from its name, in place of keys.Signer.
type signer struct {
	name string
	key  ed25519.PrivateKey
}

func newSigner(name string) signer {
	seed := sha256.Sum256([]byte(name))
	return signer{name, ed25519.NewKeyFromSeed(seed[:])}
}

func (s signer) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }
func (s signer) Public() []byte                  { return s.key.Public().(ed25519.PublicKey) }
func (s signer) Name() string                    { return s.name }

// vkey is what keys.Signer calls VKey (type 1) and CosignVKey (type 4).
func (s signer) vkey(kind byte) string {
	key := append([]byte{kind}, s.Public()...)
	sum := sha256.Sum256(append([]byte(s.name+"\n"), key...))
	return fmt.Sprintf("%s+%x+%s", s.name, sum[:4], base64.StdEncoding.EncodeToString(key))
}

// sealer is AES-GCM under a fixed key, in place of keys.Box.
type sealer struct{ aead cipher.AEAD }

func newSealer() sealer {
	block, err := aes.NewCipher(make([]byte, 16))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return sealer{aead}
}

func (s sealer) Seal(p, ad []byte) ([]byte, error) { return s.aead.Seal(nil, nil, p, ad), nil }
func (s sealer) Open(c, ad []byte) ([]byte, error) { return s.aead.Open(nil, nil, c, ad) }

// A refusal is recorded, and its receipt verified with nothing but the log's public key.
func Example() {
	dir, err := os.MkdirTemp("", "audit")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	me := newSigner("example.com/domicile/eu-ireland")
	log, err := audit.Open(audit.Config{Dir: dir, Origin: me.Name(), Signer: me, Sealer: newSealer()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	leaf, err := log.Append(context.Background(), audit.Entry{
		Kind: "order.refused", Reason: domicile.ConflictOfLaws,
		Public:  map[string]string{"order_type": "content_warrant"},
		Private: map[string]string{"target": "anna@example.com"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := log.Receipt(leaf.Index, true)
	if err != nil {
		fmt.Println(err)
		return
	}
	pins := audit.Pins{Logs: []audit.Pin{{VKey: me.vkey(1), CompellableBy: []string{"IE"}}}, Quorum: 1}
	v, err := audit.VerifyReceipt(receipt, pins)
	fmt.Println(v.Origin, v.Index, v.Revealed["target"], err)
	receipt[len(receipt)/2] ^= 1
	_, err = audit.VerifyReceipt(receipt, pins)
	fmt.Println("one altered bit passes:", err == nil)
	// Output:
	// example.com/domicile/eu-ireland 0 anna@example.com <nil>
	// one altered bit passes: false
}

const strangersLeaves = 300

// strangersLog makes a log, has a witness cosign it, and returns its folder, the receipt of a disclosure and the keys.
func strangersLog(t *testing.T) (dir string, receipt []byte, keys strangerKeys) {
	t.Helper()
	ctx := context.Background()
	me, w := newSigner("example.com/domicile/us-east"), newSigner("witness.example/w1")
	dir = t.TempDir()
	log, err := audit.Open(audit.Config{Dir: dir, Origin: me.Name(), Signer: me, Sealer: newSealer()})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	witness, err := audit.OpenWitness(t.TempDir(), w, map[string]string{me.Name(): me.vkey(1)}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer witness.Close()
	refusal := audit.Entry{Kind: "order.refused", Reason: domicile.NoToken, Private: map[string]string{"target": "someone"}}
	add := func(e audit.Entry) {
		if _, err := log.Append(ctx, e); err != nil {
			t.Error(err)
		}
	}
	for range 9 {
		add(refusal)
	}
	add(audit.Entry{Kind: "disclosure.released", Private: map[string]string{"target": "anna@example.com", "facts": "<none>"}})
	var wg sync.WaitGroup
	for range strangersLeaves - 10 {
		wg.Go(func() { add(refusal) })
	}
	wg.Wait()
	checkpoint, err := log.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	line, err := witness.AddCheckpoint(ctx, audit.WitnessRequest(0, nil, checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	if err := log.AddCosignature(checkpoint, line, w.vkey(4)); err != nil {
		t.Fatal(err)
	}
	if receipt, err = log.Receipt(9, true); err != nil {
		t.Fatal(err)
	}
	return dir, receipt, strangerKeys{log: me.vkey(1), cosigners: []string{w.vkey(4)}}
}
