package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// limits prints what this disk and these processors can do at best, for the standard library's share of it.
func (b *bench) limits() error {
	one, err := b.appends(1, 4096)
	if err != nil {
		return err
	}
	eight, err := b.appends(8, 4096)
	if err != nil {
		return err
	}
	group, err := b.groupCommit(64, 10<<10)
	if err != nil {
		return err
	}
	seal, sum := ciphers(10 << 10)
	fmt.Printf("\nthe machine: fsync of a 4 KiB append %s/s on one file, %s/s on eight; a log of 10 KB records from 64 writers, each flushed before its answer, %s/s; AES-256-GCM %s MB/s and SHA-256 %s MB/s on one processor\n",
		figure(one), figure(eight), figure(group), figure(seal), figure(sum))
	return nil
}

// rate is how often in a second workers call fn; the first error ends it.
func rate(workers int, fn func(worker int) error) (float64, error) {
	var calls atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, workers)
	begun := time.Now()
	for w := range workers {
		wg.Go(func() {
			for errs[w] == nil && time.Since(begun) < time.Second {
				errs[w] = fn(w)
				calls.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(calls.Load()) / time.Since(begun).Seconds(), errors.Join(errs...)
}

// appends is the rate of appends that are each flushed, to so many files at once.
func (b *bench) appends(files, size int) (float64, error) {
	buf := make([]byte, size)
	rand.Read(buf)
	var open []*os.File
	for i := range files {
		f, err := os.Create(filepath.Join(b.dir, fmt.Sprint("append", i)))
		if err != nil {
			return 0, err
		}
		defer os.Remove(f.Name())
		defer f.Close()
		open = append(open, f)
	}
	return rate(files, func(w int) error {
		_, err := open[w].Write(buf)
		return errors.Join(err, open[w].Sync())
	})
}

// groupCommit is the rate of a log whose writers wait for a flush that they share.
func (b *bench) groupCommit(writers, size int) (float64, error) {
	f, err := os.Create(filepath.Join(b.dir, "group"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	record := make([]byte, size)
	rand.Read(record)
	waiting := make(chan chan error, writers)
	var ended sync.WaitGroup
	ended.Go(func() {
		for first := range waiting {
			group, bytes := []chan error{first}, record
			for len(waiting) > 0 {
				group, bytes = append(group, <-waiting), append(bytes[:len(bytes):len(bytes)], record...)
			}
			_, err := f.Write(bytes)
			err = errors.Join(err, f.Sync())
			for _, w := range group {
				w <- err
			}
		}
	})
	r, err := rate(writers, func(int) error {
		done := make(chan error, 1)
		waiting <- done
		return <-done
	})
	close(waiting)
	ended.Wait()
	return r, err
}

// ciphers are the MB/s of one processor.
func ciphers(size int) (seal, sum float64) {
	block, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		return 0, 0
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return 0, 0
	}
	plain, out, nonce := make([]byte, size), make([]byte, 0, size+gcm.Overhead()), make([]byte, gcm.NonceSize())
	seals, _ := rate(1, func(int) error { gcm.Seal(out, nonce, plain, nil); return nil })
	sums, _ := rate(1, func(int) error { sha256.Sum256(plain); return nil })
	return seals * float64(size) / 1e6, sums * float64(size) / 1e6
}
