package wire

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// parsed runs parse over the arguments of one command, and returns its result and whether the command was well-formed.
func parsed(t *testing.T, line string, parse func(*Command) any) (string, bool) {
	t.Helper()
	c, _ := scripted("a X " + line + "\r\n")
	c.limits.Text = 1 << 20
	cmd, err := c.Next()
	if err != nil {
		return "", false
	}
	cmd.SP()
	got := fmt.Sprint(parse(cmd))
	return got, cmd.End() == nil
}

// What the grammar of RFC 9051 9 takes, and what it does not ("-").
func TestArguments(t *testing.T) {
	for what, c := range map[string]struct {
		parse func(*Command) any
		cases map[string]string
	}{
		"astring": {func(c *Command) any { return c.Astring() }, map[string]string{
			"x": "x", "a]b": "a]b", `"a b"`: "a b", `"a\"b\\c"`: `a"b\c`, `""`: "", "{3+}\r\nx y": "x y", "{0+}\r\n": "", `"é"`: "é",
			"": "-", "a b": "-", "(a)": "-", "a*": "-", `"a\x"`: "-", "\"\xff\"": "-", "{3+": "-", " a": "-", "~{1+}\r\nx": "-",
		}},
		"nstring": {func(c *Command) any { s, ok := c.Nstring(); return fmt.Sprint(s, ok) }, map[string]string{
			"NIL": "false", "nil": "false", `"NIL"`: "NILtrue", "x": "-",
		}},
		"value": {func(c *Command) any { v, size, fits := c.Value(); return fmt.Sprintf("%q %d %v", v, size, fits) }, map[string]string{
			"NIL": `"" 0 true`, `"NIL"`: `"NIL" 3 true`, `""`: `"" 0 true`, "{1+}\r\n\xff": `"\xff" 1 true`, "~{2+}\r\n\x00\xff": `"\x00\xff" 2 true`,
			"{1+}\r\n\x00": "-", "x": "-", "": "-", "~x": "-", "~{x}": "-",
		}},
		"number": {func(c *Command) any { return c.Num() }, map[string]string{
			"0": "0", "4294967295": "4294967295", "4294967296": "-", "-1": "-", "": "-", "99999999999999999999999": "-",
		}},
		"number64": {func(c *Command) any { return c.Num64() }, map[string]string{
			"9223372036854775807": "9223372036854775807", "9223372036854775808": "-",
		}},
		"set": {func(c *Command) any { return c.Set(false) }, map[string]string{
			"1": "1", "1:3,7,9:*": "1:3,7,9:*", "*": "*", "*:4": "4:*", "7:3": "3:7", "$": "$", "0": "-", "1,": "-", ",1": "-", "1:": "-", "1::2": "-", "": "-", "1:4294967296": "-", "$,1": "-",
		}},
		"mailbox": {func(c *Command) any { return c.Mailbox() }, map[string]string{
			"INBOX": "INBOX", "Entw&APw-rfe": "Entwürfe", "a&-b": "a&b", `"a b"`: "a b", "&2D3eAA-": "😀", "\"ü\"": "ü",
			"&": "-", "&AGE-": "-", "&AO": "-", "&2D0-": "-", "{1+}\r\n\xff": "-", "a%": "-",
		}},
		"pattern": {func(c *Command) any { return c.Pattern() }, map[string]string{
			"%": "%", "a/*": "a/*", `"a %"`: "a %", "&APw-*": "ü*", `""`: "", "(": "-",
		}},
		"flags": {func(c *Command) any { return strings.Join(c.Flags(), ",") }, map[string]string{
			"()": "", `(\Seen)`: `\Seen`, `(\seen $x y)`: `\seen,$x,y`, `(\*)`: "-", "(": "-", "(a": "-", "(a )": "-", "(a  b)": "-", "a": "-", `(\)`: "-",
		}},
		"date": {func(c *Command) any { return c.Date().Format(time.DateOnly) }, map[string]string{
			"1-Feb-2026": "2026-02-01", `"01-feb-2026"`: "2026-02-01", "30-Feb-2026": "-", `"1-Feb-2026`: "-", "2026-02-01": "-", "": "-",
		}},
		"date-time": {func(c *Command) any { return c.DateTime().Format(time.RFC3339) }, map[string]string{
			`" 1-Feb-2026 03:04:05 +0100"`: "2026-02-01T03:04:05+01:00", `"11-Feb-2026 03:04:05 -0000"`: "2026-02-11T03:04:05Z",
			`"1-Feb-2026"`: "-", "1-Feb-2026": "-", `" 1-Feb-2026 25:04:05 +0100"`: "-", `" 1-Feb-2026 03:04:05 GMT"`: "-",
		}},
		"word": {func(c *Command) any { return c.Word() }, map[string]string{
			"body.peek": "BODY.PEEK", "UTF8=ACCEPT": "UTF8=ACCEPT", "": "-", "(": "-",
		}},
		"base64": {func(c *Command) any { return c.Base64() }, map[string]string{"=": "", "AGE=": "AGE=", "": "-"}},
	} {
		for line, want := range c.cases {
			got, ok := parsed(t, line, c.parse)
			if ok != (want != "-") || ok && got != want {
				t.Errorf("%s %q: %q, %v, want %q", what, line, got, ok, want)
			}
		}
	}
}

