package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/backup"
	"domicile/config"
	"domicile/disclosure"
	"domicile/keys"
	"domicile/region"
)

// soon is how long before its end a certificate is warned of.
const soon = 30 * 24 * time.Hour

func checkCommand() *cobra.Command {
	var path string
	var show bool
	cmd := &cobra.Command{
		Use:   "check --config node.toml",
		Short: "Say all that is wrong with a configuration, each with file, line and key",
		Long: `Say all that is wrong with a configuration and with what it names: key files, the certificate and its time, the catalog's
chain, whose data folder it is, addresses that are not of this machine, the clock. Run it on the node's machine, as the
user that the node runs as; the node may be running. What is not wrong yet is a warning, and the exit code stays 0.`,
		Example: "  mailnode check --config eu-ireland-1/node.toml --print",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := config.Read(path)
			if err != nil {
				return fmt.Errorf("%w\n%w", err, errConfig)
			}
			if f.Node != nil {
				(&inspection{File: f, n: f.Node, now: f.Node.Now()}).run()
			}
			for _, w := range f.Warnings() {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", w)
			}
			if err := f.Err(); err != nil {
				return err
			}
			if show {
				return config.Print(cmd.OutOrStdout(), f.Node)
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%s: nothing wrong\n", path)
			return err
		},
	}
	cmd.Flags().StringVar(&path, "config", "node.toml", "the configuration `file`")
	cmd.Flags().BoolVar(&show, "print", false, "show the effective values, defaults included")
	return cmd
}

// inspection looks into what a configuration names. Nothing is written, and keys of which something was found wrong already are
// passed over.
type inspection struct {
	*config.File
	n       *config.Node
	now     time.Time
	catalog *region.Catalog // nil if it does not hold
	self    region.Peer     // by the certificate; zero if that is not believed
}

func (i *inspection) run() {
	for _, look := range []func(){i.lookCatalog, i.lookIdentity, i.lookKeys, i.lookSigner, i.lookData, i.lookAddresses, i.lookLaw} {
		look()
	}
}

// must notes an error as a problem of a key.
func (i *inspection) must(key string, err error) bool {
	if err != nil {
		i.Problem(key, "%v", err)
	}
	return err == nil
}

