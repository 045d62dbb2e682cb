package netlink

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"domicile"
)

// dialler returns the node whose process holds the other end of a connection on loopback, "" if that is gone or no node.
func (n *Net) dialler(c net.Conn) domicile.Node {
	inode := socketOf(netip.MustParseAddrPort(c.RemoteAddr().String()), netip.MustParseAddrPort(c.LocalAddr().String()))
	if inode == "" {
		return ""
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return ""
	}
	for _, p := range processes {
		words, err := os.ReadFile(p + "/cmdline")
		if err != nil {
			continue
		}
		for _, x := range n.nodes {
			if bytes.Contains(words, append([]byte(x.config), 0)) && holds(p, inode) {
				return x.name
			}
		}
	}
	return ""
}

// socketOf returns the inode of the socket that is connected from one address to another, as proc(5) lists it.
func socketOf(from, to netip.AddrPort) string {
	raw, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	want := [2]string{procAddr(from), procAddr(to)}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) > 9 && f[1] == want[0] && f[2] == want[1] && f[9] != "0" {
			return f[9]
		}
	}
	return ""
}

// procAddr writes an IPv4 address as proc(5) does on a little-endian machine.
func procAddr(a netip.AddrPort) string {
	b := a.Addr().Unmap().As4()
	return fmt.Sprintf("%02X%02X%02X%02X:%04X", b[3], b[2], b[1], b[0], a.Port())
}

// holds reports whether a process has the socket open.
func holds(process, inode string) bool {
	links, err := filepath.Glob(process + "/fd/*")
	if err != nil {
		return false
	}
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && to == "socket:["+inode+"]" {
			return true
		}
	}
	return false
}

// gossiper returns the node that sends its packets from an address.
func (n *Net) gossiper(addr string) domicile.Node {
	for _, x := range n.nodes {
		if x.gossip == addr {
			return x.name
		}
	}
	return ""
}

// isEnd reports whether a read error is an orderly end.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET)
}
