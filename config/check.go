package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"domicile"
)

const (
	defaultMaxSize  = 64 << 20
	leastMaxSize    = 64 << 10
	mostMaxSize     = 1 << 30
	mostClockOffset = 720 * time.Hour
	mostUndelete    = 720 * time.Hour
	leastMemory     = 64 << 20
	leastSegment    = 4 << 10
	mostSegment     = 64 << 20
	defaultCoolDown = "336h"
	defaultBetween  = "4320h"

	defaultExpire       = "120h"
	mostExpire          = 144 * time.Hour // homes remember for a day longer what was delivered
	defaultQueueBytes   = 16 << 30
	defaultAccountBytes = 1 << 30
	leastQueueBytes     = 1 << 20
	defaultRate         = 1000
	mostRate            = 1_000_000

	defaultConnections  = 4096
	defaultPerNetwork   = 256
	defaultNewPerMinute = 600
	defaultPerAccount   = 100
	mostLimit           = 1 << 20
	defaultLevel        = "info"
)

var genesisForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// paths lists every field that names a file or folder.
func (n *Node) paths() map[string]*string {
	return map[string]*string{
		"data": &n.Data, "root_key": &n.RootKey, "signing_key": &n.SigningKey, "identity": &n.Identity, "names_key": &n.NamesKey,
		"catalog.dir": &n.Catalog.Dir, "gossip.key_file": &n.Gossip.KeyFile, "disclosure.registry": &n.Disclosure.Registry,
		"backup.dir": &n.Backup.Dir,
	}
}

// resolve makes paths absolute, from the folder of the file.
func (c *checker) resolve(dir string) {
	for key, p := range c.node.paths() {
		if *p == "" {
			continue
		}
		if !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			c.problem(key, "is no path: %v", err)
			continue
		}
		*p = abs
	}
}

func (c *checker) defaults() {
	n := c.node
	for _, d := range []struct{ field, value *string }{
		{&n.RPC.Advertise, &n.RPC.Listen}, {&n.Gossip.Advertise, &n.Gossip.Listen},
		{&n.SMTP.Hostname, &n.Name}, {&n.LMTP.Hostname, &n.Name}, {&n.Submission.Hostname, &n.Name}, {&n.Submissions.Hostname, &n.Name}, {&n.IMAP.Hostname, &n.Name}, {&n.IMAPS.Hostname, &n.Name},
	} {
		if *d.field == "" {
			*d.field = *d.value
		}
	}
	for _, f := range []*Front{&n.SMTP, &n.LMTP, &n.Submission, &n.Submissions, &n.IMAP, &n.IMAPS} {
		if f.MaxSize == 0 {
			f.MaxSize = defaultMaxSize
		}
	}
	if n.Queue.Expire == "" {
		n.Queue.Expire = defaultExpire
	}
	for _, f := range []struct {
		field *int64
		value int64
	}{{&n.Queue.MaxBytes, defaultQueueBytes}, {&n.Queue.AccountBytes, defaultAccountBytes}, {&n.Queue.Rate, defaultRate}} {
		if *f.field == 0 {
			*f.field = f.value
		}
	}
	if n.Residence.CoolDown == "" {
		n.Residence.CoolDown = defaultCoolDown
	}
	if n.Residence.Between == "" {
		n.Residence.Between = defaultBetween
	}
	if n.Backup.Dir != "" && n.Backup.Every == "" {
		n.Backup.Every = "24h"
	}
	if n.Backup.Dir != "" && n.Backup.Keep == "" {
		n.Backup.Keep = "2160h"
	}
	if n.Backup.Dir != "" && n.Backup.WarnBehind == "" {
		n.Backup.WarnBehind = "15m"
	}
	for _, l := range n.limits() {
		if *l.field == 0 {
			*l.field = l.usual
		}
	}
	if n.Log.Level == "" {
		n.Log.Level = defaultLevel
	}
}

// limit is a field and its default.
type limit struct {
	field *int64
	usual int64
}

// limits lists the fields of Limits.
func (n *Node) limits() map[string]limit {
	return map[string]limit{
		"limits.connections":    {&n.Limits.Connections, defaultConnections},
		"limits.per_network":    {&n.Limits.PerNetwork, defaultPerNetwork},
		"limits.new_per_minute": {&n.Limits.NewPerMinute, defaultNewPerMinute},
		"limits.per_account":    {&n.Limits.PerAccount, defaultPerAccount},
	}
}

