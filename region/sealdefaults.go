package region

import (
	"context"
	"net"
	"net/http"

	"domicile"
)

// SealDefaults sets net.DefaultResolver and http.DefaultTransport to refuse, so that a library that looks names up or dials
// by itself is found at once. cmd/mailnode calls it first in serve; it is for the whole process.
func SealDefaults() {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, sealed("look a name up")
	}}
	http.DefaultTransport = sealedTransport{}
}

type sealedTransport struct{}

func (sealedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body.Close()
	}
	return nil, sealed("dial by http.DefaultTransport")
}

func sealed(op string) error {
	return domicile.Refuse(op, domicile.NoPermit, "egress: only package region dials and resolves", "something in this process tried to reach out by itself")
}
