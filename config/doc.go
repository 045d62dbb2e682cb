// Package config reads node.toml, the one file that says what a node is.
//
// It is strict: a key that no field of [Node] has is an error that names the
// nearest known key, and a value is never guessed. [Load] finds everything that is
// wrong before it gives up, so that one run of "mailnode check" is enough:
//
//	n, err := config.Load("/etc/domicile/node.toml")
//	if ps, ok := errors.AsType[config.Problems](err); ok {
//		for _, p := range ps {
//			fmt.Println(p) // /etc/domicile/node.toml:7: smpt: no such key; did you mean "smtp"?
//		}
//	}
//
// A program that can look into certificates, keys and the catalog goes on from [Read],
// and adds what it finds by [File.Problem]. [Template] writes a commented file to begin with.
//
// Secrets are never values: keys and certificates are names of files, which
// nobody but their owner may read. Paths are relative to the folder of node.toml,
// and absolute in what Load returns. Defaults are filled in; [Print] shows the
// result.
package config
