package config

import "time"

// Node is node.toml. Unknown keys are errors. Paths are relative to the file's folder.
type Node struct {
	// Name of this node, unique in the whole cluster: 2 to 32 characters of a-z, 0-9 and inner "-". Required.
	Name string `toml:"name"`
	// Region that this node belongs to, as in the catalog. Required, except for a witness, which has none.
	Region string `toml:"region,omitempty"`
	// Roles: "front" (SMTP and IMAP), "store" (holds the region's mail, one node of a region), "admin" (the
	// operators' interface, needs "store"); or "witness" alone, which only cosigns. Required.
	Roles []string `toml:"roles"`
	// Data is the folder in which everything that the node writes rests. Made if absent and then stamped with region and
	// node; a folder of another one is refused. Required.
	Data string `toml:"data"`
	// Lab makes a node of a lab: plain-text logins on loopback, status lists from file: addresses, no rate limits on
	// loopback. Danger: never on a machine that strangers reach. Default false.
	Lab bool `toml:"lab,omitempty"`
	// ClockOffset shifts what the node takes for the present time, a Go duration such as "5h" or "-30m", at most 720h either way: a
	// test of a clock that is set wrong. Labs only. Default: none.
	ClockOffset string `toml:"clock_offset,omitempty"`
	// StoreSegment is how many bytes a file of the store's log gets before a new one is begun, 4 KiB at least; bases and compaction come as
	// much oftener as it is less than the usual 64 MiB: a test of them. Labs only. Default: 64 MiB.
	StoreSegment int64 `toml:"store_segment,omitempty"`
	// Undelete is how long a message that was expunged from its last mailbox, or deleted with it, stays, so that "mailctl account undelete" can
	// bring it back: a Go duration such as "168h", at most 720h; "0" is not at all. It stays sealed under its account's key, outside of the
	// quota, and goes with an account that is erased; it does not travel with one that moves. Danger: what its owner has a right to have
	// erased is still there until then. Purge it then ("mailctl account purge"), or leave this off. Default: not at all.
	Undelete string `toml:"undelete,omitempty"`
	// Memory is how many bytes of memory the node should get along with, 64 MiB at least: past it the garbage collector works harder, and nothing is
	// refused. It is never more than the machine, or the control group, gives; the environment's GOMEMLIMIT comes before it. Default: three
	// quarters of what that gives. Set it where several nodes, or other programs, share the machine.
	Memory int64 `toml:"memory,omitempty"`
	// RootKey is the file of the region's root key, under which everything is sealed. It must lie outside Data, or a copy of
	// the data would be a copy of the mail. Required, except for a witness.
	RootKey string `toml:"root_key,omitempty"`
	// SigningKey is the file of the region's (or witness's) signing key, a signed-note private key. Required.
	SigningKey string `toml:"signing_key"`
	// Identity is the file of the node's certificate: key, leaf, intermediate and root in PEM. Required.
	Identity string `toml:"identity"`
	// NamesKey is the file of the key for digests of names: 64 hex digits, the same in all regions. Required, except for a witness.
	NamesKey string `toml:"names_key,omitempty"`

	Catalog Catalog `toml:"catalog"`
	RPC     Listen  `toml:"rpc"`
	Gossip  Gossip  `toml:"gossip"`
	SMTP    Front   `toml:"smtp,omitempty"`
	// LMTP takes mail from a mail server of the house (RFC 2033), which filters or archives in front of this node. Danger: LMTP knows no
	// login, so whoever reaches the address delivers past that server's filters; loopback and private networks only.
	LMTP Front `toml:"lmtp,omitempty"`
	// Submission takes mail that customers send (RFC 6409), on port 587 with STARTTLS; Submissions the same within TLS, on
	// port 465 (RFC 8314). They log in, within TLS alone. A customer of another region is handed to the home, through memory.
	Submission  Front      `toml:"submission,omitempty"`
	Submissions Front      `toml:"submissions,omitempty"`
	Queue       Queue      `toml:"queue,omitempty"` // what was submitted and is not delivered yet
	IMAP        Front      `toml:"imap,omitempty"`  // logins within STARTTLS alone, but in a lab
	IMAPS       Front      `toml:"imaps,omitempty"` // IMAP within TLS, by the node's certificate
	Admin       Listen     `toml:"admin,omitempty"` // operators, by client certificate; required by the role admin
	HTTP        HTTP       `toml:"http,omitempty"`  // health, readiness and metrics
	Disclosure  Disclosure `toml:"disclosure,omitempty"`
	Residence   Residence  `toml:"residence,omitempty"`
	Backup      Backup     `toml:"backup,omitempty"` // of the whole node while it runs; needs "store"
	Limits      Limits     `toml:"limits,omitempty"`
	Log         Log        `toml:"log,omitempty"`
}

