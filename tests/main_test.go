package tests

import (
	"testing"

	"domicile/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
