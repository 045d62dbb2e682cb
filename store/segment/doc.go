// Package segment is an append-only log in numbered files: the write-ahead log and the body store of a mail store in one.
//
// A frame is a kind, a log sequence number (LSN) that the log counts up from 1, and a payload, which the log does not look into.
// Frames are written in groups: a group is one write and one flush, and only when Commit returned nil is any of it durable. Commit
// that fails tells whether the file is as before (ErrNotDone) or nobody can know (any other error); after a flush that failed the log takes no more.
//
//	l, err := segment.Open(segment.Config{Dir: dir})
//	err = l.Scan(after, func(f segment.Frame) error { … })  // replays what the caller does not have
//	g := l.Begin()
//	place := g.Add(kind, payload)                           // where the payload will be
//	err = g.Commit()
//	payload, err := l.Read(place)
//
// One goroutine at a time may use Begin, Add and Commit; all else is safe beside them.
//
// # Bytes
//
// A file NNNNNNNN.seg (its number in 8 hex digits) begins with a header of 32 bytes: "domicile/segment", format (4 bytes, now 1), number (4),
// LSN of its first frame (8). Then frames, each a header of 36 bytes and the payload. Numbers are big-endian.
//
//	0   4  "DmF1"
//	4   1  kind
//	5   3  zero
//	8   4  length of the payload, at most MaxPayload
//	12  8  LSN
//	20  8  the greatest LSN that was durable when this frame was written
//	28  4  CRC-32C of the payload
//	32  4  CRC-32C of the 32 bytes before
//
// # What a crash leaves
//
// The end of the newest file may hold a group that was not flushed, in any part and order. Open cuts it off: from the first frame that does
// not check, unless a later one, or the caller, says that it was durable. That one was damaged, then: it is skipped, counted and reported,
// and the rest is served. What Open keeps it flushes, since a killed process may have left it in the page cache alone; the last group, of
// which no later frame tells that it was flushed, it writes anew before, since after a flush that failed the system takes such pages for written.
package segment
