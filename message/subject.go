package message

import "strings"

// baseSubject returns where in a folded subject its base subject stands (RFC 5256 2.1), and whether what was cut away marks
// a reply or a forwarded message.
func baseSubject(s string) (base span, reply bool) {
	b := baseFinder{s: s, span: span{0, len(s)}}
	for {
		b.trailers()
		for b.leader() || b.blobAlone() {
		}
		if !b.wrapper() {
			return b.span, b.reply
		}
	}
}

// baseFinder narrows s[from:to].
type baseFinder struct {
	s string
	span
	reply bool
}

func (b *baseFinder) rest() string { return b.s[b.from:b.to] }

// trailers cuts "(fwd)" and white space at the end.
func (b *baseFinder) trailers() {
	for {
		switch s := b.rest(); {
		case strings.HasSuffix(s, " "):
			b.to--
		case strings.HasSuffix(s, "(fwd)"):
			b.to -= len("(fwd)")
			b.reply = true
		default:
			return
		}
	}
}

// leader cuts subj-leader at the beginning: white space, or "[list] re: ".
func (b *baseFinder) leader() bool {
	s := b.rest()
	if strings.HasPrefix(s, " ") {
		b.from++
		return true
	}
	for n := blob(s); n > 0; n = blob(s) {
		s = s[n:]
	}
	word := strings.HasPrefix(s, "re")
	if word {
		s = s[len("re"):]
	} else if s, word = strings.CutPrefix(s, "fw"); word {
		s = strings.TrimPrefix(s, "d")
	}
	if !word {
		return false
	}
	s = strings.TrimPrefix(s, " ")
	s = s[blob(s):]
	if !strings.HasPrefix(s, ":") {
		return false
	}
	b.from = b.to - len(s) + 1
	b.reply = true
	return true
}

// blobAlone cuts one "[list]" at the beginning, if something is left then.
func (b *baseFinder) blobAlone() bool {
	s := b.rest()
	n := blob(s)
	if n == 0 || strings.Trim(s[n:], " ") == "" {
		return false
	}
	b.from += n
	return true
}

// wrapper cuts "[fwd: ...]" around all.
func (b *baseFinder) wrapper() bool {
	const fwd = "[fwd:"
	if s := b.rest(); !strings.HasPrefix(s, fwd) || !strings.HasSuffix(s, "]") {
		return false
	}
	b.from += len(fwd)
	b.to--
	b.reply = true
	return true
}

// blob returns the length of the subj-blob that s begins with: "[", anything but brackets, "]", white space.
func blob(s string) int {
	if !strings.HasPrefix(s, "[") {
		return 0
	}
	n := strings.IndexAny(s[1:], "[]") + 1
	if n == 0 || s[n] == '[' {
		return 0
	}
	return len(s) - len(strings.TrimPrefix(s[n+1:], " "))
}
