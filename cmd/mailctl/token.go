package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"domicile"
	"domicile/disclosure"
)

func (a *app) tokenCommand() *cobra.Command {
	group := &cobra.Command{Use: "token", Short: "Legal-basis tokens: what an authority runs, offline",
		Example: "  mailctl token new --claims claims.json --key lab/authorities/us-district-court/key.pem > warrant.token"}
	group.AddCommand(a.tokenNew(), a.tokenInspect(), a.tokenStatus())
	return group
}

func (a *app) tokenNew() *cobra.Command {
	var claims, key, role, to string
	var more []string
	cmd := &cobra.Command{
		Use:   "new --claims F --key K",
		Short: "Sign a token",
		Long: `Sign a token of the claims in a JSON file. A key is a PEM file with the private key (PKCS#8) and its certificate; the
certificate may also lie beside it, as cert.pem. Signatures of other authorities are added with --add-signature, each
as KEYFILE=ROLE; roles are issuing, validating, central, executing and enforcing.`,
		Example: `  mailctl token new --claims claims.json --key us-district-court/key.pem --to warrant.token
  mailctl token new --claims request.json --key us-central-authority/key.pem --role central \
    --add-signature ie-central-authority/key.pem=validating --add-signature ie-court/key.pem=executing --to request.token`,
		Args: args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needs(cmd, "claims", "key"); err != nil {
				return err
			}
			text, err := readFile(claims)
			if err != nil {
				return err
			}
			signers, err := readSigners(cmd, append([]string{key + "=" + role}, more...))
			if err != nil {
				return err
			}
			token, err := disclosure.SignToken(text, signers...)
			if err != nil {
				return err
			}
			return a.put(to, append(bytes.TrimSpace(token), '\n'))
		},
	}
	cmd.Flags().StringVar(&claims, "claims", "", "the claims, a JSON `file`")
	cmd.Flags().StringVar(&key, "key", "", "the first signer's key, a PEM `file`")
	cmd.Flags().StringVar(&role, "role", "issuing", "the first signer's role")
	cmd.Flags().StringArrayVar(&more, "add-signature", nil, "another signature, `KEYFILE=ROLE`; may be given again")
	cmd.Flags().StringVar(&to, "to", "", "write to this `file` instead of the standard output")
	return cmd
}

func readSigners(cmd *cobra.Command, specs []string) ([]disclosure.TokenSigner, error) {
	var out []disclosure.TokenSigner
	for _, spec := range specs {
		i := strings.LastIndexByte(spec, '=')
		if i <= 0 || i == len(spec)-1 {
			return nil, usage(cmd, "--add-signature wants KEYFILE=ROLE")
		}
		s, err := readSigner(spec[:i])
		if err != nil {
			return nil, err
		}
		s.Role = spec[i+1:]
		out = append(out, s)
	}
	return out, nil
}

// readSigner reads a key file, and the certificate from it or from the cert.pem beside it.
func readSigner(path string) (disclosure.TokenSigner, error) {
	raw, err := readFile(path)
	if err != nil {
		return disclosure.TokenSigner{}, err
	}
	var s disclosure.TokenSigner
	for rest := raw; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch block.Type {
		case "PRIVATE KEY":
			s.KeyPEM = pem.EncodeToMemory(block)
		case "CERTIFICATE":
			if s.CertPEM == nil {
				s.CertPEM = pem.EncodeToMemory(block)
			}
		}
	}
	if s.KeyPEM == nil {
		return s, domicile.E("key", domicile.Invalid, path+" holds no PRIVATE KEY (PKCS#8, PEM)")
	}
	if s.CertPEM == nil {
		s.CertPEM, err = readFile(filepath.Join(filepath.Dir(path), "cert.pem"))
	}
	return s, domicile.W("certificate of "+path, err)
}

// put writes to a file or, if path is "", to the standard output.
func (a *app) put(path string, content []byte) error {
	if path == "" {
		_, err := a.out.Write(content)
		return err
	}
	real := path
	if to, err := filepath.EvalSymlinks(path); err == nil { // in a lab, a status list is a link to where it is published
		real = to
	}
	if err := writeFile(real, content, 0o644); err != nil {
		return err
	}
	return a.show(struct {
		File string `json:"file"`
	}{path}, func(t *table) { t.field("written", path) })
}

func (a *app) tokenInspect() *cobra.Command {
	return &cobra.Command{
		Use: "inspect F", Short: "Show what a token says, without believing it", Example: "  mailctl token inspect warrant.token", Args: args("FILE"),
		RunE: func(cmd *cobra.Command, file []string) error {
			raw, err := readFile(file[0])
			if err != nil {
				return err
			}
			v, err := disclosure.InspectToken(raw)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.json(v)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, v, "", "  "); err != nil {
				return err
			}
			a.note("nothing of this has been verified")
			pretty.WriteByte('\n')
			_, err = pretty.WriteTo(a.out)
			return err
		},
	}
}

func (a *app) tokenStatus() *cobra.Command {
	var key, to string
	var set []string
	cmd := &cobra.Command{
		Use:     "status --key K --set JTI=valid|suspended|invalid --to FILE",
		Short:   "Make or update an authority's status list",
		Long:    "Make an authority's Token Status List, or update the one in FILE, and sign it anew. suspended is a stay, invalid a withdrawal.",
		Example: `  mailctl token status --key us-district-court/key.pem --set warrant-1=suspended --to us-district-court/status.jwt`,
		Args:    args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needs(cmd, "key", "to"); err != nil {
				return err
			}
			signer, err := readSigner(key)
			if err != nil {
				return err
			}
			signer.Role = "issuing"
			states, err := parseStates(cmd, set)
			if err != nil {
				return err
			}
			var old []byte
			if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
				if old, err = readFile(to); err != nil {
					return err
				}
			}
			list, err := disclosure.SignStatusList(old, signer, states, a.now())
			if err != nil {
				return err
			}
			return a.put(to, list)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "the authority's key, a PEM `file`")
	cmd.Flags().StringArrayVar(&set, "set", nil, "`JTI=STATE`, STATE one of valid, suspended, invalid; may be given again")
	cmd.Flags().StringVar(&to, "to", "", "the status list's `file`")
	return cmd
}

func parseStates(cmd *cobra.Command, set []string) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range set {
		i := strings.LastIndexByte(s, '=')
		if i <= 0 || s[i+1:] != "valid" && s[i+1:] != "suspended" && s[i+1:] != "invalid" {
			return nil, usage(cmd, "--set wants JTI=valid, JTI=suspended or JTI=invalid")
		}
		out[s[:i]] = s[i+1:]
	}
	return out, nil
}
