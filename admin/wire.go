package admin

import (
	"encoding/json"
	"errors"
	"net/http"

	"domicile"
)

// Limits of the wire, in bytes.
const (
	maxRequest = 24 << 20 // a token and a court's paper of 15 MiB, in base64, fit
	maxAnswer  = 16 << 20 // of JSON
)

// Failure is an error as it crosses the wire.
type Failure struct {
	Kind    string          `json:"kind"`
	Op      string          `json:"op,omitempty"`
	Reason  domicile.Reason `json:"reason,omitempty"`
	Rule    string          `json:"rule,omitempty"`
	Detail  string          `json:"detail,omitempty"`
	Receipt []byte          `json:"receipt,omitempty"`
}

// withReceipt is a refusal with the proof that it was written down.
type withReceipt struct {
	err     error
	receipt []byte
}

func (e *withReceipt) Error() string { return e.err.Error() }
func (e *withReceipt) Unwrap() error { return e.err }

// ReceiptOf returns the receipt that came with a refusal, or nil.
func ReceiptOf(err error) []byte {
	if w, ok := errors.AsType[*withReceipt](err); ok {
		return w.receipt
	}
	return nil
}

// failure turns an error into what may cross. The text of an error without a kind stays in the node's log.
func failure(err error) Failure {
	f := Failure{Kind: domicile.KindOf(err).String(), Reason: domicile.ReasonOf(err), Receipt: ReceiptOf(err)}
	if e, ok := errors.AsType[*domicile.Error](err); ok {
		f.Op, f.Rule = e.Op, e.Rule
	}
	f.Detail = detailOf(err)
	return f
}

// detailOf joins what the errors of the chain say, without the parts that Failure has fields for.
func detailOf(err error) string {
	e, ok := errors.AsType[*domicile.Error](err)
	if !ok {
		return "the node's log says more"
	}
	switch {
	case e.Err == nil || domicile.KindOf(e.Err) == domicile.Other:
		return e.Detail // a cause without a kind may hold anything
	case e.Detail == "":
		return detailOf(e.Err)
	}
	return e.Detail + ": " + detailOf(e.Err)
}

// asError is the inverse of failure.
func (f Failure) asError() error {
	err := error(&domicile.Error{Op: f.Op, Kind: domicile.ParseKind(f.Kind), Reason: f.Reason, Rule: f.Rule, Detail: f.Detail})
	if len(f.Receipt) > 0 {
		err = &withReceipt{err: err, receipt: f.Receipt}
	}
	return err
}

func statusOf(k domicile.Kind) int {
	switch k {
	case domicile.Invalid:
		return http.StatusBadRequest
	case domicile.NotExist:
		return http.StatusNotFound
	case domicile.Exist, domicile.Conflict:
		return http.StatusConflict
	case domicile.Unavailable:
		return http.StatusServiceUnavailable
	case domicile.Refused:
		return http.StatusForbidden
	case domicile.TooLarge:
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusInternalServerError
}

func encode(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, domicile.W("answer", err)
	}
	if len(raw) > maxAnswer {
		return nil, domicile.E("answer", domicile.TooLarge, "more than 16 MiB; ask for less at once")
	}
	return append(raw, '\n'), nil
}
