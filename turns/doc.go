// Package turns has those who want something scarce, such as a processor, wait for it by turns of who they are: whoever wants it
// often does not hold up who wants it once. It knows nothing of what it is that they wait for.
//
//	var line turns.Line                                   // as many at once as there are cores, 8 at most
//	turn, err := line.Enter(ctx, "192.0.2.7")
//	if err != nil { … }                                   // too many wait, or it took too long
//	defer turn.Leave()
//
// Work that is long, or that strangers can make long, is done in pieces, with Pass between them:
//
//	err := turn.Pass(ctx)                                 // behind an error the turn is over
//
// # What it promises
//
// Of those who wait, each name is taken once before one is taken twice; of one name, who came first. Nobody waits while there is a place. Who
// waits takes a bounded time, and so many may wait, in all and of a name. Whoever is let in costs no more than a lock while nobody waits.
package turns
