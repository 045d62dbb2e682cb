package message

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

func TestFold(t *testing.T) {
	for _, same := range [][]string{
		{"Hello World", "HELLO\r\n\tworld", "hello\u00a0\u3000World"},
		{"Straße", "STRASSE", "straẞe"},
		{"ÉTÉ", "été", "E\u0301te\u0301"},
		{"Σίσυφος", "ΣΊΣΥΦΟΣ", "σίσυφοσ"},
		{"Привет", "ПРИВЕТ"},
		{"ﬁn", "FIN"},
		{"ＡＢＣ１２", "abc12"},
		{"ガ", "ｶﾞ", "カ\u3099"},
		{"한글", "\u1112\u1161\u11ab\u1100\u1173\u11af", "하\u11ab글"},
		{"İstanbul", "ISTANBUL", "ıstanbul", "i\u0307stanbul"},
		{"Ver\u00adsicherung", "VERSICHERUNG", "ver\u200bsicherung\ufeff"},
		{"a\u0323\u0301", "a\u0301\u0323", "\u00e1\u0323"},
		{"\uffa1\uffc2", "가", "\u3131\u314f"},
		{"\xff\xfe", "\ufffd"},
		{"ᾳ\u0301", "α\u0345\u0301", "α\u0301\u0345"},
		{"a" + strings.Repeat("\u0301", 100), "á" + strings.Repeat("\u0301", 15)},
		{"", "\u200d"},
	} {
		for _, s := range same[1:] {
			if Fold(s) != Fold(same[0]) {
				t.Errorf("%+q is %+q, %+q is %+q", s, Fold(s), same[0], Fold(same[0]))
			}
		}
	}
	for _, differ := range [][2]string{{"a", "b"}, {"Ö", "o"}, {"й", "и"}, {"ガ", "カ"}, {" a", "a"}, {"中", "国"}, {"กิ", "กี"}} {
		if Fold(differ[0]) == Fold(differ[1]) {
			t.Errorf("%q and %q are both %q", differ[0], differ[1], Fold(differ[0]))
		}
	}
	for in, holds := range map[string]string{"im Café": "cafe", "다음 한글날에": "한글", "東京都の天気": "京都", "two\r\n lines": "two lines"} {
		if !strings.Contains(Fold(in), Fold(holds)) {
			t.Errorf("%q does not hold %q", in, holds)
		}
	}
}

// Every character is the same as its own small, capital and title form, and RFC 5051 calls no two the same that are not here.
func TestFoldOfEveryCharacter(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		f := Fold(string(r))
		checkFold(t, string(r))
		if same := norm.NFKD.String(string(unicode.ToTitle(r))); same != string(r) && Fold(same) != f { // RFC 5051's steps
			t.Errorf("%U is %+q, %+q is %+q", r, f, same, Fold(same))
		}
		for _, other := range []rune{unicode.ToLower(r), unicode.ToUpper(r), unicode.ToTitle(r), unicode.SimpleFold(r)} {
			if other != r && Fold(string(other)) != f {
				t.Errorf("%U is %+q, %U is %+q", r, f, other, Fold(string(other)))
			}
		}
	}
}

func checkFold(t *testing.T, s string) {
	t.Helper()
	f := Fold(s)
	if again := Fold(f); again != f {
		t.Fatalf("%+q folds to %+q, and that to %+q", s, f, again)
	}
	if !utf8.ValidString(f) || strings.Contains(f, "  ") || len(f) > 12*len(s)+12 {
		t.Fatalf("%+q folds to %+q", s, f)
	}
	for _, r := range f {
		if unicode.IsSpace(r) && r != ' ' {
			t.Fatalf("%+q folds to %+q", s, f)
		}
	}
}

func FuzzFold(f *testing.F) {
	f.Add("Hé\u0301llo \xff\u1112\u1161\u11ab I\u0307\u0323 \u00ad\u034f\u0345", "l")
	f.Add("From: Anna@Example.COM\r\n\tTo: [Z] `z{|}~\x7f\x00\x1f  A \v\f X", "éÀ\u2003 Y")
	f.Add("i\u0307"+strings.Repeat("\u0301\u0323", 40), "\u200d")
	f.Fuzz(func(t *testing.T, s, more string) {
		checkFold(t, s)
		checkFold(t, s+more)
		for _, text := range []string{s, s + more, "spaces " + s} {
			if got, want := Fold(text), plainFold(text); got != want {
				t.Fatalf("%+q: %+q, a byte at a time %+q", text, got, want)
			}
		}
		// What a space parts is folded apart.
		if got := Fold(s + " x " + more); got != Fold(s+" ")+"x"+Fold(" "+more) {
			t.Fatalf("%+q and %+q: %+q", s, more, got)
		}
	})
}

// plainFold is Fold that takes ASCII a byte at a time.
func plainFold(s string) string {
	f := folder{known: known()}
	odd := 0
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			f.odd(s[odd:i])
			f.accents = 0
			if c := unicode.ToLower(rune(s[i])); unicode.IsSpace(c) {
				f.space()
			} else {
				f.out = append(f.out, byte(c))
			}
			i++
			odd = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if l := f.letterOf(r); l.alone || ideograph(r) {
			f.odd(s[odd:i])
			f.accents = 0
			odd = i + n
			if l.alone {
				f.add(l.folded)
			} else {
				f.out = append(f.out, s[i:odd]...)
			}
		}
		i += n
	}
	f.odd(s[odd:])
	return string(f.out)
}

func BenchmarkFold(b *testing.B) {
	for name, word := range map[string]string{"ascii": "hello World, ", "french": "l'été à la forêt, ", "russian": "Привет, мир ", "chinese": "全部文本搜索", "korean": "한글 메일"} {
		text := strings.Repeat(word, 10000/len(word))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				Fold(text)
			}
		})
	}
}

// Folded text is kept in summaries: with other tables the same text can fold otherwise. Raise summaryVersion with these.
func TestUnicodeVersion(t *testing.T) {
	if got := norm.Version + " " + cases.UnicodeVersion + " " + unicode.Version; got != "15.0.0 15.0.0 15.0.0" {
		t.Errorf("the tables are of Unicode %s", got)
	}
}
