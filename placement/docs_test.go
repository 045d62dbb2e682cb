package placement

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The table of docs/FORMATS.md, "Crossings", is this table.
func TestCrossingsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/FORMATS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Crossings\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var want strings.Builder
	for _, r := range Rows() {
		for _, f := range r.Forms {
			fmt.Fprintln(&want, line(r, f))
		}
	}
	_, table, _ := strings.Cut(section, "| --- |\n")
	if got := strings.TrimSpace(table); got != strings.TrimSpace(want.String()) {
		t.Errorf("docs/FORMATS.md has\n%s\nthe code has\n%s", got, want.String())
	}
}

func line(r Row, f Form) string {
	var parties []string
	for _, p := range f.Parties {
		parties = append(parties, string(p))
	}
	yes := func(b bool, s string) string {
		if b {
			return s
		}
		return "-"
	}
	where := "journal"
	if r.Leaf {
		where = "leaf"
	}
	release := yes(f.Release, "needed")
	if f.Approval {
		release = "approval"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s | %s | %s | %s |", r.Class, f.Kind, strings.Join(parties, ", "), f.Mail,
		yes(f.Case, "needed"), release, bytes(f.Ceiling), where)
}

func bytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; n%1024 == 0 && n > 0 && i < len(units)-1; i++ {
		n /= 1024
	}
	return fmt.Sprintf("%d %s", n, units[i])
}
