package admin

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"domicile"
	"domicile/region"
)

// Client talks to one node's admin address. Safe for concurrent use. Its errors have the kinds, reasons and rules that the
// node gave them; ReceiptOf finds the receipt of a refusal. A node that cannot be reached is Unavailable.
type Client struct {
	url  string
	http *http.Client
}

// callTime bounds a call that answers in JSON; a release waits for cosigners within it.
const callTime = 2 * time.Minute

// NewClient prepares a client for addr ("host:port") as the operator of identity, the text of an identity file: key,
// chain and CA in PEM. cas are further CA certificates in PEM, for a node of a region other than the operator's own.
func NewClient(addr string, identity []byte, cas ...[]byte) (*Client, error) {
	const op = "admin client"
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, domicile.E(op, domicile.Invalid, "the node must be given as HOST:PORT, by --node or DOMICILE_NODE")
	}
	conf, err := region.OperatorTLS(identity, cas...)
	if err != nil {
		return nil, domicile.W(op, err)
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &Client{
		url: "https://" + addr + "/v1/",
		http: &http.Client{
			Transport: &http.Transport{
				TLSClientConfig:       conf,
				DialContext:           dialer.DialContext,
				TLSHandshakeTimeout:   10 * time.Second,
				ResponseHeaderTimeout: callTime,
				MaxIdleConns:          4,
				IdleConnTimeout:       30 * time.Second,
			},
			// A node never points elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("a node redirected") },
		},
	}, nil
}

// Close releases idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call asks noun/verb and decodes the answer.
func call[Out any](ctx context.Context, c *Client, path string, in any) (Out, error) {
	var out Out
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	body, err := c.post(ctx, path, in)
	if err != nil {
		return out, err
	}
	defer body.Close()
	raw, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err != nil || len(raw) > maxAnswer+1 {
		return out, &domicile.Error{Op: path, Kind: domicile.Unknown, Detail: "the answer was cut short; ask what came of it", Err: err}
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return out, &domicile.Error{Op: path, Kind: domicile.Unknown, Detail: "the answer cannot be read; mailctl and node are of different releases?", Err: err}
	}
	return out, nil
}

// stream asks noun/verb and copies the bytes of the answer to w. An answer that was cut short is an error.
func (c *Client) stream(ctx context.Context, path string, in any, w io.Writer) error {
	body, err := c.post(ctx, path, in)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(w, body); err != nil {
		return &domicile.Error{Op: path, Kind: domicile.Unavailable, Detail: "the bytes were cut short; what arrived is not whole", Err: err}
	}
	return nil
}

func (c *Client) post(ctx context.Context, path string, in any) (io.ReadCloser, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, domicile.W(path, err)
	}
	if len(raw) > maxRequest {
		return nil, domicile.E(path, domicile.TooLarge, "more than 24 MiB to send")
	}
	return c.send(ctx, path, "application/json", bytes.NewReader(raw))
}

// send posts a body and returns the answer's.
func (c *Client) send(ctx context.Context, path, kind string, body io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, body)
	if err != nil {
		return nil, domicile.W(path, err)
	}
	req.Header.Set("Content-Type", kind)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreached(path, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, failureOf(path, resp)
}

// unreached tells a call that was never sent, of which nothing was done, from one whose answer was lost.
func unreached(path string, err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok || domicile.ReasonOf(err) == domicile.PeerUnverified {
		return domicile.Refuse(path, domicile.PeerUnverified, "house/own-authority",
			"the node's certificate is not of the authority in the identity file; is --node an address of the operator's own region? Another region's CA is given by --ca")
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return domicile.E(path, domicile.Invalid, "what answers at --node is no admin address: lab.json, node ls and the node's first line of output name it")
	}
	op, _ := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, context.Canceled):
		return &domicile.Error{Op: path, Kind: domicile.Unknown, Detail: "interrupted before the node answered; ask what came of it before you try again", Err: err}
	case op != nil && op.Op == "remote error":
		return domicile.Refuse(path, domicile.PeerUnverified, "house/operator-certificate", "the node does not accept this certificate; does --identity name an operator's file, and --node an admin address?")
	case op != nil && op.Op == "dial":
		return &domicile.Error{Op: path, Kind: domicile.Unavailable, Detail: "the node cannot be reached; is it running, and is --node its admin address?", Err: err}
	}
	return &domicile.Error{Op: path, Kind: domicile.Unknown, Detail: "the node did not answer; ask what came of it before you try again", Err: err}
}

func failureOf(path string, resp *http.Response) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	var f Failure
	if err != nil || json.Unmarshal(raw, &f) != nil || f.Kind == "" {
		return domicile.E(path, domicile.Other, "the node answered "+resp.Status+"; is it a domicile node of this release?")
	}
	return f.asError()
}
