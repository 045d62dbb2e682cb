package tests

import (
	"bufio"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"domicile/tests/harness"
)

// document reads a file of the project.
func document(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(harness.Root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// section returns what stands below a heading of a document, up to the next heading.
func section(t *testing.T, name, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut("\n"+document(t, name), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", name, heading)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

// rows returns the cells of a Markdown table's rows, its head left out.
func rows(text string) (all [][]string) {
	head := true
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			continue
		}
		if head {
			head = !strings.HasPrefix(line, "| ---")
			continue
		}
		var cells []string
		for _, c := range strings.Split(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(c))
		}
		all = append(all, cells)
	}
	return all
}

var (
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Example)\w*)\(`)
	testName = regexp.MustCompile("`((?:[a-z0-9]+/)*)((?:Test|Fuzz|Example)[A-Z]\\w*)`")
)

// testsOf maps each folder of the module ("" is the root) to the tests, fuzz targets and examples in it.
func testsOf(t *testing.T) map[string][]string {
	t.Helper()
	root := harness.Root(t)
	all := map[string][]string{}
	for _, p := range list(t) {
		files, err := filepath.Glob(filepath.Join(p.Dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		folder, err := filepath.Rel(root, p.Dir)
		if err != nil {
			t.Fatal(err)
		}
		folder = strings.TrimPrefix(filepath.ToSlash(folder), ".")
		for _, name := range files {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range testFunc.FindAllSubmatch(raw, -1) {
				all[folder] = append(all[folder], string(m[1]))
			}
		}
	}
	return all
}

// named returns the tests that a text names, as "folder/TestName", and those of them that do not exist. A name without a
// folder is a test of the root package.
func named(text string, have map[string][]string) (names, missing []string) {
	for _, m := range testName.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1]+m[2])
		if !slices.Contains(have[strings.TrimSuffix(m[1], "/")], m[2]) {
			missing = append(missing, m[1]+m[2])
		}
	}
	return names, missing
}

// TestPromisesNameTests holds the claims of the documents against the tree: each promise and each threat names a test that
// shows it, and every test that any document names exists.
func TestPromisesNameTests(t *testing.T) {
	have := testsOf(t)
	promises := rows(section(t, "README.md", "## Promises, and the tests that show them"))
	threats := rows(section(t, "docs/THREATS.md", "# Threats"))
	for i, r := range promises {
		if want := "P" + string(rune('1'+i)); r[0] != want {
			t.Errorf("README.md: row %d is %s, want %s", i+1, r[0], want)
		}
	}
	if len(promises) != 7 || len(threats) < 8 {
		t.Errorf("%d promises and %d threats were found", len(promises), len(threats))
	}
	for _, r := range append(promises, threats...) {
		if names, _ := named(r[len(r)-1], have); len(names) == 0 {
			t.Errorf("%s: no test shows it", r[0])
		}
	}
	docs, err := filepath.Glob(filepath.Join(harness.Root(t), "docs", "*.md"))
	if err != nil || len(docs) < 5 {
		t.Fatalf("documents: %v, %v", docs, err)
	}
	for _, name := range append(docs, filepath.Join(harness.Root(t), "README.md"), filepath.Join(harness.Root(t), "CONTRIBUTING.md")) {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, missing := named(string(raw), have); len(missing) > 0 {
			t.Errorf("%s names tests that do not exist: %v", filepath.Base(name), missing)
		}
	}
}

// TestNamedCanFail holds that check against names that it must not find.
func TestNamedCanFail(t *testing.T) {
	have := map[string][]string{"": {"TestRoot"}, "store/bolt": {"TestKill"}}
	names, missing := named("`TestRoot`, `store/bolt/TestKill`, `TestKill` and `store/TestKill`; TestProse, `Testing`", have)
	if len(names) != 4 || !slices.Equal(missing, []string{"TestKill", "store/TestKill"}) {
		t.Errorf("named %v, missing %v", names, missing)
	}
}

// TestImportTableIsDocumented wants the import table of docs/ARCHITECTURE.md to be the one that TestImports goes by.
func TestImportTableIsDocumented(t *testing.T) {
	_, block, ok := strings.Cut(section(t, "docs/ARCHITECTURE.md", "## Who imports whom"), "```\n")
	block, _, ok2 := strings.Cut(block, "```")
	if !ok || !ok2 {
		t.Fatal("docs/ARCHITECTURE.md has no import table")
	}
	documented := importTable(block)
	for _, name := range slices.Sorted(maps.Keys(mayImport)) {
		want, got := slices.Sorted(slices.Values(mayImport[name])), slices.Sorted(slices.Values(documented[name]))
		if _, ok := documented[name]; !ok || !slices.Equal(got, want) {
			t.Errorf("%s: the document says %v, the test %v", name, got, want)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("%s is in the document, and not in the test", name)
	}
}

// secondColumn is where the import table says what the packages before it may import.
const secondColumn = 47

// importTable reads the table as people write it; "anything above" is all earlier lines, commands left out. A line with an
// empty first column goes on with the one before.
func importTable(block string) map[string][]string {
	table := map[string][]string{}
	var above, now []string
	for sc := bufio.NewScanner(strings.NewReader(block)); sc.Scan(); {
		line, _, _ := strings.Cut(sc.Text(), "(") // a remark
		at := min(secondColumn, len(line))
		names, words := strings.Fields(line[:at]), strings.Fields(line[at:])
		if len(names) > 0 {
			now = names
		}
		switch strings.Join(words, " ") {
		case "nothing of ours":
			words = nil
		case "anything above":
			words = slices.DeleteFunc(slices.Clone(above), func(n string) bool { return strings.HasPrefix(n, "cmd/") })
		}
		for _, n := range now {
			table[n] = append(table[n], words...)
		}
		above = append(above, names...)
	}
	return table
}

// TestEveryPackageIsIntroduced wants a doc.go with a package comment in every package; a command says in main.go what it is.
func TestEveryPackageIsIntroduced(t *testing.T) {
	for _, p := range list(t) {
		file := "doc.go"
		if strings.HasPrefix(p.name(), "cmd/") || strings.HasPrefix(p.name(), "tests/bench") {
			file = "main.go"
		}
		raw, err := os.ReadFile(filepath.Join(p.Dir, file))
		if err != nil {
			t.Errorf("%s: %v", p.name(), err)
			continue
		}
		begin := "// Package " + path.Base(p.name()) + " "
		if file == "main.go" {
			begin = "// " + strings.ToUpper(path.Base(p.name())[:1]) + path.Base(p.name())[1:] + " "
		}
		if !strings.HasPrefix(string(raw), begin) {
			t.Errorf("%s/%s does not begin with %q", p.name(), file, begin)
		}
	}
}

// commands returns what stands in the code blocks of some sections of a document.
func commands(t *testing.T, name string, sections ...string) string {
	t.Helper()
	var script strings.Builder
	for _, want := range sections {
		_, section, found := strings.Cut(document(t, name), "\n## "+want+"\n")
		if !found {
			t.Fatalf("%s has no section %q", name, want)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		for i, block := range strings.Split(section, "\n```\n") {
			if i%2 == 1 {
				script.WriteString(block + "\n")
			}
		}
	}
	return script.String()
}

// TestOperatingByHand runs the commands of docs/OPERATING.md as they stand there, from a lab that runs on: an account, its owner's
// choice for sessions abroad, and an order under the treaty up to its archive. The ports are this lab's.
func TestOperatingByHand(t *testing.T) {
	t.Parallel()
	harness.Need(t, "sha256sum", "apt-get install coreutils")
	c := harness.Shared(t)
	text := strings.ReplaceAll(commands(t, "docs/OPERATING.md", "Talking to a node", "Sessions abroad", "Orders"), "127.0.0.1:20010", c.Home(ireland).Admin)
	if _, err := exec.LookPath("age"); err != nil {
		text = regexp.MustCompile(`(?m)^age .*$`).ReplaceAllString(text, "ls production/*.age")
	}
	dir := t.TempDir()
	if err := os.Symlink(c.Dir, filepath.Join(dir, "lab")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-eux", "-c", text)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(harness.Program(t, "mailctl"))+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil || !regexp.MustCompile(`(?m)^receipt: +valid$`).Match(out) || strings.Count(text, "mailctl ") < 10 {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

var link = regexp.MustCompile(`\]\(([^)#:]+)\)`)

// TestLinksLead wants every link between documents to lead to a file.
func TestLinksLead(t *testing.T) {
	found := 0
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "docs/ARCHITECTURE.md", "docs/OPERATING.md", "docs/THREATS.md", "docs/LEGAL.md"} {
		for _, m := range link.FindAllStringSubmatch(document(t, name), -1) {
			found++
			if _, err := os.Stat(filepath.Join(harness.Root(t), filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d links were found", found)
	}
}
