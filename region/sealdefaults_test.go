package region

import (
	"net"
	"net/http"
	"testing"

	"domicile"
)

func TestSealDefaults(t *testing.T) {
	resolver, transport := net.DefaultResolver, http.DefaultTransport
	defer func() { net.DefaultResolver, http.DefaultTransport = resolver, transport }()
	SealDefaults()
	if _, err := net.DefaultResolver.LookupHost(t.Context(), "example.com"); err == nil {
		t.Error("a name was resolved")
	}
	_, err := http.Get("http://127.0.0.1:1/")
	wantReason(t, err, domicile.NoPermit)
	if _, err := net.Dial("tcp", "example.com:80"); err == nil {
		t.Error("a name was dialled")
	}
}