// Catalog says where the signed catalog is and what pins it.
type Catalog struct {
	// Dir is the folder with the versions 1.toml, 2.toml, … Required.
	Dir string `toml:"dir"`
	// Genesis is "sha256:" and the hex SHA-256 of the text of version 1: the one thing believed without a signature. Required.
	Genesis string `toml:"genesis"`
}

// Listen is an address that other nodes are told of: for calls between nodes, and for operators.
type Listen struct {
	// Listen is a literal IP:port.
	Listen string `toml:"listen"`
	// Advertise is the literal IP:port at which other nodes reach it. Default: Listen.
	Advertise string `toml:"advertise,omitempty"`
	// Inside is the literal IP:port at which the nodes of its own region reach it, where that is another: on the region's own
	// network, which goes on while the one between regions is cut. Not for admin. Default: none, they use Advertise.
	Inside string `toml:"inside,omitempty"`
}

// Gossip is how nodes find each other.
type Gossip struct {
	// Listen is a literal IP:port, TCP and UDP. Required.
	Listen string `toml:"listen"`
	// Advertise is the literal IP:port at which other nodes reach it. Default: Listen.
	Advertise string `toml:"advertise,omitempty"`
	// Inside is the literal IP:port at which the nodes of its own region reach it, where that is another; as for rpc.
	Inside string `toml:"inside,omitempty"`
	// Seeds are gossip addresses of a few nodes, literal IP:port; others are found through them. Seeds that are out of
	// reach are retried for ever. Default: none, for the first node of all.
	Seeds []string `toml:"seeds"`
	// KeyFile has lines of base64, 32 bytes each: the first encrypts, all decrypt. The same in all regions. Required.
	KeyFile string `toml:"key_file"`
}

// Front is a mail or admin listener. Without a Listen there is none.
type Front struct {
	// Listen is a literal IP:port; port 0 chooses a free one, told in the ready line.
	Listen string `toml:"listen,omitempty"`
	// Hostname in greetings and trace fields. Default: the node's name.
	Hostname string `toml:"hostname,omitempty"`
	// MaxSize is the most bytes that one message may have, 64 KiB to 1 GiB; not for admin. Default 67108864 (64 MiB).
	MaxSize int64 `toml:"max_size,omitempty"`
	// NoUnauthenticate, of imap and imaps alone, keeps a connection from serving a second login: UNAUTHENTICATE is not offered. Default false.
	NoUnauthenticate bool `toml:"no_unauthenticate,omitempty"`
}

// Queue bounds the outbound queue, which rests sealed in the data folder.
type Queue struct {
	// Expire is how long a message is tried before its sender is told that it was not delivered, a Go duration of 1h to 144h.
	// Default "120h", 5 days.
	Expire string `toml:"expire,omitempty"`
	// MaxBytes is the most that may rest in the queue, 1 MiB at least; past it nothing more is taken (452). Default 17179869184 (16 GiB).
	MaxBytes int64 `toml:"max_bytes,omitempty"`
	// AccountBytes is the most that one account may have in it, 1 MiB at least. Default 1073741824 (1 GiB).
	AccountBytes int64 `toml:"account_bytes,omitempty"`
	// Rate is how many recipients one account may name in an hour, 1 to 1000000; past it more are put off (450). Default 1000.
	Rate int64 `toml:"rate,omitempty"`
}

// HTTP is where a node tells whether it serves (/healthz, /readyz) and in numbers how it fares (/metrics).
type HTTP struct {
	// Listen is a literal IP:port, of loopback or of the network that the monitoring is in. Danger: it answers whoever
	// reaches it, in the clear; the answers name no person, but tell how busy the node is. Default: none.
	Listen string `toml:"listen,omitempty"`
}

