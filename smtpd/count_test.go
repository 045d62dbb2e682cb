package smtpd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	gosmtp "github.com/emersion/go-smtp"

	"domicile"
)

func TestCountsAnswers(t *testing.T) {
	var got []string
	s := newServer(Config{Log: quiet(), Count: func(command string, code int) { got = append(got, fmt.Sprint(command, code)) }}, nil)
	session := &session{srv: s, gate: newGate(nil, maxSize)}
	if err := session.Rcpt("no address", nil); err == nil {
		t.Error("taken")
	}
	s.counted("RCPT", nil)
	s.counted("DATA", reply(451, gosmtp.EnhancedCode{4, 3, 0}, "Not now"))
	s.counted("DATA", errors.Join(reply(250, gosmtp.EnhancedCode{2, 0, 0}, "Stored")))
	if want := []string{"RCPT553", "RCPT250", "DATA451", "DATA250"}; !slices.Equal(got, want) {
		t.Errorf("counted %q, want %q", got, want)
	}
}

func TestCountsDeliveries(t *testing.T) {
	w := newWorld(t)
	var got []domicile.Kind
	w.home.Count = func(err error) { got = append(got, domicile.KindOf(err)) }
	d := delivery{V: wireVersion, ID: "d1", Sender: "s@sender.test", Recipients: []domicile.AccountID{"a-ann"}, Trace: "Received: x\r\n"}
	if _, err := w.home.deliver(context.Background(), ireland, d, strings.NewReader("Subject: x\r\n\r\nx\r\n")); err != nil {
		t.Fatal(err)
	}
	d.Recipients = []domicile.AccountID{"a-nobody"}
	w.home.deliver(context.Background(), ireland, d, strings.NewReader("x\r\n"))
	if want := []domicile.Kind{domicile.Other, domicile.Unavailable}; !slices.Equal(got, want) { // nil is of kind Other
		t.Errorf("counted %v, want %v", got, want)
	}
}
