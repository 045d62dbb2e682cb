package message

import (
	"strings"

	"golang.org/x/net/html"
)

// visible returns what a reader of an HTML text sees: no tags, comments, scripts or styles, and characters instead of their
// names. Tags that begin something new part words, others do not.
func visible(s string) string {
	z := html.NewTokenizer(strings.NewReader(s))
	var out strings.Builder
	hidden := false // within a script or style
	for {
		switch tag := z.Next(); tag {
		case html.ErrorToken: // the end: reading a string does not fail
			return out.String()
		case html.TextToken:
			if !hidden {
				out.Write(z.Text())
			}
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			b, _ := z.TagName()
			name := string(b)
			hidden = tag != html.EndTagToken && (name == "script" || name == "style")
			if mayHoldTags[name] {
				z.NextIsNotRawText()
			}
			if !inline[name] {
				out.WriteByte('\n')
			}
		}
	}
}

// mayHoldTags: what is read instead of frames or scripts is read here.
var mayHoldTags = map[string]bool{"iframe": true, "noembed": true, "noframes": true, "noscript": true}

// inline has the elements that change how letters look and may stand within a word.
var inline = map[string]bool{
	"a": true, "abbr": true, "acronym": true, "b": true, "bdi": true, "bdo": true, "big": true, "cite": true, "code": true,
	"data": true, "del": true, "dfn": true, "em": true, "font": true, "i": true, "ins": true, "kbd": true, "label": true,
	"mark": true, "nobr": true, "q": true, "rp": true, "rt": true, "ruby": true, "s": true, "samp": true, "small": true,
	"span": true, "strike": true, "strong": true, "sub": true, "sup": true, "time": true, "tt": true, "u": true, "var": true,
	"wbr": true, "script": true, "style": true,
}
