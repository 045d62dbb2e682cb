// Package tests runs whole nodes as processes of their own and talks to them only over the network, as mail programs and
// operators do. It holds nothing but tests: what starts and stops nodes is in tests/harness, what searches files for
// leaked text in tests/scan.
//
// A test that needs a tool which a plain machine may lack says so by harness.Need, which names what to install and
// fails instead of skipping under DOMICILE_REQUIRE=all.
package tests
