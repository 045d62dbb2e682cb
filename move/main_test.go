package move

import (
	"testing"

	"domicile/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }
