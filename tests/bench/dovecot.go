package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
)

// dovecotKinds are the ways to keep mail that Dovecot is measured with, each with the settings beside the common ones.
var dovecotKinds = []struct{ name, format, settings string }{
	{"mdbox", "mdbox", ""},
	{"sdbox", "sdbox", ""},
	{"mdbox zstd+crypt", "mdbox", `mail_plugins = zlib mail_crypt
plugin {
  zlib_save = zstd
  mail_crypt_global_private_key = <%[1]s/key.pem
  mail_crypt_global_public_key = <%[1]s/pub.pem
  mail_crypt_save_version = 2
}
`},
}

// dovecotConf has Dovecot do no less than ours: deliveries are flushed before their answer. All else is what Dovecot does of
// itself, but for limits that a benchmark meets and processes that serve one login after another, which is its fast way. At a
// second address of loopback, IMAP flushes too.
const dovecotConf = `base_dir = %[1]s/run
log_path = %[1]s/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <%[1]s/cert.pem
ssl_key = <%[1]s/certkey.pem
disable_plaintext_auth = no
default_vsz_limit = 0
default_process_limit = 1000
default_client_limit = 20000
mail_max_userip_connections = 0
mail_location = %[2]s:~/mail
mail_uid = %[3]d
mail_gid = %[4]d
first_valid_uid = 1
first_valid_gid = 1
postmaster_address = postmaster@example.com
lmtp_save_to_detail_mailbox = no
passdb {
  driver = static
  args = password=` + password + `
}
userdb {
  driver = static
  args = uid=%[3]d gid=%[4]d home=%[1]s/mail/%%2.256Hn/%%n allow_all_users=yes
}
service imap-login {
  service_count = 0
  process_min_avail = 2
  client_limit = 12000
  inet_listener imap {
    address = 127.0.0.1 127.0.0.2
    port = %[5]d
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = %[7]d
    ssl = yes
  }
}
service imap {
  service_count = 256
  process_limit = 12000
}
service lmtp {
  process_limit = 128
  inet_listener lmtp {
    address = 127.0.0.1
    port = %[6]d
  }
}
protocol lmtp {
  mail_fsync = always
}
local 127.0.0.2 {
  protocol imap {
    mail_fsync = always
  }
}
namespace inbox {
  inbox = yes
}
`

// newDovecots returns what can be measured of Dovecot here: nothing where it is not installed.
func newDovecots(dir string) (out []*server, err error) {
	program, err := exec.LookPath("dovecot")
	if err != nil {
		return nil, nil
	}
	if os.Getuid() != 0 {
		return nil, errors.New("as it is installed, but starts as root only: run as root, or with -peers=false")
	}
	for i, k := range dovecotKinds {
		s, err := newDovecot(filepath.Join(dir, fmt.Sprint("dovecot", i)), program, k.name, k.format, k.settings)
		if err != nil {
			return nil, fmt.Errorf("dovecot %s: %w", k.name, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func newDovecot(dir, program, name, format, settings string) (*server, error) {
	who, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	s := &server{name: name, dir: dir, mail: filepath.Join(dir, "mail"), command: []string{program, "-F", "-c", filepath.Join(dir, "dovecot.conf")}}
	if err := errors.Join(os.MkdirAll(s.mail, 0o755), os.Chown(s.mail, uid, gid)); err != nil {
		return nil, err
	}
	imap, err := freePort()
	if err != nil {
		return nil, err
	}
	lmtp, err := freePort()
	if err != nil {
		return nil, err
	}
	imaps, err := freePort()
	if err != nil {
		return nil, err
	}
	s.imaps = fmt.Sprint("127.0.0.1:", imaps)
	s.imap, s.lmtp, s.flush = fmt.Sprint("127.0.0.1:", imap), fmt.Sprint("127.0.0.1:", lmtp), fmt.Sprint("127.0.0.2:", imap)
	if err := writeKeys(dir); err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(dovecotConf, dir, format, uid, gid, imap, lmtp, imaps)
	if settings != "" {
		conf += fmt.Sprintf(settings, dir)
	}
	return s, os.WriteFile(filepath.Join(dir, "dovecot.conf"), []byte(conf), 0o644)
}
