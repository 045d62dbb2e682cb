package keys_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"domicile"
	"domicile/keys"
)

// A body is sealed under an account's key, read back, and after the key's destruction read no more.
func Example() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	if err := keys.CreateRoot(filepath.Join(dir, "root.key")); err != nil {
		fmt.Println(err)
		return
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		fmt.Println(err)
		return
	}
	secret, err := keys.LoadSecret(filepath.Join(dir, "root.key"), data)
	if err != nil {
		fmt.Println(err)
		return
	}
	ring, err := keys.OpenRing(secret, filepath.Join(data, "keys"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := ring.CreateAccountKey("a1"); err != nil {
		fmt.Println(err)
		return
	}
	var sealed strings.Builder
	w, err := ring.SealTo("a1", &sealed, []byte("body/m1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	io.WriteString(w, "Dear Anna")
	if err := w.Close(); err != nil {
		fmt.Println(err)
		return
	}
	r, err := ring.OpenFrom("a1", strings.NewReader(sealed.String()), []byte("body/m1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	body, err := io.ReadAll(r)
	fmt.Println(string(body), err)
	if err := ring.DestroyAccountKey("a1"); err != nil {
		fmt.Println(err)
		return
	}
	_, err = ring.OpenFrom("a1", strings.NewReader(sealed.String()), []byte("body/m1"))
	fmt.Println(domicile.KindOf(err))
	// Output:
	// Dear Anna <nil>
	// not_exist
}
