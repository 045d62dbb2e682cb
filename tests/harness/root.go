package harness

import (
	"os"
	"testing"
)

// NeedRoot skips the test for any other user; under DOMICILE_REQUIRE=all it fails instead.
func NeedRoot(t testing.TB, why string) {
	t.Helper()
	switch {
	case os.Getuid() == 0:
	case os.Getenv("DOMICILE_REQUIRE") == "all":
		t.Fatal("run the test as root: " + why)
	default:
		t.Skip("run the test as root: " + why)
	}
}
