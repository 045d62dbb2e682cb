package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/hashicorp/memberlist"
)

func main() {
	if len(os.Args) < 6 {
		fmt.Fprintln(os.Stderr, "rogue IP GOSSIP-KEY-FILE SEED REGION NAME...")
		os.Exit(2)
	}
	fmt.Fprintln(os.Stderr, "rogue:", run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5:]))
	os.Exit(1)
}

// run goes on until it cannot: it returns why.
func run(ip, keyFile, seed, region string, names []string) error {
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := join(ip, key, seed, name, said{1, region, []string{"store"}, l.Addr().String(), 1, 1}); err != nil {
			say("%s refused: %v", name, err)
		} else {
			say("%s joined", name)
		}
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go hear(c)
	}
}

// said is a node's metadata, as docs/FORMATS.md has it.
type said struct {
	Format  int      `json:"v"`
	Region  string   `json:"r"`
	Roles   []string `json:"o"`
	RPC     string   `json:"a"`
	Catalog uint64   `json:"c"`
	Started int64    `json:"s"`
}

func join(ip string, key []byte, seed, name string, m said) error {
	raw, err := json.Marshal(m)
	if err != nil {
		return err
	}
	c := memberlist.DefaultLANConfig()
	c.Name, c.Label, c.Logger = name, "domicile/1", log.New(io.Discard, "", 0)
	c.BindAddr, c.BindPort, c.AdvertisePort = ip, 0, 0
	if c.Keyring, err = memberlist.NewKeyring([][]byte{key}, key); err != nil {
		return err
	}
	c.Delegate = silent(raw)
	list, err := memberlist.Create(c)
	if err != nil {
		return err
	}
	if _, err = list.Join([]string{seed}); err != nil {
		return fmt.Errorf("%w, %w", err, list.Shutdown())
	}
	return nil
}

// silent gossips nothing but metadata.
type silent []byte

func (s silent) NodeMeta(int) []byte           { return s }
func (silent) NotifyMsg([]byte)                {}
func (silent) GetBroadcasts(int, int) [][]byte { return nil }
func (silent) LocalState(bool) []byte          { return nil }
func (silent) MergeRemoteState([]byte, bool)   {}

// hear takes all that is said on a connection.
func hear(c net.Conn) {
	defer c.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		say("heard %x", b[:n])
	}
}

var out sync.Mutex

func say(format string, args ...any) {
	out.Lock()
	defer out.Unlock()
	fmt.Printf(format+"\n", args...)
}
