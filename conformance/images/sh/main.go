// Sh is busybox's shell, except that `sh -c env` is env itself: Debian's busybox, unlike the one in the suite's own image,
// keeps variables whose names hold a dash from the programs that its shell starts.
package main

import (
	"fmt"
	"os"
	"syscall"
)

func main() {
	program, words := "/bin/busybox", os.Args
	if len(words) == 3 && words[1] == "-c" && words[2] == "env" {
		program, words = "/bin/env", []string{"env"}
	}
	err := syscall.Exec(program, words, os.Environ())
	fmt.Fprintln(os.Stderr, "sh:", err)
	os.Exit(127)
}
