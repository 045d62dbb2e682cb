package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/lab"
)

func (a *app) labCommand() *cobra.Command {
	group := &cobra.Command{Use: "lab", Short: "Labs: whole clusters of real nodes on one machine",
		Example: "  mailctl lab init --dir lab --region us-east=US --region eu-ireland=IE,DE,FR"}
	group.AddCommand(a.labInit())
	return group
}

func (a *app) labInit() *cobra.Command {
	opts := lab.InitOptions{}
	var regions, owners, hosts, nodes []string
	cmd := &cobra.Command{
		Use:   "init --dir D --region NAME=CC,...",
		Short: "Write all that a cluster of real nodes needs; nothing is started",
		Long: `Write certificate authorities, node certificates, the signed catalog, a node.toml for each node, operator identities, a
witness, the receipt pins, the authorities of the story, and lab.json. The country before the first comma is where the
region stands. Private keys of all parties lie in one folder: nothing of it may become a real cluster.`,
		Example: `  mailctl lab init --dir lab --region us-east=US --region eu-ireland=IE,DE,FR --cool-down 5s
  mailnode serve --config lab/us-east-1/node.toml`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := needs(cmd, "dir", "region"); err != nil {
				return err
			}
			if opts.Regions, err = parseRegions(cmd, regions); err != nil {
				return err
			}
			if opts.Owners, err = parseOwners(cmd, owners); err != nil {
				return err
			}
			if opts.Hosts, err = parseHosts(cmd, hosts); err != nil {
				return err
			}
			if opts.Nodes, opts.NodesOf, err = parseNodes(cmd, nodes); err != nil {
				return err
			}
			l, err := lab.Init(opts)
			if err != nil {
				return err
			}
			return a.showLab(l)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Dir, "dir", "", "the lab's `folder`, new or empty")
	f.StringArrayVar(&regions, "region", nil, "a region, `NAME=CC,CC...`: where it stands and whom it serves; give it again for another")
	f.StringArrayVar(&nodes, "nodes", []string{"1"}, "nodes of each region, `N`, or of one, REGION=N; the first holds the store; give it again for another")
	f.IntVar(&opts.BasePort, "base-port", 20000, "ports are taken above this one, as free")
	f.StringArrayVar(&owners, "owner", nil, "the owner of a region's entity, `REGION=ENTITY,CC`; default: one US parent of all")
	f.DurationVar(&opts.CoolDown, "cool-down", 0, "how long a change of residence rests; default 14 days")
	f.StringArrayVar(&hosts, "host", nil, "where a node listens instead of 127.0.0.1, `NODE=IP`; with ,IP behind it the node's address on its region's own network; give it again for another")
	f.BoolVar(&opts.IfAbsent, "if-absent", false, "leave a lab that is there already as it is")
	return cmd
}

func parseHosts(cmd *cobra.Command, specs []string) (map[string]lab.Host, error) {
	out := map[string]lab.Host{}
	for _, spec := range specs {
		node, ips, ok := strings.Cut(spec, "=")
		ip, inside, two := strings.Cut(ips, ",")
		if !ok || node == "" || ip == "" || two && inside == "" {
			return nil, usage(cmd, "--host wants NODE=IP, such as us-east-1=10.1.0.2, or NODE=IP,IP")
		}
		out[node] = lab.Host{IP: ip, Inside: inside}
	}
	return out, nil
}

// parseNodes reads the number of nodes of every region, and those of regions that have another.
func parseNodes(cmd *cobra.Command, specs []string) (all int, of map[domicile.Region]int, err error) {
	all, of = 1, map[domicile.Region]int{}
	for _, spec := range specs {
		region, number, one := strings.Cut(spec, "=")
		if !one {
			number = spec
		}
		n, err := strconv.Atoi(number)
		switch {
		case err != nil || one && region == "":
			return 0, nil, usage(cmd, "--nodes wants a number, or REGION=NUMBER such as eu-ireland=2")
		case one:
			of[domicile.Region(region)] = n
		default:
			all = n
		}
	}
	return all, of, nil
}

func parseRegions(cmd *cobra.Command, specs []string) ([]lab.RegionSpec, error) {
	var out []lab.RegionSpec
	for _, spec := range specs {
		name, list, ok := strings.Cut(spec, "=")
		if !ok {
			return nil, usage(cmd, "--region wants NAME=CC,CC..., such as eu-ireland=IE,DE,FR")
		}
		region, err := domicile.ParseRegion(name)
		if err != nil {
			return nil, err
		}
		r := lab.RegionSpec{Name: region}
		for code := range strings.SplitSeq(list, ",") {
			country, err := domicile.ParseCountry(code)
			if err != nil {
				return nil, usage(cmd, "--region "+spec+": "+err.Error())
			}
			r.Serves = append(r.Serves, country)
		}
		r.Country = r.Serves[0]
		out = append(out, r)
	}
	return out, nil
}

func parseOwners(cmd *cobra.Command, specs []string) (map[domicile.Region]lab.OwnerSpec, error) {
	out := map[domicile.Region]lab.OwnerSpec{}
	for _, spec := range specs {
		name, owner, ok := strings.Cut(spec, "=")
		entity, code, ok2 := strings.Cut(owner, ",")
		if !ok || !ok2 {
			return nil, usage(cmd, "--owner wants REGION=ENTITY,CC, such as eu-ireland=example-holding,IE")
		}
		country, err := domicile.ParseCountry(code)
		if err != nil {
			return nil, usage(cmd, "--owner "+spec+": "+err.Error())
		}
		out[domicile.Region(name)] = lab.OwnerSpec{Entity: domicile.Entity(entity), Country: country}
	}
	return out, nil
}

func (a *app) showLab(l *lab.Lab) error {
	for _, m := range l.Moved {
		a.note("%s", m)
	}
	file := filepath.Join(l.Dir, "lab.json")
	v := struct {
		Dir   string `json:"dir"`
		Lab   string `json:"lab"`
		Nodes int    `json:"nodes"`
	}{l.Dir, file, len(l.Nodes)}
	return a.show(v, func(t *table) {
		t.field("lab", file)
		t.row()
		t.row("NODE", "REGION", "SMTP", "IMAP", "ADMIN", "START IT WITH")
		for _, n := range l.Nodes {
			t.row(n.Name, n.Region, n.SMTP, n.IMAP, n.Admin, fmt.Sprintf("mailnode serve --config %s", l.Path(n.Config)))
		}
		t.row(l.Witness.Name, "", "", "", "", "mailnode serve --config "+l.Path(l.Witness.Config))
	})
}
