package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io"
	"os"

	"domicile"
)

// maxSecret bounds a file of keys or certificates, in bytes.
const maxSecret = 1 << 20

func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(raw) > maxSecret {
		err = domicile.E("read "+path, domicile.TooLarge, "larger than 1 MiB")
	}
	return raw, err
}

// readNamesKey reads 64 hex digits.
func readNamesKey(path string) ([]byte, error) {
	raw, err := readSecret(path)
	if err != nil {
		return nil, domicile.W("names key", err)
	}
	key, err := hex.DecodeString(string(bytes.TrimSpace(raw)))
	if err != nil || len(key) != 32 {
		return nil, domicile.E("names key", domicile.Invalid, path+" must hold 64 hex digits")
	}
	return key, nil
}

// readGossipKeys reads lines of base64, 32 bytes each.
func readGossipKeys(path string) ([][]byte, error) {
	raw, err := readSecret(path)
	if err != nil {
		return nil, domicile.W("gossip keys", err)
	}
	var keys [][]byte
	for _, line := range bytes.Fields(raw) {
		key, err := base64.StdEncoding.DecodeString(string(line))
		if err != nil || len(key) != 32 {
			return nil, domicile.E("gossip keys", domicile.Invalid, path+" must hold lines of base64, 32 bytes each")
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, domicile.E("gossip keys", domicile.Invalid, path+" holds no key")
	}
	return keys, nil
}
