// Command symbols checks that the migration guide, docs/from-go.md, names every exported symbol of
// the Go library's packages exactly once, and none that does not exist.
//
// It reads the source of github.com/lytics/grid/v3 in the version that go.mod requires. Run it in
// this module:
//
//	go run ./cmd/symbols
//
// It exits with status 1 if the guide is wrong. Names of Rust items that are missing from the
// library's source are only warnings, as it searches for words instead of compiling.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const library = "github.com/lytics/grid/v3"

// The packages that a user imports, by name and folder. The library uses the others (bench,
// examples, testetcd, codec/protomessage) to test itself.
var packages = map[string]string{
	"grid":     ".",
	"registry": "registry",
	"ring":     "ring",
	"codec":    "codec",
}

func main() {
	guide := flag.String("guide", "../../docs/from-go.md", "the guide to check")
	rust := flag.String("rust", "../../crates/actorgrid/src", "the Rust library's source; empty to skip it")
	flag.Parse()
	if err := run(os.Stdout, os.Stderr, *guide, *rust); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(out, warnings io.Writer, guide, rust string) error {
	version, dir, err := module()
	if err != nil {
		return err
	}
	var symbols []string
	for name, folder := range packages {
		found, err := exportedIn(name, filepath.Join(dir, folder))
		if err != nil {
			return err
		}
		symbols = append(symbols, found...)
	}
	text, err := os.ReadFile(guide)
	if err != nil {
		return err
	}
	rows := readGuide(string(text))
	if rust != "" {
		known, err := rustNames(rust)
		if err != nil {
			return err
		}
		for _, warning := range unknownRust(rows, known) {
			fmt.Fprintf(warnings, "warning: %s:%s\n", guide, warning)
		}
	}
	if problems := compare(symbols, rows); len(problems) > 0 {
		for i := range problems {
			problems[i] = "  " + problems[i]
		}
		return fmt.Errorf("%s does not fit %s %s:\n%s", guide, library, version, strings.Join(problems, "\n"))
	}
	fmt.Fprintf(out, "%s names each of the %d exported symbols of %s %s once\n", guide, len(symbols), library, version)
	return nil
}

// module is the version of the library that this module requires, and the folder of its source.
func module() (version, dir string, err error) {
	command := exec.Command("go", "list", "-m", "-f", "{{.Version}}\n{{.Dir}}", library)
	command.Stderr = os.Stderr
	listed, err := command.Output()
	if err != nil {
		return "", "", fmt.Errorf("go list -m %s: %w", library, err)
	}
	version, dir, _ = strings.Cut(strings.TrimSpace(string(listed)), "\n")
	if dir == "" {
		return "", "", errors.New("the source of " + library + " is not here: run `go mod download`")
	}
	return version, dir, nil
}
