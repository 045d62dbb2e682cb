package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/keys"
	"domicile/region"
)

// The files of an authority's folder. The first is the one that goes offline.
const (
	caRootKey   = "root-key.pem"
	caRoot      = "root.pem"
	caNodes     = "nodes.pem"
	caOperators = "operators.pem"
)

func (a *app) caCommand() *cobra.Command {
	group := &cobra.Command{Use: "ca", Short: "Certificates: a region's own authority, and what it issues",
		Long: `Certificates, made without any network. A region, and a witness, has an authority of its own: a root, whose key stays
offline, and an intermediate each for nodes and for operators. A key is made where it is used and never leaves that
machine: what travels is a request, and the certificate that answers it.`,
		Example: `  mailctl ca init eu-ireland --dir ca
  mailctl ca request eu-ireland/node/eu-ireland-1 --host mx.example.com --key identity.key --to node.csr
  mailctl ca issue eu-ireland/node/eu-ireland-1 --dir ca --request node.csr --to node.pem
  mailctl ca install --key identity.key --chain node.pem --to identity.pem`}
	group.AddCommand(a.caInit(), a.caRequest(), a.caIssue(), a.caInstall(), a.caShow())
	return group
}

func (a *app) caInit() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "init OWNER --dir D",
		Short: "Make the authority of a region, or of witness/NAME",
		Long: `Make an authority: root-key.pem, which is then taken offline, root.pem, the certificate that everybody may have, and the
intermediates nodes.pem and operators.pem, each with its key, from which certificates are issued. Whoever has
root-key.pem or nodes.pem can make a node of this region. To rotate, make a second one in another folder and put both
fingerprints into the catalog for as long as both are in use.`,
		Example: "  mailctl ca init eu-ireland --dir ca\n  mailctl ca init witness/witness-1 --dir ca",
		Args:    args("OWNER"),
		RunE: func(cmd *cobra.Command, owner []string) error {
			if err := needs(cmd, "dir"); err != nil {
				return err
			}
			ca, err := region.NewAuthority(owner[0], a.now())
			if err != nil {
				return err
			}
			return a.writeAuthority(ca, dir)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the authority's `folder`")
	return cmd
}

func (a *app) writeAuthority(ca *region.Authority, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return domicile.W("ca init", err)
	}
	secrets := []struct {
		name string
		text []byte
	}{{caRootKey, ca.RootKey()}, {caNodes, ca.NodeIssuer()}}
	if !strings.HasPrefix(string(ca.Owner()), "witness/") { // a witness has no operators
		secrets = append(secrets, struct {
			name string
			text []byte
		}{caOperators, ca.OperatorIssuer()})
	}
	for _, s := range secrets {
		if err := keys.CreateSecret(filepath.Join(dir, s.name), s.text); err != nil {
			return err
		}
	}
	if err := writeFile(filepath.Join(dir, caRoot), ca.Certificate(), 0o644); err != nil {
		return domicile.W("ca init", err)
	}
	v := struct {
		Owner       domicile.Region `json:"owner"`
		Root        string          `json:"root"`
		RootKey     string          `json:"root_key"`
		Fingerprint string          `json:"fingerprint"`
	}{ca.Owner(), filepath.Join(dir, caRoot), filepath.Join(dir, caRootKey), ca.Fingerprint()}
	return a.show(v, func(t *table) {
		t.field("authority of", v.Owner)
		t.field("fingerprint", v.Fingerprint)
		t.field("root", v.Root)
		t.field("take offline", v.RootKey)
	})
}

// authority reads an authority's folder, as much of it as is there.
func (a *app) authority(dir string) (*region.Authority, error) {
	var text []byte
	for _, name := range []string{caRoot, caNodes, caOperators} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if os.IsNotExist(err) {
			continue
		} else if err != nil {
			return nil, domicile.W("read the authority", err)
		}
		text = append(text, raw...)
	}
	if len(text) == 0 {
		return nil, domicile.E("read the authority", domicile.Invalid, "there is none in "+dir+"; make one with: mailctl ca init OWNER --dir "+dir)
	}
	return region.LoadAuthority(text, a.now())
}

