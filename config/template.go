package config

import (
	"bytes"
	"strconv"
	"strings"
	"text/template"
)

// Template returns a node.toml with the values of n and a word on every key; a key that n leaves empty is a comment. The
// defaults are those of this package's fields.
func Template(n *Node) []byte {
	var b bytes.Buffer
	if err := templateText.Execute(&b, n); err != nil {
		panic(err) // the text is fixed, and a buffer takes all
	}
	return b.Bytes()
}

var templateText = template.Must(template.New("node.toml").Funcs(template.FuncMap{
	"text": func(key, value, example string) string {
		if value == "" {
			return "# " + key + " = " + strconv.Quote(example)
		}
		return key + " = " + strconv.Quote(value)
	},
	"list": func(values []string) string {
		quoted := make([]string, len(values))
		for i, v := range values {
			quoted[i] = strconv.Quote(v)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	},
}).Parse(`# One node of domicile. Paths are relative to this file's folder. Keys are files of mode 0600, never values.
# After a change: mailnode check --config FILE, then restart the node.

# Who this is, as in its certificate and in the catalog.
name = "{{.Name}}"
{{if .Witness}}# A witness belongs to no region.
# region = "eu-ireland"
{{else}}region = "{{.Region}}"
{{end}}# front: SMTP, and IMAP with store. store: holds the region's mail, on one node of a region. admin: operators, needs store.
# witness alone: cosigns logs, and nothing else.
roles = {{list .Roles}}
# All that the node writes. Made at the first start, and stamped with region and node.
data = "{{.Data}}"
# Danger: plain-text logins on loopback. For labs only.
# lab = false
{{if not .Witness}}# What unwraps the mail's keys. Outside data, and in no backup of it: a copy offline, in the region.
{{end}}{{text "root_key" .RootKey "root.key"}}
# Signs the log, ownership and the catalog in the region's name (a front has one of its own; a witness's cosigns).
signing_key = "{{.SigningKey}}"
# Key, certificate, intermediate, root: mailctl ca install. Read again at SIGHUP.
identity = "{{.Identity}}"
# For digests of names; the same in all regions.
{{text "names_key" .NamesKey "names.key"}}

# The signed list of regions. Read again at SIGHUP.
[catalog]
dir = "{{.Catalog.Dir}}"
# The pin of version 1: the one thing believed without a signature.
genesis = "{{.Catalog.Genesis}}"

# Calls between nodes, with both certificates. Open to the nodes of all regions, and to nobody else.
[rpc]
listen = "{{.RPC.Listen}}"
{{text "advertise" .RPC.Advertise "192.0.2.10:7947"}}

# How nodes find each other: TCP and UDP, open to the nodes of all regions.
[gossip]
listen = "{{.Gossip.Listen}}"
{{text "advertise" .Gossip.Advertise "192.0.2.10:7946"}}
# A few nodes; the others are found through them.
seeds = {{list .Gossip.Seeds}}
# The first key encrypts, all decrypt; the same in all regions. Read again at SIGHUP.
key_file = "{{.Gossip.KeyFile}}"

# Health and metrics, in the clear: loopback, or a network for monitoring only.
[http]
{{text "listen" .HTTP.Listen "127.0.0.1:7949"}}
{{if not .Witness}}
# Mail in. Open to the world.
[smtp]
{{text "listen" .SMTP.Listen "192.0.2.10:25"}}
{{text "hostname" .SMTP.Hostname "mx.example.com"}}
# max_size = 67108864

# Mail read. The interim engine withstands no strangers: loopback and private networks only.
[imaps]
{{text "listen" .IMAPS.Listen "10.0.0.10:993"}}
{{text "hostname" .IMAPS.Hostname "mx.example.com"}}
# max_size = 67108864
[imap]
{{text "listen" .IMAP.Listen "10.0.0.10:143"}}
{{text "hostname" .IMAP.Hostname "mx.example.com"}}
# max_size = 67108864

# Operators, by certificate. Open to their machines only.
[admin]
{{text "listen" .Admin.Listen "10.0.0.10:7948"}}
{{text "advertise" .Admin.Advertise "10.0.0.10:7948"}}

# Which authorities this region believes, and the law in force. Without bundles no order is executed.
[disclosure]
{{text "registry" .Disclosure.Registry "authorities.toml"}}
bundles = {{list .Disclosure.Bundles}}

# How long a change of residence rests before its review.
[residence]
{{text "cool_down" .Residence.CoolDown "336h"}}
{{end}}`))
