package imapd

import (
	"testing"

	"domicile/message"
)

// What a message's summary says to IMAP clients is what is served from the message itself, which TestCorpus has a client read.
func TestSummariesAreWhatIsServed(t *testing.T) {
	kept := 0
	for name, raw := range corpus(t) {
		m := message.Parse(raw)
		var envelope, structure, body response
		envelope.envelope(m.Envelope(m.Root))
		structure.structure(m, m.Root, true)
		body.structure(m, m.Root, false)
		s, err := message.ParseSummary(m.Summarize().AppendBinary(nil))
		if err != nil {
			t.Fatal(name, err)
		}
		if s.Envelope != "" && s.Structure != "" {
			kept++
		} else {
			s.Envelope, s.Structure = string(m.AppendEnvelope(nil, m.Root)), string(m.AppendStructure(nil, m.Root, true))
		}
		if s.Envelope != string(envelope.b) {
			t.Errorf("%s: ENVELOPE %q, served %q", name, s.Envelope, envelope.b)
		}
		if s.Structure != string(structure.b) {
			t.Errorf("%s: BODYSTRUCTURE %q, served %q", name, s.Structure, structure.b)
		}
		if got := string(m.AppendStructure(nil, m.Root, false)); got != string(body.b) {
			t.Errorf("%s: BODY %q, served %q", name, got, body.b)
		}
	}
	if kept < 350 {
		t.Errorf("only %d messages have all in their summary", kept)
	}
}
