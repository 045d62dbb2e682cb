// Package harness starts real nodes for the tests: it builds both programs once, makes labs with mailctl lab init, runs each
// node as a process, and at the end of each test holds the nodes' logs against what must never be in them.
package harness
