package imapd

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// examples are all of some RFCs, section by section. Where they have no numbers of their own they are counted in their section.
var examples = map[string]string{
	"9051": `4.5: 1 2; 5.5: 1 2; 6.1.1: 1; 6.1.2: 1; 6.1.3: 1; 6.2.1: 1; 6.2.2: 1 2 3 4; 6.2.3: 1; 6.3.1: 1 2; 6.3.2: 1 2; 6.3.3: 1; 6.3.4: 1; 6.3.5: 1 2;
		6.3.6: 1 2 3; 6.3.7: 1; 6.3.8: 1; 6.3.9: 1; 6.3.9.3: 1; 6.3.9.7: 1 2; 6.3.9.8: basic 1 2 3 4 5 6 7 8 9 10 11; 6.3.10: 1 2 3 4 5 6 7 8 9; 6.3.11: 1;
		6.3.12: 1 2; 6.3.13: 1; 6.4.1: 1; 6.4.2: 1; 6.4.3: 1; 6.4.4: 1 2 3 4 5 6; 6.4.4.4: 1 2 3 4 5 6 7 8 9 10; 6.4.5: 1; 6.4.5.1: 1; 6.4.6: 1; 6.4.7: 1;
		6.4.8: 1; 6.4.9: 1 2; 6.5: 1; 7.1: ALREADYEXISTS AUTHENTICATIONFAILED AUTHORIZATIONFAILED CANNOT CLIENTBUG CONTACTADMIN CORRUPTION EXPIRED
		EXPUNGEISSUED HASCHILDREN INUSE LIMIT NONEXISTENT NOPERM OVERQUOTA PRIVACYREQUIRED SERVERBUG UNAVAILABLE; 7.1.1: 1; 7.1.2: 1; 7.1.3: 1; 7.1.4: 1;
		7.1.5: 1; 7.2.1: 1; 7.2.2: 1; 7.3.1: 1 2; 7.3.2: 1; 7.3.3: 1; 7.3.4: 1 2 3; 7.3.5: 1; 7.4.1: 1; 7.5.1: 1; 7.5.2: 1 2 3; 7.6: 1; 8: 1; A.1: 1 2 3`,
	"7162": `3.1.2.1: 1; 3.1.2.2: 2; 3.1.3: 3 4 5 6 7 8 9 10 11; 3.1.4.1: 12; 3.1.4.2: 13 14; 3.1.5: 15 16; 3.1.7: 17; 3.1.8: 18; 3.1.10: 19 20; 3.1.12: 1;
		3.2.5: 1; 3.2.5.1: 1; 3.2.5.2: 1 2; 3.2.6: 1 2; 3.2.7: 1 2; 3.2.8: 1; 3.2.9: 1; 3.2.10.2: 1 2 3 4; 6: 1 2`,
	"5256": `BASE.6.4.SORT: 1 2 3; BASE.6.4.THREAD: 1 2 3; BASE.7.2.SORT: 1; BASE.7.2.THREAD: 1 2`,
	"8474": `4.1: 1; 4.2: 1; 4.3: 1 2; 5.3: 1 2; 6: 1`,
	"5465": `3.1: 1; 5.1: 1 2; 5.2: 1 2; 5.3: 1 2 3; 5.4: 1 2 3; 5.5: 1; 5.6: 1; 5.7: 1; 5.8: 1; 6: 1 2; 7: 1`,
}

// Each example is in a dialogue, in a line of "#", or docs/IMAP.md says why it is in none, and nothing else is called an example.
func TestExamplesArePlayed(t *testing.T) {
	label := regexp.MustCompile(`RFC (\d+) ([\w.]+), example (\w+)`)
	where := map[string][]string{}
	note := func(place, text string) {
		for _, m := range label.FindAllString(text, -1) {
			where[m] = append(where[m], place)
		}
	}
	files, _ := filepath.Glob("testdata/*.txt")
	for _, f := range append(files, "../docs/IMAP.md") {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "# ") || strings.HasPrefix(line, "| ") {
				note(filepath.Base(f), line)
			}
		}
	}
	for rfc, sections := range examples {
		for section := range strings.SplitSeq(sections, ";") {
			name, numbers, _ := strings.Cut(strings.TrimSpace(section), ":")
			for _, n := range strings.Fields(numbers) {
				example := "RFC " + rfc + " " + name + ", example " + n
				switch places := where[example]; {
				case len(places) == 0:
					t.Errorf("%s is nowhere", example)
				case len(places) > 1 && slices.Contains(places, "IMAP.md"):
					t.Errorf("%s is played, and said not to be: %s", example, places)
				}
				delete(where, example)
			}
		}
	}
	for example, places := range where {
		t.Errorf("%s, in %s, is none", example, places)
	}
}
