package lab

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"domicile"
)

// Limits of a lab.
const (
	maxRegions = 32
	maxNodes   = 16 // per region
)

// reserved are the names in a lab's folder that no region or node may have.
var reserved = []string{"catalog", "operators", "authorities", publishedDir, "receipts", "production", witnessName}

const witnessName = "witness-1"

// check refuses options from which no lab can be made, before anything is written.
func (o *InitOptions) check() error {
	if len(o.Regions) == 0 || len(o.Regions) > maxRegions {
		return wrong("1 to %d regions are needed, such as: --region us-east=US --region eu-ireland=IE,DE,FR", maxRegions)
	}
	for _, n := range append(slices.Collect(maps.Values(o.NodesOf)), o.Nodes) {
		if n < 1 || n > maxNodes {
			return wrong("1 to %d nodes in each region are possible", maxNodes)
		}
	}
	if o.BasePort < 1024 || o.BasePort > 60000 {
		return wrong("the base port must be from 1024 to 60000")
	}
	if o.CoolDown < 0 {
		return wrong("a cool-down is a positive duration such as 5s")
	}
	taken := map[string]bool{}
	for _, name := range reserved {
		taken[name] = true
	}
	for _, r := range o.Regions {
		if err := r.check(); err != nil {
			return err
		}
		names := []string{string(r.Name)}
		for i := range o.nodesOf(r.Name) {
			names = append(names, string(r.node(i)))
		}
		for _, n := range names {
			if _, err := domicile.ParseRegion(n); err != nil {
				return wrong("region %s: its node would be called %s, which is too long", r.Name, n)
			}
			if taken[n] {
				return wrong("region %s: the name %s is in use already", r.Name, n)
			}
			taken[n] = true
		}
	}
	return o.checkOthers(taken)
}

// checkOthers holds owners and hosts against the regions and nodes that there are.
func (o *InitOptions) checkOthers(taken map[string]bool) error {
	countries := map[domicile.Entity]domicile.Country{parentEntity: parentCountry}
	for region, owner := range o.Owners {
		if !slices.ContainsFunc(o.Regions, func(r RegionSpec) bool { return r.Name == region }) {
			return wrong("the owner of %q is named, which is no region of this lab", region)
		}
		if c, err := domicile.ParseCountry(string(owner.Country)); err != nil || c != owner.Country {
			return wrong("owner %s: %q is not an ISO 3166-1 alpha-2 code", owner.Entity, owner.Country)
		}
		if _, err := domicile.ParseRegion(string(owner.Entity)); err != nil {
			return wrong("owner %q: an entity has 2 to 32 characters of a-z, 0-9 and inner '-'", owner.Entity)
		}
		if c, ok := countries[owner.Entity]; ok && c != owner.Country {
			return wrong("owner %s: it is in %s and in %s", owner.Entity, c, owner.Country)
		}
		countries[owner.Entity] = owner.Country
	}
	for region := range o.NodesOf {
		if !slices.ContainsFunc(o.Regions, func(r RegionSpec) bool { return r.Name == region }) {
			return wrong("a number of nodes is given for %q, which is no region of this lab", region)
		}
	}
	for node, host := range o.Hosts {
		for _, ip := range host.names() {
			if _, err := netip.ParseAddr(ip); err != nil {
				return wrong("host of %s: %q is not a literal IP address", node, ip)
			}
		}
		if node == witnessName && host.Inside != "" {
			return wrong("host of %s: a witness is of no region, and has one address", node)
		}
		if node != witnessName && !slices.ContainsFunc(o.Regions, func(r RegionSpec) bool {
			for i := range o.nodesOf(r.Name) {
				if string(r.node(i)) == node {
					return true
				}
			}
			return false
		}) {
			return wrong("a host is given for %q, which is no node of this lab", node)
		}
	}
	return nil
}

// nodesOf returns how many nodes a region has.
func (o *InitOptions) nodesOf(r domicile.Region) int {
	if n, ok := o.NodesOf[r]; ok {
		return n
	}
	return o.Nodes
}

func (r RegionSpec) check() error {
	if _, err := domicile.ParseRegion(string(r.Name)); err != nil {
		return err
	}
	if len(r.Serves) == 0 {
		return wrong("region %s serves no country", r.Name)
	}
	seen := map[domicile.Country]bool{}
	for _, c := range append([]domicile.Country{r.Country}, r.Serves...) {
		if got, err := domicile.ParseCountry(string(c)); err != nil {
			return err
		} else if got != c {
			return wrong("region %s: country codes are in upper case", r.Name)
		}
	}
	for _, c := range r.Serves {
		if seen[c] {
			return wrong("region %s serves %s twice", r.Name, c)
		}
		seen[c] = true
	}
	return nil
}

// node returns the name of a region's i-th node, from 0.
func (r RegionSpec) node(i int) domicile.Node {
	return domicile.Node(string(r.Name) + "-" + strconv.Itoa(i+1))
}

// host is where the region's customers are at home.
func (r RegionSpec) host() string { return string(r.Name) + "." + labDomain }

// suffixes returns what the names of each region's operators end in: the country where that is enough, so that the
// operators of us-east are ops-us and ops-us-2; the region's name where a country has several regions.
func suffixes(regions []RegionSpec) map[domicile.Region]string {
	out, taken := map[domicile.Region]string{}, map[string]bool{}
	for _, r := range regions {
		for _, s := range []string{strings.ToLower(string(r.Country)), string(r.Name), "in-" + string(r.Name)} {
			if !taken[s] && !taken[s+"-2"] {
				out[r.Name], taken[s], taken[s+"-2"] = s, true, true
				break
			}
		}
	}
	return out
}

// ports hands out addresses, one port each, upwards.
type ports struct {
	last  int
	moved []string
}

// take returns the next free address on host for what. On a host that is not this machine's nothing can be tried, and
// the next port it is.
func (p *ports) take(host, what string) (string, error) {
	want := p.last + 1
	for p.last < 65535 {
		p.last++
		addr := net.JoinHostPort(host, strconv.Itoa(p.last))
		if host != loopback || free(addr) {
			if p.last != want {
				p.moved = append(p.moved, fmt.Sprintf("port %d is busy: %s takes %d", want, what, p.last))
			}
			return addr, nil
		}
	}
	return "", domicile.E("lab init", domicile.Unavailable, "no free port is left above "+strconv.Itoa(want)+"; choose another --base-port")
}

const loopback = "127.0.0.1"

// free reports whether addr can be bound for TCP and UDP: gossip needs both.
func free(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	l.Close()
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	u.Close()
	return true
}

// independent returns a state that none of the used ones is, for the witness.
func independent(used map[domicile.Country]bool) domicile.Country {
	for _, c := range []domicile.Country{"IS", "CH", "NO", "NZ", "UY", "CR", "JP"} {
		if !used[c] {
			return c
		}
	}
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			if c, err := domicile.ParseCountry(string([]rune{a, b})); err == nil && !used[c] {
				return c
			}
		}
	}
	return "IS" // more than two hundred regions would be needed
}

func wrong(format string, args ...any) error {
	return domicile.E("lab init", domicile.Invalid, fmt.Sprintf(format, args...))
}
