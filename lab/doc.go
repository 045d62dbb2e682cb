// Package lab makes labs, whole clusters of real nodes on one machine, and tells the demo's story as a client of them.
//
// [Init] writes everything that a cluster needs and starts nothing: certificate authorities, node certificates, the signed
// catalog, one node.toml a node, operator identities, a witness, the receipt pins, the authorities of the story with their
// private keys, and lab.json, which says where all of it is. A lab holds every private key of every party in one folder,
// so that one person can play them all: nothing of it may ever become a real cluster.
//
//	l, err := lab.Init(lab.InitOptions{Dir: "D", Regions: []lab.RegionSpec{
//		{Name: "us-east", Country: "US", Serves: []domicile.Country{"US"}},
//		{Name: "eu-ireland", Country: "IE", Serves: []domicile.Country{"IE", "DE", "FR"}},
//	}})
//	p, err := l.Start(ctx, "path/to/mailnode", "eu-ireland-1") // a process of its own: mailnode serve --config …
//	defer p.Stop()
//
// [Demo] makes one, starts every node as a process and tells the story of the README, over real sockets only. The folder:
//
//	lab.json  pins.toml  names.key  gossip.key  catalog/1.toml
//	REGION/      ca.pem ca-key.pem signing.key root.key authorities.toml
//	NODE/        node.toml identity.pem data/ node.log (if Start ran it)
//	witness-1/   node.toml identity.pem signing.key ca.pem ca-key.pem data/
//	operators/   NAME.pem
//	authorities/ID/ key.pem cert.pem age.key age.pub status.jwt (a link to the next)
//	published/ID/   status.jwt: all that a node needs of authorities/
//	.domicile-lab    says that this program made the folder, and may remove it
//
// A region's root key lies in REGION/, outside every data folder: a copy of NODE/data reads nothing.
package lab
