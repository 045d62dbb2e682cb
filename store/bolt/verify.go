package bolt

import (
	"io"

	"domicile"
	"domicile/store/segment"
)

// VerifySegment reads a file of the log, as a backup has it, and finds a byte that is not as it was written: Invalid. Its frames are those from first to
// before next.
func VerifySegment(r io.Reader) (first, next uint64, err error) {
	return segment.Walk(r, func(f segment.Frame) error {
		nothing := func(_, _ []byte) error { return nil }
		switch f.Kind {
		case frameChange:
			_, err := eachChange(f.Payload, nothing)
			return err
		case framePart:
			return eachEntry(f.Payload, nothing)
		case frameLast:
			_, entries, err := parseLast(f.Payload)
			return firstError(err, eachEntry(entries, nothing))
		}
		return nil
	})
}

// VerifyBase reads the files of a base, which next gives in their order and nil behind the last, and wants all that was written: else it is Invalid.
func VerifyBase(next func() (io.Reader, error)) error {
	n, want, lsn := uint64(0), ^uint64(0), uint64(1)
	for {
		r, err := next()
		if err != nil {
			return err
		}
		if r == nil {
			break
		}
		first, behind, err := segment.Walk(r, func(f segment.Frame) error {
			switch f.Kind {
			case frameBase:
				return eachEntry(f.Payload, func(_, _ []byte) error { n++; return nil })
			case frameEnd:
				want = readNumber(f.Payload)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if first != lsn {
			return domicile.E("base", domicile.Invalid, "a file of it is missing")
		}
		lsn = behind
	}
	if n != want {
		return domicile.E("base", domicile.Invalid, "its end is missing")
	}
	return nil
}