func (c *checker) check() {
	n := c.node
	if _, err := domicile.ParseRegion(n.Name); err != nil {
		c.problem("name", "must be 2 to 32 characters of a-z, 0-9 and inner '-', unique in the cluster")
	}
	c.roles()
	c.clock()
	c.segment()
	c.undelete()
	if n.Memory != 0 && n.Memory < leastMemory {
		c.problem("memory", "must be %d bytes at least", leastMemory)
	}
	c.need("data", n.Data)
	c.need("catalog.dir", n.Catalog.Dir)
	if !genesisForm.MatchString(n.Catalog.Genesis) {
		c.problem("catalog.genesis", `must be "sha256:" and 64 hex digits: the pin of the catalog's first version`)
	}
	c.secret("signing_key", n.SigningKey)
	c.secret("identity", n.Identity)
	c.secret("gossip.key_file", n.Gossip.KeyFile)
	c.network()
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, n.Log.Level) {
		c.problem("log.level", `must be "debug", "info", "warn" or "error"`)
	}
	for key, l := range n.limits() {
		if *l.field < 1 || *l.field > mostLimit {
			c.problem(key, "must be from 1 to %d", mostLimit)
		}
	}
	if n.Witness() {
		c.witness()
		return
	}
	c.region()
}

// clock lets only a lab's node have a wrong one.
func (c *checker) clock() {
	n := c.node
	if n.ClockOffset == "" {
		return
	}
	if d, err := time.ParseDuration(n.ClockOffset); err != nil || d.Abs() > mostClockOffset {
		c.problem("clock_offset", `must be a duration such as "5h" or "-30m", at most 720h either way`)
	} else if !n.Lab {
		c.problem("clock_offset", "is for labs only: remove it, and set the machine's clock")
	}
}

// segment lets only a lab's node have small files.
func (c *checker) segment() {
	n := c.node
	if n.StoreSegment == 0 {
		return
	}
	if n.StoreSegment < leastSegment || n.StoreSegment > mostSegment {
		c.problem("store_segment", "must be from %d to %d bytes", leastSegment, mostSegment)
	} else if !n.Lab {
		c.problem("store_segment", "is for labs only: remove it")
	}
}

func (c *checker) undelete() {
	if c.node.Undelete == "" {
		return
	}
	if d, err := time.ParseDuration(c.node.Undelete); err != nil || d < 0 || d > mostUndelete {
		c.problem("undelete", `must be a duration such as "168h", at most 720h`)
	}
}

func (c *checker) roles() {
	n := c.node
	seen := map[string]bool{}
	for _, r := range n.Roles {
		switch {
		case r != "front" && r != "store" && r != "admin" && r != "witness":
			c.problem("roles", "%q is no role; known are front, store, admin and witness", r)
		case seen[r]:
			c.problem("roles", "%q is there twice", r)
		}
		seen[r] = true
	}
	switch {
	case len(n.Roles) == 0:
		c.problem("roles", `is needed, such as ["front", "store", "admin"]`)
	case seen["witness"] && len(seen) > 1:
		c.problem("roles", "a witness has no other role: it only cosigns")
	case seen["admin"] && !seen["store"]:
		c.problem("roles", `"admin" needs "store": the node that holds the accounts answers for them`)
	}
}

func (c *checker) network() {
	n := c.node
	c.address("rpc.listen", n.RPC.Listen, true)
	c.address("gossip.listen", n.Gossip.Listen, true)
	c.reachable("rpc.advertise", n.RPC.Advertise, n.RPC.Listen)
	c.reachable("gossip.advertise", n.Gossip.Advertise, n.Gossip.Listen)
	c.inside("rpc.inside", n.RPC.Inside)
	c.inside("gossip.inside", n.Gossip.Inside)
	if n.Admin.Inside != "" {
		c.problem("admin.inside", "operators are told one address, admin.advertise; remove it")
	}
	for _, s := range n.Gossip.Seeds {
		c.address("gossip.seeds", s, true)
	}
	c.http(n.HTTP.Listen)
	used := map[string]string{}
	for _, l := range []struct{ key, addr string }{{"rpc.listen", n.RPC.Listen}, {"gossip.listen", n.Gossip.Listen},
		{"smtp.listen", n.SMTP.Listen}, {"lmtp.listen", n.LMTP.Listen},
		{"submission.listen", n.Submission.Listen}, {"submissions.listen", n.Submissions.Listen}, {"imap.listen", n.IMAP.Listen}, {"imaps.listen", n.IMAPS.Listen}, {"admin.listen", n.Admin.Listen}, {"http.listen", n.HTTP.Listen}} {
		if l.addr == "" || strings.HasSuffix(l.addr, ":0") {
			continue
		}
		if other, ok := used[l.addr]; ok {
			c.problem(l.key, "is the same address as %s", other)
		}
		used[l.addr] = l.key
	}
}

// http wants one address: everywhere is nobody's decision.
func (c *checker) http(addr string) {
	if addr == "" {
		return
	}
	ap, err := netip.ParseAddrPort(addr)
	switch {
	case err == nil && ap.Addr().IsUnspecified():
		c.problem("http.listen", "%s is every address of the machine; name the one that may ask, such as \"127.0.0.1:20009\"", ap.Addr())
	case err == nil && ap.Port() == 0:
		c.problem("http.listen", "needs a fixed port: mailnode health asks there")
	default:
		c.address("http.listen", addr, true)
	}
}

