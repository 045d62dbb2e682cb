package scan

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"
)

// Hit is a word that was found.
type Hit struct {
	File string // "" from Bytes
	Word string
	Form string // how it was dressed, outermost first: "zstd, base64"
}

func (h Hit) String() string { return fmt.Sprintf("%s: %q as %s", h.File, h.Word, h.Form) }

// Limits of what is unpacked.
const (
	maxDepth  = 4
	maxOutput = 64 << 20 // of one compressed stream
)

// Tree searches every regular file below root, names of files and folders included, and says how many it read.
func Tree(root string, words ...string) (hits []Hit, files int, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		for _, h := range Bytes([]byte(rel), words...) {
			h.File, h.Form = path, "name, "+h.Form
			hits = append(hits, h)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if os.IsNotExist(err) { // a running node may have removed it since
			return nil
		} else if err != nil {
			return err
		}
		files++
		for _, h := range Bytes(data, words...) {
			h.File = path
			hits = append(hits, h)
		}
		return nil
	})
	return hits, files, err
}

// Bytes searches data. A word is reported once for each form.
func Bytes(data []byte, words ...string) []Hit {
	s := &search{seen: map[Hit]bool{}}
	for _, w := range words {
		s.words = append(s.words, dress(w))
	}
	s.look(data, nil, 0)
	return s.hits
}

// word is one word with the byte strings that give it away.
type word struct {
	text  string
	fold  []byte // lower case
	exact map[string][][]byte
}

func dress(text string) word {
	w := word{text: text, fold: bytes.ToLower([]byte(text)), exact: map[string][][]byte{}}
	for offset := range 3 {
		w.exact["base64"] = append(w.exact["base64"], core64(text, offset, base64.StdEncoding), core64(text, offset, base64.URLEncoding))
	}
	var le, be []byte
	for _, u := range utf16.Encode([]rune(text)) {
		le = append(le, byte(u), byte(u>>8))
		be = append(be, byte(u>>8), byte(u))
	}
	w.exact["UTF-16LE"], w.exact["UTF-16BE"] = [][]byte{le}, [][]byte{be}
	h := hex.EncodeToString([]byte(text))
	w.exact["hex"] = [][]byte{[]byte(h), []byte(strings.ToUpper(h))}
	return w
}

// core64 returns the characters of base64 that text alone decides when offset bytes (mod 3) stand before it.
func core64(text string, offset int, e *base64.Encoding) []byte {
	enc := e.EncodeToString([]byte(strings.Repeat("\x00", offset) + text))
	first := (offset*8 + 5) / 6          // the first character of which all bits are text's
	last := (offset + len(text)) * 8 / 6 // behind the last such one
	return []byte(enc[first:last])
}

type search struct {
	words []word
	hits  []Hit
	seen  map[Hit]bool
}

func (s *search) hit(w word, form []string, last string) {
	h := Hit{Word: w.text, Form: strings.Join(append(form[:len(form):len(form)], last), ", ")}
	if !s.seen[h] {
		s.seen[h] = true
		s.hits = append(s.hits, h)
	}
}

// look searches data and everything that can be unpacked from it.
func (s *search) look(data []byte, form []string, depth int) {
	s.match(data, form)
	if depth == maxDepth {
		return
	}
	if q, ok := unquote(data); ok {
		for _, w := range s.words {
			if bytes.Contains(bytes.ToLower(q), w.fold) && !bytes.Contains(bytes.ToLower(data), w.fold) {
				s.hit(w, form, "quoted-printable")
			}
		}
	}
	for _, p := range packers {
		for at := 0; ; at++ {
			i := bytes.Index(data[at:], p.magic)
			if i < 0 {
				break
			}
			at += i
			if out := p.open(data[at:]); len(out) > 0 {
				s.look(out, append(form[:len(form):len(form)], p.name), depth+1)
			}
		}
	}
}

func (s *search) match(data []byte, form []string) {
	lower := bytes.ToLower(data)
	joined := bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\r"), nil), []byte("\n"), nil) // base64 comes in lines
	for _, w := range s.words {
		if bytes.Contains(lower, w.fold) {
			s.hit(w, form, "plain")
		}
		for name, dressed := range w.exact {
			for _, d := range dressed {
				if len(d) > 0 && (bytes.Contains(data, d) || name == "base64" && bytes.Contains(joined, d)) {
					s.hit(w, form, name)
				}
			}
		}
	}
}

// unquote decodes quoted-printable leniently: what is no escape stays. ok is false if there is none.
func unquote(data []byte) (out []byte, ok bool) {
	if bytes.IndexByte(data, '=') < 0 {
		return nil, false
	}
	for i := 0; i < len(data); i++ {
		if data[i] != '=' {
			out = append(out, data[i])
			continue
		}
		rest := data[i+1:]
		switch {
		case bytes.HasPrefix(rest, []byte("\r\n")):
			i += 2
		case bytes.HasPrefix(rest, []byte("\n")):
			i++
		case len(rest) >= 2 && isHex(rest[0]) && isHex(rest[1]):
			v, _ := strconv.ParseUint(string(rest[:2]), 16, 8) // two hex digits
			out = append(out, byte(v))
			i += 2
		default:
			out = append(out, '=')
			continue
		}
		ok = true
	}
	return out, ok
}

func isHex(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }

// packers find compressed streams by how they begin.
var packers = []struct {
	name  string
	magic []byte
	open  func([]byte) []byte
}{
	{"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd}, unzstd},
	{"gzip", []byte{0x1f, 0x8b, 0x08}, func(b []byte) []byte { r, err := gzip.NewReader(bytes.NewReader(b)); return drain(r, err) }},
	{"zlib", []byte{0x78, 0x01}, unzlib},
	{"zlib", []byte{0x78, 0x5e}, unzlib},
	{"zlib", []byte{0x78, 0x9c}, unzlib},
	{"zlib", []byte{0x78, 0xda}, unzlib},
}

func unzlib(b []byte) []byte { r, err := zlib.NewReader(bytes.NewReader(b)); return drain(r, err) }

func unzstd(b []byte) []byte {
	r, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxOutput))
	if err != nil {
		return nil
	}
	defer r.Close()
	return drain(r, nil)
}

// drain reads what comes before the stream ends or breaks: a cut stream's beginning counts too.
func drain(r io.Reader, err error) []byte {
	if err != nil {
		return nil
	}
	out, _ := io.ReadAll(io.LimitReader(r, maxOutput))
	return out
}
