package admin

import (
	"archive/tar"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
)

// copyLog sends the public part of the log: the checkpoint first, so that the tiles behind it hold at least what it
// covers, then every tile and bundle. What is sealed beside the log stays.
func (s *Server) copyLog(w http.ResponseWriter, r *http.Request, who caller) error {
	if err := decode(w, r, &struct{}{}); err != nil {
		return err
	}
	body := &lazyBody{w: w, kind: "application/x-tar"}
	out := tar.NewWriter(body)
	err := s.tarFile(out, "checkpoint")
	if err == nil {
		err = filepath.WalkDir(filepath.Join(s.cfg.AuditDir, "tile"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return gone(err)
			}
			name, err := filepath.Rel(s.cfg.AuditDir, path)
			if err != nil {
				return err
			}
			return gone(s.tarFile(out, filepath.ToSlash(name)))
		})
	}
	if err = errors.Join(err, out.Close()); err == nil {
		return nil
	}
	if !body.begun {
		return err
	}
	s.cfg.Log.Warn("admin: a copy of the log was cut short", "error", err)
	panic(http.ErrAbortHandler)
}

// gone lets pass that a partial tile was replaced by its full one meanwhile.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (s *Server) tarFile(out *tar.Writer, name string) error {
	raw, err := os.ReadFile(filepath.Join(s.cfg.AuditDir, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	if err := out.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(raw))}); err != nil {
		return err
	}
	_, err = out.Write(raw)
	return err
}
