// Package storetest is the suite that every driver of package store passes, and
// what tests of a driver need: a rig that opens a store, opens it again, and
// checks it at the end, and a plain Sealer.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(at storetest.At) (store.Store, error) {
//			return bolt.Open(bolt.Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now})
//		})
//	}
//
// Each promise of the package comment of store has a test in it, and one that fails names the promise; "How to write a driver" there has the order in which a new driver
// meets them, and docs/TESTING.md, "The store", says which parts there are. An error that
// the suite does not expect of a driver is a defect of one of the two: the comment decides.
//
// The suite writes only below t.TempDir() and imports nothing of package keys.
package storetest
