package placement

import (
	"strings"

	"domicile"
)

// Decide is the residency policy: pure, total, refusing by default. One row of one table decides each class.
//
// Refusals: EgressClassUnknown for a class without a row; WrongRegion for an operator of another region;
// QuorumNotReached for a disclosure that is not released yet; MoveNotApproved for an account whose move is not approved;
// EgressNotAllowed for everything else.
func Decide(c Crossing) Decision {
	row := rowOf(c.Class)
	if row == nil {
		return Decision{Reason: domicile.EgressClassUnknown, Rule: "egress: a class without a row in the table is refused", Leaf: true}
	}
	d := Decision{Rule: "egress/" + string(row.Class) + ": " + row.Rule, Leaf: row.Leaf}
	form := row.form(c.Kind, c.Party)
	if form == nil {
		d.Reason = domicile.EgressNotAllowed
		return d
	}
	d.Reason = form.refuses(c)
	d.Allow = d.Reason == ""
	return d
}

// refuses returns why the form does not allow c, or "".
func (f *Form) refuses(c Crossing) domicile.Reason {
	switch {
	case !isRegion(c.From) || c.Ceiling <= 0 || c.Ceiling > f.Ceiling:
		return domicile.EgressNotAllowed
	}
	if why := receiver(c); why != "" {
		return why
	}
	switch {
	case !f.Mail.allows(c):
		return domicile.EgressNotAllowed
	case f.Case != (c.Case != "") || c.Case != "" && !isID(c.Case):
		return domicile.EgressNotAllowed
	case f.Release && !c.Released:
		return domicile.QuorumNotReached
	case f.Approval && !c.Approved:
		return domicile.MoveNotApproved
	case !f.Release && c.Released || !f.Approval && c.Approved: // what the class does not know: the caller is confused
		return domicile.EgressNotAllowed
	}
	return ""
}

// receiver checks that To fits the party.
func receiver(c Crossing) domicile.Reason {
	switch c.Party {
	case ToRegion:
		if isRegion(c.To) {
			return ""
		}
	case ToOperator:
		if isRegion(c.To) && c.To != c.From {
			return domicile.WrongRegion
		}
		if c.To == c.From {
			return ""
		}
	case ToWitness: // named, where it is, in a way that no region can be
		if name, ok := strings.CutPrefix(string(c.To), "witness/"); c.To == "" || ok && isRegion(domicile.Region(name)) {
			return ""
		}
	case ToClient, ToAuthority, ToMonitor: // outside every region
		if c.To == "" {
			return ""
		}
	}
	return domicile.EgressNotAllowed
}

// allows reports whether the account, its home and the way of c fit.
func (m Mail) allows(c Crossing) bool {
	if c.Account == "" {
		return c.Home == "" && (m == NoMail || m == AnyMail)
	}
	if !isID(string(c.Account)) || !isRegion(c.Home) {
		return false
	}
	switch m {
	case FromHome, AnyMail:
		return c.From == c.Home
	case ToHome:
		return c.To == c.Home
	case BothWays:
		return c.To == c.Home || c.From == c.Home
	case FromElse:
		return c.From != c.Home
	}
	return false
}

func isRegion(r domicile.Region) bool {
	_, err := domicile.ParseRegion(string(r))
	return err == nil
}

// isID keeps addresses out of decisions and of what is written down about them: accounts and cases are named by
// short opaque ids.
func isID(s string) bool {
	if len(s) > 128 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c > '~' || c == '@' {
			return false
		}
	}
	return s != ""
}
