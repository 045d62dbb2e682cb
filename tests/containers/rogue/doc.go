// Package rogue is a member of the gossip with the right key and no certificate, for the tests: it says that it is nodes of a region,
// at an address where it takes every connection and answers nothing, and tells on its standard output, a line each, whom it
// could join as which node, and in hexadecimal what it heard.
//
//	rogue IP GOSSIP-KEY-FILE SEED REGION NAME...
package main
