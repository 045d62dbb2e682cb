package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"domicile"
	"domicile/admin"
	"domicile/disclosure"
)

// treaty takes the lawful way: a request of the US central authority, validated by the Irish one, with an Irish order.
func (s *story) treaty(ctx context.Context) error {
	s.chapter("The treaty path",
		"The US central authority asks, the Irish central authority validates, an Irish court orders: each signs the same token.")
	atIE, err := s.client(ie, "legal")
	if err != nil {
		return err
	}
	until := time.Now()
	if err := s.laterMail(ctx, until); err != nil {
		return domicile.W("a message from after the window", err)
	}
	var asked disclosure.Scope
	order := demand{Entity: regionEntity(ie), Region: ie, Target: aoife, Until: until, Edit: func(c *disclosure.Claims) { asked = c.Scope }}
	s.do("without the Irish court", ie, string(domicile.MissingSignature), func() (string, string, error) {
		a, err := s.submit(ctx, atIE, func(w demand, now time.Time) ([]byte, []byte, error) {
			return s.lab.treatyRequest(w, now, usCentral, ieCentral)
		}, order)
		return s.answer("without-the-irish-court", "The request with two signatures: Ireland's own order is missing.", a, err)
	})
	var caseID string
	if !s.do("treaty request", ie, "execute", func() (string, string, error) {
		a, err := s.submit(ctx, atIE, func(w demand, now time.Time) ([]byte, []byte, error) {
			return s.lab.treatyRequest(w, now, usCentral, ieCentral, ieCourt)
		}, order)
		caseID = a.Case
		code, text, err := s.answer("treaty-request", "With all three signatures Ireland executes it, under rule "+a.Rule+".", a, err)
		if err == nil && code != "execute" {
			text += " " + a.Detail
		}
		return code, text, err
	}) {
		return errors.New("the treaty request was not executed: the story cannot go on")
	}
	s.do("collect", ie, "ok", func() (string, string, error) {
		p, err := atIE.ProduceOrder(ctx, admin.ProduceOrder{ID: caseID, To: s.lab.Path("production")})
		if err != nil {
			return "", "", err
		}
		return "ok", fmt.Sprintf("Collected within the order's scope and sealed to the Irish central authority: %d bytes, which still rest in Ireland.", p.Bytes),
			writeFile(s.lab.Path("production/manifest.json"), p.Manifest)
	})
	s.do("release", ie, "ok", func() (string, string, error) { return s.release(ctx, atIE, caseID) })
	s.do("deliver and open", ie, "ok", func() (string, string, error) {
		var sealed bytes.Buffer
		if err := atIE.DeliverOrder(ctx, caseID, &sealed); err != nil {
			return "", "", err
		}
		if err := writeFile(s.lab.Path("production/production.tar.age"), sealed.Bytes()); err != nil {
			return "", "", err
		}
		return s.open(sealed.Bytes(), asked)
	})
	return nil
}

func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// laterMail sends one more message once the window has ended: internal dates are whole seconds.
func (s *story) laterMail(ctx context.Context, until time.Time) error {
	select {
	case <-time.After(time.Until(until.Truncate(time.Second).Add(1100 * time.Millisecond))):
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err := s.send(ctx, us, aoife, []Mail{s.outside()})
	return err
}

// outside is the message that the order does not cover.
func (s *story) outside() Mail {
	return Mail{Name: "outside", Text: Canonical([]byte("From: maeve@sender.example\nTo: " + string(aoife) + "\nSubject: outside the window\n\nNot what the order asks for.\n"))}
}

// release waits for the quorum: cosigners look at the log at their own pace.
func (s *story) release(ctx context.Context, atIE *admin.Client, id string) (string, string, error) {
	for deadline := time.Now().Add(30 * time.Second); ; {
		p, err := atIE.ReleaseOrder(ctx, id)
		if err == nil {
			return "ok", "Released: the log that has it on record was cosigned by the witness first.", s.keep("disclosure", p.Receipt)
		}
		if domicile.KindOf(err) != domicile.Unavailable || time.Now().After(deadline) || ctx.Err() != nil {
			return "", "", err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// open decrypts the archive as the Irish central authority and holds it against what was sent and asked for.
func (s *story) open(sealed []byte, asked disclosure.Scope) (string, string, error) {
	archive, err := s.unseal(sealed)
	if err != nil {
		return "", "", err
	}
	manifest, err := disclosure.CheckProduction(bytes.NewReader(archive), asked)
	if err != nil {
		return "", "", err
	}
	files, err := untar(archive)
	if err != nil {
		return "", "", err
	}
	found := make([]bool, len(s.mails))
	messages := 0
	for name, text := range files {
		if !strings.HasSuffix(name, ".eml") {
			continue
		}
		messages++
		for i, m := range s.mails {
			found[i] = found[i] || BehindTrace(text, m.Text) == nil
		}
		if BehindTrace(text, s.outside().Text) == nil {
			return "", "", errors.New("a message from after the order's window is in the archive")
		}
	}
	for i, m := range s.mails {
		if !found[i] {
			return "", "", fmt.Errorf("the message %s is not in the archive as it was sent", m.Name)
		}
	}
	if messages != len(s.mails) {
		return "", "", fmt.Errorf("%d messages are in the archive and %d were asked for", messages, len(s.mails))
	}
	return "ok", fmt.Sprintf("The Irish central authority opens it with its own key: %s byte for byte, none from after the order's window. The scope is kept, and all %d digests of the manifest hold.",
		count(messages, "message"), len(manifest.Items)), nil
}

// unseal decrypts an age file with the Irish central authority's key.
func (s *story) unseal(sealed []byte) ([]byte, error) {
	key, err := os.Open(s.lab.AuthorityFile(ieCentral, "age.key"))
	if err != nil {
		return nil, err
	}
	defer key.Close()
	ids, err := age.ParseIdentities(key)
	if err != nil {
		return nil, err
	}
	opened, err := age.Decrypt(bytes.NewReader(sealed), ids...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(opened)
}

func untar(archive []byte) (map[string][]byte, error) {
	files := map[string][]byte{}
	for tr := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		} else if err != nil {
			return nil, err
		}
		if files[h.Name], err = io.ReadAll(tr); err != nil {
			return nil, err
		}
	}
}
