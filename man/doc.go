// Package man writes manual pages of a program from its commands, so that they say what its --help says: one page for each command, named as words of
// the command line joined by "-", in section 1.
//
//	err := man.Commands(dir, root)
//	err = man.Write(dir, "node.toml", 5, "a node's configuration", func(p *man.Page) { p.Section("KEYS"); … })
//
// Text is as a command's Long has it: paragraphs parted by empty lines, and lines that begin with a space kept as they are.
package man