// witness checks what a witness must not have.
func (c *checker) witness() {
	n := c.node
	for _, f := range []struct{ key, value string }{{"region", n.Region}, {"root_key", n.RootKey}, {"names_key", n.NamesKey},
		{"rpc.inside", n.RPC.Inside}, {"gossip.inside", n.Gossip.Inside},
		{"smtp.listen", n.SMTP.Listen}, {"lmtp.listen", n.LMTP.Listen},
		{"submission.listen", n.Submission.Listen}, {"submissions.listen", n.Submissions.Listen}, {"imap.listen", n.IMAP.Listen}, {"imaps.listen", n.IMAPS.Listen}, {"admin.listen", n.Admin.Listen}, {"disclosure.registry", n.Disclosure.Registry},
		{"backup.dir", n.Backup.Dir}} {
		if f.value != "" {
			c.problem(f.key, "a witness belongs to no region and has none; remove it")
		}
	}
}

func (c *checker) region() {
	n := c.node
	if _, err := domicile.ParseRegion(n.Region); err != nil {
		c.problem("region", `must name a region of the catalog, such as "eu-ireland"; only a witness has none`)
	}
	c.secret("names_key", n.NamesKey)
	c.secret("root_key", n.RootKey)
	if n.RootKey != "" && n.Data != "" && inside(n.RootKey, n.Data) {
		c.problem("root_key", "must lie outside data: a copy of the data folder would otherwise be a copy of the mail")
	}
	c.front("smtp", n.SMTP, "front")
	c.front("lmtp", n.LMTP, "front")
	c.front("submission", n.Submission, "front")
	c.front("submissions", n.Submissions, "front")
	c.front("imap", n.IMAP, "front")
	c.front("imaps", n.IMAPS, "front")
	if n.Admin.Listen != "" {
		c.address("admin.listen", n.Admin.Listen, false)
		if !n.Has("admin") && !c.wrong["roles"] {
			c.problem("admin.listen", "needs the role %q", "admin")
		}
	}
	if n.Admin.Advertise != "" {
		c.reachable("admin.advertise", n.Admin.Advertise, n.Admin.Listen)
	}
	if ap, err := netip.ParseAddrPort(n.LMTP.Listen); err == nil && !ap.Addr().IsLoopback() && !ap.Addr().IsPrivate() {
		c.problem("lmtp.listen", "%s is open to strangers, and LMTP takes mail from whoever reaches it; name an address on loopback or a private network", ap.Addr())
	}
	c.queue(n.Queue)
	if n.Has("front") && n.LMTP.Listen == "" && n.Submission.Listen == "" && n.Submissions.Listen == "" && n.SMTP.Listen == "" && n.IMAP.Listen == "" && n.IMAPS.Listen == "" {
		c.problem("roles", `"front" needs smtp.listen, lmtp.listen, submission.listen, submissions.listen, imap.listen or imaps.listen`)
	}
	if n.Has("admin") && n.Admin.Listen == "" {
		c.problem("admin.listen", `is needed by the role "admin", such as "127.0.0.1:20007"`)
	}
	if n.Disclosure.Registry != "" {
		c.regular("disclosure.registry", n.Disclosure.Registry)
	} else if n.Has("store") {
		c.problem("disclosure.registry", "is needed: the file of the authorities that this region believes; an empty one believes nobody")
	}
	c.backup(n.Backup)
	if d, err := time.ParseDuration(n.Residence.CoolDown); err != nil || d < 0 {
		c.problem("residence.cool_down", `must be a duration such as "336h"`)
	} else if d < time.Hour && !n.Lab {
		c.problem("residence.cool_down", "must be an hour or more; only a lab may be quicker")
	}
	if d, err := time.ParseDuration(n.Residence.Between); err != nil || d < 0 {
		c.problem("residence.between", `must be a duration such as "4320h"`)
	} else if d < 24*time.Hour && !n.Lab {
		c.problem("residence.between", "must be a day or more; only a lab may be quicker")
	}
}

