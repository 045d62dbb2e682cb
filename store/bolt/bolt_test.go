package bolt

import (
	"testing"

	"domicile/store"
	"domicile/store/storetest"
)

// open is how all tests here open a store; storetest checks each at its end.
func open(at storetest.At) (store.Store, error) {
	return Open(Config{Dir: at.Dir, Region: at.Region, Sealer: at.Sealer, Now: at.Now})
}

func TestStore(t *testing.T) { storetest.Run(t, open) }
