// Package containers runs docker-compose.yml as it stands, on networks, ports and a lab folder of its own, and breaks it: it
// cuts a region off, kills and restarts nodes under load, and lets impostors in. It talks to the nodes from the host alone,
// through the ports that are published there. It holds nothing but tests, and, in rogue, a program that the tests run among
// the nodes.
package containers
