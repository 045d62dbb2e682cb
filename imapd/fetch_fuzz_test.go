package imapd

import (
	"strconv"
	"strings"
	"testing"

	"domicile/imapd/wire"
)

// FuzzFetch asks for items of two messages. Whatever they are, the answer is made of whole FETCH responses, or is BAD and nothing else; and
// all memory is given back.
func FuzzFetch(f *testing.F) {
	for _, seed := range []string{"ALL", "(UID FLAGS MODSEQ EMAILID THREADID SAVEDATE PREVIEW (LAZY))", "(BODY[] BODY.PEEK[2.HEADER.FIELDS (A \"b c\")]<1.2>)", "(BINARY[1]<0.1> BINARY.SIZE[2.2] BODY[1.MIME])",
		"RFC822.TEXT (CHANGEDSINCE 1 PARTIAL 1:2)", "BODY[HEADER.FIELDS.NOT ({3+}\r\na\"b)]", "(ENVELOPE BODY BODYSTRUCTURE)", "BINARY[3]", "body[1.2.3.TEXT]<9.9>"} {
		f.Add(seed)
	}
	w := newWorld(f)
	w.put("INBOX", mixed)
	w.put("INBOX", "x\x00")
	f.Fuzz(func(t *testing.T, items string) {
		if len(items) > 5000 {
			t.Skip()
		}
		said := &script{pieces: []string{"a EXAMINE INBOX\r\nb UID FETCH 1:2 " + items + "\r\n"}}
		if err := w.home.enter(ann); err != nil {
			t.Fatal(err)
		}
		w.home.serve(wire.NewConn(said, wire.After), w.by(ann), "login", 1<<16, false)
		if n := w.faults.Load(); n > 0 {
			t.Fatalf("%d faults", n)
		}
		if !w.home.memory.TryAcquire(readMemory) {
			t.Fatal("memory was not given back")
		}
		w.home.memory.Release(readMemory)
		_, answer, _ := strings.Cut(said.out.String(), "\na OK ")
		_, answer, _ = strings.Cut(answer, "\r\n")
		answered := 0
		for strings.HasPrefix(answer, "* ") {
			n := responseEnd(answer)
			if n < 0 {
				t.Fatalf("a response that does not end: %.500q", answer)
			}
			if strings.Contains(answer[:n], " FETCH (") {
				answered++
			}
			answer = answer[n:]
		}
		if strings.HasPrefix(answer, "b BAD ") && answered > 0 {
			t.Fatalf("refused, and answered %d times", answered)
		}
	})
}

// responseEnd is where a response ends: quotes, parentheses and literals in it are whole. -1 if it is not so.
func responseEnd(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth < 0 {
				return -1
			}
		case '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
		case '{':
			digits, _, found := strings.Cut(s[i+1:], "}\r\n")
			n, err := strconv.Atoi(digits)
			if !found || err != nil || i+len(digits)+4+n > len(s) {
				return -1
			}
			i += len(digits) + 3 + n
		case '\r', '\n':
			if depth != 0 || !strings.HasPrefix(s[i:], "\r\n") {
				return -1
			}
			return i + 2
		}
	}
	return -1
}

func TestResponseEnd(t *testing.T) {
	for text, want := range map[string]int{"* 1 FETCH (A {3}\r\n\"()B)\r\nrest": 25, "* 1 FETCH (\r\n": -1, "* OK )\r\n": -1, "* 1 FETCH (\"\\\"(\" x)\r\n": 21, "* {9}\r\nx": -1} {
		if got := responseEnd(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
