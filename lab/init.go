package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/pelletier/go-toml/v2"

	"domicile"
	"domicile/config"
	"domicile/keys"
	"domicile/region"
)

// RegionSpec is one region of a lab: where it stands and whom it serves.
type RegionSpec struct {
	Name    domicile.Region
	Country domicile.Country
	Serves  []domicile.Country // Country is not implied
}

// OwnerSpec is the entity that owns the one which runs a region, and the country of that owner.
type OwnerSpec struct {
	Entity  domicile.Entity
	Country domicile.Country
}

// Host is where a node is.
type Host struct {
	IP string // literal: where other nodes reach it
	// Inside is its literal IP on its region's own network, "" if there is none. A node with one serves mail and operators
	// there, and other nodes on every address; those of its own region reach it at Inside.
	Inside string
}

// InitOptions say what lab to make.
type InitOptions struct {
	Dir      string // absent or empty
	Regions  []RegionSpec
	Nodes    int                           // of each region; the first holds the store. 0 = 1
	NodesOf  map[domicile.Region]int       // of a region that has another number
	BasePort int                           // ports are taken above it, as free. 0 = 20000
	Owners   map[domicile.Region]OwnerSpec // of a region that does not belong to the US parent
	CoolDown time.Duration                 // of a change of residence. 0 = the product's default, 14 days
	Hosts    map[string]Host               // of nodes that are not on 127.0.0.1
	IfAbsent bool                          // a lab that is in Dir already is left as it is, and returned
}

// The parent of every region's entity, unless an owner is named; and the domain of a lab.
const (
	parentEntity  = domicile.Entity("example-inc")
	parentCountry = domicile.Country("US")
	labDomain     = "example.com"
	defaultPort   = 20000
)

// maker is a lab being made.
type maker struct {
	InitOptions
	now   time.Time
	lab   *Lab
	ports ports

	authorities map[domicile.Region]*region.Authority // of regions, and of "witness/witness-1"
	signers     map[domicile.Region]*keys.Signer      // likewise
	genesis     string
	gossip      map[string]string // node → gossip address
	inside      map[string]string // likewise, on its region's own network
}

// Init makes a lab and starts nothing. A folder with anything in it is refused (Exist), unless IfAbsent finds a lab there.
// Errors of the options are Invalid, and nothing has been written then.
func Init(o InitOptions) (*Lab, error) {
	if o.Nodes == 0 {
		o.Nodes = 1
	}
	if o.BasePort == 0 {
		o.BasePort = defaultPort
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil || o.Dir == "" {
		return nil, wrong("the folder of the lab is needed: --dir D")
	}
	if there, err := Load(dir); err == nil && o.IfAbsent {
		return there, nil
	}
	if err := claim(dir); err != nil {
		return nil, err
	}
	m := &maker{InitOptions: o, now: time.Now().UTC().Truncate(time.Second), lab: &Lab{Domain: labDomain, Dir: dir, CA: map[string]string{}, Pins: "pins.toml"},
		ports:       ports{last: o.BasePort},
		authorities: map[domicile.Region]*region.Authority{}, signers: map[domicile.Region]*keys.Signer{}, gossip: map[string]string{}, inside: map[string]string{}}
	for _, step := range []func() error{m.trust, m.secrets, m.operators, m.catalog, m.courts, m.nodes, m.lab.save} {
		if err := step(); err != nil {
			return nil, domicile.W("lab init", err)
		}
	}
	m.lab.Moved = m.ports.moved
	return m.lab, nil
}

// claim makes dir ours, or refuses it because something is in it.
func claim(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return domicile.W("lab init", err)
	}
	if len(entries) > 0 {
		return domicile.E("lab init", domicile.Exist, dir+" is not empty; choose another --dir, or remove it first")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return domicile.W("lab init", err)
	}
	return domicile.W("lab init", os.WriteFile(filepath.Join(dir, madeFile), []byte("made by domicile; may be removed whole\n"), 0o644))
}

