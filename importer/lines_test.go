package importer

import "testing"

func TestCRLF(t *testing.T) {
	for in, want := range map[string]string{"": "", "a": "a", "\n": "\r\n", "a\nb\r\nc": "a\r\nb\r\nc", "\r\n\n": "\r\n\r\n", "a\rb\n\n": "a\rb\r\n\r\n", "a\r\r\n": "a\r\r\n"} {
		if got := string(crlf([]byte(in))); got != want {
			t.Errorf("%q becomes %q", in, got)
		}
	}
}

func TestDecodeUTF7(t *testing.T) {
	for in, want := range map[string]string{"Entw&APw-rfe": "Entwürfe", "a&-b": "a&b", "&U,BTFw-": "台北", "R&D": "R&D", "&AGE": "&AGE", "über": "über", "&2AA-": "&2AA-"} {
		if got := decodeUTF7(in); got != want {
			t.Errorf("%q becomes %q", in, got)
		}
	}
}

func TestKeyOf(t *testing.T) {
	if keyOf("a", "bc") == keyOf("ab", "c") || keyOf("a") == keyOf("a", "") || keyOf("a", "b") == keyOf("a", "c") {
		t.Error("parts of a key run into one another")
	}
}