func (a *app) caRequest() *cobra.Command {
	var roles, hosts []string
	var key, to string
	cmd := &cobra.Command{
		Use:   "request WHO --key F --to F",
		Short: "Make a key, and a request for its certificate; the key stays here",
		Long: `Make a private key, and a request for a certificate that is signed by it. WHO is REGION/node/NAME,
witness/NAME/node/NAME or REGION/operator/NAME. Carry the request to the region's authority. To renew, ask again with
another --key.`,
		Example: `  mailctl ca request eu-ireland/node/eu-ireland-1 --host mx.example.com --host 10.2.0.10 --key identity.key --to node.csr
  mailctl ca request eu-ireland/operator/anna --role operator --key anna.key --to anna.csr`,
		Args: args("WHO"),
		RunE: func(cmd *cobra.Command, who []string) error {
			if err := needs(cmd, "key", "to"); err != nil {
				return err
			}
			p, err := region.ParseWho(who[0], roles)
			if err != nil {
				return err
			}
			private, request, err := region.NewCertRequest(p, hosts)
			if err != nil {
				return err
			}
			if err := keys.CreateSecret(key, private); err != nil {
				return err
			}
			if err := writeFile(to, request, 0o644); err != nil {
				return domicile.W("ca request", err)
			}
			return a.showRequest(&region.CertRequest{Who: p, Hosts: hosts}, key, to)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&roles, "role", nil, "of an operator: operator, legal or auditor; may be given again")
	f.StringArrayVar(&hosts, "host", nil, "of a node: a `name` or IP address that mail programs know it by; may be given again")
	f.StringVar(&key, "key", "", "the private key, a new `file`")
	f.StringVar(&to, "to", "", "the request, a `file`")
	return cmd
}

func (a *app) showRequest(r *region.CertRequest, key, file string) error {
	v := struct {
		Who   string   `json:"who"`
		Roles []string `json:"roles,omitempty"`
		Hosts []string `json:"hosts,omitempty"`
		Key   string   `json:"key,omitempty"`
		File  string   `json:"request"`
	}{r.Who.Who(), r.Who.Roles, r.Hosts, key, file}
	return a.show(v, func(t *table) {
		t.field("asks as", v.Who)
		t.field("roles", strings.Join(v.Roles, ", "))
		t.field("hosts", strings.Join(v.Hosts, ", "))
		t.field("key", v.Key)
		t.field("request", v.File)
	})
}

func (a *app) caIssue() *cobra.Command {
	var roles []string
	var dir, request, to string
	cmd := &cobra.Command{
		Use:   "issue WHO --dir D --request F --to F",
		Short: "Certify what a request asks for, if it is what you say",
		Long: `Issue a certificate. You say for WHOM, and with which roles: a request that says something else is refused, so that
nobody is certified by mistake for what they wrote into it themselves. Look at one first with: mailctl ca show FILE.
The root's key is not needed.`,
		Example: `  mailctl ca issue eu-ireland/node/eu-ireland-1 --dir ca --request node.csr --to node.pem
  mailctl ca issue eu-ireland/operator/anna --role operator --dir ca --request anna.csr --to anna.pem`,
		Args: args("WHO"),
		RunE: func(cmd *cobra.Command, who []string) error {
			if err := needs(cmd, "dir", "request", "to"); err != nil {
				return err
			}
			p, err := region.ParseWho(who[0], roles)
			if err != nil {
				return err
			}
			raw, err := readFile(request)
			if err != nil {
				return err
			}
			r, err := region.ReadCertRequest(raw)
			if err != nil {
				return err
			}
			if r.Who.Who() != p.Who() || !sameSet(r.Who.Roles, p.Roles) {
				return domicile.E("ca issue", domicile.Invalid,
					fmt.Sprintf("the request asks as %s with roles %v, and you named %s with roles %v", r.Who.Who(), r.Who.Roles, p.Who(), p.Roles))
			}
			ca, err := a.authority(dir)
			if err != nil {
				return err
			}
			chain, err := ca.Issue(r)
			if err != nil {
				return err
			}
			if err := writeFile(to, chain, 0o644); err != nil {
				return domicile.W("ca issue", err)
			}
			return a.showCertificates(chain, 0)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&roles, "role", nil, "of an operator: operator, legal or auditor; may be given again")
	f.StringVar(&dir, "dir", "", "the authority's `folder`")
	f.StringVar(&request, "request", "", "the request, a `file`")
	f.StringVar(&to, "to", "", "the certificate with what it hangs on, a `file`")
	return cmd
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func (a *app) caInstall() *cobra.Command {
	var key, chain, to string
	cmd := &cobra.Command{
		Use:   "install --key F --chain F --to identity.pem",
		Short: "Join a key and its certificate to an identity file",
		Long: `Write an identity file, which node.toml or --identity names: key, certificate, intermediate and root. An older one is
replaced whole, and its owner stays. A running node takes the new one at SIGHUP. The file of the key may be removed then.`,
		Example: "  mailctl ca install --key identity.key --chain node.pem --to /etc/domicile/identity.pem",
		Args:    args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needs(cmd, "key", "chain", "to"); err != nil {
				return err
			}
			private, err := readFile(key)
			if err != nil {
				return err
			}
			certs, err := readFile(chain)
			if err != nil {
				return err
			}
			text, err := region.Identity(private, certs)
			if err != nil {
				return err
			}
			if err := keys.ReplaceSecret(to, text); err != nil {
				return err
			}
			return a.showCertificates(certs, 0)
		},
	}
	f := cmd.Flags()
	f.StringVar(&key, "key", "", "the private key, a `file`")
	f.StringVar(&chain, "chain", "", "what the authority issued, a `file`")
	f.StringVar(&to, "to", "", "the identity, a `file`")
	return cmd
}

func (a *app) caShow() *cobra.Command {
	var within time.Duration
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Show the certificates in a file, or what a request asks for",
		Long: `Show what is in a file of certificates, an identity or a request. With --within it exits with 1 if any of them ends
sooner than that, or has ended: for a daily job.`,
		Example: "  mailctl ca show node.csr\n  mailctl ca show /etc/domicile/identity.pem --within 720h",
		Args:    args("FILE"),
		RunE: func(cmd *cobra.Command, file []string) error {
			raw, err := readFile(file[0])
			if err != nil {
				return err
			}
			if r, err := region.ReadCertRequest(raw); err == nil {
				return a.showRequest(r, "", file[0])
			}
			return a.showCertificates(raw, within)
		},
	}
	cmd.Flags().DurationVar(&within, "within", 0, "fail if a certificate ends sooner than this")
	return cmd
}

// showCertificates shows all of a text, and fails if one ends within so long from now (0 = never mind).
func (a *app) showCertificates(text []byte, within time.Duration) error {
	all, err := region.Certificates(text)
	if err != nil {
		return err
	}
	if err := a.show(all, func(t *table) {
		t.row("NAME", "ROLES", "HOSTS", "FROM", "UNTIL", "FINGERPRINT")
		for _, c := range all {
			t.row(strings.TrimPrefix(c.Name, "domicile://"), strings.Join(c.Roles, ","), strings.Join(c.Hosts, ","), when(c.NotBefore), when(c.NotAfter), c.Fingerprint)
		}
	}); err != nil || within == 0 {
		return err
	}
	for _, c := range all {
		if left := c.NotAfter.Sub(a.now()); left < within {
			a.note("mailctl: %s ends %s; renew it: mailctl ca request --help", c.Name, when(c.NotAfter))
			return exitError(exitFailed)
		}
	}
	return nil
}