// Remove removes a lab's folder with everything in it. A folder that Init did not make is refused (Exist); one that is
// empty or absent is none of its business.
func Remove(dir string) error {
	const op = "remove the lab"
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) || err == nil && len(entries) == 0 {
		return nil
	} else if err != nil {
		return domicile.W(op, err)
	}
	if _, err := os.Stat(filepath.Join(dir, madeFile)); err != nil {
		return domicile.E(op, domicile.Exist, dir+" is not empty and no lab was made in it; choose another --dir")
	}
	release, err := hold(dir)
	if err != nil {
		return err
	}
	defer release()
	return domicile.W(op, os.RemoveAll(dir))
}

// hold keeps Remove away from a lab until release is called or this program ends. Unavailable if another program holds it.
func hold(dir string) (release func() error, err error) {
	f, err := os.Open(filepath.Join(dir, madeFile))
	if err != nil {
		return nil, domicile.W("hold the lab", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, domicile.E("hold the lab", domicile.Unavailable, "a demo runs in "+dir+"; end it first, or choose another --dir")
	}
	return f.Close, nil
}

func (m *maker) write(name string, data []byte, mode os.FileMode) error {
	path := m.lab.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, mode)
}

const witnessOwner = domicile.Region("witness/" + witnessName)

// trust makes each region's and the witness's certificate authority and signing key.
func (m *maker) trust() error {
	owners := []domicile.Region{witnessOwner}
	for _, r := range m.Regions {
		owners = append(owners, r.Name)
		m.lab.CA[string(r.Name)] = string(r.Name) + "/ca.pem"
	}
	for _, owner := range owners {
		folder := filepath.Base(string(owner))
		ca, err := region.NewAuthority(string(owner), m.now)
		if err != nil {
			return err
		}
		if err := m.write(folder+"/ca.pem", ca.Certificate(), 0o644); err != nil {
			return err
		}
		if err := m.write(folder+"/ca-key.pem", ca.PrivateKey(), 0o600); err != nil {
			return err
		}
		signer, err := keys.CreateSigner(m.lab.Path(folder+"/signing.key"), labDomain+"/domicile/"+folder)
		if err != nil {
			return err
		}
		m.authorities[owner], m.signers[owner] = ca, signer
	}
	return nil
}

// secrets makes the root key of each region and the two keys that all nodes share.
func (m *maker) secrets() error {
	for _, r := range m.Regions {
		if err := keys.CreateRoot(m.lab.Path(string(r.Name) + "/root.key")); err != nil {
			return err
		}
	}
	if err := keys.CreateNames(m.lab.Path("names.key")); err != nil {
		return err
	}
	return keys.NewGossip().Create(m.lab.Path("gossip.key"))
}

// operators gives each region two operators, two legal officers and an auditor.
func (m *maker) operators() error {
	ends := suffixes(m.Regions)
	for _, r := range m.Regions {
		for _, o := range []struct{ name, role string }{{"ops-%s", "operator"}, {"ops-%s-2", "operator"},
			{"legal-%s", "legal"}, {"legal-%s-2", "legal"}, {"auditor-%s", "auditor"}} {
			name := fmt.Sprintf(o.name, ends[r.Name])
			id, err := m.authorities[r.Name].IssueOperator(name, []string{o.role})
			if err != nil {
				return err
			}
			file := "operators/" + name + ".pem"
			if err := m.write(file, id, 0o600); err != nil {
				return err
			}
			m.lab.Operators = append(m.lab.Operators, Operator{Name: name, Region: r.Name, Roles: []string{o.role}, Identity: file})
		}
	}
	return nil
}

// catalog writes version 1, signed by every region, and the pins that follow from it.
func (m *maker) catalog() error {
	d, err := region.Propose(m.firstVersion(), nil, m.now)
	if err != nil {
		return err
	}
	for _, r := range m.Regions {
		if _, err := d.Sign(m.signers[r.Name]); err != nil {
			return err
		}
	}
	m.genesis = "sha256:" + d.Catalog.Hash()
	c, err := region.InstallDraft(m.lab.Path("catalog"), m.genesis, d.Bytes())
	if err != nil {
		return err
	}
	pins, err := c.Pins().Marshal()
	if err != nil {
		return err
	}
	return m.write(m.lab.Pins, pins, 0o644)
}

