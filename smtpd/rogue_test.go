package smtpd

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"domicile"
)

// TestSMTPText holds bodies that only a front in the wrong hands could send against what home takes.
func TestSMTPText(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for body, ok := range map[string]bool{
		"": true, "\r\n": true, "a: b\r\n\r\nc\r\n": true, ".\r\n": true, "\x80\xff\r\n": true, long + "\r\n": true,
		"\x00\r\n": false, "a\n": false, "\n": false, "\r": false, "a\rb\r\n": false, "\r\r\n": false, "a": false, "a\r": false, "a\r\nb": false,
		long + "xxx\r\n": false,
	} {
		for _, r := range []io.Reader{strings.NewReader(body), iotest.OneByteReader(strings.NewReader(body)), iotest.DataErrReader(strings.NewReader(body))} {
			got, err := io.ReadAll(&smtpText{r: r})
			if ok && (err != nil || string(got) != body) || !ok && domicile.KindOf(err) != domicile.Invalid {
				t.Errorf("%.20q: %v", body, err)
			}
		}
	}
}

func TestDeliveryHeader(t *testing.T) {
	good := delivery{V: 1, ID: domicile.NewID(""), Sender: "a@b.example", Recipients: []domicile.AccountID{"a1", "a2"}, Trace: "Received: x\r\n"}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*delivery){
		"one recipient twice": func(d *delivery) { d.Recipients = []domicile.AccountID{"a1", "a1"} },
		"no id":               func(d *delivery) { d.ID = "" },
		"an address":          func(d *delivery) { d.ID = "ann@example.com" },
		"a line":              func(d *delivery) { d.ID = "x\nx" },
		"a long id":           func(d *delivery) { d.ID = strings.Repeat("x", 65) },
	} {
		d := good
		change(&d)
		if domicile.KindOf(d.check()) != domicile.Invalid {
			t.Errorf("%s is taken", name)
		}
	}
}