// Limits bound what strangers may take of each mail front. Connections past them are closed before a byte is read. A network
// is an IPv4 /24 or an IPv6 /64; loopback, where this machine's own relays are, is bounded by connections alone.
type Limits struct {
	// Connections open at once, 1 to 1048576. Default 4096.
	Connections int64 `toml:"connections,omitempty"`
	// PerNetwork is how many of them one network may have, 1 to 1048576. Default 256.
	PerNetwork int64 `toml:"per_network,omitempty"`
	// NewPerMinute is how many connections a minute one network may open on average, 1 to 1048576; as many may come at once
	// after a rest. Default 600.
	NewPerMinute int64 `toml:"new_per_minute,omitempty"`
	// PerAccount is how many IMAP sessions one account may have at its home, whichever networks they come from, 1 to 1048576; a
	// further login is refused. Default 100.
	PerAccount int64 `toml:"per_account,omitempty"`
}

// Log is what the node writes to its standard error: a JSON object a line. At no level does it hold mail, a password or the
// address of a person.
type Log struct {
	// Level is the least that is written: "debug", "info", "warn" or "error". Default "info".
	Level string `toml:"level,omitempty"`
}

// Disclosure is the law in force and who may invoke it.
type Disclosure struct {
	// Registry is the file of the authorities that this region believes (authorities.toml); an empty one believes nobody.
	// Required with the role "store".
	Registry string `toml:"registry,omitempty"`
	// Bundles are the policy bundles in force beside the house rules. Default: none, so that no order is executed.
	Bundles []string `toml:"bundles,omitempty"`
}

// Residence is the rule for changes.
type Residence struct {
	// CoolDown is how long a change of residence rests before its review, a Go duration. Default "336h", 14 days.
	CoolDown string `toml:"cool_down,omitempty"`
	// Between is the time in which at most one change of a residence is approved. Default "4320h", 180 days.
	Between string `toml:"between,omitempty"`
}

// Backup is the repository into which the node copies all that it holds, as it changes.
type Backup struct {
	// Dir is the repository's folder, made if absent: outside of Data, on another disk, and in the region. What is in it is sealed. Default:
	// none, and the node makes no backup.
	Dir string `toml:"dir,omitempty"`
	// Every is how often a set is made from which a restore begins, a Go duration of a minute at least: between two sets all that changes is
	// copied, too, so that more sets make a restore faster and not newer. Default "24h".
	Every string `toml:"every,omitempty"`
	// Keep is for how long back the mail of any time can be restored, a Go duration of a day at least. Default "2160h", 90 days.
	Keep string `toml:"keep,omitempty"`
	// KeepDaily keeps, from before Keep too, the newest set of each of so many days that have one, 10000 at most: the mail as it was when that set
	// was made, and no time between. Days of Keep count. Default 0, none.
	KeepDaily int64 `toml:"keep_daily,omitempty"`
	// KeepWeekly is the same for weeks (ISO 8601, UTC). Default 0, none.
	KeepWeekly int64 `toml:"keep_weekly,omitempty"`
	// WarnBehind is how old what the repository has may be before "mailnode health", /readyz and domicile_backup_behind say so, a Go duration of a
	// minute at least. Mail goes on all the same. Default "15m".
	WarnBehind string `toml:"warn_behind,omitempty"`
}

// Has reports whether the node has a role.
func (n *Node) Has(role string) bool {
	for _, r := range n.Roles {
		if r == role {
			return true
		}
	}
	return false
}

// Now is the present time by the node's clock, ClockOffset included.
func (n *Node) Now() time.Time {
	d, _ := time.ParseDuration(n.ClockOffset) // "" is none; anything else was checked by Load
	return time.Now().Add(d)
}

// KeepExpunged is Undelete as a duration.
func (n *Node) KeepExpunged() time.Duration {
	d, _ := time.ParseDuration(n.Undelete) // as for ClockOffset
	return d
}

// Witness reports whether the node is a witness: no region, no mail, only cosignatures.
func (n *Node) Witness() bool { return n.Has("witness") }