func (m *maker) firstVersion() *region.Catalog {
	// One cosigner is enough where no state can compel both it and the region: under one parent that is the witness, and a
	// region that is cut off never blocks the others' lawful production.
	c := &region.Catalog{Quorum: len(m.Regions)/2 + 1, Cosigners: 1,
		Domains: []region.DomainInfo{{Name: labDomain, Registrar: m.Regions[0].Name}}}
	used := map[domicile.Country]bool{}
	owners := map[domicile.Entity]bool{}
	for _, r := range m.Regions {
		owner, ok := m.Owners[r.Name]
		if !ok {
			owner = OwnerSpec{parentEntity, parentCountry}
		}
		if !owners[owner.Entity] {
			owners[owner.Entity] = true
			c.Entities = append(c.Entities, region.EntityInfo{ID: owner.Entity, Name: ownerName(owner.Entity), Country: owner.Country})
		}
		entity := regionEntity(r.Name)
		c.Entities = append(c.Entities, region.EntityInfo{ID: entity, Name: "Example " + string(r.Name) + " Ltd", Country: r.Country, Owners: []domicile.Entity{owner.Entity}})
		s := m.signers[r.Name]
		c.Regions = append(c.Regions, region.RegionInfo{Name: r.Name, Country: r.Country, Entity: entity, Serves: slices.Clone(r.Serves),
			Key: s.VKey(), Cosign: s.CosignVKey(), CA: []string{m.authorities[r.Name].Fingerprint()}, Hosts: []string{r.host()}})
		used[r.Country], used[owner.Country] = true, true
	}
	c.Witnesses = []region.WitnessInfo{{Name: witnessName, Key: m.signers[witnessOwner].CosignVKey(),
		CA: []string{m.authorities[witnessOwner].Fingerprint()}, CompellableBy: []domicile.Country{independent(used)}}}
	return c
}

// regionEntity is the legal entity that runs a region of a lab.
func regionEntity(r domicile.Region) domicile.Entity { return "example-" + domicile.Entity(r) }

func ownerName(e domicile.Entity) string {
	if e == parentEntity {
		return "Example Inc."
	}
	return string(e)
}

// nodes writes a node.toml and an identity for each node and the witness.
func (m *maker) nodes() error {
	var configs []*config.Node
	for i := range maxNodes {
		for _, r := range m.Regions {
			if i >= m.nodesOf(r.Name) {
				continue
			}
			c, err := m.node(r, i)
			if err != nil {
				return err
			}
			configs = append(configs, c)
		}
	}
	witness, err := m.witness()
	if err != nil {
		return err
	}
	for _, c := range append(configs, witness) {
		c.Gossip.Seeds = m.seeds(c)
		if err := m.later(c); err != nil {
			return err
		}
		text, err := toml.Marshal(c)
		if err != nil {
			return err
		}
		text = append([]byte("# Made by mailctl lab init. Every key is documented in domicile/config; mailnode check --print shows what is in force.\n"), text...)
		if err := m.write(c.Name+"/node.toml", text, 0o644); err != nil {
			return err
		}
		if err := os.Mkdir(m.lab.Path(c.Name+"/data"), 0o700); err != nil { // to mount something on where the folder may not be written
			return err
		}
	}
	return nil
}

