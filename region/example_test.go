package region_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"domicile"
	"domicile/audit"
	"domicile/placement"
	"domicile/region"
)

// key and plain stand in for what package keys gives a real node.
type key struct{ ed25519.PrivateKey }

func (k key) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(k.PrivateKey, msg), nil }
func (k key) Public() []byte                  { return k.PrivateKey.Public().(ed25519.PublicKey) }
func (k key) Name() string                    { return "example.com/domicile/us-east" }

type plain struct{}

func (plain) Seal(b, _ []byte) ([]byte, error) { return bytes.Clone(b), nil }
func (plain) Open(b, _ []byte) ([]byte, error) { return bytes.Clone(b), nil }

// A message leaves us-east toward its home, under a permit that is on disk before the first byte; the same bytes do not
// leave toward anywhere else, and not twice.
func ExampleGuard() {
	dir, _ := os.MkdirTemp("", "domicile")
	defer os.RemoveAll(dir)
	log, err := audit.Open(audit.Config{Dir: filepath.Join(dir, "log"), Origin: key{}.Name(), Signer: key{ed25519.NewKeyFromSeed(make([]byte, 32))}, Sealer: plain{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	journal, _ := region.OpenJournal(filepath.Join(dir, "journal"), plain{}, 30*24*time.Hour, nil)
	defer journal.Close()
	guard, _ := region.NewGuard(region.GuardConfig{Region: "us-east", Log: log, Journal: journal})
	defer guard.Close()

	delivery := region.Request{Crossing: placement.Crossing{Class: domicile.Delivery, Kind: placement.Stream,
		Party: placement.ToRegion, To: "eu-ireland", Account: "a1", Home: "eu-ireland", Ceiling: 64 << 20}}
	permit, err := guard.Permit(context.Background(), delivery)
	fmt.Println("toward home:", err)

	var wire bytes.Buffer
	out, _ := guard.Writer(permit, &wire)
	strings.NewReader("Subject: hello\r\n").WriteTo(out)
	out.Close()
	fmt.Println("left:", wire.Len(), "bytes")

	_, err = guard.Writer(permit, &wire)
	fmt.Println("again:", domicile.ReasonOf(err))

	delivery.To = "ap-tokyo"
	_, err = guard.Permit(context.Background(), delivery)
	fmt.Println("elsewhere:", domicile.ReasonOf(err))
	// Output:
	// toward home: <nil>
	// left: 16 bytes
	// again: permit_spent
	// elsewhere: egress_not_allowed
}
