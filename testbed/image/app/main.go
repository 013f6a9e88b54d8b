// The one program of the distroless image: enough to see what a process of a job gets.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const usage = `usage: app COMMAND
  exit N         end with code N
  kill N         end by signal N
  echo [WORD…]   print the words
  cat            copy standard input to standard output
  env            print the environment
  pwd            print the working directory
  id             print uid, gid and supplementary groups, as numbers
  write BYTES    write so many bytes to standard output
  sleep SECONDS  sleep
  wait SIGNAL    say "ready", wait for the signal, name it, end with code 0
`

func main() {
	if len(os.Args) < 2 {
		fail(usage)
	}
	out := bufio.NewWriter(os.Stdout)
	code, err := run(os.Args[1], os.Args[2:], out)
	if flush := out.Flush(); err == nil {
		err = flush
	}
	if err != nil {
		fail(fmt.Sprintf("app: %v\n", err))
	}
	os.Exit(code)
}

func run(command string, words []string, out *bufio.Writer) (int, error) {
	switch command {
	case "exit":
		return number(words)
	case "kill":
		signal, err := number(words)
		if err == nil {
			err = syscall.Kill(os.Getpid(), syscall.Signal(signal))
			time.Sleep(time.Second)
		}
		return 1, err
	case "echo":
		_, err := fmt.Fprintln(out, strings.Join(words, " "))
		return 0, err
	case "cat":
		_, err := io.Copy(out, os.Stdin)
		return 0, err
	case "env":
		_, err := fmt.Fprintln(out, strings.Join(os.Environ(), "\n"))
		return 0, err
	case "pwd":
		folder, err := os.Getwd()
		fmt.Fprintln(out, folder)
		return 0, err
	case "id":
		groups, err := os.Getgroups()
		fmt.Fprintf(out, "uid=%d gid=%d groups=%s\n", os.Getuid(), os.Getgid(), strings.Trim(fmt.Sprint(groups), "[]"))
		return 0, err
	case "write":
		count, err := number(words)
		if err == nil {
			_, err = io.Copy(out, io.LimitReader(zeros{}, int64(count)))
		}
		return 0, err
	case "sleep":
		seconds, err := number(words)
		time.Sleep(time.Duration(seconds) * time.Second)
		return 0, err
	case "wait":
		wanted, err := number(words)
		if err != nil {
			return 1, err
		}
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.Signal(wanted))
		fmt.Fprintln(out, "ready")
		if err := out.Flush(); err != nil {
			return 1, err
		}
		fmt.Fprintln(out, "got", <-signals)
		return 0, nil
	}
	fail(usage)
	return 2, nil
}

func number(words []string) (int, error) {
	if len(words) != 1 {
		fail(usage)
	}
	return strconv.Atoi(words[0])
}

type zeros struct{}

func (zeros) Read(buffer []byte) (int, error) {
	for i := range buffer {
		buffer[i] = '0'
	}
	return len(buffer), nil
}

func fail(text string) {
	fmt.Fprint(os.Stderr, text)
	os.Exit(2)
}
