package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"domicile"
	"domicile/move"
)

// watch asks on through failures that may pass, tells each change once, and ends with the move.
func TestWatch(t *testing.T) {
	gone, absent := domicile.E("call", domicile.Unavailable, "restarting"), domicile.E("move", domicile.NotExist, "")
	for _, c := range []struct {
		name  string
		seen  []any
		want  move.State
		kind  domicile.Kind
		lines string
	}{
		{"to its end", []any{move.Planned, gone, move.Copying, move.Copying, gone, move.HandedOver, move.Serving, move.Erased}, move.Erased, 0,
			"planned\ncopying, 5 of 10 bytes\nhanded-over\nserving\nerased\n"},
		{"cancelled", []any{move.Frozen, move.Cancelled}, move.Cancelled, 0, "frozen\ncancelled\n"},
		{"seen from the target", []any{move.Receiving, move.Abandoned}, move.Abandoned, 0, "receiving\nabandoned\n"},
		{"just approved", []any{absent, absent, move.Planned, move.Erased}, move.Erased, 0, "planned\nerased\n"},
		{"gone behind it", []any{move.Planned, absent}, "", domicile.NotExist, "planned\n"},
		{"no such move", []any{absent}, "", domicile.NotExist, ""},
	} {
		var out, errOut bytes.Buffer
		a := &app{out: &out, errOut: &errOut, output: "text"}
		next := 0
		v, err := a.watch(t.Context(), "a1.1", func(context.Context, string) (move.Info, error) {
			s := c.seen[min(next, len(c.seen)-1)]
			next++
			if err, failed := s.(error); failed {
				return move.Info{}, err
			}
			state := s.(move.State)
			return move.Info{State: state, Bytes: 5, Total: 10, Done: state == move.Erased}, nil
		})
		if domicile.KindOf(err) != c.kind && (err != nil) != (c.kind != 0) || v.State != c.want || errOut.String() != c.lines {
			t.Errorf("%s: %v, %v\n%s", c.name, v.State, err, errOut.String())
		}
	}
	a := &app{errOut: &bytes.Buffer{}}
	if _, err := a.watch(t.Context(), "a1.1", func(context.Context, string) (move.Info, error) { return move.Info{}, gone }); domicile.KindOf(err) != domicile.Unavailable {
		t.Errorf("a node that never answers: %v", err)
	}
}

func TestMoveBar(t *testing.T) {
	var out bytes.Buffer
	a := &app{errOut: &out}
	draw := a.bar()
	draw(move.Info{State: move.Copying, Bytes: 5, Total: 10})
	if got := out.String(); strings.Count(got, "#") != 20 || strings.Count(got, ".") != 20 || strings.Contains(got, "\n") {
		t.Errorf("half way: %q", got)
	}
	out.Reset()
	draw(move.Info{State: move.Erased, Done: true})
	if got := out.String(); strings.Count(got, "#") != 40 || !strings.HasSuffix(got, "\n") {
		t.Errorf("at the end: %q", got)
	}
	if a.terminal() {
		t.Error("a buffer is a terminal")
	}
}