func (c *checker) backup(b Backup) {
	n := c.node
	if b.Dir == "" {
		if b != (Backup{}) {
			c.problem("backup.dir", "is needed: the folder of the repository; without it there is no backup")
		}
		return
	}
	if !n.Has("store") {
		c.problem("backup.dir", `needs the role "store": this node holds nothing that a backup is for`)
	}
	for _, f := range []struct{ key, with string }{{"data", n.Data}, {"root_key", n.RootKey}} {
		if f.with != "" && (inside(b.Dir, f.with) || inside(f.with, b.Dir)) {
			c.problem("backup.dir", "must lie outside %s, and not around it", f.key)
		}
	}
	if d, err := time.ParseDuration(b.Every); err != nil || d < time.Second || d < time.Minute && !n.Lab {
		c.problem("backup.every", `must be a duration of a minute at least, such as "24h"`)
	}
	if d, err := time.ParseDuration(b.Keep); err != nil || d < time.Second || d < 24*time.Hour && !n.Lab {
		c.problem("backup.keep", `must be a duration of a day at least, such as "2160h"`)
	}
	if d, err := time.ParseDuration(b.WarnBehind); err != nil || d < time.Second || d < time.Minute && !n.Lab {
		c.problem("backup.warn_behind", `must be a duration of a minute at least, such as "15m"`)
	}
	for _, f := range []struct {
		key string
		n   int64
	}{{"backup.keep_daily", b.KeepDaily}, {"backup.keep_weekly", b.KeepWeekly}} {
		if f.n < 0 || f.n > 10_000 {
			c.problem(f.key, "must be from 0 to 10000")
		}
	}
}

func (c *checker) queue(q Queue) {
	if d, err := time.ParseDuration(q.Expire); err != nil || d < time.Hour || d > mostExpire {
		c.problem("queue.expire", `must be a duration from "1h" to "144h"`)
	}
	if q.MaxBytes < leastQueueBytes {
		c.problem("queue.max_bytes", "must be %d bytes or more", leastQueueBytes)
	}
	if q.AccountBytes < leastQueueBytes {
		c.problem("queue.account_bytes", "must be %d bytes or more", leastQueueBytes)
	}
	if q.Rate < 1 || q.Rate > mostRate {
		c.problem("queue.rate", "must be from 1 to %d recipients an hour", mostRate)
	}
}

func (c *checker) front(key string, f Front, role string) {
	if f.Listen != "" {
		c.address(key+".listen", f.Listen, false)
		if !c.node.Has(role) && !c.wrong["roles"] {
			c.problem(key+".listen", "needs the role %q", role)
		}
	}
	if f.MaxSize != 0 && (f.MaxSize < leastMaxSize || f.MaxSize > mostMaxSize) {
		c.problem(key+".max_size", "must be from %d to %d bytes", leastMaxSize, mostMaxSize)
	}
	if f.NoUnauthenticate && !strings.HasPrefix(key, "imap") {
		c.problem(key+".no_unauthenticate", "is for imap and imaps")
	}
	if f.Hostname != c.node.Name && (len(f.Hostname) > 253 || strings.ContainsAny(f.Hostname, " \t\r\n\x00")) {
		c.problem(key+".hostname", "must be a host name")
	}
}

// address wants a literal IP and a port: names would have to be resolved, and that is a way out.
func (c *checker) address(key, addr string, fixed bool) {
	ap, err := netip.ParseAddrPort(addr)
	switch {
	case addr == "":
		c.problem(key, `is needed: a literal IP:port, such as "127.0.0.1:20010"`)
	case err != nil:
		c.problem(key, "%q is not a literal IP:port; host names are not looked up", addr)
	case fixed && ap.Port() == 0:
		c.problem(key, "needs a fixed port: other nodes must find it")
	}
}

// reachable checks an address that is told to others. Of one that is the default, its listen address, enough was said.
func (c *checker) reachable(key, addr, listen string) {
	if addr != listen {
		c.address(key, addr, true)
	}
	if ap, err := netip.ParseAddrPort(addr); err == nil && ap.Addr().IsUnspecified() {
		c.problem(key, "%s is no address that others can reach; name one that is", ap.Addr())
	}
}

// inside checks an address that is told to the nodes of the same region; "" is none.
func (c *checker) inside(key, addr string) {
	if addr != "" {
		c.reachable(key, addr, "")
	}
}

func (c *checker) need(key, value string) {
	if value == "" {
		c.problem(key, "is needed")
	}
}

func (c *checker) regular(key, path string) bool {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		c.problem(key, "no such file: %s", path)
	case !info.Mode().IsRegular():
		c.problem(key, "%s is not a file", path)
	default:
		return true
	}
	return false
}

// secret wants a file that nobody but its owner can read or write.
func (c *checker) secret(key, path string) {
	if path == "" {
		c.problem(key, "is needed: the name of a file")
		return
	}
	if !c.regular(key, path) {
		return
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		c.problem(key, "%s may be read by others (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
}

// inside reports whether path lies in dir, symbolic links resolved where they exist.
func inside(path, dir string) bool {
	rel, err := filepath.Rel(real(dir), real(path))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func real(path string) string {
	for rest := ""; ; {
		if r, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Join(r, rest)
		}
		parent := filepath.Dir(path)
		if parent == path {
			return filepath.Join(path, rest)
		}
		rest = filepath.Join(filepath.Base(path), rest)
		path = parent
	}
}
