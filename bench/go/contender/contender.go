// Package contender is the program around a library that is measured: the same command line, loads
// and result as those of the Rust programs (bench/kit).
package contender

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

// About is what a contender is.
type About struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	Messages   string `json:"messages"`
	Names      string `json:"names"`
	Deadline   string `json:"deadline"`
	Encryption string `json:"encryption"`
	Settings   string `json:"settings"`
}

// Caller sends requests.
type Caller interface {
	// Message is a message with a content of so many bytes.
	Message(bytes int) interface{}
	// Call sends it and returns the length of the answer's content.
	Call(message interface{}) (int, error)
}

// Contender is a way to send requests from one process to another.
type Contender interface {
	About() About
	// Serve starts the side that echoes; it returns what the load takes as the address.
	Serve(registry string) (address string, stop func(), err error)
	// Connect connects to it.
	Connect(address, registry string) (Caller, error)
}

// longestEcho is the length of the longest message that is answered with as much.
const longestEcho = 1 << 20

// Echoed is the length of the answer to a message of so many bytes.
func Echoed(bytes int) int {
	if bytes > longestEcho {
		return 0
	}
	return bytes
}

// VersionOf is the version of a module that this program is built with.
func VersionOf(module string) string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, dep := range info.Deps {
			if dep.Path == module {
				return dep.Path + " " + dep.Version + ", " + runtime.Version()
			}
		}
	}
	return module + " of unknown version"
}

// Main is the program.
func Main(c Contender) {
	if err := run(c); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", c.About().Name, err)
		os.Exit(1)
	}
}

func run(c Contender) error {
	if len(os.Args) < 2 {
		return fmt.Errorf("about, echo or load?")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	registry := flags.String("registry", "", "the URL of the registry")
	threads := flags.Int("worker-threads", 0, "GOMAXPROCS, if not the default")
	var o options
	o.define(flags)
	if err := flags.Parse(os.Args[2:]); err != nil {
		return err
	}
	if *threads > 0 {
		runtime.GOMAXPROCS(*threads)
	}
	switch os.Args[1] {
	case "about":
		return print(c.About())
	case "echo":
		address, stop, err := c.Serve(*registry)
		if err != nil {
			return err
		}
		fmt.Println("ready", address)
		// It ends when its parent closes its input, or dies.
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
			return err
		}
		stop()
		return nil
	case "load":
		caller, err := connect(c, o.address, *registry)
		if err != nil {
			return err
		}
		r, err := o.load(caller)
		if err != nil {
			return err
		}
		return print(r)
	}
	return fmt.Errorf("about, echo or load, not %q", os.Args[1])
}

// connect connects and waits for the first answer: the sides may have to find each other.
func connect(c Contender, address, registry string) (Caller, error) {
	caller, err := c.Connect(address, registry)
	if err != nil {
		return nil, err
	}
	message := caller.Message(1)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err = caller.Call(message); err == nil || time.Now().After(end) {
			return caller, err
		}
	}
}

func print(value interface{}) error {
	return json.NewEncoder(os.Stdout).Encode(value)
}
