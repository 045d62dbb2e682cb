package domicile

import (
	"errors"
	"strings"
)

// Kind is what a caller may branch on. The kind, never the text, crosses a network.
type Kind uint8

const (
	Other       Kind = iota // an unexpected failure: nothing is promised about what happened
	Invalid                 // the caller's words are wrong; trying again will not help
	NotExist                // there is no such thing, on the word of who must know
	Exist                   // there is such a thing already
	Conflict                // nothing was done, because something changed; read again and retry
	Unavailable             // nothing was done; try again later
	Unknown                 // it may or may not have been done; ask again by token
	Refused                 // a rule said no; Reason says which
	TooLarge                // over a stated limit
)

var kindNames = [...]string{"other", "invalid", "not_exist", "exist", "conflict", "unavailable", "unknown", "refused", "too_large"}

// String gives the kind as it is written in JSON and on the wire between nodes.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[Other]
}

// ParseKind is the inverse of String; what it does not know is Other.
func ParseKind(s string) Kind {
	for i, n := range kindNames {
		if n == s {
			return Kind(i)
		}
	}
	return Other
}

// Error says what was attempted (Op) and why it failed. Detail must hold
// nothing secret or personal: it may be logged and sent to peers and operators.
type Error struct {
	Op     string
	Kind   Kind
	Reason Reason // set if Kind is Refused; with Unavailable it says what is waited for
	Rule   string // the rule or policy that refused, such as "gdpr-48/third-country"
	Detail string
	Err    error
}

func (e *Error) Error() string {
	var parts []string
	if e.Op != "" {
		parts = append(parts, e.Op)
	}
	switch {
	case e.Reason == "":
	case e.Kind == Refused:
		parts = append(parts, "refused ("+string(e.Reason)+")")
	default: // nothing was refused: it is not possible now
		parts = append(parts, "not now ("+string(e.Reason)+")")
	}
	if e.Detail != "" {
		parts = append(parts, e.Detail)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if len(parts) == 0 {
		return e.Kind.String()
	}
	return strings.Join(parts, ": ")
}

func (e *Error) Unwrap() error { return e.Err }

// E makes an error of a kind. Wrap a cause by W.
func E(op string, k Kind, detail string) error { return &Error{Op: op, Kind: k, Detail: detail} }

// W wraps err with what was being attempted and keeps its kind, reason and rule.
// W of nil is nil.
func W(op string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, Kind: KindOf(err), Reason: ReasonOf(err), Err: err}
	var in *Error
	if errors.As(err, &in) {
		e.Rule = in.Rule
	}
	return e
}

// Refuse makes a refusal: Kind Refused, with its reason, the rule that said so
// and a detail for people.
func Refuse(op string, r Reason, rule, detail string) error {
	return &Error{Op: op, Kind: Refused, Reason: r, Rule: rule, Detail: detail}
}

// KindOf returns the kind of the first *Error in err's chain that has one, or Other.
func KindOf(err error) Kind {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return Other
		}
		if e.Kind != Other {
			return e.Kind
		}
		err = e.Err
	}
	return Other
}

// ReasonOf returns the reason of the first *Error in err's chain that has one, or "".
func ReasonOf(err error) Reason {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Reason != "" {
			return e.Reason
		}
		err = e.Err
	}
	return ""
}
