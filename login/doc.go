// Package login checks who a mail client says it is. All fronts that take passwords share it, so that a guesser learns the
// same from each of them: nothing.
//
//	check := login.Checker{Accounts: st, Address: placement.ParseAddress, Password: keys.CheckPassword, Failed: writeDown}
//	fails := login.NewFails(login.FirstDelay, 0)
//	...
//	began := time.Now()
//	a, err := check.Account(ctx, name, password)
//	if domicile.KindOf(err) == domicile.NotExist {
//		fails.Wait(ctx, login.Network(conn.RemoteAddr()), began)
//		// "no such account here, or the wrong password"
//	}
//
// # What it promises
//
// An unknown name and a wrong password are one error, and the same work is done for both; Fails.Wait then answers both at the
// same moment, counted from when the login began. Failed logins of one network are answered later and later. A right
// password is never delayed: nobody can lock an owner out by failing in the owner's place.
//
// Between nodes: Handed slows wrong logins that a front of another node hands over, MayServe and Abroad say who gets a session, and
// who gets one through another region.
package login
