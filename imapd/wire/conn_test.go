package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// Drain ends a connection that waits for a command, and one that has sent the next one already; a command under way is finished.
func TestDrain(t *testing.T) {
	for _, what := range []string{"it waits", "it has sent more", "in the middle of a command"} {
		here, there := net.Pipe()
		defer there.Close()
		c := NewConn(here, Before)
		go io.Copy(io.Discard, there)
		if what == "it has sent more" {
			go io.WriteString(there, "a NOOP\r\nb NOOP\r\n")
			if _, err := c.Next(); err != nil {
				t.Fatal(err)
			}
			c.Drain()
			if _, err := c.Next(); !errors.Is(err, ErrDraining) {
				t.Errorf("%s: %v", what, err)
			}
			continue
		}
		got := make(chan error)
		go func() { _, err := c.Next(); got <- err }()
		if what == "in the middle of a command" {
			io.WriteString(there, "a NO") // taken, since a pipe has no buffer
			c.Drain()
			io.WriteString(there, "OP\r\n")
			if err := <-got; err != nil {
				t.Errorf("%s: %v", what, err)
			}
			go func() { _, err := c.Next(); got <- err }()
		}
		c.Drain()
		if err := <-got; !errors.Is(err, ErrDraining) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Whenever Drain comes, Next ends with it, and no command is run that came later.
func TestDrainAtAnyMoment(t *testing.T) {
	for range 300 {
		here, there := net.Pipe()
		c := NewConn(here, Before)
		var wait sync.WaitGroup
		wait.Go(func() { io.Copy(io.Discard, there) })
		wait.Go(func() {
			for range 5 {
				if _, err := io.WriteString(there, "a NOOP\r\n"); err != nil {
					return
				}
			}
		})
		wait.Go(c.Drain)
		n := 0
		var err error
		for ; err == nil && n < 7; n++ {
			_, err = c.Next()
		}
		if !errors.Is(err, ErrDraining) {
			t.Fatalf("after %d commands: %v", n, err)
		}
		here.Close()
		there.Close()
		wait.Wait()
	}
}

// deadlines notes the deadlines of reads.
type deadlines struct {
	script
	at []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error { d.at = append(d.at, t); return nil }

// Times are until the next byte; Limit's until bounds all of them.
func TestDeadlines(t *testing.T) {
	d := &deadlines{script: script{pieces: []string{"a X {4}\r\n", "ab", "cd\r\n"}}}
	c := NewConn(d, Limits{Text: 100, Literals: 1, Literal: 10, Idle: time.Hour, Part: time.Minute, Whole: time.Hour})
	cmd, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SP()
	if cmd.Astring() != "abcd" {
		t.Error(cmd.Err())
	}
	if len(d.at) != 4 || time.Until(d.at[0]) < 50*time.Minute || time.Until(d.at[1]) > time.Minute || !d.at[2].After(d.at[1]) || !d.at[3].After(d.at[2]) { // a command, its line, its literal
		t.Errorf("%v", d.at)
	}
	until := time.Now().Add(time.Second)
	c.Limit(Before, until)
	if _, err := c.Next(); err != io.EOF || !d.at[len(d.at)-1].Equal(until) {
		t.Error(err, d.at)
	}
	quiet, _ := scripted("")
	if _, err := quiet.Next(); !strings.HasPrefix(err.Error(), "[UNAVAILABLE]") || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// Answers are gathered until the connection waits for its client; much is sent as it comes, and nothing big is kept.
func TestWriter(t *testing.T) {
	c, s := scripted("a X\r\nb X\r\n")
	for range 2 {
		if _, err := c.Next(); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			c.Raw("* ").Num(-1).Raw(" ").Unum(1).Flags([]string{"a", "b"}).Line()
		}
	}
	if s.writes != 0 {
		t.Errorf("%d writes before it had to wait", s.writes)
	}
	c.Next()
	if s.writes != 1 || !strings.HasPrefix(s.out.String(), "* -1 1(a b)\r\n") || cap(c.b) > keptRoom {
		t.Errorf("%d writes; %d bytes are kept", s.writes, cap(c.b))
	}
	s.out.Reset()
	body := strings.Repeat("x", 100_000)
	c.Raw("y").Literal(int64(len(body)))
	if n, err := io.WriteString(c, body); n != len(body) || err != nil {
		t.Fatal(n, err)
	}
	if got := s.out.String(); got != "y{100000}\r\n"+body {
		t.Errorf("%d bytes", len(got))
	}
	for range flushAt {
		c.Raw("z").Line()
	}
	if len(c.b) >= flushAt {
		t.Errorf("%d bytes gathered", len(c.b))
	}
	s.broken = true
	if err := c.Flush(); err == nil {
		t.Error("no error of a broken connection")
	}
	s.broken = false
	c.Raw("more").Line()
	if n, err := c.Write(make([]byte, flushAt)); n != 0 || err == nil || c.Flush() == nil || strings.Contains(s.out.String(), "more") {
		t.Error("it writes on behind an error")
	}
}

// Over another connection it goes on with nothing of the one before; who reads on behind it gets what was read ahead.
func TestResetAndRead(t *testing.T) {
	c, _ := scripted("a X\r\nleft over")
	c.Next()
	if c.Buffered() != 9 {
		t.Error(c.Buffered())
	}
	two := &script{pieces: []string{"b Y\r\nfrom ", "below"}}
	c.Reset(two)
	if cmd, err := c.Next(); err != nil || cmd.Name != "Y" || c.NetConn() != two {
		t.Error(err)
	}
	if rest, err := io.ReadAll(c); string(rest) != "from below" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

func TestReadLine(t *testing.T) {
	c, s := scripted("answer\r\n", "longer than that\r\n")
	c.Continue("")
	if line, err := c.ReadLine(10); line != "answer" || err != nil || s.out.String() != "+ \r\n" {
		t.Errorf("%q, %v; told %q", line, err, s.out.String())
	}
	if _, err := c.ReadLine(10); err == nil {
		t.Error("a line over its bound is taken")
	}
}

// A message of the usual limit has somewhat over an hour to come, however its client spreads it.
func TestPace(t *testing.T) {
	if got := After.inAll(64 << 20); got > 80*time.Minute || got < time.Hour {
		t.Errorf("%v", got)
	}
	if got := After.inAll(0); got != After.Whole {
		t.Errorf("%v before anything came", got)
	}
}

// A client that sends its command byte by byte, each in time, is cut off nevertheless.
func TestSlowCommandIsTheEnd(t *testing.T) {
	for what, begin := range map[string]string{"a line": "a X ", "a literal": "a X {5000+}\r\n"} {
		client, server := net.Pipe()
		c := NewConn(server, Limits{Text: 10000, Literals: 1, Literal: 10000, Idle: time.Hour, Part: time.Hour, Whole: 50 * time.Millisecond})
		go func() {
			defer client.Close()
			io.WriteString(client, begin)
			for range 500 {
				if _, err := io.WriteString(client, "x"); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}()
		got := told(c, func(cmd *Command) string { cmd.SP(); cmd.Astring(); return "" })
		if !strings.HasSuffix(got, "[UNAVAILABLE]") {
			t.Errorf("%s: %q", what, got)
		}
		c.Close()
	}
}

// nosy is a connection from whose Read somebody interjects.
type nosy struct {
	script
	read func()
}

func (n *nosy) Read(p []byte) (int, error) {
	n.read()
	return n.script.Read(p)
}

// Interject speaks between responses, with what is gathered, and neither within one nor while more of a command is waited for.
func TestInterject(t *testing.T) {
	var told []bool
	n := &nosy{script: script{pieces: []string{"a X {3}\r\n", "abc\r\n"}}}
	c := NewConn(n, small)
	n.read = func() { told = append(told, c.Interject("* OK reading")) }
	cmd, err := c.Next() // waits for a command, and for the rest of its line
	if err != nil {
		t.Fatal(err)
	}
	cmd.SP()
	if s := cmd.String(); s != "abc" || cmd.End() != nil {
		t.Fatalf("%q: %v", s, cmd.Err())
	}
	if fmt.Sprint(told) != "[true false false]" { // while nothing came; the rest of the line; the literal
		t.Errorf("while reading: %v", told)
	}
	c.Raw("* 1 FETCH (").Num(1)
	if c.Interject("* OK within") {
		t.Error("within a response")
	}
	c.Literal(3)
	c.Write([]byte("abc"))
	if c.Interject("* OK within") {
		t.Error("within a literal")
	}
	c.Raw(")").Line()
	if c.Raw("* 2 EXISTS").Line(); !c.Interject("* OK between") {
		t.Error("between responses")
	}
	if got, want := n.out.String(), "* OK reading\r\n+ Ready for literal data\r\n* 1 FETCH (1{3}\r\nabc)\r\n* 2 EXISTS\r\n* OK between\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What Await took comes first, whatever is read next; one that waits holds no buffer.
func TestAwaitHoldsNoBuffer(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	c := NewConn(server, small)
	defer c.Close()
	write := func(s string) { go io.WriteString(client, s) }
	write("a NOOP\r\n")
	if err := c.Await(); err != nil || c.Buffered() != 1 || c.br.Buffered() != 0 {
		t.Fatalf("%v, %d bytes, of them %d in a buffer", err, c.Buffered(), c.br.Buffered())
	}
	if err := c.Await(); err != nil { // again, at once
		t.Fatal(err)
	}
	if cmd, err := c.Next(); err != nil || cmd.Tag != "a" || cmd.Name != "NOOP" {
		t.Fatalf("%+v, %v", cmd, err)
	}
	write("\n") // a line of one byte: nothing follows it
	if cmd, _ := c.Next(); cmd == nil || cmd.Err() == nil {
		t.Fatalf("%+v", cmd)
	}
	write("x")
	if err := c.Await(); err != nil {
		t.Fatal(err)
	}
	write("yz")
	b := make([]byte, 3)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "xyz" {
		t.Fatalf("%q, %v", b, err)
	}
}
