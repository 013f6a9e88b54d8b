// A program of root's with the setuid bit: says whose rights it has.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println("euid", os.Geteuid())
}
