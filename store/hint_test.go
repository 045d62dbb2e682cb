package store

import (
	"fmt"
	"slices"
	"testing"

	"domicile"
)

func TestHintJoin(t *testing.T) {
	many := Hint{}
	for i := range MaxHint {
		many = append(many, domicile.MailboxID(fmt.Sprint(i)))
	}
	for _, c := range []struct{ a, b, want Hint }{
		{Hint{"1", "2"}, Hint{"2", "3"}, Hint{"1", "2", "3"}},
		{Hint{"1"}, nil, nil},
		{nil, Hint{"1"}, nil},
		{many, Hint{"7"}, many},
		{many, Hint{"more"}, nil},
	} {
		if got := c.a.Join(c.b); !slices.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%v and %v: %v", c.a, c.b, got)
		}
	}
	shared := append(make(Hint, 0, 9), "1")
	if shared.Join(Hint{"2"}); !slices.Equal(shared[:2], Hint{"1", ""}) {
		t.Error("it writes into a hint that others have")
	}
}
