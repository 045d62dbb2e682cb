package main

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// smtpConn is a minimal SMTP and LMTP client.
type smtpConn struct {
	nc       net.Conn
	br       *bufio.Reader
	pipeline bool
	buf      bytes.Buffer
}

func (c *smtpConn) close() {
	c.nc.Write([]byte("QUIT\r\n"))
	c.nc.Close()
}

// reply reads one reply and checks the first digit of its code.
func (c *smtpConn) reply(want byte) (string, error) {
	c.nc.SetReadDeadline(time.Now().Add(cfg.timeout))
	var all strings.Builder
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			return "", err
		}
		all.WriteString(line)
		if len(line) < 4 {
			return "", fmt.Errorf("smtp: short reply %q", line)
		}
		if line[3] == '-' {
			continue
		}
		if line[0] != want {
			return "", fmt.Errorf("smtp: %s", strings.TrimSpace(all.String()))
		}
		return all.String(), nil
	}
}

func (c *smtpConn) cmd(want byte, s string) (string, error) {
	if _, err := c.nc.Write([]byte(s + "\r\n")); err != nil {
		return "", err
	}
	return c.reply(want)
}

func smtpDial(addr, proto string) (*smtpConn, error) {
	nc, err := dial(addr, cfg.tls && addr == cfg.addr)
	if err != nil {
		return nil, err
	}
	c := &smtpConn{nc: nc, br: bufio.NewReader(nc)}
	hello := "EHLO localhost"
	if proto == "lmtp" {
		hello = "LHLO localhost"
	}
	r, err := c.reply('2')
	if err == nil {
		r, err = c.cmd('2', hello)
	}
	if err == nil && cfg.starttls && strings.Contains(r, "STARTTLS") {
		if _, err = c.cmd('2', "STARTTLS"); err == nil {
			if c.nc, err = upgrade(nc); err == nil {
				c.br.Reset(c.nc)
				r, err = c.cmd('2', hello)
			}
		}
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	c.pipeline = !cfg.noPipeline && strings.Contains(r, "PIPELINING")
	return c, nil
}

// deliver sends one message to one recipient.
func (c *smtpConn) deliver(to string) (int64, error) {
	msg := message(&c.buf, to, cfg.size)
	mail, rcpt := "MAIL FROM:<"+cfg.from+">", "RCPT TO:<"+to+">"
	if c.pipeline {
		if _, err := c.nc.Write([]byte(mail + "\r\n" + rcpt + "\r\nDATA\r\n")); err != nil {
			return 0, err
		}
		for _, want := range "223" {
			if _, err := c.reply(byte(want)); err != nil {
				return 0, err
			}
		}
	} else {
		for i, s := range []string{mail, rcpt, "DATA"} {
			if _, err := c.cmd("223"[i], s); err != nil {
				return 0, err
			}
		}
	}
	// Generated text has no line that starts with a dot and ends in CRLF.
	bufs := net.Buffers{msg, []byte(".\r\n")}
	if _, err := bufs.WriteTo(c.nc); err != nil {
		return 0, err
	}
	_, err := c.reply('2')
	return int64(c.buf.Len()), err
}

func runDeliver() (*result, error) {
	if cfg.proto != "lmtp" && cfg.proto != "smtp" {
		return nil, fmt.Errorf("unknown -proto %q", cfg.proto)
	}
	return load(func(w, i int) (*smtpConn, error) {
		return smtpDial(cfg.addr, cfg.proto)
	}, func(c *smtpConn, i int) (int64, error) {
		if cfg.random {
			i = rand.IntN(cfg.users)
		}
		return c.deliver(pat(cfg.rcpt, i%cfg.users))
	}, false)
}
