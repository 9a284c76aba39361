// Nnp prints the effective user; its file is set-uid root, so that the line tells whether new privileges were allowed.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Printf("Effective uid: %d\n", os.Geteuid())
}