// After the first thing that is wrong nothing is read any more, and the first reason is told.
func TestErrorsStick(t *testing.T) {
	c, _ := scripted("a X (x y) 7\r\n")
	cmd, _ := c.Next()
	cmd.SP()
	cmd.Num()
	cmd.Fail("a later reason")
	if cmd.Astring() != "" || cmd.Num() != 0 || cmd.Flags() != nil || cmd.Take("(") || cmd.More() || cmd.Peek() != 0 {
		t.Error("it reads on")
	}
	if l, _ := cmd.Stream(1); l != nil {
		t.Error("a literal")
	}
	if err := cmd.End(); err == nil || err.Error() != "A number is missing" {
		t.Error(err)
	}
}

// Sets and lists are bounded, and time is linear in their length.
func TestLongArguments(t *testing.T) {
	if _, ok := parsed(t, strings.TrimSuffix(strings.Repeat("1,", MaxRanges), ","), func(c *Command) any { return len(c.UIDSet()) }); !ok {
		t.Error("a set of the longest is refused")
	}
	if _, ok := parsed(t, strings.Repeat("1,", MaxRanges)+"1", func(c *Command) any { return len(c.UIDSet()) }); ok {
		t.Error("a longer set is taken")
	}
	if _, ok := parsed(t, "("+strings.Repeat("a ", 1000)+"a)", func(c *Command) any { return len(c.Flags()) }); ok {
		t.Error("a list of 1001 is taken")
	}
}

func TestTags(t *testing.T) {
	for tag, ok := range map[string]bool{"a": true, "A.1-2]": true, "+": false, "a+": false, "*": false, "": false, "a(": false, strings.Repeat("a", MaxTag+1): false, "é": false} {
		if IsTag(tag) != ok {
			t.Errorf("%q: %v", tag, !ok)
		}
	}
}

// What is read out of an argument has no literals, of which nobody would send the bytes.
func TestArgumentsWithin(t *testing.T) {
	a := Arguments(`1.MIME ("x y" z)`)
	word := a.Word()
	a.SP()
	var names []string
	a.List(5, false, func() { names = append(names, a.Astring()) })
	if err := a.End(); err != nil || word != "1.MIME" || strings.Join(names, "|") != "x y|z" {
		t.Errorf("%q %q: %v", word, names, err)
	}
	for _, text := range []string{"{1+}", "{1}", "{0+}", "~{1+}"} {
		a := Arguments(text)
		if s := a.String(); s != "" || a.Err() == nil {
			t.Errorf("%s: %q, %v", text, s, a.Err())
		}
		a = Arguments(text)
		if l, _ := a.Stream(10); l != nil || a.Err() == nil {
			t.Errorf("%s: %v", text, a.Err())
		}
	}
}