// seeds are the gossip addresses of the first node of the first two regions and of the witness, the node itself left
// out: others are found through them. With the witness among them, two regions that come back at once find it at once.
// A region with a network of its own is found there too, so that it finds itself while it is cut off.
func (m *maker) seeds(c *config.Node) []string {
	out := []string{}
	for i := range m.nodesOf(domicile.Region(c.Region)) {
		if n := string(RegionSpec{Name: domicile.Region(c.Region)}.node(i)); n != c.Name && m.inside[n] != "" {
			out = append(out, m.inside[n])
		}
	}
	first := []string{witnessName}
	for _, r := range m.Regions[:min(2, len(m.Regions))] {
		first = append(first, string(r.node(0)))
	}
	for _, n := range first {
		if n != c.Name {
			out = append(out, m.gossip[n])
		}
	}
	return out
}

func (m *maker) host(node domicile.Node) Host {
	if h, ok := m.Hosts[string(node)]; ok {
		return h
	}
	return Host{IP: loopback}
}

// names are what a node's certificate is good for beside its name.
func (h Host) names() []string {
	if h.Inside == "" {
		return []string{h.IP}
	}
	return []string{h.IP, h.Inside}
}

// node plans the i-th node of a region: the first holds the store, the others are fronts.
func (m *maker) node(r RegionSpec, i int) (*config.Node, error) {
	name := r.node(i)
	c, err := m.common(name)
	if err != nil {
		return nil, err
	}
	rel := "../" + string(r.Name) + "/"
	c.Region, c.Roles = string(r.Name), []string{"front"}
	c.RootKey, c.NamesKey = rel+"root.key", "../names.key"
	c.SMTP.Hostname = string(name) + "." + labDomain
	c.IMAP.Hostname, c.IMAPS.Hostname = c.SMTP.Hostname, c.SMTP.Hostname
	entry := Node{Name: name, Region: r.Name, Config: string(name) + "/node.toml", Data: string(name) + "/data"}
	listens := []listen{{"imap", &c.IMAP.Listen, &entry.IMAP}, {"imaps", &c.IMAPS.Listen, &entry.IMAPS}, {"smtp", &c.SMTP.Listen, &entry.SMTP}}
	if i == 0 {
		c.Roles = []string{"front", "store", "admin"}
		c.SigningKey = rel + "signing.key"
		c.Disclosure = config.Disclosure{Registry: rel + "authorities.toml", Bundles: bundles(r.Country)}
		if m.CoolDown > 0 {
			c.Residence.CoolDown, c.Residence.Between = m.CoolDown.String(), m.CoolDown.String()
		}
		listens = append(listens, listen{"admin", &c.Admin.Listen, &entry.Admin})
	} else if err := m.frontKey(c); err != nil {
		return nil, err
	}
	if err := m.listen(c, listens); err != nil {
		return nil, err
	}
	m.lab.Nodes = append(m.lab.Nodes, entry)
	id, err := m.authorities[r.Name].IssueNode(name, append(m.host(name).names(), "localhost", loopback, c.SMTP.Hostname, r.host()))
	if err != nil {
		return nil, err
	}
	return c, m.write(c.Name+"/identity.pem", id, 0o600)
}

// frontKey gives a front a signing key of its own: only the node with the store speaks, and writes the log, as its region.
func (m *maker) frontKey(c *config.Node) error {
	if err := os.MkdirAll(m.lab.Path(c.Name), 0o755); err != nil {
		return err
	}
	_, err := keys.CreateSigner(m.lab.Path(c.Name+"/signing.key"), labDomain+"/domicile/"+c.Region+"/"+c.Name)
	c.SigningKey = "signing.key"
	return err
}

func (m *maker) witness() (*config.Node, error) {
	c, err := m.common(witnessName)
	if err != nil {
		return nil, err
	}
	c.Roles, c.SigningKey = []string{"witness"}, "signing.key"
	if err := m.listen(c, nil); err != nil {
		return nil, err
	}
	m.lab.Witness = Witness{Name: witnessName, Config: witnessName + "/node.toml"}
	id, err := m.authorities[witnessOwner].IssueNode(witnessName, append(m.host(witnessName).names(), "localhost"))
	if err != nil {
		return nil, err
	}
	return c, m.write(witnessName+"/identity.pem", id, 0o600)
}

