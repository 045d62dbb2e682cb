// Package disk holds tests of whole parts, and of a whole node, on a disk that fails: power cuts that lose what was not
// fsynced, a full disk, and errors of fsync. The disk is package faultfs; it needs Linux, /dev/fuse and root.
package disk
