// Package netlink is the wide-area network of a lab, as a test wants it: a proxy of our own on every link between nodes.
//
// [Lay] rewrites the node.toml files of a lab that was not started yet, so that each node tells the others an address of a
// proxy (rpc.advertise, gossip.advertise) and finds its seeds through one. Every byte of calls and of gossip, TCP and UDP, then
// passes here; who dialled is read from /proc, so the direction is known. What mail clients and operators say to a node
// does not pass.
//
//	n := netlink.Lay(t, c, netlink.Blind)          // c is not started
//	c.StartAll(t)
//	n.Both("us-east-1", "eu-ireland-1", netlink.Fault{Delay: 300 * time.Millisecond})
//	n.Heal()
//
// # Faults
//
// A [Fault] lies on one direction and can be changed at any time: delay, bandwidth, silence (nothing passes and nothing is
// closed, as when packets are lost on the way), a cut (connections are reset), a cut after so many bytes, and lost packets
// of gossip. What passes is bounded: 2 MiB wait at most in each direction of a connection, and past 4096 packets that
// wait, packets are lost.
//
// # Taps
//
// With [Tapped] the proxy is the man in the middle of each call. It holds the lab's identity files, which no attacker has: to
// each side it presents the other's certificate, and it wants the very certificates that the lab made. So it sees what
// crosses inside TLS, and [Net.Take] returns it as [Call]s: method, header fields and bytes of both directions; gossip is decrypted with the lab's
// key and taken apart ([Gossip]). A frame, header field or message that is not of the known shape is an error, so that nothing can
// hide in what is not looked at. [Account] holds all of it against a region's journal.
package netlink
