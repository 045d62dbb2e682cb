package imapd

import (
	"bytes"
	"testing"

	"domicile/message"
)

// What a message's summary says to IMAP clients is what is served from the message itself.
func TestWireOfCorpus(t *testing.T) {
	for name, raw := range corpus(t) {
		m := message.Parse(raw)
		var envelope, structure, body response
		envelope.envelope(m.Envelope(m.Root))
		structure.structure(m, m.Root, true)
		body.structure(m, m.Root, false)
		if got := m.AppendEnvelope(nil, m.Root); !bytes.Equal(got, envelope.b) {
			t.Errorf("%s: ENVELOPE %q, served %q", name, got, envelope.b)
		}
		if got := m.AppendStructure(nil, m.Root, true); !bytes.Equal(got, structure.b) {
			t.Errorf("%s: BODYSTRUCTURE %q, served %q", name, got, structure.b)
		}
		if got := m.AppendStructure(nil, m.Root, false); !bytes.Equal(got, body.b) {
			t.Errorf("%s: BODY %q, served %q", name, got, body.b)
		}
	}
}