// common is what every node's configuration has.
func (m *maker) common(name domicile.Node) (*config.Node, error) {
	return &config.Node{Name: string(name), Lab: true, Data: "data", Identity: "identity.pem",
		Catalog: config.Catalog{Dir: "../catalog", Genesis: m.genesis}, Gossip: config.Gossip{KeyFile: "../gossip.key"}}, nil
}

// listen is an address to choose, and where to write it.
type listen struct {
	what  string
	conf  *string
	entry *string // in lab.json
}

// listen chooses a node's addresses: those in mail first, at which clients and operators come in, then those for other nodes.
func (m *maker) listen(c *config.Node, mail []listen) error {
	h := m.host(domicile.Node(c.Name))
	var rpc, gossip string
	if err := m.take(h.IP, c, append(mail, listen{"rpc", &c.RPC.Listen, &rpc}, listen{"gossip", &c.Gossip.Listen, &gossip})); err != nil {
		return err
	}
	m.gossip[c.Name] = gossip
	if h.Inside == "" {
		return nil
	}
	moveInside(h, mail)
	every := everywhere(h.IP)
	c.RPC.Listen, c.RPC.Advertise, c.RPC.Inside = at(every, rpc), rpc, at(h.Inside, rpc)
	c.Gossip.Listen, c.Gossip.Advertise, c.Gossip.Inside = at(every, gossip), gossip, at(h.Inside, gossip)
	m.inside[c.Name] = c.Gossip.Inside
	return nil
}

// moveInside gives addresses of a host the one that it has inside its region: clients and operators come in there.
func moveInside(h Host, all []listen) {
	for _, l := range all {
		*l.conf, *l.entry = at(h.Inside, *l.conf), at(h.Inside, *l.conf)
	}
}

// take chooses addresses of a node on one host.
func (m *maker) take(host string, c *config.Node, all []listen) error {
	for _, l := range all {
		addr, err := m.ports.take(host, l.what+" of "+c.Name)
		if err != nil {
			return err
		}
		*l.conf, *l.entry = addr, addr
	}
	return nil
}

// at is an address with another host.
func at(host, addr string) string {
	return net.JoinHostPort(host, strconv.Itoa(int(netip.MustParseAddrPort(addr).Port())))
}

// everywhere is what a node that has several addresses like ip listens on.
func everywhere(ip string) string {
	if netip.MustParseAddr(ip).Is4() {
		return netip.IPv4Unspecified().String()
	}
	return netip.IPv6Unspecified().String()
}

// later gives a node the addresses that came after the others; it is called when all nodes have those, so that these stay what
// they were. Health is on loopback also where the node itself is elsewhere: nobody but its machine asks.
func (m *maker) later(c *config.Node) error {
	name := domicile.Node(c.Name)
	n := m.lab.Node(name)
	if n == nil {
		return m.take(loopback, c, []listen{{"http", &c.HTTP.Listen, &m.lab.Witness.HTTP}})
	}
	c.LMTP.Hostname = c.SMTP.Hostname
	if err := m.take(loopback, c, []listen{{"http", &c.HTTP.Listen, &n.HTTP}}); err != nil {
		return err
	}
	c.Submission.Hostname, c.Submissions.Hostname = c.SMTP.Hostname, c.SMTP.Hostname
	h, mail := m.host(name), []listen{{"lmtp", &c.LMTP.Listen, &n.LMTP}, {"submission", &c.Submission.Listen, &n.Submission}, {"submissions", &c.Submissions.Listen, &n.Submissions}}
	if err := m.take(h.IP, c, mail); err != nil || h.Inside == "" {
		return err
	}
	moveInside(h, mail)
	return nil
}

// bundles are the policy bundles in force in a region that stands in c, beside the house rules.
func bundles(c domicile.Country) []string {
	switch {
	case c == "US":
		return []string{"us-2018", "mlat"}
	case c.EEA():
		return []string{"gdpr-48", "mlat"}
	}
	return []string{"mlat"}
}
