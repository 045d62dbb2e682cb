//go:build !linux

package lab

import (
	"os/exec"
	"syscall"
)

// dieWithParent keeps Ctrl-C at the terminal from reaching the child before this program can drain it.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func lockThread() (unlock func()) { return func() {} }
