package main

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"domicile/importer"
	"domicile/store"
)

// maildirFolders gives each mailbox a path of its own, by name: that of the mailbox, as account import reads it back, wherever a folder can have it. A level that no folder
// can have gets another, which no other mailbox has; the mailbox's importer.Sidecar has the name.
func maildirFolders(boxes []store.Mailbox) map[string]string {
	paths := map[string]string{"": ""}
	var prefixes []string // every level of every name, as far as it leads
	for _, b := range boxes {
		for i := range len(b.Name) + 1 {
			if i == len(b.Name) || b.Name[i] == '/' {
				prefixes = append(prefixes, b.Name[:i])
			}
		}
	}
	slices.SortFunc(prefixes, func(x, y string) int { // parents first, and of their children those whose names can stay
		if n := strings.Count(x, "/") - strings.Count(y, "/"); n != 0 {
			return n
		}
		_, stays := folderName(lastLevel(x))
		if _, also := folderName(lastLevel(y)); stays != also {
			if stays {
				return -1
			}
			return 1
		}
		return strings.Compare(x, y)
	})
	taken := map[string]bool{}
	for _, p := range slices.Compact(prefixes) {
		level := lastLevel(p)
		name, _ := folderName(level)
		path := filepath.Join(paths[strings.TrimSuffix(strings.TrimSuffix(p, level), "/")], name)
		for n := 2; taken[path]; n++ {
			path = filepath.Join(filepath.Dir(path), fmt.Sprintf("%s_%d", name, n))
		}
		paths[p], taken[path] = path, true
	}
	return paths
}

func lastLevel(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// Limits of a folder's name, in bytes: what file systems take, and how much of a longer one is kept.
const (
	mostFolder = 255
	keepFolder = 100
)

func encodeLevel(s string) string { return strings.ReplaceAll(s, "&", "&-") }

// namedBeside is what a sidecar says of the name: nothing where the folder says it, so that who renames the folder renames what is brought in.
func namedBeside(name, folder string) string {
	if folder == encodeLevel(name) {
		return ""
	}
	return name
}

// folderName is what a folder for a level of a name is called, and whether account import makes the same level of it: "&" begins an encoding
// there, a dot a level, and some names are of what lies beside messages.
func folderName(level string) (name string, stays bool) {
	switch name = encodeLevel(level); {
	case strings.HasPrefix(level, "."), strings.HasPrefix(level, "dbox-"), slices.Contains([]string{"", "cur", "new", "tmp", importer.SidecarFile}, level):
		name = "_" + name
	case len(name) <= mostFolder:
		return name, true
	}
	if len(name) > mostFolder {
		n := keepFolder
		for !utf8.RuneStart(level[n]) {
			n--
		}
		sum := sha256.Sum256([]byte(level))
		name = fmt.Sprintf("_%s_%x", encodeLevel(level[:n]), sum[:8])
	}
	return name, false
}
