package lab

import (
	"os/exec"
	"runtime"
	"syscall"
)

// dieWithParent has the kernel end the child when the thread that starts it ends.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// lockThread keeps the calling goroutine on its thread, which then ends with the program and not before.
func lockThread() (unlock func()) {
	runtime.LockOSThread()
	return runtime.UnlockOSThread
}