func (i *inspection) lookCatalog() {
	if !i.Sound("catalog.dir", "catalog.genesis") {
		return
	}
	c, err := region.LoadCatalog(i.n.Catalog.Dir, i.n.Catalog.Genesis)
	if !i.must("catalog.dir", err) {
		return
	}
	i.catalog = c
	if c.Issued.After(i.now) {
		i.Problem("", "this machine's clock says %s, and the catalog was issued after that, at %s: set the clock", stamp(i.now), stamp(c.Issued))
	}
	if _, ok := c.Region(domicile.Region(i.n.Region)); !ok && !i.n.Witness() && i.Sound("region") {
		i.Problem("region", "version %d of the catalog has no region %s", c.Version, i.n.Region)
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (i *inspection) lookIdentity() {
	if !i.Sound("identity") {
		return
	}
	text, err := readSecret(i.n.Identity)
	if !i.must("identity", err) {
		return
	}
	info, err := region.Certificates(text)
	if !i.must("identity", err) {
		return
	}
	for _, c := range info {
		switch {
		case i.now.After(c.NotAfter):
			i.Problem("identity", "the certificate %s ended %s; renew it by mailctl ca request, issue and install", c.Name, stamp(c.NotAfter))
		case i.now.Before(c.NotBefore):
			i.Problem("identity", "the certificate %s begins %s, and this machine's clock says %s", c.Name, stamp(c.NotBefore), stamp(i.now))
		case i.now.Add(soon).After(c.NotAfter):
			i.Warn("identity", "the certificate %s ends %s; renew it by mailctl ca request, issue and install", c.Name, stamp(c.NotAfter))
		}
	}
	if i.catalog == nil || !i.Sound("identity") {
		return
	}
	p, _, err := region.CheckIdentity(text, i.catalog, i.now)
	if !i.must("identity", err) {
		return
	}
	if p.Node != domicile.Node(i.n.Name) || p.Region != domicile.Region(i.n.Region) {
		i.Problem("identity", "it is that of %s, not of node %q in region %q", p.Who(), i.n.Name, i.n.Region)
		return
	}
	i.self = p
	i.lookHosts(info[0].Hosts)
}

// lookHosts warns of a name by which mail programs would not believe the node.
func (i *inspection) lookHosts(hosts []string) {
	for key, f := range map[string]config.Front{"smtp": i.n.SMTP, "lmtp": i.n.LMTP, "submission": i.n.Submission, "submissions": i.n.Submissions, "imap": i.n.IMAP, "imaps": i.n.IMAPS} {
		if f.Listen != "" && !slices.Contains(hosts, f.Hostname) {
			i.Warn(key+".hostname", "%s is not among the host names of the certificate, %v: mail programs will not believe it", f.Hostname, hosts)
		}
	}
}

func (i *inspection) lookKeys() {
	if i.Sound("gossip.key_file") {
		_, err := keys.LoadGossip(i.n.Gossip.KeyFile)
		i.must("gossip.key_file", err)
	}
	if i.n.Witness() {
		return
	}
	if i.Sound("root_key") {
		_, err := keys.LoadRoot(i.n.RootKey)
		i.must("root_key", err)
	}
	if i.Sound("names_key") {
		_, err := keys.LoadNames(i.n.NamesKey)
		i.must("names_key", err)
	}
}

// lookSigner holds the signing key against the catalog's: only the node with the store speaks, and writes the log, as its region.
func (i *inspection) lookSigner() {
	if !i.Sound("signing_key") {
		return
	}
	s, err := keys.LoadSigner(i.n.SigningKey)
	if !i.must("signing_key", err) || i.catalog == nil {
		return
	}
	r, _ := i.catalog.Region(domicile.Region(i.n.Region))
	w, _ := i.catalog.Witness(i.self.Witness)
	switch {
	case i.n.Has("store") && r.Key != "" && s.VKey() != r.Key:
		i.Problem("signing_key", "the catalog has another key for %s: %s", r.Name, r.Key)
	case !i.n.Has("store") && r.Key != "" && s.VKey() == r.Key:
		i.Problem("signing_key", "it is the key of %s itself, which the node with the store alone may have; give this node one of its own", r.Name)
	case i.self.Witness != "" && s.CosignVKey() != w.Key:
		i.Problem("signing_key", "the catalog has another key for this witness: %s", w.Key)
	}
}

func (i *inspection) lookData() {
	if !i.Sound("data", "name", "region") {
		return
	}
	err := region.CheckStamp(i.n.Data, domicile.Region(i.n.Region), domicile.Node(i.n.Name))
	if !i.must("data", err) {
		return
	}
	if root, err := keys.LoadRoot(i.n.RootKey); err == nil && i.Sound("root_key") && i.n.Has("store") {
		i.must("root_key", root.CheckFolder(i.n.Data))
	}
	if i.catalog != nil {
		i.must("catalog.dir", region.CheckCatalog(i.n.Data, i.catalog))
	}
	mark, err := backup.ReadMark(i.n.Data)
	if i.must("data", err) && mark != nil {
		i.Warn("data", "it was restored from a backup of %s: nothing is served before all who cosign its log know no newer one", stamp(mark.Made))
	}
}

func (i *inspection) lookAddresses() {
	for key, addr := range map[string]string{"rpc.listen": i.n.RPC.Listen, "gossip.listen": i.n.Gossip.Listen, "smtp.listen": i.n.SMTP.Listen, "lmtp.listen": i.n.LMTP.Listen,
		"submission.listen": i.n.Submission.Listen, "submissions.listen": i.n.Submissions.Listen,
		"imap.listen": i.n.IMAP.Listen, "imaps.listen": i.n.IMAPS.Listen, "admin.listen": i.n.Admin.Listen, "http.listen": i.n.HTTP.Listen} {
		if addr != "" && i.Sound(key) && !region.IsLocal(addr) {
			i.Problem(key, "%s is no address of this machine", addr)
		}
	}
}

func (i *inspection) lookLaw() {
	if !i.n.Has("store") {
		return
	}
	if i.Sound("disclosure.registry") {
		i.must("disclosure.registry", disclosure.CheckRegistry(i.n.Disclosure.Registry))
	}
	i.must("disclosure.bundles", disclosure.CheckBundles(i.n.Disclosure.Bundles, i.now))
}
