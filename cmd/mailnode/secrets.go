package main

import (
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
