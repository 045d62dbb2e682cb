package scan

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"
)

const planted = "mArker4711x"

// dresses are the positive controls: a scanner that misses one of them proves nothing by finding nothing.
func dresses(t *testing.T) map[string][]byte {
	text := "Some words before " + planted + " and some behind."
	out := map[string][]byte{
		"plain":            []byte(text),
		"plain, lower":     []byte(strings.ToLower(text)),
		"plain, upper":     []byte(strings.ToUpper(text)),
		"quoted-printable": []byte("words m=41rker=\r\n4711x"),
		"quoted, LF":       []byte("mArk=\ner4711x"),
		"hex":              []byte(hex.EncodeToString([]byte(text))),
		"HEX":              []byte(strings.ToUpper(hex.EncodeToString([]byte(text)))),
		"UTF-16LE":         utf16Bytes(text, false),
		"UTF-16BE":         utf16Bytes(text, true),
		"zstd":             pack(t, text, func(w io.Writer) io.WriteCloser { e, _ := zstd.NewWriter(w); return e }),
		"gzip":             pack(t, text, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }),
		"zlib":             pack(t, text, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }),
	}
	for offset := range 3 {
		raw := []byte(strings.Repeat("x", offset) + planted + " tail")
		out["base64 +"+string(rune('0'+offset))] = []byte(base64.StdEncoding.EncodeToString(raw))
		out["base64url +"+string(rune('0'+offset))] = []byte(base64.RawURLEncoding.EncodeToString(raw))
		enc := base64.StdEncoding.EncodeToString(raw)
		out["base64 in lines +"+string(rune('0'+offset))] = []byte(enc[:7] + "\r\n" + enc[7:])
	}
	out["base64 in gzip"] = pack(t, string(out["base64 +1"]), func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	out["gzip in zstd"] = pack(t, string(out["gzip"]), func(w io.Writer) io.WriteCloser { e, _ := zstd.NewWriter(w); return e })
	return out
}

func TestFindsWhatIsPlanted(t *testing.T) {
	noise := make([]byte, 4096)
	rand.Read(noise)
	for name, data := range dresses(t) {
		if len(Bytes(data, planted)) == 0 {
			t.Errorf("%s: not found", name)
		}
		deep := append(append(bytes.Clone(noise[:1001]), data...), noise[1001:]...)
		if len(Bytes(deep, planted)) == 0 {
			t.Errorf("%s: not found in the middle of a file", name)
		}
	}
}

func TestFindsNothingElse(t *testing.T) {
	noise := make([]byte, 1<<20)
	rand.Read(noise)
	for name, data := range map[string][]byte{"noise": noise, "empty": nil, "near": []byte("mArker4711 x mArker471x"), "equals": []byte("a=b==c=")} {
		if hits := Bytes(data, planted); len(hits) > 0 {
			t.Errorf("%s: %v", name, hits)
		}
	}
}

func TestTree(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string][]byte{"a/clean": []byte("nothing"), "a/b/dirty": []byte(planted), planted + "/c": nil} {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hits, files, err := Tree(dir, planted)
	if err != nil || files != 3 || len(hits) != 3 { // the content of one, the name of a folder, and of a path in it
		t.Errorf("%v in %d files, %v", hits, files, err)
	}
}

func utf16Bytes(s string, big bool) (out []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		if big {
			out = append(out, byte(u>>8), byte(u))
		} else {
			out = append(out, byte(u), byte(u>>8))
		}
	}
	return out
}

func pack(t *testing.T, text string, open func(io.Writer) io.WriteCloser) []byte {
	var buf bytes.Buffer
	w := open(&buf)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
