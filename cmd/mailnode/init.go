package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"domicile/config"
)

// The ports of a node that nobody chose others for.
const (
	portGossip      = 7946
	portRPC         = 7947
	portAdmin       = 7948
	portSMTP        = 25
	portIMAPS       = 993
	portSubmission  = 587
	portSubmissions = 465
)

func initCommand() *cobra.Command {
	var in initFlags
	cmd := &cobra.Command{
		Use:   "init --region R --name N --address IP --genesis PIN --to node.toml",
		Short: "Write a commented node.toml for a real node",
		Long: `Write a node.toml with every key and a word on each, and beside it, if there is none, an empty list of authorities, which
believes nobody. The files that it names lie beside it: root.key, signing.key, identity.pem, names.key, gossip.key and
the folder catalog. Nothing that exists is overwritten. Look it over, then: mailnode check --config node.toml`,
		Example: `  mailnode init --region eu-ireland --name eu-ireland-1 --address 10.2.0.10 --hostname mx.eu.example.com \
    --genesis sha256:... --seed 10.1.0.10:7946 --seed 10.3.0.10:7946 --bundle gdpr-48 --bundle mlat --to /etc/domicile/node.toml
  mailnode init --witness --name witness-1 --address 10.3.0.10 --genesis sha256:... --seed 10.1.0.10:7946 --to /etc/domicile/node.toml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := in.node()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(in.to), 0o755); err != nil {
				return err
			}
			if err := writeNew(in.to, config.Template(n)); err != nil {
				return err
			}
			if n.Has("store") {
				list := filepath.Join(filepath.Dir(in.to), "authorities.toml")
				if err := writeNew(list, []byte("# The authorities that this region believes; see FORMATS, Legal-basis token. None yet: no order is executed.\n")); err != nil && !errors.Is(err, fs.ErrExist) {
					return err
				}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is written; look it over, then: mailnode check --config %s\n", in.to, in.to)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.region, "region", "", "the `region`, as in the catalog")
	f.BoolVar(&in.witness, "witness", false, "a witness, which belongs to no region and only cosigns")
	f.StringVar(&in.name, "name", "", "the node's `name`, unique in the cluster")
	f.StringVar(&in.address, "address", "", "the machine's literal `IP` address, at which the other nodes reach it")
	f.StringVar(&in.hostname, "hostname", "", "the `name` that mail programs know it by; default: the node's name")
	f.StringVar(&in.genesis, "genesis", "", "the `pin` of the catalog's first version, sha256:...")
	f.StringArrayVar(&in.seeds, "seed", nil, "the gossip address of another node, `IP:PORT`; may be given again")
	f.StringArrayVar(&in.bundles, "bundle", nil, "a policy bundle in force, such as gdpr-48; may be given again")
	f.StringVar(&in.monitor, "monitor", "127.0.0.1:7949", "where health and metrics are told, a literal `IP:PORT`")
	f.StringVar(&in.data, "data", "/var/lib/domicile/data", "the data `folder`")
	f.StringVar(&in.to, "to", "node.toml", "the configuration, a new `file`")
	return cmd
}

type initFlags struct {
	region, name, address, hostname, genesis, monitor, data, to string
	seeds, bundles                                              []string
	witness                                                     bool
}

// node fills in what init knows; what is wrong with it, check says.
func (in *initFlags) node() (*config.Node, error) {
	ip, err := netip.ParseAddr(in.address)
	if err != nil || ip.IsUnspecified() {
		return nil, fmt.Errorf("--address must be the machine's literal IP address: %w", errUsage)
	}
	if in.witness == (in.region != "") || in.name == "" || in.genesis == "" {
		return nil, fmt.Errorf("--name, --genesis, and --region or --witness, are needed: %w", errUsage)
	}
	at := func(port uint16) string { return netip.AddrPortFrom(ip, port).String() }
	n := &config.Node{Name: in.name, Region: in.region, Roles: []string{"front", "store", "admin"}, Data: in.data,
		RootKey: "root.key", SigningKey: "signing.key", Identity: "identity.pem", NamesKey: "names.key",
		Catalog: config.Catalog{Dir: "catalog", Genesis: in.genesis},
		RPC:     config.Listen{Listen: at(portRPC)}, Gossip: config.Gossip{Listen: at(portGossip), Seeds: in.seeds, KeyFile: "gossip.key"},
		HTTP: config.HTTP{Listen: in.monitor}}
	if in.witness {
		n.Roles, n.RootKey, n.NamesKey = []string{"witness"}, "", ""
		return n, nil
	}
	if in.hostname == "" {
		in.hostname = in.name
	}
	n.SMTP = config.Front{Listen: at(portSMTP), Hostname: in.hostname}
	n.Submission = config.Front{Listen: at(portSubmission), Hostname: in.hostname}
	n.Submissions = config.Front{Listen: at(portSubmissions), Hostname: in.hostname}
	n.IMAPS = config.Front{Listen: at(portIMAPS), Hostname: in.hostname}
	n.Admin = config.Listen{Listen: at(portAdmin)}
	n.Disclosure = config.Disclosure{Registry: "authorities.toml", Bundles: in.bundles}
	return n, nil
}

// writeNew writes a file that must not exist.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}
