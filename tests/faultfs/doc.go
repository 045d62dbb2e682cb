// Package faultfs is a FUSE file system for the tests, in memory, that keeps what was written apart from what was made
// durable, so that a test can see what a power cut would leave. It needs Linux, /dev/fuse and root, and no helper program.
//
//	f, err := faultfs.Mount(dir, nil)
//	... a process of its own works in dir ...
//	left := f.Trace().Crash(n, faultfs.Drop, nil) // the power fails after n operations
//	err = left.Save(other)                        // what is found afterwards
//
// # What is durable
//
// It is as hard as POSIX allows, which is harder than any file system in use:
//
//   - Bytes and the size of a file: only by fsync or fdatasync of that file.
//   - A name (create, mkdir, link, rename, unlink): only by fsync of the folder that it is in. The fsync of a file does
//     not keep its name. A rename within one folder is one act; between two folders each half is durable by itself.
//   - Of what is not durable a crash keeps nothing, everything, or any part: see Keep.
//   - Modes and times are not modelled: they are durable at once.
//   - After a failed fsync what was to be written is lost for good, though it can still be read, and a later fsync
//     of the file answers well. Linux does the same.
//
// # How it is used
//
// Every change is recorded in a Trace. A crash at any operation, with any choice of what survives, is computed from the
// trace afterwards, so that one run of a program serves for all of them, and also for the question what would be lost
// if an fsync had been left out: leaving it out does not change what the program does.
//
// The working process must not be the one that serves the file system: a page of a memory map that is missing would
// wait for a server that the garbage collector has stopped.
package faultfs
