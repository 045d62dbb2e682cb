// Package login checks who a mail client says it is. All fronts that take passwords share it, so that a guesser learns the
// same from each of them: nothing.
//
//	check := &login.Checker{Accounts: st, Address: placement.ParseAddress, Kept: keys.NewPasswords(names), Tries: login.NewGuesses(login.FirstDelay, placement.ParseAddress)}
//	...
//	opts := login.Options{Salt: check.Salt, Binding: login.Binding(conn, host), Verify: verify}
//	x, err := opts.Begin("SCRAM-SHA-256")              // one of opts.Mechanisms()
//	challenge, done, err := x.Next(response)           // and so on, until done or err
//	...
//	func verify(c login.Credential) (signature []byte, err error) {
//		began := time.Now()
//		if err := check.Tries.May(network, c.Name); err != nil { … }  // "try again later"
//		v, err := check.Verify(ctx, login.From{Service: login.IMAP, Network: network}, c)  // or through a tunnel, at home
//		switch {
//		case err == nil:
//			check.Tries.Right(network, c.Name)
//		case domicile.KindOf(err) == domicile.NotExist:
//			check.Tries.Wait(ctx, network, c.Name, began)  // "no such account here, or the wrong password"
//		}
//		return v.Signature, err
//	}
//
// # What it promises
//
// An unknown name and a wrong password are one error, and the same work is done for both; Guesses.Wait then answers both at the
// same moment, counted from when the login began. Failed logins of one network, and at one name, are answered later and later. A right
// password is never delayed by that: nobody can lock an owner out by failing in the owner's place.
//
// What a session began with is known to it as Means, and Means.Stand says by the account's record whether it would still do.
//
// A password that was right is remembered for five minutes, as a digest under a key of the process over the account's record as it
// stands: a change of password, a move, a freeze forgets it. Others wait for argon2id by turns of their networks (package turns); the line is
// bounded, and so is the wait.
//
// SCRAM-SHA-256 (RFC 5802, RFC 7677) hangs on the name alone until the client has proved itself: the front needs no home for its first
// answer, and what it hands on then is one Credential, as of a password. Checker.Take holds at home that each is handed over once, for whichever service.
//
// Between nodes: Guesses.Handed slows wrong logins that a front of another node hands over, whether to read or to send, MayServe and Abroad say who gets a session, and
// who gets one through another region.
package login
